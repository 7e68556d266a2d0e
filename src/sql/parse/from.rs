//! The `FROM` clause: options and addresses of sources, windows as table functions, joins in time.

use sqlparser::tokenizer::Token;

use super::block::table_window;
use super::options::option_list;
use super::query::{Level, Pass, is_query};
use super::timed_join::timed_joins;
use super::window_refs::References;
use crate::error::{Error, Result};
use crate::sql::clauses::{WINDOW_NAMES, opens_options, source_before};
use crate::sql::statement::InlineOptions;
use crate::sql::tokens::{Tok, closing, expected, span_of};
use crate::sql::window_spec::WindowSpec;

impl Pass<'_> {
    /// Rewrites the body of a `FROM` clause.
    pub(super) fn from(&mut self, tokens: &[Tok]) -> Result<Vec<Tok>> {
        let mut out: Vec<Tok> = Vec::with_capacity(tokens.len());
        let tokens = &timed_joins(tokens, self.end)?;
        let mut at = 0;
        let mut source_next = true;
        while let Some(tok) = tokens.get(at) {
            if source_next && let Some(width) = self.table_function(tokens, at, &mut out)? {
                at += width;
                source_next = false;
                continue;
            }
            if opens_options(tokens, at) {
                at = self.inline_options(tokens, at)?;
                continue;
            }
            if tok.token == Token::LParen {
                let close = closing(tokens, at);
                let inside = tokens.get(at + 1..close).unwrap_or_default();
                out.push(tok.clone());
                out.extend(if is_query(inside) {
                    self.query(inside, Level::Nested)?
                } else if source_next {
                    self.from(inside)?
                } else {
                    self.descend(inside)?
                });
                out.extend(tokens.get(close).cloned());
                at = close + 1;
                source_next = false;
                continue;
            }
            if source_next && let Token::SingleQuotedString(uri) = &tok.token {
                self.uris.push((uri.clone(), tok.span.clone()));
            }
            source_next = tok.token == Token::Comma || tok.is_any(&["JOIN", "LATERAL"]);
            out.push(tok.clone());
            at += 1;
        }
        Ok(out)
    }

    /// Reads `WITH (…)` behind a source; returns where the text goes on.
    fn inline_options(&mut self, tokens: &[Tok], at: usize) -> Result<usize> {
        let close = closing(tokens, at + 1);
        let span = span_of(tokens.get(at..=close).unwrap_or_default()).unwrap_or_default();
        let Some(source) = source_before(tokens.get(..at).unwrap_or_default()) else {
            return Err(Error::invalid("`WITH` options follow a source's name").with_span(span));
        };
        let options = option_list(self.text, tokens.get(at + 2..close).unwrap_or_default(), self.end)?;
        self.inline_options.push(InlineOptions { source, options });
        Ok(close + 1)
    }

    /// Reads `TUMBLE(…)` or `TABLE(TUMBLE(…))` as a source.
    fn read_table_function<'t>(&self, tokens: &'t [Tok], at: usize) -> Result<Option<TableFunction<'t>>> {
        let is = |n: usize, token: &Token| tokens.get(n).is_some_and(|tok| tok.token == *token);
        let wrapped = tokens.get(at).is_some_and(|tok| tok.is_word("TABLE")) && is(at + 1, &Token::LParen);
        let name_at = if wrapped { at + 2 } else { at };
        let Some(name) = tokens.get(name_at).filter(|tok| tok.is_any(WINDOW_NAMES)) else { return Ok(None) };
        if !is(name_at + 1, &Token::LParen) {
            return Ok(None);
        }
        let close = closing(tokens, name_at + 1);
        let end = if wrapped { closing(tokens, at + 1) } else { close };
        if wrapped && end != close + 1 {
            return Err(expected(tokens.get(close + 1), self.end, &[")"]));
        }
        let span = span_of(tokens.get(at..=end).unwrap_or_default()).unwrap_or_default();
        let arguments = tokens.get(name_at + 2..close).unwrap_or_default();
        let (source, spec) = table_window(name, arguments, span)?;
        let alias = if has_alias(tokens.get(end + 1)) {
            vec![]
        } else {
            let named = source.last().filter(|tok| tok.token != Token::RParen);
            vec![name.put_word("AS"), named.map_or_else(|| name.put_word("__windowed"), Clone::clone)]
        };
        Ok(Some(TableFunction { name, source, spec, alias, width: end + 1 - at }))
    }

    /// Takes a window table function that is all of `FROM` apart, for a block that groups by its windows: the source,
    /// with its alias, and the window.
    pub(super) fn only_table_function(&self, from: &[Tok]) -> Result<Option<(Vec<Tok>, WindowSpec, Tok)>> {
        let Some(TableFunction { name, source, spec, alias, width }) = self.read_table_function(from, 0)?
        else {
            return Ok(None);
        };
        let rest = from.get(width..).unwrap_or_default();
        let is_alias = rest.len() <= 2 && rest.iter().all(|tok| matches!(tok.token, Token::Word(_)));
        if !is_alias {
            return Ok(None);
        }
        let mut out = source;
        out.extend(alias);
        out.extend_from_slice(rest);
        Ok(Some((out, spec, name.clone())))
    }

    /// Rewrites `TUMBLE(…)` and `TABLE(TUMBLE(…))` as a source; returns how many tokens it had.
    fn table_function(&mut self, tokens: &[Tok], at: usize, out: &mut Vec<Tok>) -> Result<Option<usize>> {
        let Some(TableFunction { name, source, spec, alias, width }) =
            self.read_table_function(tokens, at)?
        else {
            return Ok(None);
        };
        out.extend([name.put(Token::LParen), name.put_word("SELECT"), name.put(Token::Mul)]);
        for (call, name_of) in References::bounds(&spec, name).into_iter().zip(BOUND_NAMES) {
            out.push(name.put(Token::Comma));
            out.extend(call);
            out.extend([name.put_word("AS"), name.put_word(name_of)]);
        }
        out.push(name.put_word("FROM"));
        let is_query = source.first().is_some_and(|tok| tok.token == Token::LParen);
        out.extend(self.from(&source)?);
        if is_query {
            out.extend([name.put_word("AS"), name.put_word("__windowed")]);
        }
        out.push(name.put(Token::RParen));
        out.extend(alias);
        Ok(Some(width))
    }
}

/// The names of the columns that a window table function adds.
const BOUND_NAMES: [&str; 3] = ["window_start", "window_end", "session_duration"];

/// `TUMBLE(source, time, length)` as a source.
struct TableFunction<'t> {
    name: &'t Tok,
    source: Vec<Tok>,
    spec: WindowSpec,
    /// `AS name`, where none follows.
    alias: Vec<Tok>,
    /// How many tokens it has.
    width: usize,
}

/// Returns whether an alias follows a source.
fn has_alias(next: Option<&Tok>) -> bool {
    const JOIN_WORDS: &[&str] = &[
        "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ON", "USING", "ASOF", "WITH", "FOR",
        "SEMI", "ANTI", "LATERAL",
    ];
    next.is_some_and(|tok| matches!(tok.token, Token::Word(_)) && !tok.is_any(JOIN_WORDS))
}
