//! Joins with a clause about time: `WITHIN`, `FOR SYSTEM_TIME AS OF` and `ASOF … MATCH_CONDITION` become calls in `ON`.
//!
//! ```text
//! a JOIN b ON a.k = b.k WITHIN 5m                       a JOIN b ON __join_within(…) AND (a.k = b.k)
//! a JOIN b FOR SYSTEM_TIME AS OF a.ts AS v ON …         a JOIN b AS v ON __join_as_of(a.ts) AND (…)
//! a ASOF JOIN b MATCH_CONDITION (a.ts >= b.ts) ON …     a LEFT JOIN b ON __join_match(a.ts >= b.ts) AND (…)
//! ```

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::window::duration;
use crate::error::{Error, Result};
use crate::sql::clauses::ends_expression;
use crate::sql::duration::BareNumber;
use crate::sql::functions::{JOIN_AS_OF, JOIN_MATCH, JOIN_WITHIN};
use crate::sql::tokens::{Tok, closing, expected, span_of, split_commas};

/// Rewrites the joins of a `FROM` clause that have a clause about time; `end` is the byte after the statement.
pub(super) fn timed_joins(tokens: &[Tok], end: usize) -> Result<Vec<Tok>> {
    let mut joins = Joins { tokens, end, out: Vec::with_capacity(tokens.len()), call: None };
    let mut at = 0;
    while at < tokens.len() {
        at = joins.step(at)?;
    }
    joins.finish()?;
    Ok(joins.out)
}

struct Joins<'t> {
    tokens: &'t [Tok],
    end: usize,
    out: Vec<Tok>,
    /// What the clause became, until the `ON` that it goes into, with its place.
    call: Option<(Vec<Tok>, Range<usize>)>,
}

