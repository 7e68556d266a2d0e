//! [`FinalAggregate`]: one answer for each group when its window closes, or when the input ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::spec::{AggregateSpec, Groups};
use crate::error::Result;
use crate::flow::{ChangeBatch, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Merges partial states by window and emits each window's groups once, when the watermark closes it.
///
/// Without a window there is one pane that the end of the input closes.
pub struct FinalAggregate {
    name: String,
    spec: Arc<AggregateSpec>,
    state_widths: Vec<usize>,
    /// By window start; the whole input is the pane `i64::MIN`.
    panes: BTreeMap<i64, Pane>,
    group_of_row: Vec<usize>,
    watermark: Watermark,
    /// Whether this instance answers for an empty input: `SELECT count(*)` of nothing is one row.
    answers_empty_input: bool,
    recorded: Option<Vec<StateDelta>>,
}

struct Pane {
    groups: Groups,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

impl FinalAggregate {
    /// Creates the operator; `first_shard` says whether it is the one that answers for an empty input, `record`
    /// whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<AggregateSpec>, first_shard: bool, record: bool) -> Result<Self> {
        Ok(Self {
            name,
            state_widths: spec.state_widths()?,
            panes: BTreeMap::new(),
            group_of_row: vec![],
            watermark: Watermark::NONE,
            answers_empty_input: first_shard && spec.keys.is_empty() && spec.window.is_none(),
            recorded: record.then(Vec::new),
            spec,
        })
    }

    fn merge(&mut self, states: &RecordBatch) -> Result<()> {
        if self.spec.window.is_none() {
            return self.merge_pane(i64::MIN, states);
        }
        for (start, rows) in window_slices(states) {
            self.merge_pane(start, &rows)?;
        }
        Ok(())
    }

    fn merge_pane(&mut self, start: i64, states: &RecordBatch) -> Result<()> {
        let pane = match self.panes.entry(start) {
            std::collections::btree_map::Entry::Occupied(pane) => pane.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(Pane { groups: self.spec.groups()?, accumulators: self.spec.accumulators()? })
            }
        };
        let keys: Vec<ArrayRef> =
            self.spec.state_keys().into_iter().map(|column| Arc::clone(states.column(column))).collect();
        pane.groups.intern(&keys, states.num_rows(), &mut self.group_of_row)?;
        let total = pane.groups.len();
        let mut column = self.spec.first_state();
        for (accumulator, width) in pane.accumulators.iter_mut().zip(&self.state_widths) {
            accumulator.merge_batch(&states.columns()[column..column + width], &self.group_of_row, total)?;
            column += width;
        }
        Ok(())
    }

    fn closes_at(&self, start: i64) -> i64 {
        self.spec.window.as_ref().map_or(i64::MAX, |key| key.window.closes_at(start))
    }

    fn emit(&self, start: i64, mut pane: Pane) -> Result<ChangeBatch> {
        let rows = pane.groups.len();
        let keys = pane.groups.drain()?;
        let values = pane.accumulators.iter_mut().map(|accumulator| Ok(accumulator.evaluate(EmitTo::All)?));
        let values: Vec<ArrayRef> = values.collect::<Result<_>>()?;
        let window_start = self.spec.window.is_some().then_some(start);
        Ok(ChangeBatch::inserts(self.spec.result(window_start, &keys, values, rows)?))
    }
}

impl Operator for FinalAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.num_rows() > 0 {
            self.merge(change.rows())?;
            if let Some(recorded) = &mut self.recorded {
                recorded.push(StateDelta { rows: change.rows().clone(), watermark: self.watermark });
            }
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        self.watermark.advance_to(watermark);
        let mut closed = vec![];
        while let Some((&start, _)) = self.panes.first_key_value() {
            if !self.watermark.has_reached(self.closes_at(start)) {
                break;
            }
            if let Some(pane) = self.panes.remove(&start) {
                closed.push(self.emit(start, pane)?);
                self.answers_empty_input = false;
            }
        }
        if self.answers_empty_input && self.watermark == Watermark::END {
            self.answers_empty_input = false;
            closed.push(ChangeBatch::inserts(self.spec.result_of_nothing()?));
        }
        Ok(closed)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        let Some(recorded) = &mut self.recorded else { return Ok(vec![]) };
        let mut deltas = std::mem::take(recorded);
        let nothing = RecordBatch::new_empty(self.spec.state_schema()?);
        deltas.push(StateDelta { rows: nothing, watermark: self.watermark });
        Ok(deltas)
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        if delta.rows.num_rows() > 0 {
            self.merge(&delta.rows)?;
        }
        self.watermark.advance_to(delta.watermark);
        let (window, watermark) = (self.spec.window.clone(), self.watermark);
        self.panes.retain(|&start, _| {
            !watermark.has_reached(window.as_ref().map_or(i64::MAX, |key| key.window.closes_at(start)))
        });
        Ok(())
    }

    fn bytes(&self) -> usize {
        let pane_bytes = |pane: &Pane| {
            pane.groups.bytes()
                + pane.accumulators.iter().map(|accumulator| accumulator.size()).sum::<usize>()
        };
        self.panes.values().map(pane_bytes).sum()
    }
}

/// Cuts partial states, which are sorted by window within each batch, into one slice for each run of a window.
pub(super) fn window_slices(states: &RecordBatch) -> Vec<(i64, RecordBatch)> {
    let starts = states.column(0).as_primitive::<TimestampMillisecondType>().values();
    let mut slices = vec![];
    let mut begin = 0;
    while begin < starts.len() {
        let start = starts[begin];
        let length = starts[begin..].iter().take_while(|&&other| other == start).count();
        slices.push((start, states.slice(begin, length)));
        begin += length;
    }
    slices
}
