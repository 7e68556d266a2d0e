//! A window whose rows stay rows: `OVER` inside it and aggregates in `HAVING` are computed over the window.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, NamedWindowExpr, ObjectName, Query, Select, SetExpr, Value, VisitMut, VisitorMut,
    WindowSpec as Over, WindowType,
};

use super::window_refs::{WINDOW_END, WINDOW_START, is_aggregate};
use crate::sql::window_spec::{WindowKind, WindowSpec};

/// Adds the window to each `PARTITION BY` of a query, and makes `HAVING` a condition on its rows.
pub(super) fn apply(query: &mut Query, spec: &WindowSpec) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let window = bounds(spec);
    let having = select.having.take().map(|mut having| {
        let mut visitor = OverWindow { window: &window, aggregates: true };
        let _never_breaks = having.visit(&mut visitor);
        having
    });
    partition_by_window(select, &window);
    select.qualify = match (select.qualify.take(), having) {
        (Some(left), Some(right)) => Some(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(left))),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(right))),
        }),
        (condition, None) | (None, condition) => condition,
    };
}

fn partition_by_window(select: &mut Select, window: &[Expr]) {
    for named in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(over) = &mut named.1 {
            over.partition_by.extend_from_slice(window);
        }
    }
    let mut visitor = OverWindow { window, aggregates: false };
    let _never_breaks = select.projection.visit(&mut visitor);
    let _never_breaks = select.qualify.visit(&mut visitor);
}

/// Returns the bounds that tell windows apart: the start, and the end too of those that begin together.
fn bounds(spec: &WindowSpec) -> Vec<Expr> {
    let names = match spec.kind {
        WindowKind::Cumulate { .. } => [WINDOW_START, WINDOW_END].as_slice(),
        _ => &[WINDOW_START],
    };
    names.iter().map(|name| bound(name, spec)).collect()
}

/// Returns the call that stands for a bound of the window.
fn bound(name: &str, spec: &WindowSpec) -> Expr {
    let text = Value::SingleQuotedString(spec.to_text()).with_empty_span();
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(text)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Adds the window to `OVER`, and where `aggregates` says so makes aggregates functions over the window.
struct OverWindow<'a> {
    window: &'a [Expr],
    aggregates: bool,
}

impl VisitorMut for OverWindow<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expression else { return ControlFlow::Continue(()) };
        match &mut function.over {
            Some(WindowType::WindowSpec(over)) if over.window_name.is_none() => {
                over.partition_by.extend_from_slice(self.window);
            }
            Some(_) => {}
            None if self.aggregates && is_aggregate(&function.name.to_string()) => {
                function.over = Some(WindowType::WindowSpec(Over {
                    window_name: None,
                    partition_by: self.window.to_vec(),
                    order_by: vec![],
                    window_frame: None,
                }));
            }
            None => {}
        }
        ControlFlow::Continue(())
    }
}
