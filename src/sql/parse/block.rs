//! One `SELECT` block: key markers, its window, and the canonical order of its clauses.

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::query::{Level, Pass};
use super::rows_window::ROWS_WINDOW;
use super::window::{column, window_spec};
use super::window_refs::{self, References};
use crate::error::{Error, Result};
use crate::sql::clauses::{Clause, Part, WINDOW_NAMES, ends_expression};
use crate::sql::tokens::{Tok, closing, expected, span_of, split_commas};
use crate::sql::window_spec::{WindowKind, WindowSpec};

/// Where a block stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    /// The statement's own query, or one inside it.
    pub(super) level: Level,
    /// Whether no set operation follows.
    pub(super) last: bool,
    /// Whether there is no set operation at all.
    pub(super) alone: bool,
}

impl Pass<'_> {
    /// Rewrites one block; `tokens` are all of its tokens.
    pub(super) fn block(&mut self, parts: Vec<Part>, tokens: &[Tok], spot: Spot) -> Result<Vec<Tok>> {
        let mut parts = self.take_own(parts, spot)?;
        self.add_star(&mut parts, tokens);
        let mut spec = None;
        let mut place: Option<Tok> = None;
        parts = self.take_window(parts, &mut spec, &mut place)?;
        if let Some(part) = parts.iter_mut().find(|part| part.clause == Clause::Body) {
            self.key_markers(part, spot)?;
        }
        self.take_table_function(&mut parts, &mut spec, &mut place)?;
        if let Some(part) = parts.iter_mut().find(|part| part.clause == Clause::From) {
            part.body = self.from(&part.body)?;
        }
        self.group_window(&mut parts, &mut spec, &mut place)?;
        if let (Some(spec), Some(place)) = (spec, place) {
            if !parts.iter().any(|part| part.clause == Clause::From) {
                return Err(
                    Error::invalid("a window needs rows: the query has no `FROM`").with_span(place.span)
                );
            }
            self.apply_window(&mut parts, spec, &place, spot)?;
        }
        self.emit_parts(parts)
    }

    /// Gives `FROM t` without `SELECT` its `SELECT *`.
    fn add_star(&self, parts: &mut Vec<Part>, tokens: &[Tok]) {
        if let Some(first) = tokens.first()
            && first.is_word("FROM")
            && !parts.iter().any(|part| part.clause == Clause::Body)
        {
            let (head, body) = (vec![first.put_word("SELECT")], vec![first.put(Token::Mul)]);
            parts.push(Part { clause: Clause::Body, head, body });
        }
    }

    /// Takes the `WINDOW TUMBLING(…)` clause out.
    fn take_window(
        &self,
        parts: Vec<Part>,
        spec: &mut Option<WindowSpec>,
        place: &mut Option<Tok>,
    ) -> Result<Vec<Part>> {
        let mut rest = Vec::with_capacity(parts.len());
        for part in parts {
            if part.clause != Clause::StreamWindow {
                rest.push(part);
                continue;
            }
            let open = part.body.iter().position(|tok| tok.token == Token::LParen);
            let (Some(name), Some(open)) = (part.body.first(), open) else {
                return Err(expected(part.body.get(1), self.end, &["("]));
            };
            let close = closing(&part.body, open);
            if let Some(tok) = part.body.get(close + 1) {
                return Err(super::engine::leftover(tok, None));
            }
            let inside = part.body.get(open + 1..close).unwrap_or_default();
            let start = name.span.start;
            *spec = Some(window_spec(name, inside, start..part.span().end)?);
            *place = Some(name.clone());
        }
        Ok(rest)
    }

    /// Takes a window table function for the block's own window, where the block groups by its bounds: then rows need
    /// not be given their windows one by one.
    fn take_table_function(
        &self,
        parts: &mut [Part],
        spec: &mut Option<WindowSpec>,
        place: &mut Option<Tok>,
    ) -> Result<()> {
        let mentions = |clause: Clause| {
            parts.iter().any(|part| part.clause == clause && part.body.iter().any(|tok| tok.is_any(BOUNDS)))
        };
        if spec.is_some() || !mentions(Clause::GroupBy) || mentions(Clause::Where) {
            return Ok(());
        }
        let Some(from) = parts.iter_mut().find(|part| part.clause == Clause::From) else { return Ok(()) };
        let Some((source, own, name)) = self.only_table_function(&from.body)? else { return Ok(()) };
        from.body = source;
        *spec = Some(own);
        *place = Some(name);
        for part in parts {
            part.body = without_qualifiers(&part.body);
        }
        Ok(())
    }

    /// Takes `PRIMARY KEY` behind select items out and notes which items had it.
    fn key_markers(&mut self, part: &mut Part, spot: Spot) -> Result<()> {
        let mut out: Vec<Tok> = Vec::with_capacity(part.body.len());
        let pieces = split_commas(&part.body);
        let mut comma_at = 0;
        for (ordinal, piece) in pieces.iter().enumerate() {
            if ordinal > 0 {
                out.extend(part.body.get(comma_at).cloned());
            }
            comma_at += piece.len() + usize::from(ordinal > 0);
            let marker = (1..piece.len()).find(|at| {
                piece.get(*at).is_some_and(|tok| tok.is_word("PRIMARY"))
                    && piece.get(at + 1).is_some_and(|tok| tok.is_word("KEY"))
                    && ends_expression(piece, at - 1)
                    && outside_brackets(piece, *at)
            });
            let Some(at) = marker else {
                out.extend_from_slice(piece);
                continue;
            };
            let marker = piece.get(at..at + 2).unwrap_or_default();
            if spot.level == Level::Nested {
                return Err(Error::invalid("`PRIMARY KEY` inside a subquery")
                    .with_hint("mark the key in the statement's own select list")
                    .with_span(span_of(marker).unwrap_or_default()));
            }
            if !self.primary_key.contains(&ordinal) {
                self.primary_key.push(ordinal);
            }
            out.extend_from_slice(piece.get(..at).unwrap_or_default());
            out.extend_from_slice(piece.get(at + 2..).unwrap_or_default());
        }
        part.body = out;
        Ok(())
    }

    /// Takes a window call out of `GROUP BY`.
    fn group_window(
        &self,
        parts: &mut [Part],
        spec: &mut Option<WindowSpec>,
        place: &mut Option<Tok>,
    ) -> Result<()> {
        let Some(part) = parts.iter_mut().find(|part| part.clause == Clause::GroupBy) else { return Ok(()) };
        let mut items: Vec<Vec<Tok>> = Vec::new();
        for piece in split_commas(&part.body) {
            let [name, open, ..] = piece else {
                items.push(piece.to_vec());
                continue;
            };
            let is_call = name.is_any(WINDOW_NAMES)
                && open.token == Token::LParen
                && closing(piece, 1) + 1 == piece.len();
            if !is_call {
                items.push(piece.to_vec());
                continue;
            }
            let span = span_of(piece).unwrap_or_default();
            if spec.is_some() {
                return Err(Error::invalid("a query has one window")
                    .with_hint("put one of them into a subquery")
                    .with_span(span));
            }
            *spec = Some(window_spec(name, piece.get(2..piece.len() - 1).unwrap_or_default(), span)?);
            *place = Some(name.clone());
        }
        if let Some(place) = place.as_ref()
            && items.is_empty()
        {
            // The window alone: its two calls are added when it is applied.
            let head = part.head.clone();
            *part = Part { clause: Clause::GroupBy, head, body: Vec::new() };
            let _ = place;
            return Ok(());
        }
        part.body = join(items);
        Ok(())
    }

    /// Puts the window's bounds where the block refers to them and groups by them.
    fn apply_window(
        &mut self,
        parts: &mut Vec<Part>,
        spec: WindowSpec,
        place: &Tok,
        spot: Spot,
    ) -> Result<()> {
        let references = References { spec: &spec, text: self.text };
        let grouped = parts.iter().any(|part| part.clause == Clause::GroupBy);
        let body = parts.iter().find(|part| part.clause == Clause::Body);
        let aggregated = grouped
            || body.is_some_and(|part| {
                window_refs::has_aggregate(&part.body) || references.all_items(&part.body)
            });
        for part in parts.iter_mut() {
            match part.clause {
                Clause::Body => part.body = references.select_items(&part.body)?,
                Clause::Having | Clause::Qualify | Clause::OrderBy | Clause::GroupBy => {
                    part.body = references.replace(&part.body)?.0;
                }
                _ => {}
            }
        }
        if !aggregated {
            if spot.level == Level::Top && spot.alone {
                self.rows_window = Some(spec.clone());
            }
            mark_rows_window(parts, self.rows_windows.len(), place);
            self.rows_windows.push((spec, place.span.clone()));
            return Ok(());
        }
        let bounds = References::bounds(&spec, place);
        match parts.iter_mut().find(|part| part.clause == Clause::GroupBy) {
            Some(part) => {
                let mut items: Vec<Vec<Tok>> =
                    split_commas(&part.body).into_iter().map(<[Tok]>::to_vec).collect();
                for bound in bounds {
                    if !items.iter().any(|item| same(item, &bound)) {
                        items.push(bound);
                    }
                }
                part.body = join(items);
            }
            None => {
                let head = vec![place.put_word("GROUP"), place.put_word("BY")];
                parts.push(Part { clause: Clause::GroupBy, head, body: join(bounds) });
            }
        }
        Ok(())
    }
}

