//! [`OrderedOver`]: functions over rows in the order of event time, given as the watermark passes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMillisecondType;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::window_state::WindowFrameContext;

use super::keyed_rows::{KeyedRows, RowPlace};
use super::keys::Keys;
use super::known::told_until;
use super::segment::{KeyState, Segment};
use super::spec::{Evaluation, OverSpec};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, Pending, StateDelta, times_of};
use crate::time::Watermark;

/// Holds rows until the watermark has passed them, and gives them in order with the functions' results.
pub struct OrderedOver {
    name: String,
    spec: Arc<OverSpec>,
    pending: Pending,
    keys: Keys,
    order: RowConverter,
    frames: Vec<WindowFrameContext>,
    states: Vec<KeyState>,
    /// The values of the rows that frames can still reach, and of those that wait.
    values: KeyedRows,
    /// The rows that wait for others of their key.
    waiting: KeyedRows,
    /// The earliest waiting row of each key, by event time.
    earliest: BTreeSet<(i64, u32)>,
    watermark: Watermark,
    recorded: DeltaLog,
}

/// The rows of one key in a release.
struct Part {
    key: u32,
    /// Rows whose values were kept; the last of them may wait.
    kept: usize,
    /// Rows that come out now, from the first that waited.
    given: usize,
    /// All rows.
    length: usize,
}

