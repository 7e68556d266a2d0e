//! Queries that stand in expressions, under the name that the user knows them by.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Spanned, Visit, Visitor};
use sqlparser::tokenizer::Span;

/// Returns the first subquery that stands for a value or decides over rows, with its place.
pub(super) fn subquery_in(query: &Query) -> Option<(&'static str, Span)> {
    match query.visit(&mut Subqueries) {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}

struct Subqueries;

impl Visitor for Subqueries {
    type Break = (&'static str, Span);

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
