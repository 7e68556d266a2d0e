//! [`SessionRows`]: each row with the session that it belongs to, given when the session closes.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StructArray};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, DurationMillisecondType, SchemaRef, TimestampMillisecondType};

use super::keys::Keys;
use super::stretches::{ClosedSession, Held, Stretches};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta, times_of};
use crate::time::{SessionWindow, Watermark};

/// How many rows and keys may be dead, beside as many as are alive, before the state is written anew.
const SPARE_ROWS: usize = 4_096;

/// What finds the sessions of rows.
#[derive(Debug, Clone)]
pub struct SessionRowsSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The rows that go out: those that came in, and a column with the session's start, end and duration.
    pub output: SchemaRef,
    /// The ordinals of the key's columns.
    pub keys: Vec<usize>,
    /// The ordinal of the instant at which a row counts, in epoch milliseconds.
    pub counted: usize,
    /// The ordinal of the event time, in epoch milliseconds.
    pub time: usize,
    /// The sessions.
    pub windows: SessionWindow,
    /// What `EXPLAIN` shows of the key.
    pub description: String,
}

/// Holds the rows of open sessions; when a session closes, gives its rows with its bounds.
pub struct SessionRows {
    name: String,
    spec: Arc<SessionRowsSpec>,
    keys: Keys,
    /// By key.
    open: Vec<Stretches>,
    chunks: Vec<RecordBatch>,
    live: usize,
    arrived: Vec<RecordBatch>,
    /// When a session of a key may have closed; entries outlive what they were made for.
    due: BinaryHeap<Reverse<(i64, usize)>>,
    /// The earliest event times of what a key holds; entries outlive what they were made for.
    earliest: BinaryHeap<Reverse<(i64, usize)>>,
    watermark: Watermark,
    recorded: DeltaLog,
}

/// Rows of sessions that have closed.
#[derive(Default)]
struct Closed {
    places: Vec<(usize, usize)>,
    first: Vec<i64>,
    last: Vec<i64>,
}

