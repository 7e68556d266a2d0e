//! [`TableScan`]: a table as a plan of DataFusion reads it.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::stream;

use super::key_filter::KeyFilter;
use super::read_pin::ReadPin;
use super::snapshot::{IndexId, Part, SCAN_ROWS, TableSnapshot};
use super::table::Table;
use crate::error::{Error, Result};

/// A table in a plan: scanned, or looked up where conditions give the keys of an index.
///
/// What rows there are is decided when the plan runs, and planning knows nothing of their number.
#[derive(Debug)]
pub struct TableScan {
    table: Arc<Table>,
    pin: Arc<ReadPin>,
}

impl TableScan {
    /// Creates a scan of `table` for the query that `pin` belongs to.
    pub fn new(table: Arc<Table>, pin: Arc<ReadPin>) -> Self {
        pin.add(&table);
        Self { table, pin }
    }

    fn key_filter(&self, conditions: &[&Expr]) -> Result<Option<KeyFilter>> {
        KeyFilter::find(self.table.schema(), &self.table.snapshot().indexes, conditions)
    }
}

#[async_trait]
impl TableProvider for TableScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let answered = self.key_filter(filters).map_err(external)?.map(|filter| filter.answered);
        let is_answered =
            |filter: usize| answered.as_ref().is_some_and(|answered| answered.contains(&filter));
        let support = (0..filters.len()).map(|filter| match is_answered(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let columns =
            projection.cloned().unwrap_or_else(|| (0..self.table.schema().fields().len()).collect());
        let filter = self.key_filter(&filters.iter().collect::<Vec<_>>()).map_err(external)?;
        let answered = filter.as_ref().map_or(&[][..], |filter| &filter.answered);
        // Conditions that were asked for one after the other may be more than one lookup answers.
        let others = filters.iter().enumerate().filter(|(place, _)| !answered.contains(place));
        let residual = conjunction(others.map(|(_, condition)| condition.clone()));
        let schema_of_all = DFSchema::try_from(Arc::clone(self.table.schema()))?;
        let residual = residual.map(|condition| state.create_physical_expr(condition, &schema_of_all));
        let schema = Arc::new(self.table.schema().project(&columns)?);
        let rows = Rows {
            schema: Arc::clone(&schema),
            table: Arc::clone(&self.table),
            pin: Arc::clone(&self.pin),
            columns,
            filter,
            residual: residual.transpose()?,
        };
        Ok(Arc::new(StreamingTableExec::try_new(
            schema,
            vec![Arc::new(Partition(Arc::new(rows)))],
            None,
            vec![],
            false,
            limit,
        )?))
    }
}

/// The rows of one scan.
#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    table: Arc<Table>,
    pin: Arc<ReadPin>,
    columns: Vec<usize>,
    filter: Option<KeyFilter>,
    /// What else has to hold, over all columns.
    residual: Option<Arc<dyn PhysicalExpr>>,
}

impl Rows {
    /// Returns the columns to read: all of them, if conditions are to be evaluated.
    fn read_columns(&self) -> Option<&[usize]> {
        self.residual.is_none().then_some(&self.columns)
    }

    fn finish(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let Some(residual) = &self.residual else { return Ok(rows) };
        let holds = residual.evaluate(&rows)?.into_array(rows.num_rows())?;
        let rows = filter_record_batch(&rows, as_boolean_array(&holds)?)?;
        Ok(rows.project(&self.columns)?)
    }

    fn looked_up(&self, snapshot: &TableSnapshot, filter: &KeyFilter) -> Result<Vec<RecordBatch>> {
        let matches = snapshot.lookup(IndexId(filter.index), &filter.keys)?;
        let all: Vec<usize> = (0..snapshot.schema().fields().len()).collect();
        let read = self.read_columns().unwrap_or(&all);
        let columns = snapshot.take(&matches, read)?;
        let options = RecordBatchOptions::new().with_row_count(Some(matches.len()));
        let schema = Arc::new(snapshot.schema().project(read)?);
        let rows = self.finish(RecordBatch::try_new_with_options(schema, columns, &options)?)?;
        let starts = (0..rows.num_rows()).step_by(SCAN_ROWS);
        Ok(starts.map(|start| rows.slice(start, SCAN_ROWS.min(rows.num_rows() - start))).collect())
    }

    fn scanned(&self, snapshot: &TableSnapshot, part: &Part) -> Result<Option<RecordBatch>> {
        let rows = snapshot.part(part, self.read_columns())?;
        rows.map(|rows| self.finish(rows)).transpose()
    }
}

/// One scan, as often as its plan runs.
#[derive(Debug)]
struct Partition(Arc<Rows>);

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = Arc::clone(&self.0);
        let snapshot = rows.pin.snapshot(&rows.table);
        let schema = Arc::clone(&rows.schema);
        if let Some(filter) = &rows.filter {
            let batches: Vec<_> = match rows.looked_up(&snapshot, filter) {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(external(error))],
            };
            return Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)));
        }
        let parts = snapshot.parts();
        let batches =
            parts.filter_map(move |part| rows.scanned(&snapshot, &part).map_err(external).transpose());
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
