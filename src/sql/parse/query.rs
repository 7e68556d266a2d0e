//! The token pass over a query: takes our clauses out, puts windows into calls, and hands the rest to sqlparser in its order.

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::block::Spot;
use super::engine;
use super::options::option_list;
use super::rows_window;
use super::window::duration;
use crate::error::{Error, Result};
use crate::sql::alias;
use crate::sql::clauses::{Clause, Part, source_before, split};
use crate::sql::dialect::{IS_DISTINCT_FROM, IS_NOT_DISTINCT_FROM};
use crate::sql::duration::BareNumber;
use crate::sql::function_alias;
use crate::sql::functions::ROWS_BUFFER;
use crate::sql::statement::{Emit, EmitMode, InlineOptions, Name, OptionItem, StreamQuery};
use crate::sql::tokens::{Tok, closing, expected, span_of};
use crate::sql::window_spec::WindowSpec;

/// Words that sqlparser would take for other products' clauses; in our queries they are names.
const SOFT_WORDS: &[&str] = &[
    "TOP",
    "FORMAT",
    "SETTINGS",
    "SAMPLE",
    "PREWHERE",
    "CONNECT",
    "START",
    "CLUSTER",
    "DISTRIBUTE",
    "SORT",
    "OPEN",
    "OUTPUT",
    "RETURNING",
    "VIEW",
    "GLOBAL",
    "EXPLAIN",
    "ANALYZE",
    "MATCH_RECOGNIZE",
    "EMIT",
];

/// Whether a query is the statement's own or stands inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Top,
    Nested,
}

/// What the pass takes out of a query's tokens.
#[derive(Debug, Default)]
pub(super) struct Pass<'a> {
    pub(super) text: &'a str,
    /// The byte after the statement.
    pub(super) end: usize,
    pub(super) emit: Option<Emit>,
    pub(super) into: Option<Name>,
    pub(super) into_options: Vec<OptionItem>,
    pub(super) options: Vec<OptionItem>,
    pub(super) options_follow: Option<String>,
    pub(super) primary_key: Vec<usize>,
    pub(super) grace_ms: Option<i64>,
    pub(super) inline_options: Vec<InlineOptions>,
    pub(super) uris: Vec<(String, Range<usize>)>,
    pub(super) rows_window: Option<WindowSpec>,
    /// The windows of blocks that keep their rows, and where they stand.
    pub(super) rows_windows: Vec<(WindowSpec, Range<usize>)>,
}

/// Parses the tokens of a whole query; `text` is the whole text and `end` the byte after the statement.
///
/// # Errors
/// `Invalid` with the place of the first token that nothing accepts.
pub(crate) fn stream_query(text: &str, tokens: &[Tok], end: usize) -> Result<StreamQuery> {
    let span = span_of(tokens).unwrap_or(end..end);
    let mut pass = Pass { text, end, ..Pass::default() };
    let soft = soften(tokens);
    let rewritten = pass.query(&soft, Level::Top)?;
    let mut query = engine::parse_query(&rewritten, tokens, end)?;
    function_alias::rewrite(&mut query, tokens).map_err(|error| error.with_span(span.clone()))?;
    alias::reuse(&mut query).map_err(|error| error.with_span(span.clone()))?;
    rows_window::apply(&mut query, &pass.rows_windows)?;
    Ok(StreamQuery {
        query,
        emit: pass.emit,
        into: pass.into,
        into_options: pass.into_options,
        options: pass.options,
        options_follow: pass.options_follow,
        primary_key: pass.primary_key,
        grace_ms: pass.grace_ms,
        inline_options: pass.inline_options,
        uris: pass.uris,
        rows_window: pass.rows_window,
        span,
    })
}