/// Marks a block whose window has this ordinal and keeps its rows, by a named window that is taken out of the tree again.
fn mark_rows_window(parts: &mut Vec<Part>, ordinal: usize, place: &Tok) {
    let mut mark = vec![place.put_word(&format!("{ROWS_WINDOW}{ordinal}")), place.put_word("AS")];
    mark.extend([place.put(Token::LParen), place.put(Token::RParen)]);
    match parts.iter_mut().find(|part| part.clause == Clause::NamedWindow) {
        Some(part) => {
            part.body.push(place.put(Token::Comma));
            part.body.extend(mark);
        }
        None => {
            let head = vec![place.put_word("WINDOW")];
            parts.push(Part { clause: Clause::NamedWindow, head, body: mark });
        }
    }
}

/// Returns whether `at` is outside all brackets of `tokens`.
pub(super) fn outside_brackets(tokens: &[Tok], at: usize) -> bool {
    let before = tokens.get(..at).unwrap_or_default();
    before.iter().map(|tok| crate::sql::tokens::bracket(&tok.token)).sum::<i32>() == 0
}

/// The columns that a window adds to its rows.
const BOUNDS: &[&str] = &["window_start", "window_end", "session_duration"];

/// Leaves the alias before a window's bounds out: they are the block's own.
fn without_qualifiers(tokens: &[Tok]) -> Vec<Tok> {
    let mut out: Vec<Tok> = Vec::with_capacity(tokens.len());
    for tok in tokens {
        if tok.is_any(BOUNDS) && out.last().is_some_and(|dot| dot.token == Token::Period) {
            out.truncate(out.len() - 2);
        }
        out.push(tok.clone());
    }
    out
}

