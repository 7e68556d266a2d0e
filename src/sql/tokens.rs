//! Tokens with byte places: the tokenizer's output, a cursor over it, and tokens of our own making.

use std::ops::Range;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, Tokenizer, Whitespace};

use super::dialect::VeloDialect;
use super::suggest::nearest;
use crate::error::{Error, Result};

/// A token and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Tok {
    /// What it is.
    pub(crate) token: Token,
    /// Its bytes in the whole text.
    pub(crate) span: Range<usize>,
    /// Its lines and columns, as sqlparser counts them.
    pub(crate) place: Span,
}

impl Tok {
    /// Returns the unquoted word in this token.
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    /// Returns the name in this token, lower-cased unless quoted.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
            Token::Word(word) => Some(word.value.clone()),
            _ => None,
        }
    }

    /// Returns whether this is the unquoted word `word`, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.word().is_some_and(|own| own.eq_ignore_ascii_case(word))
    }

    /// Returns whether this is one of the unquoted words `words`.
    pub(crate) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    /// Returns the text of a single-quoted string, or of a double-quoted one.
    pub(crate) fn quoted(&self) -> Option<&str> {
        match &self.token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text),
            Token::Word(word) if word.quote_style.is_some() => Some(&word.value),
            _ => None,
        }
    }

    /// Takes the meaning of a keyword away, so that sqlparser reads a plain identifier.
    pub(crate) fn make_plain(&mut self) {
        if let Token::Word(word) = &mut self.token {
            word.keyword = Keyword::NoKeyword;
        }
    }

    /// Returns a token of our own making that stands where this one stands.
    pub(crate) fn put(&self, token: Token) -> Self {
        Self { token, span: self.span.clone(), place: self.place }
    }

    /// Returns the unquoted word `word`, standing here.
    pub(crate) fn put_word(&self, word: &str) -> Self {
        self.put(Token::make_word(word, None))
    }

    /// Returns the quoted identifier `name`, standing here.
    pub(crate) fn put_name(&self, name: &str) -> Self {
        self.put(Token::make_word(name, Some('"')))
    }
}

/// The bytes from the first to the last of `tokens`.
pub(crate) fn span_of(tokens: &[Tok]) -> Option<Range<usize>> {
    Some(tokens.first()?.span.start..tokens.iter().map(|token| token.span.end).max()?)
}

/// Returns the place of the bracket that closes the one at `open`; the brackets are known to be balanced.
pub(crate) fn closing(tokens: &[Tok], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

/// Returns how many levels of brackets of any kind `token` opens (1) or closes (-1).
pub(crate) fn bracket(token: &Token) -> i32 {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => 1,
        Token::RParen | Token::RBracket | Token::RBrace => -1,
        _ => 0,
    }
}

/// Splits at the commas outside brackets. No tokens give no pieces.
pub(crate) fn split_commas(tokens: &[Tok]) -> Vec<&[Tok]> {
    if tokens.is_empty() {
        return Vec::new();
    }
    let mut depth = 0_i32;
    tokens
        .split(|token| {
            depth += bracket(&token.token);
            depth == 0 && token.token == Token::Comma
        })
        .collect()
}

/// Walks a text once and turns lines and columns into byte offsets; places must come in order.
struct Walk<'a> {
    chars: std::str::CharIndices<'a>,
    len: usize,
    offset: usize,
    line: u64,
    column: u64,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self { chars: text.char_indices(), len: text.len(), offset: 0, line: 1, column: 1 }
    }

    fn advance_to(&mut self, place: Location) -> usize {
        while (self.line, self.column) < (place.line, place.column) {
            match self.chars.next() {
                Some((_, '\n')) => {
                    self.line += 1;
                    self.column = 1;
                }
                Some(_) => self.column += 1,
                None => return self.len,
            }
            self.offset = self.chars.offset();
        }
        self.offset
    }
}

/// Splits a text into tokens, comments and spaces included, up to the first that cannot be read.
pub(crate) fn tokenize(text: &str) -> (Vec<Tok>, Option<Error>) {
    let dialect = VeloDialect;
    let mut raw = Vec::new();
    let outcome = Tokenizer::new(&dialect, text).tokenize_with_location_into_buf(&mut raw);
    let mut walk = Walk::new(text);
    let tokens = raw
        .into_iter()
        .map(|token| {
            let start = walk.advance_to(token.span.start);
            let end = walk.advance_to(token.span.end);
            Tok { token: token.token, span: start..end, place: token.span }
        })
        .collect();
    let error = outcome.err().map(|error| {
        let start = Walk::new(text).advance_to(error.location);
        let width = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let mut message = error.message.trim_end_matches('.').to_owned();
        if let Some(first) = message.get(..1).map(str::to_lowercase) {
            message.replace_range(..1, &first);
        }
        let hint = match message.as_str() {
            "unterminated string literal" => "close it with `'`; a quote inside is written twice: `''`",
            "unexpected EOF while in a multi-line comment" => "close it with `*/`",
            _ => "take it out, or put it in quotes",
        };
        Error::invalid(message).with_hint(hint).with_span(start..start + width)
    });
    (tokens, error)
}

