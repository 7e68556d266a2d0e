//! [`CsvEncoder`]: rows become CSV records.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::CsvOptions;
use crate::error::Result;
use crate::format::Encoder;
use crate::format::cells::{
    Cells, Kind, write_base64, write_date, write_integer, write_time, write_timestamp,
};
use crate::format::json::json_value;

/// Writes each row as a CSV record.
///
/// NULL is an empty field (or the null text), the empty text is `""`; fields are quoted where they must be. Nested
/// values are written as JSON, and floats that are no number as `NaN`, `inf` and `-inf`.
#[derive(Debug)]
pub struct CsvEncoder {
    schema: SchemaRef,
    options: CsvOptions,
    header: bool,
    spare: Vec<u8>,
}

impl CsvEncoder {
    /// Creates an encoder for batches of `schema`; `header` asks for a line with the column names.
    pub fn new(schema: SchemaRef, options: CsvOptions, header: bool) -> Self {
        Self { schema, options, header, spare: Vec::new() }
    }

    fn cells(&self, rows: &RecordBatch) -> Result<Vec<Cells>> {
        let fields = self.schema.fields().iter().zip(rows.columns());
        fields.map(|(field, array)| Cells::try_new(field, array, json_key)).collect()
    }

    fn write_row(&mut self, cells: &[Cells], row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        for (place, cells) in cells.iter().enumerate() {
            if place > 0 {
                out.push(self.options.delimiter);
            }
            self.write_field(cells, row, out);
        }
        if out.len() == start {
            // An empty line would be no record; readers of one column take the empty text here.
            out.extend_from_slice(&[self.options.quote; 2]);
        }
    }

    fn write_field(&mut self, cells: &Cells, row: usize, out: &mut Vec<u8>) {
        if cells.is_null(row) {
            out.extend_from_slice(self.options.null_text.as_deref().unwrap_or("").as_bytes());
            return;
        }
        match &cells.kind {
            Kind::Text(values) => self.write_text(values.value(row).as_bytes(), out),
            Kind::TextView(values) => self.write_text(values.value(row).as_bytes(), out),
            Kind::Signed(values) => write_integer(values.value(row), out),
            Kind::Unsigned(values) => write_integer(values.value(row), out),
            Kind::Date(values) => write_date(i64::from(values.value(row)), out),
            Kind::Timestamp(values, per_second) => write_timestamp(values.value(row), *per_second, out),
            Kind::Time(values) => {
                let micros = values.value(row);
                write_time(micros / 1_000_000, micros % 1_000_000 * 1_000, out);
            }
            Kind::Float64(values) if !values.value(row).is_finite() => {
                out.extend_from_slice(values.value(row).to_string().as_bytes());
            }
            Kind::Float32(values) if !values.value(row).is_finite() => {
                out.extend_from_slice(values.value(row).to_string().as_bytes());
            }
            Kind::Binary(values) => match std::str::from_utf8(values.value(row)) {
                Ok(text) => self.write_text(text.as_bytes(), out),
                Err(_) => write_base64(values.value(row), out),
            },
            Kind::List(..) | Kind::Struct(..) | Kind::Map(..) => {
                let mut spare = std::mem::take(&mut self.spare);
                spare.clear();
                json_value(cells, row, &mut spare);
                self.write_text(&spare, out);
                self.spare = spare;
            }
            _ => json_value(cells, row, out),
        }
    }

    /// Appends text, quoted if it would not come back as it is.
    fn write_text(&self, text: &[u8], out: &mut Vec<u8>) {
        let CsvOptions { delimiter, quote, escape, null_text } = &self.options;
        let escape = escape.unwrap_or(*quote);
        let special = |byte: &u8| {
            *byte == *quote || *byte == *delimiter || *byte == b'\n' || *byte == b'\r' || *byte == escape
        };
        let plain = !text.is_empty()
            && memchr::memchr3(*quote, *delimiter, b'\n', text).is_none()
            && memchr::memchr2(b'\r', escape, text).is_none()
            && !text.starts_with(b"\xEF\xBB\xBF")
            && null_text.as_ref().is_none_or(|null| null.as_bytes() != text);
        if plain {
            out.extend_from_slice(text);
            return;
        }
        out.push(*quote);
        let mut rest = text;
        while let Some(at) = rest.iter().position(special) {
            let (head, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            out.extend_from_slice(head);
            let Some((byte, tail)) = tail.split_first() else { break };
            if *byte == *quote || *byte == escape {
                out.push(escape);
            }
            out.push(*byte);
            rest = tail;
        }
        out.extend_from_slice(rest);
        out.push(*quote);
    }
}

fn json_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    crate::format::json::json_string(name.as_bytes(), &mut key);
    key.push(b':');
    key
}

impl Encoder for CsvEncoder {
    fn header(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if self.header {
            for (place, field) in self.schema.fields().iter().enumerate() {
                if place > 0 {
                    out.push(self.options.delimiter);
                }
                self.write_text(field.name().as_bytes(), &mut out);
            }
            out.push(b'\n');
        }
        Ok(out)
    }

    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let cells = self.cells(rows)?;
        for row in 0..rows.num_rows() {
            self.write_row(&cells, row, out);
            out.push(b'\n');
        }
        Ok(())
    }

    fn encode_each(&mut self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let cells = self.cells(rows)?;
        for row in 0..rows.num_rows() {
            self.write_row(&cells, row, out);
            ends.push(out.len());
        }
        Ok(())
    }
}
