//! [`TextFormat`]: the line-based format of a source or sink, read from its options.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::time_options::written_time;
use crate::connect::{OptionDoc, Options, ReadRequest};
use crate::error::{Error, Result};
use crate::format::{
    CsvDecoder, CsvEncoder, CsvOptions, DecodeOptions, Decoder, Encoder, IntegerTime, JsonDecoder,
    JsonEncoder, WrittenTime, csv_header, csv_last_record_end, infer_csv, infer_json, lines_last_record_end,
};
use crate::time::EventTimeFormat;

/// The options of line-based formats.
pub const FORMAT_DOCS: &[OptionDoc] = &[
    OptionDoc {
        key: "format",
        value: "csv | json | parquet",
        default: "by a file's name, else json",
        what: "how records are written; parquet for files only",
    },
    OptionDoc {
        key: "header",
        value: "true | false",
        default: "true",
        what: "whether CSV begins with column names",
    },
    OptionDoc {
        key: "delimiter",
        value: "character",
        default: ",",
        what: "what stands between two CSV fields",
    },
    OptionDoc {
        key: "quote",
        value: "character",
        default: "\"",
        what: "what surrounds CSV fields that need it",
    },
    OptionDoc {
        key: "escape",
        value: "character",
        default: "",
        what: "what stands before a quote inside quotes",
    },
    OptionDoc { key: "null", value: "text", default: "", what: "the unquoted CSV text that means NULL" },
    OptionDoc {
        key: "missing.field",
        value: "null | fail",
        default: "null",
        what: "what a declared field means that a record lacks",
    },
    OptionDoc {
        key: "unknown.field",
        value: "ignore | fail",
        default: "ignore",
        what: "what a field means that nobody declared",
    },
    OptionDoc {
        key: "timestamp.format",
        value: "seconds | millis | micros | nanos",
        default: "millis",
        what: "the unit of integers in TIMESTAMP columns, but not of an event time with a format",
    },
    OptionDoc {
        key: "infer.decimal",
        value: "true | false",
        default: "false",
        what: "whether inferred columns with fractions are DECIMAL instead of DOUBLE",
    },
];

/// A line-based format with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextFormat {
    /// One JSON object a line.
    Json,
    /// Delimited fields.
    Csv {
        /// The dialect.
        options: CsvOptions,
        /// Whether the first line names the columns.
        header: bool,
    },
}

/// What decoding needs beside the format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecodeSettings {
    /// Strictness and units.
    pub options: DecodeOptions,
    /// Whether inferred fractions are decimals.
    pub infer_decimal: bool,
}

/// Reads the name of the format; `None` stands for Parquet, which is not text.
pub(super) fn take_format(options: &mut Options, default: &str) -> Result<Option<TextFormat>> {
    let choices = [("csv", "csv"), ("json", "json"), ("parquet", "parquet")];
    let format = options.take_choice("format", &choices)?.unwrap_or(default);
    let mut csv = CsvOptions::default();
    let header = options.take_bool("header")?.unwrap_or(true);
    csv.delimiter = take_byte(options, "delimiter")?.unwrap_or(csv.delimiter);
    csv.quote = take_byte(options, "quote")?.unwrap_or(csv.quote);
    csv.escape = take_byte(options, "escape")?;
    csv.null_text = options.take_optional("null")?;
    Ok(match format {
        "json" => Some(TextFormat::Json),
        "parquet" => None,
        _ => Some(TextFormat::Csv { options: csv, header }),
    })
}

/// Reads strictness and units.
pub(super) fn take_decode_settings(options: &mut Options) -> Result<DecodeSettings> {
    let units = [
        ("seconds", IntegerTime::Seconds),
        ("millis", IntegerTime::Millis),
        ("micros", IntegerTime::Micros),
        ("nanos", IntegerTime::Nanos),
    ];
    Ok(DecodeSettings {
        options: DecodeOptions {
            missing_field_fails: options
                .take_choice("missing.field", &[("null", false), ("fail", true)])?
                .unwrap_or(false),
            unknown_field_fails: options
                .take_choice("unknown.field", &[("ignore", false), ("fail", true)])?
                .unwrap_or(false),
            integer_time: options.take_choice("timestamp.format", &units)?.unwrap_or_default(),
            event_time: written_time(options)?,
            starts: false,
        },
        infer_decimal: options.take_bool("infer.decimal")?.unwrap_or(false),
    })
}

