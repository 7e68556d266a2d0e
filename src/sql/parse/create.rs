//! `CREATE STREAM|TABLE|VIEW`: declarations, and statements with a named result.

use sqlparser::tokenizer::Token;

use super::engine::parse_type;
use super::options::option_list;
use super::statement::{kind_of, names, query, take_name};
use super::window::duration;
use crate::error::{Error, Result};
use crate::sql::duration::BareNumber;
use crate::sql::statement::{
    Column, CreateAs, Declare, Name, OptionItem, RelationKind, Statement, StreamQuery, Watermark,
};
use crate::sql::tokens::{Cursor, Tok, bracket, closing, expected, span_of};

/// Words that may follow a column's type, ours first.
const AFTER_TYPE: &[&str] = &[
    "NOT",
    "NULL",
    "PRIMARY",
    "DEFAULT",
    "CHECK",
    "REFERENCES",
    "METADATA",
    "COMMENT",
    "COLLATE",
    "GENERATED",
    "UNIQUE",
    "AS",
    "HEADERS",
    "HEADER",
    "KEY",
    "CONSTRAINT",
    "AUTO_INCREMENT",
    "AUTOINCREMENT",
    "IDENTITY",
];

/// What stands before the options of a `CREATE`.
struct Start {
    kind: RelationKind,
    name: Name,
    or_replace: bool,
    if_not_exists: bool,
}

/// Reads a `CREATE` statement.
///
/// # Errors
/// `Invalid` at the first token that does not fit, and by name for what cannot be created.
pub(super) fn create(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.take();
    let or_replace = cursor.eat(&["OR", "REPLACE"]);
    let place = cursor.place();
    if cursor.eat(&["MATERIALIZED", "VIEW"]) {
        return Err(Error::invalid("there is no `CREATE MATERIALIZED VIEW` here")
            .with_hint("`CREATE TABLE x AS SELECT …` keeps a result up to date")
            .with_span(place));
    }
    if let Some(other) = cursor.peek().filter(|tok| tok.word().is_some() && foreign(tok)) {
        return Err(Error::invalid(format!(
            "there is no `CREATE {}` here",
            other.token.to_string().to_uppercase()
        ))
        .with_hint("`CREATE STREAM`, `CREATE TABLE` and `CREATE VIEW` can be used")
        .with_span(place));
    }
    let kind = kind_of(cursor.expect_any(&["STREAM", "TABLE", "VIEW"])?);
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let name = take_name(cursor, "a name")?;
    let start = Start { kind, name, or_replace, if_not_exists };
    if kind == RelationKind::View { view(text, cursor, start) } else { relation(text, cursor, start) }
}

/// Returns whether `tok` names what other products create.
fn foreign(tok: &Tok) -> bool {
    tok.is_any(&[
        "INDEX",
        "UNIQUE",
        "SCHEMA",
        "DATABASE",
        "FUNCTION",
        "AGGREGATE",
        "TYPE",
        "SEQUENCE",
        "TRIGGER",
        "ROLE",
        "USER",
        "EXTERNAL",
        "TEMPORARY",
        "TEMP",
        "SOURCE",
        "SINK",
        "CONNECTOR",
        "CATALOG",
        "EXTENSION",
        "PROCEDURE",
    ])
}

fn view(text: &str, cursor: &mut Cursor<'_>, start: Start) -> Result<Statement> {
    let place = cursor.place();
    if start.if_not_exists {
        return Err(
            Error::invalid("a view takes `OR REPLACE`, not `IF NOT EXISTS`").with_span(start.name.span)
        );
    }
    cursor.expect_any(&["AS"])?;
    let query = query(text, cursor)?;
    let own =
        query.emit.is_some() || query.into.is_some() || !query.options.is_empty() || query.grace_ms.is_some();
    if own || !query.primary_key.is_empty() {
        return Err(Error::invalid("a view is only a query: `EMIT`, `INTO`, `WITH` and key markers belong to the statement that uses it")
            .with_span(place.start..query.span.end));
    }
    Ok(Statement::CreateView { name: start.name, or_replace: start.or_replace, query: Box::new(query) })
}

fn relation(text: &str, cursor: &mut Cursor<'_>, start: Start) -> Result<Statement> {
    let columns_place = cursor.place();
    let list = if cursor.peek().is_some_and(|tok| tok.token == Token::LParen) {
        Some(cursor.expect_group()?)
    } else {
        None
    };
    let mut options = Vec::new();
    if cursor.eat(&["WITH"]) {
        let inside = cursor.expect_group()?;
        options = option_list(text, inside, cursor.end())?;
    }
    if !cursor.eat(&["AS"]) {
        if list.is_none() && options.is_empty() {
            return Err(cursor.expected(&["(", "WITH", "AS"]));
        }
        if let Some(tok) = cursor.peek() {
            return Err(expected(Some(tok), cursor.end(), &["WITH", "AS", ";"]));
        }
        return declare(start, list, options, cursor.end());
    }
    let columns = match list {
        Some(inside) => Some(names(inside, columns_place.end).map_err(|error| {
            error.with_hint(
                "beside `AS SELECT` the columns are names only; write types with `CAST` in the query",
            )
        })?),
        None => None,
    };
    let query = query(text, cursor)?;
    check_as(&start, &query)?;
    let Start { kind, name, or_replace, if_not_exists } = start;
    let create = CreateAs { kind, name, or_replace, if_not_exists, columns, sink_options: options, query };
    Ok(Statement::CreateAs(Box::new(create)))
}

