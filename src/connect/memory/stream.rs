//! [`MemoryStream`]: a log of changes that writers append to and readers follow.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// How many rows may wait for the slowest reader before writers are held back, where rows are dropped once read.
const UNREAD_ROWS: i64 = 1 << 20;
/// How long a blocked call sleeps before it looks again.
const WAIT: Duration = Duration::from_millis(20);

/// A stream in the memory of this process.
#[derive(Debug)]
pub struct MemoryStream {
    name: String,
    schema: SchemaRef,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The batches that are still there, each with the row number of its first row.
    batches: VecDeque<(i64, ChangeBatch)>,
    /// The row number after the last row.
    end: i64,
    watermark: Option<Watermark>,
    /// How many writers have yet to end; the stream ends with the last.
    writers: usize,
    ended: bool,
    /// Whether a writer is gone before its end: what is there is not all there is.
    abandoned: bool,
    /// Whether somebody beside the writers decides when the stream ends.
    kept_open: bool,
    /// Whether readers may still come who want the first row.
    holding: bool,
    /// Whether a reader may come to its rows only when another has had all of them.
    in_turn: bool,
    /// How many writers have yet to write all that was there when they began, and the row number after the last row
    /// that was written while there were such.
    behind_writers: usize,
    there: i64,
    /// Whether rows that were appended together are read together, however many they are.
    whole: bool,
    /// Whether a reader that has not begun holds nobody back: it may be waiting for what is written.
    patient: bool,
    /// Where each reader is, where rows are dropped once all have read them.
    readers: Option<Vec<Option<i64>>>,
}

/// What a reader found.
pub(super) enum Found {
    Rows(ChangeBatch, Option<Watermark>),
    Nothing(Option<Watermark>),
    Abandoned,
    End,
}

impl MemoryStream {
    /// Creates a stream that keeps all its rows.
    pub fn keeping_all(name: &str, schema: SchemaRef) -> Arc<Self> {
        Self::new(name, schema, None)
    }

    /// Creates a stream that drops rows once its readers, which must all be known before the first row, have them.
    pub fn between_jobs(name: &str, schema: SchemaRef) -> Arc<Self> {
        Self::new(name, schema, Some(vec![]))
    }

    /// Creates the stream of a table's rows and changes: it drops them once its readers have them, who may wait for the
    /// table before they begin to read.
    pub fn of_table(name: &str, schema: SchemaRef) -> Arc<Self> {
        let stream = Self::between_jobs(name, schema);
        stream.state.lock().patient = true;
        stream
    }

    /// Makes readers get what was appended together at once.
    pub fn hand_out_whole(&self) {
        self.state.lock().whole = true;
    }

