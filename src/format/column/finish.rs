//! Columns under construction become Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, LargeStringArray, ListArray, MapArray,
    PrimitiveArray, StringArray, StringViewArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::build::{Column, Texts, Values};
use crate::error::{Error, Result};

impl Column {
    /// Returns the rows as an array and begins anew with room for as many.
    pub(in crate::format) fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.validity.finish(self.len());
        let data_type = self.field.data_type();
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(take(values).into(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls, data_type)?,
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, data_type)?,
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, data_type)?,
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, data_type)?,
            Values::UInt8(values) => primitive::<UInt8Type>(values, nulls, data_type)?,
            Values::UInt16(values) => primitive::<UInt16Type>(values, nulls, data_type)?,
            Values::UInt32(values) => primitive::<UInt32Type>(values, nulls, data_type)?,
            Values::UInt64(values) => primitive::<UInt64Type>(values, nulls, data_type)?,
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, data_type)?,
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, data_type)?,
            Values::Decimal { values, .. } => primitive::<Decimal128Type>(values, nulls, data_type)?,
            Values::Date(values) => primitive::<Date32Type>(values, nulls, data_type)?,
            Values::Time(values) => primitive::<Time64MicrosecondType>(values, nulls, data_type)?,
            Values::Timestamp { values, unit } => match unit {
                TimeUnit::Second => primitive::<TimestampSecondType>(values, nulls, data_type)?,
                TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(values, nulls, data_type)?,
                TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(values, nulls, data_type)?,
                TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(values, nulls, data_type)?,
            },
            Values::Text(texts) => text(texts, nulls, data_type)?,
            Values::List { offsets, item } => {
                let field = Arc::clone(item.field());
                Arc::new(ListArray::try_new(field, take_offsets(offsets), item.finish()?, nulls)?)
            }
            Values::Struct { rows, fields } => structure(rows, fields, nulls, data_type)?,
            Values::Map { offsets, keys, values } => {
                let DataType::Map(entries, sorted) = data_type else {
                    return Err(mixed_up(data_type));
                };
                let pair: Vec<ArrayRef> = vec![keys.finish()?, values.finish()?];
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(mixed_up(data_type));
                };
                let pair = StructArray::try_new(fields.clone(), pair, None)?;
                Arc::new(MapArray::try_new(Arc::clone(entries), take_offsets(offsets), pair, nulls, *sorted)?)
            }
        })
    }
}

/// Takes the values and leaves an empty vector with room for as many.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut next = Vec::with_capacity(offsets.len());
    next.push(0);
    OffsetBuffer::new(std::mem::replace(offsets, next).into())
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(take(values)), nulls)?;
    // Precision, scale and zone are no part of the Rust type.
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

fn text(texts: &mut Texts, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
    let bytes = Buffer::from_vec(take(&mut texts.bytes));
    let offsets = take_offsets(&mut texts.offsets);
    Ok(match data_type {
        DataType::Utf8 => Arc::new(StringArray::try_new(offsets, bytes, nulls)?),
        DataType::LargeUtf8 => {
            let wide: Vec<i64> = offsets.iter().map(|offset| i64::from(*offset)).collect();
            Arc::new(LargeStringArray::try_new(OffsetBuffer::new(wide.into()), bytes, nulls)?)
        }
        DataType::Utf8View => Arc::new(StringViewArray::from(&StringArray::try_new(offsets, bytes, nulls)?)),
        DataType::Binary => Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?),
        other => return Err(mixed_up(other)),
    })
}

fn structure(
    rows: &mut usize,
    fields: &mut [Column],
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let DataType::Struct(declared) = data_type else {
        return Err(mixed_up(data_type));
    };
    let arrays = fields.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
    let length = std::mem::take(rows);
    Ok(Arc::new(StructArray::try_new_with_length(declared.clone(), arrays, nulls, length)?))
}

fn mixed_up(data_type: &DataType) -> Error {
    Error::internal(format!("a column builder does not belong to the type {data_type}"))
}
