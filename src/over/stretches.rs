//! [`Stretches`]: the rows of one key, put together where no gap is between them.

use crate::time::{SessionWindow, Watermark};

/// A row that waits for its session to close.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// The instant at which it counts, in epoch milliseconds.
    pub(super) counted: i64,
    /// Its event time, in epoch milliseconds.
    pub(super) time: i64,
    /// Where it is: a chunk and a row of it.
    pub(super) place: (usize, usize),
}

/// The rows of a session that has closed, in the order of time.
pub(super) struct ClosedSession {
    /// When its first row counts.
    pub(super) first: i64,
    /// When its last row counts.
    pub(super) last: i64,
    pub(super) rows: Vec<Held>,
}

/// Rows without a gap between them: a session, or several where a longest duration cuts it.
#[derive(Debug)]
struct Stretch {
    first: i64,
    last: i64,
    /// When somebody looks whether a session of it has closed.
    looked_at: i64,
    rows: Vec<Held>,
}

/// The rows of one key, in the order of time.
#[derive(Debug)]
pub(super) struct Stretches {
    stretches: Vec<Stretch>,
    earliest: i64,
}

impl Stretches {
    /// Creates what a key holds before its first row.
    pub(super) fn new() -> Self {
        Self { stretches: vec![], earliest: i64::MAX }
    }

    /// Adds a row; returns when somebody has to look whether its session has closed, where nobody knew to.
    pub(super) fn add(&mut self, windows: &SessionWindow, held: Held) -> Option<i64> {
        self.earliest = self.earliest.min(held.time);
        let stretches = &mut self.stretches;
        let at = stretches.partition_point(|stretch| stretch.first <= held.counted);
        let after_last =
            at.checked_sub(1).filter(|&before| held.counted < windows.end(stretches[before].last));
        let before_next = stretches.get(at).is_some_and(|next| next.first < windows.end(held.counted));
        let own = match (after_last, before_next) {
            (Some(before), true) => {
                let next = stretches.remove(at);
                stretches[before].join(next);
                before
            }
            (Some(before), false) => before,
            (None, true) => at,
            (None, false) => {
                let looked_at = windows.closes_at(held.counted);
                let (first, last) = (held.counted, held.counted);
                stretches.insert(at, Stretch { first, last, looked_at, rows: vec![held] });
                return Some(looked_at);
            }
        };
        let own = &mut stretches[own];
        own.first = own.first.min(held.counted);
        own.last = own.last.max(held.counted);
        own.rows.push(held);
        None
    }

    /// Takes the sessions out that `watermark` has closed; tells `again` when somebody has to look at the others that
    /// have been looked at.
    pub(super) fn take_closed(
        &mut self,
        windows: &SessionWindow,
        watermark: Watermark,
        mut again: impl FnMut(i64),
    ) -> Vec<ClosedSession> {
        let mut closed = vec![];
        for mut stretch in std::mem::take(&mut self.stretches) {
            if watermark.has_reached(stretch.looked_at) {
                stretch.close(windows, watermark, &mut closed);
                if stretch.rows.is_empty() {
                    continue;
                }
                again(stretch.looked_at);
            }
            self.stretches.push(stretch);
        }
        if !closed.is_empty() {
            let times = self.stretches.iter().flat_map(|stretch| stretch.rows.iter().map(|row| row.time));
            self.earliest = times.min().unwrap_or(i64::MAX);
        }
        closed
    }

    /// Returns the earliest event time of a row, the end of time where there is none.
    pub(super) fn earliest(&self) -> i64 {
        self.earliest
    }

    /// Returns where the rows are.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.stretches.iter().flat_map(|stretch| stretch.rows.iter().map(|row| row.place))
    }
}

impl Stretch {
    fn join(&mut self, next: Self) {
        self.last = self.last.max(next.last);
        self.looked_at = self.looked_at.min(next.looked_at);
        self.rows.extend(next.rows);
    }

    /// Takes out the sessions that `watermark` has closed, and says when somebody has to look again.
    fn close(&mut self, windows: &SessionWindow, watermark: Watermark, closed: &mut Vec<ClosedSession>) {
        let whole = windows.max_ms.is_none();
        self.looked_at = windows.closes_at(self.last);
        if whole && !watermark.has_reached(self.looked_at) {
            return;
        }
        self.rows.sort_by_key(|row| (row.counted, row.place));
        while let Some(start) = self.rows.first().map(|row| row.counted) {
            let rows = self.rows.iter().zip(self.rows.iter().skip(1));
            let inside = rows.take_while(|(row, next)| windows.continues(start, row.counted, next.counted));
            let length = 1 + inside.count();
            let last = self.rows[length - 1].counted;
            (self.first, self.looked_at) = (start, windows.closes_at(last));
            if !watermark.has_reached(self.looked_at) {
                return;
            }
            let rest = self.rows.split_off(length);
            let rows = std::mem::replace(&mut self.rows, rest);
            closed.push(ClosedSession { first: start, last, rows });
        }
    }
}
