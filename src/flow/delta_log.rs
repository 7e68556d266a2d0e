//! [`DeltaLog`]: what an operator took since its state was last asked for.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::operator::StateDelta;
use crate::error::Result;
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// Keeps the batches that an operator took, where snapshots are wanted: applied again in order, they give its state.
#[derive(Debug)]
pub struct DeltaLog {
    deltas: Option<Vec<StateDelta>>,
}

impl DeltaLog {
    /// Creates a log that keeps something only if `record` says so.
    pub fn new(record: bool) -> Self {
        Self { deltas: record.then(Vec::new) }
    }

    /// Returns whether anything is kept.
    pub fn is_kept(&self) -> bool {
        self.deltas.is_some()
    }

    /// Keeps rows that came when the operator's watermark was `watermark`, on the only input.
    pub fn keep(&mut self, rows: &RecordBatch, watermark: Watermark) {
        self.keep_of(0, rows, watermark);
    }

    /// Keeps rows that came on input `port`.
    pub fn keep_of(&mut self, port: usize, rows: &RecordBatch, watermark: Watermark) {
        if let Some(deltas) = &mut self.deltas {
            deltas.push(StateDelta { port, rows: rows.clone(), watermark });
        }
    }

    /// Keeps changes that came on the only input, as [`ChangeBatch::weighted_rows`].
    pub fn keep_changes(&mut self, change: &ChangeBatch, watermark: Watermark) -> Result<()> {
        self.keep_changes_of(0, change, watermark)
    }

    /// Keeps changes that came on input `port`, as [`ChangeBatch::weighted_rows`].
    pub fn keep_changes_of(&mut self, port: usize, change: &ChangeBatch, watermark: Watermark) -> Result<()> {
        if self.is_kept() {
            self.keep_of(port, &change.weighted_rows()?, watermark);
        }
        Ok(())
    }

    /// Returns what was kept since the last call.
    pub fn take(&mut self) -> Vec<StateDelta> {
        self.deltas.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns what was kept since the last call, and at last no rows at the operator's `watermark`.
    pub fn take_at(
        &mut self,
        watermark: Watermark,
        schema: impl FnOnce() -> Result<SchemaRef>,
    ) -> Result<Vec<StateDelta>> {
        let mut deltas = self.take();
        if self.is_kept() {
            deltas.push(StateDelta { port: 0, rows: RecordBatch::new_empty(schema()?), watermark });
        }
        Ok(deltas)
    }
}
