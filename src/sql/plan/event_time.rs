//! Time columns that a window names or `OVER` is ordered by: they are the event time of their stream, or become it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use sqlparser::ast::{
    Expr, FunctionArguments, NamedWindowDefinition, NamedWindowExpr, OrderByExpr, Query, SetExpr, Visit,
    Visitor, WindowType, visit_expressions,
};

use crate::error::{Error, Result};
use crate::sql::plan::rewrite::unbroken;
use crate::sql::relation::{EventTime, Relation};
use crate::sql::window_spec::WindowSpec;
use crate::sql::{WINDOW_END, WINDOW_START};
use crate::time::{EventTimeFormat, EventTimeReader};

/// How far ahead of the clock an adopted event time may be, in milliseconds.
const MAX_AHEAD_MS: i64 = 3_600_000;

/// Makes the columns that windows name, or `OVER` is ordered by, the event time of streams that declare none; returns a notice for each.
///
/// # Errors
/// Invalid, when a window names a column that is not the event time of a stream that declares one.
pub fn adopt_event_times(
    query: &Query,
    relations: &mut BTreeMap<String, Arc<Relation>>,
) -> Result<Vec<String>> {
    let mut notices = vec![];
    for named in time_columns(query)? {
        let column = named.rsplit('.').next().unwrap_or(&named).trim_matches('"').to_owned();
        if ["_event_time", "window_start", "window_end", "_window_start", "_window_end"]
            .contains(&column.as_str())
        {
            continue;
        }
        for relation in relations.values_mut().filter(|relation| !relation.changelog) {
            let field =
                relation.schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(&column));
            let Some(field) = field.cloned() else { continue };
            if relation.windows.iter().any(|known| known.column == *field.name()) {
                continue;
            }
            match &relation.event_time {
                Some(time) if time.column == *field.name() => {}
                Some(time) => {
                    return Err(Error::invalid(format!(
                        "the window is over `{column}`, but the event time of `{}` is `{}`",
                        relation.name, time.column
                    ))
                    .with_hint("leave the column out of the window, or declare the other as event time"));
                }
                None => {
                    EventTimeReader::try_new(0, field.name(), field.data_type(), EventTimeFormat::Detect)?;
                    notices.push(format!("`{}` becomes the event time of `{}`", field.name(), relation.name));
                    *relation = adopted(relation, field.name());
                }
            }
        }
    }
    adopt_orders(query, relations, &mut notices);
    Ok(notices)
}

/// Returns whether a column may become the event time: rows that come and go have what they bring with them, or none.
fn can_adopt(relation: &Relation) -> bool {
    relation.event_time.is_none() && !relation.changelog
}

fn adopted(relation: &Relation, column: &str) -> Arc<Relation> {
    let time =
        EventTime { column: column.to_owned(), format: EventTimeFormat::Detect, max_ahead_ms: MAX_AHEAD_MS };
    Arc::new(Relation { event_time: Some(time), ..relation.clone() })
}

/// Makes the columns that `OVER` is ordered by the event time of streams that declare none, if they look like a time.
fn adopt_orders(query: &Query, relations: &mut BTreeMap<String, Arc<Relation>>, notices: &mut Vec<String>) {
    let mut orders = Orders::default();
    let ended: ControlFlow<Infallible> = query.visit(&mut orders);
    unbroken(ended);
    for column in orders.columns {
        for relation in relations.values_mut().filter(|relation| can_adopt(relation)) {
            let mut fields = relation.schema.fields().iter();
            let field = fields.find(|field| field.name().eq_ignore_ascii_case(&column)).cloned();
            if let Some(field) = field.filter(|field| looks_like_time(field)) {
                notices.push(format!(
                    "`{}` becomes the event time of `{}`, because OVER is ordered by it",
                    field.name(),
                    relation.name
                ));
                *relation = adopted(relation, field.name());
            }
        }
    }
}

/// Returns whether a column is a timestamp, or an integer that is named like one.
fn looks_like_time(field: &Field) -> bool {
    if EventTimeReader::try_new(0, field.name(), field.data_type(), EventTimeFormat::Detect).is_err() {
        return false;
    }
    if matches!(field.data_type(), DataType::Timestamp(..)) {
        return true;
    }
    let name = field.name().to_lowercase();
    let last = name.rsplit('_').next().unwrap_or(&name);
    matches!(field.data_type(), DataType::Int64 | DataType::UInt64)
        && (["ts", "time", "timestamp", "datetime", "at", "millis", "ms"].contains(&last)
            || name.ends_with("time")
            || name.ends_with("timestamp"))
}

/// The columns that `OVER` is ordered by first, ascending.
#[derive(Default)]
struct Orders {
    columns: BTreeSet<String>,
}

impl Orders {
    fn add(&mut self, order: &[OrderByExpr]) {
        let Some(first) = order.first().filter(|first| first.options.asc != Some(false)) else { return };
        match &first.expr {
            Expr::Identifier(name) => drop(self.columns.insert(name.value.clone())),
            Expr::CompoundIdentifier(parts) => {
                self.columns.extend(parts.last().map(|name| name.value.clone()))
            }
            _ => {}
        }
    }

    fn add_named(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => {
                for NamedWindowDefinition(_, window) in &select.named_window {
                    if let NamedWindowExpr::WindowSpec(over) = window {
                        self.add(&over.order_by);
                    }
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.add_named(left);
                self.add_named(right);
            }
            _ => {}
        }
    }
}

impl Visitor for Orders {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        self.add_named(&query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Infallible> {
        if let Expr::Function(function) = expression
            && let Some(WindowType::WindowSpec(over)) = &function.over
        {
            self.add(&over.order_by);
        }
        ControlFlow::Continue(())
    }
}

/// Returns the time columns that the windows of a query name.
fn time_columns(query: &Query) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    let ended = visit_expressions(query, |expression| {
        if let Expr::Function(function) = expression
            && [WINDOW_START, WINDOW_END].contains(&function.name.to_string().as_str())
            && let FunctionArguments::List(list) = &function.args
        {
            texts.extend(list.args.iter().map(ToString::to_string));
        }
        ControlFlow::Continue(())
    });
    unbroken(ended);
    let mut columns = BTreeSet::new();
    for text in texts {
        let spec: WindowSpec = text.trim_matches('\'').parse()?;
        columns.extend(spec.time_column);
    }
    Ok(columns)
}
