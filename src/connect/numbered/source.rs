//! [`NumberedSource`]: a source whose rows follow from their numbers, so that it can go on anywhere.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::pace::Pace;
use super::shares::Shares;
use crate::connect::{Chunk, ChunkLimits, KnownPartition, PartitionId, Payload, Polled, Position};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::time::Clock;

/// How long a paced row may wait for the next ones, however large `batch.linger` is: latency is what pacing is for.
const LINGER_MICROS_MAX: i64 = 1_000;

/// Rows that are made from their numbers 0, 1, 2, ….
pub(in crate::connect) trait NumberedRows: Send + Debug {
    /// Returns the position of `row`.
    fn position(&self, row: u64) -> u64;

    /// Returns the first row at or after `position`.
    fn row_at(&self, position: u64) -> u64;

    /// Says that `first_row` is due at the wall-clock time `now_millis`; called before the first rows are made.
    fn begin(&mut self, first_row: u64, now_millis: i64);

    /// Makes `rows`, ascending.
    fn make(&mut self, rows: &[u64]) -> Result<RecordBatch>;
}

/// What a [`NumberedSource`] is to do.
#[derive(Debug, Clone, Copy)]
pub(in crate::connect) struct Plan {
    /// The number of all rows; none is endless.
    pub(in crate::connect) rows: Option<u64>,
    /// How the rows are spaced in real time.
    pub(in crate::connect) pace: Pace,
    /// The number of partitions, at least one.
    pub(in crate::connect) partitions: usize,
    /// How many neighbouring rows stay in one partition, at least one.
    pub(in crate::connect) block: u64,
    /// How large a chunk may grow.
    pub(in crate::connect) limits: ChunkLimits,
}

#[derive(Debug)]
struct Partition {
    /// The index, among the rows of the partition, of the next row.
    next: u64,
    end_said: bool,
}

/// Numbered rows as a source; see [`Source`](crate::connect::Source) for the contract.
#[derive(Debug)]
pub(in crate::connect) struct NumberedSource<R> {
    rows: R,
    plan: Plan,
    shares: Shares,
    ids: Vec<PartitionId>,
    partitions: Vec<Partition>,
    /// The partition that is asked first, so that none starves.
    turn: usize,
    chunk_rows: u64,
    row_bytes: u64,
    end_said: bool,
    clock: Arc<dyn Clock>,
}

fn check_partitions(count: usize) -> Result<()> {
    if count == 0 || count > 4_096 {
        return Err(Error::invalid(format!("{count} partitions are not possible"))
            .with_hint("give from 1 to 4096 partitions"));
    }
    Ok(())
}

fn partition_id(number: usize) -> PartitionId {
    PartitionId(number.to_string().into())
}

/// Returns the partitions of a source of `rows` rows, none for endless ones, of which blocks of `block` go round.
pub(in crate::connect) fn known_partitions(
    partitions: usize,
    rows: Option<u64>,
    block: u64,
) -> Result<Vec<KnownPartition>> {
    check_partitions(partitions)?;
    let shares = Shares { partitions: partitions as u64, block };
    let known = |number: usize| KnownPartition {
        rows: rows.map(|rows| shares.count_below(number as u64, rows)),
        ..KnownPartition::named(partition_id(number))
    };
    Ok((0..partitions).map(known).collect())
}

impl<R: NumberedRows> NumberedSource<R> {
    /// Opens the rows from number 0 on.
    pub(in crate::connect) fn try_new(mut rows: R, plan: Plan, clock: Arc<dyn Clock>) -> Result<Self> {
        check_partitions(plan.partitions)?;
        let sample = rows.make(&(0..plan.rows.unwrap_or(32).min(32)).collect::<Vec<_>>())?;
        let row_bytes = sample_bytes(&sample)?.div_ceil(sample.num_rows().max(1)).max(1);
        let chunk_rows = plan.limits.rows.min(plan.limits.bytes / row_bytes).max(1);
        let ids = (0..plan.partitions).map(partition_id).collect();
        let partitions = (0..plan.partitions).map(|_| Partition { next: 0, end_said: false }).collect();
        Ok(Self {
            rows,
            plan,
            shares: Shares { partitions: plan.partitions as u64, block: plan.block },
            ids,
            partitions,
            turn: 0,
            chunk_rows: chunk_rows as u64,
            row_bytes: row_bytes as u64,
            end_said: false,
            clock,
        })
    }

    pub(in crate::connect) fn partitions(&self) -> &[PartitionId] {
        &self.ids
    }

    pub(in crate::connect) fn seek(&mut self, partition: usize, position: Position) -> Result<()> {
        let count = self.partitions.len();
        let place = u64::try_from(position.0).map_err(|_| {
            Error::invalid(format!("a generated stream has no position {}", position.0))
                .with_hint("positions count from 0")
        })?;
        let row = self.rows.row_at(place);
        let Some(state) = self.partitions.get_mut(partition) else {
            return Err(Error::invalid(format!("partition {partition} does not exist, there are {count}"))
                .with_hint("a stream resumes with the number of partitions that it was started with"));
        };
        state.next = self.shares.count_below(partition as u64, row);
        Ok(())
    }

