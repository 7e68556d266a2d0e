//! [`OnMissing`]: what becomes of a row of a stream that finds no row in a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, Join, LogicalPlan, Operator, Projection, cast, lit, when,
};

use super::attach_join::{mark_of, reads_only_tables};
use super::lookup::turned;
use super::window_trace::relation_of;
use crate::error::Error;
use crate::sql::functions::{found_function, settled_function};
use crate::table::RetryRule;

/// What becomes of a row of a stream that finds no row in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnMissing {
    /// The columns of the table are NULL.
    Null,
    /// The row is left out.
    Skip,
    /// The row is an error.
    Fail,
    /// The columns of the table have these values; those that are not named are NULL.
    Defaults(BTreeMap<String, String>),
    /// The row waits and is looked up again.
    Retry {
        /// For how long.
        rule: RetryRule,
        /// What becomes of it then; without it what the kind of join says.
        then: Option<Box<OnMissing>>,
    },
}

impl OnMissing {
    /// Returns whether a row that finds nothing for good is an error.
    pub(super) fn fails(&self) -> bool {
        match self {
            Self::Fail => true,
            Self::Retry { then, .. } => then.as_ref().is_some_and(|then| then.fails()),
            _ => false,
        }
    }

    /// Returns for how long a row waits that finds nothing.
    pub(super) fn retries(&self) -> Option<RetryRule> {
        match self {
            Self::Retry { rule, .. } => Some(*rule),
            _ => None,
        }
    }
}

/// When rows are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looking {
    /// As they come, in steps that know by themselves what they must find.
    Rows,
    /// All at once, in tables that do not change any more.
    Whole,
}

/// Makes the joins with tables do what the options say of rows that find nothing.
pub(super) fn with_missing(
    plan: LogicalPlan,
    rules: &BTreeMap<String, OnMissing>,
    looking: Looking,
) -> DataFusionResult<LogicalPlan> {
    if rules.is_empty() {
        return Ok(plan);
    }
    let joined = plan.transform_down(|node| match node {
        LogicalPlan::Filter(filter) => with_equations(filter).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    let rewritten = joined.data.transform_up(|node| match node {
        LogicalPlan::Join(join) => {
            let turns = reads_only_tables(&join.left) && !reads_only_tables(&join.right);
            let looks = if turns { turned(&join)? } else { join.clone() };
            let Some((table, rule)) = rule_of(&looks, rules) else {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            };
            let looked_up = apply(looks, &table, rule, looking)?;
            let written = join.schema.columns().into_iter().map(Expr::Column).collect();
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(written, Arc::new(looked_up))?)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// Gives joins without a condition, as commas write them, the equations of `WHERE` that are about both of their sides:
/// these say what a row looks for.
fn with_equations(filter: Filter) -> DataFusionResult<LogicalPlan> {
    let mut conditions = split_conjunction_owned(filter.predicate);
    let input = equated(Arc::unwrap_or_clone(filter.input), &mut conditions)?;
    match conjunction(conditions) {
        Some(rest) => Ok(LogicalPlan::Filter(Filter::try_new(rest, Arc::new(input))?)),
        None => Ok(input),
    }
}

fn equated(plan: LogicalPlan, conditions: &mut Vec<Expr>) -> DataFusionResult<LogicalPlan> {
    let join = match plan {
        LogicalPlan::Join(join) if is_product(&join) => join,
        other => return Ok(other),
    };
    let (own, rest): (Vec<Expr>, Vec<Expr>) =
        std::mem::take(conditions).into_iter().partition(|condition| wanted_by(condition, &join).is_some());
    *conditions = rest;
    let left = equated(Arc::unwrap_or_clone(join.left), conditions)?;
    let right = equated(Arc::unwrap_or_clone(join.right), conditions)?;
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        vec![],
        conjunction(own),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?))
}

fn is_product(join: &Join) -> bool {
    join.join_type == JoinType::Inner && join.on.is_empty() && join.filter.is_none()
}

/// Returns what a left row looks for on the right, if `condition` is an equation that says so.
fn wanted_by(condition: &Expr, join: &Join) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = condition else { return None };
    let reads = |expression: &Expr, side: &LogicalPlan| {
        let columns = expression.column_refs();
        !columns.is_empty() && columns.into_iter().all(|column| side.schema().has_column(column))
    };
    match (reads(a, &join.left) && reads(b, &join.right), reads(b, &join.left) && reads(a, &join.right)) {
        (true, _) => Some(a.as_ref().clone()),
        (_, true) => Some(b.as_ref().clone()),
        _ => None,
    }
}

fn rule_of<'r>(join: &Join, rules: &'r BTreeMap<String, OnMissing>) -> Option<(String, &'r OnMissing)> {
    let looked_up = matches!(join.join_type, JoinType::Inner | JoinType::Left);
    if !looked_up || reads_only_tables(&join.left) {
        return None;
    }
    let table = table_below(&join.right)?;
    let rule = rules.get(&table)?;
    Some((table, rule))
}

/// Returns the name of the one table that `plan` reads.
pub(super) fn table_below(plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(scan) => relation_of(scan)
            .filter(|relation| relation.table.is_some())
            .map(|relation| relation.name.clone()),
        other => match other.inputs().as_slice() {
            [input] => table_below(input),
            _ => None,
        },
    }
}

