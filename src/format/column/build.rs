//! [`Column`]: the values of one column so far, and how text is appended to them.

use arrow::array::BooleanBufferBuilder;
use arrow::datatypes::{DataType, FieldRef, TimeUnit};

use super::instant::{TimeWriting, parse_time};
use super::number::{decimal, float, short_integer, wide_integer};
use super::text::{Fault, sql_name};
use crate::error::{Error, Result};

/// One column under construction.
#[derive(Debug)]
pub(in crate::format) struct Column {
    pub(super) field: FieldRef,
    pub(super) validity: Validity,
    pub(in crate::format) values: Values,
    time: TimeWriting,
}

/// The values of a column, NULLs as placeholders.
#[derive(Debug)]
pub(in crate::format) enum Values {
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Date(Vec<i32>),
    Timestamp {
        values: Vec<i64>,
        unit: TimeUnit,
    },
    Time(Vec<i64>),
    /// Text and bytes of every kind; which one is decided when the array is made.
    Text(Texts),
    List {
        offsets: Vec<i32>,
        item: Box<Column>,
    },
    Struct {
        rows: usize,
        fields: Vec<Column>,
    },
    Map {
        offsets: Vec<i32>,
        keys: Box<Column>,
        values: Box<Column>,
    },
}

/// Texts one after the other, with where each ends.
#[derive(Debug)]
pub(in crate::format) struct Texts {
    pub(super) offsets: Vec<i32>,
    pub(in crate::format) bytes: Vec<u8>,
}

impl Texts {
    fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    /// Appends a whole text.
    #[inline]
    pub(in crate::format) fn push(&mut self, text: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(text);
        self.close()
    }

    /// Ends a text whose bytes were appended to `bytes`.
    #[inline]
    pub(in crate::format) fn close(&mut self) -> Result<(), Fault> {
        self.offsets.push(i32::try_from(self.bytes.len()).map_err(|_| Fault::OutOfRange)?);
        Ok(())
    }
}

/// Which rows are NULL; nothing is kept before the first one, and valid rows cost nothing.
#[derive(Debug)]
pub(super) struct Validity(BooleanBufferBuilder);

impl Validity {
    fn push_null(&mut self, row: usize) {
        self.0.append_n(row.saturating_sub(self.0.len()), true);
        self.0.append(false);
    }

    fn truncate(&mut self, rows: usize) {
        if self.0.len() > rows {
            self.0.truncate(rows);
        }
    }

    pub(super) fn finish(&mut self, rows: usize) -> Option<arrow::buffer::NullBuffer> {
        if self.0.is_empty() {
            return None;
        }
        self.0.append_n(rows.saturating_sub(self.0.len()), true);
        Some(arrow::buffer::NullBuffer::new(self.0.finish()))
    }
}

impl Column {
    /// Creates an empty column; fails for a type that no record format can hold.
    pub(in crate::format) fn try_new(field: &FieldRef, time: &TimeWriting) -> Result<Self> {
        let values = Values::try_new(field, time)?;
        Ok(Self {
            field: FieldRef::clone(field),
            validity: Validity(BooleanBufferBuilder::new(0)),
            values,
            time: time.clone(),
        })
    }

    pub(in crate::format) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Says what is wrong with a value that is shown as `shown` and was read from `text`.
    #[cold]
    pub(in crate::format) fn misfit(&self, shown: &str, text: &[u8], fault: Fault) -> String {
        match self.time.complaint(text).filter(|_| fault == Fault::Time) {
            Some(complaint) => format!("{shown} {complaint}"),
            None => fault.describe(shown, self.field.data_type()),
        }
    }

    /// Returns the number of rows.
    #[inline]
    pub(in crate::format) fn len(&self) -> usize {
        self.values.len()
    }

    /// Cuts off every row from `rows` on.
    pub(in crate::format) fn truncate(&mut self, rows: usize) {
        self.validity.truncate(rows);
        self.values.truncate(rows);
    }

    /// Appends NULL, unless the column is declared NOT NULL.
    pub(in crate::format) fn push_null(&mut self) -> Result<(), Fault> {
        if self.field.is_nullable() {
            self.push_masked();
            Ok(())
        } else {
            Err(Fault::Null)
        }
    }

