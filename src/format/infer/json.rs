//! [`infer_json`]: the schema of JSON lines.

use arrow::datatypes::Schema;

use super::RECORDS_MAX;
use super::kind::{Kind, Members};
use crate::error::{Error, Result};
use crate::format::json::{Scanned, Scanner, unescape};

/// Guesses the schema of JSON lines from the first 1,000 whole records of `sample`.
///
/// Every field is nullable, in the order of first appearance. Records that are no JSON objects do not count; fails
/// when no other is there. With `decimals`, fractions are DECIMAL and not DOUBLE.
pub fn infer_json(sample: &[u8], decimals: bool) -> Result<Schema> {
    let sample = sample.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(sample);
    let mut members = Members::default();
    let (mut good, mut bad) = (0, 0);
    for line in sample.split(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match record(line) {
            Some(found) => {
                let mut all = Kind::Struct(members);
                all.merge(Kind::Struct(found));
                members = match all {
                    Kind::Struct(members) => members,
                    _ => Members::default(),
                };
                good += 1;
            }
            None => bad += 1,
        }
        if good + bad == RECORDS_MAX {
            break;
        }
    }
    if good == 0 {
        let found = if bad == 0 { "it is empty" } else { "no line of it is a JSON object" };
        return Err(Error::data(format!("no columns can be inferred from the sample: {found}"))
            .with_hint("declare the columns in `CREATE STREAM` or with the option `schema`"));
    }
    Ok(Schema::new(members.fields(decimals)))
}

/// Reads one record, if it is one.
fn record(line: &[u8]) -> Option<Members> {
    std::str::from_utf8(line).ok()?;
    let mut scanner = Scanner::new(line, true);
    if scanner.peek() != b'{' {
        return None;
    }
    match value(&mut scanner) {
        Ok(Kind::Struct(members)) if scanner.peek() == 0 && scanner.pos >= line.len() => Some(members),
        _ => None,
    }
}

/// Reads a value; the scanner's depth limit bounds the recursion.
fn value(scanner: &mut Scanner<'_>) -> Scanned<Kind> {
    match scanner.peek() {
        b'{' => object(scanner),
        b'[' => {
            scanner.pos += 1;
            scanner.descend()?;
            let mut item = Kind::Unknown;
            if scanner.peek() == b']' {
                scanner.pos += 1;
            } else {
                loop {
                    item.merge(value(scanner)?);
                    if !scanner.another(b']')? {
                        break;
                    }
                }
            }
            scanner.depth -= 1;
            Ok(Kind::List(Box::new(item)))
        }
        b'"' => {
            scanner.pos += 1;
            let text = scanner.string()?;
            Ok(Kind::of_text(&plain(scanner.slice(text.range))))
        }
        first => {
            let range = scanner.skip()?;
            Ok(match first {
                b't' | b'f' => Kind::Boolean,
                b'n' => Kind::Unknown,
                _ => Kind::of_number(&plain(scanner.slice(range))),
            })
        }
    }
}

fn object(scanner: &mut Scanner<'_>) -> Scanned<Kind> {
    scanner.pos += 1;
    scanner.descend()?;
    let mut members = Members::default();
    if scanner.peek() == b'}' {
        scanner.pos += 1;
    } else {
        loop {
            let key = scanner.key()?;
            let name = plain(scanner.slice(key.range));
            let kind = value(scanner)?;
            if let Some(known) = members.entry(&name) {
                *known = kind;
            }
            if !scanner.another(b'}')? {
                break;
            }
        }
    }
    scanner.depth -= 1;
    Ok(Kind::Struct(members))
}

/// Returns the inside of a string without its escapes.
fn plain(raw: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(raw.len());
    match unescape(raw, &mut bytes) {
        Some(()) => String::from_utf8_lossy(&bytes).into_owned(),
        None => String::from_utf8_lossy(raw).into_owned(),
    }
}