impl OrderedOver {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<OverSpec>, record: bool) -> Result<Self> {
        let value_schema = spec.value_schema()?;
        let mut fields = vec![];
        for key in &spec.order {
            fields.push(SortField::new_with_options(key.expr.data_type(&spec.input)?, key.options));
        }
        fields.extend(spec.ties.iter().map(|&tie| SortField::new(spec.input.field(tie).data_type().clone())));
        let options = spec.sort_options();
        let frame = |function: &super::OverFunction| {
            WindowFrameContext::new(Arc::clone(&function.frame), options.clone())
        };
        Ok(Self {
            name,
            pending: Pending::new(Arc::clone(&spec.input), spec.time, spec.time),
            keys: Keys::try_new(&spec.input, &spec.keys)?,
            order: RowConverter::new(fields)?,
            frames: spec.functions.iter().map(frame).collect(),
            states: vec![],
            values: KeyedRows::new(value_schema),
            waiting: KeyedRows::new(Arc::clone(&spec.input)),
            earliest: BTreeSet::new(),
            watermark: Watermark::NONE,
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    /// Gives what follows from the watermark's having come to `watermark`.
    fn release(&mut self, watermark: Watermark) -> Result<Option<RecordBatch>> {
        self.watermark.advance_to(watermark);
        let rows = self.pending.take_before(self.watermark)?;
        let due = self.due();
        if rows.num_rows() == 0 && due.is_empty() {
            return Ok(None);
        }
        let keys = self.keys.of(&rows)?;
        let in_order = self.in_order(&rows)?;
        let mut grouped = in_order.clone();
        grouped.sort_by_key(|&row| keys[row as usize]);
        let values = self.spec.evaluate(self.values.schema(), &rows)?;

        let (mut parts, places) = self.parts(&keys, &grouped, &due)?;
        let work = self.values.gather(&values, &places)?;
        let results = self.evaluate(&mut parts, &work)?;
        let given = self.give(&rows, &grouped, &parts)?;
        self.keep(&parts, &work)?;
        let output = self.output(given, results)?;
        if self.spec.ahead.waits() {
            let order = self.in_order(&output)?;
            return Ok(Some(take_record_batch(&output, &UInt32Array::from(order))?));
        }
        let mut place = vec![0; grouped.len()];
        for (at, &row) in (0u32..).zip(&grouped) {
            place[row as usize] = at;
        }
        let order: Vec<u32> = in_order.iter().map(|&row| place[row as usize]).collect();
        Ok(Some(take_record_batch(&output, &UInt32Array::from(order))?))
    }

    /// Returns the keys of which waiting rows may go now for time's sake.
    fn due(&self) -> Vec<u32> {
        let (ahead, watermark) = (self.spec.ahead, self.watermark);
        if watermark != Watermark::END && ahead.millis == 0 {
            return vec![];
        }
        let is_due =
            |time: i64| watermark == Watermark::END || time.saturating_add(ahead.millis) < watermark.millis();
        self.earliest.iter().take_while(|(time, _)| is_due(*time)).map(|(_, key)| *key).collect()
    }

    /// Returns the rows in order: by the query's order, then by partition and place.
    fn in_order(&self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let encoded = self.encoded(rows)?;
        let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap_or(u32::MAX)).collect();
        if !(1..encoded.num_rows()).all(|row| encoded.row(row - 1) <= encoded.row(row)) {
            order.sort_by(|&a, &b| encoded.row(a as usize).cmp(&encoded.row(b as usize)));
        }
        Ok(order)
    }

    fn encoded(&self, rows: &RecordBatch) -> Result<Rows> {
        let mut columns = vec![];
        for key in &self.spec.order {
            columns.push(key.expr.evaluate(rows)?.into_array(rows.num_rows())?);
        }
        columns.extend(self.spec.ties.iter().map(|&tie| Arc::clone(rows.column(tie))));
        Ok(self.order.convert_columns(&columns)?)
    }

    /// Puts the rows of each touched key together: what was kept, then what came.
    fn parts(&mut self, keys: &[usize], grouped: &[u32], due: &[u32]) -> Result<(Vec<Part>, Vec<RowPlace>)> {
        let (mut parts, mut places) = (vec![], vec![]);
        let beyond = self.values.beyond();
        let mut add = |states: &mut Vec<KeyState>, key: u32, fresh: &[u32]| -> Result<()> {
            while states.len() <= key as usize {
                states.push(KeyState::try_new(&self.spec.functions)?);
            }
            let kept = self.values.count(key);
            places.extend(self.values.places(key));
            places.extend(fresh.iter().map(|&row| (beyond, row as usize)));
            parts.push(Part { key, kept, given: 0, length: kept + fresh.len() });
            Ok(())
        };
        for fresh in grouped.chunk_by(|&a, &b| keys[a as usize] == keys[b as usize]) {
            add(&mut self.states, u32::try_from(keys[fresh[0] as usize]).unwrap_or(u32::MAX), fresh)?;
        }
        let touched: BTreeSet<u32> = if due.is_empty() { BTreeSet::new() } else { parts_keys(keys) };
        for &key in due.iter().filter(|key| !touched.contains(key)) {
            add(&mut self.states, key, &[])?;
        }
        Ok((parts, places))
    }

    /// Evaluates the functions for the rows of each part that can be told now; returns a column for each function.
    fn evaluate(&mut self, parts: &mut [Part], work: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let mut results: Vec<Vec<ScalarValue>> = vec![vec![]; self.spec.functions.len()];
        let mut start = 0;
        for part in parts {
            let values: Vec<ArrayRef> =
                work.columns().iter().map(|column| column.slice(start, part.length)).collect();
            let order: Vec<ArrayRef> =
                self.spec.order_values.iter().map(|&value| Arc::clone(&values[value])).collect();
            let first = part.kept - self.waiting.count(part.key);
            part.given = self.tellable(&values, first, part.length)?;
            let segment = Segment {
                values: &values,
                order: &order,
                rows: first..first + part.given,
                length: part.length,
            };
            let state = &mut self.states[part.key as usize];
            state.evaluate(&self.spec.functions, &mut self.frames, &segment, &mut results)?;
            start += part.length;
        }
        let fields = self.spec.output.fields().iter().skip(self.spec.carried());
        let columns = results.into_iter().zip(fields).map(|(results, field)| {
            if results.is_empty() {
                return Ok(new_empty_array(field.data_type()));
            }
            Ok(ScalarValue::iter_to_array(results)?)
        });
        columns.collect()
    }

    /// Returns how many rows from `first` on have all that they look ahead for.
    fn tellable(&self, values: &[ArrayRef], first: usize, length: usize) -> Result<usize> {
        let ahead = self.spec.ahead;
        if self.watermark == Watermark::END || !ahead.waits() {
            return Ok(length - first);
        }
        let mut most = length.saturating_sub(ahead.rows).saturating_sub(first);
        for function in &self.spec.functions {
            if let Evaluation::NextKnown { nth, .. } = function.evaluation {
                most = most.min(told_until(&values[function.arguments[0]], first, nth) - first);
            }
        }
        let Some(time) = self.spec.time_value.filter(|_| ahead.millis > 0) else { return Ok(most) };
        let times = values[time].as_primitive_opt::<TimestampMillisecondType>();
        let times = times.ok_or_else(|| Error::internal("rows without their time"))?.values();
        let passed = |time: i64| time.saturating_add(ahead.millis) < self.watermark.millis();
        Ok(times.iter().skip(first).take(most).take_while(|&&time| passed(time)).count())
    }

    /// Returns the rows that come out, key by key, and keeps those that wait on.
    fn give(&mut self, rows: &RecordBatch, grouped: &[u32], parts: &[Part]) -> Result<RecordBatch> {
        let beyond = self.waiting.beyond();
        let mut fresh = grouped.iter().map(|&row| (beyond, row as usize));
        let (mut given, mut kept, mut lengths) = (vec![], vec![], vec![]);
        for part in parts {
            let waited = self.waiting.places(part.key);
            let mut all = waited.chain(fresh.by_ref().take(part.length - part.kept));
            given.extend(all.by_ref().take(part.given));
            let before = kept.len();
            kept.extend(all);
            lengths.push((part.key, kept.len() - before));
        }
        let out = self.waiting.gather(rows, &given)?;
        if self.spec.ahead.waits() {
            let waiting = self.waiting.gather(rows, &kept)?;
            self.note_earliest(&waiting, &lengths)?;
            self.waiting.replace(waiting, &lengths)?;
        }
        Ok(out)
    }

    /// Notes the first waiting row of each key, in the place of the one before.
    fn note_earliest(&mut self, waiting: &RecordBatch, lengths: &[(u32, usize)]) -> Result<()> {
        let times = times_of(waiting, self.spec.time)?;
        let mut start = 0;
        for &(key, length) in lengths {
            let state = &mut self.states[key as usize];
            if let Some(before) = state.waits_since.take() {
                self.earliest.remove(&(before, key));
            }
            if length > 0 {
                let first = times.value(start);
                state.waits_since = Some(first);
                self.earliest.insert((first, key));
            }
            start += length;
        }
        Ok(())
    }

    /// Keeps the values that later rows can still reach.
    fn keep(&mut self, parts: &[Part], work: &RecordBatch) -> Result<()> {
        let (mut kept, mut lengths) = (vec![], vec![]);
        let mut start = 0;
        for part in parts {
            let waiting = self.waiting.count(part.key);
            let state = &mut self.states[part.key as usize];
            let from = state.needed_from(part.length - waiting)?;
            state.forget(from);
            kept.extend(
                (start + from..start + part.length).map(|row| u32::try_from(row).unwrap_or(u32::MAX)),
            );
            lengths.push((part.key, part.length - from));
            start += part.length;
        }
        if kept.is_empty() && self.values.len() == 0 {
            return Ok(());
        }
        let rows = take_record_batch(work, &UInt32Array::from(kept))?;
        self.values.replace(rows, &lengths)
    }

    fn output(&self, rows: RecordBatch, results: Vec<ArrayRef>) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let mut columns = rows.columns()[..self.spec.carried()].to_vec();
        columns.extend(results);
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }
}

fn parts_keys(keys: &[usize]) -> BTreeSet<u32> {
    keys.iter().map(|&key| u32::try_from(key).unwrap_or(u32::MAX)).collect()
}

impl Operator for OrderedOver {
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
            return Err(Error::internal("OVER got a changelog"));
        }
        if change.num_rows() > 0 {
            self.pending.push(change.rows().clone())?;
            self.recorded.keep(change.rows(), self.watermark);
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        let released = self.release(watermark)?;
        Ok(released.filter(|rows| rows.num_rows() > 0).map(ChangeBatch::inserts).into_iter().collect())
    }

    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        let held = self.earliest.first().map_or(Watermark::END, |(time, _)| Watermark::from_millis(*time));
        watermark.min(held)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || Ok(Arc::clone(&self.spec.input)))
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.pending.push(delta.rows.clone())?;
        // What this releases came out before the snapshot.
        self.release(delta.watermark).map(drop)
    }

    fn bytes(&self) -> usize {
        let states = self.states.iter().map(KeyState::bytes).sum::<usize>();
        self.pending.bytes() + self.keys.bytes() + states + self.values.bytes() + self.waiting.bytes()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.pending.len() + self.values.len() + self.waiting.len())
    }
}