    fn new(name: &str, schema: SchemaRef, readers: Option<Vec<Option<i64>>>) -> Arc<Self> {
        let state = State { readers, holding: true, ..State::default() };
        Arc::new(Self { name: name.to_owned(), schema, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Says that a writer will append rows; the stream ends when all writers have ended.
    pub fn add_writer(&self) {
        let mut state = self.state.lock();
        state.writers += 1;
        state.behind_writers += 1;
    }

    /// Says that a writer has written all that was there when it began.
    pub fn writer_caught_up(&self) {
        let mut state = self.state.lock();
        state.behind_writers = state.behind_writers.saturating_sub(1);
        state.there = state.end;
        self.changed.notify_all();
    }

    /// Returns whether a reader that has come to row `from` has all that was there when the writers began.
    pub(super) fn has_caught_up(&self, from: i64) -> bool {
        let state = self.state.lock();
        state.behind_writers == 0 && from >= state.there
    }

    /// Says that a writer has ended.
    pub fn end_writer(&self) {
        let mut state = self.state.lock();
        state.writers = state.writers.saturating_sub(1);
        if state.writers == 0 {
            state.ended = true;
        }
        self.changed.notify_all();
    }

    /// Keeps the stream open, whoever stops to write, until [`let_end`](Self::let_end).
    pub fn keep_open(&self) {
        let mut state = self.state.lock();
        state.kept_open = true;
        state.writers += 1;
    }

    /// Lets the stream end with its last writer, and at once if there is none.
    pub fn let_end(&self) {
        self.state.lock().kept_open = false;
        self.end_writer();
    }

    /// Says that all readers are there: from now on rows are dropped once all have read them.
    pub fn release(&self) {
        self.state.lock().holding = false;
    }

    /// Says that a reader may come to its rows only when another has had all of them, as the inputs of a join that runs
    /// once: then the writer is held back for no reader of several, because all would wait for each other.
    pub fn read_in_turn(&self) {
        self.state.lock().in_turn = true;
    }

    /// Says that a writer is gone before its end; `caught_up` says whether it had written all that was there when it
    /// began.
    pub fn abandon(&self, caught_up: bool) {
        let mut state = self.state.lock();
        if state.kept_open && !caught_up {
            state.behind_writers = state.behind_writers.saturating_sub(1);
        }
        state.writers = state.writers.saturating_sub(1);
        state.abandoned |= !state.kept_open;
        self.changed.notify_all();
    }

    /// Ends the stream, whoever still writes.
    pub fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Appends changes; blocks while a reader is far behind, if rows are dropped once read.
    pub fn append(&self, changes: ChangeBatch) -> Result<()> {
        let mut state = self.state.lock();
        if changes.num_rows() == 0 {
            return Ok(());
        }
        while state.behind() > UNREAD_ROWS && !state.ended {
            self.changed.wait_for(&mut state, WAIT);
        }
        if state.ended {
            return Err(Error::invalid(format!("stream `{}` has ended", self.name)));
        }
        let start = state.end;
        state.end += count(&changes);
        state.batches.push_back((start, changes));
        self.changed.notify_all();
        Ok(())
    }

    /// Returns the watermark that readers are promised.
    pub fn promised(&self) -> Watermark {
        self.state.lock().watermark.unwrap_or(Watermark::NONE)
    }

    /// Promises readers that event time has come to `watermark`.
    pub fn advance(&self, watermark: Watermark) {
        let mut state = self.state.lock();
        match &mut state.watermark {
            Some(current) => current.advance_to(watermark),
            none => *none = Some(watermark),
        }
        self.changed.notify_all();
    }

    /// Returns the number of rows ever appended.
    pub fn rows(&self) -> i64 {
        self.state.lock().end
    }

    /// Returns the changes from row `from` on; only of streams that keep all rows.
    pub fn changes_from(&self, from: i64) -> Vec<ChangeBatch> {
        let state = self.state.lock();
        let from_first = state.batches.iter().skip(state.place_of(from));
        from_first
            .map(|(start, batch)| {
                let skip = usize::try_from(from - start).unwrap_or(0);
                batch.slice(skip, batch.num_rows() - skip)
            })
            .collect()
    }

    /// Registers a reader.
    pub(super) fn add_reader(&self) -> usize {
        let mut state = self.state.lock();
        match &mut state.readers {
            Some(readers) => {
                readers.push(Some(0));
                readers.len() - 1
            }
            None => 0,
        }
    }

    /// Forgets a reader, so that it holds nobody back.
    pub(super) fn remove_reader(&self, reader: usize) {
        let mut state = self.state.lock();
        if let Some(place) = state.readers.as_mut().and_then(|readers| readers.get_mut(reader)) {
            *place = None;
        }
        state.drop_read();
        self.changed.notify_all();
    }

    /// Returns at most `max_rows` rows from row `from` on, waiting at most `wait` for the first.
    pub(super) fn read(&self, reader: usize, from: i64, max_rows: usize, wait: Duration) -> Found {
        let mut state = self.state.lock();
        if from >= state.end && !state.ended {
            self.changed.wait_for(&mut state, wait);
        }
        if let Some(place) = state.readers.as_mut().and_then(|readers| readers.get_mut(reader)) {
            *place = Some(from);
            state.drop_read();
            self.changed.notify_all();
        }
        if let Some((start, batch)) = state.batches.get(state.place_of(from)) {
            let skip = usize::try_from(from - start).unwrap_or(0);
            let left = batch.num_rows() - skip;
            let length = if state.whole { left } else { left.min(max_rows) };
            let reaches_end = start + count(batch) == state.end && skip + length == batch.num_rows();
            return Found::Rows(batch.slice(skip, length), state.watermark.filter(|_| reaches_end));
        }
        match (state.ended, state.abandoned) {
            (true, _) => Found::End,
            (false, true) => Found::Abandoned,
            (false, false) => Found::Nothing(state.watermark),
        }
    }
}

fn count(batch: &ChangeBatch) -> i64 {
    i64::try_from(batch.num_rows()).unwrap_or(i64::MAX)
}

impl State {
    /// Returns the place of the first batch that reaches beyond row `from`.
    fn place_of(&self, from: i64) -> usize {
        self.batches.partition_point(|(start, batch)| start + count(batch) <= from)
    }

    fn behind(&self) -> i64 {
        let readers = self.readers.as_deref().unwrap_or_default();
        if self.in_turn && readers.len() > 1 {
            return 0;
        }
        let reading = readers.iter().filter_map(|place| *place).filter(|place| !self.patient || *place > 0);
        reading.min().map_or(0, |slowest| self.end - slowest)
    }

    fn drop_read(&mut self) {
        let Some(readers) = self.readers.as_ref().filter(|_| !self.holding) else { return };
        let slowest = readers.iter().filter_map(|place| *place).min().unwrap_or(self.end);
        while self.batches.front().is_some_and(|(start, batch)| start + count(batch) <= slowest) {
            self.batches.pop_front();
        }
    }
}
