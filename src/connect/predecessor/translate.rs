//! [`translate`]: the options of one source or sink, in whatever names, under the names in use here.

use crate::config::Entry;
use crate::connect::options::{nearest, quoted};
use crate::error::{Error, Result};

use super::names::{Owner, To, lookup};
use super::values::Meaning;

/// What the options are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Reading.
    Source,
    /// Writing.
    Sink,
    /// A declaration that may be read and written.
    Both,
}

/// The options of one source or sink under the names in use here.
#[derive(Debug)]
pub struct Translated {
    /// The connector: `kafka`, `file`, …
    pub connector: &'static str,
    /// The options for it, without those that have no effect.
    pub options: Vec<Entry>,
    /// What the user should know, one line each.
    pub notices: Vec<String>,
}

/// Names of connectors: as written, what it is here, and the direction if the name says one.
const CONNECTORS: &[(&str, &str, Option<Direction>)] = &[
    ("kafka", "kafka", None),
    ("kafka_source", "kafka", Some(Direction::Source)),
    ("kafka_sink", "kafka", Some(Direction::Sink)),
    ("file", "file", None),
    ("file_source", "file", Some(Direction::Source)),
    ("file_source_mmap", "file", Some(Direction::Source)),
    ("file_sink", "file", Some(Direction::Sink)),
    ("generator", "generator", Some(Direction::Source)),
    ("nexmark", "nexmark", Some(Direction::Source)),
    ("memory", "memory", None),
    ("stdin", "stdin", Some(Direction::Source)),
    ("stdout", "stdout", Some(Direction::Sink)),
    ("stdout_sink", "stdout", Some(Direction::Sink)),
    ("blackhole", "blackhole", Some(Direction::Sink)),
];

/// Connectors that this version does not have, by the first part of their names.
const NOT_YET: &[&str] =
    &["s3", "gcs", "azure", "database", "postgres", "http", "iceberg", "clickhouse", "delta"];

/// Gives the options of one source or sink their names here and finds its connector in `connector` or `type`.
///
/// A name that the table does not know is passed on as it is: [`Options::finish`](crate::connect::Options::finish)
/// refuses it with the list of the connector's own.
///
/// # Errors
/// Invalid: no connector is named, it is not known or not available yet or goes the other way, or a value has no
/// meaning here.
pub fn translate(direction: Direction, entries: Vec<Entry>) -> Result<Translated> {
    let (kinds, rest): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| matches!(entry.key.as_str(), "connector" | "type"));
    let connector = connector(direction, &kinds)?;
    let (options, notices) = translate_all(rest, Owner::Connector(connector, direction))?;
    Ok(Translated { connector, options, notices })
}

/// Gives the options of a job their names here; annotations come with their `@`. Returns the options and the notices.
///
/// # Errors
/// Invalid, when a value has no meaning here.
pub fn translate_job(entries: Vec<Entry>) -> Result<(Vec<Entry>, Vec<String>)> {
    translate_all(entries, Owner::Job)
}

fn translate_all(entries: Vec<Entry>, owner: Owner) -> Result<(Vec<Entry>, Vec<String>)> {
    let (mut options, mut notices) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        let meaning = translate_one(&entry, &entry.key, owner).map_err(|error| placed(error, &entry))?;
        options.extend(meaning.options);
        notices.extend(meaning.notice);
    }
    Ok((options, notices))
}

/// Translates `entry` as if its key were `name`: the key itself, or what follows the name of a section.
fn translate_one(entry: &Entry, name: &str, owner: Owner) -> Result<Meaning> {
    let in_section = name != entry.key;
    let same = |key: &str| Ok(Meaning::one(entry, key, &entry.value));
    match lookup(name, owner) {
        Some((To::Same, _)) => same(name),
        Some((To::Name(key), _)) => same(key),
        Some((To::Librdkafka, _)) => same(&format!("kafka.{name}")),
        Some((To::Section, rest)) => translate_one(entry, rest, owner),
        Some((To::Value(meaning), _)) => meaning(entry),
        Some((To::NoEffect(why), _)) => Ok(Meaning {
            options: Vec::new(),
            notice: Some(format!("`{}` has no effect here, because {why}", entry.name())),
        }),
        Some((To::NotYet(what), _)) => Err(Error::not_yet(what)),
        None if in_section => same(&format!("kafka.{name}")),
        None => same(name),
    }
}

/// Returns the connector that the options name; where several do, the one of the highest precedence.
fn connector(direction: Direction, kinds: &[Entry]) -> Result<&'static str> {
    let mut found: Option<(&Entry, &'static str)> = None;
    for entry in kinds {
        let name = known_connector(direction, entry).map_err(|error| placed(error, entry))?;
        found = match found {
            Some((other, known)) if other.origin.rank() == entry.origin.rank() && known != name => {
                let error = Error::invalid(format!(
                    "`{}` = `{}` and `{}` = `{}` contradict each other",
                    other.name(),
                    other.value,
                    entry.name(),
                    entry.value
                ));
                return Err(placed(error.with_hint("keep one of them"), entry));
            }
            Some((other, known)) if other.origin.rank() > entry.origin.rank() => Some((other, known)),
            _ => Some((entry, name)),
        };
    }
    found.map(|(_, name)| name).ok_or_else(|| {
        Error::invalid("missing option `connector`")
            .with_hint(format!("add `'connector' = '…'` to WITH (…); there are {}", quoted(&connectors())))
    })
}

fn known_connector(direction: Direction, entry: &Entry) -> Result<&'static str> {
    let given = entry.value.trim().to_lowercase();
    let Some((_, connector, way)) = CONNECTORS.iter().find(|(name, _, _)| *name == given) else {
        let base = given.split('_').next().unwrap_or_default();
        if NOT_YET.contains(&base) {
            return Err(Error::not_yet(format!("connector `{base}` (`{}` = `{given}`)", entry.name()))
                .with_hint(format!("there are {}", quoted(&connectors()))));
        }
        let list = format!("there are {}", quoted(&connectors()));
        let hint = match nearest(&given, CONNECTORS.iter().map(|(name, _, _)| *name)) {
            Some(name) => format!("did you mean `{name}`? {list}"),
            None => list,
        };
        return Err(Error::invalid(format!("unknown connector `{}`", entry.value)).with_hint(hint));
    };
    match (way, direction) {
        (Some(Direction::Source), Direction::Sink) => {
            Err(Error::invalid(format!("`{}` = `{given}` can only be read from", entry.name()))
                .with_hint("name a connector that writes, such as `kafka_sink` or `file_sink`"))
        }
        (Some(Direction::Sink), Direction::Source) => {
            Err(Error::invalid(format!("`{}` = `{given}` can only be written to", entry.name()))
                .with_hint("name a connector that reads, such as `kafka_source` or `file_source`"))
        }
        _ => Ok(connector),
    }
}

/// Returns the connectors there are.
fn connectors() -> Vec<&'static str> {
    let mut names: Vec<&str> = CONNECTORS.iter().map(|(_, connector, _)| *connector).collect();
    names.dedup();
    names
}

fn placed(error: Error, entry: &Entry) -> Error {
    match entry.origin.span() {
        Some(span) => error.with_span(span),
        None => error.within(&entry.origin),
    }
}
