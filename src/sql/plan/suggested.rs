//! Columns that the use of a stream suggests: what a query can be checked with when nobody may look at the data.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Value, visit_expressions,
};

use crate::sql::plan::rewrite::unbroken;
use crate::sql::relation::SystemColumn;

/// Aggregates whose argument is a number.
const NUMERIC: [&str; 12] = [
    "sum",
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var",
    "var_pop",
    "var_samp",
    "median",
    "corr",
    "abs",
    "round",
];

/// Returns the columns that `query` uses, typed by their use: a number in arithmetic and numeric aggregates, the type
/// of the literal that a column is compared with, text otherwise. `event_time` is a time.
pub fn suggested_columns(query: &Query, event_time: Option<&str>) -> SchemaRef {
    let mut uses = Uses::default();
    let ended = visit_expressions(query, |expression| {
        uses.note(expression);
        ControlFlow::Continue(())
    });
    unbroken(ended);
    if let Some(column) = event_time {
        uses.columns.insert(column.to_owned(), Some(DataType::Timestamp(TimeUnit::Millisecond, None)));
    }
    let fields = uses
        .columns
        .into_iter()
        .map(|(name, data_type)| Field::new(name, data_type.unwrap_or(DataType::Utf8), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[derive(Default)]
struct Uses {
    columns: BTreeMap<String, Option<DataType>>,
}

impl Uses {
    fn note(&mut self, expression: &Expr) {
        match expression {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.suggest(expression, None),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo => {
                    self.suggest(left, Some(DataType::Float64));
                    self.suggest(right, Some(DataType::Float64));
                }
                _ => {
                    self.suggest(left, literal_type(right));
                    self.suggest(right, literal_type(left));
                }
            },
            Expr::Between { expr, low, .. } => self.suggest(expr, literal_type(low)),
            Expr::Function(function)
                if NUMERIC.contains(&function.name.to_string().to_lowercase().as_str()) =>
            {
                if let FunctionArguments::List(list) = &function.args
                    && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) = list.args.first()
                {
                    self.suggest(argument, Some(DataType::Float64));
                }
            }
            _ => {}
        }
    }

    fn suggest(&mut self, expression: &Expr, data_type: Option<DataType>) {
        let name = match expression {
            Expr::Identifier(ident) => &ident.value,
            Expr::CompoundIdentifier(parts) => match parts.last() {
                Some(ident) => &ident.value,
                None => return,
            },
            Expr::Nested(inner) => return self.suggest(inner, data_type),
            _ => return,
        };
        if SystemColumn::by_name(&name.to_lowercase()).is_none() {
            let known = self.columns.entry(name.clone()).or_default();
            *known = known.take().or(data_type);
        }
    }
}

fn literal_type(expression: &Expr) -> Option<DataType> {
    let Expr::Value(value) = expression else { return None };
    match &value.value {
        Value::Number(..) => Some(DataType::Float64),
        Value::SingleQuotedString(_) => Some(DataType::Utf8),
        Value::Boolean(_) => Some(DataType::Boolean),
        _ => None,
    }
}
