//! References to a block's window (`_window_start`, `TUMBLE_END(…)`, `session_duration`) become calls that carry its text.

use sqlparser::tokenizer::Token;

use super::query::is_query;
use super::window::window_spec;
use crate::error::{Error, Result};
use crate::sql::clauses::ends_expression;
use crate::sql::tokens::{Tok, closing, span_of, split_commas};
use crate::sql::window_spec::{WindowKind, WindowSpec};

/// The call for a window's start.
pub const WINDOW_START: &str = "__window_start";
/// The call for a window's end.
pub const WINDOW_END: &str = "__window_end";
/// The call for the time from a session's first row to its last.
pub const SESSION_DURATION: &str = "__session_duration";

/// Names that stand for a window's bounds, and the calls they become.
const NAMES: &[(&str, &str)] = &[
    ("_window_start", WINDOW_START),
    ("window_start", WINDOW_START),
    ("_window_end", WINDOW_END),
    ("window_end", WINDOW_END),
    ("session_duration", SESSION_DURATION),
];

/// Functions that stand for a window's bounds, their calls, and the window whose arguments they repeat.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("tumble_start", WINDOW_START, "TUMBLE"),
    ("tumble_end", WINDOW_END, "TUMBLE"),
    ("hop_start", WINDOW_START, "HOP"),
    ("hop_end", WINDOW_END, "HOP"),
    ("session_start", WINDOW_START, "SESSION"),
    ("session_end", WINDOW_END, "SESSION"),
];

/// Names of aggregate functions, for telling an aggregating block from one that keeps its rows.
const AGGREGATES: &[&str] = &[
    "approx_count_distinct",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "collect",
    "corr",
    "count",
    "count_distinct",
    "covar",
    "covar_pop",
    "covar_samp",
    "first",
    "first_value",
    "group_concat",
    "last",
    "last_value",
    "listagg",
    "max",
    "mean",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "percentile_disc",
    "quantile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_population",
    "var_samp",
    "var_sample",
    "variance",
    "grouping",
    "every",
    "delta",
];

/// Returns whether `name` is an aggregate function.
pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name.to_lowercase().as_str())
}

/// Returns whether an aggregate is called in `tokens`, outside subqueries and not as a window function.
pub(super) fn has_aggregate(tokens: &[Tok]) -> bool {
    let mut at = 0;
    while let Some(tok) = tokens.get(at) {
        if tok.token == Token::LParen {
            let close = closing(tokens, at);
            let inside = tokens.get(at + 1..close).unwrap_or_default();
            let called = at.checked_sub(1).and_then(|i| tokens.get(i)).and_then(Tok::word);
            if called.is_some_and(is_aggregate) && !over_follows(tokens, close + 1) {
                return true;
            }
            if !is_query(inside) && has_aggregate(inside) {
                return true;
            }
            at = close + 1;
            continue;
        }
        at += 1;
    }
    false
}

/// Returns whether `OVER` follows a call that ended before `at`, perhaps after `FILTER (…)` and the like.
fn over_follows(tokens: &[Tok], mut at: usize) -> bool {
    let word = |n: usize, words: &[&str]| tokens.get(n).is_some_and(|tok| tok.is_any(words));
    loop {
        if word(at, &["OVER"]) {
            return true;
        }
        if word(at, &["FILTER"]) {
            at = closing(tokens, at + 1) + 1;
        } else if word(at, &["WITHIN"]) && word(at + 1, &["GROUP"]) {
            at = closing(tokens, at + 2) + 1;
        } else if word(at, &["IGNORE", "RESPECT"]) && word(at + 1, &["NULLS"]) {
            at += 2;
        } else {
            return false;
        }
    }
}

/// Replaces references to one window.
pub(super) struct References<'a> {
    pub(super) spec: &'a WindowSpec,
    pub(super) text: &'a str,
}

