//! What of a query becomes a join or a subquery of the plan, under the name that the user knows it by.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Select, SetExpr, SetOperator, Spanned, Visit, Visitor};
use sqlparser::tokenizer::Span;

/// Returns the first construct of a query that is planned as a join, with its place.
pub(super) fn join_in(query: &Query) -> Option<(&'static str, Span)> {
    match query.visit(&mut Joins { subqueries_only: false }) {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}

/// Returns the first subquery that stands for a value or decides over rows, with its place.
pub(super) fn subquery_in(query: &Query) -> Option<(&'static str, Span)> {
    match query.visit(&mut Joins { subqueries_only: true }) {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}

struct Joins {
    subqueries_only: bool,
}

impl Visitor for Joins {
    type Break = (&'static str, Span);

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        if self.subqueries_only {
            return ControlFlow::Continue(());
        }
        match set_operation(&query.body) {
            Some(found) => ControlFlow::Break(found),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if self.subqueries_only {
            return ControlFlow::Continue(());
        }
        let joined = select.from.iter().find_map(|item| item.joins.first()).map(|join| join.relation.span());
        let listed = select.from.get(1).map(|item| item.relation.span());
        match joined.or(listed) {
            Some(place) => ControlFlow::Break(("`JOIN`", place)),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        let (what, place) = match expr {
            Expr::InSubquery { subquery, .. } => ("`IN (SELECT …)`", subquery.span()),
            Expr::Exists { subquery, .. } => ("`EXISTS (SELECT …)`", subquery.span()),
            Expr::Subquery(subquery) => ("`(SELECT …)` as a value", subquery.span()),
            Expr::AnyOp { right, .. } if matches!(**right, Expr::Subquery(_)) => {
                ("`ANY (SELECT …)`", right.span())
            }
            Expr::AllOp { right, .. } if matches!(**right, Expr::Subquery(_)) => {
                ("`ALL (SELECT …)`", right.span())
            }
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break((what, place))
    }
}

fn set_operation(body: &SetExpr) -> Option<(&'static str, Span)> {
    let SetExpr::SetOperation { op, left, right, .. } = body else { return None };
    let what = match op {
        SetOperator::Intersect => "`INTERSECT`",
        SetOperator::Except | SetOperator::Minus => "`EXCEPT`",
        SetOperator::Union => return set_operation(left).or_else(|| set_operation(right)),
    };
    Some((what, right.span()))
}
