//! Splits a query block into its clauses, in any order; words that start no clause where they stand become plain names.

use std::ops::Range;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::tokens::{Tok, bracket, closing, expected, span_of};
use crate::error::{Error, Result};

/// A clause of a query block, in the order in which sqlparser wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clause {
    /// `SELECT`, `VALUES` or `TABLE`, with what follows.
    Body,
    /// `FROM`
    From,
    /// `WHERE`
    Where,
    /// `GROUP BY`
    GroupBy,
    /// `HAVING`
    Having,
    /// `WINDOW w AS (…)`
    NamedWindow,
    /// `QUALIFY`
    Qualify,
    /// `ORDER BY`
    OrderBy,
    /// `LIMIT`
    Limit,
    /// `OFFSET`
    Offset,
    /// `FETCH`
    Fetch,
    /// `WINDOW TUMBLING(…)`: ours, not sqlparser's.
    StreamWindow,
    /// `EMIT …`: ours.
    Emit,
    /// `GRACE PERIOD …`: ours.
    Grace,
    /// `INTO sink`: ours.
    Into,
    /// Trailing `WITH (…)`: ours.
    With,
}

impl Clause {
    /// Returns the clause as users write it.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Body => "SELECT",
            Self::From => "FROM",
            Self::Where => "WHERE",
            Self::GroupBy => "GROUP BY",
            Self::Having => "HAVING",
            Self::NamedWindow | Self::StreamWindow => "WINDOW",
            Self::Qualify => "QUALIFY",
            Self::OrderBy => "ORDER BY",
            Self::Limit => "LIMIT",
            Self::Offset => "OFFSET",
            Self::Fetch => "FETCH",
            Self::Emit => "EMIT",
            Self::Grace => "GRACE PERIOD",
            Self::Into => "INTO",
            Self::With => "WITH",
        }
    }
}

impl Clause {
    /// Returns what is to stand behind the keyword.
    fn follows(self) -> &'static str {
        match self {
            Self::Body => "name columns, or write `*`",
            Self::From => "name a stream, or put a query in brackets",
            Self::Where | Self::Having | Self::Qualify => "a condition follows, or leave it out",
            Self::Limit | Self::Offset | Self::Fetch => "a whole number follows, or leave it out",
            Self::GroupBy | Self::OrderBy => "columns or expressions follow, or leave it out",
            Self::NamedWindow | Self::StreamWindow => {
                "write it like `WINDOW TUMBLING(1m)` or `WINDOW w AS (…)`"
            }
            Self::Emit => "`CHANGES`, `FINAL` or `ON WINDOW CLOSE` follows",
            Self::Grace => "a duration follows: `GRACE PERIOD 30s`",
            Self::Into => "the name of a sink follows",
            Self::With => "options follow: `WITH ('key' = 'value')`",
        }
    }
}

/// The names of streaming windows.
pub(crate) const WINDOW_NAMES: &[&str] =
    &["TUMBLING", "TUMBLE", "SLIDING", "HOPPING", "HOP", "SESSION", "CUMULATE"];

/// All words that can start a clause, for suggestions.
pub(crate) const CLAUSE_WORDS: &[&str] = &[
    "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "EMIT",
    "INTO", "WITH", "UNION", "JOIN",
];

/// A clause of one block.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Which.
    pub(crate) clause: Clause,
    /// Its keywords.
    pub(crate) head: Vec<Tok>,
    /// What follows them.
    pub(crate) body: Vec<Tok>,
}

impl Part {
    /// Returns the bytes of the whole clause.
    pub(crate) fn span(&self) -> Range<usize> {
        let start = span_of(&self.head).unwrap_or_default();
        start.start..span_of(&self.body).map_or(start.end, |body| body.end)
    }
}

/// Words after which an expression is still open.
const OPEN_WORDS: &[&str] = &[
    "SELECT",
    "DISTINCT",
    "ALL",
    "FROM",
    "WHERE",
    "BY",
    "HAVING",
    "QUALIFY",
    "ON",
    "AND",
    "OR",
    "NOT",
    "AS",
    "IN",
    "LIKE",
    "ILIKE",
    "IS",
    "BETWEEN",
    "WHEN",
    "THEN",
    "ELSE",
    "CASE",
    "JOIN",
    "USING",
    "OVER",
    "LIMIT",
    "INTERVAL",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "RECURSIVE",
];

