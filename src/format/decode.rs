//! [`Decoder`]: the bytes of many records become one `RecordBatch`; a bad record never harms its neighbours.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::time::EventTimeFormat;

/// How the records of a byte buffer are told apart.
#[derive(Debug, Clone, Copy)]
pub enum Layout<'a> {
    /// Records end at a line feed outside quotes (a carriage return before it belongs to the line end); the last one
    /// may lack it. Blank lines are not records.
    Lines,
    /// Record `i` ends before byte `ends[i]` and begins where the one before it ended.
    Ends(&'a [u32]),
}

/// What a decoder made of a buffer.
#[derive(Debug)]
pub struct Decoded {
    /// One row for each good record, in order.
    pub rows: RecordBatch,
    /// The records that did not fit, in order.
    pub rejected: Vec<Rejected>,
    /// For each row the byte at which its record starts; filled only where
    /// [`DecodeOptions::starts`] asks for it.
    pub starts: Vec<u32>,
    /// Lines in the buffer (line ends, and a last line without one); for [`Layout::Ends`] the number of records.
    pub lines: u64,
}

/// A record that does not fit, with its place in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The ordinal among the buffer's records, good and bad; blank lines do not count.
    pub record: usize,
    /// The ordinal among the buffer's lines, blank ones included; for [`Layout::Ends`] the same as `record`.
    pub line: u64,
    /// The record's bytes, without its line end.
    pub bytes: Range<usize>,
    /// What is wrong, naming the field and the value: ``field `price`: "abc" is not a DECIMAL(18, 4)``.
    pub message: String,
    /// Where in the buffer the trouble is, if that is known more exactly than the record's start.
    pub at: Option<usize>,
}

/// What to do where a record and the declared columns differ; each is an option of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecodeOptions {
    /// `missing.field = null | fail`: whether a declared field that a record lacks is NULL (default) or an error.
    pub missing_field_fails: bool,
    /// `unknown.field = ignore | fail`: whether a field that nobody declared is skipped (default) or an error.
    pub unknown_field_fails: bool,
    /// `timestamp.format`: the unit of integers in TIMESTAMP columns (default milliseconds).
    pub integer_time: IntegerTime,
    /// How one column is written instead, if that is said.
    pub event_time: Option<WrittenTime>,
    /// Whether [`Decoded::starts`] is wanted.
    pub starts: bool,
}

/// How the event time is written (`event.time.field`, `event.time.format`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTime {
    /// The column; case does not count.
    pub column: String,
    /// How it is written.
    pub format: EventTimeFormat,
}

/// The unit in which an integer counts since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntegerTime {
    /// Whole seconds.
    Seconds,
    /// Milliseconds.
    #[default]
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// Turns buffers of records into batches.
///
/// A decoder keeps nothing from one call to the next but its own buffers: every buffer holds whole records.
pub trait Decoder: Send {
    /// Decodes every record of `bytes`.
    ///
    /// A record that does not fit goes to [`Decoded::rejected`]; the error of the call itself means that the decoder
    /// cannot work at all.
    fn decode(&mut self, bytes: &[u8], layout: Layout<'_>) -> Result<Decoded>;

    /// Returns the schema of the batches: the columns that are used, in the order in which they are declared.
    fn schema(&self) -> &SchemaRef;

    /// Returns the names of the fields of a record that are not NULL, declared or not, for messages; none of a record
    /// that cannot be read.
    fn fields_of(&self, record: &[u8]) -> Vec<String>;
}

/// Returns the end of the last line of `bytes`, its line feed included: where a reader cuts a buffer of JSON lines.
pub fn lines_last_record_end(bytes: &[u8]) -> Option<usize> {
    memchr::memrchr(b'\n', bytes).map(|at| at + 1)
}
