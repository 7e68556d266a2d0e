//! [`SessionWindow`]: windows that grow with their rows.

use super::late_rule::LateRule;

/// Windows of one key that grow with their rows until a gap; all lengths are in milliseconds and greater than zero.
///
/// A session ends at its last row plus the gap: a row exactly one gap after the last one starts another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionWindow {
    /// How long without a row ends a session.
    pub gap_ms: i64,
    /// The first row this long after the start of a session, or longer, starts another one.
    pub max_ms: Option<i64>,
    /// How long after its end a session still takes rows.
    pub grace_ms: i64,
    /// Where late rows go.
    pub late: LateRule,
}

impl SessionWindow {
    /// Returns the end of a session whose last row is at `last`, in epoch milliseconds.
    pub fn end(&self, last: i64) -> i64 {
        last.saturating_add(self.gap_ms)
    }

    /// Returns the time at which a row counts, or none if it is late: `time` is its own, `watermark` the running one of
    /// its partition.
    pub fn counts_at(&self, time: i64, watermark: i64) -> Option<i64> {
        match self.late {
            _ if time >= watermark => Some(time),
            LateRule::Drop => None,
            LateRule::NextOpen => Some(watermark),
            LateRule::Correct => (self.end(time).saturating_add(self.grace_ms) > watermark).then_some(time),
        }
    }

    /// Returns the instant from which on no row can change a session whose last row is at `last`.
    pub fn closes_at(&self, last: i64) -> i64 {
        let end = self.end(last).saturating_add(self.grace_ms);
        // A late row counts for as long as the session of its own would be kept, and may touch one a gap before.
        if self.late == LateRule::Correct { end.saturating_add(self.gap_ms) } else { end }
    }

    /// Returns whether a row at `time` belongs to the session that began at `start` and whose last row before it is at
    /// `last`.
    pub fn continues(&self, start: i64, last: i64, time: i64) -> bool {
        time < self.end(last) && self.max_ms.is_none_or(|max| time < start.saturating_add(max))
    }
}
