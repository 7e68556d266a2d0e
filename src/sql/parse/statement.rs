//! Which statement it is, by its first words.

use sqlparser::ast::{Expr, SetExpr};
use sqlparser::tokenizer::Token;

use super::create;
use super::listing;
use super::options::option;
use super::query::{is_query, soften, stream_query};
use super::row_change;
use crate::error::{Error, Result};
use crate::sql::function_alias;
use crate::sql::statement::{
    Conflict, ConflictAction, InsertSource, Name, RelationKind, Statement, StreamQuery,
};
use crate::sql::suggest::nearest;
use crate::sql::tokens::{Cursor, Tok, expected, span_of, split_commas};

/// The words that start a statement.
const FIRST_WORDS: &[&str] = &[
    "SELECT", "CREATE", "INSERT", "UPSERT", "WITH", "EXPLAIN", "SHOW", "LIST", "DESCRIBE", "DROP", "SET",
    "START", "STOP", "PAUSE", "RESUME", "DEPLOY", "ROLLBACK", "ALTER", "UPDATE", "DELETE", "MERGE", "REPLAY",
    "VALUES", "FROM",
];

/// Reads one statement from the cursor.
///
/// # Errors
/// `Invalid` at the first token that does not fit.
pub(super) fn statement(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    let Some(first) = cursor.peek() else { return Err(cursor.expected(FIRST_WORDS)) };
    if first.token == Token::LParen {
        return Ok(Statement::Select(Box::new(query(text, cursor)?)));
    }
    match first.word().unwrap_or_default().to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE" => select(text, cursor),
        "CREATE" => create::create(text, cursor),
        "INSERT" | "UPSERT" => insert(text, cursor),
        "EXPLAIN" => explain(text, cursor),
        "SHOW" | "LIST" => listing::show(cursor),
        "DESCRIBE" | "DESC" => listing::describe(cursor),
        "DROP" => listing::drop(cursor),
        "SET" => set(text, cursor),
        "START" | "STOP" | "PAUSE" | "RESUME" | "DEPLOY" | "ROLLBACK" => {
            let verb = first.word().unwrap_or_default().to_ascii_uppercase();
            cursor.take();
            cursor.expect_any(&["JOB"])?;
            not_yet(cursor, format!("{verb} JOB"))
        }
        "ALTER" => {
            cursor.take();
            let kind = cursor.expect_any(&["STREAM", "TABLE", "JOB"])?;
            not_yet(cursor, format!("ALTER {kind}"))
        }
        "UPDATE" => row_change::update(cursor),
        "DELETE" => row_change::delete(cursor),
        "MERGE" => row_change::merge(text, cursor),
        "REPLAY" => {
            cursor.take();
            cursor.expect_any(&["ERRORS"])?;
            not_yet(cursor, "REPLAY ERRORS".to_owned())
        }
        _ => Err(unknown(first)),
    }
}

/// Takes the rest of a statement that other work brings; it must say something about what.
fn not_yet(cursor: &mut Cursor<'_>, what: String) -> Result<Statement> {
    if cursor.take_rest().is_empty() {
        return Err(cursor.expected(&["a name"]));
    }
    Ok(Statement::NotYet { what })
}

/// Returns the error for a statement that starts with no known word.
fn unknown(first: &Tok) -> Error {
    let error =
        Error::invalid(format!("no statement starts with `{}`", first.token)).with_span(first.span.clone());
    match first.word().and_then(|word| nearest(word, FIRST_WORDS.iter().copied())) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint("a statement starts with `SELECT`, `CREATE`, `INSERT`, `EXPLAIN`, `SHOW`, `DESCRIBE`, `DROP` or `SET`"),
    }
}