/// Turns words that are no keywords here into names, and `IS [NOT] DISTINCT FROM` into one operator each.
pub(super) fn soften(tokens: &[Tok]) -> Vec<Tok> {
    let mut out: Vec<Tok> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(tok) = tokens.get(at) {
        let words = |list: &[&str]| {
            list.iter().enumerate().all(|(n, word)| tokens.get(at + n).is_some_and(|tok| tok.is_word(word)))
        };
        if words(&["IS", "DISTINCT", "FROM"]) {
            out.push(tok.put(Token::CustomBinaryOperator(IS_DISTINCT_FROM.to_owned())));
            at += 3;
            continue;
        }
        if words(&["IS", "NOT", "DISTINCT", "FROM"]) {
            out.push(tok.put(Token::CustomBinaryOperator(IS_NOT_DISTINCT_FROM.to_owned())));
            at += 4;
            continue;
        }
        let mut tok = tok.clone();
        if tok.is_any(SOFT_WORDS) {
            tok.make_plain();
        }
        out.push(tok);
        at += 1;
    }
    out
}

/// Returns whether tokens between brackets are a query.
pub(super) fn is_query(inside: &[Tok]) -> bool {
    let Some(at) = inside.iter().position(|tok| tok.token != Token::LParen) else { return false };
    // `(SELECT …), 1` are values, of which one is a query.
    if at > 0 && inside.get(closing(inside, 0) + 1).is_some_and(|tok| !goes_on(tok)) {
        return false;
    }
    let next_is_bracket = inside.get(at + 1).is_some_and(|tok| tok.token == Token::LParen);
    inside.get(at).is_some_and(|tok| {
        tok.is_word("SELECT") && !starts_no_select(inside.get(at + 1))
            || (tok.is_word("WITH") && !next_is_bracket && inside.len() > at + 1)
            || (tok.is_word("VALUES") && next_is_bracket)
    })
}

/// Returns whether a query in brackets goes on with `tok`.
fn goes_on(tok: &Tok) -> bool {
    tok.is_any(&["UNION", "EXCEPT", "INTERSECT", "MINUS", "ORDER", "LIMIT", "OFFSET", "FETCH"])
}

/// Returns whether the word before `next` is a column called `select`, not the keyword.
fn starts_no_select(next: Option<&Tok>) -> bool {
    next.is_none_or(|tok| matches!(tok.token, Token::Comma | Token::RParen | Token::Period | Token::Eq))
}

