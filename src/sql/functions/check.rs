//! Comparing text with a number is refused, with the cast that mends it.

use std::ops::Range;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Span};
use datafusion::logical_expr::expr::{Between, InList, InSubquery};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::scalar::{Outcome, external, is_text};
use super::type_name::type_name;
use crate::error::{Error, Result};

/// Checks each comparison of a plan as it comes from the SQL planner, before types are coerced.
///
/// `sql` is the text that the plan was made from: with it, and with `sql_parser.collect_spans`, the error carries the
/// place. Fails with an `Invalid` error that names both sides, their types, and a cast.
pub fn check_comparisons(plan: &LogicalPlan, sql: &str) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        if let LogicalPlan::Join(join) = node {
            for (left, right) in &join.on {
                check(left, right, &schema, sql)?;
            }
        }
        node.apply_expressions(|expr| expr.apply(|expr| visit(expr, &schema, sql)))
    })?;
    Ok(())
}

fn visit(expr: &Expr, schema: &DFSchema, sql: &str) -> Outcome<TreeNodeRecursion> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            check(left, right, schema, sql)?;
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            check(expr, low, schema, sql)?;
            check(expr, high, schema, sql)?;
        }
        Expr::InList(InList { expr, list, .. }) => {
            for item in list {
                check(expr, item, schema, sql)?;
            }
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => {
            if let (Ok(left), Some(field)) =
                (expr.get_type(schema), subquery.subquery.schema().fields().first())
                && clash(&left, field.data_type())
            {
                let right = (format!("`{}`", field.name()), field.data_type().clone());
                return Err(external(refusal((describe(expr), left), right, place(expr, sql))));
            }
        }
        Expr::Case(case) => {
            for (when, _) in case.expr.iter().flat_map(|_| &case.when_then_expr) {
                if let Some(expr) = &case.expr {
                    check(expr, when, schema, sql)?;
                }
            }
        }
        _ => {}
    }
    Ok(TreeNodeRecursion::Continue)
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn check(left: &Expr, right: &Expr, schema: &DFSchema, sql: &str) -> Outcome<()> {
    let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) else {
        return Ok(());
    };
    for (own, literal) in [(&left_type, right), (&right_type, left)] {
        check_time_text(own, literal, sql)?;
    }
    if !clash(&left_type, &right_type) {
        return Ok(());
    }
    let span = place(left, sql).or_else(|| place(right, sql));
    Err(external(refusal((describe(left), left_type), (describe(right), right_type), span)))
}

/// Checks that a text that a time is compared with is a time.
fn check_time_text(data_type: &DataType, literal: &Expr, sql: &str) -> Outcome<()> {
    let Expr::Literal(text, _) = literal else { return Ok(()) };
    let Some(written) = text.try_as_str().flatten() else { return Ok(()) };
    let example = match data_type {
        DataType::Timestamp(..) => "2026-01-31 12:00:00",
        DataType::Date32 => "2026-01-31",
        _ => return Ok(()),
    };
    if text.cast_to(data_type).is_ok() {
        return Ok(());
    }
    let error = Error::invalid(format!("'{written}' is no {}", type_name(data_type)))
        .with_hint(format!("write it like '{example}'"));
    Err(external(match place(literal, sql) {
        Some(span) => error.with_span(span),
        None => error,
    }))
}

fn clash(left: &DataType, right: &DataType) -> bool {
    (is_text(left) && right.is_numeric()) || (left.is_numeric() && is_text(right))
}

fn describe(expr: &Expr) -> String {
    match expr {
        Expr::Literal(value, _) => match value.try_as_str().flatten() {
            Some(text) => format!("'{text}'"),
            None => format!("{value}"),
        },
        Expr::Column(column) => format!("`{}`", column.name),
        other => format!("`{}`", other.human_display()),
    }
}

fn refusal(left: (String, DataType), right: (String, DataType), span: Option<Range<usize>>) -> Error {
    let (text, number) = if is_text(&left.1) { (&left, &right) } else { (&right, &left) };
    let target = match &number.1 {
        float if float.is_floating() => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        _ => "BIGINT".to_owned(),
    };
    let hint = match text.0.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(literal) if literal.parse::<f64>().is_ok() => format!("write {literal} without quotes"),
        _ => format!("write `CAST({} AS {target})`", text.0.trim_matches('`')),
    };
    let name = |side: &(String, DataType)| format!("{} ({})", side.0, sql_name(&side.1));
    let error =
        Error::invalid(format!("{} is compared with {}: text with a number", name(&left), name(&right)));
    let error = error.with_hint(hint);
    match span {
        Some(span) => error.with_span(span),
        None => error,
    }
}

fn sql_name(data_type: &DataType) -> String {
    match data_type {
        text if is_text(text) => "VARCHAR".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        other => other.to_string(),
    }
}

fn place(expr: &Expr, sql: &str) -> Option<Range<usize>> {
    let spans = expr.spans()?;
    byte_range(sql, spans.first()?)
}

/// Returns the bytes of `sql` that a span of the parser (lines and columns in characters, from 1) covers.
pub fn byte_range(sql: &str, span: Span) -> Option<Range<usize>> {
    let offset = |line: u64, column: u64| -> Option<usize> {
        let (line, column) = (usize::try_from(line).ok()?, usize::try_from(column).ok()?);
        let start: usize = sql.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let text = sql.get(start..)?;
        let within = text.char_indices().nth(column.checked_sub(1)?).map_or(text.len(), |(at, _)| at);
        Some(start + within)
    };
    Some(offset(span.start.line, span.start.column)?..offset(span.end.line, span.end.column)?)
}
