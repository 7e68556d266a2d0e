//! Errors of the planner, told in the user's terms and with their place.

use datafusion::common::{Diagnostic, SchemaError};
use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};
use crate::sql::functions::byte_range;
use crate::sql::suggest::nearest;

/// Turns an error of DataFusion's planner into one of ours; `text` is what was parsed, `relations` what can be read.
pub(super) fn planning_error(error: DataFusionError, text: &str, relations: &[String]) -> Error {
    let (error, diagnostic) = unwrap(error, None);
    let span =
        diagnostic.as_ref().and_then(|diagnostic| diagnostic.span).and_then(|span| byte_range(text, span));
    let ours = match error {
        DataFusionError::SchemaError(error, _) => schema_error(*error),
        DataFusionError::Plan(message) => plan_error(&message, relations),
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
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<String> = valid_fields
                .iter()
                .map(|column| column.name.clone())
                .filter(|name| !name.starts_with("__"))
                .collect();
            let error = Error::invalid(format!("unknown column `{}`", field.name));
            let suggestion = nearest(&field.name, names.iter().map(String::as_str));
            let suggestion = suggestion.map(|name| format!("did you mean `{name}`?"));
            let list =
                if names.is_empty() { None } else { Some(format!("columns here: {}", names.join(", "))) };
            match (suggestion, list) {
                (Some(suggestion), Some(list)) => error.with_hint(format!("{suggestion} {list}")),
                (Some(hint), None) | (None, Some(hint)) => error.with_hint(hint),
                (None, None) => error.with_hint("there are no columns here: the query has no FROM"),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::invalid(format!("column `{}` is in more than one input", field.name))
                .with_hint("say which: `alias.column`")
        }
        other => Error::invalid(other.to_string()),
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
        let call = rest.split('\'').next().unwrap_or(rest);
        return Error::invalid(format!("no function takes these types: `{call}`"))
            .with_hint("cast the arguments: CAST(x AS …)");
    }
    Error::invalid(message.to_owned())
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
