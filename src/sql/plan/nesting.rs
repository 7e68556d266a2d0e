//! Limits on what the planner cannot take in large numbers: its work doubles with each level, or grows with the square.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{Expr, Query, Select, Spanned, Visit, Visitor};
use sqlparser::tokenizer::Span;

use crate::error::{Error, Result};
use crate::sql::functions::byte_range;

/// The most calls within each other of functions that the planner writes out as `CASE`, their arguments twice.
const CHOICES_MAX: usize = 10;
/// The most subqueries that stand for values within each other.
const SUBQUERIES_MAX: usize = 8;
/// The most items of a select list.
const ITEMS_MAX: usize = 4_000;

/// Functions that the planner writes out as `CASE`.
const CHOICES: [&str; 6] = ["coalesce", "nvl", "ifnull", "nvl2", "nullif", "if"];

/// Refuses a query that would take the planner for ever.
///
/// # Errors
/// `Invalid` at the first call, subquery or select list beyond a limit.
pub(super) fn check_nesting(query: &Query, text: &str) -> Result<()> {
    match query.visit(&mut Nesting::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break((error, span)) => {
            let place = datafusion::common::Span::try_from_sqlparser_span(span);
            let place: Option<Range<usize>> = place.and_then(|place| byte_range(text, place));
            Err(match place {
                Some(place) => error.with_span(place),
                None => error,
            })
        }
    }
}

#[derive(Default)]
struct Nesting {
    choices: usize,
    subqueries: usize,
}

fn is_choice(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(call) if CHOICES.contains(&call.name.to_string().to_lowercase().as_str()))
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

impl Visitor for Nesting {
    type Break = (Error, Span);

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        match select.projection.get(ITEMS_MAX) {
            Some(item) => ControlFlow::Break((
                Error::invalid(format!("more than {ITEMS_MAX} items in a select list"))
                    .with_hint("put values that belong together into an array or a struct"),
                item.span(),
            )),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        self.choices += usize::from(is_choice(expr));
        self.subqueries += usize::from(is_subquery(expr));
        if let Expr::Function(call) = expr
            && is_choice(expr)
            && self.choices > CHOICES_MAX
        {
            let error = Error::invalid(format!("`{}` more than {CHOICES_MAX} deep", call.name))
                .with_hint("give it all values at once: coalesce(a, b, c), or use CASE");
            return ControlFlow::Break((error, call.name.span()));
        }
        if is_subquery(expr) && self.subqueries > SUBQUERIES_MAX {
            let error = Error::invalid(format!("subqueries more than {SUBQUERIES_MAX} deep in expressions"))
                .with_hint("name the inner ones with WITH, or put them into FROM");
            return ControlFlow::Break((error, expr.span()));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        self.choices -= usize::from(is_choice(expr));
        self.subqueries -= usize::from(is_subquery(expr));
        ControlFlow::Continue(())
    }
}