fn take_byte(options: &mut Options, key: &'static str) -> Result<Option<u8>> {
    let Some(character) = options.take_optional::<char>(key)? else { return Ok(None) };
    let byte = u8::try_from(character).ok().filter(u8::is_ascii);
    byte.map(Some)
        .ok_or_else(|| Error::invalid(format!("option `{key}` = '{character}' is not an ASCII character")))
}

impl TextFormat {
    /// Returns the name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv { .. } => "csv",
        }
    }

    /// Returns whether the first line names the columns.
    pub fn has_header(&self) -> bool {
        matches!(self, Self::Csv { header: true, .. })
    }

    /// Returns the end of the last whole record of `bytes`, which begin with a record.
    pub fn last_record_end(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Json => lines_last_record_end(bytes),
            Self::Csv { options, .. } => csv_last_record_end(bytes, options),
        }
    }

    /// Reads the column names of a header line.
    pub fn read_header(&self, line: &[u8]) -> Result<Vec<String>> {
        match self {
            Self::Json => Ok(vec![]),
            Self::Csv { options, .. } => csv_header(line, options),
        }
    }

    /// Returns the columns that a sample suggests.
    pub fn infer(&self, sample: &[u8], settings: &DecodeSettings) -> Result<SchemaRef> {
        let decimals = settings.infer_decimal;
        let schema = match self {
            Self::Json => infer_json(sample, decimals)?,
            Self::Csv { options, header: true } => infer_csv(sample, options, decimals)?,
            Self::Csv { header: false, .. } => {
                return Err(Error::invalid(
                    "a CSV file without a header does not say what its columns are called",
                )
                .with_hint("declare the columns: CREATE STREAM … (a BIGINT, b VARCHAR, …) WITH (…)"));
            }
        };
        if schema.fields().is_empty() {
            return Err(Error::invalid("the sample holds no record to infer columns from")
                .with_hint("declare the columns: CREATE STREAM … (a BIGINT, b VARCHAR, …) WITH (…)"));
        }
        Ok(Arc::new(match &settings.options.event_time {
            Some(written) => with_written_time(schema, written),
            None => schema,
        }))
    }

    /// Creates a decoder; `header` holds the names of the first line, if there was one.
    pub fn decoder(
        &self,
        request: &ReadRequest,
        settings: &DecodeSettings,
        header: Option<&[String]>,
    ) -> Result<Box<dyn Decoder>> {
        let used = request.used_schema()?;
        let options = DecodeOptions { starts: request.offsets, ..settings.options.clone() };
        Ok(match self {
            Self::Json => {
                let unused = unused_columns(&request.schema, &request.columns);
                Box::new(JsonDecoder::with_unused(used, &unused, options)?)
            }
            Self::Csv { options: csv, .. } => {
                let declared: Vec<String> =
                    request.schema.fields().iter().map(|field| field.name().clone()).collect();
                let columns = header.unwrap_or(&declared);
                let unknown =
                    columns.iter().find(|name| !declared.iter().any(|own| own.eq_ignore_ascii_case(name)));
                if let Some(unknown) = unknown.filter(|_| options.unknown_field_fails) {
                    return Err(Error::data(format!(
                        "the CSV file has a column `{unknown}` that is not declared"
                    ))
                    .with_hint("declare it, or leave `unknown.field` = 'ignore'"));
                }
                Box::new(CsvDecoder::try_new(used, columns, csv.clone(), options)?)
            }
        })
    }

    /// Creates an encoder.
    pub fn encoder(&self, schema: SchemaRef) -> Box<dyn Encoder> {
        match self {
            Self::Json => Box::new(JsonEncoder::new(schema)),
            Self::Csv { options, header } => Box::new(CsvEncoder::new(schema, options.clone(), *header)),
        }
    }
}

/// Makes numbers that a pattern reads the text that they are: zeros in front count.
fn with_written_time(schema: Schema, written: &WrittenTime) -> Schema {
    if !matches!(written.format, EventTimeFormat::Pattern(_)) {
        return schema;
    }
    let as_text = |field: &FieldRef| {
        if field.data_type().is_numeric() && field.name().eq_ignore_ascii_case(&written.column) {
            return Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()));
        }
        Arc::clone(field)
    };
    Schema::new(schema.fields().iter().map(as_text).collect::<Vec<_>>())
}

fn unused_columns(schema: &Schema, used: &[usize]) -> Vec<String> {
    let fields = schema.fields().iter().enumerate();
    fields.filter(|(ordinal, _)| !used.contains(ordinal)).map(|(_, field)| field.name().clone()).collect()
}
