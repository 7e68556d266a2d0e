//! [`DeadLetters`]: what a job writes to the error table, and how rejected and late rows become its rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use bytes::Bytes;

use crate::connect::OnError;
use crate::connect::error_table::{ErrorLog, ErrorTableSettings, written_columns};
use crate::error::Result;
use crate::format::{Encoder, JsonEncoder};
use crate::sql::relation::Relation;
use crate::time::{Clock, Watermark};

/// What becomes of the records of a job that cannot be processed.
#[derive(Debug, Clone)]
pub struct Failures {
    /// What bad records do, where their source does not say.
    pub on_error: OnError,
    /// Whether rows that are dropped as late are kept in the error table.
    pub keeps_late: bool,
    /// The error table.
    pub table: ErrorTableSettings,
    /// The line of the application at which the job's statement begins, from 1.
    pub sql_line: usize,
}

/// Why a record is in the error table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    /// It cannot be decoded.
    Decode,
    /// Its event time cannot be read.
    EventTime,
    /// An expression fails on it.
    Evaluation,
    /// It came after all its windows had closed, or behind the watermark.
    Late,
}

/// Where a record was.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    /// The topic or the file.
    pub(crate) topic: String,
    /// The number of the partition.
    pub(crate) partition: usize,
    /// The offset in the topic, the byte in the file, or the number of the row.
    pub(crate) offset: Option<i64>,
    /// The line in the file, from 1.
    pub(crate) line: Option<i64>,
    /// The message's key.
    pub(crate) key: Option<String>,
}

/// A record for the error table.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    pub(crate) category: Category,
    /// The part of the job that found it.
    pub(crate) operator: String,
    pub(crate) message: String,
    pub(crate) spot: Spot,
    /// The record as it was outside, or as JSON where it was a row there.
    pub(crate) record: Bytes,
    /// In epoch milliseconds.
    pub(crate) event_time: Option<i64>,
    /// The window that a late row missed, in epoch milliseconds.
    pub(crate) window: Option<Range<i64>>,
    /// How late a late row was.
    pub(crate) lateness_ms: Option<i64>,
}

/// The way of one job to the error table.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    log: ErrorLog,
    job: String,
    sql_line: usize,
    clock: Arc<dyn Clock>,
}

impl Category {
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::EventTime => "event_time",
            Self::Evaluation => "evaluation",
            Self::Late => "late",
        }
    }
}

impl DeadLetters {
    /// Opens the error table, if a job that reads `relations` may have something for it.
    ///
    /// # Errors
    /// Invalid or unavailable, if it cannot be written.
    pub(crate) fn open<'a>(
        failures: &Failures,
        job: &str,
        mut relations: impl Iterator<Item = &'a Relation>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>> {
        let keeps =
            |relation: &Relation| relation.on_error.unwrap_or(failures.on_error) == OnError::DeadLetter;
        if !failures.keeps_late && !relations.any(keeps) {
            return Ok(None);
        }
        let log = ErrorLog::open(failures.table.clone(), Arc::clone(clock))?;
        let (job, sql_line) = (job.to_owned(), failures.sql_line);
        Ok(Some(Self { log, job, sql_line, clock: Arc::clone(clock) }))
    }

    /// Writes records with the names of their streams; they are on the disk when this returns.
    ///
    /// # Errors
    /// As [`ErrorLog::append`].
    pub(crate) fn write(&mut self, letters: &[(String, DeadLetter)]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let rows = self.rows(letters)?;
        self.log.append(&rows)
    }

    fn rows(&self, letters: &[(String, DeadLetter)]) -> Result<RecordBatch> {
        let count = letters.len();
        let limit = self.log.settings().record_bytes();
        let letter = || letters.iter().map(|(_, letter)| letter);
        let texts = |text: &dyn Fn(&DeadLetter) -> Option<String>| -> ArrayRef {
            Arc::new(letter().map(text).collect::<StringArray>())
        };
        let numbers = |number: &dyn Fn(&DeadLetter) -> Option<i64>| -> ArrayRef {
            Arc::new(letter().map(number).collect::<Int64Array>())
        };
        let instants = |instant: &dyn Fn(&DeadLetter) -> Option<i64>| -> ArrayRef {
            Arc::new(letter().map(instant).collect::<TimestampMillisecondArray>())
        };
        let kept = || letter().map(|letter| Some(&letter.record).filter(|record| record.len() <= limit));
        let text = kept().map(|record| record.and_then(|record| std::str::from_utf8(record).ok()));
        let bytes = kept().map(|record| {
            record.filter(|record| std::str::from_utf8(record).is_err()).map(|record| record.as_ref())
        });
        let now = self.clock.now_millis();
        let sql_line = i64::try_from(self.sql_line).unwrap_or(i64::MAX);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from_value(now, count)),
            Arc::new(StringArray::from(vec![self.job.as_str(); count])),
            Arc::new(Int64Array::from_value(sql_line, count)),
            texts(&|letter| Some(letter.operator.clone())),
            texts(&|letter| Some(letter.category.name().to_owned())),
            texts(&|letter| Some(message(letter, limit))),
            Arc::new(letters.iter().map(|(source, _)| Some(source.as_str())).collect::<StringArray>()),
            texts(&|letter| Some(letter.spot.topic.clone())),
            Arc::new(
                letter().map(|letter| i32::try_from(letter.spot.partition).ok()).collect::<Int32Array>(),
            ),
            numbers(&|letter| letter.spot.offset),
            numbers(&|letter| letter.spot.line),
            texts(&|letter| letter.spot.key.clone()),
            Arc::new(text.collect::<StringArray>()),
            Arc::new(bytes.collect::<BinaryArray>()),
            instants(&|letter| letter.event_time),
            instants(&|letter| letter.window.as_ref().map(|window| window.start)),
            instants(&|letter| letter.window.as_ref().map(|window| window.end)),
            numbers(&|letter| letter.lateness_ms),
        ];
        Ok(RecordBatch::try_new(written_columns(), columns)?)
    }
}

fn message(letter: &DeadLetter, limit: usize) -> String {
    let bytes = letter.record.len();
    if bytes <= limit {
        return letter.message.clone();
    }
    format!("{} (the record of {bytes} bytes is too large to be kept: `errors.max_size`)", letter.message)
}

/// Says of a late row what it was late for.
pub(crate) fn late_message(window: Option<&Range<i64>>, lateness_ms: Option<i64>) -> String {
    match (window, lateness_ms) {
        (Some(window), Some(lateness_ms)) => {
            let end = Watermark::from_millis(window.end);
            format!("late by {lateness_ms} ms for a window that ends at {end}")
        }
        (None, Some(lateness_ms)) => format!("{lateness_ms} ms behind the watermark of its partition"),
        (_, None) => "its window had closed".to_owned(),
    }
}

/// Returns row `row` as a JSON object, without the hidden columns.
pub(crate) fn row_as_json(rows: &RecordBatch, row: usize) -> Result<Bytes> {
    let schema = rows.schema();
    let visible = schema.fields().iter().enumerate().filter(|(_, field)| !field.name().starts_with("__"));
    let visible: Vec<usize> = visible.map(|(ordinal, _)| ordinal).collect();
    let row = rows.slice(row, 1).project(&visible)?;
    let mut text = vec![];
    JsonEncoder::new(row.schema()).encode(&row, &mut text)?;
    text.truncate(text.trim_ascii_end().len());
    Ok(Bytes::from(text))
}
