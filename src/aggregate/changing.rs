//! [`ChangingAggregate`]: every epoch's changes of the groups it touched, as a changelog.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch};

use super::groups::{KeyedRows, push};
use super::keyed_states::KeyedStates;
use super::pace::Pace;
use super::showing::Showing;
use super::spec::{AggregateSpec, Bounds};
use super::window_aggregate::window_slices;
use super::window_key::WindowKey;
use crate::error::Result;
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Merges partial states by key and emits, once per epoch, the old and the new row of each group that changed.
///
/// The cost of an epoch is that of the groups it touches, whatever the number of groups in state.
pub struct ChangingAggregate {
    name: String,
    spec: Arc<AggregateSpec>,
    showing: Showing,
    /// By window; `i64::MAX` where there is none.
    windows: BTreeMap<i64, KeyedStates>,
    /// The partial states of the running epoch and of windows that are not shown yet, by window.
    arrived: BTreeMap<i64, Vec<KeyedRows>>,
    pace: Pace,
    watermark: Watermark,
    /// Whether this instance answers for an empty input: `SELECT count(*)` of nothing is one row.
    answers_empty_input: bool,
    recorded: DeltaLog,
}

impl ChangingAggregate {
    /// Creates the operator; `first_shard` says whether it is the one that answers for an empty input, `record`
    /// whether deltas will be asked for, `interval_ms` how long a change waits for others of its group.
    pub fn new(
        name: String,
        spec: Arc<AggregateSpec>,
        showing: Showing,
        interval_ms: Option<i64>,
        first_shard: bool,
        record: bool,
    ) -> Self {
        Self {
            name,
            showing,
            pace: Pace::new(interval_ms),
            windows: BTreeMap::new(),
            arrived: BTreeMap::new(),
            watermark: Watermark::NONE,
            answers_empty_input: first_shard && spec.keys.is_empty() && spec.window.is_none(),
            recorded: DeltaLog::new(record),
            spec,
        }
    }

    fn take_in(&mut self, states: &RecordBatch) -> Result<()> {
        for (pane, first, rows) in window_slices(&self.spec, states) {
            let rows = KeyedRows::of(&self.spec, &rows);
            let windows = match &self.spec.window {
                Some(WindowKey::Aligned { windows, .. }) => first..=*windows.windows_of(pane).end(),
                _ => pane..=pane,
            };
            for window in windows {
                push(&self.spec, self.arrived.entry(window).or_default(), rows.clone())?;
            }
        }
        Ok(())
    }

    /// Returns the instant from which on a window is shown.
    fn shown_at(&self, window: i64) -> i64 {
        let Some(key) = &self.spec.window else { return i64::MIN };
        let grace = key.grace_ms();
        self.showing.from(key.closes_at(window).saturating_sub(grace), grace)
    }

    /// Returns the windows with arrivals of which the changes may go out; the last ones come before a window closes.
    fn ready(&self, epoch: &EpochContext) -> Vec<i64> {
        let all = epoch.last || self.watermark == Watermark::END || self.pace.lets_go(epoch.now_ms);
        let closes = |window| {
            let key = self.spec.window.as_ref();
            key.is_some_and(|key| self.watermark.has_reached(key.closes_at(window)))
        };
        let is_ready =
            |window: i64| self.watermark.has_reached(self.shown_at(window)) && (all || closes(window));
        self.arrived.keys().copied().filter(|window| is_ready(*window)).collect()
    }

    /// Merges what arrived for some windows, and returns what it changed.
    fn settle(&mut self, windows: Vec<i64>) -> Result<Vec<ChangeBatch>> {
        let mut changes = vec![];
        for window in windows {
            let Some(parts) = self.arrived.remove(&window) else { continue };
            let (keys, values, weights) = self.states(window)?.merge(&parts)?.into_rows()?;
            if !weights.is_empty() {
                changes.push(self.changelog(window, &keys, values, weights)?);
            }
        }
        if self.arrived.is_empty() {
            self.pace.released();
        }
        Ok(changes)
    }

    /// Merges what arrived for windows that are shown, of which nobody asks what it changed: that was emitted before the
    /// snapshot.
    fn absorb(&mut self) -> Result<()> {
        let shown: Vec<i64> = self
            .arrived
            .keys()
            .copied()
            .filter(|&window| self.watermark.has_reached(self.shown_at(window)))
            .collect();
        for window in shown {
            if let Some(parts) = self.arrived.remove(&window) {
                self.states(window)?.absorb(&parts)?;
            }
        }
        Ok(())
    }

    /// Returns the states of a window that has rows.
    fn states(&mut self, window: i64) -> Result<&mut KeyedStates> {
        self.answers_empty_input = false;
        match self.windows.entry(window) {
            std::collections::btree_map::Entry::Occupied(states) => Ok(states.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                Ok(place.insert(KeyedStates::try_new(Arc::clone(&self.spec))?))
            }
        }
    }

    fn changelog(
        &self,
        window: i64,
        keys: &[ArrayRef],
        values: Vec<ArrayRef>,
        weights: Vec<i8>,
    ) -> Result<ChangeBatch> {
        let bounds = self.spec.window.as_ref().map_or(0..0, |key| key.bounds(window));
        let rows = self.spec.result(&Bounds::Same(bounds), keys, values, weights.len())?;
        let only_inserts = weights.iter().all(|&weight| weight > 0);
        ChangeBatch::try_new(rows, (!only_inserts).then(|| Int8Array::from(weights)))
    }

    fn drop_closed(&mut self) {
        if let Some(key) = &self.spec.window {
            let watermark = self.watermark;
            self.windows.retain(|&window, _| !watermark.has_reached(key.closes_at(window)));
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
            self.take_in(change.rows())?;
            self.recorded.keep(change.rows(), self.watermark);
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        if !self.arrived.is_empty() {
            self.pace.came(epoch.now_ms);
        }
        let mut changes = vec![];
        if self.showing != Showing::Always {
            // Corrections of windows that were given, before those that are given now.
            changes.extend(self.settle(self.ready(epoch))?);
        }
        self.watermark.advance_to(watermark);
        changes.extend(self.settle(self.ready(epoch))?);
        self.drop_closed();
        if self.answers_empty_input && self.watermark == Watermark::END {
            self.answers_empty_input = false;
            changes.push(ChangeBatch::inserts(self.spec.result_of_nothing()?));
        }
        Ok(changes)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || self.spec.state_schema())
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        if delta.rows.num_rows() > 0 {
            self.take_in(&delta.rows)?;
        }
        self.absorb()?;
        self.watermark.advance_to(delta.watermark);
        self.absorb()?;
        self.drop_closed();
        Ok(())
    }

    fn bytes(&self) -> usize {
        let arrived: usize = self.arrived.values().flatten().map(KeyedRows::bytes).sum();
        arrived + self.windows.values().map(KeyedStates::bytes).sum::<usize>()
    }

    fn rows(&self) -> Option<usize> {
        let arrived: usize = self.arrived.values().flatten().map(|part| part.rows).sum();
        Some(arrived + self.windows.values().map(KeyedStates::len).sum::<usize>())
    }

    fn is_due(&self, now_ms: Option<i64>) -> bool {
        self.pace.is_due(now_ms)
    }
}
