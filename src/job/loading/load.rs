//! [`TableLoad`]: the load of one table, as the job that keeps it says and others see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::progress::{LoadProgress, LoadState};
use crate::connect::{CircuitState, SourceHealth};
use crate::error::{Error, Result};

/// The load of one table, shared by the job that keeps the table and those that read it.
#[derive(Debug)]
pub struct TableLoad {
    table: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    begun: bool,
    /// When the load began and when it was ready, in microseconds of the monotonic clock.
    began: Option<i64>,
    ready: Option<i64>,
    rows: u64,
    bytes: u64,
    /// What each source of the job has read, and how much there is.
    measures: BTreeMap<usize, (u64, u64)>,
    /// How the sources of the job are that may be away.
    health: BTreeMap<usize, SourceHealth>,
    /// The highest percentage that was ever said.
    percent: u8,
    failure: Option<Error>,
}

impl TableLoad {
    /// Creates the load of a table, which has not begun.
    pub fn new(table: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { table: table.into(), state: Mutex::default() })
    }

    /// Returns the table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Says that the load begins at `micros`; a job that goes on after a restart goes on with its load.
    pub(crate) fn begin(&self, micros: i64) {
        let mut state = self.state.lock();
        state.begun = true;
        state.began.get_or_insert(micros);
    }

    /// Says that further records were taken in.
    pub(crate) fn took_in(&self, records: u64, bytes: u64) {
        let mut state = self.state.lock();
        state.rows += records;
        state.bytes += bytes;
    }

    /// Says how much of its `total` a source has read; totals that turn out too small grow.
    pub(crate) fn measured(&self, source: usize, read: u64, total: u64) {
        let mut state = self.state.lock();
        let measure = state.measures.entry(source).or_default();
        measure.0 = measure.0.max(read);
        measure.1 = measure.1.max(total).max(measure.0);
    }

    /// Says how a source is that may be away.
    pub(crate) fn set_health(&self, source: usize, health: SourceHealth) {
        self.state.lock().health.insert(source, health);
    }

    /// Says that everything that was there at the start is in the table.
    pub(crate) fn finish(&self, micros: i64) {
        let mut state = self.state.lock();
        state.begun = true;
        state.began.get_or_insert(micros);
        state.ready.get_or_insert(micros);
    }

    /// Says that the job that keeps the table has failed.
    pub(crate) fn fail(&self, error: &Error) {
        self.state.lock().failure.get_or_insert_with(|| error.copied());
    }

    /// Returns whether everything that was there at the start is in the table.
    pub fn is_ready(&self) -> bool {
        self.state.lock().ready.is_some()
    }

    /// Returns whether the load runs: it has begun, and is neither ready nor failed.
    pub fn is_running(&self) -> bool {
        self.state.lock().of() == LoadState::Loading
    }

    /// Fails for those that wait, if the load failed before it was ready.
    pub(crate) fn check(&self) -> Result<()> {
        let state = self.state.lock();
        match (&state.failure, state.ready) {
            (Some(failure), None) => {
                Err(failure.copied().within(format!("table `{}` could not be loaded", self.table)))
            }
            _ => Ok(()),
        }
    }

    /// Returns how far the load is when the clock shows `micros`.
    pub fn progress(&self, micros: i64) -> LoadProgress {
        let mut state = self.state.lock();
        let stage = state.of();
        let seconds = state.began.map_or(0.0, |began| seconds(state.ready.unwrap_or(micros) - began));
        let (read, total) = state
            .measures
            .values()
            .fold((0_u64, 0_u64), |sum, part| (sum.0.saturating_add(part.0), sum.1.saturating_add(part.1)));
        let measured = !state.measures.is_empty();
        if measured && total > 0 {
            let percent = u128::from(read) * 100 / u128::from(total);
            state.percent = state.percent.max(u8::try_from(percent.min(99)).unwrap_or(99));
        }
        let percent = match stage {
            LoadState::Ready | LoadState::Stale => Some(100),
            _ => measured.then_some(state.percent),
        };
        LoadProgress {
            table: self.table.clone(),
            state: stage,
            rows: state.rows,
            bytes: state.bytes,
            read: measured.then_some(read),
            expected: measured.then_some(total),
            rows_per_second: ratio(state.rows, 1.0, seconds),
            eta_seconds: (stage == LoadState::Loading && measured && read > 0 && seconds > 0.0)
                .then(|| ratio(total - read, seconds, ratio(read, 1.0, 1.0))),
            percent,
            seconds,
            circuit: state.circuit(),
            trouble: state.health.values().find_map(|health| health.trouble.clone()),
            error: state.failure.as_ref().map(|failure| failure.message().to_owned()),
        }
    }
}

impl State {
    /// Returns the circuit that is furthest from closed.
    fn circuit(&self) -> Option<CircuitState> {
        self.health.values().filter_map(|health| health.circuit).max()
    }

    fn of(&self) -> LoadState {
        match (&self.failure, self.ready) {
            (Some(_), Some(_)) => LoadState::Stale,
            (Some(_), None) => LoadState::Failed,
            (None, Some(_)) => LoadState::Ready,
            (None, None) if self.begun => LoadState::Loading,
            (None, None) => LoadState::WaitingForDependencies,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a measured time needs no more than 52 bits")]
fn seconds(micros: i64) -> f64 {
    micros.max(0) as f64 / 1e6
}

/// Returns `count × factor ÷ by`, 0 where nothing can be said.
#[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
fn ratio(count: u64, factor: f64, by: f64) -> f64 {
    if by > 0.0 { count as f64 * factor / by } else { 0.0 }
}

/// The loads of an application.
#[derive(Debug, Default)]
pub struct Loads(Mutex<Vec<Arc<TableLoad>>>);

impl Loads {
    /// Adds a load, unless it is there.
    pub fn add(&self, load: &Arc<TableLoad>) {
        let mut all = self.0.lock();
        if !all.iter().any(|known| Arc::ptr_eq(known, load)) {
            all.push(Arc::clone(load));
        }
    }

    /// Forgets a load, whose table is gone.
    pub fn remove(&self, load: &Arc<TableLoad>) {
        self.0.lock().retain(|known| !Arc::ptr_eq(known, load));
    }

    /// Begins a load, unless `max_parallel` others run; returns whether it runs.
    pub(crate) fn begin(&self, load: &TableLoad, max_parallel: usize, micros: i64) -> bool {
        let all = self.0.lock();
        let running = all.iter().filter(|load| load.is_running()).count();
        if running >= max_parallel && !load.is_running() && !load.is_ready() {
            return false;
        }
        load.begin(micros);
        true
    }

    /// Returns how far each load is.
    pub fn progress(&self, micros: i64) -> Vec<LoadProgress> {
        self.0.lock().iter().map(|load| load.progress(micros)).collect()
    }
}
