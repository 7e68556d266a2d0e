//! [`GeneratorSource`]: made-up rows as a source.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::column::DueTimes;
use super::rules::GeneratorRules;
use crate::connect::numbered::{NumberedRows, NumberedSource, Plan, known_partitions};
use crate::connect::{ChunkLimits, KnownPartition, Pace, PartitionId, Polled, Position, Source};
use crate::error::Result;
use crate::time::Clock;

/// 2026-01-01: the time of the first row unless options or the clock say otherwise.
const START_MILLIS: i64 = 1_767_225_600_000;

/// What a `generator` stream is to be, apart from its columns.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorOptions {
    /// `rows`: how many there are; none is endless.
    pub rows: Option<u64>,
    /// `rows.per.second`, in real time over all partitions; none is as fast as possible.
    pub rows_per_second: Option<f64>,
    /// `seed`: other seeds, other rows.
    pub seed: u64,
    /// `start.time`: the time of row 0, in epoch milliseconds, for columns that hold the time at which a row is due.
    ///
    /// Without it, rows that are paced are due by the clock, and so not the same after a restart; others follow
    /// each other by a millisecond from 2026-01-01 on.
    pub start_time_millis: Option<i64>,
    /// `partitions`: rows go to them in turn.
    pub partitions: usize,
}

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self { rows: None, rows_per_second: None, seed: 0, start_time_millis: None, partitions: 1 }
    }
}

impl GeneratorOptions {
    /// Returns the partitions, with how many rows each will have.
    pub fn known_partitions(&self) -> Result<Vec<KnownPartition>> {
        known_partitions(self.partitions, self.rows, 1)
    }
}

/// Rows by the rules of a [`GeneratorRules`]; a position is a row number, counted over all partitions.
#[derive(Debug)]
pub struct GeneratorSource(NumberedSource<Rows>);

impl GeneratorSource {
    /// Opens the rows of `schema`, which the rules were made for.
    ///
    /// `projection` are ordinals in the schema; none means all columns. Errors if an option is out of range, or a
    /// column does not exist.
    pub fn try_new(
        schema: &Schema,
        rules: GeneratorRules,
        options: &GeneratorOptions,
        limits: ChunkLimits,
        clock: Arc<dyn Clock>,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let (schema, rules) = match projection {
            Some(columns) => (schema.project(&columns)?, rules.project(&columns)?),
            None => (schema.clone(), rules),
        };
        let pace = Pace::try_new(options.rows_per_second)?;
        let due = DueTimes {
            start_nanos: i128::from(options.start_time_millis.unwrap_or(START_MILLIS)) * 1_000_000,
            row: 0,
            step_nanos: options.rows_per_second.map_or(1e6, |rate| 1e9 / rate),
        };
        let by_clock = options.start_time_millis.is_none() && options.rows_per_second.is_some();
        let rows = Rows { schema: Arc::new(schema), rules, seed: options.seed, due, by_clock };
        let plan = Plan { rows: options.rows, pace, partitions: options.partitions, block: 1, limits };
        NumberedSource::try_new(rows, plan, clock).map(Self)
    }
}

impl Source for GeneratorSource {
    fn partitions(&self) -> &[PartitionId] {
        self.0.partitions()
    }

    fn seek(&mut self, partition: usize, position: Position) -> Result<()> {
        self.0.seek(partition, position)
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        self.0.poll(wait)
    }

    fn has_caught_up(&self) -> bool {
        self.0.is_endless()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.0.progress()
    }
}

#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    rules: GeneratorRules,
    seed: u64,
    due: DueTimes,
    /// Whether rows are due by the clock, from the first poll on.
    by_clock: bool,
}

impl NumberedRows for Rows {
    fn position(&self, row: u64) -> u64 {
        row
    }

    fn row_at(&self, position: u64) -> u64 {
        position
    }

    fn begin(&mut self, first_row: u64, now_millis: i64) {
        if self.by_clock {
            self.due.start_nanos = i128::from(now_millis) * 1_000_000;
            self.due.row = first_row;
        }
    }

    fn make(&mut self, rows: &[u64]) -> Result<RecordBatch> {
        self.rules.make(&self.schema, self.seed, &self.due, rows)
    }
}
