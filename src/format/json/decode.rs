//! [`JsonDecoder`]: JSON records become rows.

use std::ops::Range;

use arrow::datatypes::{FieldRef, SchemaRef};

use super::scan::{Problem, Scanned, Scanner, unescape};
use super::value::Fields;
use crate::error::Result;
use crate::format::column::{Column, TimeWriting, shorten};
use crate::format::rows::{Batch, check_size, split_at, without_return};
use crate::format::{DecodeOptions, Decoded, Decoder, Layout};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decodes JSON objects, one for each line or message.
///
/// Columns are found by the field's name, first as it is spelled, then in any case. The value of a name that comes
/// twice is the last one. The text of unused values is checked like any other.
#[derive(Debug)]
pub struct JsonDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    fields: Fields,
    options: DecodeOptions,
}

impl JsonDecoder {
    /// Creates a decoder for the columns that are used; fails for a type that JSON cannot hold.
    pub fn try_new(schema: SchemaRef, options: DecodeOptions) -> Result<Self> {
        Self::with_unused(schema, &[], options)
    }

    /// Creates a decoder that also knows the names of declared columns that are not used.
    ///
    /// They matter where an undeclared or a missing field is an error.
    pub fn with_unused(schema: SchemaRef, unused: &[String], options: DecodeOptions) -> Result<Self> {
        let column = |field: &FieldRef| Column::try_new(field, &TimeWriting::of(field.name(), &options));
        let columns = schema.fields().iter().map(column);
        Ok(Self {
            columns: columns.collect::<Result<_>>()?,
            fields: Fields::new(schema.fields(), unused, &options),
            schema,
            options,
        })
    }

    fn decode_lines(&mut self, bytes: &[u8], batch: &mut Batch) {
        let mut scanner = Scanner::new(bytes, false);
        if bytes.starts_with(BYTE_ORDER_MARK) {
            scanner.pos = BYTE_ORDER_MARK.len();
        }
        while scanner.pos < bytes.len() {
            let start = scanner.pos;
            if scanner.peek() == 0 && bytes.get(scanner.pos).is_none_or(|byte| *byte == b'\n') {
                // A blank line.
                scanner.pos += 1;
                batch.lines += 1;
                continue;
            }
            match self.record(&mut scanner, start, batch.rows) {
                Ok(()) => {
                    batch.accept(start);
                    scanner.pos += 1;
                }
                Err(problem) => {
                    let from = scanner.pos.min(bytes.len());
                    let rest = bytes.get(from..).unwrap_or_default();
                    let end = from + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                    let range = without_return(bytes, start..end);
                    batch.reject(&mut self.columns, range, problem.message(), Some(problem.at));
                    scanner.pos = end + 1;
                }
            }
            batch.lines += 1;
        }
    }

    fn decode_each(&mut self, bytes: &[u8], ends: &[u32], batch: &mut Batch) -> Result<()> {
        for record in split_at(bytes, ends) {
            let (range, record) = record?;
            let mut scanner = Scanner::new(record, true);
            if batch.records == 0 && record.starts_with(BYTE_ORDER_MARK) {
                scanner.pos = BYTE_ORDER_MARK.len();
            }
            match self.record(&mut scanner, 0, batch.rows) {
                Ok(()) => batch.accept(range.start),
                Err(problem) => {
                    let at = range.start + problem.at;
                    batch.reject(&mut self.columns, range, problem.message(), Some(at));
                }
            }
            batch.lines += 1;
        }
        Ok(())
    }

    /// Reads one record up to its end, not past its line feed.
    #[inline(always)]
    fn record(&mut self, scanner: &mut Scanner<'_>, start: usize, row: usize) -> Scanned {
        scanner.depth = 0;
        scanner.beyond_ascii = false;
        if scanner.peek() != b'{' {
            return no_object(scanner);
        }
        self.fields.object(scanner, &mut self.columns, row)?;
        if scanner.peek() != 0 || scanner.bytes.get(scanner.pos).is_some_and(|byte| *byte != b'\n') {
            return trailing(scanner);
        }
        if scanner.beyond_ascii { check_text(scanner, start..scanner.pos) } else { Ok(()) }
    }
}

/// Returns the names of the fields of an object that are not null.
fn names_of(scanner: &mut Scanner<'_>) -> Scanned<Vec<String>> {
    let mut names = vec![];
    if scanner.bytes.starts_with(BYTE_ORDER_MARK) {
        scanner.pos = BYTE_ORDER_MARK.len();
    }
    if scanner.peek() != b'{' {
        return Ok(names);
    }
    scanner.pos += 1;
    if scanner.peek() == b'}' {
        return Ok(names);
    }
    loop {
        scanner.peek();
        let key = scanner.key()?;
        let is_null = scanner.peek() == b'n';
        scanner.skip()?;
        let mut name = vec![];
        if !is_null && unescape(scanner.slice(key.range), &mut name).is_some() {
            names.push(String::from_utf8_lossy(&name).into_owned());
        }
        if !scanner.another(b'}')? {
            return Ok(names);
        }
    }
}

/// Fails for bytes that are no UTF-8.
#[inline(never)]
fn check_text(scanner: &Scanner<'_>, range: Range<usize>) -> Scanned {
    let start = range.start;
    match std::str::from_utf8(scanner.slice(range)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::at(start + error.valid_up_to(), "the record is not UTF-8 text")),
    }
}

#[cold]
fn no_object(scanner: &mut Scanner<'_>) -> Scanned {
    let at = scanner.pos;
    if scanner.peek() == 0 && scanner.bytes.get(at).is_none() {
        return Err(Problem::at(at, "the record is empty"));
    }
    let range = scanner.skip()?;
    Err(Problem::at(at, format!("the record is not a JSON object: {}", shorten(scanner.slice(range)))))
}

#[cold]
fn trailing(scanner: &Scanner<'_>) -> Scanned {
    let what = if scanner.bytes.get(scanner.pos) == Some(&b'{') {
        "a second record follows in the same line; every record needs a line of its own"
    } else {
        "text follows the end of the record"
    };
    Err(Problem::at(scanner.pos, what))
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, bytes: &[u8], layout: Layout<'_>) -> Result<Decoded> {
        check_size(bytes)?;
        let mut batch = Batch::new(self.options.starts);
        self.columns.iter_mut().for_each(|column| column.truncate(0));
        match layout {
            Layout::Lines => self.decode_lines(bytes, &mut batch),
            Layout::Ends(ends) => self.decode_each(bytes, ends, &mut batch)?,
        }
        batch.finish(&mut self.columns, &self.schema)
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn fields_of(&self, record: &[u8]) -> Vec<String> {
        names_of(&mut Scanner::new(record, true)).unwrap_or_default()
    }
}
