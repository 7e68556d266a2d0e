//! Headers of records, in a map column from text to text: the functions behind `HEADER`, `HAS_HEADER`, `HEADER_KEYS`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanBuilder, MapArray, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, is_text, wrong_arguments};
use super::text_column::TextColumn;
use crate::error::Error;

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("velo_header", coerce_key, |_| DataType::Utf8, header).into_udf(),
        Scalar::new("velo_has_header", coerce_key, |_| DataType::Boolean, has_header).into_udf(),
        Scalar::new("velo_header_keys", coerce_map, |_| DataType::Utf8, header_keys).into_udf(),
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

/// The headers of a batch, row by row.
struct Headers {
    maps: MapArray,
    keys: StringArray,
    values: StringArray,
}

impl Headers {
    fn try_new(args: &ScalarFunctionArgs) -> Outcome<Self> {
        let column = match args.args.first() {
            Some(column) => column.to_array(args.number_rows)?,
            None => return Err(external(Error::internal("a header function takes a map"))),
        };
        let maps = column.as_map().clone();
        match (maps.keys().as_string_opt::<i32>(), maps.values().as_string_opt::<i32>()) {
            (Some(keys), Some(values)) => Ok(Self { keys: keys.clone(), values: values.clone(), maps }),
            _ => Err(external(Error::internal("headers are not a map from text to text"))),
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
        result.append_option(entry.map(|entry| headers.values.value(entry)));
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
