//! [`Circuit`]: keeps a source that fails again and again from being asked without end.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// How many tries within the window it takes for their rate of failure to count.
const LEAST_TRIES: usize = 10;
/// How many tries are remembered at most.
const MOST_TRIES: usize = 1_000;

/// Whether a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// It is.
    Closed,
    /// It is asked once more; the answer decides.
    HalfOpen,
    /// It is left alone for a while.
    Open,
}

impl CircuitState {
    /// Returns the state in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CircuitRule {
    /// So many failures one after the other open it.
    pub(super) failures: u32,
    /// So many of a hundred tries within the window open it.
    pub(super) percent: u32,
    /// How far back tries count for the rate.
    pub(super) window: Duration,
    /// How long it stays open.
    pub(super) cooldown: Duration,
}

/// The circuit of one source. Instants are microseconds of the monotonic clock.
#[derive(Debug)]
pub(super) struct Circuit {
    rule: CircuitRule,
    state: CircuitState,
    in_a_row: u32,
    /// When tries within the window were made, and whether they went well.
    tries: VecDeque<(i64, bool)>,
    opened: i64,
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Circuit {
    pub(super) fn new(rule: CircuitRule) -> Self {
        Self { rule, state: CircuitState::Closed, in_a_row: 0, tries: VecDeque::new(), opened: 0 }
    }

    pub(super) fn state(&self) -> CircuitState {
        self.state
    }

    /// Returns when the source may be asked again.
    pub(super) fn may_try_at(&self) -> i64 {
        match self.state {
            CircuitState::Open => self.opened.saturating_add(micros(self.rule.cooldown)),
            CircuitState::Closed | CircuitState::HalfOpen => i64::MIN,
        }
    }

    /// Returns whether the source may be asked at `now`; the first to ask after the cool-down makes the trial.
    pub(super) fn may_try(&mut self, now: i64) -> bool {
        if self.state == CircuitState::Open && now >= self.may_try_at() {
            self.state = CircuitState::HalfOpen;
        }
        self.state != CircuitState::Open
    }

    /// Notes how a try at `now` went.
    pub(super) fn note(&mut self, went_well: bool, now: i64) {
        let oldest = now.saturating_sub(micros(self.rule.window));
        while self.tries.front().is_some_and(|(at, _)| *at <= oldest) || self.tries.len() >= MOST_TRIES {
            self.tries.pop_front();
        }
        self.tries.push_back((now, went_well));
        match (self.state, went_well) {
            (CircuitState::HalfOpen, true) => {
                self.state = CircuitState::Closed;
                self.tries.clear();
                self.in_a_row = 0;
            }
            (_, true) => self.in_a_row = 0,
            (state, false) => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                let in_a_row = self.in_a_row >= self.rule.failures;
                if state == CircuitState::HalfOpen || in_a_row || self.fails_too_often() {
                    self.state = CircuitState::Open;
                    self.opened = now;
                    self.tries.clear();
                    self.in_a_row = 0;
                }
            }
        }
    }

    fn fails_too_often(&self) -> bool {
        let failed = self.tries.iter().filter(|(_, went_well)| !went_well).count();
        let percent = usize::try_from(self.rule.percent).unwrap_or(100);
        self.tries.len() >= LEAST_TRIES && failed * 100 >= percent * self.tries.len()
    }
}
