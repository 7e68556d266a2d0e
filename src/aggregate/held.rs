//! [`Held`]: changes that wait for others of their groups, so that a group is not given again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::keyed_states::KeyedStates;
use super::spec::AggregateSpec;
use crate::error::Result;

/// Partial states of the groups that changed since the last emission, merged by group.
pub(super) struct Held {
    interval_ms: i64,
    /// By window start; `i64::MIN` where there is no window.
    windows: BTreeMap<i64, KeyedStates>,
    /// The clock reading at which the first of them came.
    since: Option<i64>,
}

impl Held {
    /// Creates an empty store; what comes is due after `interval_ms`.
    pub(super) fn new(interval_ms: i64) -> Self {
        Self { interval_ms, windows: BTreeMap::new(), since: None }
    }

    /// Takes partial states of a window, which came when the clock showed `now_ms`.
    pub(super) fn take_in(
        &mut self,
        spec: &Arc<AggregateSpec>,
        start: i64,
        states: &[RecordBatch],
        now_ms: i64,
    ) -> Result<()> {
        self.since.get_or_insert(now_ms);
        let window = match self.windows.entry(start) {
            std::collections::btree_map::Entry::Occupied(window) => window.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(KeyedStates::try_new(Arc::clone(spec))?)
            }
        };
        window.absorb(states)
    }

    /// Returns whether anything is due at `now_ms`; none stands for any time. A clock that was set back holds nothing up.
    pub(super) fn is_due(&self, now_ms: Option<i64>) -> bool {
        match (self.since, now_ms) {
            (Some(since), Some(now)) => now < since || now.saturating_sub(since) >= self.interval_ms,
            (since, _) => since.is_some(),
        }
    }

    /// Gives the states of the windows for which `is_wanted`.
    pub(super) fn release(&mut self, is_wanted: impl Fn(i64) -> bool) -> Result<Vec<(i64, RecordBatch)>> {
        let released = self.windows.extract_if(.., |start, _| is_wanted(*start)).collect::<Vec<_>>();
        if self.windows.is_empty() {
            self.since = None;
        }
        released.into_iter().map(|(start, states)| Ok((start, states.into_partial(start)?))).collect()
    }

    /// Returns about how many bytes the states take.
    pub(super) fn bytes(&self) -> usize {
        self.windows.values().map(KeyedStates::bytes).sum()
    }
}
