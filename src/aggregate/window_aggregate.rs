//! [`FinalAggregate`]: one answer for each group when its window closes, or when the input ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use super::groups::{KeyedRows, LiveStates};
use super::hopping_states::HoppingStates;
use super::spec::{AggregateSpec, Bounds};
use super::window_key::WindowKey;
use crate::error::Result;
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Merges partial states by window and emits each window's groups once, when the watermark closes it.
///
/// Without a window there is one that the end of the input closes.
pub struct FinalAggregate {
    name: String,
    spec: Arc<AggregateSpec>,
    states: States,
    watermark: Watermark,
    /// Whether this instance answers for an empty input: `SELECT count(*)` of nothing is one row.
    answers_empty_input: bool,
    recorded: DeltaLog,
}

/// The states of the windows that are open.
enum States {
    /// No row is in two windows: by window, the whole input is the window `i64::MAX`.
    Apart(BTreeMap<i64, LiveStates>),
    /// Windows share the panes they are made of.
    Overlapping(HoppingStates),
}

impl FinalAggregate {
    /// Creates the operator; `first_shard` says whether it is the one that answers for an empty input, `record`
    /// whether deltas will be asked for.
    pub fn new(name: String, spec: Arc<AggregateSpec>, first_shard: bool, record: bool) -> Self {
        let states = match &spec.window {
            Some(WindowKey::Aligned { windows, .. }) if windows.overlap() => {
                States::Overlapping(HoppingStates::new(*windows))
            }
            _ => States::Apart(BTreeMap::new()),
        };
        Self {
            name,
            states,
            watermark: Watermark::NONE,
            answers_empty_input: first_shard && spec.keys.is_empty() && spec.window.is_none(),
            recorded: DeltaLog::new(record),
            spec,
        }
    }

    fn merge(&mut self, states: &RecordBatch) -> Result<()> {
        for (window, first, rows) in window_slices(&self.spec, states) {
            let rows = KeyedRows::of(&self.spec, &rows);
            match &mut self.states {
                States::Apart(windows) => {
                    let live = match windows.entry(window) {
                        std::collections::btree_map::Entry::Occupied(live) => live.into_mut(),
                        std::collections::btree_map::Entry::Vacant(place) => {
                            place.insert(LiveStates::try_new(&self.spec)?)
                        }
                    };
                    live.merge(&self.spec, &rows.columns, rows.rows)?;
                }
                States::Overlapping(panes) => panes.add(&self.spec, window, first, rows)?,
            }
        }
        Ok(())
    }

    /// Takes the next window out that the watermark has closed.
    fn next_closed(&mut self) -> Result<Option<(i64, LiveStates)>> {
        let (spec, watermark) = (&self.spec, self.watermark);
        let closes_at = |window: i64| spec.window.as_ref().map_or(window, |key| key.closes_at(window));
        match &mut self.states {
            States::Apart(windows) => {
                let Some(first) = windows.first_entry() else { return Ok(None) };
                let closed = watermark.has_reached(closes_at(*first.key()));
                Ok(closed.then(|| first.remove_entry()))
            }
            States::Overlapping(panes) => {
                let Some(window) = panes.next_window() else { return Ok(None) };
                if !watermark.has_reached(closes_at(window)) {
                    return Ok(None);
                }
                Ok(Some((window, panes.close(spec, window)?)))
            }
        }
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
            self.recorded.keep(change.rows(), self.watermark);
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        self.watermark.advance_to(watermark);
        let mut closed = vec![];
        while let Some((window, live)) = self.next_closed()? {
            let rows = live.len();
            let bounds = self.spec.window.as_ref().map_or(0..0, |key| key.bounds(window));
            let (keys, values) = live.evaluate()?;
            let result = self.spec.result(&Bounds::Same(bounds), &keys, values, rows)?;
            closed.push(ChangeBatch::inserts(result));
            self.answers_empty_input = false;
        }
        if self.answers_empty_input && self.watermark == Watermark::END {
            self.answers_empty_input = false;
            closed.push(ChangeBatch::inserts(self.spec.result_of_nothing()?));
        }
        Ok(closed)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || self.spec.state_schema())
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        if delta.rows.num_rows() > 0 {
            self.merge(&delta.rows)?;
        }
        self.watermark.advance_to(delta.watermark);
        // What is closed by now was emitted before the snapshot.
        while self.next_closed()?.is_some() {}
        Ok(())
    }

    fn bytes(&self) -> usize {
        match &self.states {
            States::Apart(windows) => windows.values().map(LiveStates::bytes).sum(),
            States::Overlapping(panes) => panes.bytes(),
        }
    }

    fn rows(&self) -> Option<usize> {
        Some(match &self.states {
            States::Apart(windows) => windows.values().map(LiveStates::len).sum(),
            States::Overlapping(panes) => panes.len(),
        })
    }

    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        self.spec.window.as_ref().map_or(watermark, |key| watermark.minus(key.grace_ms()))
    }
}

/// Cuts partial states, which are sorted by window within each batch, into one slice for each run of a window or pane;
/// each comes with that and with the first window that its rows count in.
pub(super) fn window_slices(spec: &AggregateSpec, states: &RecordBatch) -> Vec<(i64, i64, RecordBatch)> {
    if spec.window.is_none() {
        return vec![(i64::MAX, i64::MAX, states.clone())];
    }
    let column = |ordinal: usize| states.column(ordinal).as_primitive::<Int64Type>().values();
    let parts = column(0);
    let firsts = if spec.first_key() > 1 { column(1) } else { parts };
    let mut slices = vec![];
    let mut begin = 0;
    while begin < parts.len() {
        let (part, first) = (parts[begin], firsts[begin]);
        let rest = parts[begin..].iter().zip(&firsts[begin..]);
        let length = rest.take_while(|&(&other, &other_first)| (other, other_first) == (part, first)).count();
        slices.push((part, first, states.slice(begin, length)));
        begin += length;
    }
    slices
}
