//! Keys and timestamps of messages, made from columns.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::settings::KeyFormat;
use crate::error::{Error, Result};

/// Between the texts of two key columns.
const SEPARATOR: u8 = b'|';

/// Many texts in one buffer; those that are missing are none.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<(usize, bool)>,
}

impl Texts {
    /// Returns text `row`, or none if it is missing or there are no texts at all.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        let (end, there) = *self.ends.get(row)?;
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        if there { self.bytes.get(start..end) } else { None }
    }
}

/// Makes the key of every row; without key columns there are none, and a key of NULLs only is none.
pub(super) fn keys(rows: &RecordBatch, columns: &[usize], format: &mut KeyFormat) -> Result<Texts> {
    let mut texts = Texts::default();
    if columns.is_empty() {
        return Ok(texts);
    }
    let keys = rows.project(columns)?;
    let there = |row: usize| keys.columns().iter().any(|column| column.is_valid(row));
    match format {
        KeyFormat::Text => {
            let options = FormatOptions::default();
            let formatters = keys
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..keys.num_rows() {
                for (ordinal, formatter) in formatters.iter().enumerate() {
                    if ordinal > 0 {
                        texts.bytes.push(SEPARATOR);
                    }
                    append(formatter, row, &mut texts.bytes)?;
                }
                texts.ends.push((texts.bytes.len(), there(row)));
            }
        }
        KeyFormat::Encoded(encoder) => {
            let mut ends = Vec::with_capacity(keys.num_rows());
            encoder.encode_each(&keys, &mut texts.bytes, &mut ends)?;
            texts.ends = ends.into_iter().enumerate().map(|(row, end)| (end, there(row))).collect();
        }
    }
    Ok(texts)
}

/// Returns the time of every row in epoch milliseconds, none where a message cannot carry it.
pub(super) fn timestamps(rows: &RecordBatch, column: usize) -> Result<Vec<Option<i64>>> {
    let Some(times) = rows.columns().get(column) else {
        return Err(Error::internal(format!(
            "there is no event time column {column} in {} columns",
            rows.num_columns()
        )));
    };
    if !matches!(times.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) {
        let name = rows.schema_ref().field(column).name().clone();
        return Err(Error::invalid(format!("the event time column `{name}` is not a TIMESTAMP")));
    }
    let millis = cast(times, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
    let millis = millis.as_primitive::<TimestampMillisecondType>();
    Ok(millis.iter().map(|time| time.filter(|time| *time > 0)).collect())
}

fn append(formatter: &ArrayFormatter<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    use std::io::Write as _;
    let text = formatter.value(row);
    write!(out, "{text}").map_err(|error| Error::internal(format!("cannot write a key as text: {error}")))
}
