//! [`Pace`]: changes wait for others of their groups, so that a group is not given again and again.

/// When changes that are held back are due.
pub(super) struct Pace {
    interval_ms: Option<i64>,
    /// The clock reading at which the first of what is held back came.
    since: Option<i64>,
}

impl Pace {
    /// Changes are due `interval_ms` after the first of them came; without an interval at once.
    pub(super) fn new(interval_ms: Option<i64>) -> Self {
        Self { interval_ms, since: None }
    }

    /// Says that changes came when the clock showed `now_ms`.
    pub(super) fn came(&mut self, now_ms: i64) {
        if self.interval_ms.is_some() {
            self.since.get_or_insert(now_ms);
        }
    }

    /// Says that nothing is held back any more.
    pub(super) fn released(&mut self) {
        self.since = None;
    }

    /// Returns whether anything that is held back is due at `now_ms`; none stands for any time. A clock that was set back
    /// holds nothing up.
    pub(super) fn is_due(&self, now_ms: Option<i64>) -> bool {
        match (self.since, now_ms, self.interval_ms) {
            (Some(since), Some(now), Some(interval)) => now < since || now.saturating_sub(since) >= interval,
            (since, _, _) => since.is_some(),
        }
    }

    /// Returns whether changes may go out at `now_ms`.
    pub(super) fn lets_go(&self, now_ms: i64) -> bool {
        self.interval_ms.is_none() || self.is_due(Some(now_ms))
    }
}
