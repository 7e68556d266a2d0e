//! Reads the arguments of every window spelling into one [`WindowSpec`].

use std::ops::Range;

use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::duration::{BareNumber, parse_duration_ms, parse_duration_ms_in};
use crate::sql::tokens::{Tok, expected, span_of, split_commas};
use crate::sql::window_spec::{WindowKind, WindowSpec};
use crate::time::LateRule;

/// Which order two lengths without names have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Tumbling,
    SizeThenSlide,
    SlideThenSize,
    Session,
    Cumulate,
}

/// Returns the kind of window that `name` stands for.
fn family(name: &str) -> Option<Family> {
    Some(match name.to_ascii_uppercase().as_str() {
        "TUMBLING" | "TUMBLE" => Family::Tumbling,
        "SLIDING" | "HOPPING" => Family::SizeThenSlide,
        "HOP" => Family::SlideThenSize,
        "SESSION" => Family::Session,
        "CUMULATE" => Family::Cumulate,
        _ => return None,
    })
}

/// What the arguments said.
#[derive(Debug, Default)]
struct Arguments {
    time_column: Option<String>,
    partition_by: Vec<String>,
    lengths: Vec<i64>,
    size: Option<i64>,
    slide: Option<i64>,
    gap: Option<i64>,
    step: Option<i64>,
    max: Option<i64>,
    offset: Option<i64>,
    grace: Option<i64>,
    zone: Option<String>,
}

/// Reads the arguments `inside` the brackets of the window `name`; `place` is the whole call.
///
/// # Errors
/// `Invalid` for an argument that is unknown, missing, too many, or not a length above zero.
pub(crate) fn window_spec(name: &Tok, inside: &[Tok], place: Range<usize>) -> Result<WindowSpec> {
    let word = name.word().unwrap_or_default().to_ascii_uppercase();
    let Some(family) = family(&word) else {
        return Err(expected(Some(name), place.end, super::super::clauses::WINDOW_NAMES));
    };
    let mut arguments = Arguments::default();
    for piece in split_commas(inside) {
        read(&mut arguments, piece, family, place.end)?;
    }
    let kind = kind(family, &word, &arguments).map_err(|error| error.with_span(place))?;
    Ok(WindowSpec {
        kind,
        time_column: arguments.time_column,
        partition_by: arguments.partition_by,
        offset_ms: arguments.offset.unwrap_or(0),
        time_zone: arguments.zone,
        grace_ms: arguments.grace,
        late: LateRule::Drop,
    })
}

/// Reads one argument.
fn read(arguments: &mut Arguments, piece: &[Tok], family: Family, end: usize) -> Result<()> {
    let Some(first) = piece.first() else {
        return Err(Error::invalid("empty argument of a window").with_span(end.saturating_sub(1)..end));
    };
    let span = span_of(piece).unwrap_or(end..end);
    if let Some((slot, width)) = named(arguments, piece) {
        let value = length(piece.get(width..).unwrap_or_default(), span.clone())?;
        if value < 0 && !first.is_word("OFFSET") {
            return Err(Error::invalid(format!("`{}` of a window is negative", first.token)).with_span(span));
        }
        return set(slot, value, &first.token.to_string(), span);
    }
    if first.is_word("TIMEZONE") && piece.len() > 1 {
        let Some(zone) = piece.get(1).filter(|_| piece.len() == 2).and_then(Tok::quoted) else {
            return Err(expected(piece.get(1), end, &["a time zone in quotes"]));
        };
        arguments.zone = Some(zone.to_owned());
        return Ok(());
    }
    let inner = match piece {
        [name, open, inner @ .., close]
            if name.is_word("DESCRIPTOR") && open.token == Token::LParen && close.token == Token::RParen =>
        {
            inner
        }
        _ => piece,
    };
    if let Some(column) = column(inner) {
        if arguments.lengths.is_empty() && arguments.gap.is_none() && arguments.time_column.is_none() {
            arguments.time_column = Some(column);
            return Ok(());
        }
        if family == Family::Session {
            arguments.partition_by.push(column);
            return Ok(());
        }
        return Err(Error::invalid(format!("unexpected argument `{column}` of a window"))
            .with_hint("the time column comes first")
            .with_span(span));
    }
    arguments.lengths.push(length(piece, span)?);
    Ok(())
}

/// Returns the slot of an argument that starts with its name, and how many words the name has.
fn named<'a>(arguments: &'a mut Arguments, piece: &[Tok]) -> Option<(&'a mut Option<i64>, usize)> {
    let words = |n: usize, word: &str| piece.get(n).is_some_and(|tok| tok.is_word(word));
    let value_at = |n: usize| {
        piece.get(n).is_some_and(|tok| {
            matches!(tok.token, Token::Number(..) | Token::SingleQuotedString(_) | Token::Minus)
                || tok.is_word("INTERVAL")
        })
    };
    let name = piece.first()?.word()?.to_ascii_uppercase();
    if name == "GRACE" && words(1, "PERIOD") {
        return Some((&mut arguments.grace, 2));
    }
    if matches!(name.as_str(), "ADVANCE" | "SLIDE" | "HOP") && words(1, "BY") {
        return Some((&mut arguments.slide, 2));
    }
    if !value_at(1) {
        return None;
    }
    let slot = match name.as_str() {
        "SIZE" => &mut arguments.size,
        "ADVANCE" | "SLIDE" => &mut arguments.slide,
        "GAP" | "TIMEOUT" => &mut arguments.gap,
        "STEP" => &mut arguments.step,
        "MAX_DURATION" => &mut arguments.max,
        "OFFSET" => &mut arguments.offset,
        _ => return None,
    };
    Some((slot, 1))
}

