//! Headers of records, in a map column from text to bytes: the functions behind `HEADER`, `HAS_HEADER`, `HEADER_KEYS`,
//! `SET_HEADER` and `REMOVE_HEADER`.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BinaryArray, BinaryBuilder, BooleanBuilder, MapArray, MapBuilder, MapFieldNames,
    StringArray, StringBuilder,
};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, is_text, wrong_arguments};
use super::text_column::TextColumn;
use crate::error::Error;
use crate::sql::relation::SystemColumn;

/// The function that gives a row no headers.
pub const NO_HEADERS: &str = "velo_no_headers";
/// The function that adds a header to those of a row, in the place of those of the same name.
pub const SET_HEADER: &str = "velo_set_header";
/// The function that takes a header from those of a row.
pub const REMOVE_HEADER: &str = "velo_remove_header";

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("velo_header", coerce_key, |_| DataType::Utf8, header).into_udf(),
        Scalar::new("velo_has_header", coerce_key, |_| DataType::Boolean, has_header).into_udf(),
        Scalar::new("velo_header_keys", coerce_map, |_| DataType::Utf8, header_keys).into_udf(),
        Scalar::new(NO_HEADERS, no_arguments, |_| map_type(), no_headers).into_udf(),
        Scalar::new(SET_HEADER, coerce_set, |_| map_type(), set_header).into_udf(),
        Scalar::new(REMOVE_HEADER, coerce_key, |_| map_type(), remove_header).into_udf(),
    ]
}

fn coerce_key(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [DataType::Map(..), key] if is_text(key) => Ok(arguments.to_vec()),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}(headers, 'key')"))),
    }
}

fn coerce_map(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [DataType::Map(..)] => Ok(arguments.to_vec()),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}(headers)"))),
    }
}

fn no_arguments(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [] => Ok(vec![]),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}()"))),
    }
}

fn coerce_set(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [DataType::Map(..), key, value] if is_text(key) && (is_text(value) || value.is_null()) => {
            Ok(vec![arguments[0].clone(), key.clone(), DataType::Utf8])
        }
        _ => Err(wrong_arguments(name, arguments, &format!("{name}(headers, 'key', 'value')"))),
    }
}

fn map_type() -> DataType {
    SystemColumn::Headers.field().data_type().clone()
}

/// The headers of a batch, row by row.
struct Headers {
    maps: MapArray,
    keys: StringArray,
    values: BinaryArray,
}

impl Headers {
    fn try_new(args: &ScalarFunctionArgs) -> Outcome<Self> {
        let column = match args.args.first() {
            Some(column) => column.to_array(args.number_rows)?,
            None => return Err(external(Error::internal("a header function takes a map"))),
        };
        let maps = column.as_map().clone();
        match (maps.keys().as_string_opt::<i32>(), maps.values().as_binary_opt::<i32>()) {
            (Some(keys), Some(values)) => Ok(Self { keys: keys.clone(), values: values.clone(), maps }),
            _ => Err(external(Error::internal("headers are not a map from text to bytes"))),
        }
    }

    /// Returns the entries of a row; none for a null map.
    fn entries(&self, row: usize) -> std::ops::Range<usize> {
        if self.maps.is_null(row) {
            return 0..0;
        }
        let offset =
            |at: usize| self.maps.value_offsets().get(at).and_then(|&offset| usize::try_from(offset).ok());
        offset(row).unwrap_or(0)..offset(row + 1).unwrap_or(0)
    }

    /// Returns the last entry of that key: a header that is set again replaces the earlier one.
    fn find(&self, row: usize, key: &str) -> Option<usize> {
        self.entries(row).rev().find(|&entry| self.keys.value(entry) == key)
    }

    fn len(&self) -> usize {
        self.maps.len()
    }
}

fn key_column(args: &ScalarFunctionArgs) -> Outcome<TextColumn<'_>> {
    match args.args.get(1) {
        Some(key) => TextColumn::try_new(key),
        None => Err(external(Error::internal("a header function takes a key"))),
    }
}

fn header(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let (headers, keys) = (Headers::try_new(args)?, key_column(args)?);
    let mut result = StringBuilder::new();
    for row in 0..headers.len() {
        let entry = keys.get(row).and_then(|key| headers.find(row, key));
        let entry = entry.filter(|&entry| headers.values.is_valid(entry));
        result.append_option(entry.map(|entry| String::from_utf8_lossy(headers.values.value(entry))));
    }
    Ok(ColumnarValue::Array(Arc::new(result.finish())))
}

fn has_header(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let (headers, keys) = (Headers::try_new(args)?, key_column(args)?);
    let mut result = BooleanBuilder::with_capacity(headers.len());
    for row in 0..headers.len() {
        result.append_value(keys.get(row).is_some_and(|key| headers.find(row, key).is_some()));
    }
    Ok(ColumnarValue::Array(Arc::new(result.finish())))
}

fn header_keys(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let headers = Headers::try_new(args)?;
    let mut result = StringBuilder::new();
    for row in 0..headers.len() {
        if headers.maps.is_null(row) {
            result.append_null();
            continue;
        }
        let keys: Vec<&str> = headers.entries(row).map(|entry| headers.keys.value(entry)).collect();
        result.append_value(keys.join(","));
    }
    Ok(ColumnarValue::Array(Arc::new(result.finish())))
}

/// Headers as they are put together.
struct Made(MapBuilder<StringBuilder, BinaryBuilder>);

impl Made {
    fn new() -> Self {
        let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
        Self(MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new()))
    }

    /// Adds the headers of a row that do not have that key.
    fn copy_without(&mut self, headers: &Headers, row: usize, key: &str) {
        for entry in headers.entries(row).filter(|&entry| headers.keys.value(entry) != key) {
            let value = headers.values.is_valid(entry).then(|| headers.values.value(entry));
            self.add(headers.keys.value(entry), value);
        }
    }

    fn add(&mut self, key: &str, value: Option<&[u8]>) {
        self.0.keys().append_value(key);
        self.0.values().append_option(value);
    }

    fn finish(mut self) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(self.0.finish()))
    }
}

fn missing_key() -> datafusion::common::DataFusionError {
    external(Error::data("the name of a header is NULL"))
}

fn no_headers(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let mut made = Made::new();
    for _ in 0..args.number_rows {
        made.0.append(true)?;
    }
    Ok(made.finish())
}

fn set_header(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let (headers, keys) = (Headers::try_new(args)?, key_column(args)?);
    let Some(values) = args.args.get(2) else {
        return Err(external(Error::internal("a header is set to a value")));
    };
    let values = TextColumn::try_new(values)?;
    let mut made = Made::new();
    for row in 0..headers.len() {
        let key = keys.get(row).ok_or_else(missing_key)?;
        made.copy_without(&headers, row, key);
        made.add(key, values.get(row).map(str::as_bytes));
        made.0.append(true)?;
    }
    Ok(made.finish())
}

fn remove_header(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let (headers, keys) = (Headers::try_new(args)?, key_column(args)?);
    let mut made = Made::new();
    for row in 0..headers.len() {
        made.copy_without(&headers, row, keys.get(row).ok_or_else(missing_key)?);
        made.0.append(true)?;
    }
    Ok(made.finish())
}