impl SessionRows {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<SessionRowsSpec>, record: bool) -> Result<Self> {
        Ok(Self {
            name,
            keys: Keys::try_new(&spec.input, &spec.keys)?,
            open: vec![],
            chunks: vec![],
            live: 0,
            arrived: vec![],
            due: BinaryHeap::new(),
            earliest: BinaryHeap::new(),
            watermark: Watermark::NONE,
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    fn take_in(&mut self) -> Result<()> {
        for batch in std::mem::take(&mut self.arrived) {
            let keys = self.keys.of(&batch)?;
            self.open.resize_with(self.keys.len(), Stretches::new);
            let (counted, times) = (times_of(&batch, self.spec.counted)?, times_of(&batch, self.spec.time)?);
            let chunk = self.chunks.len();
            for (row, &key) in keys.iter().enumerate() {
                let held = Held { counted: counted.value(row), time: times.value(row), place: (chunk, row) };
                if held.time < self.open[key].earliest() {
                    self.earliest.push(Reverse((held.time, key)));
                }
                if let Some(instant) = self.open[key].add(&self.spec.windows, held) {
                    self.due.push(Reverse((instant, key)));
                }
            }
            self.live += batch.num_rows();
            self.chunks.push(batch);
        }
        Ok(())
    }

    /// Takes the rows out whose sessions have closed.
    fn close(&mut self) -> Closed {
        let mut keys = BTreeSet::new();
        while let Some(Reverse((instant, key))) = self.due.peek().copied()
            && self.watermark.has_reached(instant)
        {
            self.due.pop();
            keys.insert(key);
        }
        let mut closed = Closed::default();
        for key in keys {
            let (stretches, due) = (&mut self.open[key], &mut self.due);
            let again = |instant| due.push(Reverse((instant, key)));
            for ClosedSession { first, last, rows } in
                stretches.take_closed(&self.spec.windows, self.watermark, again)
            {
                closed.first.extend(std::iter::repeat_n(first, rows.len()));
                closed.last.extend(std::iter::repeat_n(last, rows.len()));
                closed.places.extend(rows.iter().map(|row| row.place));
            }
            self.earliest.push(Reverse((stretches.earliest(), key)));
        }
        self.live -= closed.places.len();
        while let Some(Reverse((time, key))) = self.earliest.peek().copied()
            && self.open[key].earliest() != time
        {
            self.earliest.pop();
        }
        closed
    }

    fn result(&self, closed: Closed) -> Result<RecordBatch> {
        let sources: Vec<&RecordBatch> = self.chunks.iter().collect();
        let rows = interleave_record_batch(&sources, &closed.places)?;
        let carried = self.spec.output.fields().len() - 1;
        let (first, last) = (Int64Array::from(closed.first), Int64Array::from(closed.last));
        let ends = last.unary::<_, TimestampMillisecondType>(|last| self.spec.windows.end(last));
        let lengths = first.iter().zip(&last).map(|(first, last)| Some(last?.saturating_sub(first?)));
        let lengths: arrow::array::PrimitiveArray<DurationMillisecondType> = lengths.collect();
        let starts = first.reinterpret_cast::<TimestampMillisecondType>();
        let parts: [ArrayRef; 3] = [Arc::new(starts), Arc::new(ends), Arc::new(lengths)];
        let DataType::Struct(fields) = self.spec.output.field(carried).data_type() else {
            return Err(Error::internal("the session of a row is a struct"));
        };
        let parts = parts.iter().zip(fields).map(|(part, field)| Ok(cast(part, field.data_type())?));
        let session = StructArray::try_new(fields.clone(), parts.collect::<Result<_>>()?, None)?;
        let mut columns = rows.columns()[..carried].to_vec();
        columns.push(Arc::new(session));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }

    /// Writes what is alive anew where most of what is kept is dead or in small pieces.
    fn compact(&mut self) -> Result<()> {
        let rows: usize = self.chunks.iter().map(RecordBatch::num_rows).sum();
        let few = |count: usize| count <= 2 * self.live + SPARE_ROWS;
        // Larger states are put together less often, so that it costs a row a constant.
        if few(rows) && few(self.keys.len()) && self.chunks.len() <= 64 + self.live / 1_024 {
            return Ok(());
        }
        let places: Vec<(usize, usize)> = self.open.iter().flat_map(Stretches::places).collect();
        let sources: Vec<&RecordBatch> = self.chunks.iter().collect();
        let alive = match places.is_empty() {
            true => None,
            false => Some(interleave_record_batch(&sources, &places)?),
        };
        self.keys = Keys::try_new(&self.spec.input, &self.spec.keys)?;
        self.open.clear();
        self.chunks.clear();
        self.due.clear();
        self.earliest.clear();
        self.live = 0;
        self.arrived.extend(alive);
        self.take_in()
    }

    fn step(&mut self, watermark: Watermark) -> Result<Closed> {
        self.take_in()?;
        self.watermark.advance_to(watermark);
        Ok(self.close())
    }
}

impl Operator for SessionRows {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.weights().is_some() {
            return Err(Error::internal("the sessions of rows got a changelog"));
        }
        if change.num_rows() > 0 {
            self.arrived.push(change.rows().clone());
            self.recorded.keep(change.rows(), self.watermark);
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        let closed = self.step(watermark)?;
        let rows = match closed.places.is_empty() {
            true => vec![],
            false => vec![ChangeBatch::inserts(self.result(closed)?)],
        };
        self.compact()?;
        Ok(rows)
    }

    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        match self.earliest.peek() {
            Some(Reverse((time, _))) => watermark.min(Watermark::from_millis(*time)),
            None => watermark,
        }
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || Ok(Arc::clone(&self.spec.input)))
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        if delta.rows.num_rows() > 0 {
            self.arrived.push(delta.rows.clone());
        }
        // What this closes was given before the snapshot.
        self.step(delta.watermark)?;
        self.compact()
    }

    fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        chunks + self.keys.bytes() + self.live * size_of::<Held>()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.live)
    }
}
