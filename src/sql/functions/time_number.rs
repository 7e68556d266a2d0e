//! Times where a number is needed: a difference of two timestamps counts as milliseconds, a timestamp as epoch
//! milliseconds, and number × interval is an interval.
//!
//! Binary operators are decided while the SQL is planned, because DataFusion checks their types there; `BETWEEN`,
//! `IN` and `CASE` are rewritten before its type coercion.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::interval::{divide_udf, micros_udf, multiply_udf};
use super::scalar::Outcome;

/// What an operand is, as far as this rule is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Duration,
    Instant,
    Interval,
    Other,
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Duration(_) => Self::Duration,
            DataType::Timestamp(..) => Self::Instant,
            DataType::Interval(_) => Self::Interval,
            number if number.is_numeric() => Self::Number,
            _ => Self::Other,
        }
    }

    fn of_expr(expr: &Expr, schema: &dyn ExprSchema) -> Self {
        expr.get_type(schema).map_or(Self::Other, |data_type| Self::of(&data_type))
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Duration | Self::Instant)
    }
}

/// Plans the binary operators between times, intervals and numbers.
#[derive(Debug)]
pub(super) struct TimeArithmetic;

impl ExprPlanner for TimeArithmetic {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Outcome<PlannerResult<RawBinaryExpr>> {
        let comparison = is_comparison(&expr.op);
        if !comparison && !is_arithmetic(&expr.op) {
            return Ok(PlannerResult::Original(expr));
        }
        let kinds = (Kind::of_expr(&expr.left, schema), Kind::of_expr(&expr.right, schema));
        let RawBinaryExpr { op, left, right } = expr;
        let (left, right) = match kinds {
            (time, Kind::Number) if time.is_time() => (as_millis(left, time), right),
            (Kind::Number, time) if time.is_time() => (left, as_millis(right, time)),
            (Kind::Interval, Kind::Number) if op == BinaryOperator::Multiply => {
                return Ok(PlannerResult::Planned(multiply_udf().call(vec![left, right])));
            }
            (Kind::Number, Kind::Interval) if op == BinaryOperator::Multiply => {
                return Ok(PlannerResult::Planned(multiply_udf().call(vec![right, left])));
            }
            (Kind::Interval, Kind::Number) if op == BinaryOperator::Divide => {
                return Ok(PlannerResult::Planned(divide_udf().call(vec![left, right])));
            }
            (Kind::Duration | Kind::Interval, Kind::Interval) | (Kind::Interval, Kind::Duration)
                if comparison =>
            {
                (length(left, kinds.0), length(right, kinds.1))
            }
            _ => (left, right),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Divide, Minus, Modulo, Multiply, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo)
}

fn as_millis(expr: Expr, kind: Kind) -> Expr {
    let millis = match kind {
        Kind::Duration => DataType::Duration(TimeUnit::Millisecond),
        _ => DataType::Timestamp(TimeUnit::Millisecond, None),
    };
    cast(cast(expr, millis), DataType::Int64)
}

/// Returns the length of a duration or an interval in microseconds.
fn length(expr: Expr, kind: Kind) -> Expr {
    match kind {
        Kind::Duration => cast(cast(expr, DataType::Duration(TimeUnit::Microsecond)), DataType::Int64),
        _ => micros_udf().call(vec![expr]),
    }
}

/// Rewrites what is no binary operator: `BETWEEN`, `IN` and the results of `CASE`.
#[derive(Debug)]
pub(super) struct TimeComparisons;

impl AnalyzerRule for TimeComparisons {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Outcome<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| rewrite(expr, &schema))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|plan| plan.data)
    }

    fn name(&self) -> &str {
        "time_comparisons"
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Outcome<Transformed<Expr>> {
    match expr {
        Expr::Between(Between { expr, negated, low, high }) => {
            let (parts, changed) = unify(vec![*expr, *low, *high], schema);
            let mut parts = parts.into_iter().map(Box::new);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(expr), Some(low), Some(high)) => {
                    let between = Expr::Between(Between { expr, negated, low, high });
                    Ok(Transformed::new_transformed(between, changed))
                }
                _ => Err(datafusion::common::internal_datafusion_err!("BETWEEN lost an operand")),
            }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let (mut parts, changed) = unify(std::iter::once(*expr).chain(list).collect(), schema);
            let expr = Box::new(parts.remove(0));
            Ok(Transformed::new_transformed(Expr::InList(InList { expr, list: parts, negated }), changed))
        }
        Expr::Case(case) => {
            let fallback = case.else_expr.as_deref().cloned();
            let results =
                case.when_then_expr.iter().map(|(_, then)| then.as_ref().clone()).chain(fallback).collect();
            let (results, changed) = unify(results, schema);
            let mut results = results.into_iter().map(Box::new);
            let mut case = case;
            let branches = case.when_then_expr.into_iter().zip(results.by_ref());
            case.when_then_expr = branches.map(|((when, _), then)| (when, then)).collect();
            case.else_expr = results.next();
            Ok(Transformed::new_transformed(Expr::Case(case), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Turns times into numbers where operands that are compared are of both kinds, and compares lengths as numbers.
fn unify(parts: Vec<Expr>, schema: &DFSchema) -> (Vec<Expr>, bool) {
    let kinds: Vec<Kind> = parts.iter().map(|part| Kind::of_expr(part, schema)).collect();
    let number = kinds.contains(&Kind::Number);
    let lengths = kinds.contains(&Kind::Interval)
        && kinds.iter().all(|kind| matches!(kind, Kind::Interval | Kind::Duration));
    if !(lengths || number && kinds.iter().any(|kind| kind.is_time())) {
        return (parts, false);
    }
    let unified = parts.into_iter().zip(kinds).map(|(part, kind)| match kind {
        _ if lengths => length(part, kind),
        time if time.is_time() => as_millis(part, time),
        _ => part,
    });
    (unified.collect(), true)
}
