//! [`GeneratorRules`]: the rules of all columns of a declared schema.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::column::{ColumnRule, DueTimes};
use super::field_options::{FieldOptions, KEYS};
use crate::error::{Error, Result};

/// A rule for each column of a schema.
///
/// Columns without options get one by their type: the first column counts if it is an INT or BIGINT, other whole
/// numbers and decimals are even in 0..=1000, DOUBLE in 0..1, text is 8 letters, BOOLEAN a coin, TIMESTAMP the time
/// at which the row is due, DATE any day in 1000 days from 1970 on.
///
/// ```
/// use arrow::datatypes::{DataType, Field, Schema};
/// use velostream::connect::generator::GeneratorRules;
///
/// let schema = Schema::new(vec![Field::new("symbol", DataType::Utf8, true)]);
/// let options = [("fields.symbol.vlaues".to_owned(), "A, B".to_owned())];
/// let error = GeneratorRules::from_options(&schema, options.into_iter()).unwrap_err();
/// assert_eq!(error.message(), "unknown option `fields.symbol.vlaues`");
/// assert!(error.hint().unwrap().starts_with("did you mean `values`?"));
/// ```
#[derive(Debug, Clone)]
pub struct GeneratorRules {
    columns: Vec<ColumnRule>,
}

impl GeneratorRules {
    /// Reads the options `fields.<column>.<key>` for `schema`.
    ///
    /// Errors about unknown columns and keys, keys that the column's kind does not use, values that do not fit the
    /// type, and types that cannot be generated.
    pub fn from_options(schema: &Schema, options: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut by_column: BTreeMap<usize, FieldOptions> = BTreeMap::new();
        for (option, value) in options {
            let (column, key) = target(schema, &option)?;
            by_column.entry(column).or_default().insert(key, value);
        }
        let column = |(ordinal, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
            let mut options = by_column.remove(&ordinal).unwrap_or_default();
            let within = |error: Error| error.within(format!("column `{}`", field.name()));
            let null_ratio = options.null_ratio(field.is_nullable()).map_err(within)?;
            let rule = options.rule(field.data_type(), ordinal == 0).map_err(within)?;
            Ok(ColumnRule { ordinal, name: field.name().clone(), rule, null_ratio })
        };
        Ok(Self { columns: schema.fields().iter().enumerate().map(column).collect::<Result<_>>()? })
    }

    /// Keeps the rules of some columns, which go on to give the same values.
    pub(super) fn project(self, columns: &[usize]) -> Result<Self> {
        let rule = |column: &usize| {
            let missing = || Error::internal(format!("column {column} of {} is wanted", self.columns.len()));
            self.columns.get(*column).cloned().ok_or_else(missing)
        };
        Ok(Self { columns: columns.iter().map(rule).collect::<Result<_>>()? })
    }

    /// Makes `rows` of `seed` in `schema`, which has the columns of these rules.
    pub(super) fn make(
        &mut self,
        schema: &SchemaRef,
        seed: u64,
        due: &DueTimes,
        rows: &[u64],
    ) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().zip(schema.fields());
        let arrays = columns
            .map(|(column, field)| column.make(field.data_type(), seed, due, rows))
            .collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(SchemaRef::clone(schema), arrays, &options)?)
    }
}

/// Returns the column and the key that an option is about.
fn target<'a>(schema: &Schema, option: &'a str) -> Result<(usize, &'a str)> {
    let unknown = || Error::invalid(format!("unknown option `{option}`"));
    let Some((column, key)) = option.strip_prefix("fields.").and_then(|rest| rest.rsplit_once('.')) else {
        return Err(unknown().with_hint("column rules are named `fields.<column>.<key>`"));
    };
    let fields = schema.fields();
    let exact = fields.iter().position(|field| field.name() == column);
    let ordinal = exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(column)));
    let Some(ordinal) = ordinal else {
        let names = fields.iter().map(|field| field.name().as_str());
        return Err(Error::invalid(format!("option `{option}` is about an unknown column `{column}`"))
            .with_hint(suggestion(column, names)));
    };
    if KEYS.contains(&key) { Ok((ordinal, key)) } else { Err(unknown().with_hint(suggestion(key, KEYS))) }
}

fn suggestion<'a>(given: &str, accepted: impl IntoIterator<Item = &'a str>) -> String {
    let accepted: Vec<&str> = accepted.into_iter().collect();
    let list = accepted.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let distance = |name: &&&str| strsim::damerau_levenshtein(name, given);
    match accepted.iter().min_by_key(distance) {
        Some(nearest) if distance(&nearest) <= 2 => format!("did you mean `{nearest}`? accepted: {list}"),
        _ => format!("accepted: {list}"),
    }
}
