//! Time columns that a window names: they are the event time of their stream, or become it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{Expr, FunctionArguments, Query, visit_expressions};

use crate::error::{Error, Result};
use crate::sql::plan::rewrite::unbroken;
use crate::sql::relation::{EventTime, Relation};
use crate::sql::window_spec::WindowSpec;
use crate::sql::{WINDOW_END, WINDOW_START};
use crate::time::{EventTimeFormat, EventTimeReader};

/// How far ahead of the clock an adopted event time may be, in milliseconds.
const MAX_AHEAD_MS: i64 = 3_600_000;

/// Makes the columns that windows name the event time of streams that declare none; returns a notice for each.
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
        for relation in relations.values_mut() {
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
                    let adopted = EventTime {
                        column: field.name().clone(),
                        format: EventTimeFormat::Detect,
                        max_ahead_ms: MAX_AHEAD_MS,
                    };
                    *relation = Arc::new(Relation { event_time: Some(adopted), ..relation.as_ref().clone() });
                }
            }
        }
    }
    Ok(notices)
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
