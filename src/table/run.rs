//! [`Run`]: rows that never change, with an index for each set of columns that is looked up.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_empty_array,
};
use arrow::compute::{concat, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use super::key_index::{Holding, KeyIndex};
use super::keys::{Keys, check_row_count, chosen};
use super::live_rows::{CHUNK_ROWS, LiveRows};
use crate::error::Result;

/// What an index is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexSpec {
    pub(super) columns: Vec<usize>,
    /// Whether each key is live in one row at most.
    pub(super) unique: bool,
    /// Whether NULL is a key like others: it is to the writer, who has to find the row that another replaces.
    pub(super) with_nulls: bool,
}

impl IndexSpec {
    fn holding(&self) -> Holding {
        if self.unique { Holding::Distinct } else { Holding::All }
    }
}

/// Rows of many epochs that were written or merged together.
#[derive(Debug)]
pub(super) struct Run {
    rows: RecordBatch,
    /// In the order of the table's indexes.
    indexes: Vec<Arc<KeyIndex>>,
}

impl Run {
    /// Indexes rows, of which no two have the same key in a unique index; the first indexes may be there already.
    pub(super) fn try_new(
        rows: RecordBatch,
        mut indexes: Vec<Arc<KeyIndex>>,
        specs: &[IndexSpec],
    ) -> Result<Self> {
        check_row_count(rows.num_rows())?;
        for spec in specs.iter().skip(indexes.len()) {
            let keys = Keys::try_new(chosen(rows.columns(), &spec.columns), rows.num_rows())?;
            let (index, _) = KeyIndex::build(&keys, spec.holding(), spec.with_nulls)?;
            indexes.push(Arc::new(index));
        }
        Ok(Self { rows, indexes })
    }

    /// Returns the same rows with the indexes that they lack.
    pub(super) fn indexed(&self, specs: &[IndexSpec]) -> Result<Self> {
        Self::try_new(self.rows.clone(), self.indexes.clone(), specs)
    }

    pub(super) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    pub(super) fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// Returns an index, if the run has so many.
    pub(super) fn index(&self, index: usize) -> Option<&KeyIndex> {
        self.indexes.get(index).map(AsRef::as_ref)
    }

    /// Returns the columns that an index is over.
    pub(super) fn key_columns(&self, spec: &IndexSpec) -> Vec<&ArrayRef> {
        spec.columns.iter().map(|&column| self.rows.column(column)).collect()
    }

    /// Returns the live rows of a part of a chunk, or those columns of them; none where there are none.
    pub(super) fn live_batch(
        &self,
        live: &LiveRows,
        columns: Option<&[usize]>,
        range: Range<usize>,
    ) -> Result<Option<RecordBatch>> {
        let rows = self.rows.slice(range.start, range.len());
        let rows = match columns {
            Some(columns) => rows.project(columns)?,
            None => rows,
        };
        let Some(mask) = live.mask(range.start, range.len()) else { return Ok(Some(rows)) };
        if mask.count_set_bits() == 0 {
            return Ok(None);
        }
        Ok(Some(filter_record_batch(&rows, &BooleanArray::new(mask, None))?))
    }

    /// Returns about how many bytes rows and indexes take.
    pub(super) fn bytes(&self) -> usize {
        self.rows.get_array_memory_size() + self.indexes.iter().map(|index| index.bytes()).sum::<usize>()
    }
}

/// Cuts so many rows into parts of `most` that do not cross chunks.
pub(super) fn ranges(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let next = move |start: usize| {
        let chunk_end = (start / CHUNK_ROWS + 1) * CHUNK_ROWS;
        start..(start + most).min(chunk_end).min(rows)
    };
    let first = (rows > 0).then(|| next(0));
    std::iter::successors(first, move |range| (range.end < rows).then(|| next(range.end)))
}

/// Makes batches one that owns its bytes and no more: what they are slices of, or point into, can go.
pub(super) fn compacted(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let rows = match batches {
        [batch] => batch.clone(),
        batches => concat_batches(schema, batches)?,
    };
    let columns = rows.columns().iter().map(|column| compacted_column(column, batches.len() == 1));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_>>()?, &options)?)
}

fn compacted_column(column: &ArrayRef, may_be_slice: bool) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        data_type if may_be_slice => {
            let used = column.to_data().get_slice_memory_size()?;
            if column.get_buffer_memory_size() <= used + used / 8 + 64 {
                return Ok(Arc::clone(column));
            }
            // Alone, an array is handed back as it is.
            concat(&[column, &new_empty_array(data_type)])?
        }
        _ => Arc::clone(column),
    })
}

/// Returns whether values of the type, or in it, are addressed with 32 bits: then not more than 2 GiB of them fit into
/// one array.
pub(super) fn has_small_offsets(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(_, _) => true,
        DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            has_small_offsets(field.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_small_offsets(field.data_type())),
        DataType::Dictionary(_, values) => has_small_offsets(values),
        _ => false,
    }
}