/// Returns whether the token is a space or a comment.
pub(crate) fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

/// Returns the text of a comment token.
pub(crate) fn comment(token: &Token) -> Option<&str> {
    match token {
        Token::Whitespace(
            Whitespace::SingleLineComment { comment, .. } | Whitespace::MultiLineComment(comment),
        ) => Some(comment),
        _ => None,
    }
}

/// Reads the tokens of one statement from left to right; spaces and comments are gone.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    tokens: &'a [Tok],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first of `tokens`; `end` is the byte where errors about a missing token point to.
    pub(crate) fn new(tokens: &'a [Tok], end: usize) -> Self {
        Self { tokens, at: 0, end }
    }

    /// Returns the next token without taking it.
    pub(crate) fn peek(&self) -> Option<&'a Tok> {
        self.tokens.get(self.at)
    }

    /// Returns the token `n` after the next one.
    pub(crate) fn peek_at(&self, n: usize) -> Option<&'a Tok> {
        self.tokens.get(self.at + n)
    }

    /// Takes the next token.
    pub(crate) fn take(&mut self) -> Option<&'a Tok> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// Returns all tokens not yet taken.
    pub(crate) fn rest(&self) -> &'a [Tok] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    /// Takes all tokens not yet taken.
    pub(crate) fn take_rest(&mut self) -> &'a [Tok] {
        let rest = self.rest();
        self.at = self.tokens.len();
        rest
    }

    /// Returns the byte where errors about a missing token point to.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Returns the bytes of the next token, or the empty range at the end.
    pub(crate) fn place(&self) -> Range<usize> {
        self.peek().map_or(self.end..self.end, |token| token.span.clone())
    }

    /// Takes `words` if they come next.
    pub(crate) fn eat(&mut self, words: &[&str]) -> bool {
        let found =
            words.iter().enumerate().all(|(n, word)| self.peek_at(n).is_some_and(|t| t.is_word(word)));
        if found {
            self.at += words.len();
        }
        found
    }

    /// Takes `token` if it comes next.
    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|next| next.token == *token);
        self.at += usize::from(found);
        found
    }

    /// Takes one of `words`, or says what was expected.
    pub(crate) fn expect_any<'w>(&mut self, words: &[&'w str]) -> Result<&'w str> {
        for word in words {
            if self.eat(&[word]) {
                return Ok(word);
            }
        }
        Err(self.expected(words))
    }

    /// Takes `token`, or says that it was expected.
    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.eat_token(token) { Ok(()) } else { Err(self.expected(&[&token.to_string()])) }
    }

    /// Takes what stands between brackets, without them.
    pub(crate) fn expect_group(&mut self) -> Result<&'a [Tok]> {
        let open = self.at;
        self.expect_token(&Token::LParen)?;
        let close = closing(self.tokens, open);
        self.at = close + 1;
        Ok(self.tokens.get(open + 1..close).unwrap_or_default())
    }

    /// Returns the error for a next token that is none of `words`, with a suggestion when it is nearly one.
    pub(crate) fn expected(&self, words: &[&str]) -> Error {
        expected(self.peek(), self.end, words)
    }

    /// Fails if a token is left.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(token) => {
                Err(Error::invalid(format!("unexpected `{}` after the end of the statement", token.token))
                    .with_hint("statements are separated by `;`")
                    .with_span(token.span.clone()))
            }
        }
    }
}

/// Returns the error for `found` where one of `words` should stand.
pub(crate) fn expected(found: Option<&Tok>, end: usize, words: &[&str]) -> Error {
    let list = words
        .iter()
        .map(
            |word| {
                if word.starts_with(char::is_lowercase) { (*word).to_owned() } else { format!("`{word}`") }
            },
        )
        .collect::<Vec<_>>();
    let list = match list.as_slice() {
        [] => "something else".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    };
    let Some(token) = found else {
        return Error::invalid(format!("expected {list}, found the end of the statement"))
            .with_span(end..end);
    };
    let error =
        Error::invalid(format!("expected {list}, found `{}`", token.token)).with_span(token.span.clone());
    match token.word().and_then(|word| nearest(word, words.iter().copied())) {
        Some(near) if !token.is_word(near) => error.with_hint(format!("did you mean `{near}`?")),
        _ => error,
    }
}
