//! [`Gate`]: what a job waits for before it reads.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::load::{Loads, TableLoad};
use super::progress::{LoadState, waiting_text};
use super::turns::Turn;
use crate::config::duration_text;
use crate::error::{Error, Result};
use crate::job::messages::StopFlag;
use crate::time::Clock;

/// How often a closed gate is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What keeps the readers of a job from their sources until the tables that the job reads are ready.
#[derive(Debug)]
pub struct Gate {
    waits: Vec<(Arc<TableLoad>, Duration)>,
    own: Option<OwnLoad>,
    turn: Option<Turn>,
    state: Mutex<State>,
}

/// The load that a job is, and its turn among the others.
#[derive(Debug, Clone)]
pub struct OwnLoad {
    /// The load.
    pub load: Arc<TableLoad>,
    /// The loads of all that its rows are made from, over other jobs too: one that has its turn must not wait for one
    /// that has not.
    pub after: Vec<Arc<TableLoad>>,
    /// All loads of the application.
    pub all: Arc<Loads>,
    /// How many may run when this one begins, itself among them.
    pub max_parallel: usize,
}

#[derive(Debug, Default)]
struct State {
    /// When somebody first stood at the gate, in microseconds of the monotonic clock.
    since: Option<i64>,
    open: bool,
}

impl Gate {
    /// Creates a gate that opens when all tables are ready, and fails where one is not within its limit. A job that
    /// loads a table itself also waits for its turn.
    pub fn new(waits: Vec<(Arc<TableLoad>, Duration)>, own: Option<OwnLoad>) -> Self {
        Self { waits, own, turn: None, state: Mutex::default() }
    }

    /// Makes the job wait for its turn among those that change one table.
    #[must_use]
    pub fn in_turn(self, turn: Turn) -> Self {
        Self { turn: Some(turn), ..self }
    }

    /// Waits until the gate is open; returns false if the job was stopped before.
    ///
    /// # Errors
    /// As the load of a table failed; `Unavailable`, if a table is not ready in time.
    pub(crate) fn pass(&self, clock: &dyn Clock, stop: &StopFlag) -> Result<bool> {
        loop {
            if stop.is_raised() {
                return Ok(false);
            }
            if self.look(clock.monotonic_micros())? {
                return Ok(true);
            }
            clock.wait(LOOK);
        }
    }

    /// Returns whether the gate is open when the clock shows `micros`.
    pub(super) fn look(&self, micros: i64) -> Result<bool> {
        let mut state = self.state.lock();
        if state.open {
            return Ok(true);
        }
        let since = *state.since.get_or_insert(micros);
        let mut all_ready = true;
        for (load, limit) in &self.waits {
            load.check()?;
            if load.is_ready() {
                continue;
            }
            all_ready = false;
            if u128::try_from(micros - since).is_ok_and(|waited| waited >= limit.as_micros()) {
                return Err(too_late(load, *limit, micros));
            }
        }
        if let Some(own) = &self.own {
            for load in &own.after {
                load.check()?;
                all_ready &= load.is_ready();
            }
        }
        if let Some(turn) = &self.turn {
            all_ready &= turn.has_come()?;
        }
        let begins = |own: &OwnLoad| own.all.begin(&own.load, own.max_parallel, micros);
        state.open = all_ready && self.own.as_ref().is_none_or(begins);
        Ok(state.open)
    }

    /// Returns what the job still waits for: `users 45 %, ETA 12 s`; none once it reads.
    pub(crate) fn waiting(&self, micros: i64) -> Option<String> {
        if self.state.lock().open {
            return None;
        }
        let waits = self.waits.iter().filter(|(load, _)| !load.is_ready());
        let loads: Vec<_> = waits.map(|(load, _)| load.progress(micros)).collect();
        match &self.own {
            Some(own) if loads.is_empty() => {
                Some(format!("its turn: {} loads may run at once", own.max_parallel))
            }
            _ if loads.is_empty() && self.turn.is_some() => Some("the statements before it".to_owned()),
            _ => (!loads.is_empty()).then(|| waiting_text(&loads)),
        }
    }
}

fn too_late(load: &TableLoad, limit: Duration, micros: i64) -> Error {
    let progress = load.progress(micros);
    let table = load.table();
    let trouble = progress.trouble_text();
    let far = match progress.state {
        LoadState::WaitingForDependencies => "it has not begun, because it waits for other tables".to_owned(),
        _ => {
            let of_it = progress.percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
            let left = progress.eta_seconds.map(|seconds| format!(", about {seconds:.0} s to go"));
            format!(
                "it has {} rows{of_it} after {:.1} s, {:.1} rows/s{}",
                progress.rows,
                progress.seconds,
                progress.rows_per_second,
                left.unwrap_or_default()
            )
        }
    };
    Error::unavailable(format!("table `{table}` is not ready after {}: {far}{trouble}", duration_text(limit))).with_hint(
        format!("wait longer: '{table}.wait.timeout' = '…' for this table, 'table.wait.timeout' = '…' for all; or see whether its source is slow or away"),
    )
}
