//! A scalar subquery that asks a table by its whole key has one row at most: it becomes a join that looks the row up.
//!
//! DataFusion wants an aggregate in every correlated scalar subquery, because it cannot know that there is one row.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, Join, LogicalPlan, Operator, Projection, Subquery, SubqueryAlias,
};

use super::window_trace::{below, relation_of};

/// Turns the scalar subqueries that ask for one row of a table into joins.
pub(super) fn join_keyed_subqueries(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let mut made = 0;
    let rewritten = plan.transform_up(|node| match node {
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let Some((expr, input)) = rewrite(expr.clone(), Arc::clone(&input), &mut made)? else {
                return Ok(Transformed::no(LogicalPlan::Projection(Projection::try_new(expr, input)?)));
            };
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(expr, input)?)))
        }
        LogicalPlan::Filter(filter) => {
            let predicate = vec![filter.predicate.clone()];
            let Some((mut predicate, input)) = rewrite(predicate, Arc::clone(&filter.input), &mut made)?
            else {
                return Ok(Transformed::no(LogicalPlan::Filter(filter)));
            };
            let predicate = predicate.pop().unwrap_or(filter.predicate);
            let filtered = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
            let columns = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(filtered))?)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// Joins what the subqueries in `expressions` ask for to `input`; none where there is no such subquery.
fn rewrite(
    expressions: Vec<Expr>,
    input: Arc<LogicalPlan>,
    made: &mut usize,
) -> DataFusionResult<Option<(Vec<Expr>, Arc<LogicalPlan>)>> {
    let mut input = input;
    let mut any = false;
    let mut rewritten = vec![];
    for expression in expressions {
        let name = expression.schema_name().to_string();
        let replaced = expression.transform_up(|part| {
            let Expr::ScalarSubquery(subquery) = &part else { return Ok(Transformed::no(part)) };
            let Some(asked) = Asked::of(subquery)? else { return Ok(Transformed::no(part)) };
            *made += 1;
            let alias = format!("__row{made}");
            input = Arc::new(asked.join(Arc::clone(&input), &alias)?);
            Ok(Transformed::yes(Expr::Column(Column::new(Some(alias), VALUE))))
        })?;
        any |= replaced.transformed;
        rewritten.push(if replaced.transformed {
            replaced.data.alias_if_changed(name)?
        } else {
            replaced.data
        });
    }
    Ok(any.then_some((rewritten, input)))
}

const VALUE: &str = "__value";

/// What a subquery asks a table for.
struct Asked {
    value: Expr,
    conditions: Vec<Expr>,
    table: Arc<LogicalPlan>,
}

impl Asked {
    fn of(subquery: &Subquery) -> DataFusionResult<Option<Self>> {
        let LogicalPlan::Projection(projection) = subquery.subquery.as_ref() else { return Ok(None) };
        let ([value], LogicalPlan::Filter(filter)) = (projection.expr.as_slice(), projection.input.as_ref())
        else {
            return Ok(None);
        };
        if subquery.outer_ref_columns.is_empty() || has_outer(value)? {
            return Ok(None);
        }
        let conditions: Vec<Expr> = split_conjunction(&filter.predicate).into_iter().cloned().collect();
        let Some(key) = key_of(&filter.input) else { return Ok(None) };
        let mut asked = BTreeSet::new();
        for condition in &conditions {
            let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { continue };
            for (column, other) in [(left, right), (right, left)] {
                let from_table = |column: &Column| filter.input.schema().has_column(column);
                if let Expr::Column(column) = column.as_ref()
                    && !other.column_refs().into_iter().any(from_table)
                {
                    asked.extend(table_column(column, &filter.input));
                }
            }
        }
        if !key.iter().all(|column| asked.contains(column)) {
            return Ok(None);
        }
        let table = Arc::clone(&filter.input);
        Ok(Some(Self { value: value.clone().unalias(), conditions, table }))
    }

    /// Joins the row that is asked for to each row of `input`.
    fn join(self, input: Arc<LogicalPlan>, alias: &str) -> DataFusionResult<LogicalPlan> {
        let mut columns: Vec<Expr> = vec![self.value.alias(VALUE)];
        let used = self.conditions.iter().flat_map(Expr::column_refs).collect::<BTreeSet<_>>();
        let used: Vec<&Column> =
            used.into_iter().filter(|column| self.table.schema().has_column(column)).collect();
        let name_of =
            |column: &Column| used.iter().position(|used| *used == column).map(|at| format!("__key{at}"));
        for column in &used {
            let name = name_of(column).unwrap_or_default();
            columns.push(Expr::Column((*column).clone()).alias(name));
        }
        let conditions = self.conditions.iter().map(|condition| {
            let rewritten = condition.clone().transform_up(|part| match part {
                Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
                Expr::Column(column) => match name_of(&column) {
                    Some(name) => Ok(Transformed::yes(Expr::Column(Column::new(Some(alias), name)))),
                    None => Ok(Transformed::no(Expr::Column(column))),
                },
                other => Ok(Transformed::no(other)),
            })?;
            Ok(rewritten.data)
        });
        let conditions = conditions.collect::<DataFusionResult<Vec<Expr>>>()?;
        let row = LogicalPlan::Projection(Projection::try_new(columns, Arc::clone(&self.table))?);
        let row = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(row), alias)?);
        Ok(LogicalPlan::Join(Join::try_new(
            input,
            Arc::new(row),
            vec![],
            datafusion::logical_expr::utils::conjunction(conditions),
            JoinType::Left,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?))
    }
}

fn has_outer(expression: &Expr) -> DataFusionResult<bool> {
    let mut found = false;
    expression.apply(|part| {
        found |= matches!(part, Expr::OuterReferenceColumn(..));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Returns the names of the key of the one table that `plan` reads, if it is one.
fn key_of(plan: &LogicalPlan) -> Option<Vec<String>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let relation = relation_of(scan)?;
            let key: Vec<String> = relation.table.as_ref()?.key_names().map(str::to_owned).collect();
            (!key.is_empty()).then_some(key)
        }
        LogicalPlan::SubqueryAlias(alias) => key_of(&alias.input),
        _ => None,
    }
}

fn table_column(column: &Column, plan: &LogicalPlan) -> Option<String> {
    if matches!(plan, LogicalPlan::TableScan(_)) {
        return plan.schema().has_column(column).then(|| column.name.clone());
    }
    match below(column, plan)? {
        (Expr::Column(origin), input) => table_column(&origin, input),
        _ => None,
    }
}