/// Reads the rest of the statement as a query.
pub(super) fn query(text: &str, cursor: &mut Cursor<'_>) -> Result<StreamQuery> {
    let tokens = cursor.take_rest();
    let inside_ok = is_query(tokens)
        || tokens.first().is_some_and(|tok| tok.is_any(&["FROM", "TABLE", "SELECT", "VALUES"]));
    if !inside_ok {
        return Err(expected(tokens.first(), cursor.end(), &["SELECT", "WITH", "VALUES"]));
    }
    stream_query(text, tokens, cursor.end())
}

/// Reads a query as a statement; with `INTO` it inserts.
fn select(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    Ok(Statement::Select(Box::new(query(text, cursor)?)))
}

fn explain(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.eat(&["EXPLAIN"]);
    if cursor.eat(&["DEPLOY"]) {
        return not_yet(cursor, "EXPLAIN DEPLOY".to_owned());
    }
    let analyze = cursor.eat(&["ANALYZE"]);
    if analyze && cursor.eat(&["JOB"]) {
        return not_yet(cursor, "EXPLAIN ANALYZE JOB".to_owned());
    }
    let place = cursor.place();
    if !cursor.peek().is_some_and(|tok| {
        tok.is_any(&["SELECT", "WITH", "VALUES", "FROM", "TABLE", "CREATE", "INSERT"])
            || tok.token == Token::LParen
    }) {
        return Err(cursor.expected(&["ANALYZE", "SELECT", "WITH", "CREATE", "INSERT"]));
    }
    let statement = statement(text, cursor)?;
    let explained = matches!(
        statement,
        Statement::Select(_)
            | Statement::CreateAs(_)
            | Statement::Insert { .. }
            | Statement::CreateView { .. }
    );
    if !explained {
        return Err(Error::invalid("a declaration has no plan")
            .with_hint("`EXPLAIN` takes a query, `CREATE … AS SELECT` or `INSERT … SELECT`")
            .with_span(place));
    }
    Ok(Statement::Explain { analyze, statement: Box::new(statement) })
}

fn set(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.eat(&["SET"]);
    if cursor.peek().is_none() {
        return Err(cursor.expected(&["an option"]));
    }
    let item = option(text, cursor.take_rest(), cursor.end())?;
    Ok(Statement::Set { key: item.key, value: item.value })
}

/// Takes a name: one identifier.
pub(super) fn take_name(cursor: &mut Cursor<'_>, what: &str) -> Result<Name> {
    let Some(name) = cursor.peek().and_then(Tok::name) else {
        return Err(cursor.expected(&[what]));
    };
    let span = cursor.place();
    cursor.take();
    if let Some(dot) = cursor.peek().filter(|tok| tok.token == Token::Period) {
        return Err(Error::invalid(format!("{what} has no dots"))
            .with_hint("put a name with dots in double quotes")
            .with_span(dot.span.clone()));
    }
    Ok(Name { value: name, span })
}

/// Reads a list of names between brackets.
pub(super) fn names(inside: &[Tok], end: usize) -> Result<Vec<Name>> {
    let mut names: Vec<Name> = Vec::new();
    if inside.is_empty() {
        return Err(expected(None, end, &["a column's name"]));
    }
    for piece in split_commas(inside) {
        let mut cursor = Cursor::new(piece, span_of(inside).map_or(end, |span| span.end));
        let name = take_name(&mut cursor, "a column's name")?;
        if let Some(tok) = cursor.peek() {
            return Err(expected(Some(tok), end, &[",", ")"]));
        }
        if names.iter().any(|other| other.value == name.value) {
            return Err(Error::invalid(format!("column `{}` stands twice", name.value))
                .with_hint("name each column once")
                .with_span(name.span));
        }
        names.push(name);
    }
    Ok(names)
}

