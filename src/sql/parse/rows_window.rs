//! A window whose rows stay rows: `OVER` inside it and aggregates in `HAVING` are computed over the window.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, NamedWindowDefinition, NamedWindowExpr, ObjectName, Query, Select, Value, ValueWithSpan, Visit,
    VisitMut, Visitor, VisitorMut, WindowSpec as Over, WindowType,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::window_refs::{WINDOW_END, WINDOW_START, is_aggregate};
use crate::error::{Error, Result};
use crate::sql::window_spec::{WindowKind, WindowSpec};

/// What the named windows are called that mark blocks, before the ordinals of their windows.
pub(super) const ROWS_WINDOW: &str = "__rows_window_";

/// Adds the `windows` to each `PARTITION BY` of the blocks that are marked with them, and makes `HAVING` a condition on
/// their rows.
///
/// Sessions are those of the key that they name, or else of the key by which the functions are partitioned.
///
/// # Errors
/// Invalid: the functions do not say whose the sessions are, or a window changes nothing.
pub(super) fn apply(query: &mut Query, windows: &[(WindowSpec, Range<usize>)]) -> Result<()> {
    if windows.is_empty() {
        return Ok(());
    }
    let mut visitor = Blocks { windows, renamed: None, unused: None };
    match query.visit(&mut visitor) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Finds the blocks that are marked.
struct Blocks<'a> {
    windows: &'a [(WindowSpec, Range<usize>)],
    /// What the order of the query around the block must rename too.
    renamed: Option<Renamed>,
    /// The window of the block that has not been used in it.
    unused: Option<Range<usize>>,
}

impl VisitorMut for Blocks<'_> {
    type Break = Error;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let ordinal = |window: &NamedWindowDefinition| {
            window.0.value.strip_prefix(ROWS_WINDOW).and_then(|ordinal| ordinal.parse::<usize>().ok())
        };
        let Some(at) = select.named_window.iter().position(|window| ordinal(window).is_some()) else {
            return ControlFlow::Continue(());
        };
        let mark = ordinal(&select.named_window.remove(at));
        let Some((spec, place)) = mark.and_then(|ordinal| self.windows.get(ordinal)) else {
            return ControlFlow::Break(Error::internal("a window that no block has"));
        };
        match apply_to(select, spec) {
            Ok(renamed) => self.renamed = renamed,
            Err(error) => return ControlFlow::Break(error.with_span(place.clone())),
        }
        self.unused = (!select.to_string().contains("__window_")).then(|| place.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(mut renamed) = self.renamed.take() {
            let _never_breaks = VisitMut::visit(&mut query.order_by, &mut renamed);
        }
        match self.unused.take() {
            Some(place) if !query.to_string().contains("__window_") => ControlFlow::Break(
                Error::invalid("a `WINDOW` over rows that are not aggregated has no effect")
                    .with_hint(
                        "aggregate the rows of each window, use `OVER` or `HAVING`, or leave `WINDOW` out",
                    )
                    .with_span(place),
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Applies a window to its block; returns what refers to it by another text now.
fn apply_to(select: &mut Select, spec: &WindowSpec) -> Result<Option<Renamed>> {
    let mut spec = spec.clone();
    let (mut window, mut renamed) = (vec![], None);
    if matches!(spec.kind, WindowKind::Session { .. }) {
        let from = spec.to_text();
        window = session_key(select, &mut spec)?;
        let mut rename = Renamed { from, to: spec.to_text() };
        let _never_breaks = VisitMut::visit(select, &mut rename);
        renamed = Some(rename);
    }
    window.extend(bounds(&spec));
    let having = select.having.take().map(|mut having| {
        let mut visitor = OverWindow { window: &window, aggregates: true };
        let _never_breaks = VisitMut::visit(&mut having, &mut visitor);
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
    Ok(renamed)
}

/// Returns the key of the sessions; where they name none it is that of the functions, and they name it then.
fn session_key(select: &Select, spec: &mut WindowSpec) -> Result<Vec<Expr>> {
    if !spec.partition_by.is_empty() {
        return spec.partition_by.iter().map(|name| column_of(name)).collect();
    }
    let mut found = PartitionKeys::default();
    let _never_breaks = Visit::visit(&select.projection, &mut found);
    let _never_breaks = Visit::visit(&select.qualify, &mut found);
    for NamedWindowDefinition(_, window) in &select.named_window {
        if let NamedWindowExpr::WindowSpec(over) = window {
            found.0.push(over.partition_by.clone());
        }
    }
    let mut keys = found.0.into_iter();
    let key = keys.next().unwrap_or_default();
    let columns: Option<Vec<String>> = key.iter().map(column).collect();
    let Some(columns) = columns.filter(|_| keys.all(|other| other == key)) else {
        return Err(Error::invalid("`OVER` inside a SESSION window does not say whose the sessions are")
            .with_hint("name the key's columns behind the gap: `WINDOW SESSION(30s, k)`"));
    };
    spec.partition_by = columns;
    Ok(key)
}

/// Reads a column as a window names it.
fn column_of(name: &str) -> Result<Expr> {
    let parsed =
        Parser::new(&GenericDialect {}).try_with_sql(name).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|_| Error::internal(format!("`{name}` is no column")))
}

/// Returns the column that `expression` is, as a window names it.
fn column(expression: &Expr) -> Option<String> {
    let text = |name: &Ident| match name.quote_style {
        None => name.value.to_lowercase(),
        Some(_) => format!("\"{}\"", name.value.replace('"', "\"\"")),
    };
    match expression {
        Expr::Identifier(name) => Some(text(name)),
        Expr::CompoundIdentifier(names) => Some(names.iter().map(text).collect::<Vec<_>>().join(".")),
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

fn partition_by_window(select: &mut Select, window: &[Expr]) {
    for named in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(over) = &mut named.1 {
            add_keys(&mut over.partition_by, window);
        }
    }
    let mut visitor = OverWindow { window, aggregates: false };
    let _never_breaks = VisitMut::visit(&mut select.projection, &mut visitor);
    let _never_breaks = VisitMut::visit(&mut select.qualify, &mut visitor);
}

fn add_keys(keys: &mut Vec<Expr>, window: &[Expr]) {
    for key in window {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
}

/// Returns the bounds that tell windows apart: the start, and the end too of those that begin together.
fn bounds(spec: &WindowSpec) -> Vec<Expr> {
    let names = match spec.kind {
        WindowKind::Cumulate { .. } | WindowKind::Session { .. } => [WINDOW_START, WINDOW_END].as_slice(),
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
                add_keys(&mut over.partition_by, self.window);
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

/// The keys of the functions that are over rows.
#[derive(Default)]
struct PartitionKeys(Vec<Vec<Expr>>);

impl Visitor for PartitionKeys {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression
            && let Some(WindowType::WindowSpec(over)) = &function.over
            && over.window_name.is_none()
        {
            self.0.push(over.partition_by.clone());
        }
        ControlFlow::Continue(())
    }
}

/// Gives the references to a window its other text.
struct Renamed {
    from: String,
    to: String,
}

impl VisitorMut for Renamed {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::SingleQuotedString(text) = &mut value.value
            && *text == self.from
        {
            text.clone_from(&self.to);
        }
        ControlFlow::Continue(())
    }
}