fn set(slot: &mut Option<i64>, value: i64, name: &str, span: Range<usize>) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(Error::invalid(format!("`{name}` stands twice")).with_span(span));
    }
    Ok(())
}

/// Returns the column that `piece` names, as SQL with unquoted names in lower case.
pub(crate) fn column(piece: &[Tok]) -> Option<String> {
    if piece.len().is_multiple_of(2) {
        return None;
    }
    let mut text = String::new();
    for (index, tok) in piece.iter().enumerate() {
        match &tok.token {
            Token::Word(word) if index % 2 == 0 => match word.quote_style {
                None => text.push_str(&word.value.to_lowercase()),
                Some(_) => text.push_str(&format!("\"{}\"", word.value.replace('"', "\"\""))),
            },
            Token::Period if index % 2 == 1 => text.push('.'),
            _ => return None,
        }
    }
    Some(text)
}

/// Reads a length; a bare number counts seconds, a leading minus is taken for `OFFSET`.
fn length(tokens: &[Tok], span: Range<usize>) -> Result<i64> {
    let (negative, tokens) = match tokens {
        [minus, rest @ ..] if minus.token == Token::Minus => (true, rest),
        _ => (false, tokens),
    };
    let ms = duration(tokens, BareNumber::Seconds, span)?;
    Ok(if negative { -ms } else { ms })
}

/// Reads the tokens of a duration, in milliseconds.
///
/// # Errors
/// `Invalid`, with the place of the tokens, or of `span` where there are none.
pub(crate) fn duration(tokens: &[Tok], bare: BareNumber, span: Range<usize>) -> Result<i64> {
    let place = span_of(tokens).unwrap_or(span);
    let mut text = String::new();
    for tok in tokens {
        let part = match &tok.token {
            Token::Number(number, _) => number,
            Token::Word(word) if word.quote_style.is_none() => &word.value,
            Token::SingleQuotedString(string) => string,
            other => {
                return Err(Error::invalid(format!("expected a duration, found `{other}`"))
                    .with_hint("write it like `5m`, `'5m'` or `INTERVAL '5' MINUTE`")
                    .with_span(tok.span.clone()));
            }
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(part);
    }
    let outcome = match bare {
        BareNumber::Refused => parse_duration_ms(&text),
        _ => parse_duration_ms_in(&text, bare),
    };
    outcome.map_err(|error| error.with_span(place))
}

/// Puts the lengths together and checks them.
fn kind(family: Family, word: &str, given: &Arguments) -> Result<WindowKind> {
    let mut lengths = given.lengths.iter().copied();
    let mut pick = |named: Option<i64>, what: &str| {
        let value = named.or_else(|| lengths.next()).ok_or_else(|| {
            Error::invalid(format!("`{word}` needs a {what}"))
                .with_hint(format!("write it like {}", example(family)))
        })?;
        if value > 0 {
            Ok(value)
        } else {
            Err(Error::invalid(format!("the {what} of `{word}` must be above zero")))
        }
    };
    let mut used = vec![&given.grace, &given.offset];
    let kind = match family {
        Family::Tumbling => {
            used.push(&given.size);
            WindowKind::Tumbling { size_ms: pick(given.size, "size")? }
        }
        Family::SizeThenSlide => {
            used.extend([&given.size, &given.slide]);
            let size_ms = pick(given.size, "size")?;
            WindowKind::Hopping { size_ms, slide_ms: pick(given.slide, "slide")? }
        }
        Family::SlideThenSize => {
            used.extend([&given.size, &given.slide]);
            let slide_ms = pick(given.slide, "slide")?;
            WindowKind::Hopping { size_ms: pick(given.size, "size")?, slide_ms }
        }
        Family::Session => {
            used.extend([&given.gap, &given.max]);
            let gap_ms = pick(given.gap, "gap")?;
            WindowKind::Session {
                gap_ms,
                max_ms: given.max.map(|max| pick(Some(max), "`MAX_DURATION`")).transpose()?,
            }
        }
        Family::Cumulate => {
            used.extend([&given.step, &given.size]);
            let step_ms = pick(given.step, "step")?;
            WindowKind::Cumulate { step_ms, size_ms: pick(given.size, "size")? }
        }
    };
    let all = [&given.size, &given.slide, &given.gap, &given.step, &given.max];
    let foreign = all.iter().any(|slot| slot.is_some() && !used.iter().any(|own| std::ptr::eq(*own, *slot)));
    if lengths.next().is_some() || foreign {
        return Err(Error::invalid(format!("`{word}` has an argument too many"))
            .with_hint(format!("write it like {}", example(family))));
    }
    check_lengths(kind, word)
}

fn check_lengths(kind: WindowKind, word: &str) -> Result<WindowKind> {
    match kind {
        WindowKind::Hopping { size_ms, slide_ms } if slide_ms > size_ms => Err(Error::invalid(format!(
            "the slide of `{word}` is longer than its size: rows between windows would be in none"
        ))
        .with_hint(if word == "HOP" { "`HOP` takes the slide first" } else { "the size comes first" })),
        WindowKind::Cumulate { step_ms, size_ms } if size_ms % step_ms != 0 => {
            Err(Error::invalid("the size of `CUMULATE` must be a multiple of its step")
                .with_hint("the step comes first"))
        }
        _ => Ok(kind),
    }
}

fn example(family: Family) -> &'static str {
    match family {
        Family::Tumbling => "`TUMBLING(1m)` or `TUMBLING(ts, 1m)`",
        Family::SizeThenSlide => "`SLIDING(5m, 1m)`, the size first",
        Family::SlideThenSize => "`HOP(ts, 1m, 5m)`, the slide first",
        Family::Session => "`SESSION(30s)` or `SESSION(ts, 30s)`",
        Family::Cumulate => "`CUMULATE(1h, 1d)`, the step first",
    }
}
