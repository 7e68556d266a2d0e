//! [`SourceConnector`] and [`SinkConnector`]: a declared stream's outside, checked at `CREATE` and opened per job.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::connect::{ChunkLimits, PartitionId, Patience, Sink, Source};
use crate::error::{Error, Result};
use crate::format::Decoder;
use crate::time::Clock;

/// What a job wants to read of a source.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The declared columns of the stream.
    pub schema: SchemaRef,
    /// The ordinals of the columns that are used, ascending.
    pub columns: Vec<usize>,
    /// Whether the place of each record is wanted (`_offset`).
    pub offsets: bool,
    /// Whether message headers are wanted.
    pub headers: bool,
    /// How large chunks may grow.
    pub limits: ChunkLimits,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
}

impl ReadRequest {
    /// Returns the schema of the used columns.
    pub fn used_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(&self.columns)?))
    }
}

/// What is known of a partition without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPartition {
    /// Its name.
    pub id: PartitionId,
    /// How many bytes it has outside.
    pub bytes: Option<u64>,
    /// The offset of the first record that there is, and the one that the next record will get.
    pub offsets: Option<(i64, i64)>,
    /// How many rows it has.
    pub rows: Option<u64>,
}

impl KnownPartition {
    /// Says of a partition no more than its name.
    pub fn named(id: PartitionId) -> Self {
        Self { id, bytes: None, offsets: None, rows: None }
    }
}

/// Where the rows of a stream come from.
pub trait SourceConnector: Debug + Send + Sync {
    /// Says what is read, for `EXPLAIN` and messages: ``file `trades.csv` (csv)``.
    fn describe(&self) -> String;

    /// Returns whether the source ends by itself.
    fn is_bounded(&self) -> bool;

    /// Returns whether the source says when what a partition gave is not there any more.
    fn withdraws(&self) -> bool {
        false
    }

    /// Returns whether rows without an event time of their own have the time of their arrival, or of the broker.
    fn stamps_arrival(&self) -> bool {
        true
    }

    /// Returns whether the source can be read again from a position.
    fn is_replayable(&self) -> bool {
        true
    }

    /// Returns the columns that a sample of the data suggests; this may wait for the outside.
    fn infer_schema(&self) -> Result<SchemaRef>;

    /// Returns whether [`infer_schema`](Self::infer_schema) needs nothing but this process and its files.
    fn can_infer_offline(&self) -> bool {
        true
    }

    /// Returns whether the records have headers.
    fn has_headers(&self) -> bool {
        false
    }

    /// Returns the partitions that there are now; this may wait for the outside, but reads no record.
    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        Err(Error::not_yet(format!("listing the partitions of {}", self.describe())))
    }

    /// Returns the same source beginning with its oldest record, if its options leave open where it begins.
    fn reading_from_start(&self) -> Option<Arc<dyn SourceConnector>> {
        None
    }

    /// Returns for how long the source is tried again while it is away; none if that is an error at once.
    fn patience(&self) -> Option<Patience> {
        None
    }

    /// Opens the source for reading from its start.
    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>>;

    /// Creates a decoder for what the source gives as bytes; each worker has its own.
    ///
    /// None where the source gives rows.
    fn decoder(&self, request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>>;
}

/// The column of a result that holds the headers of each row's record: a map from text to bytes.
pub const HEADERS: &str = "__headers";

/// How a changelog is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangelogForm {
    /// The sink takes inserts only.
    AppendOnly,
    /// A leading column `_op` says `insert` or `delete`.
    Op,
    /// The new row of each key; deletes as the connector can.
    Upsert,
    /// The new rows are appended, old ones are not withdrawn.
    NewRows,
}

/// What a job wants to write.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// The columns of the result; a column `__time` holds the event time where the sink asked for it, and
    /// [`HEADERS`] the headers where the query writes some.
    pub schema: SchemaRef,
    /// The ordinals of the key columns.
    pub key: Vec<usize>,
    /// Whether the result withdraws rows.
    pub changelog: bool,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
}

/// Where the rows of a result go.
pub trait SinkConnector: Debug + Send + Sync {
    /// Says what is written, for `EXPLAIN` and messages.
    fn describe(&self) -> String;

    /// Returns in which form the sink writes a changelog.
    fn changelog_form(&self) -> ChangelogForm;

    /// Returns whether the sink wants the event time as the last column `__time`.
    fn wants_event_time(&self) -> bool {
        false
    }

    /// Returns whether the sink writes the column [`HEADERS`] of a result as the headers of its records.
    fn takes_headers(&self) -> bool {
        false
    }

    /// Returns the delivery guarantee of the sink, for `EXPLAIN`.
    fn guarantee(&self) -> &'static str {
        "at-least-once"
    }

    /// Opens the sink.
    fn open(&self, request: &WriteRequest) -> Result<Box<dyn Sink>>;
}
