//! [`OnMissing`]: what becomes of a row of a stream that finds no row in a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection, cast, lit, when};

use super::attach_join::reads_only_tables;
use super::window_trace::relation_of;
use crate::error::Error;
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

/// Makes the joins with tables do what the options say of rows that find nothing.
pub(super) fn with_missing(
    plan: LogicalPlan,
    rules: &BTreeMap<String, OnMissing>,
) -> DataFusionResult<LogicalPlan> {
    if rules.is_empty() {
        return Ok(plan);
    }
    let rewritten = plan.transform_up(|node| match node {
        LogicalPlan::Join(join) => match rule_of(&join, rules) {
            Some(rule) => apply(join, rule).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn rule_of<'r>(join: &Join, rules: &'r BTreeMap<String, OnMissing>) -> Option<&'r OnMissing> {
    let looked_up = matches!(join.join_type, JoinType::Inner | JoinType::Left);
    if !looked_up || reads_only_tables(&join.left) {
        return None;
    }
    rules.get(&table_below(&join.right)?)
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

fn apply(join: Join, rule: &OnMissing) -> DataFusionResult<LogicalPlan> {
    let kind = match rule {
        OnMissing::Skip => JoinType::Inner,
        OnMissing::Null | OnMissing::Defaults(_) => JoinType::Left,
        OnMissing::Fail | OnMissing::Retry { then: None, .. } => return Ok(LogicalPlan::Join(join)),
        OnMissing::Retry { then: Some(then), .. } => return apply(join, then),
    };
    let table = table_below(&join.right).unwrap_or_default();
    let right = Arc::clone(&join.right);
    let joined = Join::try_new(
        join.left,
        join.right,
        join.on,
        join.filter,
        kind,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    let OnMissing::Defaults(values) = rule else { return Ok(LogicalPlan::Join(joined)) };
    // A mark that no row of the table lacks says whether there was one.
    let mut columns: Vec<Expr> = right.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(lit(true).alias(FOUND));
    let marked = Arc::new(LogicalPlan::Projection(Projection::try_new(columns, right)?));
    let joined = Join { right: marked, ..joined };
    let joined = Join::try_new(
        joined.left,
        joined.right,
        joined.on,
        joined.filter,
        kind,
        joined.join_constraint,
        joined.null_equality,
        joined.null_aware,
    )?;
    with_defaults(joined, &table, values)
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
