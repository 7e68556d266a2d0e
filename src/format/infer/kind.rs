//! [`Kind`]: the narrowest type that all values of a field fit into so far.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::format::column::{parse_date, parse_timestamp};

/// What the values of a field have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but NULL so far.
    #[default]
    Unknown,
    Boolean,
    Number(Number),
    Date,
    /// A timestamp, and whether it has more than milliseconds.
    Timestamp(bool),
    Text,
    List(Box<Kind>),
    Struct(Members),
}

/// How wide numbers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number {
    /// Digits before the decimal point.
    whole: u32,
    /// Digits behind it.
    places: u32,
    /// Whether some number has a point or an exponent.
    fraction: bool,
    /// Whether some number is beyond the integers of 64 bits or has an exponent.
    wide: bool,
}

/// The fields of an object in the order in which they first came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Members(pub(super) Vec<(String, Kind)>);

impl Members {
    /// Returns what is known about a field.
    pub(super) fn entry(&mut self, name: &str) -> Option<&mut Kind> {
        let place = match self.0.iter().position(|(known, _)| known == name) {
            Some(place) => place,
            None => {
                self.0.push((name.to_owned(), Kind::Unknown));
                self.0.len() - 1
            }
        };
        self.0.get_mut(place).map(|(_, kind)| kind)
    }

    pub(super) fn fields(&self, decimals: bool) -> Fields {
        self.0.iter().map(|(name, kind)| Field::new(name, kind.data_type(decimals), true)).collect()
    }
}

impl Kind {
    /// Returns what a number written like this is.
    pub(super) fn of_number(text: &str) -> Self {
        let digits = text.trim_start_matches(['-', '+']);
        let exponent = digits.contains(['e', 'E']);
        let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = exponent || digits.contains('.');
        Self::Number(Number {
            whole: count(whole.trim_start_matches('0')),
            places: count(places),
            fraction,
            wide: exponent || (!fraction && text.trim_start_matches('+').parse::<i64>().is_err()),
        })
    }

    /// Returns what a text is: a date, a timestamp or just text.
    pub(super) fn of_text(text: &str) -> Self {
        if parse_date(text.as_bytes()).is_some() {
            return Self::Date;
        }
        if parse_timestamp(text.as_bytes()).is_some() {
            let fraction = text.split_once(['.', ',']).map_or("", |(_, rest)| rest);
            return Self::Timestamp(fraction.bytes().take_while(u8::is_ascii_digit).count() > 3);
        }
        Self::Text
    }

    /// Widens this kind until it also holds `other`.
    pub(super) fn merge(&mut self, other: Self) {
        let one = std::mem::take(self);
        *self = match (one, other) {
            (Self::Unknown, kind) | (kind, Self::Unknown) => kind,
            (Self::Number(a), Self::Number(b)) => Self::Number(Number {
                whole: a.whole.max(b.whole),
                places: a.places.max(b.places),
                fraction: a.fraction || b.fraction,
                wide: a.wide || b.wide,
            }),
            (Self::Timestamp(a), Self::Timestamp(b)) => Self::Timestamp(a || b),
            (Self::Date, Self::Timestamp(fine)) | (Self::Timestamp(fine), Self::Date) => {
                Self::Timestamp(fine)
            }
            (Self::List(mut a), Self::List(b)) => {
                a.merge(*b);
                Self::List(a)
            }
            (Self::Struct(mut a), Self::Struct(b)) => {
                for (name, kind) in b.0 {
                    if let Some(known) = a.entry(&name) {
                        known.merge(kind);
                    }
                }
                Self::Struct(a)
            }
            (a, b) if a == b => a,
            _ => Self::Text,
        };
    }

    /// Returns the type to declare; numbers with fractions are decimals if `decimals` says so.
    pub(super) fn data_type(&self, decimals: bool) -> DataType {
        match self {
            Self::Unknown | Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Number(number) => number.data_type(decimals),
            Self::Date => DataType::Date32,
            Self::Timestamp(false) => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Timestamp(true) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::List(item) => {
                DataType::List(Arc::new(Field::new_list_field(item.data_type(decimals), true)))
            }
            Self::Struct(members) => DataType::Struct(members.fields(decimals)),
        }
    }
}

impl Number {
    fn data_type(self, decimals: bool) -> DataType {
        if !self.fraction && !self.wide {
            return DataType::Int64;
        }
        // The most digits there are leave room for values larger than those of the sample.
        match u8::try_from(self.whole + self.places) {
            Ok(digits) if decimals && digits <= 38 && !(self.wide && self.fraction) => {
                DataType::Decimal128(38, i8::try_from(self.places).unwrap_or(0))
            }
            _ => DataType::Float64,
        }
    }
}

fn count(digits: &str) -> u32 {
    u32::try_from(digits.bytes().take_while(u8::is_ascii_digit).count()).unwrap_or(u32::MAX / 2)
}
