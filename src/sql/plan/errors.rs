//! Errors of the planner, told in the user's terms and with their place.

use std::collections::BTreeSet;

use datafusion::common::{Column, Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use crate::error::{Error, ErrorKind};
use crate::sql::functions::byte_range;
use crate::sql::suggest::nearest;

/// Turns an error of DataFusion's planner into one of ours; `text` is what was parsed, `relations` what can be read.
///
/// The caller knows best what the error is about, if [`is_told`] says that its words are the planner's.
pub(super) fn planning_error(error: DataFusionError, text: &str, relations: &[String]) -> Error {
    let (error, diagnostic) = unwrap(error, None);
    let span =
        diagnostic.as_ref().and_then(|diagnostic| diagnostic.span).and_then(|span| byte_range(text, span));
    let ours = match error {
        DataFusionError::SchemaError(error, _) => schema_error(*error),
        DataFusionError::Plan(message) => plan_error(&message, relations),
        DataFusionError::ArrowError(cause, _) => match cast_error(&cause.to_string()) {
            Some(error) => error,
            None => Error::from(*cause),
        },
        DataFusionError::NotImplemented(message) if message.contains("not ") => {
            Error::invalid(tidy(&message)).with_hint("write it another way; the SQL is that of DataFusion")
        }
        other => Error::from(other),
    };
    let ours = match (ours.kind(), diagnostic) {
        (ErrorKind::Internal, Some(diagnostic)) => Error::invalid(diagnostic.message),
        _ => ours,
    };
    match span {
        Some(span) => ours.with_span(span),
        None => ours,
    }
}

/// Returns whether [`planning_error`] has words of ours for `error`.
pub(super) fn is_told(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => is_told(inner),
        DataFusionError::Collection(errors) => errors.first().is_some_and(is_told),
        DataFusionError::External(_) | DataFusionError::SchemaError(..) => true,
        DataFusionError::Plan(message) => {
            message.starts_with("table '")
                || message.starts_with("Invalid function '")
                || message.contains("must appear in the GROUP BY clause")
        }
        _ => false,
    }
}

fn unwrap(error: DataFusionError, known: Option<Diagnostic>) -> (DataFusionError, Option<Diagnostic>) {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => unwrap(*inner, Some(*diagnostic)),
        DataFusionError::Context(_, inner) => unwrap(*inner, known),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => unwrap(errors.swap_remove(0), known),
        other => (other, known),
    }
}

fn schema_error(error: SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => field_not_found(&field, &valid_fields),
        SchemaError::AmbiguousReference { field } => {
            Error::invalid(format!("column `{}` is in more than one input", field.name))
                .with_hint("say which: `alias.column`")
        }
        other => Error::invalid(other.to_string()),
    }
}

/// Returns the error for a text that a constant cast cannot read.
fn cast_error(message: &str) -> Option<Error> {
    let (_, rest) = message.split_once("Cannot cast string '")?;
    let (text, rest) = rest.rsplit_once("' to value of ")?;
    let data_type = sql_types(rest.split_whitespace().next()?);
    Some(
        Error::invalid(format!("`'{text}'` cannot be read as {data_type}"))
            .with_hint("TRY_CAST gives NULL where a text cannot be read"),
    )
}

fn field_not_found(field: &Column, valid: &[Column]) -> Error {
    let shown = valid.iter().filter(|column| !column.name.starts_with("__"));
    let sources: BTreeSet<&str> =
        shown.clone().filter_map(|column| Some(column.relation.as_ref()?.table())).collect();
    if let Some(source) = field.relation.as_ref().map(|relation| relation.table())
        && !sources.is_empty()
        && !sources.contains(source)
    {
        return unknown_source(source, sources.into_iter().collect());
    }
    if field.name == "_headers" {
        return Error::invalid("`HEADER` reads the headers of messages, and these rows have none")
            .with_hint("read the headers in the query that reads the stream, and give them a name");
    }
    let mut names: Vec<&str> = vec![];
    shown.for_each(|column| {
        if !names.contains(&column.name.as_str()) {
            names.push(&column.name);
        }
    });
    let error = Error::invalid(format!("unknown column `{}`", field.name));
    if names.is_empty() {
        return error.with_hint("there are no columns here: the query has no FROM");
    }
    let list = format!("columns here: {}", names.join(", "));
    match nearest(&field.name, names) {
        Some(near) => error.with_hint(format!("did you mean `{near}`? {list}")),
        None => error.with_hint(list),
    }
}

fn unknown_source(name: &str, sources: Vec<&str>) -> Error {
    let error = Error::invalid(format!("`{name}` is no source of this query"));
    let list = format!("its sources: {}", sources.join(", "));
    match nearest(name, sources) {
        Some(near) => error.with_hint(format!("did you mean `{near}`? {list}")),
        None => error.with_hint(format!("{list}; one with an alias is called by it")),
    }
}

