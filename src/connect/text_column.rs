//! [`TextColumn`]: a text column built in one buffer, without a `String` for each row.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::error::{Error, Result};

/// The rows of a text column so far.
#[derive(Debug)]
pub(crate) struct TextColumn {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl TextColumn {
    /// Creates an empty column with room for `rows` of about `row_bytes`.
    pub(crate) fn with_capacity(rows: usize, row_bytes: usize) -> Self {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Self { bytes: Vec::with_capacity(rows * row_bytes), ends }
    }

    /// Adds a row: what `write` appends to the buffer.
    ///
    /// Errors with [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted) when the column outgrows 2 GiB.
    pub(crate) fn row(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        write(&mut self.bytes);
        let end = i32::try_from(self.bytes.len())
            .map_err(|_| Error::exhausted("a batch holds more than 2 GiB of text in one column"))?;
        self.ends.push(end);
        Ok(())
    }

    /// Returns the column as `data_type`, one of the text types.
    pub(crate) fn finish(self, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let column: ArrayRef = Arc::new(StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)?);
        Ok(if data_type == &DataType::Utf8 { column } else { cast(&column, data_type)? })
    }
}

/// Appends `number` in decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
