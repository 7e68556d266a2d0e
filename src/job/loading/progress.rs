//! [`LoadProgress`]: how far the load of a table is, for people and reports.

use std::fmt;

use serde::Serialize;

use crate::connect::CircuitState;

/// What a load is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadState {
    /// The tables that it is made from are not ready, or as many loads as may run at once do.
    WaitingForDependencies,
    /// It reads what was there at its start.
    Loading,
    /// It has all of that, and may go on with what comes.
    Ready,
    /// It ended before it was ready.
    Failed,
    /// It was ready, and is no longer kept up to date.
    Stale,
}

impl fmt::Display for LoadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WaitingForDependencies => "waiting for dependencies",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stale => "stale",
        })
    }
}

/// How far the load of a table, or of several together, is.
///
/// No number ever goes back, and `percent` is 100 if and only if the load is ready.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadProgress {
    /// The table; `all tables` for several together.
    pub table: String,
    /// What the load is doing.
    pub state: LoadState,
    /// Records read so far.
    pub rows: u64,
    /// Bytes read so far.
    pub bytes: u64,
    /// How much of the source is read, in the source's own measure: bytes of files, offsets of topics.
    pub read: Option<u64>,
    /// How much of the source there is, in the same measure, where that is known.
    pub expected: Option<u64>,
    /// Records read in a second, on average since the load began.
    pub rows_per_second: f64,
    /// Seconds until the load is ready at this rate, where that can be said.
    pub eta_seconds: Option<f64>,
    /// How much is loaded, in percent, where that can be said.
    pub percent: Option<u8>,
    /// Seconds since the load began, until it was ready.
    pub seconds: f64,
    /// Whether its source is asked, where the source has a circuit.
    pub circuit: Option<CircuitState>,
    /// Why nothing comes from its source although there may be something.
    pub trouble: Option<String>,
    /// Why it failed, or is no longer up to date.
    pub error: Option<String>,
}

impl LoadProgress {
    /// Returns the progress of several loads together.
    pub fn total(parts: &[Self]) -> Self {
        let sum = |number: fn(&Self) -> u64| parts.iter().map(number).sum();
        let open = |part: &&Self| !matches!(part.state, LoadState::Ready | LoadState::Stale);
        let all = |number: fn(&Self) -> Option<u64>| parts.iter().map(number).sum::<Option<u64>>();
        let failed = parts.iter().find(|part| part.state == LoadState::Failed);
        let state = match (failed, parts.iter().filter(open).map(|part| part.state).max()) {
            (Some(_), _) => LoadState::Failed,
            (None, Some(state)) => state,
            (None, None) if parts.iter().any(|part| part.state == LoadState::Stale) => LoadState::Stale,
            (None, None) => LoadState::Ready,
        };
        // Tables measure their sources each in its own way: of the total, each is as much as any other.
        let percents = parts.iter().map(|part| part.percent.map(usize::from)).sum::<Option<usize>>();
        let percent = percents.and_then(|sum| u8::try_from(sum.checked_div(parts.len()).unwrap_or(100)).ok());
        let done = parts.iter().filter(open).count() == 0;
        let longest = |seconds: fn(&Self) -> Option<f64>| {
            let open = parts.iter().filter(open).map(seconds).collect::<Option<Vec<_>>>();
            open.map(|all| all.into_iter().fold(0.0, f64::max))
        };
        Self {
            table: "all tables".to_owned(),
            state,
            rows: sum(|part| part.rows),
            bytes: sum(|part| part.bytes),
            read: all(|part| part.read),
            expected: all(|part| part.expected),
            rows_per_second: parts.iter().filter(open).map(|part| part.rows_per_second).sum(),
            eta_seconds: longest(|part| part.eta_seconds).filter(|_| !done),
            percent: if done { Some(100) } else { percent.map(|percent| percent.min(99)) },
            seconds: parts.iter().map(|part| part.seconds).fold(0.0, f64::max),
            circuit: parts.iter().filter_map(|part| part.circuit).max(),
            trouble: parts.iter().find_map(|part| part.trouble.clone()),
            error: failed.and_then(|part| part.error.clone()),
        }
    }

    /// Returns what is known of how far it is: `45 %, ETA 12 s`, or the rows where no end is known.
    pub fn how_far(&self) -> String {
        format!("{}{}", self.reached(), self.trouble_text())
    }

    /// Returns what is wrong with the source, to put behind something else: `; no file matches … (circuit open)`, and why
    /// a table is no longer kept up to date.
    pub fn trouble_text(&self) -> String {
        let circuit = self.circuit.map(|circuit| format!("circuit {}", circuit.name()));
        let stale = self.error.as_ref().filter(|_| self.state == LoadState::Stale);
        match (stale.or(self.trouble.as_ref()), circuit) {
            (Some(trouble), Some(circuit)) => format!("; {trouble} ({circuit})"),
            (Some(trouble), None) => format!("; {trouble}"),
            (None, Some(circuit)) if self.circuit != Some(CircuitState::Closed) => format!("; {circuit}"),
            (None, _) => String::new(),
        }
    }

    fn reached(&self) -> String {
        let eta = self.eta_seconds.map(|seconds| format!(", ETA {} s", whole(seconds)));
        match (self.state, self.percent) {
            (LoadState::WaitingForDependencies, _) => "not begun".to_owned(),
            (LoadState::Failed, _) => "failed".to_owned(),
            (LoadState::Ready, _) => format!("ready, {} rows", self.rows),
            (LoadState::Stale, _) => format!("{} rows", self.rows),
            (LoadState::Loading, Some(percent)) => format!("{percent} %{}", eta.unwrap_or_default()),
            (LoadState::Loading, None) => format!("{} rows, {}/s", self.rows, whole(self.rows_per_second)),
        }
    }
}

/// Returns `users 45 %, ETA 12 s; prices 3 rows, 1/s` for the loads that are not ready.
pub(super) fn waiting_text(loads: &[LoadProgress]) -> String {
    let text = |load: &LoadProgress| format!("{} {}", load.table, load.how_far());
    loads.iter().map(text).collect::<Vec<_>>().join("; ")
}

/// Rounds up to a whole number, for people.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number for a person")]
fn whole(number: f64) -> u64 {
    number.max(0.0).ceil() as u64
}
