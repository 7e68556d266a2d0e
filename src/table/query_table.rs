//! [`QueryTable`]: the result of a query over tables, kept until one of them changes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::lookup::LookedUp;
use super::read_pin::ReadPin;
use super::snapshot::{IndexId, TableSnapshot};
use super::table::Table;
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;

/// The result of a query over tables, which rows can be looked up in.
#[derive(Debug)]
pub struct QueryTable {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    reads: Vec<Arc<Table>>,
    pin: Arc<ReadPin>,
    key: Vec<usize>,
    /// The result, and the versions of the tables that it is of.
    made: Mutex<Option<(Vec<u64>, Arc<TableSnapshot>)>>,
}

impl QueryTable {
    /// Creates the table of the result of `plan`, which reads nothing but `reads`, through `pin`; rows are found by the
    /// columns `key`.
    pub fn new(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        (reads, pin): (Vec<Arc<Table>>, Arc<ReadPin>),
        key: Vec<usize>,
    ) -> Self {
        Self { plan, context, reads, pin, key, made: Mutex::new(None) }
    }

    /// Returns the index that rows are found by; none where there is no key.
    pub fn index(&self) -> Result<Option<IndexId>> {
        if self.key.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.empty().require_index(&self.key)?))
    }

    fn empty(&self) -> Arc<Table> {
        Table::new("query".to_owned(), self.plan.schema(), vec![])
    }

    fn make(&self) -> Result<Arc<TableSnapshot>> {
        let plan = reset_plan_states(Arc::clone(&self.plan))?;
        // Where partitions of a plan meet, each is read by a task: those run on this thread too.
        let tasks = tokio::runtime::Builder::new_current_thread().build();
        let tasks = tasks.map_err(|error| Error::internal(format!("a query over tables: {error}")))?;
        let batches = tasks.block_on(async {
            let stream = datafusion::physical_plan::execute_stream(plan, Arc::clone(&self.context))?;
            stream.try_collect::<Vec<RecordBatch>>().await
        })?;
        let table = self.empty();
        if !self.key.is_empty() {
            table.require_index(&self.key)?;
        }
        let mut writer = table.writer()?;
        for batch in batches {
            writer.apply(&ChangeBatch::inserts(batch), false)?;
        }
        writer.publish()?;
        Ok(table.snapshot())
    }
}

impl LookedUp for QueryTable {
    fn rows(&self) -> Result<Arc<TableSnapshot>> {
        let mut made = self.made.lock();
        self.pin.release();
        let versions: Vec<u64> = self.reads.iter().map(|table| self.pin.snapshot(table).version()).collect();
        if let Some((of, rows)) = made.as_ref()
            && *of == versions
        {
            return Ok(Arc::clone(rows));
        }
        let rows = self.make()?;
        *made = Some((versions, Arc::clone(&rows)));
        Ok(rows)
    }
}
