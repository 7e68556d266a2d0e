//! [`BatchWorker`]: decodes the chunks of one source of a batch job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use datafusion::error::Result as DataFusionResult;
use parking_lot::Mutex;

use super::batch::{Shared, external};
use super::figures::add_to_report;
use super::messages::Permits;
use super::report::{MEND_OR_KEEP, RejectedRecord};
use super::scan::{Processed, Scan, Ticket};
use crate::bounded::NetRows;
use crate::connect::OnError;
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::sql::plan::ScanPlan;

/// What the workers of a source that withdraws rows put together: a plan that runs once reads what changes come to.
#[derive(Debug)]
pub(super) struct Changes {
    rows: Mutex<NetRows>,
    /// How many workers have yet to end.
    workers: AtomicUsize,
}

impl Changes {
    /// Returns the room for the changes of `scan`, if it withdraws rows.
    pub(super) fn of(scan: &ScanPlan, workers: usize) -> Result<Option<Arc<Self>>> {
        let rows = scan.relation.changelog.then(|| NetRows::try_new(Arc::clone(&scan.schema))).transpose()?;
        Ok(rows.map(|rows| Arc::new(Self { rows: Mutex::new(rows), workers: AtomicUsize::new(workers) })))
    }
}

/// One of the workers of a source: it feeds one partition of the plan.
pub(super) struct BatchWorker {
    pub(super) scan: Scan,
    pub(super) name: String,
    pub(super) source: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) permits: Arc<Permits>,
    pub(super) changes: Option<Arc<Changes>>,
    pub(super) sender: tokio::sync::mpsc::Sender<DataFusionResult<RecordBatch>>,
}

impl BatchWorker {
    /// Processes a chunk; returns false when nobody wants more.
    pub(super) fn run(&mut self, ticket: Ticket) -> bool {
        let processed = self.scan.process(ticket);
        self.permits.give_back(1);
        let outcome = processed.and_then(|processed| self.account(processed));
        let outputs = match outcome {
            Ok(outputs) => outputs,
            Err(error) => return self.sender.blocking_send(Err(external(error))).is_ok(),
        };
        if let Some(changes) = &self.changes {
            let mut rows = changes.rows.lock();
            return match outputs.iter().try_for_each(|batch| rows.apply(batch)) {
                Ok(()) => true,
                Err(error) => self.sender.blocking_send(Err(external(error))).is_ok(),
            };
        }
        outputs.into_iter().all(|batch| self.sender.blocking_send(Ok(batch.rows().clone())).is_ok())
    }

    /// Gives what changes have come to, if this is the last worker to end.
    pub(super) fn end(&self) {
        let Some(changes) = &self.changes else { return };
        if changes.workers.fetch_sub(1, Ordering::AcqRel) > 1 || self.shared.stop.is_raised() {
            return;
        }
        let rows = changes.rows.lock().take();
        let batches = match rows {
            Ok(batches) => batches.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(external(error))],
        };
        // A plan that is gone wants nothing.
        let _wanted = batches.into_iter().all(|batch| self.sender.blocking_send(batch).is_ok());
    }

    fn account(&self, mut processed: Processed) -> Result<Vec<ChangeBatch>> {
        let mut report = self.shared.report.lock();
        for rejected in &processed.rejected {
            let place = format!("`{}` {}", self.name, rejected.place);
            if self.scan.on_error() == OnError::Fail {
                return Err(Error::data(format!("{place}: {}", rejected.message)).with_hint(MEND_OR_KEEP));
            }
            if report.rejections.len() < 10 {
                report.rejections.push(RejectedRecord { place, message: rejected.message.clone() });
            }
        }
        add_to_report(&mut report, self.source, &processed, true);
        drop(report);
        let letters = processed.letters.drain(..).map(|letter| (self.name.clone(), letter));
        let letters: Vec<_> = letters.collect();
        if let Some(dead_letters) = self.shared.dead_letters.lock().as_mut() {
            dead_letters.write(&letters)?;
        }
        Ok(processed.output)
    }
}