fn apply(join: Join, table: &str, rule: &OnMissing, looking: Looking) -> DataFusionResult<LogicalPlan> {
    let of_versions = join.filter.iter().flat_map(split_conjunction).any(|part| mark_of(part).is_some());
    if of_versions {
        refuse_for_versions(table, rule)?;
    }
    let theirs = join.right.schema().columns();
    let joined = decided(join, table, rule, looking)?;
    if of_versions {
        return Ok(joined);
    }
    // What decides over rows that were looked up must not decide over what is found.
    let columns = joined.schema().iter().map(|(qualifier, field)| {
        let column = Column::new(qualifier.cloned(), field.name());
        if !theirs.contains(&column) {
            return Expr::Column(column);
        }
        let found = ScalarFunction::new_udf(settled_function(), vec![Expr::Column(column)]);
        Expr::ScalarFunction(found).alias_qualified(qualifier.cloned(), field.name())
    });
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?))
}

fn refuse_for_versions(table: &str, rule: &OnMissing) -> DataFusionResult<()> {
    let what = match rule {
        OnMissing::Fail => "fail",
        OnMissing::Retry { .. } => "retry",
        _ => return Ok(()),
    };
    let error = Error::not_yet(format!("`{table}.on.missing` = `{what}` for the versions of a table"));
    Err(DataFusionError::External(Box::new(error.with_hint("use skip, null or defaults"))))
}

/// Returns the join whose rows are those that the rule leaves.
fn decided(join: Join, table: &str, rule: &OnMissing, looking: Looking) -> DataFusionResult<LogicalPlan> {
    match rule {
        OnMissing::Skip => Ok(LogicalPlan::Join(of_kind(join, JoinType::Inner)?)),
        OnMissing::Null => Ok(LogicalPlan::Join(of_kind(join, JoinType::Left)?)),
        OnMissing::Defaults(values) => with_defaults(marked(join)?, table, values),
        OnMissing::Fail if looking == Looking::Whole => all_found(marked(join)?, table),
        OnMissing::Fail | OnMissing::Retry { then: None, .. } => Ok(LogicalPlan::Join(join)),
        OnMissing::Retry { then: Some(then), .. } => decided(join, table, then, looking),
    }
}

fn of_kind(join: Join, kind: JoinType) -> DataFusionResult<Join> {
    Join::try_new(
        join.left,
        join.right,
        join.on,
        join.filter,
        kind,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )
}

/// Keeps all rows of a join, with a mark that no row of the table lacks: it says whether there was one.
fn marked(join: Join) -> DataFusionResult<Join> {
    let mut columns: Vec<Expr> = join.right.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(lit(true).alias(FOUND));
    let right = LogicalPlan::Projection(Projection::try_new(columns, Arc::clone(&join.right))?);
    of_kind(Join { right: Arc::new(right), ..join }, JoinType::Left)
}

/// Fails where a row found nothing, and says what it looked for.
fn all_found(joined: Join, table: &str) -> DataFusionResult<LogicalPlan> {
    let mut arguments = vec![Expr::Column(Column::from_name(FOUND)), lit(table)];
    arguments.extend(joined.on.iter().map(|(wanted, _)| wanted.clone()));
    let conditions = joined.filter.iter().flat_map(split_conjunction);
    arguments.extend(conditions.filter_map(|condition| wanted_by(condition, &joined)));
    let columns = joined.schema.columns().into_iter().filter(|column| column.name != FOUND);
    let columns = columns.map(Expr::Column).collect();
    let found = Expr::ScalarFunction(ScalarFunction::new_udf(found_function(), arguments));
    let found = Filter::try_new(found, Arc::new(LogicalPlan::Join(joined)))?;
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Filter(found)))?))
}

const FOUND: &str = "__found";

fn with_defaults(
    joined: Join,
    table: &str,
    values: &BTreeMap<String, String>,
) -> DataFusionResult<LogicalPlan> {
    let own = joined.right.schema().fields();
    if let Some(unknown) = values.keys().find(|name| !own.iter().any(|field| field.name() == *name)) {
        let known = own.iter().map(|field| field.name().clone()).filter(|name| name != FOUND);
        return Err(DataFusionError::External(Box::new(
            Error::invalid(format!("`{table}` has no column `{unknown}` to give a default to"))
                .with_hint(format!("it has: {}", known.collect::<Vec<_>>().join(", "))),
        )));
    }
    let left = joined.left.schema().fields().len();
    let missing = Expr::Column(Column::from_name(FOUND)).is_null();
    let columns = joined.schema.iter().enumerate().filter(|(_, (_, field))| field.name() != FOUND);
    let columns = columns.map(|(at, (qualifier, field))| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match values.get(field.name()).filter(|_| at >= left) {
            Some(text) => {
                let value = cast(lit(ScalarValue::Utf8(Some(text.clone()))), field.data_type().clone());
                let chosen = when(missing.clone(), value).otherwise(column)?;
                Ok(chosen.alias_qualified(qualifier.cloned(), field.name()))
            }
            None => Ok(column),
        }
    });
    let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
    let joined = Arc::new(LogicalPlan::Join(joined));
    Ok(LogicalPlan::Projection(Projection::try_new(columns, joined)?))
}
