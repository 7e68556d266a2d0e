//! [`Batch`]: the rows and rejected records of one buffer while it is decoded.

use std::ops::Range;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::column::Column;
use super::{Decoded, Rejected};
use crate::error::{Error, Result};

/// Buffers beyond this cannot be counted by the offsets of a text column.
const BUFFER_MAX: usize = i32::MAX as usize;

/// Fails for a buffer that is too large for one batch.
pub(super) fn check_size(bytes: &[u8]) -> Result<()> {
    if bytes.len() > BUFFER_MAX {
        return Err(Error::internal(format!("{} bytes are too many for one batch", bytes.len())));
    }
    Ok(())
}

/// Returns the records that `ends` tells apart.
pub(super) fn split_at<'a>(
    bytes: &'a [u8],
    ends: &'a [u32],
) -> impl Iterator<Item = Result<(Range<usize>, &'a [u8])>> {
    let mut start = 0_usize;
    ends.iter().map(move |end| {
        let range = start..usize::try_from(*end).unwrap_or(usize::MAX);
        start = range.end;
        match bytes.get(range.clone()) {
            Some(record) => Ok((range, record)),
            None => Err(Error::internal(format!("a record ends at {end} of {} bytes", bytes.len()))),
        }
    })
}

/// What became of the records so far.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rows: usize,
    pub(super) records: usize,
    pub(super) lines: u64,
    pub(super) rejected: Vec<Rejected>,
    starts: Option<Vec<u32>>,
}

impl Batch {
    pub(super) fn new(starts: bool) -> Self {
        Self { starts: starts.then(Vec::new), ..Self::default() }
    }

    /// Counts a record whose row is complete.
    #[inline(always)]
    pub(super) fn accept(&mut self, start: usize) {
        self.rows += 1;
        self.records += 1;
        if let Some(starts) = &mut self.starts {
            starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        }
    }

    /// Cuts a bad record off the columns and keeps what is wrong with it.
    #[cold]
    pub(super) fn reject(
        &mut self,
        columns: &mut [Column],
        bytes: Range<usize>,
        message: String,
        at: Option<usize>,
    ) {
        columns.iter_mut().for_each(|column| column.truncate(self.rows));
        self.rejected.push(Rejected { record: self.records, line: self.lines, bytes, message, at });
        self.records += 1;
    }

    /// Makes the batch out of the columns.
    pub(super) fn finish(self, columns: &mut [Column], schema: &SchemaRef) -> Result<Decoded> {
        let arrays = columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let rows = RecordBatch::try_new_with_options(SchemaRef::clone(schema), arrays, &options)?;
        Ok(Decoded {
            rows,
            rejected: self.rejected,
            starts: self.starts.unwrap_or_default(),
            lines: self.lines,
        })
    }
}

/// Returns `range` without a carriage return at its end.
pub(super) fn without_return(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    match bytes.get(range.clone()) {
        Some([.., b'\r']) => range.start..range.end - 1,
        _ => range,
    }
}
