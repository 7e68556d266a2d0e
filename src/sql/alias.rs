//! Reuse of select aliases: later items, `HAVING`, `QUALIFY` and `ORDER BY` may name earlier results.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, Visit, VisitMut, Visitor,
    VisitorMut,
};

use super::parse::is_aggregate;
use crate::error::{Error, Result};

/// The deepest an expression may be after aliases are put in.
const DEPTH_MAX: usize = 500;
/// The most parts that a query may have after all aliases are put in.
const TOTAL_PARTS_MAX: usize = 20_000;

/// What an alias stands for.
struct Meaning {
    expr: Expr,
    parts: usize,
    aggregates: bool,
}

/// The aliases of one block, by name.
type Aliases = HashMap<String, Meaning>;

/// Puts select aliases' expressions where later clauses name them, in every block of `query`.
///
/// An alias wins over an input column of the same name in later items, `HAVING`, `QUALIFY` and `ORDER BY` expressions; `WHERE`
/// and `GROUP BY` are left alone. Qualified names and subqueries are never touched, nor is an aggregate put into an aggregate.
///
/// # Errors
/// `Invalid` if the query would grow beyond a limit.
pub(crate) fn reuse(query: &mut Query) -> Result<()> {
    let mut reuse = Reuse { budget: TOTAL_PARTS_MAX };
    match query.visit(&mut reuse) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Finds the blocks, innermost first.
struct Reuse {
    budget: usize,
}

impl VisitorMut for Reuse {
    type Break = Error;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let mut aliases = None;
        let body = &mut *query.body;
        if let Err(error) = self.body(body, &mut aliases) {
            return ControlFlow::Break(error);
        }
        if let (Some(aliases), Some(order_by)) = (aliases, &mut query.order_by)
            && let OrderByKind::Expressions(items) = &mut order_by.kind
        {
            for item in items.iter_mut().filter(|item| !matches!(item.expr, Expr::Identifier(_))) {
                if let Err(error) = self.put(&mut item.expr, &aliases) {
                    return ControlFlow::Break(error);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Reuse {
    /// Works through the blocks of a query body; the aliases of a lone block are for its `ORDER BY`.
    fn body(&mut self, body: &mut SetExpr, lone: &mut Option<Aliases>) -> Result<()> {
        match body {
            SetExpr::Select(select) => {
                let aliases = self.select(select)?;
                *lone = select.distinct.is_none().then_some(aliases);
                Ok(())
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, lone)?;
                self.body(right, lone)?;
                *lone = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn select(&mut self, select: &mut Select) -> Result<Aliases> {
        let mut aliases = Aliases::new();
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.put(expr, &aliases)?;
                    let measure = measure(expr);
                    // A column under its own name means the same either way.
                    if !matches!(expr, Expr::Identifier(own) if name(own) == name(alias)) {
                        let meaning = Meaning {
                            expr: expr.clone(),
                            parts: measure.parts,
                            aggregates: measure.aggregates,
                        };
                        aliases.insert(name(alias), meaning);
                    }
                }
                SelectItem::UnnamedExpr(expr) if mentions(expr, &aliases) => {
                    let shown = match &*expr {
                        Expr::Identifier(own) => own.clone(),
                        other => Ident::with_quote('"', other.to_string()),
                    };
                    self.put(expr, &aliases)?;
                    let expr = std::mem::replace(expr, Expr::value(sqlparser::ast::Value::Null));
                    *item = SelectItem::ExprWithAlias { expr, alias: shown };
                }
                _ => {}
            }
        }
        for expr in [&mut select.having, &mut select.qualify].into_iter().flatten() {
            self.put(expr, &aliases)?;
        }
        Ok(aliases)
    }

    /// Replaces aliases in `expr`.
    fn put(&mut self, expr: &mut Expr, aliases: &Aliases) -> Result<()> {
        if aliases.is_empty() {
            return Ok(());
        }
        let mut put = Put { aliases, budget: &mut self.budget, queries: 0, aggregates: 0, replaced: false };
        match VisitMut::visit(expr, &mut put) {
            ControlFlow::Break(()) => Err(too_large()),
            ControlFlow::Continue(()) if put.replaced && measure(expr).deepest > DEPTH_MAX => {
                Err(too_large())
            }
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}

fn too_large() -> Error {
    Error::invalid("the query grows too large when its aliases are put in")
        .with_hint("compute the alias in a subquery and refer to it from outside")
}

/// Returns a name as it is compared: lower case unless quoted.
fn name(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Returns whether `expr` is an aggregate call that is not a window function.
fn is_aggregate_call(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(Function { name, over: None, .. }) if is_aggregate(&name.to_string()))
}

/// Puts aliases' expressions in.
struct Put<'a> {
    aliases: &'a Aliases,
    budget: &'a mut usize,
    queries: usize,
    aggregates: usize,
    replaced: bool,
}

impl VisitorMut for Put<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.aggregates += usize::from(is_aggregate_call(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.aggregates -= usize::from(is_aggregate_call(expr));
        let Expr::Identifier(ident) = expr else { return ControlFlow::Continue(()) };
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        let Some(meaning) = self.aliases.get(&name(ident)) else { return ControlFlow::Continue(()) };
        if meaning.aggregates && self.aggregates > 0 {
            return ControlFlow::Continue(());
        }
        match self.budget.checked_sub(meaning.parts) {
            Some(left) => *self.budget = left,
            None => return ControlFlow::Break(()),
        }
        self.replaced = true;
        *expr = match &meaning.expr {
            plain
            @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Nested(_)) => {
                plain.clone()
            }
            other => Expr::Nested(Box::new(other.clone())),
        };
        ControlFlow::Continue(())
    }
}

/// Size of an expression.
#[derive(Default)]
struct Measure {
    parts: usize,
    depth: usize,
    deepest: usize,
    aggregates: bool,
}

impl Visitor for Measure {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.parts += 1;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        self.aggregates |= is_aggregate_call(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

fn measure(expr: &Expr) -> Measure {
    let mut measure = Measure::default();
    // Measuring never breaks off.
    match Visit::visit(expr, &mut measure) {
        ControlFlow::Continue(()) | ControlFlow::Break(()) => measure,
    }
}

/// Looks for a name that is an alias.
struct Mentions<'a>(&'a Aliases, usize);

impl Visitor for Mentions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.1 += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.1 -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) if self.1 == 0 && self.0.contains_key(&name(ident)) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn mentions(expr: &Expr, aliases: &Aliases) -> bool {
    !aliases.is_empty() && Visit::visit(expr, &mut Mentions(aliases, 0)).is_break()
}
