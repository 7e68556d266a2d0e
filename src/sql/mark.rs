//! [`mark`]: the place of an error that names a piece of its statement without saying where it stands.

use std::ops::Range;

use super::tokens::{Tok, is_blank, tokenize};
use crate::error::Error;

/// Gives `error` a place within the statement at `statement`: where the first thing that its message names stands.
///
/// What stands in backticks is looked for first, then words in capitals. An error with a place keeps it; one that names
/// nothing of the statement is about the whole of it.
pub fn mark(error: Error, text: &str, statement: Range<usize>) -> Error {
    if error.span().is_some() {
        return error;
    }
    let own = text.get(statement.clone()).unwrap_or_default();
    let (tokens, _) = tokenize(own);
    let tokens: Vec<Tok> = tokens.into_iter().filter(|tok| !is_blank(&tok.token)).collect();
    let message = error.message().to_owned();
    let quoted = message.split('`').skip(1).step_by(2);
    let capitals = message.split('`').step_by(2).flat_map(capitals);
    let found = quoted.map(str::to_owned).chain(capitals).find_map(|phrase| find(&phrase, &tokens));
    match found {
        Some(place) => error.with_span(statement.start + place.start..statement.start + place.end),
        None => error.with_span(statement),
    }
}

/// Returns the words of `prose` that are written in capitals, neighbours together.
fn capitals(prose: &str) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    let mut goes_on = false;
    for word in prose.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_keyword = bare.len() > 1 && bare.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        match found.last_mut().filter(|_| is_keyword && goes_on) {
            Some(last) => {
                last.push(' ');
                last.push_str(bare);
            }
            None if is_keyword => found.push(bare.to_owned()),
            None => {}
        }
        goes_on = is_keyword && bare.len() == word.len();
    }
    found
}

/// Returns where `phrase` stands: one name, or words one after the other.
fn find(phrase: &str, tokens: &[Tok]) -> Option<Range<usize>> {
    let named = tokens.iter().find(|tok| {
        tok.name().as_deref() == Some(phrase)
            || tok.quoted() == Some(phrase)
            || tok.token.to_string() == phrase
    });
    if let Some(tok) = named {
        return Some(tok.span.clone());
    }
    let words: Vec<&str> = phrase.split_whitespace().filter(|word| !word.contains('…')).collect();
    if words.is_empty() {
        return None;
    }
    let place = tokens
        .windows(words.len())
        .find(|window| window.iter().zip(&words).all(|(tok, word)| tok.is_word(word)))?;
    Some(place.first()?.span.start..place.last()?.span.end)
}
