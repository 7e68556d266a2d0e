//! What subqueries ask the rows around them for, and what is put in its place.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

/// A column of the rows around a query.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) column: Column,
    /// Whether a query within the query asks for it.
    pub(super) deep: bool,
}

/// Returns the columns of the rows around `plan` that it asks for, however deep.
pub(super) fn references(plan: &LogicalPlan) -> DataFusionResult<Vec<Reference>> {
    let mut found = vec![];
    find_in_plan(plan, &[], 0, &mut found)?;
    Ok(found)
}

/// Returns what `expression` over rows of `schema` asks for that is not theirs.
pub(super) fn references_beyond(expression: &Expr, schema: &DFSchemaRef) -> DataFusionResult<Vec<Reference>> {
    let mut found = vec![];
    find_in_expression(expression, &[], std::slice::from_ref(schema), 0, &mut found)?;
    Ok(found)
}

/// Returns the columns of `schema` that `expression` reads, by itself or in a query within it.
pub(super) fn columns_read(expression: &Expr, schema: &DFSchema) -> DataFusionResult<Vec<Column>> {
    let mut found = vec![];
    find_in_expression(expression, &[], &[], 0, &mut found)?;
    let own = expression.column_refs().into_iter().cloned();
    let columns = found.into_iter().filter(|reference| reference.deep).map(|reference| reference.column);
    Ok(own.chain(columns).filter(|column| schema.has_column(column)).collect())
}

fn is_known(column: &Column, scopes: &[DFSchemaRef]) -> bool {
    scopes.iter().any(|schema| schema.has_column(column))
}

fn scopes_within(node: &LogicalPlan, scopes: &[DFSchemaRef]) -> Vec<DFSchemaRef> {
    let own = node.inputs().into_iter().map(|input| Arc::clone(input.schema()));
    scopes.iter().cloned().chain(own).collect()
}

fn find_in_plan(
    plan: &LogicalPlan,
    scopes: &[DFSchemaRef],
    depth: usize,
    found: &mut Vec<Reference>,
) -> DataFusionResult<()> {
    plan.apply(|node| {
        let within = scopes_within(node, scopes);
        node.apply_expressions(|expression| {
            find_in_expression(expression, scopes, &within, depth, found)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// Finds what an expression asks for that is in none of `scopes`, and a query in it in none of `within`.
fn find_in_expression(
    expression: &Expr,
    scopes: &[DFSchemaRef],
    within: &[DFSchemaRef],
    depth: usize,
    found: &mut Vec<Reference>,
) -> DataFusionResult<()> {
    expression.apply(|part| {
        if let Expr::OuterReferenceColumn(_, column) = part
            && !is_known(column, scopes)
        {
            found.push(Reference { column: column.clone(), deep: depth > 0 });
        }
        if let Some(query) = query_of(part) {
            find_in_plan(&query.subquery, within, depth + 1, found)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Returns the query that `expression` is about.
pub(super) fn query_of(expression: &Expr) -> Option<&Subquery> {
    match expression {
        Expr::ScalarSubquery(query) => Some(query),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(within) => Some(&within.subquery),
        Expr::SetComparison(comparison) => Some(&comparison.subquery),
        _ => None,
    }
}

/// Returns whether a query stands in `expression`.
pub(super) fn has_query(expression: &Expr) -> bool {
    expression.exists(|part| Ok(query_of(part).is_some())).unwrap_or(false)
}

/// What takes the place of columns: none where they stay.
pub(super) type Renaming<'a> = dyn Fn(&Column) -> Option<Expr> + 'a;

/// Puts `renaming` in the place of the columns of an expression over rows of `schema`, which becomes one over rows of `into`;
/// queries in it ask for the same.
pub(super) fn renamed(
    expression: Expr,
    schema: &DFSchemaRef,
    into: &DFSchema,
    renaming: &Renaming<'_>,
) -> DataFusionResult<Expr> {
    let outside = |column: &Column| {
        let renamed = renaming(column).filter(|_| schema.has_column(column))?;
        as_reference(renamed, into).ok()
    };
    let renamed = expression.transform_up(|part| match part {
        Expr::Column(column) => match renaming(&column) {
            Some(renamed) => Ok(Transformed::yes(renamed)),
            None => Ok(Transformed::no(Expr::Column(column))),
        },
        other => in_query(other, &[], &outside),
    })?;
    Ok(renamed.data)
}

/// Makes the columns that an expression asks the rows around for columns of its own rows.
pub(super) fn as_own(expression: Expr) -> DataFusionResult<Expr> {
    let own = expression.transform_up(|part| match part {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(own.data)
}

/// Writes an expression over rows of `schema` as a query within their query refers to it.
fn as_reference(expression: Expr, schema: &DFSchema) -> DataFusionResult<Expr> {
    let outer = expression.transform_up(|part| match part {
        Expr::Column(column) => {
            let field = Arc::clone(schema.qualified_field_from_column(&column)?.1);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(outer.data)
}

/// Puts `renaming` in the place of what the query in `expression`, if it is about one, asks for beyond `scopes`.
fn in_query(
    expression: Expr,
    scopes: &[DFSchemaRef],
    renaming: &Renaming<'_>,
) -> DataFusionResult<Transformed<Expr>> {
    let within = |query: Subquery| -> DataFusionResult<Subquery> {
        let plan = in_plan(Arc::unwrap_or_clone(query.subquery), scopes, renaming)?;
        let mut outer_ref_columns = plan.all_out_ref_exprs();
        outer_ref_columns.retain(|column| matches!(column, Expr::OuterReferenceColumn(..)));
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: query.spans })
    };
    Ok(Transformed::yes(match expression {
        Expr::ScalarSubquery(query) => Expr::ScalarSubquery(within(query)?),
        Expr::Exists(exists) => Expr::Exists(Exists { subquery: within(exists.subquery)?, ..exists }),
        Expr::InSubquery(inside) => {
            Expr::InSubquery(InSubquery { subquery: within(inside.subquery)?, ..inside })
        }
        Expr::SetComparison(comparison) => {
            let subquery = within(comparison.subquery)?;
            Expr::SetComparison(SetComparison { subquery, ..comparison })
        }
        other => return Ok(Transformed::no(other)),
    }))
}

fn in_plan(
    plan: LogicalPlan,
    scopes: &[DFSchemaRef],
    renaming: &Renaming<'_>,
) -> DataFusionResult<LogicalPlan> {
    let renamed = plan.transform_up(|node| {
        let within = scopes_within(&node, scopes);
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expression| {
            let name = names.save(&expression);
            let renamed = expression.transform_up(|part| match part {
                Expr::OuterReferenceColumn(field, column) => {
                    match renaming(&column).filter(|_| !is_known(&column, scopes)) {
                        Some(renamed) => Ok(Transformed::yes(renamed)),
                        None => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
                    }
                }
                other => in_query(other, &within, renaming),
            })?;
            Ok(renamed.update_data(|expression| name.restore(expression)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(renamed.data)
}
