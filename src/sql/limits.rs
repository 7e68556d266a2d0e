//! How deep and how long an expression may be, checked on tokens before anything recursive sees it.

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::tokens::{Tok, bracket};
use crate::error::{Error, Result};

/// The most operators between two commas, brackets within included.
pub(crate) const OPERATORS_MAX: usize = 1_000;
/// The most brackets (and `CASE`s) within each other.
pub(crate) const NESTING_MAX: usize = 100;
/// The most queries joined by `UNION`, `EXCEPT` and `INTERSECT` in one statement.
const SET_OPERATIONS_MAX: usize = 250;

/// Words that put one expression into another without brackets.
const OPERATOR_WORDS: &[&str] = &[
    "AND", "OR", "NOT", "XOR", "IS", "IN", "LIKE", "ILIKE", "RLIKE", "REGEXP", "SIMILAR", "BETWEEN",
    "COLLATE", "AT", "DIV", "INTERVAL", "OVERLAPS", "PRIOR", "ISNULL", "NOTNULL", "EXISTS", "MEMBER",
    "OPERATOR",
];

/// What stands open at one nesting level.
struct Level {
    opened: Option<Token>,
    place: Range<usize>,
    operators: usize,
    deepest: usize,
}

/// Checks brackets, nesting and length of a statement's tokens.
///
/// The count of a bracket starts at that of what is around it, so it bounds the depth of the syntax tree; a comma starts anew.
///
/// Returns how many operators and brackets there are, which no depth can exceed, even after aliases are put in.
///
/// # Errors
/// `Invalid` for brackets that do not pair up, more than 100 levels, more than 1,000 chained operators.
pub(crate) fn check(tokens: &[Tok]) -> Result<usize> {
    let mut levels: Vec<Level> = Vec::new();
    let (mut operators, mut deepest, mut base, mut set_operations) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut total = 0_usize;
    for (index, tok) in tokens.iter().enumerate() {
        let after_dot =
            index.checked_sub(1).and_then(|i| tokens.get(i)).is_some_and(|t| t.token == Token::Period);
        let opens = bracket(&tok.token) == 1 || (tok.is_word("CASE") && !after_dot);
        let ends_case = tok.is_word("END") && levels.last().is_some_and(|level| level.opened.is_none());
        total += usize::from(opens || is_operator(tok));
        if opens {
            if levels.len() == NESTING_MAX {
                return Err(Error::invalid(format!("more than {NESTING_MAX} levels of nesting"))
                    .with_hint("split the expression with a subquery or a view")
                    .with_span(tok.span.clone()));
            }
            let opened = (!tok.is_word("CASE")).then(|| tok.token.clone());
            levels.push(Level { opened, place: tok.span.clone(), operators: base, deepest });
            base = operators + 1;
            operators = base;
            deepest = base;
        } else if bracket(&tok.token) == -1 || ends_case {
            // A `CASE` without `END` is left to the parser, which knows whether it was a column.
            while !ends_case && levels.last().is_some_and(|level| level.opened.is_none()) {
                (base, deepest) = leave(&mut levels, operators, deepest, base);
            }
            check_pair(levels.last(), tok)?;
            operators = operators.max(deepest);
            (base, deepest) = leave(&mut levels, operators, deepest, base);
        } else if tok.token == Token::Comma {
            deepest = deepest.max(operators);
            operators = base;
        } else if is_operator(tok) && !after_dot {
            operators += 1;
        } else if tok.is_any(&["UNION", "EXCEPT", "INTERSECT", "MINUS"]) {
            set_operations += 1;
        }
        if operators > OPERATORS_MAX {
            return Err(Error::invalid(format!("expression with more than {OPERATORS_MAX} operators"))
                .with_hint("use `IN (…)`, a join, or split the expression with a subquery")
                .with_span(tok.span.clone()));
        }
        if set_operations > SET_OPERATIONS_MAX {
            return Err(Error::invalid(format!(
                "more than {SET_OPERATIONS_MAX} queries joined by set operators"
            ))
            .with_span(tok.span.clone()));
        }
    }
    let case = tokens.iter().zip(tokens.iter().skip(1)).find(|(case, when)| {
        levels.iter().any(|level| level.opened.is_none() && level.place == case.span) && when.is_word("WHEN")
    });
    if let Some((case, _)) = case {
        return Err(Error::invalid("`CASE` without `END`")
            .with_hint("write `CASE WHEN … THEN … ELSE … END`")
            .with_span(case.span.clone()));
    }
    match levels.iter().rev().find_map(|level| level.opened.as_ref().map(|token| (token, level))) {
        Some((token, level)) => {
            Err(Error::invalid(format!("`{token}` is never closed")).with_span(level.place.clone()))
        }
        None => Ok(total),
    }
}

/// Goes one level up and returns its base and its deepest chain.
fn leave(levels: &mut Vec<Level>, operators: usize, deepest: usize, base: usize) -> (usize, usize) {
    match levels.pop() {
        Some(level) => (level.operators, level.deepest.max(deepest).max(operators)),
        None => (base, deepest),
    }
}

/// Checks that `close` closes what stands open.
fn check_pair(open: Option<&Level>, close: &Tok) -> Result<()> {
    let Some(level) = open else {
        return Err(Error::invalid(format!("`{}` closes nothing", close.token)).with_span(close.span.clone()));
    };
    match (&level.opened, &close.token) {
        (Some(Token::LParen), Token::RParen)
        | (Some(Token::LBracket), Token::RBracket)
        | (Some(Token::LBrace), Token::RBrace)
        | (None, _) => Ok(()),
        (Some(opened), token) => {
            Err(Error::invalid(format!("`{token}` does not close `{opened}`")).with_span(close.span.clone()))
        }
    }
}

/// Returns whether the token puts expressions into one another.
fn is_operator(tok: &Tok) -> bool {
    match &tok.token {
        Token::Word(_) => tok.is_any(OPERATOR_WORDS),
        Token::Comma
        | Token::Period
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::SemiColon
        | Token::Whitespace(_)
        | Token::EOF => false,
        token => bracket(token) == 0,
    }
}