/// Words that cannot start an expression.
const NO_START_WORDS: &[&str] = &[
    "FROM",
    "AS",
    "WHERE",
    "AND",
    "OR",
    "IS",
    "IN",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "HAVING",
    "GROUP",
    "ORDER",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "THEN",
    "WHEN",
    "END",
    "ELSE",
    "JOIN",
    "ON",
    "QUALIFY",
    "LIMIT",
];

/// Returns whether an expression, a name or a clause can end with token `index`.
pub(crate) fn ends_expression(tokens: &[Tok], index: usize) -> bool {
    let Some(tok) = tokens.get(index) else { return false };
    let before = index.checked_sub(1).and_then(|i| tokens.get(i));
    match &tok.token {
        // A keyword that was made a plain name ends one like any other name.
        Token::Word(word) if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword => true,
        Token::Word(_) => {
            before.is_some_and(|tok| tok.token == Token::Period)
                || !tok.is_any(OPEN_WORDS)
                || (tok.is_word("ALL") && before.is_some_and(|tok| tok.is_any(&["BY", "LIMIT"])))
        }
        Token::Mul => before.is_some_and(|tok| {
            tok.is_any(&["SELECT", "DISTINCT", "ALL"]) || matches!(tok.token, Token::Comma | Token::Period)
        }),
        Token::Number(..) | Token::Placeholder(_) => true,
        token => is_text(token) || bracket(token) == -1,
    }
}

/// Returns whether the token is a literal of any quoted kind.
fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::HexStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
    )
}

/// Returns whether an expression can start with `tok`.
fn starts_expression(tok: Option<&Tok>) -> bool {
    let Some(tok) = tok else { return false };
    match &tok.token {
        Token::Word(_) => !tok.is_any(NO_START_WORDS),
        Token::Number(..)
        | Token::Placeholder(_)
        | Token::Colon
        | Token::Plus
        | Token::Minus
        | Token::Tilde => true,
        token => tok.quoted().is_some() || bracket(token) == 1,
    }
}

/// Splits `block` at its clause keywords.
///
/// `tail` says that the block's body was taken off before (`(SELECT …) ORDER BY …`), `nested` that the block is not the
/// statement's own.
///
/// # Errors
/// `Invalid` for a block that starts with no clause, a clause that stands twice, and one without content.
pub(crate) fn split(block: &[Tok], nested: bool, tail: bool, end: usize) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    while let Some(tok) = block.get(at) {
        if let Some((clause, width)) = clause_at(block, at, parts.last(), nested) {
            parts.push(Part {
                clause,
                head: block.get(at..at + width).unwrap_or_default().to_vec(),
                body: Vec::new(),
            });
            at += width;
            continue;
        }
        let Some(part) = parts.last_mut() else {
            let words: &[&str] =
                if tail { &["ORDER BY", "LIMIT", "UNION", "EMIT"] } else { &["SELECT", "WITH", "VALUES"] };
            return Err(expected(Some(tok), end, words));
        };
        let stop = if tok.token == Token::LParen { closing(block, at) + 1 } else { at + 1 };
        let first = part.body.len();
        part.body.extend_from_slice(block.get(at..stop).unwrap_or_default());
        if let Some(own) = part.body.get_mut(first)
            && own.is_any(&["WINDOW", "OFFSET", "LIMIT", "QUALIFY", "FETCH", "HAVING", "INTO"])
        {
            own.make_plain();
        }
        at = stop;
    }
    check_parts(&parts)?;
    Ok(parts)
}