fn plan_error(message: &str, relations: &[String]) -> Error {
    let table = message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found"));
    if let Some(table) = table {
        let name = table.rsplit('.').next().unwrap_or(table);
        return unknown_relation(name, relations);
    }
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or(rest);
        let nearest = rest.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next());
        let error = Error::invalid(format!("unknown function `{name}`"));
        return match nearest {
            Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
            None => error.with_hint("`SHOW FUNCTIONS` lists them"),
        };
    }
    // The planner words a call with wrong types as a bug of its own; what it says last is what the user needs.
    if let Some((_, rest)) = message.split_once("No function matches the given name and argument types '") {
        let call = sql_types(rest.split('\'').next().unwrap_or(rest));
        return Error::invalid(format!("no function takes these types: `{call}`"))
            .with_hint("cast the arguments: CAST(x AS …)");
    }
    if let Some((before, _)) = message.split_once("\" must appear in the GROUP BY clause")
        && let Some((_, column)) = before.rsplit_once("column \"")
    {
        let column = column.rsplit('.').next().unwrap_or(column);
        return Error::invalid(format!("column `{column}` is neither in `GROUP BY` nor inside an aggregate"))
            .with_hint(format!(
                "add it to GROUP BY, or say which of its values: MIN({column}), LAST_VALUE({column}), …"
            ));
    }
    if let Some(name) =
        message.strip_prefix("The window ").and_then(|rest| rest.strip_suffix(" is not defined!"))
    {
        return Error::invalid(format!("unknown window `{name}`"))
            .with_hint(format!("define it: WINDOW {name} AS (PARTITION BY … ORDER BY …)"));
    }
    if let Some(name) = message.strip_prefix("Invalid qualifier ") {
        return unknown_source(name, vec![])
            .with_hint("`x.*` takes the name or the alias of a source in FROM");
    }
    clause_error(message).unwrap_or_else(|| Error::invalid(tidy(message)))
}

/// Returns the error of a clause that cannot be as it is.
fn clause_error(message: &str) -> Option<Error> {
    if message.starts_with("Expected LIMIT") || message.starts_with("LIMIT must") {
        return Some(
            Error::invalid("`LIMIT` takes a whole number from 0").with_hint("write it like LIMIT 10"),
        );
    }
    if message.starts_with("Expected OFFSET") || message.starts_with("OFFSET must") {
        return Some(
            Error::invalid("`OFFSET` takes a whole number from 0").with_hint("write it like OFFSET 10"),
        );
    }
    if let Some(rest) = message.strip_prefix("Order by column out of bounds, specified: ") {
        let (position, items) = rest.split_once(", max: ").unwrap_or((rest, "fewer"));
        return Some(
            Error::invalid(format!("`ORDER BY {position}`, and there are {items} select items"))
                .with_hint("positions count from 1"),
        );
    }
    if message.starts_with("Inconsistent data length across values list") {
        return Some(
            Error::invalid("the rows of `VALUES` differ in length")
                .with_hint("give each row the same columns"),
        );
    }
    if message.starts_with("Source table contains") {
        return Some(
            Error::invalid("an alias names more or fewer columns than the source has")
                .with_hint("write one name for each column: t (a, b)"),
        );
    }
    if message.starts_with("QUALIFY clause requires") {
        return Some(
            Error::invalid("`QUALIFY` decides over window functions, and there is none")
                .with_hint("without `OVER (…)` in the query, use WHERE or HAVING"),
        );
    }
    if message.starts_with("SELECT * with no tables") {
        return Some(
            Error::invalid("`*` has no columns: the query has no FROM")
                .with_hint("name a source: SELECT * FROM …"),
        );
    }
    if message.starts_with("Correlated scalar subquery") {
        return Some(
            Error::not_yet("a subquery of this form as a value of each row")
                .with_hint("select one column or an aggregate of rows of tables, WHERE …; leave DISTINCT, GROUP BY, OFFSET and UNION to a query in FROM"),
        );
    }
    if message.contains("cannot be nested") {
        return Some(
            Error::invalid("an aggregate inside an aggregate")
                .with_hint("compute the inner one in a subquery and aggregate its result"),
        );
    }
    if let Some(rest) = message.strip_prefix("WITH query name ") {
        let name = rest.split('"').nth(1).unwrap_or_default();
        return Some(
            Error::invalid(format!("`{name}` stands twice in `WITH`"))
                .with_hint("give one of them another name"),
        );
    }
    None
}

/// Writes the types of a call as SQL does.
fn sql_types(call: &str) -> String {
    const NAMES: [(&str, &str); 9] = [
        ("Utf8View", "VARCHAR"),
        ("LargeUtf8", "VARCHAR"),
        ("Utf8", "VARCHAR"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Float64", "DOUBLE"),
        ("Float32", "FLOAT"),
        ("Decimal128", "DECIMAL"),
        ("Boolean", "BOOLEAN"),
    ];
    NAMES.iter().fold(call.to_owned(), |call, (arrow, sql)| call.replace(arrow, sql))
}

/// Writes a message of the planner as ours are written.
fn tidy(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut chars = message.chars();
    match (chars.next(), message.chars().nth(1)) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect::<String>()
        }
        _ => message.to_owned(),
    }
}

/// Returns the error for a stream that nobody declared.
pub(crate) fn unknown_relation(name: &str, relations: &[String]) -> Error {
    let error = Error::invalid(format!("unknown stream or table `{name}`"));
    match nearest(name, relations.iter().map(String::as_str)) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None if relations.is_empty() => {
            error.with_hint("declare it: CREATE STREAM … (…) WITH ('connector' = '…')")
        }
        None => error.with_hint(format!("there are: {}", relations.join(", "))),
    }
}

/// Returns the error for a node that has no streaming form yet.
pub(super) fn no_streaming_form(plan: &LogicalPlan) -> Error {
    let what = match plan {
        LogicalPlan::Subquery(_) => "a subquery in a stream",
        LogicalPlan::RecursiveQuery(_) => "a recursive query in a stream",
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => "a query without a stream",
        LogicalPlan::Distinct(_) => "`DISTINCT ON` in a stream",
        _ => return Error::not_yet(format!("`{}` in a stream", plan.display())),
    };
    Error::not_yet(what).with_hint("over bounded inputs, `--mode batch` runs it")
}
