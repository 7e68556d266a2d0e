//! The columns of the error table.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The name under which every application can read the error table.
pub const ERROR_TABLE: &str = "velo_errors";

/// The column with the bytes of a record that is not text; JSON has them as base64.
const BYTES: &str = "record_base64";

/// Returns the columns as queries see them.
pub fn error_columns() -> SchemaRef {
    columns(DataType::Utf8)
}

/// Returns the columns of the rows that [`ErrorLog`](super::ErrorLog) takes: bytes are bytes.
pub fn written_columns() -> SchemaRef {
    columns(DataType::Binary)
}

fn columns(bytes: DataType) -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Millisecond, None);
    let columns = [
        ("time", instant()),
        ("job", DataType::Utf8),
        ("sql_line", DataType::Int64),
        ("operator", DataType::Utf8),
        ("category", DataType::Utf8),
        ("message", DataType::Utf8),
        ("source", DataType::Utf8),
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("line", DataType::Int64),
        ("key", DataType::Utf8),
        ("record", DataType::Utf8),
        (BYTES, bytes),
        ("event_time", instant()),
        ("window_start", instant()),
        ("window_end", instant()),
        ("lateness_ms", DataType::Int64),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.to_vec()))
}