fn same(left: &[Tok], right: &[Tok]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.token == b.token)
}

/// Puts commas between items.
pub(super) fn join(items: Vec<Vec<Tok>>) -> Vec<Tok> {
    let mut out: Vec<Tok> = Vec::new();
    for item in items {
        if let (Some(last), Some(_)) = (out.last(), item.first()) {
            let comma = last.put(Token::Comma);
            out.push(comma);
        }
        out.extend(item);
    }
    out
}

/// Returns the source, its alias-to-be, the time column and the rest of a window table function's arguments.
pub(super) fn table_window(
    name: &Tok,
    arguments: &[Tok],
    place: Range<usize>,
) -> Result<(Vec<Tok>, WindowSpec)> {
    let pieces = split_commas(arguments);
    let Some((source, rest)) = pieces.split_first() else {
        return Err(Error::invalid(format!("`{}` as a table function needs a source", name.token))
            .with_hint("write it like `TUMBLE(s, ts, INTERVAL '1' MINUTE)`")
            .with_span(place));
    };
    let source = match source {
        [table, name @ ..] if table.is_word("TABLE") && !name.is_empty() => name,
        all => all,
    };
    let (source, keys) = partition_of(source);
    // More keys may follow, up to the time.
    let more = rest.iter().position(|piece| piece.first().is_some_and(|tok| tok.is_word("DESCRIPTOR")));
    let (more, rest) = rest.split_at(more.filter(|_| !keys.is_empty()).unwrap_or(0));
    let is_name = column(source).is_some();
    let is_query = source.first().is_some_and(|tok| tok.token == Token::LParen)
        && closing(source, 0) + 1 == source.len();
    if !is_name && !is_query {
        let span = span_of(source).unwrap_or(place);
        return Err(Error::invalid("expected a source's name or a query in brackets").with_span(span));
    }
    let inside = join(rest.iter().map(|piece| piece.to_vec()).collect());
    let mut spec = window_spec(name, &inside, place.clone())?;
    if let Some(first) = keys.first() {
        if !matches!(spec.kind, WindowKind::Session { .. }) {
            return Err(Error::invalid(format!(
                "`PARTITION BY` in `{}`, whose windows have no key",
                name.token
            ))
            .with_hint("leave it out: the rows of all keys are in the same windows")
            .with_span(first.span.clone()));
        }
        let keys = match keys {
            [open, inside @ .., close] if open.token == Token::LParen && close.token == Token::RParen => {
                inside
            }
            all => all,
        };
        for key in split_commas(keys).into_iter().chain(more.iter().copied()) {
            let Some(column) = column(key) else {
                return Err(Error::invalid("the key of a session is a column")
                    .with_span(span_of(key).unwrap_or(place)));
            };
            spec.partition_by.push(column);
        }
    }
    Ok((source.to_vec(), spec))
}

/// Takes `PARTITION BY a, b` behind a source apart.
fn partition_of(source: &[Tok]) -> (&[Tok], &[Tok]) {
    let at = (1..source.len()).find(|&at| {
        source[at].is_word("PARTITION")
            && source.get(at + 1).is_some_and(|tok| tok.is_word("BY"))
            && outside_brackets(source, at)
    });
    match at {
        Some(at) => (&source[..at], &source[at + 2..]),
        None => (source, &[]),
    }
}
