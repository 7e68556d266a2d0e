//! The records that rows were made of: found again when a row turns out to be bad or late, never before.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;

use super::dead_letters::{Spot, row_as_json};
use super::system_columns::{LineRecord, RowPlaces, Whereabouts};
use crate::connect::Messages;
use crate::error::Result;
use crate::format::{Decoder, Layout, Rejected};

impl RowPlaces {
    /// Finds the record of each of `rows` rows: lines are decoded once more, by a `locator` that says where records
    /// start, so that a chunk without trouble does not pay for it.
    pub(super) fn locate(&mut self, rows: usize, locator: &mut dyn Decoder) -> Result<()> {
        let Self::Lines { bytes, records, .. } = self else { return Ok(()) };
        if records.len() == rows {
            return Ok(());
        }
        let decoded = locator.decode(bytes, Layout::Lines)?;
        let good = || decoded.starts.iter().map(|&start| start as usize);
        let mut starts: Vec<usize> =
            good().chain(decoded.rejected.iter().map(|rejected| rejected.bytes.start)).collect();
        starts.sort_unstable();
        let ends = starts.iter().copied().skip(1).chain([bytes.len()]);
        let mut all = starts.iter().copied().zip(ends);
        let (mut line, mut counted) = (0, 0);
        *records = good()
            .filter_map(|start| {
                let (start, end) = all.find(|(other, _)| *other == start)?;
                let record = bytes.get(start..end)?;
                let line_ends = record.iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
                line += memchr::memchr_iter(b'\n', bytes.get(counted..start)?).count() as u64;
                counted = start;
                Some(LineRecord { line, bytes: start..end - line_ends })
            })
            .collect();
        Ok(())
    }

    /// Returns where row `row` was.
    pub(super) fn spot(&self, row: usize, at: &Whereabouts<'_>) -> Spot {
        match self {
            Self::Lines { records, .. } => match records.get(row) {
                Some(record) => line_spot(record.line, record.bytes.start, at),
                None => nowhere(at),
            },
            Self::Messages { messages, records } => message_spot(messages, records[row] as usize, at),
            Self::Rows => {
                let row = i64::try_from(row).unwrap_or(i64::MAX);
                Spot { offset: Some(at.start.0.saturating_add(row)), ..nowhere(at) }
            }
        }
    }

    /// Returns the record of row `row` of `rows`, as JSON where it was no text outside.
    pub(super) fn record(&self, row: usize, rows: &RecordBatch) -> Result<Bytes> {
        self.text(row).map_or_else(|| row_as_json(rows, row), Ok)
    }

    /// Returns the record of row `row`, if it was text outside.
    pub(super) fn text(&self, row: usize) -> Option<Bytes> {
        match self {
            Self::Lines { bytes, records, .. } => {
                records.get(row).map(|record| bytes.slice(record.bytes.clone()))
            }
            Self::Messages { messages, records } => Some(message(messages, records[row] as usize)),
            Self::Rows => None,
        }
    }

    /// Returns where a record was that could not be decoded.
    pub(super) fn rejected_spot(&self, rejected: &Rejected, at: &Whereabouts<'_>) -> Spot {
        match self {
            Self::Messages { messages, .. } => message_spot(messages, rejected.record, at),
            _ => line_spot(rejected.line, rejected.bytes.start, at),
        }
    }

    /// Returns the bytes of a record that could not be decoded.
    pub(super) fn rejected_record(&self, rejected: &Rejected) -> Bytes {
        match self {
            Self::Messages { messages, .. } => message(messages, rejected.record),
            Self::Lines { bytes, .. } if rejected.bytes.end <= bytes.len() => {
                bytes.slice(rejected.bytes.clone())
            }
            _ => Bytes::new(),
        }
    }
}

/// Returns what is known of the place of a row that cannot be traced to a record.
pub(super) fn nowhere(at: &Whereabouts<'_>) -> Spot {
    let topic = at.origin.map_or(&at.partition.0, |origin| &origin.file).to_string();
    Spot { topic, partition: at.ordinal, offset: None, line: None, key: None }
}

fn line_spot(line: u64, byte: usize, at: &Whereabouts<'_>) -> Spot {
    let (file, line, byte) = at.line_and_byte(line, byte);
    Spot { topic: file.to_owned(), offset: Some(byte), line: i64::try_from(line).ok(), ..nowhere(at) }
}

fn message_spot(messages: &Arc<Messages>, record: usize, at: &Whereabouts<'_>) -> Spot {
    let name = &*at.partition.0;
    let (topic, number) = name.rsplit_once('/').unwrap_or((name, ""));
    Spot {
        topic: topic.to_owned(),
        partition: number.parse().unwrap_or(at.ordinal),
        offset: messages.offsets.get(record).copied(),
        line: None,
        key: messages.key(record).map(|key| String::from_utf8_lossy(key).into_owned()),
    }
}

fn message(messages: &Arc<Messages>, record: usize) -> Bytes {
    let end = messages.ends.get(record).map_or(0, |&end| end as usize);
    let start = record.checked_sub(1).map_or(0, |before| messages.ends[before] as usize);
    Bytes::copy_from_slice(messages.values.get(start..end).unwrap_or_default())
}
