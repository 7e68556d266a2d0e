//! The connectors by name: from options to a source or a sink.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::config::Entry;
use crate::connect::console::{OutputForm, STDIN_DOCS, STDOUT_DOCS, StdinConnector, StdoutConnector};
use crate::connect::file::{FILE_DOCS, FileSinkConnector, FileSourceConnector};
use crate::connect::generated::{GENERATOR_DOCS, GeneratorConnector, NEXMARK_DOCS, NexmarkConnector};
use crate::connect::kafka::{KAFKA_DOCS, KafkaSinkConnector, KafkaSourceConnector};
use crate::connect::memory::BlackholeConnector;
use crate::connect::predecessor::Direction;
use crate::connect::text_format::FORMAT_DOCS;
use crate::connect::{
    FILE_PATIENCE_DOCS, OptionDoc, Options, SinkConnector, SourceConnector, TIME_DOCS, TOPIC_PATIENCE_DOCS,
    TimeOptions,
};
use crate::error::{Error, Result};

/// A connector as the reference lists it.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorDoc {
    /// The name: what `'connector' = '…'` says.
    pub name: &'static str,
    /// Whether it can be read, written, or both.
    pub directions: &'static str,
    /// Its options, those about time aside.
    pub options: &'static [&'static [OptionDoc]],
}

/// All connectors.
pub const CONNECTORS: &[ConnectorDoc] = &[
    ConnectorDoc {
        name: "file",
        directions: "source, sink",
        options: &[FILE_DOCS, FILE_PATIENCE_DOCS, FORMAT_DOCS],
    },
    ConnectorDoc {
        name: "kafka",
        directions: "source, sink",
        options: &[KAFKA_DOCS, TOPIC_PATIENCE_DOCS, FORMAT_DOCS],
    },
    ConnectorDoc { name: "stdin", directions: "source", options: &[STDIN_DOCS, FORMAT_DOCS] },
    ConnectorDoc { name: "stdout", directions: "sink", options: &[STDOUT_DOCS] },
    ConnectorDoc { name: "generator", directions: "source", options: &[GENERATOR_DOCS] },
    ConnectorDoc { name: "nexmark", directions: "source", options: &[NEXMARK_DOCS] },
    ConnectorDoc { name: "blackhole", directions: "sink", options: &[] },
];

/// A source as its options declare it.
#[derive(Debug, Clone)]
pub struct DeclaredSource {
    /// The connector.
    pub connector: Arc<dyn SourceConnector>,
    /// Time and bad records.
    pub time: TimeOptions,
}

/// A stream as its options declare it: what it is when read, and what it is when written.
#[derive(Debug, Default)]
pub struct Declared {
    /// The source, if the connector can be read and the options say enough for it.
    pub source: Option<DeclaredSource>,
    /// The sink, likewise.
    pub sink: Option<Arc<dyn SinkConnector>>,
}

/// What a declaration is made of.
#[derive(Debug, Clone)]
pub struct Declaration<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// The connector.
    pub connector: &'a str,
    /// The options, in the names in use here.
    pub options: Vec<Entry>,
    /// The declared columns.
    pub columns: Option<&'a SchemaRef>,
    /// What it is declared for.
    pub direction: Direction,
    /// How a `stdout` sink shows rows that does not say.
    pub output: OutputForm,
}

/// Reads a declaration strictly: an option that neither its source nor its sink takes is an error.
pub fn declare(declaration: &Declaration<'_>) -> Result<Declared> {
    let Some(doc) = CONNECTORS.iter().find(|doc| doc.name == declaration.connector) else {
        return Err(Error::internal(format!("no connector `{}`", declaration.connector)));
    };
    let can = |direction: &str| doc.directions.contains(direction);
    let wants_source = declaration.direction != Direction::Sink && can("source");
    let wants_sink = declaration.direction != Direction::Source && can("sink");
    let noun = match declaration.direction {
        Direction::Source => "source",
        Direction::Sink => "sink",
        Direction::Both => "stream",
    };
    if !wants_source && !wants_sink {
        return Err(
            Error::invalid(format!("connector `{}` cannot be a {noun}", doc.name)).with_hint(of(noun))
        );
    }
    let mut declared = Declared::default();
    let mut taken: Vec<String> = vec![];
    if wants_source {
        let mut options = options_of(doc, declaration)?;
        declared.source = Some(read_source(doc.name, declaration.name, &mut options, declaration.columns)?);
        taken.extend(options.taken().iter().map(|entry| entry.key.clone()));
    }
    if wants_sink {
        let mut options = options_of(doc, declaration)?;
        declared.sink = Some(read_sink(doc.name, declaration.name, &mut options, declaration.output)?);
        taken.extend(options.taken().iter().map(|entry| entry.key.clone()));
    }
    let mut rest = options_of(doc, declaration)?;
    for key in taken {
        rest.set_aside(&key);
    }
    rest.finish(&format!("{noun} `{}`", declaration.name))?;
    Ok(declared)
}

fn options_of(doc: &ConnectorDoc, declaration: &Declaration<'_>) -> Result<Options> {
    let mut options = Options::new(&[], declaration.options.iter().cloned())?;
    doc.options.iter().for_each(|docs| options.accept(docs));
    if declaration.direction != Direction::Sink && doc.directions.contains("source") {
        options.accept(TIME_DOCS);
    }
    Ok(options)
}

fn read_source(
    connector: &str,
    name: &str,
    options: &mut Options,
    declared: Option<&SchemaRef>,
) -> Result<DeclaredSource> {
    let time = TimeOptions::read(options)?;
    let connector: Arc<dyn SourceConnector> = match connector {
        "file" => Arc::new(FileSourceConnector::read(options)?),
        "kafka" => Arc::new(KafkaSourceConnector::read(name, options)?),
        "stdin" => Arc::new(StdinConnector::read(options)?),
        "generator" => {
            let none = Arc::new(Schema::empty());
            Arc::new(GeneratorConnector::read(options, declared.unwrap_or(&none))?)
        }
        "nexmark" => Arc::new(NexmarkConnector::read(options, declared)?),
        other => return Err(Error::internal(format!("connector `{other}` has no source"))),
    };
    Ok(DeclaredSource { connector, time })
}

fn read_sink(
    connector: &str,
    name: &str,
    options: &mut Options,
    output: OutputForm,
) -> Result<Arc<dyn SinkConnector>> {
    Ok(match connector {
        "file" => Arc::new(FileSinkConnector::read(options)?),
        "kafka" => Arc::new(KafkaSinkConnector::read(name, options)?),
        "stdout" => Arc::new(StdoutConnector::read(options, output)?),
        "blackhole" => Arc::new(BlackholeConnector),
        other => return Err(Error::internal(format!("connector `{other}` has no sink"))),
    })
}

fn of(direction: &str) -> String {
    let names = CONNECTORS.iter().filter(|doc| doc.directions.contains(direction)).map(|doc| doc.name);
    format!("a {direction} can be: {}", names.collect::<Vec<_>>().join(", "))
}
