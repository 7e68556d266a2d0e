//! The columns that a statement declares.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::catalog::DeclaredStream;
use crate::config::parse_data_type;
use crate::error::{Error, Result};

/// Turns declared columns into fields.
pub(super) fn columns_of(columns: &[crate::sql::Column]) -> Result<SchemaRef> {
    let fields = columns.iter().map(|column| {
        let data_type = parse_data_type(&column.data_type.to_string());
        let data_type = data_type.map_err(|error| error.with_span(column.span.clone()))?;
        Ok(Field::new(&column.name, data_type, !column.not_null && !column.primary_key))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// Fails if the time or the key of a declaration is none of its columns.
pub(super) fn check_columns(columns: &SchemaRef, declared: &DeclaredStream) -> Result<()> {
    let has = |name: &str| columns.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let list = || columns.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
    let event_time = declared.source.as_ref().and_then(|source| source.time.field.as_deref());
    let watermark = declared.watermark.as_ref().map(|(column, _)| column.as_str());
    let named = [("event time field", event_time), ("watermark column", watermark)];
    let keys = declared.key.iter().map(|key| ("key column", Some(key.as_str())));
    for (what, name) in named.into_iter().chain(keys) {
        if let Some(name) = name.filter(|name| !has(name)) {
            return Err(Error::invalid(format!("{what} `{name}` is not a column"))
                .with_hint(format!("columns here: {}", list())));
        }
    }
    Ok(())
}
