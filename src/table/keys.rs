//! [`Keys`]: the key columns of a batch, in the form that an index works with.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, UInt8Type,
    UInt16Type, UInt32Type,
};
use datafusion::common::hash_utils::{RandomState, create_hashes};

use super::equality::Pairs;
use crate::error::{Error, Result};

/// Hashes live as long as their table in memory, so that any seed will do as long as it stays.
const SEED: u64 = 0x5645_4C4F;

/// The keys of the rows of a batch.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) rows: usize,
    /// The rows in which no key column is NULL; none if that is so everywhere.
    pub(super) nulls: Option<NullBuffer>,
    pub(super) form: KeyForm,
}

/// What an index compares first.
#[derive(Debug)]
pub(super) enum KeyForm {
    /// The keys themselves, where one column of at most 64 bits is the key.
    Integers(ScalarBuffer<i64>),
    /// A hash of each key; the columns have to be compared too.
    Hashes(Vec<u64>),
}

impl Keys {
    /// Prepares the keys of so many rows.
    pub(super) fn try_new(columns: Vec<ArrayRef>, rows: usize) -> Result<Self> {
        let columns: Vec<ArrayRef> = columns.into_iter().map(of_one_zero).collect();
        let nulls = columns
            .iter()
            .fold(None, |all, column| NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref()));
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let integers = match columns.as_slice() {
            [column] => integers(column),
            _ => None,
        };
        let form = match integers {
            Some(integers) => KeyForm::Integers(integers),
            None => {
                let mut hashes = vec![0; rows];
                create_hashes(&columns, &RandomState::with_seed(SEED), &mut hashes)?;
                KeyForm::Hashes(hashes)
            }
        };
        Ok(Self { columns, rows, nulls, form })
    }

    /// Returns whether a key column of the row is NULL.
    pub(super) fn is_null(&self, row: u32) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row as usize))
    }

    /// Returns the rows that have a key.
    pub(super) fn valid_rows(&self) -> Vec<u32> {
        let rows = 0..row_number(self.rows);
        match &self.nulls {
            Some(_) => rows.filter(|&row| !self.is_null(row)).collect(),
            None => rows.collect(),
        }
    }

    /// Returns for each pair whether the key of this batch's row is that of the row of `others`.
    pub(super) fn are_equal(&self, pairs: &Pairs, others: &[&ArrayRef]) -> Result<Vec<bool>> {
        pairs.are_equal(&self.columns.iter().collect::<Vec<_>>(), others)
    }
}

/// Makes numbers that are equal the same: zero has no sign, and there is one that is not a number.
fn of_one_zero(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let same = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(same))
        }
        DataType::Float32 => {
            let same = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(same))
        }
        _ => column,
    }
}

/// Returns a count of rows as the number of the row after them; what has more rows than that is refused before.
pub(super) fn row_number(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

/// Fails if there are more rows than can be numbered.
pub(super) fn check_row_count(rows: usize) -> Result<()> {
    match rows < u32::MAX as usize {
        true => Ok(()),
        false => Err(Error::exhausted(format!("{rows} rows at once are more than a table can take"))),
    }
}

/// Returns values of at most 64 bits, as numbers of which only the equality means something.
pub(super) fn integers(column: &ArrayRef) -> Option<ScalarBuffer<i64>> {
    match column.data_type() {
        DataType::Int64
        | DataType::UInt64
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_) => {
            let data = column.to_data();
            Some(ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len()))
        }
        DataType::Int32 => Some(widened(column.as_primitive::<Int32Type>())),
        DataType::UInt32 => Some(widened(column.as_primitive::<UInt32Type>())),
        DataType::Int16 => Some(widened(column.as_primitive::<Int16Type>())),
        DataType::UInt16 => Some(widened(column.as_primitive::<UInt16Type>())),
        DataType::Int8 => Some(widened(column.as_primitive::<Int8Type>())),
        DataType::UInt8 => Some(widened(column.as_primitive::<UInt8Type>())),
        DataType::Date32 | DataType::Time32(_) => {
            let data = column.to_data();
            let values = ScalarBuffer::<i32>::new(data.buffers()[0].clone(), data.offset(), data.len());
            Some(values.iter().map(|&value| i64::from(value)).collect())
        }
        DataType::Boolean => Some(column.as_boolean().values().iter().map(i64::from).collect()),
        _ => None,
    }
}

fn widened<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>) -> ScalarBuffer<i64>
where
    T::Native: Into<i64>,
{
    column.values().iter().map(|&value| value.into()).collect()
}

/// Returns some columns of a batch.
pub(super) fn chosen(columns: &[ArrayRef], chosen: &[usize]) -> Vec<ArrayRef> {
    chosen.iter().map(|&column| Arc::clone(&columns[column])).collect()
}
