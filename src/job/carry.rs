//! [`Carry`]: what one chunk of a partition must know of the chunks before it, passed along in order.
//!
//! Chunks of one partition are decoded on several workers at once. Lateness is decided against the running watermark
//! of the partition, and errors name lines of the whole file; both need a prefix of what came before. Each worker
//! decodes first, takes its turn here, which is a few instructions, and goes on.

use parking_lot::{Condvar, Mutex};

use crate::time::Watermark;

/// What a partition has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The highest event time so far, in epoch milliseconds; `i64::MIN` before the first row.
    pub(crate) seen: i64,
    /// The lines so far.
    pub(crate) lines: u64,
    /// The records so far, good and bad.
    pub(crate) records: u64,
    /// A watermark that the partition does not fall behind: that of the source when the partition came back.
    pub(crate) floor: Watermark,
}

impl Default for Carried {
    fn default() -> Self {
        Self { seen: i64::MIN, lines: 0, records: 0, floor: Watermark::NONE }
    }
}

/// The carried state of one partition, and whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    state: Mutex<(u64, Carried)>,
    passed: Condvar,
}

impl Carry {
    /// Creates the carry of a partition that goes on from `carried`.
    pub(crate) fn resuming(carried: Carried) -> Self {
        Self { state: Mutex::new((0, carried)), passed: Condvar::new() }
    }

    /// Waits for the turn of the chunk with ordinal `turn`, adds the chunk's own `seen`, `lines` and `records`, and
    /// returns what was there before.
    pub(crate) fn pass(&self, turn: u64, seen: i64, lines: u64, records: u64) -> Carried {
        let mut state = self.state.lock();
        while state.0 != turn {
            self.passed.wait(&mut state);
        }
        let before = state.1;
        state.0 += 1;
        state.1.seen = before.seen.max(seen);
        state.1.lines += lines;
        state.1.records += records;
        self.passed.notify_all();
        before
    }

    /// Lifts the floor.
    pub(crate) fn lift(&self, floor: Watermark) {
        self.state.lock().1.floor.advance_to(floor);
    }
}
