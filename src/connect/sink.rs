//! [`Sink`]: where the rows of a job go.

use crate::error::Result;
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// What a sink has taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Rows written, deletes included.
    pub rows: u64,
    /// Bytes written outside, after encoding and compression; 0 where nothing leaves the process.
    pub bytes: u64,
}

/// One outside place that takes the changes of a result, on a thread of its own.
pub trait Sink: Send {
    /// Takes the changes of one epoch, in order. They may stay in a buffer until [`flush`](Sink::flush).
    fn write(&mut self, changes: &ChangeBatch) -> Result<()>;

    /// Learns how far event time has come after the changes written so far; for sinks that other jobs read.
    fn advance(&mut self, _watermark: Watermark) -> Result<()> {
        Ok(())
    }

    /// Learns that what was written so far holds all that was there when the job began; for sinks that other jobs read.
    fn caught_up(&mut self) {}

    /// Hands everything taken so far to the outside; called at the end of each epoch that wrote something.
    fn flush(&mut self) -> Result<()>;

    /// Flushes, ends files and connections; called once, when the job has ended well or was asked to stop.
    fn finish(&mut self) -> Result<()>;

    /// Returns what was taken so far.
    fn written(&self) -> Written;
}
