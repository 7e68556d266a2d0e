//! Sinks that stay in the process: [`MemorySinkConnector`] keeps the changes, [`BlackholeConnector`] counts them.

use std::sync::Arc;

use super::stream::MemoryStream;
use crate::connect::{ChangelogForm, Sink, SinkConnector, WriteRequest, Written};
use crate::error::Result;
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// A stream of this process as a sink.
#[derive(Debug)]
pub struct MemorySinkConnector {
    stream: Arc<MemoryStream>,
    form: ChangelogForm,
    /// Whether the rows' event time goes along, for other jobs to use.
    carries_time: bool,
}

impl MemorySinkConnector {
    /// Creates the sink of a declared stream, which whoever reads it knows as one that only grows.
    pub fn declared(stream: Arc<MemoryStream>) -> Self {
        Self { stream, form: ChangelogForm::AppendOnly, carries_time: false }
    }

    /// Creates the sink that fills a table: what withdraws rows deletes those of their keys.
    pub fn of_table(stream: Arc<MemoryStream>) -> Self {
        Self { stream, form: ChangelogForm::Upsert, carries_time: false }
    }

    /// Creates the sink of a query that other jobs read.
    pub fn between_jobs(stream: Arc<MemoryStream>) -> Self {
        Self { stream, form: ChangelogForm::Op, carries_time: true }
    }

    /// Creates the sink of a query whose rows are for the user.
    pub fn result(stream: Arc<MemoryStream>) -> Self {
        Self { stream, form: ChangelogForm::Op, carries_time: false }
    }
}

impl SinkConnector for MemorySinkConnector {
    fn describe(&self) -> String {
        format!("memory `{}`", self.stream.name())
    }

    fn changelog_form(&self) -> ChangelogForm {
        self.form
    }

    fn wants_event_time(&self) -> bool {
        self.carries_time
    }

    fn open(&self, _request: &WriteRequest) -> Result<Box<dyn Sink>> {
        self.stream.add_writer();
        Ok(Box::new(MemorySink {
            stream: Arc::clone(&self.stream),
            written: Written::default(),
            carries_time: self.carries_time,
            caught_up: false,
            complete: false,
        }))
    }
}

struct MemorySink {
    stream: Arc<MemoryStream>,
    written: Written,
    carries_time: bool,
    caught_up: bool,
    /// Whether the writer has come to its end, rather than failed or been stopped.
    complete: bool,
}

impl Sink for MemorySink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.written.rows += changes.num_rows() as u64;
        self.stream.append(changes.clone())
    }

    fn advance(&mut self, watermark: Watermark) -> Result<()> {
        self.complete |= watermark == Watermark::END;
        // Rows without their time have that of a column of theirs, and the reader's own watermark.
        if self.carries_time {
            self.stream.advance(watermark);
        }
        Ok(())
    }

    fn caught_up(&mut self) {
        if !std::mem::replace(&mut self.caught_up, true) {
            self.stream.writer_caught_up();
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn written(&self) -> Written {
        self.written
    }
}

impl Drop for MemorySink {
    fn drop(&mut self) {
        if self.complete {
            self.caught_up();
            self.stream.end_writer();
        } else {
            self.stream.abandon(self.caught_up);
        }
    }
}

/// A sink that counts rows and drops them.
#[derive(Debug)]
pub struct BlackholeConnector;

impl SinkConnector for BlackholeConnector {
    fn describe(&self) -> String {
        "blackhole".to_owned()
    }

    fn changelog_form(&self) -> ChangelogForm {
        ChangelogForm::Op
    }

    fn open(&self, _request: &WriteRequest) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Blackhole(Written::default())))
    }
}

struct Blackhole(Written);

impl Sink for Blackhole {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.0.rows += changes.num_rows() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn written(&self) -> Written {
        self.0
    }
}