/// Checks that an option is not given twice with two values.
fn check_as(start: &Start, query: &StreamQuery) -> Result<()> {
    match &query.into {
        Some(into) if into.value == start.name.value => {
            Err(Error::invalid(format!("`INTO {}` names the statement itself", into.value))
                .with_span(into.span.clone()))
        }
        _ => Ok(()),
    }
}

fn declare(start: Start, list: Option<&[Tok]>, options: Vec<OptionItem>, end: usize) -> Result<Statement> {
    let mut body = Body::default();
    for piece in elements(list.unwrap_or_default()) {
        body.element(piece, end)?;
    }
    let named = list.is_some();
    if named && body.columns.is_empty() && body.watermark.is_none() && body.key.is_none() {
        return Err(Error::invalid("a declaration without columns")
            .with_hint("leave the brackets out to have the columns inferred"));
    }
    body.check()?;
    let marked = body.columns.iter().filter(|column| column.primary_key).map(|column| column.name.clone());
    let primary_key = match body.key {
        Some(key) => key.into_iter().map(|name| name.value).collect(),
        None => marked.collect(),
    };
    // `(WATERMARK FOR ts AS …)` alone leaves the columns to be inferred.
    let columns = (!body.columns.is_empty()).then_some(body.columns);
    let Start { kind, name, or_replace, if_not_exists } = start;
    let watermark = body.watermark;
    Ok(Statement::Declare(Declare {
        kind,
        name,
        or_replace,
        if_not_exists,
        columns,
        watermark,
        primary_key,
        options,
    }))
}

/// Splits a declaration at the commas outside brackets, those of `MAP<VARCHAR, BIGINT>` too.
fn elements(tokens: &[Tok]) -> Vec<&[Tok]> {
    let (mut depth, mut angles) = (0_i32, 0_i32);
    let mut pieces: Vec<&[Tok]> = tokens
        .split(|tok| {
            depth += bracket(&tok.token);
            angles += match tok.token {
                Token::Lt => 1,
                Token::Gt => -1,
                Token::ShiftRight => -2,
                _ => 0,
            };
            depth == 0 && angles <= 0 && tok.token == Token::Comma
        })
        .collect();
    if tokens.is_empty() {
        pieces.clear();
    }
    pieces
}

/// What stands between the brackets of a declaration.
#[derive(Default)]
struct Body {
    columns: Vec<Column>,
    watermark: Option<Watermark>,
    key: Option<Vec<Name>>,
}

impl Body {
    /// Reads one element of the list.
    fn element(&mut self, piece: &[Tok], end: usize) -> Result<()> {
        let end = span_of(piece).map_or(end, |span| span.end);
        let mut cursor = Cursor::new(piece, end);
        let place = span_of(piece).unwrap_or(end..end);
        if cursor.eat(&["WATERMARK", "FOR"]) {
            if self.watermark.is_some() {
                return Err(Error::invalid("`WATERMARK` stands twice").with_span(place));
            }
            self.watermark = Some(watermark(&mut cursor)?);
            return Ok(());
        }
        let next_is_group = cursor.peek_at(2).is_some_and(|tok| tok.token == Token::LParen);
        if next_is_group && cursor.eat(&["PRIMARY", "KEY"]) {
            if self.key.is_some() {
                return Err(Error::invalid("`PRIMARY KEY` stands twice").with_span(place));
            }
            self.key = Some(names(cursor.expect_group()?, end)?);
            cursor.eat(&["NOT", "ENFORCED"]);
            return match cursor.peek() {
                Some(tok) => Err(expected(Some(tok), end, &["NOT ENFORCED", ",", ")"])),
                None => Ok(()),
            };
        }
        let constraint =
            cursor.peek().filter(|tok| tok.is_any(&["CONSTRAINT", "UNIQUE", "CHECK", "FOREIGN"]));
        if let (Some(tok), Some(next)) = (constraint, cursor.peek_at(1))
            && (next.token == Token::LParen || tok.is_any(&["CONSTRAINT", "FOREIGN"]))
        {
            return Err(Error::invalid(format!(
                "`{}` is not available in a declaration",
                tok.token.to_string().to_uppercase()
            ))
            .with_hint("columns, `PRIMARY KEY (…)` and `WATERMARK FOR …` can be declared")
            .with_span(tok.span.clone()));
        }
        let column = column(&mut cursor)?;
        if self.columns.iter().any(|other| other.name == column.name) {
            return Err(Error::invalid(format!("column `{}` stands twice", column.name))
                .with_hint("give one of them another name")
                .with_span(column.span));
        }
        self.columns.push(column);
        Ok(())
    }

