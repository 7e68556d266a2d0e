//! Option lists: `WITH ('a.b' = 'c', "d" = 'e', limit = 5, batch.linger = 2ms)`, and `SET`.

use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::statement::OptionItem;
use crate::sql::tokens::{Cursor, Tok, span_of, split_commas};

/// Reads the inside of an option list.
///
/// # Errors
/// `Invalid` for an item that is not `key = value`, and for a key that stands twice.
pub(crate) fn option_list(text: &str, inside: &[Tok], end: usize) -> Result<Vec<OptionItem>> {
    let mut items: Vec<OptionItem> = Vec::new();
    for piece in split_commas(inside) {
        let item = option(text, piece, end)?;
        if items.iter().any(|other| other.key == item.key) {
            return Err(Error::invalid(format!("option `{}` stands twice", item.key)).with_span(item.span));
        }
        items.push(item);
    }
    Ok(items)
}

/// Reads `key = value`; `TO` may stand for `=`.
///
/// # Errors
/// `Invalid` for anything else.
pub(crate) fn option(text: &str, piece: &[Tok], end: usize) -> Result<OptionItem> {
    let mut cursor = Cursor::new(piece, end);
    let key = key(&mut cursor)?;
    if !cursor.eat_token(&Token::Eq) && !cursor.eat(&["TO"]) {
        return Err(cursor.expected(&["="]).with_hint("options are written `'key' = 'value'`"));
    }
    let value_tokens = cursor.take_rest();
    let span = span_of(piece).unwrap_or(end..end);
    let value = value(text, value_tokens).ok_or_else(|| {
        let place = span_of(value_tokens).unwrap_or(span.end..span.end);
        Error::invalid(format!("the value of option `{key}` is not a plain value"))
            .with_hint(format!("put it in quotes: `'{key}' = '…'`"))
            .with_span(place)
    })?;
    Ok(OptionItem { key, value, span })
}

/// Reads a key: quoted, or bare words with dots and hyphens.
fn key(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(text) = cursor.peek().and_then(Tok::quoted) {
        cursor.take();
        return Ok(text.to_owned());
    }
    let mut key = String::new();
    while let Some(tok) = cursor.peek() {
        match &tok.token {
            Token::Word(word) if !(tok.is_word("TO") && !key.is_empty() && !key.ends_with(['.', '-'])) => {
                key.push_str(&word.value);
            }
            Token::Period if !key.is_empty() => key.push('.'),
            Token::Minus if !key.is_empty() => key.push('-'),
            Token::Number(number, _) if !key.is_empty() => key.push_str(number),
            _ => break,
        }
        cursor.take();
    }
    if key.is_empty() {
        return Err(cursor.expected(&["an option name"]));
    }
    Ok(key)
}

/// Reads a value: one quoted text, or bare words and numbers as they stand.
fn value(text: &str, tokens: &[Tok]) -> Option<String> {
    if let [only] = tokens
        && let Some(quoted) = only.quoted()
    {
        return Some(quoted.to_owned());
    }
    let is_interval = tokens.first()?.is_word("INTERVAL");
    let plain = tokens.iter().all(|tok| match &tok.token {
        Token::Word(word) => word.quote_style.is_none(),
        Token::Number(..) | Token::Period | Token::Minus => true,
        Token::SingleQuotedString(_) => is_interval,
        _ => false,
    });
    // `5 m` is a duration; `a b` without a number is a forgotten comma.
    let words =
        tokens.windows(2).any(|pair| matches!(pair, [a, b] if a.word().is_some() && b.word().is_some()));
    if !plain || (words && !is_interval) {
        return None;
    }
    text.get(span_of(tokens)?).map(str::to_owned)
}
