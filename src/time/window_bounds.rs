//! [`TumblingWindow`]: where windows begin and end.

use std::num::NonZeroI64;
use std::ops::Range;

/// Returns the start of the tumbling window, in epoch milliseconds, that contains `time`.
///
/// Windows are half-open and aligned to the Unix epoch plus `offset`; times before 1970 round down.
///
/// ```
/// # use std::num::NonZeroI64;
/// use velostream::time::tumbling_start;
///
/// let minute = NonZeroI64::new(60_000).unwrap();
/// assert_eq!(tumbling_start(60_000, minute, 0), 60_000);
/// assert_eq!(tumbling_start(-1, minute, 0), -60_000);
/// assert_eq!(tumbling_start(60_000, minute, 15_000), 15_000);
/// ```
pub fn tumbling_start(time: i64, size_ms: NonZeroI64, offset_ms: i64) -> i64 {
    let since_aligned = time.saturating_sub(offset_ms);
    time.saturating_sub(since_aligned.rem_euclid(size_ms.get()))
}

/// Windows of one size that touch but do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TumblingWindow {
    /// The length in milliseconds, at least 1.
    pub size_ms: NonZeroI64,
    /// How far the alignment is moved from the Unix epoch, in milliseconds.
    pub offset_ms: i64,
    /// How long after its end a window still takes rows, in milliseconds.
    pub grace_ms: i64,
}

impl TumblingWindow {
    /// Returns the window that contains `time`, in epoch milliseconds.
    pub fn containing(&self, time: i64) -> Range<i64> {
        let start = tumbling_start(time, self.size_ms, self.offset_ms);
        start..self.end(start)
    }

    /// Returns the end of the window that begins at `start`.
    pub fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.size_ms.get())
    }

    /// Returns the instant from which on the window that begins at `start` takes no more rows.
    pub fn closes_at(&self, start: i64) -> i64 {
        self.end(start).saturating_add(self.grace_ms)
    }
}
