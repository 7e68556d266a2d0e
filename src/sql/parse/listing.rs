//! `SHOW`, `LIST`, `DESCRIBE` and `DROP`.

use super::statement::{kind_of, take_name};
use crate::error::{Error, Result};
use crate::sql::statement::{ShowKind, Statement};
use crate::sql::tokens::{Cursor, Tok};

/// What `SHOW` takes.
const SHOWN: &[&str] = &[
    "STREAMS",
    "TABLES",
    "JOBS",
    "FUNCTIONS",
    "CONNECTORS",
    "CREATE",
    "TOPICS",
    "JOB",
    "TOPIC",
    "PARTITIONS",
    "METRICS",
    "VERSIONS",
    "STATUS",
    "SCHEMA",
    "PROPERTIES",
    "QUERIES",
];

/// Reads `SHOW …` or `LIST …`.
///
/// # Errors
/// `Invalid` for what cannot be shown.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.take();
    let word = cursor.expect_any(SHOWN)?;
    let what = match word {
        "STREAMS" => ShowKind::Streams,
        "TABLES" if cursor.eat(&["WITH", "SCHEMAS"]) => return done(cursor, "SHOW TABLES WITH SCHEMAS"),
        "TABLES" => ShowKind::Tables,
        "JOBS" | "QUERIES" if cursor.eat(&["ON", "NODE"]) => return named(cursor, "SHOW JOBS ON NODE"),
        "JOBS" | "QUERIES" => ShowKind::Jobs,
        "FUNCTIONS" => ShowKind::Functions,
        "CONNECTORS" => ShowKind::Connectors,
        "CREATE" => {
            let kind = kind_of(cursor.expect_any(&["STREAM", "TABLE", "VIEW"])?);
            let name = take_name(cursor, "a name")?;
            return Ok(Statement::Show { what: ShowKind::Create(kind, name), like: None });
        }
        "JOB" => {
            cursor.expect_any(&["STATUS"])?;
            return optional(cursor, "SHOW JOB STATUS");
        }
        "TOPIC" => {
            cursor.expect_any(&["DETAILS"])?;
            return named(cursor, "SHOW TOPIC DETAILS");
        }
        "TOPICS" => {
            like(cursor)?;
            return done(cursor, "SHOW TOPICS");
        }
        "PARTITIONS" => {
            let name = take_name(cursor, "the name of a stream")?;
            return Ok(Statement::Show { what: ShowKind::Partitions(name), like: None });
        }
        "VERSIONS" => return named(cursor, "SHOW VERSIONS"),
        "SCHEMA" => return named(cursor, "SHOW SCHEMA"),
        "PROPERTIES" => {
            cursor.expect_any(&["STREAM", "TABLE"])?;
            return named(cursor, "SHOW PROPERTIES");
        }
        "STATUS" => return optional(cursor, "SHOW STATUS"),
        _ => return optional(cursor, "SHOW METRICS"),
    };
    let like = like(cursor)?;
    Ok(Statement::Show { what, like })
}

/// Reads `[LIKE] 'pattern'`.
fn like(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    let required = cursor.eat(&["LIKE"]);
    match cursor.peek() {
        Some(tok) if matches!(tok.token, sqlparser::tokenizer::Token::SingleQuotedString(_)) => {
            cursor.take();
            Ok(tok.quoted().map(str::to_owned))
        }
        _ if required => Err(cursor.expected(&["a pattern in quotes"])),
        Some(_) => Err(cursor.expected(&["LIKE"])),
        None => Ok(None),
    }
}

fn done(cursor: &Cursor<'_>, what: &str) -> Result<Statement> {
    cursor.finish()?;
    Ok(Statement::NotYet { what: what.to_owned() })
}

/// Reads a name, quoted either way or not.
fn named(cursor: &mut Cursor<'_>, what: &str) -> Result<Statement> {
    let is_name = cursor.peek().is_some_and(|tok| tok.quoted().is_some() || Tok::name(tok).is_some());
    if !is_name {
        return Err(cursor.expected(&["a name"]));
    }
    cursor.take();
    done(cursor, what)
}

fn optional(cursor: &mut Cursor<'_>, what: &str) -> Result<Statement> {
    if cursor.peek().is_none() { done(cursor, what) } else { named(cursor, what) }
}

/// Reads `DESCRIBE [EXTENDED] [STREAM|TABLE|VIEW] name`.
///
/// # Errors
/// `Invalid` if no name follows.
pub(super) fn describe(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.take();
    let more = |cursor: &Cursor<'_>| cursor.peek_at(1).is_some();
    let extended = more(cursor) && cursor.eat(&["EXTENDED"]);
    if more(cursor) && !["STREAM", "TABLE", "VIEW"].iter().any(|kind| cursor.eat(&[kind])) {
        return Err(cursor.expected(&["EXTENDED", "STREAM", "TABLE", "VIEW"]));
    }
    let name = take_name(cursor, "a name")?;
    Ok(Statement::Describe { extended, name })
}

/// Reads `DROP STREAM|TABLE|VIEW|JOB [IF EXISTS] name [CASCADE]`.
///
/// # Errors
/// `Invalid` for anything else.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.take();
    if let Some(other) = cursor.peek().filter(|tok| tok.is_any(&["INDEX", "SCHEMA", "DATABASE", "FUNCTION"]))
    {
        return Err(Error::invalid(format!("there is no `DROP {}` here", other.token))
            .with_hint("streams, tables, views and jobs can be dropped")
            .with_span(other.span.clone()));
    }
    let kind = kind_of(cursor.expect_any(&["STREAM", "TABLE", "VIEW", "JOB"])?);
    let if_exists = cursor.eat(&["IF", "EXISTS"]);
    let name = take_name(cursor, "a name")?;
    let cascade = cursor.eat(&["CASCADE"]);
    Ok(Statement::Drop { kind, name, if_exists, cascade })
}
