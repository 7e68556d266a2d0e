//! [`Digest`]: all rows of an answer in two numbers, whatever their order.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int8Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// Digits after the first that floats keep: enough to hold every DECIMAL of the queries, and too few for the last bits,
/// in which sums depend on their order.
const DIGITS_AFTER_FIRST: usize = 11;

/// The number of rows and the sum of their hashes; a deleted row takes away what its insert added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest {
    /// Rows inserted less rows deleted.
    pub(super) rows: i64,
    /// The wrapping sum of the hashes.
    pub(super) hash: u64,
}

impl Digest {
    /// Adds rows, cast to `schema` by position; `weights` says which come (+1) and go (−1).
    pub(super) fn add(
        &mut self,
        rows: &RecordBatch,
        weights: Option<&Int8Array>,
        schema: &SchemaRef,
    ) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let columns = rows.columns().iter().zip(schema.fields());
        let columns: Vec<ArrayRef> =
            columns.map(|(column, field)| comparable(column, field.data_type())).collect::<Result<_>>()?;
        let sort = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let encoded = RowConverter::new(sort.collect())?.convert_columns(&columns)?;
        for (place, row) in encoded.iter().enumerate() {
            let hash = xxh3_64(row.as_ref());
            match weights.map_or(1, |weights| weights.value(place)) {
                1 => (self.rows, self.hash) = (self.rows + 1, self.hash.wrapping_add(hash)),
                -1 => (self.rows, self.hash) = (self.rows - 1, self.hash.wrapping_sub(hash)),
                other => return Err(Error::internal(format!("a change has the weight {other}"))),
            }
        }
        Ok(())
    }
}

/// Returns the schema in which rows of both schemas can be compared.
pub(super) fn meeting_schema(left: &Schema, right: &Schema) -> Result<SchemaRef> {
    if left.fields().len() != right.fields().len() {
        return Err(Error::internal(format!(
            "the answers have {} and {} columns",
            left.fields().len(),
            right.fields().len()
        )));
    }
    let fields = left.fields().iter().zip(right.fields()).map(|(left, right)| {
        let data_type = meeting_type(left.data_type(), right.data_type()).ok_or_else(|| {
            let (name, left, right) = (left.name(), left.data_type(), right.data_type());
            Error::internal(format!("column `{name}` is a {left} in one answer and a {right} in the other"))
        })?;
        Ok(Field::new(left.name(), data_type, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// Returns the type that holds the values of both.
fn meeting_type(left: &DataType, right: &DataType) -> Option<DataType> {
    let exact = |data_type: &DataType| data_type.is_integer() || data_type.is_decimal();
    match (left, right) {
        _ if left.is_string() && right.is_string() => Some(DataType::Utf8),
        _ if left.is_integer() && right.is_integer() => Some(DataType::Int64),
        _ if exact(left) && exact(right) => Some(DataType::Decimal128(38, scale(left).max(scale(right)))),
        _ if left.is_numeric() && right.is_numeric() => Some(DataType::Float64),
        (DataType::Timestamp(_, None), DataType::Timestamp(_, None)) => {
            Some(DataType::Timestamp(TimeUnit::Nanosecond, None))
        }
        _ => (left == right).then(|| left.clone()),
    }
}

fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

fn comparable(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let column = cast(column, data_type)?;
    let Some(floats) = column.as_primitive_opt::<Float64Type>() else { return Ok(column) };
    Ok(Arc::new(floats.iter().map(|value| value.map(rounded)).collect::<Float64Array>()))
}

fn rounded(value: f64) -> f64 {
    // Adding zero makes −0 the 0 that it equals.
    format!("{value:.DIGITS_AFTER_FIRST$e}").parse().unwrap_or(value) + 0.0
}
