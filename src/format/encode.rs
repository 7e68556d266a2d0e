//! [`Encoder`]: the rows of a batch become bytes outside.

use arrow::array::RecordBatch;

use crate::error::Result;

/// Turns batches into the bytes of a line-based format.
pub trait Encoder: Send {
    /// Returns what a file begins with (a CSV header line), or nothing.
    fn header(&self) -> Result<Vec<u8>>;

    /// Appends every row of `rows` to `out`, each ended by a line feed.
    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;

    /// Appends every row of `rows` to `out` without line feeds, and the end of each row's bytes to `ends`.
    fn encode_each(&mut self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()>;
}