    /// Appends NULL even to a NOT NULL column: its parent is NULL and hides it.
    fn push_masked(&mut self) {
        self.validity.push_null(self.values.len());
        self.values.push_placeholder();
    }

    /// Appends a value written as text: a CSV field or the inside of a JSON string.
    pub(in crate::format) fn push_text(&mut self, text: &[u8]) -> Result<(), Fault> {
        match &mut self.values {
            Values::Text(texts) => texts.push(text),
            Values::Boolean(values) => {
                if text.eq_ignore_ascii_case(b"true") {
                    values.push(true);
                } else if text.eq_ignore_ascii_case(b"false") {
                    values.push(false);
                } else {
                    return Err(Fault::Mismatch);
                }
                Ok(())
            }
            Values::Date(values) => {
                values.push(self.time.date(text)?);
                Ok(())
            }
            Values::Time(values) => {
                values.push(parse_time(text).ok_or(Fault::Mismatch)?);
                Ok(())
            }
            Values::Timestamp { values, unit } => {
                values.push(self.time.text(text, *unit)?);
                Ok(())
            }
            _ => self.push_number(text),
        }
    }

    /// Appends a short integer that is already read; `false` means that the column wants the text instead.
    #[inline(always)]
    pub(in crate::format) fn push_integer(&mut self, value: i64) -> Result<bool, Fault> {
        match &mut self.values {
            Values::Int64(values) => values.push(value),
            Values::Int32(values) => values.push(i32::try_from(value).map_err(|_| Fault::OutOfRange)?),
            Values::Timestamp { values, unit } => match self.time.integer(value, *unit) {
                Some(ticks) => values.push(ticks?),
                None => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Appends a number from its text.
    pub(in crate::format) fn push_number(&mut self, text: &[u8]) -> Result<(), Fault> {
        macro_rules! integer {
            ($values:expr) => {
                $values.push(match short_integer(text) {
                    Some(value) => value.try_into().map_err(|_| Fault::OutOfRange)?,
                    None => wide_integer(text)?.try_into().map_err(|_| Fault::OutOfRange)?,
                })
            };
        }
        match &mut self.values {
            Values::Int8(values) => integer!(values),
            Values::Int16(values) => integer!(values),
            Values::Int32(values) => integer!(values),
            Values::Int64(values) => integer!(values),
            Values::UInt8(values) => integer!(values),
            Values::UInt16(values) => integer!(values),
            Values::UInt32(values) => integer!(values),
            Values::UInt64(values) => integer!(values),
            Values::Float32(values) => values.push(float(text)?),
            Values::Float64(values) => values.push(float(text)?),
            Values::Decimal { values, precision, scale } => {
                values.push(decimal(text, *precision, *scale)?);
            }
            Values::Timestamp { values, unit } => values.push(self.time.number(text, *unit)?),
            _ => return Err(Fault::Mismatch),
        }
        Ok(())
    }

    /// Appends true or false.
    pub(in crate::format) fn push_boolean(&mut self, value: bool) -> Result<(), Fault> {
        match &mut self.values {
            Values::Boolean(values) => values.push(value),
            _ => return Err(Fault::Mismatch),
        }
        Ok(())
    }
}

impl Values {
    fn try_new(field: &FieldRef, time: &TimeWriting) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean(Vec::new()),
            DataType::Int8 => Self::Int8(Vec::new()),
            DataType::Int16 => Self::Int16(Vec::new()),
            DataType::Int32 => Self::Int32(Vec::new()),
            DataType::Int64 => Self::Int64(Vec::new()),
            DataType::UInt8 => Self::UInt8(Vec::new()),
            DataType::UInt16 => Self::UInt16(Vec::new()),
            DataType::UInt32 => Self::UInt32(Vec::new()),
            DataType::UInt64 => Self::UInt64(Vec::new()),
            DataType::Float32 => Self::Float32(Vec::new()),
            DataType::Float64 => Self::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Binary => {
                Self::Text(Texts::new())
            }
            DataType::Date32 => Self::Date(Vec::new()),
            DataType::Timestamp(unit, _) => Self::Timestamp { values: Vec::new(), unit: *unit },
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Vec::new()),
            DataType::List(item) => {
                Self::List { offsets: vec![0], item: Box::new(Column::try_new(item, time)?) }
            }
            DataType::Struct(fields) => {
                let fields = fields.iter().map(|field| Column::try_new(field, time));
                Self::Struct { rows: 0, fields: fields.collect::<Result<_>>()? }
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    let mut pair = pair.iter().map(|field| Column::try_new(field, time));
                    match (pair.next(), pair.next()) {
                        (Some(keys), Some(values)) => {
                            Self::Map { offsets: vec![0], keys: Box::new(keys?), values: Box::new(values?) }
                        }
                        _ => return Err(unsupported(field)),
                    }
                }
                _ => return Err(unsupported(field)),
            },
            _ => return Err(unsupported(field)),
        })
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::Int8(values) => values.len(),
            Self::UInt8(values) => values.len(),
            Self::Int16(values) => values.len(),
            Self::UInt16(values) => values.len(),
            Self::Int32(values) | Self::Date(values) => values.len(),
            Self::UInt32(values) => values.len(),
            Self::Int64(values) | Self::Timestamp { values, .. } | Self::Time(values) => values.len(),
            Self::UInt64(values) => values.len(),
            Self::Float32(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Decimal { values, .. } => values.len(),
            Self::Text(texts) => texts.offsets.len() - 1,
            Self::List { offsets, .. } | Self::Map { offsets, .. } => offsets.len() - 1,
            Self::Struct { rows, .. } => *rows,
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Boolean(values) => values.truncate(rows),
            Self::Int8(values) => values.truncate(rows),
            Self::UInt8(values) => values.truncate(rows),
            Self::Int16(values) => values.truncate(rows),
            Self::UInt16(values) => values.truncate(rows),
            Self::Int32(values) | Self::Date(values) => values.truncate(rows),
            Self::UInt32(values) => values.truncate(rows),
            Self::Int64(values) | Self::Timestamp { values, .. } | Self::Time(values) => {
                values.truncate(rows);
            }
            Self::UInt64(values) => values.truncate(rows),
            Self::Float32(values) => values.truncate(rows),
            Self::Float64(values) => values.truncate(rows),
            Self::Decimal { values, .. } => values.truncate(rows),
            Self::Text(texts) => {
                texts.offsets.truncate(rows + 1);
                texts.bytes.truncate(end_of(&texts.offsets));
            }
            Self::List { offsets, item } => {
                offsets.truncate(rows + 1);
                item.truncate(end_of(offsets));
            }
            Self::Struct { rows: kept, fields } => {
                *kept = (*kept).min(rows);
                fields.iter_mut().for_each(|field| field.truncate(rows));
            }
            Self::Map { offsets, keys, values } => {
                offsets.truncate(rows + 1);
                keys.truncate(end_of(offsets));
                values.truncate(end_of(offsets));
            }
        }
    }

    fn push_placeholder(&mut self) {
        match self {
            Self::Boolean(values) => values.push(false),
            Self::Int8(values) => values.push(0),
            Self::UInt8(values) => values.push(0),
            Self::Int16(values) => values.push(0),
            Self::UInt16(values) => values.push(0),
            Self::Int32(values) | Self::Date(values) => values.push(0),
            Self::UInt32(values) => values.push(0),
            Self::Int64(values) | Self::Timestamp { values, .. } | Self::Time(values) => values.push(0),
            Self::UInt64(values) => values.push(0),
            Self::Float32(values) => values.push(0.0),
            Self::Float64(values) => values.push(0.0),
            Self::Decimal { values, .. } => values.push(0),
            Self::Text(Texts { offsets, .. }) | Self::List { offsets, .. } | Self::Map { offsets, .. } => {
                let end = offsets.last().copied().unwrap_or_default();
                offsets.push(end);
            }
            Self::Struct { rows, fields } => {
                *rows += 1;
                fields.iter_mut().for_each(Column::push_masked);
            }
        }
    }
}

/// Returns the last offset.
fn end_of(offsets: &[i32]) -> usize {
    offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or_default()
}

fn unsupported(field: &FieldRef) -> Error {
    Error::invalid(format!(
        "column `{}` has the type {}, which JSON and CSV cannot hold",
        field.name(),
        sql_name(field.data_type())
    ))
    .with_hint("declare the column as text or with one of the numeric, date, time or nested types")
}
