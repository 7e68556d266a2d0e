//! Messages without a value, where they delete rows of a table: the key of the message says which.

use arrow::array::{Array, ArrayRef, BooleanArray, Int8Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, concat, filter, take};
use arrow::datatypes::Field;
use datafusion::common::ScalarValue;

use super::scan::Rows;
use super::system_columns::RowPlaces;
use crate::connect::{Messages, ReadRequest};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::format::Rejected;

/// Between the texts of two key columns, as sinks write them.
const SEPARATOR: char = '|';

/// Rows that are to go, each with the ordinal of its message.
pub(super) struct Deletes {
    columns: Vec<ArrayRef>,
    records: Vec<u32>,
    times: Vec<i64>,
}

impl Deletes {
    /// Returns how many rows go.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}

/// Makes the rows that the tombstones of a chunk delete; `key` holds the ordinals of the table's key columns. Returns
/// the messages too of which the key cannot be read.
pub(super) fn deletes(
    messages: &Messages,
    key: &[usize],
    request: &ReadRequest,
    arrival_ms: i64,
) -> Result<(Deletes, Vec<Rejected>)> {
    let names: Vec<&str> = key.iter().map(|&column| request.schema.field(column).name().as_str()).collect();
    let mut texts: Vec<Vec<Option<String>>> = vec![vec![]; key.len()];
    for &record in &messages.tombstones {
        let parts = messages.key(record as usize).and_then(|bytes| parts(bytes, &names));
        let mut parts = parts.unwrap_or_else(|| vec![None; key.len()]).into_iter();
        texts.iter_mut().for_each(|column| column.push(parts.next().flatten()));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let keys = key.iter().zip(texts).map(|(&column, texts)| {
        let texts = StringArray::from(texts);
        cast_with_options(&texts, request.schema.field(column).data_type(), &options)
    });
    let keys = keys.collect::<Result<Vec<ArrayRef>, _>>()?;
    let is_whole = |place: usize| keys.iter().all(|column| column.is_valid(place));
    let whole: Vec<bool> = (0..messages.tombstones.len()).map(is_whole).collect();
    let unread = messages.tombstones.iter().zip(&whole).filter(|(_, whole)| !**whole);
    let rejected = unread.map(|(&record, _)| unreadable(messages, record, &names)).collect();
    let kept = messages.tombstones.iter().zip(&whole).filter(|(_, whole)| **whole);
    let records: Vec<u32> = kept.map(|(&record, _)| record).collect();
    let mask = BooleanArray::from(whole);
    let columns = request.columns.iter().map(|&column| match key.iter().position(|own| *own == column) {
        Some(place) => Ok(filter(&keys[place], &mask)?),
        None => placeholder(request.schema.field(column), records.len()),
    });
    let columns = columns.collect::<Result<_>>()?;
    let time =
        |&record: &u32| messages.timestamps.get(record as usize).copied().flatten().unwrap_or(arrival_ms);
    let times = records.iter().map(time).collect();
    Ok((Deletes { columns, records, times }, rejected))
}

/// Returns the texts of the key's columns: those of a JSON object, or the text of the key itself.
fn parts(key: &[u8], names: &[&str]) -> Option<Vec<Option<String>>> {
    let text = std::str::from_utf8(key).ok()?;
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(text) {
        let of = |name: &&str| {
            let (_, value) = fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
            match value {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            }
        };
        return Some(names.iter().map(of).collect());
    }
    if names.len() == 1 {
        return Some(vec![Some(text.to_owned())]);
    }
    let parts: Vec<Option<String>> = text.split(SEPARATOR).map(|part| Some(part.to_owned())).collect();
    (parts.len() == names.len()).then_some(parts)
}

fn unreadable(messages: &Messages, record: u32, names: &[&str]) -> Rejected {
    let ordinal = record as usize;
    let end = messages.ends.get(ordinal).map_or(0, |&end| end as usize);
    let message = match messages.key(ordinal) {
        Some(key) => {
            let shown = String::from_utf8_lossy(key);
            format!("the message has no value, and its key `{shown}` is not a key of {}", names.join(", "))
        }
        None => "the message has neither a value nor a key".to_owned(),
    };
    Rejected { record: ordinal, line: u64::from(record), bytes: end..end, message, at: None }
}

/// Returns a column of a row that only its key matters of.
fn placeholder(field: &Field, rows: usize) -> Result<ArrayRef> {
    let value = match field.is_nullable() {
        true => ScalarValue::try_from(field.data_type())?,
        false => ScalarValue::new_default(field.data_type())?,
    };
    Ok(value.to_array_of_size(rows)?)
}

impl Rows {
    /// Puts rows that are to go between the others, in the order of their messages.
    pub(super) fn with_deletes(self, deletes: Deletes) -> Result<Self> {
        let Deletes { columns, records: deleted, times } = deletes;
        let RowPlaces::Messages { messages, records } = self.places else {
            return Err(Error::internal("tombstones among what are no messages"));
        };
        let inserted = records.len();
        let mut order: Vec<(u32, u32)> = records.iter().chain(&deleted).copied().zip(0..).collect();
        order.sort_unstable();
        let places = UInt32Array::from_iter_values(order.iter().map(|(_, place)| *place));
        let rows = self.changes.rows();
        let mixed = rows.columns().iter().zip(&columns).map(|(there, gone)| {
            let both = concat(&[there.as_ref(), gone.as_ref()])?;
            take(&both, &places, None)
        });
        let mixed = mixed.collect::<Result<Vec<ArrayRef>, _>>()?;
        let all_times: Vec<i64> = self.times.into_iter().chain(times).collect();
        let is_insert = |&(_, place): &(u32, u32)| if (place as usize) < inserted { 1 } else { -1 };
        let weights = Int8Array::from_iter_values(order.iter().map(is_insert));
        let rows = RecordBatch::try_new(rows.schema(), mixed)?;
        Ok(Self {
            changes: ChangeBatch::try_new(rows, Some(weights))?,
            times: order.iter().map(|(_, place)| all_times[*place as usize]).collect(),
            places: RowPlaces::Messages {
                messages,
                records: order.into_iter().map(|(record, _)| record).collect(),
            },
            marks: self.marks,
        })
    }
}
