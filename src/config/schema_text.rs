//! Column types as text, in SQL or in the predecessor's words, to Arrow types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::error::{Error, Result};

use super::FieldText;

/// How deep types may be nested.
const MAX_DEPTH: usize = 32;

/// Names offered when a type is not known.
const KNOWN: &str = "BOOLEAN, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL(p, s), VARCHAR, BINARY, DATE, TIME, \
     TIMESTAMP(p), ARRAY<t>, MAP<k, v>, STRUCT<name t, …>";

/// Reads a type: `BIGINT`, `decimal(18,4)`, `TIMESTAMP(3)`, `array<bigint>`, `STRUCT<a INT, b VARCHAR>`.
///
/// # Errors
/// Invalid, when the text is not a type.
pub fn parse_data_type(text: &str) -> Result<DataType> {
    let mut reader = Reader { text, rest: text, depth: 0 };
    let data_type = reader.data_type()?;
    if reader.rest.trim().is_empty() { Ok(data_type) } else { Err(reader.unknown()) }
}

/// Turns the columns of a YAML file into Arrow fields; a column may be null unless it says otherwise.
///
/// # Errors
/// Invalid, when a type is not known or a name is there twice.
pub fn parse_fields(fields: &[FieldText]) -> Result<Vec<Field>> {
    let mut parsed: Vec<Field> = Vec::with_capacity(fields.len());
    for field in fields {
        if parsed.iter().any(|known| known.name() == &field.name) {
            return Err(Error::invalid(format!("column `{}` is described twice", field.name)));
        }
        let data_type = parse_data_type(&field.data_type)
            .map_err(|error| error.within(format!("column `{}`", field.name)))?;
        parsed.push(Field::new(&field.name, data_type, field.nullable.unwrap_or(true)));
    }
    Ok(parsed)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn data_type(&mut self) -> Result<DataType> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::invalid(format!("type is nested more than {MAX_DEPTH} deep")));
        }
        let name = self.word().to_lowercase();
        let mut data_type = self.named(&name)?;
        while self.eat("[") {
            self.expect("]")?;
            data_type = DataType::new_list(data_type, true);
        }
        self.depth -= 1;
        Ok(data_type)
    }

    fn named(&mut self, name: &str) -> Result<DataType> {
        Ok(match name {
            "boolean" | "bool" => DataType::Boolean,
            "tinyint" | "byte" => DataType::Int8,
            "smallint" | "short" => DataType::Int16,
            "int" | "integer" | "int4" => DataType::Int32,
            "bigint" | "long" | "int8" => DataType::Int64,
            "float" | "real" | "float4" => DataType::Float32,
            "double" | "float8" => {
                self.eat_word("precision");
                DataType::Float64
            }
            "string" | "varchar" | "text" | "char" | "character" => {
                self.eat_word("varying");
                // A length is read and not enforced, as in PostgreSQL's `text`.
                self.arguments()?;
                DataType::Utf8
            }
            "bytes" | "binary" | "bytea" | "varbinary" | "blob" => {
                self.arguments()?;
                DataType::Binary
            }
            "date" => DataType::Date32,
            "time" => {
                let precision = self.precision(6)?;
                self.zone("time")?;
                time_of_day(precision)
            }
            "timestamp" | "datetime" | "timestamptz" => {
                let precision = self.precision(6)?;
                let zoned = self.zone("timestamp")? || name == "timestamptz";
                DataType::Timestamp(time_unit(precision), zoned.then(|| "+00:00".into()))
            }
            "decimal" | "numeric" => self.decimal()?,
            "array" | "list" => {
                let (close, item) = (self.open()?, self.data_type()?);
                self.expect(close)?;
                DataType::new_list(item, true)
            }
            "map" => self.map()?,
            "struct" | "row" => self.fields()?,
            _ => return Err(self.unknown()),
        })
    }

    fn decimal(&mut self) -> Result<DataType> {
        let (precision, scale) = match self.arguments()?.as_slice() {
            [] => (38, 10),
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => return Err(self.unknown()),
        };
        let scale = i8::try_from(scale).ok().filter(|_| scale <= precision);
        match (precision, scale) {
            (1..=38, Some(scale)) => Ok(DataType::Decimal128(precision, scale)),
            (39..=76, Some(scale)) => Ok(DataType::Decimal256(precision, scale)),
            _ => Err(Error::invalid(format!("`{}` is not a DECIMAL that exists", self.text.trim()))
                .with_hint("the precision is 1 to 76 digits, of which at most all stand after the point")),
        }
    }

    fn map(&mut self) -> Result<DataType> {
        let close = self.open()?;
        let key = self.data_type()?;
        self.expect(",")?;
        let value = self.data_type()?;
        self.expect(close)?;
        let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
        Ok(DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false))
    }

    fn fields(&mut self) -> Result<DataType> {
        let close = self.open()?;
        let mut fields = Vec::new();
        loop {
            let name = self.word().to_owned();
            if name.is_empty() {
                return Err(self.unknown());
            }
            self.eat(":");
            fields.push(Field::new(name, self.data_type()?, true));
            if !self.eat(",") {
                break;
            }
        }
        self.expect(close)?;
        Ok(DataType::Struct(Fields::from(fields)))
    }

    /// Reads the digits of the fraction of a second, `default` if none are given.
    fn precision(&mut self, default: u8) -> Result<u8> {
        match self.arguments()?.as_slice() {
            [] => Ok(default),
            [precision @ 0..=9] => Ok(*precision),
            _ => Err(self.unknown()),
        }
    }

    /// Reads `WITH TIME ZONE` and `WITHOUT TIME ZONE`; tells whether it was the first.
    fn zone(&mut self, of: &str) -> Result<bool> {
        let with = self.eat_word("with");
        if !with && !self.eat_word("without") {
            return Ok(false);
        }
        if !(self.eat_word("time") && self.eat_word("zone")) {
            return Err(self.unknown());
        }
        if with && of == "time" {
            return Err(Error::not_yet("TIME WITH TIME ZONE"));
        }
        Ok(with)
    }

    /// Reads `(n, …)`; nothing if there is none.
    fn arguments(&mut self) -> Result<Vec<u8>> {
        let mut numbers = Vec::new();
        if !self.eat("(") {
            return Ok(numbers);
        }
        loop {
            let word = self.word();
            // A length may be larger than any precision; it only has to be a number.
            let number = word.parse::<u64>().map_err(|_| self.unknown())?;
            numbers.push(u8::try_from(number).unwrap_or(u8::MAX));
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(numbers)
    }

    /// Reads `<` or `(` and returns what closes it.
    fn open(&mut self) -> Result<&'static str> {
        if self.eat("<") {
            return Ok(">");
        }
        self.expect("(")?;
        Ok(")")
    }

    fn word(&mut self) -> &str {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eat_word(&mut self, expected: &str) -> bool {
        let before = self.rest;
        let found = self.word().eq_ignore_ascii_case(expected);
        if !found {
            self.rest = before;
        }
        found
    }

    fn eat(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(token) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.unknown()) }
    }

    fn unknown(&self) -> Error {
        Error::invalid(format!("`{}` is not a type", self.text.trim()))
            .with_hint(format!("types are {KNOWN}"))
    }
}

fn time_unit(precision: u8) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn time_of_day(precision: u8) -> DataType {
    match time_unit(precision) {
        unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
        unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => DataType::Time64(unit),
    }
}
