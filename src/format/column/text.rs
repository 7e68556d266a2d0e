//! Words for what went wrong with a value, and how values and types are shown in messages.

use arrow::datatypes::{DataType, TimeUnit};

/// Why a value does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Fault {
    /// The text means nothing to the type.
    Mismatch,
    /// The value is beyond what the type holds.
    OutOfRange,
    /// A decimal with more places than the type keeps.
    TooFine,
    /// A fraction where an integer is declared.
    Fraction,
    /// NULL in a column declared NOT NULL.
    Null,
    /// A declared field is not there.
    Missing,
    /// Half of a surrogate pair in a JSON string.
    Surrogate,
    /// A time that is not written as it is said to be.
    Time,
}

impl Fault {
    /// Returns the message without the field: `"abc" is not a BIGINT`.
    pub(in crate::format) fn describe(self, value: &str, data_type: &DataType) -> String {
        let name = sql_name(data_type);
        match self {
            Self::Mismatch => format!("{value} is not a {name}"),
            Self::OutOfRange => format!("{value} is out of range for {name}"),
            Self::TooFine => format!("{value} has more decimal places than {name} keeps"),
            Self::Fraction => format!("{value} has a fraction and is not a {name}"),
            Self::Null => "NULL in a column declared NOT NULL".to_owned(),
            Self::Missing => "the field is missing".to_owned(),
            Self::Surrogate => format!("{value} has half of a surrogate pair"),
            Self::Time => format!("{value} is not written as `event.time.format` says"),
        }
    }
}

/// Returns the type as SQL writes it.
pub(in crate::format) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Binary => "VARBINARY".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time64(_) => "TIME".to_owned(),
        DataType::Timestamp(TimeUnit::Second, _) => "TIMESTAMP(0)".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => "TIMESTAMP(3)".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "TIMESTAMP(6)".to_owned(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "TIMESTAMP(9)".to_owned(),
        DataType::List(item) => format!("{} ARRAY", sql_name(item.data_type())),
        DataType::Struct(_) => "STRUCT".to_owned(),
        DataType::Map(..) => "MAP".to_owned(),
        other => other.to_string(),
    }
}

/// Returns the first 80 characters of `bytes` for a message; control characters become spaces.
pub(in crate::format) fn shorten(bytes: &[u8]) -> String {
    let head = bytes.get(..bytes.len().min(400)).unwrap_or_default();
    let text = String::from_utf8_lossy(head);
    let mut short: String = text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        short.pop();
        short.push('…');
    }
    short
}
