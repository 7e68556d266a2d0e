//! [`Scan`]: what the workers do with the chunks of one source, compiled once per worker.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::TimestampMillisecondType;

use super::carry::Carry;
use super::dead_letters::{Category, DeadLetter, Failures};
use super::system_columns::{Known, RowPlaces, Whereabouts};
use super::tombstones::{Deletes, deletes};
use super::trouble::{Bad, Trouble};
use crate::connect::{Chunk, Messages, OnError, PartitionId, Payload, ReadRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{ChangeBatch, Fragment, LateRows, Tally};
use crate::format::{Decoder, Layout, Rejected};
use crate::sql::functions::EpochClock;
use crate::sql::plan::{Compiler, ScanPlan};
use crate::sql::relation::SystemColumn;
use crate::time::{BadTime, EventTimeReader, Watermark, running_watermarks};

/// A chunk on its way to a worker.
pub(crate) struct Ticket {
    /// The ordinal of the scan.
    pub(crate) scan: usize,
    /// The ordinal of the chunk among those of its partition.
    pub(crate) turn: u64,
    /// The records.
    pub(crate) chunk: Chunk,
    /// When it arrived, in epoch milliseconds.
    pub(crate) arrival_ms: i64,
    /// The partition's name.
    pub(crate) partition_id: PartitionId,
    /// What the partition's chunks pass along.
    pub(crate) carry: Arc<Carry>,
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Processed {
    /// The rows that are left, or the partial states.
    pub(crate) output: Vec<ChangeBatch>,
    /// The counts.
    pub(crate) tally: Tally,
    /// Records read, good and bad.
    pub(crate) records: u64,
    /// Bytes read.
    pub(crate) bytes: u64,
    /// Lines read.
    pub(crate) lines: u64,
    /// The highest event time, in epoch milliseconds; `i64::MIN` where there was no row.
    pub(crate) seen: i64,
    /// The watermark from which the partition started when it appeared or came back from idleness.
    pub(crate) floor: Option<Watermark>,
    /// Whether an upstream job gave the rows their time; then only it knows how far time is.
    pub(crate) carries_time: bool,
    /// The records that did not fit.
    pub(crate) rejected: Vec<BadRecord>,
    /// Those of them, and the late rows, that go to the error table.
    pub(crate) letters: Vec<DeadLetter>,
}

/// A record that did not fit, with its place.
#[derive(Debug, Clone)]
pub(crate) struct BadRecord {
    /// Its place: partition or file, line and byte, or offset.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) message: String,
}

/// One worker's way with the chunks of one source.
pub(crate) struct Scan {
    pub(super) plan: ScanPlan,
    /// What the source was opened for.
    pub(super) request: ReadRequest,
    decoder: Option<Box<dyn Decoder>>,
    event_time: Option<EventTimeReader>,
    /// Finds the records of rows again; there once a row was bad.
    pub(super) locator: Option<Box<dyn Decoder>>,
    fragment: Fragment,
    /// What `now()` reads in the steps: for all rows of a chunk the instant at which it arrived.
    clock: EpochClock,
    on_error: OnError,
    /// Whether late rows go to the error table.
    keeps_late: bool,
    /// For each column that the steps want its ordinal among the columns that are read; none for system columns.
    places: Vec<Option<usize>>,
}

/// Creates the decoder of a source, unless what it has to see is yet to come.
fn decoder_if_there(plan: &ScanPlan, request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
    let source = &plan.relation.source;
    match source.decoder(request) {
        Err(error) if error.may_pass() && source.patience().is_some() => Ok(None),
        created => created,
    }
}

/// The good rows of a chunk and what is known of each.
pub(super) struct Rows {
    pub(super) changes: ChangeBatch,
    pub(super) places: RowPlaces,
    pub(super) times: Vec<i64>,
    /// The watermark at each row, where an upstream job says it.
    pub(super) marks: Option<Vec<i64>>,
}

impl Scan {
    /// Compiles a scan; `request` is what the source was opened for, `clock` that of the compiler's session.
    pub(crate) fn try_new(
        plan: &ScanPlan,
        request: &ReadRequest,
        compiler: &Compiler<'_>,
        clock: &EpochClock,
        failures: &Failures,
    ) -> Result<Self> {
        let used = request.used_schema()?;
        let event_time = match &plan.relation.event_time {
            Some(event_time) => {
                let (ordinal, field) = used.column_with_name(&event_time.column).ok_or_else(|| {
                    Error::internal(format!("the event time `{}` is not read", event_time.column))
                })?;
                let format = event_time.format.clone();
                Some(EventTimeReader::try_new(ordinal, field.name(), field.data_type(), format)?)
            }
            None => None,
        };
        let place_of = |&column: &usize| {
            let declared = plan.columns.get(column)?;
            request.columns.iter().position(|read| read == declared)
        };
        Ok(Self {
            decoder: decoder_if_there(plan, request)?,
            locator: None,
            request: request.clone(),
            event_time,
            fragment: compiler.fragment(&plan.steps)?,
            clock: clock.clone(),
            on_error: plan.relation.on_error.unwrap_or(failures.on_error),
            keeps_late: failures.keeps_late,
            places: plan.order.iter().map(place_of).collect(),
            plan: plan.clone(),
        })
    }

    /// Decodes a chunk, takes its turn in the partition, and runs the steps.
    pub(crate) fn process(&mut self, ticket: Ticket) -> Result<Processed> {
        let Ticket { turn, chunk, arrival_ms, partition_id, carry, .. } = ticket;
        let mut turn = TurnGuard { carry: &carry, turn, taken: false };
        let mut processed = Processed { seen: i64::MIN, ..Processed::default() };
        let (start, partition, origin) = (chunk.start, chunk.partition, chunk.origin.clone());
        let (mut rows, rejected, gone) = self.decode(chunk, arrival_ms, &mut processed)?;
        let mut bad_times = self.read_times(&mut rows, arrival_ms)?;
        let missing = missing_values(rows.changes.rows(), &self.request);
        bad_times.retain(|bad| missing.iter().all(|missing| missing.row != bad.row));
        let mut unusable = bad_times.clone();
        unusable.extend(missing.iter().cloned());
        unusable.sort_by_key(|bad| bad.row);
        processed.seen = highest(&rows.times, &unusable);
        let before = turn.take(&processed);
        processed.floor = Some(before.floor);

        let at = Whereabouts {
            start,
            lines_before: before.lines,
            partition: &partition_id,
            ordinal: partition,
            origin: origin.as_ref(),
        };
        self.reject_records(&rows, rejected, &at, &mut processed);
        let bad = |found: &[BadTime]| found.iter().map(|bad| Bad::of_source(bad.row, &bad.message)).collect();
        self.reject_rows(&mut rows, bad(&missing), Category::Decode, &at, &mut processed)?;
        self.name_fields(&mut rows, &mut bad_times)?;
        self.reject_rows(&mut rows, bad(&bad_times), Category::EventTime, &at, &mut processed)?;
        if self.on_error == OnError::Fail && !processed.rejected.is_empty() {
            return Ok(processed);
        }
        let mut rows = rows.without(&unusable)?;
        if let Some(gone) = gone {
            rows = rows.with_deletes(gone)?;
        }
        // How far time is behind rows that come and go, the job that gives them says, if anybody.
        processed.carries_time = rows.marks.is_some() || self.plan.relation.changelog;
        let marks = match &rows.marks {
            Some(marks) => marks.clone(),
            None => {
                let bound = self.plan.relation.watermark.bound_ms;
                running_watermarks(&rows.times, before.seen, before.floor, bound)
            }
        };
        let known = Known {
            times: &rows.times,
            marks: &marks,
            arrival_ms,
            partition,
            partition_id: &partition_id,
            start,
        };
        let batch = self.with_system_columns(&rows, &known)?;
        self.clock.set_millis(arrival_ms);
        let mut trouble = Trouble::default();
        self.run(batch, 0, &mut processed, &mut trouble)?;
        self.reject_rows(&mut rows, trouble.bad, Category::Evaluation, &at, &mut processed)?;
        self.keep_late(&mut rows, trouble.late, &marks, &at, &mut processed)?;
        processed.letters.sort_by_key(|letter| letter.spot.offset);
        Ok(processed)
    }

    /// Returns the rows, their times not read yet, and the records that the decoder rejected.
    fn decode(
        &mut self,
        chunk: Chunk,
        arrival_ms: i64,
        processed: &mut Processed,
    ) -> Result<(Rows, Vec<Rejected>, Option<Deletes>)> {
        let mut gone = None;
        let (changes, places, rejected) = match chunk.payload {
            Payload::Lines(bytes) => {
                let decoded = self.decoder()?.decode(&bytes, Layout::Lines)?;
                processed.bytes = bytes.len() as u64;
                processed.lines = decoded.lines;
                let places = RowPlaces::lines(bytes, &decoded);
                (ChangeBatch::inserts(decoded.rows), places, decoded.rejected)
            }
            Payload::Messages(messages) => {
                let decoded = self.decoder()?.decode(&messages.values, Layout::Ends(&messages.ends))?;
                processed.bytes = (messages.values.len() + messages.keys.len()) as u64;
                let mut rejected = decoded.rejected.clone();
                if let Some(key) = self.plan.tombstones.as_ref().filter(|_| !messages.tombstones.is_empty()) {
                    let (deletes, unread) = deletes(&messages, key, &self.request, arrival_ms)?;
                    rejected.retain(|bad| !is_tombstone(&messages, bad.record));
                    rejected.extend(unread);
                    rejected.sort_by_key(|bad| bad.record);
                    processed.records += deletes.len() as u64;
                    gone = Some(deletes);
                }
                let places = RowPlaces::messages(messages, &decoded);
                (ChangeBatch::inserts(decoded.rows), places, rejected)
            }
            Payload::Rows(changes) => (changes, RowPlaces::Rows, vec![]),
            Payload::Deferred(read) => {
                processed.bytes = read.bytes();
                (ChangeBatch::inserts(read.read()?), RowPlaces::Rows, vec![])
            }
        };
        processed.records += (changes.num_rows() + rejected.len()) as u64;
        let times = places.timestamps(arrival_ms).unwrap_or_default();
        Ok((Rows { changes, places, times, marks: None }, rejected, gone))
    }

    /// Reads event times: what an upstream job says, the declared column, the broker's timestamp, or the arrival.
    fn read_times(&self, rows: &mut Rows, arrival_ms: i64) -> Result<Vec<BadTime>> {
        let batch = rows.changes.rows();
        rows.marks = millis_of(batch, SystemColumn::Watermark);
        if let Some(times) = millis_of(batch, SystemColumn::Time) {
            rows.times = times;
            return Ok(vec![]);
        }
        if let Some(reader) = &self.event_time {
            let ahead = self.plan.relation.event_time.as_ref().map_or(i64::MAX, |time| time.max_ahead_ms);
            let (times, bad) = reader.read(batch, arrival_ms, ahead)?;
            rows.times = times;
            return Ok(bad);
        }
        if rows.times.len() != batch.num_rows() {
            rows.times = vec![arrival_ms; batch.num_rows()];
        }
        Ok(vec![])
    }

    fn decoder(&mut self) -> Result<&mut Box<dyn Decoder>> {
        if self.decoder.is_none() {
            // Of a source that was not there when the job began.
            self.decoder = self.plan.relation.source.decoder(&self.request)?;
        }
        let name = &self.plan.relation.name;
        self.decoder
            .as_mut()
            .ok_or_else(|| Error::internal(format!("`{name}` gives bytes but has no format")))
    }

    fn with_system_columns(&self, rows: &Rows, known: &Known<'_>) -> Result<ChangeBatch> {
        let batch = rows.changes.rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.places.len());
        for (place, &ordinal) in self.places.iter().zip(&self.plan.order) {
            columns.push(match place {
                Some(place) => Arc::clone(batch.column(*place)),
                None => {
                    let column = self.plan.system[ordinal - self.plan.columns.len()];
                    rows.places.system_column(column, known)?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.plan.schema);
        rows.changes.clone().with_rows(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// Runs the steps; where a row cannot be evaluated the batch is halved until the row stands alone.
    fn run(
        &mut self,
        batch: ChangeBatch,
        first: usize,
        processed: &mut Processed,
        trouble: &mut Trouble,
    ) -> Result<()> {
        let mut tally = Tally::collecting(self.keeps_late);
        match self.fragment.run(batch.clone(), &mut tally) {
            Ok(output) => {
                processed.tally.add(&tally);
                let late = tally.late_rows.take().into_iter().flat_map(LateRows::into_found);
                trouble.late.extend(late.map(|late| late.behind(first)));
                if output.num_rows() > 0 {
                    processed.output.push(output);
                }
                Ok(())
            }
            Err(error) if error.kind() != ErrorKind::Data => Err(error),
            Err(error) if batch.num_rows() <= 1 => {
                let operator = self.fragment.last_step().unwrap_or_default();
                trouble.bad.push(Bad { row: first, message: error.message().to_owned(), operator });
                Ok(())
            }
            Err(_) => {
                let half = batch.num_rows() / 2;
                self.run(batch.slice(0, half), first, processed, trouble)?;
                if self.on_error == OnError::Fail && !trouble.bad.is_empty() {
                    return Ok(());
                }
                self.run(batch.slice(half, batch.num_rows() - half), first + half, processed, trouble)
            }
        }
    }

    /// Returns what a bad record does to the job.
    pub(crate) fn on_error(&self) -> OnError {
        self.on_error
    }
}

impl Rows {
    /// Leaves out the rows whose event time is bad.
    fn without(self, bad: &[BadTime]) -> Result<Self> {
        if bad.is_empty() {
            return Ok(self);
        }
        let mut keep = vec![true; self.times.len()];
        for bad in bad {
            keep[bad.row] = false;
        }
        let kept = |millis: Vec<i64>| {
            let kept = millis.into_iter().zip(&keep).filter(|(_, keep)| **keep);
            kept.map(|(millis, _)| millis).collect()
        };
        let (times, marks) = (kept(self.times), self.marks.map(kept));
        let mask = BooleanArray::from(keep);
        Ok(Self { changes: self.changes.filter(&mask)?, places: self.places.keep(&mask), times, marks })
    }
}

fn is_tombstone(messages: &Messages, record: usize) -> bool {
    u32::try_from(record).is_ok_and(|record| messages.tombstones.binary_search(&record).is_ok())
}

/// Returns the rows of a source that gives rows in which a column is NULL that must not be.
fn missing_values(rows: &RecordBatch, request: &ReadRequest) -> Vec<BadTime> {
    let mut missing: Vec<BadTime> = vec![];
    let columns = request.columns.iter().map(|&column| request.schema.field(column)).zip(rows.columns());
    for (field, column) in columns.filter(|(field, column)| !field.is_nullable() && column.null_count() > 0) {
        let is_new = |row: &usize| column.is_null(*row) && missing.iter().all(|bad| bad.row != *row);
        let found: Vec<usize> = (0..rows.num_rows()).filter(is_new).collect();
        let message = format!("column `{}` is NULL, and is declared NOT NULL", field.name());
        missing.extend(found.into_iter().map(|row| BadTime {
            row,
            message: message.clone(),
            missing: false,
        }));
    }
    missing
}

/// Returns the highest of the times that are not bad; `i64::MIN` if there is none.
fn highest(times: &[i64], bad: &[BadTime]) -> i64 {
    if bad.is_empty() {
        return times.iter().copied().max().unwrap_or(i64::MIN);
    }
    let mut bad = bad.iter().map(|bad| bad.row).peekable();
    let good = times.iter().enumerate().filter(|(row, _)| {
        while bad.next_if(|bad| bad < row).is_some() {}
        bad.peek() != Some(row)
    });
    good.map(|(_, time)| *time).max().unwrap_or(i64::MIN)
}

fn millis_of(batch: &RecordBatch, column: SystemColumn) -> Option<Vec<i64>> {
    let column = batch.column_by_name(column.name())?;
    let millis = column.as_primitive_opt::<TimestampMillisecondType>()?;
    (millis.null_count() == 0).then(|| millis.values().to_vec())
}

/// Takes the chunk's turn in its partition, also when the chunk fails: others wait behind it.
struct TurnGuard<'a> {
    carry: &'a Carry,
    turn: u64,
    taken: bool,
}

impl TurnGuard<'_> {
    fn take(&mut self, processed: &Processed) -> super::carry::Carried {
        self.taken = true;
        self.carry.pass(self.turn, processed.seen, processed.lines, processed.records)
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.carry.pass(self.turn, i64::MIN, 0, 0);
        }
    }
}

/// Returns a watermark that an event time stands for.
pub(crate) fn watermark_after(seen: i64, bound_ms: i64) -> Watermark {
    if seen == i64::MIN { Watermark::NONE } else { Watermark::from_millis(seen.saturating_sub(bound_ms)) }
}
