//! [`Fold`]: the rows that a changelog has come to, once its input has ended.

use arrow::datatypes::SchemaRef;

use super::net_rows::NetRows;
use crate::error::Result;
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Lets rows come and go, and gives those that are left at the end of a bounded input.
pub struct Fold {
    rows: NetRows,
    recorded: DeltaLog,
}

impl Fold {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(schema: SchemaRef, record: bool) -> Result<Self> {
        Ok(Self { rows: NetRows::try_new(schema)?, recorded: DeltaLog::new(record) })
    }
}

impl Operator for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        self.rows.apply(change)?;
        if change.num_rows() > 0 {
            self.recorded.keep_changes(change, Watermark::NONE)?;
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        if watermark != Watermark::END {
            return Ok(vec![]);
        }
        Ok(self.rows.take()?.into_iter().map(ChangeBatch::inserts).collect())
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        Ok(self.recorded.take())
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.rows.apply(&ChangeBatch::of_weighted_rows(&delta.rows)?)
    }

    fn bytes(&self) -> usize {
        self.rows.bytes()
    }
}
