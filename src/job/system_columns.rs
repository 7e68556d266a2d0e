//! [`RowPlaces`]: where each row of a chunk was outside, and the system columns that follow from it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, MapBuilder, MapFieldNames, StringArray,
    StringBuilder, TimestampMillisecondArray,
};
use bytes::Bytes;

use crate::connect::{Messages, Origin, PartitionId, Position};
use crate::error::Result;
use crate::format::{Decoded, Rejected};
use crate::sql::relation::SystemColumn;

/// What is known of the rows beside their places.
pub(super) struct Known<'a> {
    /// Event times, in epoch milliseconds.
    pub(super) times: &'a [i64],
    /// The watermark of the partition at each row.
    pub(super) marks: &'a [i64],
    /// When the chunk arrived.
    pub(super) arrival_ms: i64,
    /// The ordinal of the partition.
    pub(super) partition: usize,
    /// The name of the partition.
    pub(super) partition_id: &'a PartitionId,
    /// The place of the chunk's first record.
    pub(super) start: Position,
}

/// Where a chunk was.
pub(super) struct Whereabouts<'a> {
    /// The place of its first record.
    pub(super) start: Position,
    /// How many lines of the partition came before.
    pub(super) lines_before: u64,
    /// The partition.
    pub(super) partition: &'a PartitionId,
    /// Its ordinal.
    pub(super) ordinal: usize,
    /// The file, if the partition has several.
    pub(super) origin: Option<&'a Origin>,
}

impl Whereabouts<'_> {
    /// Says where the line with ordinal `line` of the chunk is, and the byte `byte` of the chunk.
    fn line(&self, line: u64, byte: usize) -> String {
        let (file, line, byte) = self.line_and_byte(line, byte);
        format!("{file} line {line} byte {byte}")
    }

    /// Returns the file, the line in it from 1, and the byte in it.
    pub(super) fn line_and_byte(&self, line: u64, byte: usize) -> (&str, u64, i64) {
        let byte = self.start.0.saturating_add(i64::try_from(byte).unwrap_or(i64::MAX));
        match self.origin {
            Some(origin) => {
                (&origin.file, origin.lines_before + line + 1, byte.saturating_sub(origin.begins.0))
            }
            None => (&self.partition.0, self.lines_before + line + 1, byte),
        }
    }
}

/// A record among the lines of a chunk.
#[derive(Debug, Clone)]
pub(super) struct LineRecord {
    /// The line on which it begins, from 0.
    pub(super) line: u64,
    /// Its bytes, without the line end.
    pub(super) bytes: Range<usize>,
}

/// Where each row of a chunk was.
#[derive(Debug, Clone)]
pub(super) enum RowPlaces {
    /// Lines of text: for each row the byte at which it starts, if the decoder says so.
    Lines {
        /// The text.
        bytes: Bytes,
        /// The starts.
        starts: Vec<u32>,
        /// For each row its record, once it was asked for.
        records: Vec<LineRecord>,
    },
    /// Messages: for each row its ordinal among the messages.
    Messages {
        /// The messages.
        messages: Arc<Messages>,
        /// The ordinals.
        records: Vec<u32>,
    },
    /// Rows that were rows outside.
    Rows,
}

impl RowPlaces {
    /// Creates the places of decoded lines.
    pub(super) fn lines(bytes: Bytes, decoded: &Decoded) -> Self {
        Self::Lines { bytes, starts: decoded.starts.clone(), records: vec![] }
    }

    /// Creates the places of decoded messages.
    pub(super) fn messages(messages: Messages, decoded: &Decoded) -> Self {
        let mut rejected = decoded.rejected.iter().map(|rejected| rejected.record).peekable();
        let good = (0..messages.ends.len()).filter(|record| rejected.next_if_eq(record).is_none());
        let records = good.map(|record| u32::try_from(record).unwrap_or(u32::MAX)).collect();
        Self::Messages { messages: Arc::new(messages), records }
    }

    /// Returns the brokers' timestamps, `arrival_ms` where there is none.
    pub(super) fn timestamps(&self, arrival_ms: i64) -> Option<Vec<i64>> {
        let Self::Messages { messages, records } = self else { return None };
        Some(
            records
                .iter()
                .map(|&record| messages.timestamps[record as usize].unwrap_or(arrival_ms))
                .collect(),
        )
    }

    /// Keeps the rows for which `mask` is true.
    pub(super) fn keep(self, mask: &BooleanArray) -> Self {
        fn keep<T>(places: Vec<T>, mask: &BooleanArray) -> Vec<T> {
            let kept = places.into_iter().zip(mask.values().iter());
            kept.filter(|(_, keep)| *keep).map(|(place, _)| place).collect()
        }
        match self {
            Self::Lines { bytes, starts, records } => {
                Self::Lines { bytes, starts: keep(starts, mask), records: keep(records, mask) }
            }
            Self::Messages { messages, records } => Self::Messages { messages, records: keep(records, mask) },
            Self::Rows => Self::Rows,
        }
    }