impl References<'_> {
    /// Returns the calls for the window's start and end, and a session's duration, standing at `place`.
    pub(super) fn bounds(spec: &WindowSpec, place: &Tok) -> Vec<Vec<Tok>> {
        let mut bounds = vec![call(WINDOW_START, spec, place), call(WINDOW_END, spec, place)];
        if matches!(spec.kind, WindowKind::Session { .. }) {
            bounds.push(call(SESSION_DURATION, spec, place));
        }
        bounds
    }

    /// Returns whether every select item is nothing but a reference.
    pub(super) fn all_items(&self, body: &[Tok]) -> bool {
        split_commas(body).into_iter().all(|piece| {
            reference(piece, 0).is_some_and(|(_, width, _)| {
                piece.get(width).is_none_or(|tok| tok.is_word("AS") || width + 1 == piece.len())
            })
        })
    }

    /// Replaces references in select items and keeps the names of those without an alias.
    pub(super) fn select_items(&self, body: &[Tok]) -> Result<Vec<Tok>> {
        let mut items = Vec::new();
        for piece in split_commas(body) {
            let (mut item, replaced) = self.replace(piece)?;
            if let (true, false, Some(first)) = (replaced, has_alias(piece), piece.first()) {
                let name = match reference(piece, 0) {
                    Some((_, width, name)) if width == piece.len() => name.to_owned(),
                    _ => span_of(piece).and_then(|span| self.text.get(span)).unwrap_or_default().to_owned(),
                };
                item.push(first.put_word("AS"));
                item.push(first.put_name(&name));
            }
            items.push(item);
        }
        Ok(super::block::join(items))
    }

    /// Replaces references outside subqueries; says whether there was one.
    pub(super) fn replace(&self, tokens: &[Tok]) -> Result<(Vec<Tok>, bool)> {
        let mut out = Vec::with_capacity(tokens.len());
        let mut replaced = false;
        let mut at = 0;
        while let Some(tok) = tokens.get(at) {
            if let Some((target, width, name)) = reference(tokens, at) {
                self.check_arguments(tokens.get(at..at + width).unwrap_or_default(), name)?;
                out.extend(call(target, self.spec, tok));
                replaced = true;
                at += width;
                continue;
            }
            out.push(tok.clone());
            at += 1;
            if tok.token == Token::LParen {
                let close = closing(tokens, at - 1);
                let inside = tokens.get(at..close).unwrap_or_default();
                if is_query(inside) {
                    out.extend_from_slice(inside);
                } else {
                    let (inner, any) = self.replace(inside)?;
                    out.extend(inner);
                    replaced |= any;
                }
                out.extend(tokens.get(close).cloned());
                at = close + 1;
            }
        }
        Ok((out, replaced))
    }

    /// Checks that `TUMBLE_START(ts, …)` repeats the arguments of the block's own window.
    fn check_arguments(&self, tokens: &[Tok], name: &str) -> Result<()> {
        let Some((_, _, window)) = FUNCTIONS.iter().find(|(function, ..)| *function == name) else {
            return Ok(());
        };
        let ([first, _, inside @ .., _], Some(span)) = (tokens, span_of(tokens)) else { return Ok(()) };
        if inside.is_empty() || split_commas(inside).len() == 1 && super::window::column(inside).is_some() {
            return Ok(());
        }
        let spec = window_spec(&first.put_word(window), inside, span.clone())?;
        if spec.kind == self.spec.kind {
            return Ok(());
        }
        Err(Error::invalid(format!("`{name}` describes another window than the query's"))
            .with_hint("repeat the window's arguments, or use `window_start` and `window_end`")
            .with_span(span))
    }
}

/// Returns the call that the reference at `at` becomes, its length in tokens, and its name.
fn reference(tokens: &[Tok], at: usize) -> Option<(&'static str, usize, &'static str)> {
    let tok = tokens.get(at)?;
    let word = tok.word()?.to_lowercase();
    let before = at.checked_sub(1);
    let is_part =
        before.and_then(|i| tokens.get(i)).is_some_and(|tok| tok.token == Token::Period || tok.is_word("AS"));
    if is_part || before.is_some_and(|i| ends_expression(tokens, i)) {
        return None;
    }
    let next = tokens.get(at + 1).map(|tok| &tok.token);
    if next == Some(&Token::LParen) {
        let (name, target, _) = FUNCTIONS.iter().find(|(name, ..)| *name == word)?;
        return Some((target, closing(tokens, at + 1) + 1 - at, name));
    }
    let (name, target) = NAMES.iter().find(|(name, _)| *name == word)?;
    (next != Some(&Token::Period)).then_some((*target, 1, *name))
}

/// Returns whether a select item has an alias, with or without `AS`.
fn has_alias(piece: &[Tok]) -> bool {
    let Some(last) = piece.len().checked_sub(1) else { return true };
    let is_name = piece.get(last).is_some_and(|tok| matches!(tok.token, Token::Word(_)));
    let Some(before) = last.checked_sub(1) else { return false };
    let after = piece.get(before).is_some_and(|tok| tok.is_word("AS")) || ends_expression(piece, before);
    let is_unit =
        before.checked_sub(1).and_then(|at| piece.get(at)).is_some_and(|tok| tok.is_word("INTERVAL"));
    is_name && after && !is_unit && !piece.get(last).is_some_and(|tok| tok.is_any(&["END", "NULL"]))
}

/// Returns `target('text of the window')`, standing at `place`.
fn call(target: &str, spec: &WindowSpec, place: &Tok) -> Vec<Tok> {
    vec![
        place.put_word(target),
        place.put(Token::LParen),
        place.put(Token::SingleQuotedString(spec.to_text())),
        place.put(Token::RParen),
    ]
}
