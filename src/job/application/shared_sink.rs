//! [`open_sinks`]: the sinks of an application's jobs, of which some share a writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::planning::PlannedJob;
use super::settings::Settings;
use crate::connect::{Sink, Written};
use crate::error::Result;
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// Opens the sink of each job; those that write one declared stream get one writer.
pub(super) fn open_sinks(jobs: &[PlannedJob], settings: &Settings) -> Result<Vec<Box<dyn Sink>>> {
    let mut shared: BTreeMap<String, Arc<Mutex<Shared>>> = BTreeMap::new();
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for name in jobs.iter().filter_map(|job| job.shared_sink.clone()) {
        *users.entry(name).or_default() += 1;
    }
    let mut sinks: Vec<Box<dyn Sink>> = vec![];
    for job in jobs {
        let name = job.shared_sink.as_ref().filter(|name| users.get(*name).is_some_and(|users| *users > 1));
        // Queries that show their rows to the user each have columns of their own.
        let Some(name) = name.filter(|name| *name != "stdout") else {
            sinks.push(job.open_sink(settings)?);
            continue;
        };
        let writer = match shared.get(name) {
            Some(writer) => Arc::clone(writer),
            None => {
                let changelog =
                    jobs.iter().any(|other| other.shared_sink.as_ref() == Some(name) && other.changelog);
                let sink = job.open_shared(settings, changelog)?;
                let writer = Arc::new(Mutex::new(Shared::new(sink, users[name])));
                shared.insert(name.clone(), Arc::clone(&writer));
                writer
            }
        };
        sinks.push(Box::new(SharedSink {
            writer,
            written: Written::default(),
            at_end: false,
            caught_up: false,
        }));
    }
    Ok(sinks)
}

/// One writer for several jobs; it finishes with the last of them.
struct Shared {
    sink: Box<dyn Sink>,
    users: usize,
    /// How many have yet to come to the end of time.
    open: usize,
    /// How many have yet to write all that was there when they began.
    behind: usize,
}

impl Shared {
    fn new(sink: Box<dyn Sink>, users: usize) -> Self {
        Self { sink, users, open: users, behind: users }
    }
}

struct SharedSink {
    writer: Arc<Mutex<Shared>>,
    written: Written,
    at_end: bool,
    caught_up: bool,
}

impl Sink for SharedSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.written.rows += changes.num_rows() as u64;
        let mut writer = self.writer.lock();
        let before = writer.sink.written().bytes;
        writer.sink.write(changes)?;
        self.written.bytes += writer.sink.written().bytes - before;
        Ok(())
    }

    fn advance(&mut self, watermark: Watermark) -> Result<()> {
        // Event time in a stream of several writers is as far as the slowest, which no single writer knows; its end is
        // that of the last.
        if watermark != Watermark::END || std::mem::replace(&mut self.at_end, true) {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        writer.open -= 1;
        if writer.open == 0 { writer.sink.advance(Watermark::END) } else { Ok(()) }
    }

    fn caught_up(&mut self) {
        if std::mem::replace(&mut self.caught_up, true) {
            return;
        }
        let mut writer = self.writer.lock();
        writer.behind -= 1;
        if writer.behind == 0 {
            writer.sink.caught_up();
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.lock().sink.flush()
    }

    fn finish(&mut self) -> Result<()> {
        let mut writer = self.writer.lock();
        writer.users -= 1;
        if writer.users == 0 { writer.sink.finish() } else { writer.sink.flush() }
    }

    fn written(&self) -> Written {
        self.written
    }
}