    /// Says where row `row` was.
    pub(super) fn describe(&self, row: usize, at: &Whereabouts<'_>) -> String {
        let rows = i64::try_from(row).unwrap_or(i64::MAX);
        match self {
            Self::Lines { records, .. } => match records.get(row) {
                Some(record) => at.line(record.line, record.bytes.start),
                None => format!("{} row {} after byte {}", at.partition, row + 1, at.start.0),
            },
            Self::Messages { messages, records } => {
                format!("{} offset {}", at.partition, messages.offsets[records[row] as usize])
            }
            Self::Rows => format!("{} row {}", at.partition, at.start.0.saturating_add(rows) + 1),
        }
    }

    /// Says where a rejected record was.
    pub(super) fn describe_rejected(&self, rejected: &Rejected, at: &Whereabouts<'_>) -> String {
        match self {
            Self::Messages { messages, .. } => {
                format!("{} offset {}", at.partition, messages.offsets[rejected.record])
            }
            _ => {
                let byte = rejected.at.unwrap_or(rejected.bytes.start);
                at.line(rejected.line, byte)
            }
        }
    }

    /// Builds a system column.
    pub(super) fn system_column(&self, column: SystemColumn, known: &Known<'_>) -> Result<ArrayRef> {
        let rows = known.times.len();
        let millis =
            |values: &[i64]| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(values.to_vec())) };
        Ok(match column {
            SystemColumn::EventTime | SystemColumn::Time => millis(known.times),
            SystemColumn::Watermark => millis(known.marks),
            SystemColumn::Arrival => millis(&vec![known.arrival_ms; rows]),
            SystemColumn::Partition | SystemColumn::TiePartition => {
                let partition = i32::try_from(known.partition).unwrap_or(i32::MAX);
                Arc::new(Int32Array::from_value(partition, rows))
            }
            SystemColumn::Offset | SystemColumn::TieOffset => self.offsets(known.start, rows),
            SystemColumn::Origin => Arc::new(Int64Array::from_value(known.partition_id.number(), rows)),
            SystemColumn::Key => self.keys(rows),
            SystemColumn::Topic => {
                let name = &*known.partition_id.0;
                let topic = match self {
                    Self::Messages { .. } => name.rsplit_once('/').map_or(name, |(topic, _)| topic),
                    _ => name,
                };
                Arc::new(StringArray::from(vec![topic; rows]))
            }
            SystemColumn::Headers => self.headers(rows)?,
        })
    }

    fn offsets(&self, start: Position, rows: usize) -> ArrayRef {
        Arc::new(match self {
            Self::Lines { starts, .. } if starts.len() == rows => {
                starts.iter().map(|&byte| start.0 + i64::from(byte)).collect::<Int64Array>()
            }
            Self::Messages { messages, records } => {
                records.iter().map(|&record| messages.offsets[record as usize]).collect()
            }
            _ => (0i64..).take(rows).map(|row| start.0.saturating_add(row)).collect(),
        })
    }

    fn keys(&self, rows: usize) -> ArrayRef {
        let mut text = StringBuilder::with_capacity(rows, rows * 8);
        match self {
            Self::Messages { messages, records } => {
                for &record in records {
                    match messages.key(record as usize) {
                        Some(key) => text.append_value(String::from_utf8_lossy(key)),
                        None => text.append_null(),
                    }
                }
            }
            _ => (0..rows).for_each(|_| text.append_null()),
        }
        Arc::new(text.finish())
    }

    fn headers(&self, rows: usize) -> Result<ArrayRef> {
        let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
        let mut map = MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
        match self {
            Self::Messages { messages, records } => {
                let mut headers = messages.headers.iter().peekable();
                for &record in records {
                    while headers.next_if(|header| header.0 < record).is_some() {}
                    while let Some((_, name, value)) = headers.next_if(|header| header.0 == record) {
                        map.keys().append_value(name);
                        map.values().append_option(value.as_ref());
                    }
                    map.append(true)?;
                }
            }
            _ => {
                for _ in 0..rows {
                    map.append(false)?;
                }
            }
        }
        Ok(Arc::new(map.finish()))
    }
}

impl Messages {
    /// Returns the key of a message.
    pub(super) fn key(&self, record: usize) -> Option<&[u8]> {
        let (end, present) = *self.key_ends.get(record)?;
        let start = record.checked_sub(1).map_or(0, |before| self.key_ends[before].0);
        present.then(|| self.keys.get(start as usize..end as usize)).flatten()
    }
}
