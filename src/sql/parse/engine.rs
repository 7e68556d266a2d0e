//! Hands tokens to sqlparser and turns its errors into ours, with exact places.

use std::ops::ControlFlow;

use sqlparser::ast::{DataType, Expr, Query, Select, SetExpr, TableFactor, Visit, Visitor};
use sqlparser::dialect::Dialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};
use crate::sql::clauses::{CLAUSE_WORDS, WINDOW_NAMES};
use crate::sql::dialect::VeloDialect;
use crate::sql::suggest::nearest;
use crate::sql::tokens::{Tok, span_of};

/// How deep sqlparser may call itself; the token limits refuse a text long before.
const RECURSION_MAX: usize = 10_000;

/// Parses rewritten tokens as one query; `original` are the statement's own, for places and hints.
///
/// # Errors
/// `Invalid` at the first token that does not fit or is left over, and for clauses that DataFusion would ignore.
pub(super) fn parse_query(tokens: &[Tok], original: &[Tok], end: usize) -> Result<Query> {
    let query = run(tokens, original, end, |parser| parser.parse_query())?;
    if let ControlFlow::Break((what, word)) = query.visit(&mut Ignored) {
        let place = original.iter().rev().find(|tok| tok.is_word(word)).map(|tok| tok.span.clone());
        let place = place.or_else(|| span_of(original)).unwrap_or(end..end);
        return Err(Error::invalid(format!("{what} is not part of this SQL")).with_span(place));
    }
    Ok(*query)
}

/// Parses tokens as one expression.
///
/// # Errors
/// `Invalid`, as for queries.
pub(super) fn parse_expr(tokens: &[Tok], end: usize) -> Result<Expr> {
    run(tokens, tokens, end, |parser| parser.parse_expr())
}

/// Parses the tokens of one type.
///
/// # Errors
/// `Invalid`, as for queries, and for a type that sqlparser does not know.
pub(super) fn parse_type(tokens: &[Tok], end: usize) -> Result<DataType> {
    let parsed = run(tokens, tokens, end, |parser| parser.parse_data_type())?;
    if let DataType::Custom(name, _) = &parsed {
        const TYPES: &[&str] = &[
            "BIGINT",
            "INT",
            "INTEGER",
            "SMALLINT",
            "TINYINT",
            "DOUBLE",
            "FLOAT",
            "REAL",
            "DECIMAL",
            "NUMERIC",
            "BOOLEAN",
            "VARCHAR",
            "TEXT",
            "STRING",
            "CHAR",
            "TIMESTAMP",
            "DATE",
            "TIME",
            "INTERVAL",
            "BYTEA",
            "BINARY",
            "ARRAY",
            "MAP",
            "STRUCT",
            "JSON",
            "UUID",
        ];
        let name = name.to_string();
        let error =
            Error::invalid(format!("unknown type `{name}`")).with_span(span_of(tokens).unwrap_or(end..end));
        return Err(match nearest(&name, TYPES.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint(
                "types are `BIGINT`, `DOUBLE`, `DECIMAL(p,s)`, `VARCHAR`, `TIMESTAMP`, `BOOLEAN`, …",
            ),
        });
    }
    Ok(parsed)
}

/// Runs `parse` over all of `tokens`.
fn run<T>(
    tokens: &[Tok],
    original: &[Tok],
    end: usize,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T> {
    let dialect: &dyn Dialect = &VeloDialect;
    let given =
        tokens.iter().map(|tok| TokenWithSpan { token: tok.token.clone(), span: tok.place }).collect();
    let mut parser =
        Parser::new(dialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(given);
    let parsed = parse(&mut parser).map_err(|error| translate(&error, tokens, original, end))?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(parsed);
    }
    let index = tokens.iter().position(|tok| tok.place == next.span && tok.token == next.token);
    match index.and_then(|at| tokens.get(at)) {
        Some(tok) => Err(leftover(tok, near_miss(original, tok))),
        None => Err(Error::invalid(format!("unexpected `{}`", next.token)).with_span(end..end)),
    }
}

/// Returns the error for a token that nothing accepts.
pub(super) fn leftover(tok: &Tok, hint: Option<String>) -> Error {
    let error = Error::invalid(format!("unexpected `{}`", tok.token)).with_span(tok.span.clone());
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error.with_hint("the statement was complete before it; statements are separated by `;`"),
    }
}

