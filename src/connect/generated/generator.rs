//! [`GeneratorConnector`]: rows made up by a rule for each column.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::connect::generator::{GeneratorOptions, GeneratorRules, GeneratorSource, time_millis};
use crate::connect::{KnownPartition, OptionDoc, Options, ReadRequest, Source, SourceConnector};
use crate::error::{Error, Result};
use crate::format::Decoder;

/// The options of generators.
pub const GENERATOR_DOCS: &[OptionDoc] = &[
    OptionDoc { key: "rows", value: "number", default: "endless", what: "how many rows there are" },
    OptionDoc {
        key: "rows.per.second",
        value: "number",
        default: "as fast as possible",
        what: "how many rows come in a second",
    },
    OptionDoc { key: "seed", value: "number", default: "1", what: "the same seed gives the same rows" },
    OptionDoc {
        key: "start.time",
        value: "time",
        default: "the clock, or 2026-01-01",
        what: "the first value of TIMESTAMP columns",
    },
    OptionDoc {
        key: "partitions",
        value: "number",
        default: "1",
        what: "how many partitions the stream has",
    },
    OptionDoc {
        key: "fields.*",
        value: "rule",
        default: "by the column's type",
        what: "`fields.<column>.kind` and its settings: sequence, range, enum, random_walk, constant, uuid, text, timestamp",
    },
];

/// A stream of made-up rows.
#[derive(Debug)]
pub struct GeneratorConnector {
    schema: SchemaRef,
    rules: GeneratorRules,
    options: GeneratorOptions,
}

impl GeneratorConnector {
    /// Reads the options for the declared columns.
    pub fn read(options: &mut Options, schema: &SchemaRef) -> Result<Self> {
        if schema.fields().is_empty() {
            return Err(Error::invalid("a `generator` stream needs columns").with_hint(
                "declare them: CREATE STREAM … (id BIGINT, price DOUBLE, …) WITH ('connector' = 'generator')",
            ));
        }
        let defaults = GeneratorOptions::default();
        let start: Option<String> = options.take_optional("start.time")?;
        let read = GeneratorOptions {
            rows: options.take_optional("rows")?,
            rows_per_second: options.take_optional("rows.per.second")?,
            seed: options.take_or("seed", defaults.seed)?,
            start_time_millis: start.map(|start| time_millis(&start)).transpose()?,
            partitions: options.take_or("partitions", defaults.partitions)?,
        };
        let fields = options.take_prefixed("fields.")?;
        let rules = GeneratorRules::from_options(
            schema,
            fields.into_iter().map(|(key, value)| (format!("fields.{key}"), value)),
        )?;
        Ok(Self { schema: Arc::clone(schema), rules, options: read })
    }
}

impl SourceConnector for GeneratorConnector {
    fn describe(&self) -> String {
        "generator".to_owned()
    }

    fn is_bounded(&self) -> bool {
        self.options.rows.is_some()
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.schema))
    }

    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        self.options.known_partitions()
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        Ok(Box::new(GeneratorSource::try_new(
            &self.schema,
            self.rules.clone(),
            &self.options,
            request.limits,
            Arc::clone(&request.clock),
            Some(request.columns.clone()),
        )?))
    }

    fn decoder(&self, _request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(None)
    }
}
