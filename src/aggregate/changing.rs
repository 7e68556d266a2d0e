//! [`ChangingAggregate`]: every epoch's changes of the groups it touched, as a changelog.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch};

use super::held::Held;
use super::keyed_states::KeyedStates;
use super::spec::AggregateSpec;
use super::window_aggregate::window_slices;
use crate::error::Result;
use crate::flow::{ChangeBatch, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Merges partial states by key and emits, once per epoch, the old and the new row of each group that changed.
///
/// The cost of an epoch is that of the groups it touches, whatever the number of groups in state.
pub struct ChangingAggregate {
    name: String,
    spec: Arc<AggregateSpec>,
    /// By window start; `i64::MIN` where there is no window.
    windows: BTreeMap<i64, KeyedStates>,
    /// The partial states of the running epoch, by window.
    arrived: BTreeMap<i64, Vec<RecordBatch>>,
    /// What waits for further changes of its groups, if changes are to wait.
    held: Option<Held>,
    watermark: Watermark,
    /// Whether this instance answers for an empty input: `SELECT count(*)` of nothing is one row.
    answers_empty_input: bool,
    recorded: Option<Vec<StateDelta>>,
}

impl ChangingAggregate {
    /// Creates the operator; `first_shard` says whether it is the one that answers for an empty input, `record`
    /// whether deltas will be asked for, `interval_ms` how long a change waits for others of its group.
    pub fn new(
        name: String,
        spec: Arc<AggregateSpec>,
        first_shard: bool,
        record: bool,
        interval_ms: Option<i64>,
    ) -> Self {
        Self {
            name,
            held: interval_ms.map(Held::new),
            windows: BTreeMap::new(),
            arrived: BTreeMap::new(),
            watermark: Watermark::NONE,
            answers_empty_input: first_shard && spec.keys.is_empty() && spec.window.is_none(),
            recorded: record.then(Vec::new),
            spec,
        }
    }

    fn take_in(&mut self, states: &RecordBatch) {
        if self.spec.window.is_none() {
            self.arrived.entry(i64::MIN).or_default().push(states.clone());
            return;
        }
        for (start, rows) in window_slices(states) {
            self.arrived.entry(start).or_default().push(rows);
        }
    }

    /// Holds back what arrived until it is due; the last changes of a window come before it closes.
    fn hold_back(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        for (start, states) in std::mem::take(&mut self.arrived) {
            held.take_in(&self.spec, start, &states, epoch.now_ms)?;
        }
        let all = epoch.last || watermark == Watermark::END || held.is_due(Some(epoch.now_ms));
        let closes = |start| {
            let window = self.spec.window.as_ref().map(|key| key.window);
            window.is_some_and(|window| watermark.has_reached(window.closes_at(start)))
        };
        for (start, states) in held.release(|start| all || closes(start))? {
            self.arrived.entry(start).or_default().push(states);
        }
        Ok(())
    }

    /// Merges what arrived, and returns what it changed.
    fn settle(&mut self) -> Result<Vec<ChangeBatch>> {
        let mut changes = vec![];
        for (start, batches) in std::mem::take(&mut self.arrived) {
            let (keys, values, weights) = self.states(start)?.merge(&batches)?.into_rows()?;
            if !weights.is_empty() {
                changes.push(self.changelog(start, &keys, values, weights)?);
            }
        }
        Ok(changes)
    }

    /// Merges what arrived, of which nobody asks what it changed: that was emitted before the snapshot.
    fn absorb(&mut self) -> Result<()> {
        for (start, batches) in std::mem::take(&mut self.arrived) {
            self.states(start)?.absorb(&batches)?;
        }
        Ok(())
    }

    /// Returns the states of a window that has rows.
    fn states(&mut self, start: i64) -> Result<&mut KeyedStates> {
        self.answers_empty_input = false;
        match self.windows.entry(start) {
            std::collections::btree_map::Entry::Occupied(states) => Ok(states.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                Ok(place.insert(KeyedStates::try_new(Arc::clone(&self.spec))?))
            }
        }
    }

    fn changelog(
        &self,
        start: i64,
        keys: &[ArrayRef],
        values: Vec<ArrayRef>,
        weights: Vec<i8>,
    ) -> Result<ChangeBatch> {
        let window_start = self.spec.window.is_some().then_some(start);
        let rows = self.spec.result(window_start, keys, values, weights.len())?;
        let only_inserts = weights.iter().all(|&weight| weight > 0);
        ChangeBatch::try_new(rows, (!only_inserts).then(|| Int8Array::from(weights)))
    }

    fn drop_closed(&mut self) {
        if let Some(key) = &self.spec.window {
            let (window, watermark) = (key.window, self.watermark);
            self.windows.retain(|&start, _| !watermark.has_reached(window.closes_at(start)));
        }
    }
}

impl Operator for ChangingAggregate {
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
            self.take_in(change.rows());
            if let Some(recorded) = &mut self.recorded {
                recorded.push(StateDelta { rows: change.rows().clone(), watermark: self.watermark });
            }
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        self.hold_back(watermark, epoch)?;
        let mut changes = self.settle()?;
        self.watermark.advance_to(watermark);
        self.drop_closed();
        if self.answers_empty_input && self.watermark == Watermark::END {
            self.answers_empty_input = false;
            changes.push(ChangeBatch::inserts(self.spec.result_of_nothing()?));
        }
        Ok(changes)
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
            self.take_in(&delta.rows);
            self.absorb()?;
        }
        self.watermark.advance_to(delta.watermark);
        self.drop_closed();
        Ok(())
    }

    fn bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, Held::bytes);
        self.windows.values().map(KeyedStates::bytes).sum::<usize>() + held
    }

    fn is_due(&self, now_ms: Option<i64>) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_due(now_ms))
    }
}
