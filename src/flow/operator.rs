//! [`Operator`]: a step that keeps state from one epoch to the next.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::flow::{ChangeBatch, Misses};
use crate::time::Watermark;

/// What an operator may know of the epoch that it works in.
#[derive(Debug, Clone, Copy)]
pub struct EpochContext {
    /// The ordinal of the epoch, from 1.
    pub epoch: u64,
    /// The epoch's one reading of the clock, in epoch milliseconds.
    pub now_ms: i64,
    /// Whether the job stops with this epoch: nothing may be held back.
    pub last: bool,
}

/// A part of an operator's state that changed, as rows of the operator's own schema.
#[derive(Debug, Clone)]
pub struct StateDelta {
    /// The input that the rows came on, where the delta is rows that were taken in.
    pub port: usize,
    /// The rows; what they mean is the operator's business.
    pub rows: RecordBatch,
    /// The watermark when the delta was taken.
    pub watermark: Watermark,
}

/// A push-style step that owns its state.
///
/// In each epoch the driver calls [`apply`](Self::apply) for every batch that arrived and then
/// [`advance`](Self::advance) once, at which the operator emits what the epoch changed and what the watermark closes.
/// An operator does no I/O, reads no clock and knows no SQL text.
pub trait Operator: Send {
    /// Returns the name that `EXPLAIN` and reports show.
    fn name(&self) -> &str;

    /// Takes changes that arrived on input `port`, and returns what can be said at once.
    fn apply(&mut self, port: usize, change: &ChangeBatch, epoch: &EpochContext) -> Result<Vec<ChangeBatch>>;

    /// Ends the epoch at `watermark`, and returns what follows from the epoch's changes and from the watermark.
    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>>;

    /// Takes back, with the next [`advance`](Self::advance), all rows that came with the number `origin`: their partition is
    /// not there any more outside. What is made of rows that are a stream stays.
    fn withdraw(&mut self, _origin: i64) {}

    /// Returns the watermark of what comes out, where that of what goes in is `watermark`: rows that are held back hold
    /// it back.
    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        watermark
    }

    /// Returns what changed since the last call; restoring all deltas in order gives the same state.
    ///
    /// Only operators that were told to record can say it; others return nothing.
    fn take_delta(&mut self) -> Result<Vec<StateDelta>>;

    /// Applies a delta that another instance of this operator returned.
    fn restore(&mut self, delta: &StateDelta) -> Result<()>;

    /// Returns about how many bytes the state takes.
    fn bytes(&self) -> usize;

    /// Returns how many rows left the state only because they had been kept for as long as asked.
    fn expired(&self) -> u64 {
        0
    }

    /// Returns the table that rows are looked up in and how many of them found nothing, where that is what it does.
    fn misses(&self) -> Option<(Arc<str>, Misses)> {
        None
    }

    /// Returns how many rows, groups or sessions the state holds, where the operator knows without counting.
    fn rows(&self) -> Option<usize> {
        None
    }

    /// Returns whether changes are held back that wait for the clock to show `now_ms` or less; `None` stands for any
    /// time.
    fn is_due(&self, _now_ms: Option<i64>) -> bool {
        false
    }

    /// Returns whether more input can still change the result; a satisfied `LIMIT` says no.
    fn wants_more(&self) -> bool {
        true
    }
}