    pub(in crate::connect) fn poll(&mut self, wait: Duration) -> Result<Polled> {
        if let Some(end) = self.say_end() {
            return Ok(end);
        }
        if self.end_said {
            self.clock.wait(wait);
            return Ok(Polled::Idle);
        }
        if !self.plan.pace.has_started() {
            let first = self.next_row().unwrap_or(0);
            self.plan.pace.start(self.clock.monotonic_micros(), first);
            self.rows.begin(first, self.clock.now_millis());
        }
        self.wait_for_rows(wait);
        let due = self.plan.pace.due_rows(self.clock.monotonic_micros());
        match self.ready_partition(due) {
            Some((partition, rows)) => self.chunk(partition, rows).map(Polled::Chunk),
            None => Ok(Polled::Idle),
        }
    }

    /// Returns whether there are always more rows: then none is there before it is asked for.
    pub(in crate::connect) fn is_endless(&self) -> bool {
        self.plan.rows.is_none()
    }

    pub(in crate::connect) fn progress(&self) -> Option<(u64, u64)> {
        let total = self.plan.rows?;
        let read: u64 = (0..self.partitions.len()).map(|p| self.partitions[p].next.min(self.count(p))).sum();
        Some((read.saturating_mul(self.row_bytes), total.saturating_mul(self.row_bytes)))
    }

    /// Returns how many rows `partition` has.
    fn count(&self, partition: usize) -> u64 {
        self.plan.rows.map_or(u64::MAX, |rows| self.shares.count_below(partition as u64, rows))
    }

    /// Returns the next end that has to be said.
    fn say_end(&mut self) -> Option<Polled> {
        for partition in 0..self.partitions.len() {
            let count = self.count(partition);
            let state = &mut self.partitions[partition];
            if !state.end_said && state.next >= count {
                state.end_said = true;
                return Some(Polled::PartitionEnd(partition));
            }
        }
        if self.end_said || self.partitions.iter().any(|partition| !partition.end_said) {
            return None;
        }
        self.end_said = true;
        Some(Polled::End)
    }

    /// Returns the lowest row that was not handed out yet.
    fn next_row(&self) -> Option<u64> {
        let open = |partition: &usize| self.partitions[*partition].next < self.count(*partition);
        let row = |partition: usize| self.shares.row(partition as u64, self.partitions[partition].next);
        (0..self.partitions.len()).filter(open).map(row).min()
    }

    /// Waits until the next row is due, and for those that follow it closely, but at most `wait`.
    fn wait_for_rows(&self, wait: Duration) {
        let Some(row) = self.next_row() else { return };
        let Some(due) = self.plan.pace.due_micros(row) else { return };
        let linger = i64::try_from(self.plan.limits.linger.as_micros()).unwrap_or(i64::MAX);
        let latest = due.saturating_add(linger.min(LINGER_MICROS_MAX));
        let last = row.saturating_add(self.chunk_rows - 1);
        let last = self.plan.rows.map_or(last, |rows| last.min(rows - 1));
        let full = self.plan.pace.due_micros(last).unwrap_or(due);
        // A row that would wait alone is handed out at once.
        let follows = self.plan.pace.due_micros(row + 1).is_some_and(|next| next < latest);
        let until = if follows { latest.min(full) } else { due };
        let left = until.saturating_sub(self.clock.monotonic_micros());
        if let Ok(left @ 1..) = u64::try_from(left) {
            self.clock.wait(Duration::from_micros(left).min(wait));
        }
    }

    /// Returns the next partition in turn that has rows below `due`, and how many of them make a chunk.
    fn ready_partition(&mut self, due: u64) -> Option<(usize, u64)> {
        let count = self.partitions.len();
        for partition in (0..count).map(|step| (self.turn + step) % count) {
            let limit = self.count(partition).min(self.shares.count_below(partition as u64, due));
            let ready = limit.saturating_sub(self.partitions[partition].next);
            if ready > 0 {
                self.turn = (partition + 1) % count;
                return Some((partition, ready.min(self.chunk_rows)));
            }
        }
        None
    }

    fn chunk(&mut self, partition: usize, rows: u64) -> Result<Chunk> {
        let first = self.partitions[partition].next;
        let row = |index: u64| self.shares.row(partition as u64, index);
        let numbers: Vec<u64> = (first..first + rows).map(row).collect();
        let start = position(self.rows.position(row(first)))?;
        let end = position(self.rows.position(row(first + rows)))?;
        let batch = self.rows.make(&numbers)?;
        self.partitions[partition].next += rows;
        let payload = Payload::Rows(ChangeBatch::inserts(batch));
        Ok(Chunk { partition, start, end, payload, origin: None, watermark: None })
    }
}

fn position(place: u64) -> Result<Position> {
    i64::try_from(place)
        .map(Position)
        .map_err(|_| Error::exhausted("a generated stream has no more numbers for its rows"))
}

/// Returns the bytes that the rows of `sample` take, without the spare room of its buffers.
fn sample_bytes(sample: &RecordBatch) -> Result<usize> {
    let mut bytes = 0;
    for column in sample.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
    }
    Ok(bytes)
}
