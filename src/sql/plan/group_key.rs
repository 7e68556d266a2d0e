//! The columns of a result that tell its rows apart: those that its aggregate groups by.

use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::attach::KEPT;
use super::row_numbers::is_row_aggregate;
use super::window_trace::trace_window;

/// Returns the ordinals of the result's columns that are the groups of its aggregate, if all groups are there; of the
/// bounds of a window one is enough.
pub fn group_key(plan: &LogicalPlan) -> Option<Vec<usize>> {
    // For each column of the node at hand the first column of the result that shows it.
    let mut shown: Vec<Option<usize>> = (0..plan.schema().fields().len()).map(Some).collect();
    let mut node = plan;
    loop {
        node = match node {
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Sort(sort) => &sort.input,
            LogicalPlan::Limit(limit) => &limit.input,
            LogicalPlan::Projection(projection) => {
                let input = projection.input.schema();
                let mut below = vec![None; input.fields().len()];
                for (expr, output) in projection.expr.iter().zip(&shown) {
                    if let Expr::Column(column) = expr.clone().unalias_nested().data
                        && let Some(place) = input.maybe_index_of_column(&column)
                        && below[place].is_none()
                    {
                        below[place] = *output;
                    }
                }
                shown = below;
                &projection.input
            }
            LogicalPlan::Aggregate(aggregate) if is_row_aggregate(aggregate) => return None,
            LogicalPlan::Aggregate(aggregate) => return of_groups(aggregate, &shown),
            _ => return None,
        };
    }
}

fn of_groups(aggregate: &Aggregate, shown: &[Option<usize>]) -> Option<Vec<usize>> {
    let (mut key, mut windows, mut bounds) = (vec![], 0, vec![]);
    for (place, group) in aggregate.group_expr.iter().enumerate() {
        if matches!(group, Expr::GroupingSet(_)) {
            return None;
        }
        let output = shown.get(place).copied().flatten();
        if trace_window(group, &aggregate.input).is_some() {
            windows += 1;
            bounds.extend(output);
        } else if group.schema_name().to_string() != KEPT {
            key.push(output?);
        }
    }
    if windows > 0 && bounds.is_empty() {
        return None;
    }
    key.extend(bounds);
    (!key.is_empty()).then_some(key)
}