/// Returns a suggestion when `at`, or the word before it, is nearly a clause's keyword.
fn near_miss(original: &[Tok], at: &Tok) -> Option<String> {
    let index = original.iter().position(|tok| tok.span == at.span)?;
    let before = index.checked_sub(1).and_then(|at| original.get(at));
    if before.is_some_and(|tok| tok.is_word("WINDOW")) {
        return Some(match at.word().and_then(|word| nearest(word, WINDOW_NAMES.iter().copied())) {
            Some(near) if !at.is_word(near) => format!("did you mean `{near}` instead of `{}`?", at.token),
            _ => "a window is written like `WINDOW TUMBLING(1m)` or `WINDOW w AS (…)`".to_owned(),
        });
    }
    if at.is_any(&["GROUP", "ORDER"]) {
        return Some(format!("`{}` is followed by `BY`", at.token.to_string().to_uppercase()));
    }
    if at.is_word("EMIT") || before.is_some_and(|tok| tok.is_word("EMIT")) {
        return Some("`EMIT` is followed by `CHANGES`, `FINAL` or `ON WINDOW CLOSE`".to_owned());
    }
    [Some(index), index.checked_sub(1)].into_iter().flatten().find_map(|index| {
        let word = original.get(index)?.word()?;
        if CLAUSE_WORDS.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            return None;
        }
        let near = nearest(word, CLAUSE_WORDS.iter().copied()).filter(|_| word.len() > 2)?;
        Some(format!("did you mean `{near}` instead of `{word}`?"))
    })
}

/// Turns sqlparser's message with its line and column into ours with a span.
fn translate(error: &ParserError, tokens: &[Tok], original: &[Tok], end: usize) -> Error {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::invalid("the statement is nested too deeply")
                .with_hint("split it with a view")
                .with_span(span_of(original).unwrap_or(end..end));
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
    };
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, place.split_once(", Column: ")),
        None => (text, None),
    };
    let place =
        place.and_then(|(line, column)| Some((line.parse::<u64>().ok()?, column.parse::<u64>().ok()?)));
    let found = place.and_then(|(line, column)| {
        tokens.iter().find(|tok| tok.place.start.line == line && tok.place.start.column == column)
    });
    let plain = message.replacen("Expected: ", "Expected ", 1);
    let message = match plain.rsplit_once(", found: ") {
        Some((wanted, "EOF")) => format!("{}, found the end of the statement", lower_first(wanted)),
        Some((wanted, what)) => format!("{}, found `{what}`", lower_first(wanted)),
        None => lower_first(&plain),
    };
    let error = Error::invalid(message);
    let Some(tok) = found else { return error.with_span(end..end) };
    let error = error.with_span(tok.span.clone());
    match near_miss(original, tok) {
        Some(hint) => error.with_hint(hint),
        None if message_wants_expression(error.message()) => {
            error.with_hint("something is missing before it, or it is one too many")
        }
        None => error,
    }
}

fn message_wants_expression(message: &str) -> bool {
    message.starts_with("expected an expression")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// What is refused, and the word it starts with.
type Refused = (&'static str, &'static str);

/// Finds what sqlparser accepts and DataFusion's planner would silently leave out.
struct Ignored;

impl Visitor for Ignored {
    type Break = Refused;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refused> {
        if !query.locks.is_empty() || query.for_clause.is_some() {
            return ControlFlow::Break(("`FOR …` after a query", "FOR"));
        }
        let word = match *query.body {
            SetExpr::Insert(_) => "INSERT",
            SetExpr::Update(_) => "UPDATE",
            SetExpr::Delete(_) => "DELETE",
            SetExpr::Merge(_) => "MERGE",
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(("a statement that changes rows inside a query", word))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refused> {
        if !select.lateral_views.is_empty() {
            return ControlFlow::Break(("`LATERAL VIEW`", "LATERAL"));
        }
        if select.value_table_mode.is_some() {
            return ControlFlow::Break(("`SELECT AS`", "AS"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refused> {
        let TableFactor::Table {
            with_hints,
            version,
            partitions,
            json_path,
            sample,
            index_hints,
            with_ordinality,
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        if sample.is_some() {
            return ControlFlow::Break(("`TABLESAMPLE`", "TABLESAMPLE"));
        }
        if *with_ordinality {
            return ControlFlow::Break(("`WITH ORDINALITY`", "ORDINALITY"));
        }
        if version.is_some() || json_path.is_some() {
            return ControlFlow::Break(("a table version", "FOR"));
        }
        if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
            return ControlFlow::Break(("a table hint", "WITH"));
        }
        ControlFlow::Continue(())
    }
}
