//! What statements become: a table of texts per area.

mod clauses;
mod durations;
mod errors;
mod limits;
mod queries;
mod row_changes;
mod statements;
mod windows;

use super::parse_application;
use crate::sql::{Statement, StreamQuery};

/// Reads one statement that has no error.
fn one(text: &str) -> Statement {
    let mut app = parse_application(text);
    assert!(
        app.errors.is_empty(),
        "{text}\n{}",
        app.errors.iter().map(|e| crate::sql::show(text, None, e)).collect::<String>()
    );
    assert_eq!(app.statements.len(), 1, "{text}");
    app.statements.remove(0).statement
}

/// Reads one query.
fn query(text: &str) -> StreamQuery {
    match one(text) {
        Statement::Select(query) => *query,
        Statement::CreateAs(create) => create.query,
        other => panic!("not a query: {other:?}"),
    }
}

/// Returns the query as sqlparser writes it.
fn sql(text: &str) -> String {
    query(text).query.to_string()
}

/// Returns the only error: message and the text at its place.
fn error(text: &str) -> (String, String) {
    let app = parse_application(text);
    assert_eq!(app.errors.len(), 1, "{text}: {:?}", app.errors);
    let span = app.errors[0].span().expect("a place");
    (app.errors[0].message().to_owned(), text.get(span).expect("a place within the text").to_owned())
}

/// Returns the hint of the only error.
fn hint(text: &str) -> String {
    parse_application(text).errors[0].hint().unwrap_or_default().to_owned()
}
