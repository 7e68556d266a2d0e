//! [`JsonEncoder`]: rows become JSON lines.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::format::Encoder;
use crate::format::cells::{
    Cells, Kind, write_base64, write_date, write_decimal, write_integer, write_time, write_timestamp,
};
use crate::format::swar;

/// Writes each row as a JSON object.
///
/// TIMESTAMP is RFC 3339 in UTC, DECIMAL a number with its full scale, bytes are base64; NULL, NaN and infinities
/// are `null`.
#[derive(Debug)]
pub struct JsonEncoder {
    schema: SchemaRef,
    /// `"name":` for each column.
    keys: Vec<Vec<u8>>,
}

impl JsonEncoder {
    /// Creates an encoder for batches of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        let keys = schema.fields().iter().map(|field| json_key(field.name())).collect();
        Self { schema, keys }
    }

    fn cells(&self, rows: &RecordBatch) -> Result<Vec<Cells>> {
        let fields = self.schema.fields().iter().zip(rows.columns());
        fields.map(|(field, array)| Cells::try_new(field, array, json_key)).collect()
    }

    fn write_row(&self, cells: &[Cells], row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (place, (key, cells)) in self.keys.iter().zip(cells).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            json_value(cells, row, out);
        }
        out.push(b'}');
    }
}

impl Encoder for JsonEncoder {
    fn header(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
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

fn json_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    json_string(name.as_bytes(), &mut key);
    key.push(b':');
    key
}

/// Appends one value.
pub(in crate::format) fn json_value(cells: &Cells, row: usize, out: &mut Vec<u8>) {
    if cells.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match &cells.kind {
        Kind::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
        Kind::Signed(values) => write_integer(values.value(row), out),
        Kind::Unsigned(values) => write_integer(values.value(row), out),
        Kind::Float32(values) => write_float(values.value(row), out),
        Kind::Float64(values) => write_float(values.value(row), out),
        Kind::Decimal(values, scale) => write_decimal(values.value(row), *scale, out),
        Kind::Text(values) => json_string(values.value(row).as_bytes(), out),
        Kind::TextView(values) => json_string(values.value(row).as_bytes(), out),
        Kind::Date(values) => quoted(out, |out| write_date(i64::from(values.value(row)), out)),
        Kind::Time(values) => quoted(out, |out| {
            let micros = values.value(row);
            write_time(micros / 1_000_000, micros % 1_000_000 * 1_000, out);
        }),
        Kind::Timestamp(values, per_second) => {
            quoted(out, |out| write_timestamp(values.value(row), *per_second, out));
        }
        Kind::Binary(values) => quoted(out, |out| write_base64(values.value(row), out)),
        _ => nested_value(cells, row, out),
    }
}

/// Appends a list, a struct or a map.
fn nested_value(cells: &Cells, row: usize, out: &mut Vec<u8>) {
    match &cells.kind {
        Kind::List(list, items) => {
            out.push(b'[');
            for (place, item) in span(list.value_offsets(), row).enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                json_value(items, item, out);
            }
            out.push(b']');
        }
        Kind::Struct(fields) => {
            out.push(b'{');
            for (place, (key, values)) in fields.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(key);
                json_value(values, row, out);
            }
            out.push(b'}');
        }
        Kind::Map(map, keys, values) => {
            out.push(b'{');
            for (place, entry) in span(map.value_offsets(), row).enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                json_map_key(keys, entry, out);
                out.push(b':');
                json_value(values, entry, out);
            }
            out.push(b'}');
        }
        _ => out.extend_from_slice(b"null"),
    }
}

/// Appends a map's key: always a string, whatever its type.
fn json_map_key(keys: &Cells, entry: usize, out: &mut Vec<u8>) {
    let start = out.len();
    json_value(keys, entry, out);
    if out.get(start) != Some(&b'"') {
        out.insert(start, b'"');
        out.push(b'"');
    }
}

fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let place = |at: usize| offsets.get(at).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    place(row)..place(row + 1)
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_float<F: ryu::Float + Into<f64>>(value: F, out: &mut Vec<u8>) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends text as a JSON string.
#[inline]
pub(in crate::format) fn json_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let plain = plain_prefix(rest);
        let (head, tail) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        out.extend_from_slice(head);
        let Some((byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(*byte >> 4), digit(*byte)]);
            }
        }
        rest = tail;
    }
    out.push(b'"');
}

/// Returns how many bytes need no escape.
#[inline(always)]
fn plain_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = swar::word(text, at) {
        let stops = swar::string_stop(word);
        if stops != 0 {
            return at + swar::before(stops);
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}
