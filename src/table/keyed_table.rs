//! [`KeyedTable`]: the operator that keeps a table up to date.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};

use super::leaving::Left;
use super::table::{Table, TableWriter};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// For how long the rows of a table stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// From when on.
    pub since: Since,
    /// For how long after that, in milliseconds.
    pub retention_ms: i64,
    /// How far the watermark is behind the latest of these times, in milliseconds, where it follows from them: then it is
    /// known at the end of the input too, however little came in an epoch of its own before.
    pub behind_ms: Option<i64>,
}

/// From when on a row of a table is counted to grow old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// From the time in a timestamp column, by its ordinal, in event time; a row without a time stays.
    EventTime(usize),
    /// From the clock's time when the row came, which the table keeps beside it.
    Arrival,
}

/// The ports of deltas: changes as they came, and what was decided about rows that were there.
const CHANGES: usize = 0;
const EXPIRED: usize = 1;
const TAKEN_BACK: usize = 2;

/// Writes changes into a table and publishes it at the end of each epoch.
///
/// The deltas of its state are the changes as they came, and between them what left by itself: up to which arrival, and
/// of which origin.
pub struct KeyedTable {
    name: String,
    writer: TableWriter,
    retention: Option<Retention>,
    emits: bool,
    watermark: Watermark,
    /// Where the watermark is once all has come that has been taken in.
    reached: Watermark,
    recorded: DeltaLog,
    /// Whether the rows that the table has been left with have made way for those of a snapshot.
    restoring: bool,
    /// No row that is there arrived before this; none while there is no row.
    oldest: Option<i64>,
    /// The origins of which rows are to be taken back.
    withdrawn: Vec<i64>,
    expired: u64,
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
        match retention.map(|retention| retention.since) {
            Some(Since::EventTime(column)) => drop(time_unit(writer.table().schema(), column)?),
            Some(Since::Arrival) if !writer.table().beside().arrival => {
                return Err(Error::internal(format!("`{name}` does not keep when its rows came")));
            }
            _ => {}
        }
        Ok(Self {
            name,
            writer,
            retention,
            emits,
            watermark: Watermark::NONE,
            reached: Watermark::NONE,
            recorded: DeltaLog::new(record),
            restoring: false,
            oldest: None,
            withdrawn: vec![],
            expired: 0,
        })
    }

    /// Returns the table.
    pub fn table(&self) -> &Arc<Table> {
        self.writer.table()
    }

    /// Returns the column of the rows as they are kept in which their arrival is, and for how long they stay after it.
    fn arrival(&self) -> Option<(usize, i64)> {
        let retention = self.retention.filter(|retention| retention.since == Since::Arrival)?;
        let column = self.table().beside().arrival_after(self.seen())?;
        Some((column, retention.retention_ms))
    }

    fn seen(&self) -> usize {
        self.table().schema().fields().len()
    }

    /// Puts beside rows that they came at `now_ms`, where that is kept.
    fn with_arrival(&mut self, change: &ChangeBatch, now_ms: i64) -> Result<ChangeBatch> {
        if !self.table().beside().arrival {
            return Ok(change.clone());
        }
        self.oldest = Some(self.oldest.map_or(now_ms, |oldest| oldest.min(now_ms)));
        let mut columns = change.rows().columns().to_vec();
        columns.push(Arc::new(Int64Array::from_value(now_ms, change.num_rows())));
        change.clone().with_rows(RecordBatch::try_new(self.table().stored(), columns)?)
    }

    /// Takes note of the times of rows that come.
    fn note_times(&mut self, rows: &RecordBatch) -> Result<()> {
        let Some(Retention { since: Since::EventTime(column), behind_ms: Some(behind_ms), .. }) =
            self.retention
        else {
            return Ok(());
        };
        let times = cast(rows.column(column), &DataType::Timestamp(TimeUnit::Millisecond, None))?;
        if let Some(latest) = max(times.as_primitive::<TimestampMillisecondType>()) {
            self.reached.advance_to(Watermark::from_millis(latest).minus(behind_ms));
        }
        Ok(())
    }

    /// Deletes what the watermark says is too old; at the end of the input nothing is, or nothing would be left.
    fn expire(&mut self, wants_changes: bool) -> Result<Option<ChangeBatch>> {
        let Some(Retention { since: Since::EventTime(column), retention_ms, .. }) = self.retention else {
            return Ok(None);
        };
        if [Watermark::NONE, Watermark::END].contains(&self.watermark) {
            return Ok(None);
        }
        let until = self.watermark.minus(retention_ms).millis();
        let until = match time_unit(self.table().schema(), column)? {
            TimeUnit::Second => until.div_euclid(1_000),
            TimeUnit::Millisecond => until,
            TimeUnit::Microsecond => until.saturating_mul(1_000),
            TimeUnit::Nanosecond => until.saturating_mul(1_000_000),
        };
        let left = self.writer.expire(column, until, wants_changes)?;
        self.expired += left.rows;
        Ok(left.changes)
    }

    /// Deletes what came too long before `now_ms`.
    fn expire_by_arrival(&mut self, now_ms: i64) -> Result<Option<ChangeBatch>> {
        let Some((column, retention_ms)) = self.arrival() else { return Ok(None) };
        let until = now_ms.saturating_sub(retention_ms);
        if self.oldest.is_none_or(|oldest| oldest > until) {
            return Ok(None);
        }
        self.record(EXPIRED, until)?;
        let Left { changes, rows, oldest } = self.writer.expire(column, until, self.emits)?;
        self.oldest = oldest;
        self.expired += rows;
        Ok(changes)
    }

    /// Deletes the rows of what is not there any more outside.
    fn take_back(&mut self) -> Result<Vec<ChangeBatch>> {
        let Some(column) = self.table().beside().origin_after(self.seen()) else { return Ok(vec![]) };
        let mut gone = vec![];
        for origin in std::mem::take(&mut self.withdrawn) {
            self.record(TAKEN_BACK, origin)?;
            gone.extend(self.writer.take_back(column, origin, self.emits)?.changes);
        }
        Ok(gone)
    }

    /// Records what was decided, so that whoever goes on from the deltas decides the same.
    fn record(&mut self, port: usize, decided: i64) -> Result<()> {
        if self.recorded.is_kept() {
            let schema = Schema::new(vec![Field::new("decided", DataType::Int64, false)]);
            let column = Arc::new(Int64Array::from(vec![decided]));
            let rows = RecordBatch::try_new(Arc::new(schema), vec![column])?;
            self.recorded.keep_of(port, &rows, self.watermark);
        }
        Ok(())
    }

    /// Repeats what a delta says was decided.
    fn repeat(&mut self, delta: &StateDelta) -> Result<()> {
        let decided = delta.rows.column(0).as_primitive::<Int64Type>();
        let beside = self.table().beside();
        self.writer.settle(false)?;
        for &decided in decided.values() {
            match (delta.port, beside.arrival_after(self.seen()), beside.origin_after(self.seen())) {
                (EXPIRED, Some(column), _) => drop(self.writer.expire(column, decided, false)?),
                (TAKEN_BACK, _, Some(column)) => drop(self.writer.take_back(column, decided, false)?),
                (port, _, _) => {
                    let name = &self.name;
                    return Err(Error::internal(format!(
                        "`{name}` cannot go on from a delta of port {port}"
                    )));
                }
            }
        }
        Ok(())
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
        epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.num_rows() > 0 {
            let change = self.with_arrival(change, epoch.now_ms)?;
            self.recorded.keep_changes(&change, self.watermark)?;
            self.note_times(change.rows())?;
            // What goes on is what the epoch changed, so that has to stay together.
            match self.emits {
                true => self.writer.hold(&change)?,
                false => drop(self.writer.apply(&change, false)?),
            }
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        let changes = self.writer.settle(self.emits)?;
        // The end of the input is no time that rows could be older than; the latest row is.
        self.watermark.advance_to(if watermark == Watermark::END { self.reached } else { watermark });
        let taken_back = self.take_back()?;
        let expired = [self.expire(self.emits)?, self.expire_by_arrival(epoch.now_ms)?];
        self.writer.publish()?;
        Ok(changes.into_iter().chain(taken_back).chain(expired.into_iter().flatten()).collect())
    }

    fn withdraw(&mut self, origin: i64) {
        self.withdrawn.push(origin);
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        let schema = || Ok(ChangeBatch::weighted_schema(&self.writer.table().stored()));
        self.recorded.take_at(self.watermark, schema)
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.watermark.advance_to(delta.watermark);
        // A job that is started again meets the rows that it has written before.
        if !std::mem::replace(&mut self.restoring, true) {
            self.writer.clear();
        }
        if delta.port != CHANGES {
            return self.repeat(delta);
        }
        if delta.rows.num_rows() > 0 {
            let change = ChangeBatch::of_weighted_rows(&delta.rows)?;
            self.note_times(change.rows())?;
            self.writer.apply(&change, false)?;
            return Ok(());
        }
        // The last delta of a snapshot: from here on readers see it, and what was expired before is not said again.
        self.writer.settle(false)?;
        self.expire(false)?;
        // Some may have grown old while the job stood still.
        self.oldest = Some(i64::MIN);
        self.writer.publish()?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.table().bytes()
    }

    fn expired(&self) -> u64 {
        self.expired
    }

    fn is_due(&self, now_ms: Option<i64>) -> bool {
        let due =
            self.arrival().zip(self.oldest).map(|((_, stay_ms), oldest)| oldest.saturating_add(stay_ms));
        now_ms.zip(due).is_some_and(|(now, due)| due <= now)
    }
}
