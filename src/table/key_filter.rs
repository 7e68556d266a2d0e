//! [`KeyFilter`]: which of a query's conditions an index answers.

use std::collections::HashSet;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::run::IndexSpec;
use crate::error::Result;

/// More keys than that are not looked up one by one.
const MOST_KEYS: usize = 10_000;

/// Keys to look up in an index.
#[derive(Debug)]
pub(super) struct KeyFilter {
    pub(super) index: usize,
    /// One array for each column of the index, a row for each key.
    pub(super) keys: Vec<ArrayRef>,
    /// The ordinals of the conditions that the lookup answers.
    pub(super) answered: Vec<usize>,
}

/// A condition that gives the values of one column.
struct Choice {
    condition: usize,
    column: usize,
    values: Vec<ScalarValue>,
}

impl KeyFilter {
    /// Finds the index that answers most of `conditions`, all of which have to hold.
    pub(super) fn find(
        schema: &SchemaRef,
        indexes: &[IndexSpec],
        conditions: &[&Expr],
    ) -> Result<Option<Self>> {
        let choices: Vec<Choice> = conditions
            .iter()
            .enumerate()
            .filter_map(|(condition, expression)| {
                let (column, values) = values_of(schema, expression)?;
                Some(Choice { condition, column, values })
            })
            .collect();
        let chosen_for = |spec: &IndexSpec| -> Option<Vec<&Choice>> {
            let of = |column: &usize| choices.iter().find(|choice| choice.column == *column);
            let chosen = spec.columns.iter().map(of).collect::<Option<Vec<_>>>()?;
            let keys =
                chosen.iter().try_fold(1usize, |keys, choice| keys.checked_mul(choice.values.len()))?;
            (keys <= MOST_KEYS).then_some(chosen)
        };
        let usable =
            indexes.iter().enumerate().filter_map(|(index, spec)| Some((index, spec, chosen_for(spec)?)));
        // Of two that answer the same, the first.
        let best = usable.rev().max_by_key(|(_, spec, _)| (spec.unique, spec.columns.len()));
        let Some((index, _, chosen)) = best else { return Ok(None) };
        let answered = chosen.iter().map(|choice| choice.condition).collect();
        Ok(Some(Self { index, keys: combined(&chosen)?, answered }))
    }
}

/// Returns each value of each column with each of the others.
fn combined(choices: &[&Choice]) -> Result<Vec<ArrayRef>> {
    let keys: usize = choices.iter().map(|choice| choice.values.len()).product();
    let mut repeats = keys;
    let columns = choices.iter().map(|choice| {
        let count = choice.values.len();
        repeats /= count;
        let places = (0..keys).map(|key| u32::try_from(key / repeats % count).unwrap_or(0));
        let values = ScalarValue::iter_to_array(choice.values.iter().cloned())?;
        Ok(take(&values, &UInt32Array::from_iter_values(places), None)?)
    });
    columns.collect()
}

/// Returns the values that a condition leaves to one column.
fn values_of(schema: &SchemaRef, condition: &Expr) -> Option<(usize, Vec<ScalarValue>)> {
    let (name, values) = equalities(condition)?;
    let column = schema.index_of(name).ok()?;
    let data_type = schema.field(column).data_type();
    // A value of another type stands beside a cast of the column. Zero has a sign in a comparison of floats.
    if data_type.is_floating()
        || values.iter().any(|value| value.data_type() != *data_type || value.is_null())
    {
        return None;
    }
    let mut seen = HashSet::new();
    let values = values.into_iter().filter(|value| seen.insert(*value)).cloned().collect();
    Some((column, values))
}

fn equalities(condition: &Expr) -> Option<(&str, Vec<&ScalarValue>)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _))
            | (Expr::Literal(value, _), Expr::Column(column)) => Some((&column.name, vec![value])),
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (name, mut values) = equalities(left)?;
            let (other, others) = equalities(right)?;
            values.extend(others);
            (name == other).then_some((name, values))
        }
        Expr::InList(list) if !list.negated && !list.list.is_empty() => {
            let Expr::Column(column) = &*list.expr else { return None };
            let values = list.list.iter().map(|value| match value {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            });
            Some((&column.name, values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}
