//! [`Progress`]: how far a job is, for whoever waits until it has come somewhere.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::time::Watermark;

/// What the driver and the sink of a job say about how far they are.
#[derive(Debug, Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    moved: Condvar,
}

/// What a job has taken in of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenIn {
    /// Records, those before a restart among them.
    pub records: u64,
    /// The watermark that an upstream job has promised.
    pub promised: Watermark,
}

#[derive(Debug, Default)]
struct State {
    /// For each scan what epochs have taken in.
    taken: Vec<TakenIn>,
    epochs_run: u64,
    epochs_written: u64,
    /// The clock reading, in monotonic microseconds, at which there was nothing left to do.
    at_rest: Option<i64>,
    /// Whether all that was there when the job's sources were opened is worked through.
    caught_up: bool,
    over: bool,
}

impl Progress {
    /// Says that an epoch with which `taken` is taken in goes to the sink.
    pub(super) fn ran(&self, taken: Vec<TakenIn>) {
        let mut state = self.state.lock();
        state.taken = taken;
        state.epochs_run += 1;
        state.at_rest = None;
        self.moved.notify_all();
    }

    /// Says that the sink has the next epoch.
    pub(super) fn wrote(&self) {
        self.state.lock().epochs_written += 1;
        self.moved.notify_all();
    }

    /// Says that with `taken` taken in there was nothing to do when the clock showed `micros`.
    pub(super) fn rested(&self, taken: Vec<TakenIn>, micros: i64) {
        let mut state = self.state.lock();
        state.taken = taken;
        state.at_rest = Some(micros);
        self.moved.notify_all();
    }

    /// Says that all that was there when the job's sources were opened is worked through.
    pub(super) fn caught_up(&self) {
        self.state.lock().caught_up = true;
        self.moved.notify_all();
    }

    /// Says that nothing more will be said.
    pub(super) fn end(&self) {
        self.state.lock().over = true;
        self.moved.notify_all();
    }

    /// Waits until the sink has what follows from `wanted` of each scan, or the job is over.
    ///
    /// Fails with what is taken in, if that takes longer than `limit`.
    pub(super) fn wait_for(&self, wanted: &[TakenIn], limit: Duration) -> Result<(), Vec<TakenIn>> {
        let is_there = |(taken, wanted): (&TakenIn, &TakenIn)| {
            taken.records >= wanted.records && taken.promised >= wanted.promised
        };
        self.wait(limit, |state| {
            state.taken.len() >= wanted.len() && state.taken.iter().zip(wanted).all(is_there)
        })
    }

    /// Waits until there was nothing to do at `micros` of the monotonic clock or later, or the job is over.
    pub(super) fn wait_for_rest(&self, micros: i64, limit: Duration) -> Result<(), Vec<TakenIn>> {
        self.wait(limit, |state| state.at_rest.is_some_and(|rested| rested >= micros))
    }

    /// Waits until the sink has what follows from all that was there when the job's sources were opened.
    pub(super) fn wait_for_catch_up(&self, limit: Duration) -> Result<(), Vec<TakenIn>> {
        self.wait(limit, |state| state.caught_up)
    }

    /// Waits until nothing more will be said.
    pub(super) fn wait_for_end(&self, limit: Duration) -> Result<(), Vec<TakenIn>> {
        self.wait(limit, |_| false)
    }

    /// Returns whether nothing more will be said.
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    fn wait(&self, limit: Duration, is_there: impl Fn(&State) -> bool) -> Result<(), Vec<TakenIn>> {
        let has_come = |state: &State| is_there(state) && state.epochs_run == state.epochs_written;
        let is_away = |state: &mut State| !state.over && !has_come(state);
        let mut state = self.state.lock();
        if self.moved.wait_while_for(&mut state, is_away, limit).timed_out() {
            return Err(state.taken.clone());
        }
        Ok(())
    }
}
