//! [`NexmarkSource`]: one of the three streams of Nexmark as a source.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::generator::NexmarkGenerator;
use super::kind::NexmarkKind;
use crate::connect::numbered::{NumberedRows, NumberedSource, Plan, known_partitions};
use crate::connect::{ChunkLimits, KnownPartition, Pace, PartitionId, Polled, Position, Source};
use crate::error::Result;
use crate::time::Clock;

/// What a `nexmark` stream is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NexmarkOptions {
    /// `type`: which of the three streams.
    pub kind: NexmarkKind,
    /// `events`: how many events of all three kinds there are; none is endless.
    pub events: Option<u64>,
    /// `seed`: other seeds, other rows. Streams that are joined need the same one.
    pub seed: u64,
    /// `events.per.second`: events of all three kinds per second of event time.
    pub events_per_second: u64,
    /// `rows.per.second`: rows of this stream per second of real time; none is as fast as possible.
    pub rate: Option<f64>,
    /// `start.time`: the event time of the first event, in epoch milliseconds.
    pub base_time_millis: i64,
    /// `partitions`: rounds of 50 events go to the partitions in turn.
    pub partitions: usize,
}

impl NexmarkOptions {
    /// Returns the defaults: endless, seed 0, 10,000 events per second from 2026-01-01 on, one partition.
    pub fn new(kind: NexmarkKind) -> Self {
        Self {
            kind,
            events: None,
            seed: 0,
            events_per_second: 10_000,
            rate: None,
            base_time_millis: 1_767_225_600_000,
            partitions: 1,
        }
    }

    /// Returns the partitions, with how many rows each will have.
    pub fn known_partitions(&self) -> Result<Vec<KnownPartition>> {
        let rows = self.events.map(|events| self.kind.rows_below(events));
        known_partitions(self.partitions, rows, self.kind.per_round())
    }
}

/// One stream of Nexmark; a position is an event number, counted over all three kinds.
#[derive(Debug)]
pub struct NexmarkSource(NumberedSource<Rows>);

impl NexmarkSource {
    /// Opens the stream; `projection` are ordinals in [`NexmarkKind::schema`], none means all columns.
    ///
    /// Errors if an option is out of range or a column does not exist.
    pub fn try_new(
        options: &NexmarkOptions,
        limits: ChunkLimits,
        clock: Arc<dyn Clock>,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let kind = options.kind;
        let generator =
            NexmarkGenerator::try_new(options.seed, options.events_per_second, options.base_time_millis)?;
        let plan = Plan {
            rows: options.events.map(|events| kind.rows_below(events)),
            pace: Pace::try_new(options.rate)?,
            partitions: options.partitions,
            block: kind.per_round(),
            limits,
        };
        NumberedSource::try_new(Rows { generator, kind, projection }, plan, clock).map(Self)
    }
}

impl Source for NexmarkSource {
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
    generator: NexmarkGenerator,
    kind: NexmarkKind,
    projection: Option<Vec<usize>>,
}

impl NumberedRows for Rows {
    fn position(&self, row: u64) -> u64 {
        self.kind.event(row)
    }

    fn row_at(&self, position: u64) -> u64 {
        self.kind.rows_below(position)
    }

    fn begin(&mut self, _first_row: u64, _now_millis: i64) {}

    fn make(&mut self, rows: &[u64]) -> Result<RecordBatch> {
        self.generator.rows(self.kind, rows, self.projection.as_deref())
    }
}