impl Pass<'_> {
    /// Rewrites a query: common tables, arms of set operations, and what closes the whole.
    pub(super) fn query(&mut self, tokens: &[Tok], level: Level) -> Result<Vec<Tok>> {
        let mut out = Vec::with_capacity(tokens.len());
        let body_at = self.common_tables(tokens, &mut out)?;
        let arms = arms(tokens.get(body_at..).unwrap_or_default());
        let count = arms.len();
        for (index, (operator, arm)) in arms.into_iter().enumerate() {
            out.extend_from_slice(operator);
            let spot = Spot { level, last: index + 1 == count, alone: count == 1 };
            out.extend(self.arm(arm, spot)?);
        }
        Ok(out)
    }

    /// Copies `WITH name AS (…), …`, each query rewritten; returns where the body starts.
    fn common_tables(&mut self, tokens: &[Tok], out: &mut Vec<Tok>) -> Result<usize> {
        let is_with = tokens.first().is_some_and(|tok| tok.is_word("WITH"));
        if !is_with || tokens.get(1).is_some_and(|tok| tok.token == Token::LParen) {
            return Ok(0);
        }
        let mut at = 1;
        let mut seen_query = false;
        out.extend(tokens.first().cloned());
        while let Some(tok) = tokens.get(at) {
            if tok.token == Token::LParen {
                let close = closing(tokens, at);
                let inside = tokens.get(at + 1..close).unwrap_or_default();
                out.push(tok.clone());
                if is_query(inside) {
                    out.extend(self.query(inside, Level::Nested)?);
                    seen_query = true;
                } else {
                    out.extend_from_slice(inside);
                }
                out.extend(tokens.get(close).cloned());
                at = close + 1;
                if seen_query && tokens.get(at).is_none_or(|tok| tok.token != Token::Comma) {
                    return Ok(at);
                }
                continue;
            }
            seen_query = false;
            out.push(tok.clone());
            at += 1;
        }
        Err(expected(None, self.end, &["SELECT"])
            .with_hint("a common table is written `WITH name AS (SELECT …) SELECT …`"))
    }

    /// Rewrites one arm of a set operation.
    fn arm(&mut self, arm: &[Tok], spot: Spot) -> Result<Vec<Tok>> {
        let Some(first) = arm.first() else {
            return Err(expected(None, self.end, &["SELECT"]));
        };
        if first.token != Token::LParen {
            let parts = split(arm, spot.level == Level::Nested, false, self.end)?;
            return self.block(parts, arm, spot);
        }
        let close = closing(arm, 0);
        let mut out = vec![first.clone()];
        out.extend(self.query(arm.get(1..close).unwrap_or_default(), Level::Nested)?);
        out.extend(arm.get(close).cloned());
        let tail = arm.get(close + 1..).unwrap_or_default();
        let parts = split(tail, spot.level == Level::Nested, true, self.end)?;
        for part in &parts {
            match part.clause {
                Clause::OrderBy | Clause::Limit | Clause::Offset | Clause::Fetch => {}
                Clause::Emit | Clause::Into | Clause::With | Clause::Grace => {}
                other => {
                    return Err(Error::invalid(format!("`{}` after a query in brackets", other.keyword()))
                        .with_hint("put it inside the brackets")
                        .with_span(part.span()));
                }
            }
        }
        let parts = self.take_own(parts, spot)?;
        out.extend(self.emit_parts(parts)?);
        Ok(out)
    }

    /// Takes `EMIT`, `INTO`, `WITH` and `GRACE PERIOD` out of a block's clauses.
    pub(super) fn take_own(&mut self, parts: Vec<Part>, spot: Spot) -> Result<Vec<Part>> {
        let mut rest = Vec::with_capacity(parts.len());
        let mut before = None;
        let mut from_body: Option<Vec<Tok>> = None;
        for part in parts {
            let clause = part.clause;
            match clause {
                Clause::Emit | Clause::Into | Clause::With | Clause::Grace => {
                    self.check_spot(&part, spot)?;
                    let follows = from_body.take().filter(|_| before == Some(Clause::From));
                    self.take_clause(&part, before, follows.as_deref())?;
                }
                _ => {
                    from_body = (clause == Clause::From).then(|| part.body.clone());
                    rest.push(part);
                }
            }
            before = Some(clause);
        }
        Ok(rest)
    }

    /// Checks that a clause of the whole statement stands at its end, not in a part.
    fn check_spot(&self, part: &Part, spot: Spot) -> Result<()> {
        let keyword = part.clause.keyword();
        if spot.level == Level::Nested {
            return Err(Error::invalid(format!("`{keyword}` inside a subquery"))
                .with_hint(format!("`{keyword}` belongs to the whole statement, at its end"))
                .with_span(part.span()));
        }
        // `SELECT … INTO sink FROM …` may stand in any arm, once.
        if part.clause == Clause::Into && self.into.is_none() {
            return Ok(());
        }
        if !spot.last {
            return Err(Error::invalid(format!("`{keyword}` before a set operation"))
                .with_hint(format!("`{keyword}` belongs to the whole query, at its end"))
                .with_span(part.span()));
        }
        Ok(())
    }

    fn take_clause(&mut self, part: &Part, before: Option<Clause>, from: Option<&[Tok]>) -> Result<()> {
        match part.clause {
            Clause::Emit => self.emit = Some(emit(part, self.end)?),
            Clause::Grace => {
                let ms = duration(&part.body, BareNumber::Seconds, part.span())?;
                self.grace_ms = Some(ms);
            }
            Clause::Into => self.into = Some(into_name(part, self.end)?),
            Clause::With => {
                let [open, inside @ .., close] = part.body.as_slice() else {
                    return Err(expected(part.body.get(1), self.end, &[")"]));
                };
                let after = part.body.get(closing(&part.body, 0) + 1);
                if open.token != Token::LParen || close.token != Token::RParen || after.is_some() {
                    return Err(engine::leftover(after.unwrap_or(close), None));
                }
                let items = option_list(self.text, inside, self.end)?;
                if before == Some(Clause::Into) {
                    self.into_options = items;
                } else {
                    self.options = items;
                    self.options_follow = from.and_then(source_before);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes clauses in sqlparser's order, queries inside them rewritten.
    pub(super) fn emit_parts(&mut self, mut parts: Vec<Part>) -> Result<Vec<Tok>> {
        parts.sort_by_key(|part| part.clause);
        let mut out = Vec::new();
        for part in parts {
            out.extend(part.head);
            if part.clause == Clause::From {
                out.extend(part.body);
            } else {
                out.extend(self.descend(&part.body)?);
            }
        }
        Ok(out)
    }

    /// Rewrites the queries inside brackets.
    pub(super) fn descend(&mut self, tokens: &[Tok]) -> Result<Vec<Tok>> {
        let mut out = Vec::with_capacity(tokens.len());
        let mut at = 0;
        while let Some(tok) = tokens.get(at) {
            out.push(tok.clone());
            if tok.token != Token::LParen {
                at += 1;
                continue;
            }
            let close = closing(tokens, at);
            let inside = tokens.get(at + 1..close).unwrap_or_default();
            if let [rows, window, buffer, ..] = inside
                && rows.is_word("ROWS")
                && window.is_word("WINDOW")
                && buffer.is_word("BUFFER")
            {
                out.extend(self.descend(&rows_buffer(inside, rows.span.start..buffer.span.end)?)?);
                out.extend(tokens.get(close).cloned());
                at = close + 1;
                continue;
            }
            let inner =
                if is_query(inside) { self.query(inside, Level::Nested)? } else { self.descend(inside)? };
            out.extend(inner);
            out.extend(tokens.get(close).cloned());
            at = close + 1;
        }
        Ok(out)
    }
}

/// Rewrites what stands in `OVER (ROWS WINDOW BUFFER n ROWS …)`: the buffer becomes a mark in `PARTITION BY`.
fn rows_buffer(inside: &[Tok], span: Range<usize>) -> Result<Vec<Tok>> {
    let count = inside.get(3).filter(|tok| match &tok.token {
        Token::Number(number, _) => number.parse::<u32>().is_ok_and(|number| number > 0),
        _ => false,
    });
    let (Some(count), Some(rows)) = (count, inside.get(4).filter(|tok| tok.is_word("ROWS"))) else {
        return Err(Error::invalid("`ROWS WINDOW BUFFER` needs a number of rows above zero")
            .with_hint("write it like `OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY k ORDER BY ts)`")
            .with_span(span));
    };
    let mut rest = inside.get(5..).unwrap_or_default();
    let words = |list: &[&str], tail: &[Tok]| {
        tail.len() == list.len() && list.iter().zip(tail).all(|(word, tok)| tok.is_word(word))
    };
    let tail = |rest: &[Tok], width: usize| rest.len().checked_sub(width);
    // A row is given with every record and rows stay for ever, as these say.
    for usual in [&["EXPIRE", "AFTER", "NEVER"], &["EMIT", "EVERY", "RECORD"]] {
        if let Some(start) =
            tail(rest, 3).filter(|&start| words(usual, rest.get(start..).unwrap_or_default()))
        {
            rest = rest.get(..start).unwrap_or_default();
        }
    }
    if let Some(clause) = rest.iter().find(|tok| tok.is_any(&["EXPIRE", "EMIT"])) {
        let word = clause.word().unwrap_or_default().to_uppercase();
        return Err(Error::not_yet(format!("`{word}` in `ROWS WINDOW BUFFER`"))
            .with_hint("leave it out: each row is given, and rows stay until others take their place")
            .with_span(clause.span.clone()));
    }
    let mark =
        [count.put_word(ROWS_BUFFER), count.put(Token::LParen), count.clone(), rows.put(Token::RParen)];
    let mut out = vec![rows.put_word("PARTITION"), rows.put_word("BY")];
    out.extend(mark);
    match rest {
        [partition, by, keys @ ..] if partition.is_word("PARTITION") && by.is_word("BY") => {
            out.push(rows.put(Token::Comma));
            out.extend_from_slice(keys);
        }
        rest => out.extend_from_slice(rest),
    }
    Ok(out)
}

/// Splits a query body at its set operators; each arm comes with the operator before it.
fn arms(tokens: &[Tok]) -> Vec<(&[Tok], &[Tok])> {
    let mut out = Vec::new();
    let (mut operator, mut start, mut at) = (0..0, 0, 0);
    while let Some(tok) = tokens.get(at) {
        if tok.token == Token::LParen {
            at = closing(tokens, at) + 1;
            continue;
        }
        let width = set_operator(tokens, at);
        if width == 0 {
            at += 1;
            continue;
        }
        out.push((operator, start..at));
        operator = at..at + width;
        start = at + width;
        at = start;
    }
    out.push((operator, start..tokens.len()));
    out.into_iter()
        .map(|(operator, arm)| {
            (tokens.get(operator).unwrap_or_default(), tokens.get(arm).unwrap_or_default())
        })
        .collect()
}

/// Returns how many tokens the set operator at `at` has, or none.
fn set_operator(tokens: &[Tok], at: usize) -> usize {
    let word = |n: usize, words: &[&str]| tokens.get(at + n).is_some_and(|tok| tok.is_any(words));
    let before = at.checked_sub(1).and_then(|i| tokens.get(i));
    // `* EXCEPT (a, b)` names columns; `t.union` is one.
    let no_operator = before.is_none_or(|tok| {
        matches!(tok.token, Token::Mul | Token::Period | Token::Comma) || tok.is_any(&["AS", "SELECT"])
    });
    if !word(0, &["UNION", "EXCEPT", "INTERSECT"]) || no_operator {
        return 0;
    }
    let mut width = 1 + usize::from(word(1, &["ALL", "DISTINCT"]));
    if word(width, &["BY"]) && word(width + 1, &["NAME"]) {
        width += 2;
    }
    width
}

/// Reads `CHANGES`, `FINAL` or `ON WINDOW CLOSE`.
fn emit(part: &Part, end: usize) -> Result<Emit> {
    let words: Vec<String> =
        part.body.iter().map(|tok| tok.word().unwrap_or_default().to_ascii_uppercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mode, width) = match words.as_slice() {
        ["CHANGES", ..] => (EmitMode::Changes, 1),
        ["FINAL", ..] => (EmitMode::Final, 1),
        ["ON", "WINDOW", "CLOSE", ..] => (EmitMode::Final, 3),
        _ => return Err(expected(part.body.get(2), end, &["CLOSE"])),
    };
    match part.body.get(width) {
        None => Ok(Emit { mode, span: part.span() }),
        Some(tok) => Err(engine::leftover(tok, None)),
    }
}

fn into_name(part: &Part, end: usize) -> Result<Name> {
    let name = part.body.first().and_then(|tok| {
        let value = tok.name().or_else(|| tok.quoted().map(str::to_owned))?;
        Some(Name { value, span: tok.span.clone() })
    });
    match part.body.get(1) {
        Some(tok) => Err(engine::leftover(tok, None)),
        None => name.ok_or_else(|| expected(part.body.first(), end, &["a sink's name"])),
    }
}