impl Joins<'_> {
    /// Takes what begins at `at`; returns where the text goes on.
    fn step(&mut self, at: usize) -> Result<usize> {
        let Some(tok) = self.tokens.get(at) else { return Ok(at + 1) };
        let next_is = |word: &str| self.tokens.get(at + 1).is_some_and(|tok| tok.is_word(word));
        if tok.token == Token::LParen {
            let close = closing(self.tokens, at);
            self.out.extend_from_slice(self.tokens.get(at..=close).unwrap_or_default());
            return Ok(close + 1);
        }
        if tok.is_word("ASOF") && (next_is("JOIN") || next_is("LEFT")) {
            // As where the syntax comes from, a row without a match stays.
            self.out.push(tok.put_word("LEFT"));
            return Ok(at + if next_is("LEFT") { 2 } else { 1 });
        }
        if tok.is_word("MATCH_CONDITION") && self.follows(at, |tok| tok.token == Token::LParen) {
            let close = closing(self.tokens, at + 1);
            let inside = self.tokens.get(at + 2..close).unwrap_or_default();
            self.hold(call(tok, JOIN_MATCH, inside), at..close + 1)?;
            if self.condition_follows(close + 1).is_none() {
                self.condition(&[], tok);
            }
            return Ok(close + 1);
        }
        if tok.is_word("FOR") && next_is("SYSTEM_TIME") {
            return self.system_time(at);
        }
        if self.is_within(at) {
            let width = self.within(at)?;
            return Ok(at + width);
        }
        if tok.is_word("ON") {
            return self.on(at);
        }
        if starts_source(self.tokens, at) {
            self.finish()?;
        }
        self.out.push(tok.clone());
        Ok(at + 1)
    }

    fn follows(&self, at: usize, is: impl Fn(&Tok) -> bool) -> bool {
        self.tokens.get(at + 1).is_some_and(is)
    }

    /// Returns where the `ON` of a source that ends before `at` is.
    fn condition_follows(&self, at: usize) -> Option<usize> {
        self.tokens.get(at).is_some_and(|tok| tok.is_word("ON")).then_some(at)
    }

    fn hold(&mut self, call: Vec<Tok>, place: Range<usize>) -> Result<()> {
        let span = span_of(self.tokens.get(place).unwrap_or_default()).unwrap_or_default();
        if self.call.is_some() {
            return Err(Error::invalid("a join with two clauses about time")
                .with_hint("leave one of them out")
                .with_span(span));
        }
        self.call = Some((call, span));
        Ok(())
    }

    /// Fails if a clause found no `ON`.
    fn finish(&mut self) -> Result<()> {
        match self.call.take() {
            None => Ok(()),
            Some((_, span)) => Err(Error::invalid("a join in time needs a condition")
                .with_hint("write it like `JOIN b ON a.key = b.key`; `USING` is not enough")
                .with_span(span)),
        }
    }

    /// Takes `FOR SYSTEM_TIME AS OF time`.
    fn system_time(&mut self, at: usize) -> Result<usize> {
        let word = |n: usize, word: &str| self.tokens.get(at + n).is_some_and(|tok| tok.is_word(word));
        if !word(2, "AS") || !word(3, "OF") {
            return Err(expected(self.tokens.get(at + 2), self.end, &["AS OF"]));
        }
        let mut to = at + 4;
        while let Some(tok) = self.tokens.get(to) {
            let is_name = matches!(tok.token, Token::Word(_)) && (to == at + 4 || self.is_period(to - 1));
            if tok.token == Token::LParen && to > at + 4 {
                to = closing(self.tokens, to) + 1;
            } else if is_name || (tok.token == Token::Period && to > at + 4) {
                to += 1;
            } else {
                break;
            }
        }
        let time = self.tokens.get(at + 4..to).unwrap_or_default();
        let Some(first) = time.first() else {
            return Err(expected(self.tokens.get(to), self.end, &["a time column"]));
        };
        // The latest row at the time of processing is what a join with a table looks up anyway.
        if !first.is_any(&["PROCTIME", "NOW", "CURRENT_TIMESTAMP"]) || time.len() == 2 {
            self.hold(call(first, JOIN_AS_OF, time), at..to)?;
        }
        Ok(to)
    }

    fn is_period(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|tok| tok.token == Token::Period)
    }

    fn is_within(&self, at: usize) -> bool {
        let after = at.checked_sub(1).is_some_and(|before| ends_expression(self.tokens, before));
        let opens = |tok: &Tok| {
            tok.is_word("INTERVAL")
                || matches!(tok.token, Token::Number(..) | Token::SingleQuotedString(_) | Token::LParen)
        };
        self.tokens.get(at).is_some_and(|tok| tok.is_word("WITHIN")) && after && self.follows(at, opens)
    }

    /// Takes `WITHIN duration` or `WITHIN (before, after)`; returns how many tokens it has.
    fn within(&mut self, at: usize) -> Result<usize> {
        let tokens = self.tokens;
        let Some(tok) = tokens.get(at) else { return Ok(0) };
        let (parts, width) = if self.follows(at, |tok| tok.token == Token::LParen) {
            let close = closing(tokens, at + 1);
            (split_commas(tokens.get(at + 2..close).unwrap_or_default()), close + 1 - at)
        } else {
            let rest = tokens.get(at + 1..).unwrap_or_default();
            let length = (0..rest.len())
                .find(|&n| {
                    n > 0
                        && (starts_source(tokens, at + 1 + n)
                            || rest.get(n).is_some_and(|tok| tok.is_word("ON")))
                })
                .unwrap_or(rest.len());
            (vec![rest.get(..length).unwrap_or_default()], length + 1)
        };
        let span = span_of(tokens.get(at..at + width).unwrap_or_default()).unwrap_or_default();
        let lengths = parts.iter().map(|part| duration(part, BareNumber::Refused, span.clone()));
        let lengths = lengths.collect::<Result<Vec<i64>>>()?;
        let (before, after) = match lengths.as_slice() {
            [both] => (*both, *both),
            [before, after] => (*before, *after),
            _ => {
                return Err(Error::invalid("`WITHIN` takes one duration, or two: before and after")
                    .with_hint("write it like `WITHIN 5m` or `WITHIN (1m, 5m)`")
                    .with_span(span));
            }
        };
        let bounds = format!("{}..{after}", -before);
        let argument = tok.put(Token::SingleQuotedString(bounds));
        let made = call(tok, JOIN_WITHIN, std::slice::from_ref(&argument));
        match self.open_condition() {
            // `ON … WITHIN`: the condition is there already.
            Some(open) => {
                let condition = self.out.split_off(open);
                self.hold(made, at..at + width)?;
                self.condition(&condition, tok);
            }
            None => self.hold(made, at..at + width)?,
        }
        Ok(width)
    }

    /// Returns where the condition begins that the output ends with.
    fn open_condition(&self) -> Option<usize> {
        let mut depth = 0;
        for (at, tok) in self.out.iter().enumerate().rev() {
            depth += crate::sql::tokens::bracket(&tok.token);
            if depth == 0 && tok.is_word("ON") {
                return Some(at + 1);
            }
            if depth == 0 && starts_source(&self.out, at) {
                return None;
            }
        }
        None
    }

    /// Takes `ON` and, if a clause waits for it, the condition.
    fn on(&mut self, at: usize) -> Result<usize> {
        let Some(on) = self.tokens.get(at) else { return Ok(at + 1) };
        if self.call.is_none() {
            self.out.push(on.clone());
            return Ok(at + 1);
        }
        let mut to = at + 1;
        while let Some(tok) = self.tokens.get(to) {
            if starts_source(self.tokens, to) || self.is_within(to) {
                break;
            }
            to = if tok.token == Token::LParen { closing(self.tokens, to) + 1 } else { to + 1 };
        }
        self.out.push(on.clone());
        let condition = self.tokens.get(at + 1..to).unwrap_or_default().to_vec();
        self.condition(&condition, on);
        Ok(to)
    }

    /// Writes a condition with the clause before it.
    fn condition(&mut self, condition: &[Tok], like: &Tok) {
        let Some((call, _)) = self.call.take() else { return };
        if condition.is_empty() {
            self.out.push(like.put_word("ON"));
            self.out.extend(call);
            return;
        }
        self.out.extend(call);
        self.out.extend([like.put_word("AND"), like.put(Token::LParen)]);
        self.out.extend_from_slice(condition);
        self.out.push(like.put(Token::RParen));
    }
}

/// Returns whether the token at `at` begins another source of a `FROM` clause.
fn starts_source(tokens: &[Tok], at: usize) -> bool {
    const WORDS: &[&str] = &["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ASOF"];
    let call = tokens.get(at + 1).is_some_and(|tok| tok.token == Token::LParen);
    let part = at.checked_sub(1).and_then(|at| tokens.get(at)).is_some_and(|tok| tok.token == Token::Period);
    tokens.get(at).is_some_and(|tok| tok.token == Token::Comma || (tok.is_any(WORDS) && !call && !part))
}

fn call(like: &Tok, name: &str, arguments: &[Tok]) -> Vec<Tok> {
    let mut call = vec![like.put_word(name), like.put(Token::LParen)];
    call.extend_from_slice(arguments);
    call.push(like.put(Token::RParen));
    call
}
