//! [`Source`]: one declared stream's partitions, read in order as chunks of whole records.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::circuit::CircuitState;
use crate::error::Result;
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// Where a partition resumes: the place of the next record.
///
/// Bytes from the start of a file, the offset in a Kafka partition, or a row number, as the connector counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position(pub i64);

/// The name of a partition, stable across restarts: a path, or topic and number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub Arc<str>);

impl PartitionId {
    /// Returns a number that stands for the name, the same in every run.
    pub fn number(&self) -> i64 {
        i64::from_ne_bytes(xxh3_64(self.0.as_bytes()).to_ne_bytes())
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whole records cut from one partition.
#[derive(Debug)]
pub struct Chunk {
    /// The ordinal of the partition in [`Source::partitions`].
    pub partition: usize,
    /// The place of the first record.
    pub start: Position,
    /// The place after the last record: where the partition resumes once this chunk is done.
    pub end: Position,
    /// The records.
    pub payload: Payload,
    /// Which file the records are from, if the partition is strung together from several.
    pub origin: Option<Origin>,
    /// The watermark that an upstream job promises from these records on, where the source is one.
    pub watermark: Option<Watermark>,
}

/// The place of a chunk in one of the files that make a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: Arc<str>,
    /// The position at which it begins.
    pub begins: Position,
    /// The lines of the file before the chunk.
    pub lines_before: u64,
}

/// The records of a [`Chunk`].
pub enum Payload {
    /// Lines of a text format.
    Lines(Bytes),
    /// Messages of a broker.
    Messages(Messages),
    /// Rows that need no decoding, in the schema of the declaration; of a stream that withdraws rows, with their weights.
    Rows(ChangeBatch),
    /// Rows that are read and decoded where the other formats are decoded: on the worker that gets the chunk.
    Deferred(Box<dyn ReadRows>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(bytes) => write!(f, "Lines({} bytes)", bytes.len()),
            Self::Messages(messages) => write!(f, "Messages({})", messages.ends.len()),
            Self::Rows(rows) => write!(f, "Rows({})", rows.num_rows()),
            Self::Deferred(_) => f.write_str("Deferred"),
        }
    }
}

/// A piece of a columnar file that has yet to be read.
pub trait ReadRows: Send {
    /// Reads the rows, with only the columns that the source was opened for.
    fn read(self: Box<Self>) -> Result<RecordBatch>;

    /// Returns about how many bytes outside the rows take.
    fn bytes(&self) -> u64;
}

/// Messages of a broker, packed: one buffer for all values, one for all keys.
#[derive(Debug, Default)]
pub struct Messages {
    /// All values, back to back.
    pub values: Vec<u8>,
    /// For each message the end of its value in `values`.
    pub ends: Vec<u32>,
    /// Messages without a value (tombstones), by ordinal, ascending; such a message has an empty value.
    pub tombstones: Vec<u32>,
    /// All keys, back to back.
    pub keys: Vec<u8>,
    /// For each message the end of its key in `keys`, and whether it has one at all.
    pub key_ends: Vec<(u32, bool)>,
    /// For each message its timestamp in epoch milliseconds, if the broker has one.
    pub timestamps: Vec<Option<i64>>,
    /// For each message its offset.
    pub offsets: Vec<i64>,
    /// Headers as (message ordinal, name, value), ascending by message; a name may repeat.
    pub headers: Vec<(u32, String, Option<Vec<u8>>)>,
}

/// What [`Source::poll`] found.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a chunk is what almost every poll gives, and is moved once")]
pub enum Polled {
    /// The next records.
    Chunk(Chunk),
    /// Nothing new within the wait; more may come.
    Idle,
    /// No records, but an upstream job promises that event time has come to a watermark.
    Advanced {
        /// The partition.
        partition: usize,
        /// The watermark.
        watermark: Watermark,
    },
    /// What this partition gave is not there any more outside: a table over the source takes it back. What has come in its
    /// place was given before.
    Withdrawn(usize),
    /// This partition is finished for good. Other partitions may go on.
    PartitionEnd(usize),
    /// All partitions are finished for good.
    End,
}

/// The partitions of one declared stream, read in order on a thread of its own.
///
/// Contract, checked for every implementation by the conformance suite:
///
/// 1. After `seek(p, position)`, `poll` returns exactly the records of `p` from `position` on; without a seek, from
///    where the options say.
/// 2. The chunks of one partition follow each other without gap: `start` is the `end` of the chunk before it.
/// 3. A chunk holds whole records, at most about the bytes and rows of [`ChunkLimits`], and at least one record.
/// 4. `PartitionEnd` and `End` are said once, and only when no record can come any more.
/// 5. `poll` returns within about `wait` when nothing comes.
pub trait Source: Send {
    /// Returns the partitions known by now; the list only grows.
    fn partitions(&self) -> &[PartitionId];

    /// Makes `partition` go on at `position`; called before the first poll.
    fn seek(&mut self, partition: usize, position: Position) -> Result<()>;

    /// Makes the partitions that were read before a restart go on, each where it was; called before the first poll. One
    /// without a position was not read, or withdrawn.
    fn resume(&mut self, before: &[(PartitionId, Option<Position>)]) -> Result<()> {
        for (id, position) in before {
            let partition = self.partitions().iter().position(|known| known == id);
            if let (Some(partition), Some(position)) = (partition, position) {
                self.seek(partition, *position)?;
            }
        }
        Ok(())
    }

    /// Waits at most `wait` for the next chunk of any partition.
    fn poll(&mut self, wait: Duration) -> Result<Polled>;

    /// Returns whether partitions are read one after the other: one that has not begun is not idle, it waits.
    fn reads_in_turn(&self) -> bool {
        false
    }

    /// Returns how many lines a partition has before its first record: headers count as lines, not as records.
    fn header_lines(&self) -> u64 {
        0
    }

    /// Returns whether all that was there when the source was opened has been polled: a load of it is complete. A source
    /// that ends says so by its end.
    fn has_caught_up(&self) -> bool {
        false
    }

    /// Says how many records or bytes are known to be still unread, if the source can tell: `(read, total)` bytes.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    /// Says whether the source is there, if it can be away without that being an error.
    fn health(&self) -> Option<SourceHealth> {
        None
    }
}

/// Whether a source that may be away is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceHealth {
    /// Whether it is asked, where a circuit guards it.
    pub circuit: Option<CircuitState>,
    /// How many tries to open or read it have failed so far.
    pub failed_tries: u64,
    /// Why nothing comes although there may be something.
    pub trouble: Option<String>,
}

/// How large a chunk may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLimits {
    /// `batch.max_rows`: where the source counts records, at most that many.
    pub rows: usize,
    /// `batch.max_bytes`: about that many bytes, unless one record alone is larger.
    pub bytes: usize,
    /// `batch.linger`: how long records that are already there may wait for more.
    pub linger: Duration,
}
