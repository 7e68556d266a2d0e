//! What a [`Scan`] does with the records of a chunk that are bad or late: tells their places, and keeps them if that is wanted.

use arrow::array::{Array, RecordBatch};

use super::dead_letters::{Category, DeadLetter, late_message, row_as_json};
use super::row_records::nowhere;
use super::scan::{BadRecord, Processed, Rows, Scan};
use super::system_columns::Whereabouts;
use crate::connect::{OnError, ReadRequest};
use crate::error::Result;
use crate::flow::{LateRow, Origin};
use crate::format::Rejected;
use crate::time::BadTime;

/// What the operator is called that reads and decodes.
const READING: &str = "source";

/// How many fields of a record are named, at most.
const FIELDS_SHOWN: usize = 30;

/// The rows of a chunk that cannot be processed or came late.
#[derive(Default)]
pub(super) struct Trouble {
    /// Rows that fail in a step.
    pub(super) bad: Vec<Bad>,
    /// Late rows, where they are wanted.
    pub(super) late: Vec<LateRow>,
}

/// A row that cannot be processed.
pub(super) struct Bad {
    /// Its ordinal in the chunk.
    pub(super) row: usize,
    /// What is wrong.
    pub(super) message: String,
    /// What found out.
    pub(super) operator: String,
}

impl Bad {
    /// Creates a row that lacks a value, or whose event time cannot be read.
    pub(super) fn of_source(row: usize, message: &str) -> Self {
        Self { row, message: message.to_owned(), operator: READING.to_owned() }
    }
}

impl Scan {
    /// Takes in the records that could not be decoded.
    pub(super) fn reject_records(
        &self,
        rows: &Rows,
        rejected: Vec<Rejected>,
        at: &Whereabouts<'_>,
        processed: &mut Processed,
    ) {
        for rejected in rejected {
            if self.on_error() == OnError::DeadLetter {
                processed.letters.push(DeadLetter {
                    category: Category::Decode,
                    operator: READING.to_owned(),
                    message: rejected.message.clone(),
                    spot: rows.places.rejected_spot(&rejected, at),
                    record: rows.places.rejected_record(&rejected),
                    event_time: None,
                    window: None,
                    lateness_ms: None,
                });
            }
            let place = rows.places.describe_rejected(&rejected, at);
            processed.rejected.push(BadRecord { place, message: rejected.message });
        }
    }

    /// Says of rows that lack their event time which fields their records have.
    pub(super) fn name_fields(&mut self, rows: &mut Rows, bad: &mut [BadTime]) -> Result<()> {
        if bad.iter().all(|bad| !bad.missing) {
            return Ok(());
        }
        self.locate(rows)?;
        for bad in bad.iter_mut().filter(|bad| bad.missing) {
            let names = match (&self.locator, rows.places.text(bad.row)) {
                (Some(decoder), Some(record)) => decoder.fields_of(&record),
                _ => fields_of(rows.changes.rows(), bad.row),
            };
            let mut quoted: Vec<String> =
                names.iter().take(FIELDS_SHOWN).map(|name| format!("`{name}`")).collect();
            if names.len() > FIELDS_SHOWN {
                quoted.push(format!("and {} more", names.len() - FIELDS_SHOWN));
            }
            if !quoted.is_empty() {
                bad.message = format!("{}; the record has {}", bad.message, quoted.join(", "));
            }
        }
        Ok(())
    }

    /// Takes in rows that cannot be processed.
    pub(super) fn reject_rows(
        &mut self,
        rows: &mut Rows,
        bad: Vec<Bad>,
        category: Category,
        at: &Whereabouts<'_>,
        processed: &mut Processed,
    ) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        self.locate(rows)?;
        for Bad { row, message, operator } in bad {
            if self.on_error() == OnError::DeadLetter {
                processed.letters.push(DeadLetter {
                    category,
                    operator,
                    message: message.clone(),
                    spot: rows.places.spot(row, at),
                    record: rows.places.record(row, rows.changes.rows())?,
                    event_time: (category != Category::EventTime).then(|| rows.times[row]),
                    window: None,
                    lateness_ms: None,
                });
            }
            processed.rejected.push(BadRecord { place: rows.places.describe(row, at), message });
        }
        Ok(())
    }

    /// Keeps late rows; `marks` holds the watermark of each row of the chunk.
    pub(super) fn keep_late(
        &mut self,
        rows: &mut Rows,
        late: Vec<LateRow>,
        marks: &[i64],
        at: &Whereabouts<'_>,
        processed: &mut Processed,
    ) -> Result<()> {
        if late.is_empty() {
            return Ok(());
        }
        self.locate(rows)?;
        for late in late {
            let own = match &late.row {
                Origin::First(row) => Some((rows.times[*row], marks[*row])),
                Origin::Made(_) => None,
            };
            let (time, watermark) = late.time.or(own).unzip();
            let window = time.and_then(|time| late.window(time));
            let lateness_ms = time.zip(watermark).map(|(time, watermark)| late.lateness(time, watermark));
            let (spot, record) = match &late.row {
                Origin::First(row) => {
                    (rows.places.spot(*row, at), rows.places.record(*row, rows.changes.rows())?)
                }
                Origin::Made(values) => (nowhere(at), row_as_json(values, 0)?),
            };
            processed.letters.push(DeadLetter {
                category: Category::Late,
                operator: late.late_for.name().to_owned(),
                message: late_message(window.as_ref(), lateness_ms),
                spot,
                record,
                event_time: time,
                window,
                lateness_ms,
            });
        }
        Ok(())
    }

    /// Finds the records of the rows.
    fn locate(&mut self, rows: &mut Rows) -> Result<()> {
        if self.locator.is_none() {
            let request = ReadRequest { offsets: true, ..self.request.clone() };
            self.locator = self.plan.relation.source.decoder(&request)?;
        }
        match &mut self.locator {
            Some(locator) => rows.places.locate(rows.changes.num_rows(), locator.as_mut()),
            None => Ok(()),
        }
    }
}

/// Returns the names of the columns that hold something in a row, of those that are read.
fn fields_of(rows: &RecordBatch, row: usize) -> Vec<String> {
    let schema = rows.schema();
    let there = schema.fields().iter().zip(rows.columns()).filter(|(_, column)| column.is_valid(row));
    there.map(|(field, _)| field.name().clone()).collect()
}
