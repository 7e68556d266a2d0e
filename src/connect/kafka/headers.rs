//! [`Headers`]: a column of maps as the headers of messages.

use arrow::array::{Array, AsArray, BinaryArray, MapArray, RecordBatch, StringArray};
use rdkafka::message::{Header, OwnedHeaders};

use crate::error::{Error, Result};

/// The headers of each row.
pub(super) struct Headers {
    maps: MapArray,
    names: StringArray,
    values: BinaryArray,
}

impl Headers {
    /// Reads the maps from text to bytes in column `column`.
    pub(super) fn of(rows: &RecordBatch, column: usize) -> Result<Self> {
        let maps = rows.columns().get(column).and_then(|maps| maps.as_map_opt()).cloned();
        let maps = maps.ok_or_else(|| Error::internal(format!("column {column} holds no headers")))?;
        match (maps.keys().as_string_opt::<i32>(), maps.values().as_binary_opt::<i32>()) {
            (Some(names), Some(values)) => {
                Ok(Self { names: names.clone(), values: values.clone(), maps: maps.clone() })
            }
            _ => Err(Error::internal("headers are not a map from text to bytes")),
        }
    }

    /// Returns the headers of row `row` in their order; a NULL value is a header without value.
    pub(super) fn owned(&self, row: usize) -> Option<OwnedHeaders> {
        let offset =
            |at: usize| self.maps.value_offsets().get(at).and_then(|&offset| usize::try_from(offset).ok());
        let (begin, end) = (offset(row)?, offset(row + 1)?);
        if self.maps.is_null(row) || begin == end {
            return None;
        }
        let made = OwnedHeaders::new_with_capacity(end - begin);
        Some((begin..end).fold(made, |made, entry| {
            let value = self.values.is_valid(entry).then(|| self.values.value(entry));
            made.insert(Header { key: self.names.value(entry), value })
        }))
    }
}
