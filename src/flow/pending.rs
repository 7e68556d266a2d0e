//! [`Pending`]: rows that wait for the watermark.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, Scalar, TimestampMillisecondArray};
use arrow::compute::kernels::cmp::lt;
use arrow::compute::{concat_batches, filter_record_batch, not};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};

use crate::error::{Error, Result};
use crate::time::Watermark;

/// Rows in the order in which they came, with the span of their times.
///
/// Both columns are timestamps in milliseconds.
pub struct Pending {
    schema: SchemaRef,
    /// The column that the watermark must pass.
    until: usize,
    /// The column of the event time.
    time: usize,
    batches: Vec<Waiting>,
}

struct Waiting {
    rows: RecordBatch,
    earliest: i64,
    latest: i64,
    earliest_time: i64,
}

impl Pending {
    /// Creates an empty store of rows that wait until the watermark passes column `until`; `time` is their event time.
    pub fn new(schema: SchemaRef, until: usize, time: usize) -> Self {
        Self { schema, until, time, batches: vec![] }
    }

    /// Adds rows.
    pub fn push(&mut self, rows: RecordBatch) -> Result<()> {
        let times = times_of(&rows, self.until)?.values();
        if let (Some(&earliest), Some(&latest)) = (times.iter().min(), times.iter().max()) {
            let earliest_time = match self.until == self.time {
                true => earliest,
                false => times_of(&rows, self.time)?.values().iter().copied().min().unwrap_or(earliest),
            };
            self.batches.push(Waiting { rows, earliest, latest, earliest_time });
        }
        Ok(())
    }

    /// Takes the rows before `watermark`, in the order in which they came.
    pub fn take_before(&mut self, watermark: Watermark) -> Result<RecordBatch> {
        let limit = watermark.millis();
        let mut taken = vec![];
        for waiting in std::mem::take(&mut self.batches) {
            if waiting.latest < limit {
                taken.push(waiting.rows);
            } else if waiting.earliest >= limit {
                self.batches.push(waiting);
            } else {
                let times = times_of(&waiting.rows, self.until)?;
                let before: BooleanArray =
                    lt(times, &Scalar::new(TimestampMillisecondArray::from(vec![limit])))?;
                taken.push(filter_record_batch(&waiting.rows, &before)?);
                self.push(filter_record_batch(&waiting.rows, &not(&before)?)?)?;
            }
        }
        match <[RecordBatch; 1]>::try_from(taken) {
            Ok([rows]) => Ok(rows),
            Err(taken) => Ok(concat_batches(&self.schema, &taken)?),
        }
    }

    /// Returns the earliest event time of a row that waits, as a watermark; the end of time where none waits.
    pub fn earliest_time(&self) -> Watermark {
        let times = self.batches.iter().map(|waiting| waiting.earliest_time);
        times.min().map_or(Watermark::END, Watermark::from_millis)
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.batches.iter().map(|waiting| waiting.rows.num_rows()).sum()
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Returns about how many bytes the rows take.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|waiting| waiting.rows.get_array_memory_size()).sum()
    }
}

/// Returns the column `time` of `rows`: timestamps in milliseconds, which every row has.
pub fn times_of(rows: &RecordBatch, time: usize) -> Result<&TimestampMillisecondArray> {
    let column = Arc::as_ref(rows.column(time));
    let times = column.as_primitive_opt::<TimestampMillisecondType>();
    times.filter(|times| times.null_count() == 0).ok_or_else(|| Error::internal("a row without its time"))
}
