//! [`PlanStep`]: a stateless step that DataFusion runs as a small bounded plan, planned once and run for each batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::TryStreamExt;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, Step, Tally};

/// The leaf of a bounded plan: holds the batch that the next run of the plan reads.
#[derive(Debug)]
pub struct Slot {
    schema: SchemaRef,
    batch: Mutex<Option<RecordBatch>>,
}

impl Slot {
    /// Creates an empty slot for batches of `schema`.
    pub fn new(schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self { schema, batch: Mutex::new(None) })
    }

    /// Returns the slot as a table that a plan can scan.
    pub fn table(self: &Arc<Self>) -> Result<StreamingTable> {
        let partition: Arc<dyn PartitionStream> = Arc::new(SlotPartition(Arc::clone(self)));
        Ok(StreamingTable::try_new(Arc::clone(&self.schema), vec![partition])?)
    }
}

#[derive(Debug)]
struct SlotPartition(Arc<Slot>);

impl PartitionStream for SlotPartition {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.0.batch.lock().take().into_iter().collect();
        match MemoryStream::try_new(batches, Arc::clone(&self.0.schema), None) {
            Ok(stream) => Box::pin(stream),
            Err(error) => {
                let failed = futures::stream::once(async move { Err(error) });
                Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0.schema), failed))
            }
        }
    }
}

/// Runs a bounded plan over each batch.
#[derive(Debug)]
pub struct PlanStep {
    name: String,
    plan: Arc<dyn ExecutionPlan>,
    slot: Arc<Slot>,
    context: Arc<TaskContext>,
}

impl PlanStep {
    /// Creates a step named `name` that runs `plan`, whose only leaf scans `slot`.
    pub fn new(
        name: String,
        plan: Arc<dyn ExecutionPlan>,
        slot: Arc<Slot>,
        context: Arc<TaskContext>,
    ) -> Self {
        Self { name, plan, slot, context }
    }
}

impl Step for PlanStep {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch> {
        if batch.weights().is_some() {
            return Err(Error::internal(format!("`{}` got a changelog", self.name)));
        }
        let before = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        *self.slot.batch.lock() = Some(batch.rows().clone());
        let plan = reset_plan_states(Arc::clone(&self.plan))?;
        let stream = plan.execute(0, Arc::clone(&self.context))?;
        let batches: Vec<RecordBatch> = futures::executor::block_on(stream.try_collect())?;
        let rows = concat_batches(&self.plan.schema(), &batches)?;
        if let Some(late_rows) = &mut tally.late_rows {
            late_rows.remade();
        }
        tally.expanded += i64::try_from(rows.num_rows()).unwrap_or(i64::MAX) - before;
        Ok(ChangeBatch::inserts(rows))
    }
}