/// Returns the clause that starts at `at`, and how many tokens its keywords are.
fn clause_at(block: &[Tok], at: usize, current: Option<&Part>, nested: bool) -> Option<(Clause, usize)> {
    let tok = block.get(at)?;
    let next = |n: usize| block.get(at + n);
    let next_is = |n: usize, words: &[&str]| next(n).is_some_and(|tok| tok.is_any(words));
    let word = tok.word()?.to_ascii_uppercase();
    if at == 0 && matches!(word.as_str(), "SELECT" | "VALUES" | "TABLE") {
        return Some((Clause::Body, 1));
    }
    let before = at.checked_sub(1).and_then(|i| block.get(i));
    if before.is_some_and(|tok| tok.token == Token::Period || tok.is_word("AS")) {
        return None;
    }
    let after = at == 0 || ends_expression(block, at - 1);
    match word.as_str() {
        "FROM" => Some((Clause::From, 1)),
        "WHERE" => Some((Clause::Where, 1)),
        // `FROM t SELECT a`: the body may follow.
        "SELECT" if after => Some((Clause::Body, 1)),
        "GROUP" if next_is(1, &["BY"]) => Some((Clause::GroupBy, 2)),
        "ORDER" if next_is(1, &["BY"]) => Some((Clause::OrderBy, 2)),
        "HAVING" if after && starts_expression(next(1)) => Some((Clause::Having, 1)),
        "QUALIFY" if after && starts_expression(next(1)) => Some((Clause::Qualify, 1)),
        "LIMIT" if after && (starts_expression(next(1)) || next(1).is_none()) => Some((Clause::Limit, 1)),
        "OFFSET" if after && starts_amount(next(1)) => Some((Clause::Offset, 1)),
        "FETCH" if after && next_is(1, &["FIRST", "NEXT"]) => Some((Clause::Fetch, 1)),
        "INTO"
            if after
                && next(1)
                    .is_some_and(|tok| matches!(tok.token, Token::Word(_)) || tok.quoted().is_some()) =>
        {
            (!next_is(1, &["FROM"])).then_some((Clause::Into, 1))
        }
        "WINDOW" if after && is_stream_window(block, at + 1) => Some((Clause::StreamWindow, 1)),
        "WINDOW" if after && next_is(2, &["AS"]) => Some((Clause::NamedWindow, 1)),
        "EMIT" if after && next_is(1, &["CHANGES", "FINAL"]) => Some((Clause::Emit, 1)),
        "EMIT" if after && next_is(1, &["ON"]) && next_is(2, &["WINDOW"]) => Some((Clause::Emit, 1)),
        "GRACE" if after && next_is(1, &["PERIOD"]) && starts_amount(next(2)) => Some((Clause::Grace, 2)),
        "WITH" if at == 0 || is_trailing_with(block, at, current, nested) => Some((Clause::With, 1)),
        _ => None,
    }
}

/// Returns whether a count or a duration can start with `tok`.
fn starts_amount(tok: Option<&Tok>) -> bool {
    tok.is_some_and(|tok| {
        matches!(
            tok.token,
            Token::Number(..)
                | Token::Placeholder(_)
                | Token::Colon
                | Token::SingleQuotedString(_)
                | Token::LParen
        ) || tok.is_word("INTERVAL")
    })
}

/// Returns whether a streaming window's name and bracket start at `at`.
fn is_stream_window(block: &[Tok], at: usize) -> bool {
    let opens = |n: usize| block.get(at + n).is_some_and(|tok| tok.token == Token::LParen);
    block.get(at).is_some_and(|tok| tok.is_any(WINDOW_NAMES))
        && (opens(1) || (block.get(at + 1).is_some_and(|tok| tok.is_word("WINDOW")) && opens(2)))
}

/// Returns whether the `WITH` at `at` belongs to the statement, not to the source before it.
fn is_trailing_with(block: &[Tok], at: usize, current: Option<&Part>, nested: bool) -> bool {
    if !opens_options(block, at) {
        return false;
    }
    let Some(current) = current else { return true };
    if current.clause != Clause::From || source_before(&current.body).is_none() {
        return true;
    }
    let is_uri =
        source_start(&current.body).is_some_and(|tok| matches!(tok.token, Token::SingleQuotedString(_)));
    let rest = block.get(closing(block, at + 1) + 1..).unwrap_or_default();
    !nested && !is_uri && (rest.is_empty() || rest.first().is_some_and(|tok| tok.is_word("EMIT")))
}

