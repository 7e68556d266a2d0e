//! [`KeyedTable`]: the operator that keeps a table up to date.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use super::table::{Table, TableWriter};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// For how long the rows of a table stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The ordinal of a timestamp column; a row without a time stays.
    pub column: usize,
    /// For how long after that time, in milliseconds of event time.
    pub retention_ms: i64,
}

/// Writes changes into a table and publishes it at the end of each epoch.
///
/// The deltas of its state are the changes as they came.
pub struct KeyedTable {
    name: String,
    writer: TableWriter,
    retention: Option<Retention>,
    emits: bool,
    watermark: Watermark,
    recorded: DeltaLog,
    /// Whether the rows that the table has been left with have made way for those of a snapshot.
    restoring: bool,
}

impl KeyedTable {
    /// Creates the operator; `emits` says whether what really changed goes on to other steps, `record` whether deltas
    /// will be asked for.
    pub fn try_new(
        name: String,
        writer: TableWriter,
        retention: Option<Retention>,
        emits: bool,
        record: bool,
    ) -> Result<Self> {
        if let Some(retention) = retention {
            time_unit(writer.table().schema(), retention.column)?;
        }
        let recorded = DeltaLog::new(record);
        Ok(Self { name, writer, retention, emits, watermark: Watermark::NONE, recorded, restoring: false })
    }

    /// Returns the table.
    pub fn table(&self) -> &Arc<Table> {
        self.writer.table()
    }

    /// Deletes what the watermark says is too old; at the end of the input nothing is, or nothing would be left.
    fn expire(&mut self, wants_changes: bool) -> Result<Option<ChangeBatch>> {
        let Some(retention) = self.retention else { return Ok(None) };
        if [Watermark::NONE, Watermark::END].contains(&self.watermark) {
            return Ok(None);
        }
        let until = self.watermark.minus(retention.retention_ms).millis();
        let until = match time_unit(self.table().schema(), retention.column)? {
            TimeUnit::Second => until.div_euclid(1_000),
            TimeUnit::Millisecond => until,
            TimeUnit::Microsecond => until.saturating_mul(1_000),
            TimeUnit::Nanosecond => until.saturating_mul(1_000_000),
        };
        self.writer.expire(retention.column, until, wants_changes)
    }
}

fn time_unit(schema: &SchemaRef, column: usize) -> Result<TimeUnit> {
    match schema.fields().get(column).map(|field| field.data_type()) {
        Some(DataType::Timestamp(unit, _)) => Ok(*unit),
        _ => Err(Error::internal(format!("column {column} of a table with a retention is no time"))),
    }
}

impl Operator for KeyedTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.num_rows() > 0 {
            self.recorded.keep_changes(change, self.watermark)?;
            // What goes on is what the epoch changed, so that has to stay together.
            match self.emits {
                true => self.writer.hold(change)?,
                false => drop(self.writer.apply(change, false)?),
            }
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        let changes = self.writer.settle(self.emits)?;
        // The end of the input is no time that rows could be older than.
        if watermark != Watermark::END {
            self.watermark.advance_to(watermark);
        }
        let expired = self.expire(self.emits)?;
        self.writer.publish()?;
        Ok(changes.into_iter().chain(expired).collect())
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        let schema = || Ok(ChangeBatch::weighted_schema(self.writer.table().schema()));
        self.recorded.take_at(self.watermark, schema)
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.watermark.advance_to(delta.watermark);
        // A job that is started again meets the rows that it has written before.
        if !std::mem::replace(&mut self.restoring, true) {
            self.writer.clear();
        }
        if delta.rows.num_rows() > 0 {
            self.writer.apply(&ChangeBatch::of_weighted_rows(&delta.rows)?, false)?;
            return Ok(());
        }
        // The last delta of a snapshot: from here on readers see it, and what was expired before is not said again.
        self.writer.settle(false)?;
        self.expire(false)?;
        self.writer.publish()?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.table().bytes()
    }
}