    /// Checks that key and watermark name declared columns.
    fn check(&self) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let known = |name: &str| self.columns.iter().any(|column| column.name == name);
        let missing = |name: &str| {
            let error = Error::invalid(format!("no column `{name}` is declared"));
            match crate::sql::suggest::nearest(name, self.columns.iter().map(|column| column.name.as_str())) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error,
            }
        };
        if let Some(watermark) = self.watermark.as_ref().filter(|watermark| !known(&watermark.column)) {
            return Err(missing(&watermark.column).with_span(watermark.span.clone()));
        }
        if let Some(name) = self.key.iter().flatten().find(|name| !known(&name.value)) {
            return Err(missing(&name.value).with_span(name.span.clone()));
        }
        let marked = self.columns.iter().find(|column| column.primary_key);
        match (&self.key, marked) {
            (Some(_), Some(column)) => {
                Err(Error::invalid("`PRIMARY KEY` stands at a column and as an element of its own")
                    .with_hint("keep one of the two")
                    .with_span(column.span.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Reads `name type [NOT NULL] [PRIMARY KEY [NOT ENFORCED]]`.
fn column(cursor: &mut Cursor<'_>) -> Result<Column> {
    let span = span_of(cursor.rest()).unwrap_or_else(|| cursor.place());
    let name = take_name(cursor, "a column's name")?;
    let rest = cursor.rest();
    let mut at = 0;
    while let Some(tok) = rest.get(at) {
        if tok.token == Token::LParen {
            at = closing(rest, at) + 1;
            continue;
        }
        if at > 0 && tok.is_any(AFTER_TYPE) {
            break;
        }
        at += 1;
    }
    if at == 0 {
        return Err(Error::invalid(format!("column `{}` has no type", name.value)).with_span(name.span));
    }
    let data_type = parse_type(&angle_brackets(rest.get(..at).unwrap_or_default()), cursor.end())?;
    let mut markers = Cursor::new(rest.get(at..).unwrap_or_default(), cursor.end());
    let (mut not_null, mut primary_key) = (false, false);
    while let Some(tok) = markers.peek() {
        if markers.eat(&["NOT", "NULL"]) {
            not_null = true;
        } else if markers.eat(&["PRIMARY", "KEY"]) {
            primary_key = true;
            markers.eat(&["NOT", "ENFORCED"]);
        } else if !markers.eat(&["NULL"]) {
            let word = tok.token.to_string().to_uppercase();
            return Err(Error::invalid(format!("`{word}` is not available in a column's declaration"))
                .with_hint("a column takes `NOT NULL` and `PRIMARY KEY`")
                .with_span(tok.span.clone()));
        }
    }
    cursor.take_rest();
    Ok(Column { name: name.value, data_type, not_null, primary_key, span })
}

/// Writes `ARRAY(T)`, `MAP(K, V)`, `ROW(…)` and `STRUCT(…)` with angle brackets, as sqlparser reads them.
fn angle_brackets(tokens: &[Tok]) -> Vec<Tok> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(tok) = tokens.get(at) {
        let opens = tokens.get(at + 1).is_some_and(|tok| tok.token == Token::LParen);
        if opens && tok.is_any(&["ARRAY", "MAP", "ROW", "STRUCT"]) {
            let close = closing(tokens, at + 1);
            out.push(if tok.is_word("ROW") { tok.put_word("STRUCT") } else { tok.clone() });
            out.push(tok.put(Token::Lt));
            out.extend(angle_brackets(tokens.get(at + 2..close).unwrap_or_default()));
            out.push(tok.put(Token::Gt));
            at = close + 1;
        } else {
            out.push(if tok.is_word("ROW") { tok.put_word("STRUCT") } else { tok.clone() });
            at += 1;
        }
    }
    out
}

/// Reads `ts AS ts [- duration]`.
fn watermark(cursor: &mut Cursor<'_>) -> Result<Watermark> {
    let start = cursor.place().start;
    let column = take_name(cursor, "the event-time column")?;
    cursor.expect_any(&["AS"])?;
    let place = cursor.place();
    let same = take_name(cursor, "the event-time column")?;
    if same.value != column.value {
        return Err(Error::invalid(format!(
            "the watermark of `{}` is made from `{}`",
            column.value, same.value
        ))
        .with_hint(format!("write `WATERMARK FOR {0} AS {0} - INTERVAL '5' SECOND`", column.value))
        .with_span(place));
    }
    let mut delay_ms = 0;
    if cursor.peek().is_some() {
        cursor.expect_token(&Token::Minus)?;
        let place = cursor.place();
        delay_ms = duration(cursor.take_rest(), BareNumber::Refused, place)?;
    }
    Ok(Watermark { column: column.value, delay_ms, span: start..cursor.end() })
}