/// Returns whether `WITH` at `at` is followed by an option list.
pub(crate) fn opens_options(tokens: &[Tok], at: usize) -> bool {
    let token = |n: usize| tokens.get(at + n);
    token(0).is_some_and(|tok| tok.is_word("WITH"))
        && token(1).is_some_and(|tok| tok.token == Token::LParen)
        && token(2).is_some_and(|tok| {
            matches!(tok.token, Token::Word(_) | Token::RParen | Token::SingleQuotedString(_))
        })
}

/// Returns the tokens of the last source in a `FROM` body.
fn last_source(body: &[Tok]) -> &[Tok] {
    let mut depth = 0_i32;
    let mut start = 0;
    for (index, tok) in body.iter().enumerate() {
        depth += bracket(&tok.token);
        if depth == 0 && (tok.token == Token::Comma || tok.is_word("JOIN")) {
            start = index + 1;
        }
    }
    body.get(start..).unwrap_or_default()
}

fn source_start(body: &[Tok]) -> Option<&Tok> {
    last_source(body).first()
}

/// Returns the name of the source that a `FROM` body ends with, if nothing but its alias stands after it.
pub(crate) fn source_before(body: &[Tok]) -> Option<String> {
    let source = last_source(body);
    let text = |tok: &Tok| tok.name().or_else(|| tok.quoted().map(str::to_owned));
    let mut name = text(source.first()?)?;
    let mut at = 1;
    while source.get(at).is_some_and(|tok| tok.token == Token::Period) {
        name = format!("{name}.{}", text(source.get(at + 1)?)?);
        at += 2;
    }
    at += usize::from(source.get(at).is_some_and(|tok| tok.is_word("AS")));
    let rest = source.get(at..).unwrap_or_default();
    match rest {
        [] => Some(name),
        [alias] if matches!(alias.token, Token::Word(_)) => Some(name),
        _ => None,
    }
}

/// Returns whether a clause's text breaks off in an expression; the next keyword would be read as a column.
fn is_open(part: &Part) -> bool {
    let Some(last) = part.body.len().checked_sub(1) else { return false };
    let Some(tok) = part.body.get(last) else { return false };
    let is_all =
        tok.is_any(&["ALL", "*"]) && matches!(part.clause, Clause::Limit | Clause::OrderBy | Clause::GroupBy);
    let is_star = tok.token == Token::Mul && last == 0;
    let is_alias = last.checked_sub(1).and_then(|at| part.body.get(at)).is_some_and(|tok| tok.is_word("AS"));
    !is_all && !is_star && !is_alias && !ends_expression(&part.body, last)
}

/// Checks that no clause stands twice and that each says something.
fn check_parts(parts: &[Part]) -> Result<()> {
    for (index, part) in parts.iter().enumerate() {
        let earlier = parts.get(..index).unwrap_or_default();
        let after_into = earlier.last().is_some_and(|before| before.clause == Clause::Into);
        let twice = earlier.iter().enumerate().any(|(at, other)| {
            let other_after_into = at
                .checked_sub(1)
                .and_then(|i| parts.get(i))
                .is_some_and(|before| before.clause == Clause::Into);
            other.clause == part.clause && (part.clause != Clause::With || other_after_into == after_into)
        });
        if twice {
            return Err(Error::invalid(format!("`{}` stands twice", part.clause.keyword()))
                .with_hint("each clause may be given once per query")
                .with_span(span_of(&part.head).unwrap_or_default()));
        }
        if let Some(open) = part.body.last().filter(|_| is_open(part)) {
            return Err(Error::invalid(format!("nothing after `{}`", open.token))
                .with_hint("take it away or add what should follow it")
                .with_span(open.span.clone()));
        }
        if part.body.is_empty() {
            let span = span_of(&part.head).unwrap_or_default();
            return Err(Error::invalid(format!("nothing after `{}`", part.clause.keyword()))
                .with_hint(part.clause.follows())
                .with_span(span));
        }
    }
    Ok(())
}
