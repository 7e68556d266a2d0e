//! [`Showing`]: from when on the rows of a window are given.

/// From when on the rows of a window are given; what changes in them afterwards is given as corrections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Showing {
    /// When the window takes no more rows.
    AtClose,
    /// When the watermark passes its end; rows of its grace period correct it.
    AtEnd,
    /// From its first row on.
    Always,
}

impl Showing {
    /// Returns the instant from which on a window with this `end` is shown.
    pub(super) fn from(self, end: i64, grace_ms: i64) -> i64 {
        match self {
            Self::AtClose => end.saturating_add(grace_ms),
            Self::AtEnd => end,
            Self::Always => i64::MIN,
        }
    }
}
