//! [`SessionAggregate`]: sessions of each key, answered when they close or each time they change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use arrow::array::{AsArray, Int8Array, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use super::groups::KeyedRows;
use super::pace::Pace;
use super::session_states::{Session, SessionStates};
use super::showing::Showing;
use super::spec::{AggregateSpec, Bounds};
use crate::error::Result;
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::{SessionWindow, Watermark};

/// Merges partial sessions by key, and emits each when the watermark has passed it, or whenever it changes.
pub struct SessionAggregate {
    name: String,
    spec: Arc<AggregateSpec>,
    windows: SessionWindow,
    showing: Showing,
    pace: Pace,
    states: SessionStates,
    arrived: Vec<RecordBatch>,
    /// When a session of a key may have to be shown or forgotten; entries outlive what they were made for.
    due: BinaryHeap<Reverse<(i64, usize)>>,
    watermark: Watermark,
    recorded: DeltaLog,
}

/// What goes out: sessions with their weights.
type Changes = Vec<(i8, Session)>;

impl SessionAggregate {
    /// Creates the operator; `record` says whether deltas will be asked for, `interval_ms` how long a
    /// change waits for others of its session.
    pub fn try_new(
        name: String,
        spec: Arc<AggregateSpec>,
        windows: SessionWindow,
        showing: Showing,
        interval_ms: Option<i64>,
        record: bool,
    ) -> Result<Self> {
        Ok(Self {
            name,
            windows,
            showing,
            pace: Pace::new(interval_ms),
            states: SessionStates::try_new(Arc::clone(&spec), windows)?,
            arrived: vec![],
            due: BinaryHeap::new(),
            watermark: Watermark::NONE,
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    fn shown_at(&self, session: &Session) -> i64 {
        self.showing.from(self.windows.end(session.last), self.windows.grace_ms)
    }

    fn forgotten_at(&self, session: &Session) -> i64 {
        self.windows.closes_at(session.last)
    }

    /// Adds what arrived; returns the keys that it belongs to, with the sessions that were shown of them before.
    fn take_in(&mut self) -> Result<BTreeMap<usize, Vec<Session>>> {
        let mut touched = BTreeMap::new();
        for batch in std::mem::take(&mut self.arrived) {
            let rows = KeyedRows::of(&self.spec, &batch);
            let keys = self.states.intern(&rows)?.to_vec();
            for &key in &keys {
                touched.entry(key).or_insert_with(|| self.states.sessions_of(key));
            }
            let times = |column: usize| batch.column(column).as_primitive::<Int64Type>().values();
            self.states.add(&keys, times(0), times(1), rows);
        }
        // Sessions before are found over all keys first: a key may come in several batches.
        self.states.settle(&touched.keys().copied().collect::<Vec<_>>())?;
        Ok(touched)
    }

    /// Moves to `watermark`; returns what changes in what is shown, and the keys of which sessions may have closed.
    fn step(&mut self, watermark: Watermark) -> Result<(Changes, BTreeSet<usize>)> {
        let before = self.watermark;
        let touched = self.take_in()?;
        self.watermark.advance_to(watermark);
        for &key in touched.keys() {
            self.remind(key);
        }
        let mut keys: BTreeSet<usize> = touched.keys().copied().collect();
        while let Some(Reverse((instant, key))) = self.due.peek().copied()
            && self.watermark.has_reached(instant)
        {
            self.due.pop();
            keys.insert(key);
        }
        let mut changes = vec![];
        for &key in &keys {
            let now = self.states.sessions_of(key);
            let earlier = touched.get(&key).unwrap_or(&now);
            let was_shown = |session: &Session| before.has_reached(self.shown_at(session));
            for session in earlier.iter().filter(|session| was_shown(session)) {
                if !now.contains(session) {
                    changes.push((-1, session.clone()));
                }
            }
            for session in &now {
                let known = earlier.contains(session) && was_shown(session);
                if !known && self.watermark.has_reached(self.shown_at(session)) {
                    changes.push((1, session.clone()));
                }
            }
        }
        Ok((changes, keys))
    }

    /// Returns whether `watermark` ends a session, of those that are known or of what arrived.
    fn something_closes(&self, watermark: Watermark) -> bool {
        let known = self.due.peek().is_some_and(|Reverse((instant, _))| watermark.has_reached(*instant));
        let lasts = |batch: &RecordBatch| batch.column(1).as_primitive::<Int64Type>().values().to_vec();
        let mut lasts = self.arrived.iter().flat_map(lasts);
        known || lasts.any(|last| watermark.has_reached(self.windows.closes_at(last)))
    }

    fn remind(&mut self, key: usize) {
        for session in self.states.sessions_of(key) {
            for instant in [self.shown_at(&session), self.forgotten_at(&session)] {
                if instant > i64::MIN {
                    self.due.push(Reverse((instant, key)));
                }
            }
        }
    }

    /// Forgets sessions that take no more rows.
    fn forget_closed(&mut self, keys: BTreeSet<usize>) -> Result<()> {
        for key in keys {
            let mut sessions = self.states.sessions_of(key);
            sessions.retain(|session| self.watermark.has_reached(self.forgotten_at(session)));
            if !sessions.is_empty() {
                self.states.forget(key, &sessions);
            }
        }
        if self.states.compact()? {
            self.due.clear();
            for key in 0..self.states.key_count() {
                self.remind(key);
            }
        }
        Ok(())
    }

    fn rows_of(&self, changes: &Changes) -> Result<ChangeBatch> {
        let sessions: Vec<&Session> = changes.iter().map(|(_, session)| session).collect();
        let keys = self.states.keys_of(&sessions)?;
        let values = self.states.values_of(&sessions)?;
        let bounds = Bounds::Sessions {
            first: Int64Array::from_iter_values(sessions.iter().map(|session| session.first)),
            last: Int64Array::from_iter_values(sessions.iter().map(|session| session.last)),
            gap_ms: self.windows.gap_ms,
        };
        let rows = self.spec.result(&bounds, &keys, values, sessions.len())?;
        let only_inserts = changes.iter().all(|(weight, _)| *weight > 0);
        let weights = Int8Array::from_iter_values(changes.iter().map(|(weight, _)| *weight));
        ChangeBatch::try_new(rows, (!only_inserts).then_some(weights))
    }
}

impl Operator for SessionAggregate {
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
            self.arrived.push(change.rows().clone());
            self.recorded.keep(change.rows(), self.watermark);
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        if !self.arrived.is_empty() {
            self.pace.came(epoch.now_ms);
        }
        if !epoch.last && !self.pace.lets_go(epoch.now_ms) && !self.something_closes(watermark) {
            self.watermark.advance_to(watermark);
            return Ok(vec![]);
        }
        self.pace.released();
        let (changes, keys) = self.step(watermark)?;
        let rows = if changes.is_empty() { vec![] } else { vec![self.rows_of(&changes)?] };
        self.forget_closed(keys)?;
        Ok(rows)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || self.spec.state_schema())
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        if delta.rows.num_rows() > 0 {
            self.arrived.push(delta.rows.clone());
        }
        // What this changes was emitted before the snapshot.
        let (_, keys) = self.step(delta.watermark)?;
        self.forget_closed(keys)
    }

    fn bytes(&self) -> usize {
        self.states.bytes()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.states.len())
    }

    fn is_due(&self, now_ms: Option<i64>) -> bool {
        self.pace.is_due(now_ms)
    }

    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        watermark.minus(self.windows.grace_ms)
    }
}
