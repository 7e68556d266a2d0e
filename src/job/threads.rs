//! What the threads of a job do: workers process chunks, the sink writes epochs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use super::messages::{Done, StopFlag, ToDriver, ToSink};
use super::progress::Progress;
use super::report::JobReport;
use super::scan::{Scan, Ticket};
use super::shards::panicked;
use crate::connect::{Sink, Written};
use crate::error::{Error, Result};

/// Starts a thread that is named for what it does.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    // DataFusion's expressions recurse; a deep one must not meet the small default stack.
    let thread = std::thread::Builder::new().name(format!("velo-{name}")).stack_size(8 << 20);
    thread.spawn(body).map_err(|error| Error::exhausted("cannot start a thread").with_cause(error))
}

/// A worker: processes chunks of any source until there are none.
pub(super) fn work(
    mut scans: Vec<Scan>,
    tickets: &Receiver<Ticket>,
    driver: &Sender<ToDriver>,
    stop: &StopFlag,
) {
    while let Ok(ticket) = tickets.recv() {
        if stop.is_raised() {
            // Nobody waits for the rest; the turn is taken so that no other worker hangs.
            ticket.carry.pass(ticket.turn, i64::MIN, 0, 0);
            continue;
        }
        let (scan, partition, turn) = (ticket.scan, ticket.chunk.partition, ticket.turn);
        let (end, watermark) = (ticket.chunk.end, ticket.chunk.watermark);
        let result = catch_unwind(AssertUnwindSafe(|| scans[scan].process(ticket)));
        let result = result.unwrap_or_else(|cause| Err(panicked("a worker", cause.as_ref())));
        let done = Done { scan, partition, turn, end, watermark, result };
        if driver.send(ToDriver::Processed(Box::new(done))).is_err() {
            stop.raise();
        }
    }
}

/// The sink thread: writes epochs until the job ends.
pub(super) fn run_sink(
    mut sink: Box<dyn Sink>,
    input: &Receiver<ToSink>,
    progress: &Progress,
    report: &Mutex<JobReport>,
) -> Result<Written> {
    let mut unflushed = false;
    while let Ok(message) = input.recv() {
        let is_epoch = matches!(message, ToSink::Epoch(..));
        match message {
            ToSink::Epoch(changes, watermark) => {
                unflushed |= !changes.is_empty();
                for batch in &changes {
                    sink.write(batch)?;
                }
                sink.advance(watermark)?;
            }
            ToSink::CaughtUp => sink.caught_up(),
            ToSink::Finish => {
                sink.finish()?;
                report.lock().set_written(sink.written());
                return Ok(sink.written());
            }
        }
        // What empties the queue may be an epoch without changes, or none at all.
        if unflushed && input.is_empty() {
            sink.flush()?;
            unflushed = false;
        }
        if is_epoch {
            report.lock().set_written(sink.written());
            progress.wrote();
        }
    }
    // The job failed: what it wrote so far stays, and the rest is not said to be complete.
    sink.flush()?;
    Ok(sink.written())
}
