//! [`AnswerConnector`]: the sink of a measured job, which counts rows or digests them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::digest::Digest;
use crate::connect::{ChangelogForm, Sink, SinkConnector, WriteRequest, Written};
use crate::error::Result;
use crate::flow::ChangeBatch;

/// A sink that keeps no row.
#[derive(Debug)]
pub(super) struct AnswerConnector {
    /// The schema to digest rows in; without one they are only counted, and the hash stays 0.
    compared_as: Option<SchemaRef>,
    answer: Mutex<Digest>,
}

impl AnswerConnector {
    /// Creates a sink that digests rows in a schema, or counts them.
    pub(super) fn new(compared_as: Option<SchemaRef>) -> Arc<Self> {
        Arc::new(Self { compared_as, answer: Mutex::default() })
    }

    /// Returns what was taken so far.
    pub(super) fn answer(&self) -> Digest {
        *self.answer.lock()
    }

    fn take(&self, changes: &ChangeBatch) -> Result<()> {
        let mut answer = self.answer.lock();
        match (&self.compared_as, changes.weights()) {
            (Some(schema), weights) => answer.add(changes.rows(), weights, schema)?,
            (None, Some(weights)) => {
                answer.rows += weights.values().iter().map(|&weight| i64::from(weight)).sum::<i64>()
            }
            (None, None) => answer.rows += i64::try_from(changes.num_rows()).unwrap_or(i64::MAX),
        }
        Ok(())
    }
}

/// The connector behind an [`Arc`], so that the answer can be read once the job has ended.
#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<AnswerConnector>);

impl SinkConnector for Shared {
    fn describe(&self) -> String {
        "benchmark".to_owned()
    }

    fn changelog_form(&self) -> ChangelogForm {
        ChangelogForm::Op
    }

    fn open(&self, _request: &WriteRequest) -> Result<Box<dyn Sink>> {
        Ok(Box::new(AnswerSink { connector: Arc::clone(&self.0), written: Written::default() }))
    }
}

struct AnswerSink {
    connector: Arc<AnswerConnector>,
    written: Written,
}

impl Sink for AnswerSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.written.rows += changes.num_rows() as u64;
        self.connector.take(changes)
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
