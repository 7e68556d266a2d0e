//! [`ColumnRule`]: the values of one column as an array.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, Float32Array, Float64Array, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::rule::{Rule, Text};
use super::value_text::{unit_nanos, whole_bounds};
use crate::connect::dice::{Dice, Throws};
use crate::connect::text_column::TextColumn;
use crate::error::{Error, Result};

/// Keeps the throws for NULL apart from those for values.
const NULL_STREAM: u64 = 1 << 32;

/// At which time rows are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct DueTimes {
    /// The time of `row` in nanoseconds since the epoch.
    pub(super) start_nanos: i128,
    /// The row that is due at the start.
    pub(super) row: u64,
    /// Nanoseconds from row to row.
    pub(super) step_nanos: f64,
}

impl DueTimes {
    fn nanos(&self, row: u64) -> i128 {
        let rows = i128::from(row) - i128::from(self.row);
        #[expect(clippy::cast_possible_truncation, reason = "a time beyond the range saturates")]
        let after = (rows as f64 * self.step_nanos).round() as i128;
        self.start_nanos.saturating_add(after)
    }
}

/// The rule of one column.
#[derive(Debug, Clone)]
pub(super) struct ColumnRule {
    /// The place of the column in the declared schema: it decides on the throws.
    pub(super) ordinal: usize,
    pub(super) name: String,
    pub(super) rule: Rule,
    pub(super) null_ratio: f64,
}

impl ColumnRule {
    /// Makes the column for `rows`.
    pub(super) fn make(
        &mut self,
        data_type: &DataType,
        seed: u64,
        due: &DueTimes,
        rows: &[u64],
    ) -> Result<ArrayRef> {
        let dice = Dice::new(seed, self.ordinal as u64);
        let nulls = self.nulls(seed, rows);
        match &mut self.rule {
            Rule::Whole(draw) => {
                let values: Vec<i128> = rows.iter().map(|row| draw.at(dice, *row)).collect();
                self.whole(&values, nulls, data_type)
            }
            Rule::Due { start, step } => {
                let unit =
                    if let DataType::Timestamp(unit, _) = data_type { *unit } else { TimeUnit::Second };
                let nanos = |row: u64| match (*start, *step) {
                    (start, Some(step)) => {
                        let first = start.unwrap_or(due.start_nanos);
                        first.saturating_add(step.saturating_mul(i128::from(row)))
                    }
                    (Some(start), None) => DueTimes { start_nanos: start, row: 0, ..*due }.nanos(row),
                    (None, None) => due.nanos(row),
                };
                let values: Vec<i128> =
                    rows.iter().map(|row| nanos(*row).div_euclid(unit_nanos(unit))).collect();
                self.whole(&values, nulls, data_type)
            }
            Rule::Real(draw) => {
                let values: Vec<f64> = rows.iter().map(|row| draw.at(dice, *row)).collect();
                Ok(reals(values, nulls, data_type))
            }
            Rule::Text(text) => texts(text, dice, rows, nulls, data_type),
            Rule::Truth(choice) => {
                let values = rows.iter().map(|row| *choice.draw(&mut dice.at(*row))).collect();
                Ok(Arc::new(BooleanArray::new(values, nulls)))
            }
        }
    }

    fn nulls(&self, seed: u64, rows: &[u64]) -> Option<NullBuffer> {
        if self.null_ratio <= 0.0 {
            return None;
        }
        let dice = Dice::new(seed, NULL_STREAM + self.ordinal as u64);
        Some(rows.iter().map(|row| dice.at(*row).unit() >= self.null_ratio).collect::<Vec<_>>().into())
    }

    /// Makes a column of whole numbers, whatever they stand for.
    fn whole(&self, values: &[i128], nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        let beyond = || {
            Error::exhausted(format!("column `{}` has left the range of {data_type}", self.name))
                .with_hint("give its rule a `max`, or the column a wider type")
        };
        let (low, high) = whole_bounds(data_type).ok_or_else(beyond)?;
        if values.iter().any(|value| !(low..=high).contains(value)) {
            return Err(beyond());
        }
        let column = match data_type {
            DataType::Int8 => primitive::<Int8Type>(values, nulls, data_type),
            DataType::Int16 => primitive::<Int16Type>(values, nulls, data_type),
            DataType::Int32 => primitive::<Int32Type>(values, nulls, data_type),
            DataType::Int64 => primitive::<Int64Type>(values, nulls, data_type),
            DataType::Date32 => primitive::<Date32Type>(values, nulls, data_type),
            DataType::Decimal128(..) => primitive::<Decimal128Type>(values, nulls, data_type),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => primitive::<TimestampSecondType>(values, nulls, data_type),
                TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(values, nulls, data_type),
                TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(values, nulls, data_type),
                TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(values, nulls, data_type),
            },
            _ => None,
        };
        column.ok_or_else(beyond)
    }
}

/// Makes a column of `T`; none if a value does not fit.
fn primitive<T>(values: &[i128], nulls: Option<NullBuffer>, data_type: &DataType) -> Option<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let values = values.iter().map(|value| T::Native::try_from(*value).ok());
    let values: ScalarBuffer<T::Native> = values.collect::<Option<Vec<_>>>()?.into();
    let array = PrimitiveArray::<T>::try_new(values, nulls).ok()?;
    Some(Arc::new(array.with_data_type(data_type.clone())))
}

fn reals(values: Vec<f64>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    if data_type == &DataType::Float32 {
        #[expect(clippy::cast_possible_truncation, reason = "a REAL holds what it can")]
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        return Arc::new(Float32Array::new(values.into(), nulls));
    }
    Arc::new(Float64Array::new(values.into(), nulls))
}

fn texts(
    text: &Text,
    dice: Dice,
    rows: &[u64],
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let mut column = TextColumn::with_capacity(rows.len(), 16);
    for (index, row) in rows.iter().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(index)) {
            column.row(|_| ())?;
            continue;
        }
        let mut throws = dice.at(*row);
        column.row(|out| match text {
            Text::Letters(count) => throws.letters(out, *count),
            Text::Uuid => uuid(&mut throws, out),
            Text::Choice(choice) => out.extend_from_slice(choice.draw(&mut throws).as_bytes()),
        })?;
    }
    column.finish(nulls, data_type)
}

/// Writes a random UUID (version 4).
fn uuid(throws: &mut Throws, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = u128::from(throws.bits()) << 64 | u128::from(throws.bits());
    let bits = bits & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    for (index, byte) in bits.to_be_bytes().into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 0xF)]);
    }
}