fn insert(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    let place = cursor.place();
    let replaces = cursor.expect_any(&["INSERT", "UPSERT"])? == "UPSERT";
    cursor.expect_any(&["INTO"])?;
    let target = take_name(cursor, "a stream or table")?;
    let has_columns =
        cursor.peek().is_some_and(|tok| tok.token == Token::LParen) && !is_query(inner(cursor.rest()));
    let columns = if has_columns { Some(names(cursor.expect_group()?, cursor.end())?) } else { None };
    let (rows, conflict) = row_change::split_conflict(cursor.take_rest(), cursor.end())?;
    let conflict = match conflict {
        Some(conflict) if replaces => {
            return Err(Error::invalid("`UPSERT` says already what becomes of a row whose key is there")
                .with_hint("write `INSERT INTO … ON CONFLICT …`, or leave `ON CONFLICT` out")
                .with_span(conflict.span));
        }
        None if replaces => Some(Conflict { columns: None, action: ConflictAction::Replace, span: place }),
        conflict => conflict,
    };
    let mut rows = Cursor::new(rows, span_of(rows).map_or(cursor.end(), |span| span.end));
    let source = if rows.peek().is_some_and(|tok| tok.is_word("VALUES")) {
        InsertSource::Values(values(&mut rows)?)
    } else {
        let query = query(text, &mut rows)?;
        if let Some(into) = &query.into {
            return Err(Error::invalid("`INTO` stands twice: the statement already names its target")
                .with_span(into.span.clone()));
        }
        check_count(columns.as_deref(), &query)?;
        InsertSource::Query(Box::new(query))
    };
    Ok(Statement::Insert { target, columns, source, conflict })
}

/// Checks a column list against the select list, where both are known.
fn check_count(columns: Option<&[Name]>, query: &StreamQuery) -> Result<()> {
    let (Some(columns), SetExpr::Select(select)) = (columns, &*query.query.body) else { return Ok(()) };
    let plain = select.projection.iter().all(|item| {
        matches!(
            item,
            sqlparser::ast::SelectItem::UnnamedExpr(_) | sqlparser::ast::SelectItem::ExprWithAlias { .. }
        )
    });
    let found = select.projection.iter().filter(|item| !crate::sql::plan::gives_no_column(item)).count();
    if plain && found != columns.len() {
        let wanted = columns.len();
        let s = |count| if count == 1 { "" } else { "s" };
        let message = format!(
            "the column list has {wanted} name{}, the select list {found} item{}",
            s(wanted),
            s(found)
        );
        return Err(Error::invalid(message)
            .with_hint("each name takes the item in the same place")
            .with_span(query.span.clone()));
    }
    Ok(())
}

/// Returns what stands in the bracket that `tokens` start with.
fn inner(tokens: &[Tok]) -> &[Tok] {
    tokens.get(1..crate::sql::tokens::closing(tokens, 0)).unwrap_or_default()
}

/// Reads `VALUES (…), (…)`.
fn values(cursor: &mut Cursor<'_>) -> Result<Vec<Vec<Expr>>> {
    let tokens = soften(cursor.take_rest());
    let place = span_of(&tokens).unwrap_or_default();
    let query = super::engine::parse_query(&tokens, &tokens, cursor.end())?;
    let broken = || Error::invalid("expected rows of values only").with_span(place.clone());
    if query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return Err(broken().with_hint("`ORDER BY` and `LIMIT` go with a query"));
    }
    let SetExpr::Values(values) = *query.body else { return Err(broken()) };
    let mut rows: Vec<Vec<Expr>> = values.rows.into_iter().map(|row| row.content).collect();
    let width = rows.first().map_or(0, Vec::len);
    for (index, row) in rows.iter_mut().enumerate() {
        if row.len() != width {
            let message = format!("row {} has {} values, the first has {width}", index + 1, row.len());
            return Err(Error::invalid(message).with_span(place));
        }
        for value in row {
            function_alias::rewrite_expr(value, &tokens).map_err(|error| error.with_span(place.clone()))?;
        }
    }
    Ok(rows)
}

/// Returns the kind of relation that a keyword names.
pub(super) fn kind_of(word: &str) -> RelationKind {
    match word {
        "STREAM" => RelationKind::Stream,
        "VIEW" => RelationKind::View,
        "JOB" => RelationKind::Job,
        _ => RelationKind::Table,
    }
}
