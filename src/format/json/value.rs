//! JSON values go into columns.

use std::ops::Range;

use arrow::datatypes::DataType;

use super::keys::{Keys, START};
use super::scan::{Problem, Scanned, Scanner, unescape};
use crate::format::DecodeOptions;
use crate::format::column::{Column, Fault, Values, shorten};

/// How the fields of one kind of object are found.
#[derive(Debug)]
pub(super) struct Fields {
    keys: Keys,
    /// For each column how its values are found.
    inner: Vec<Shape>,
    /// For each slot twice the number of the object that had it last, plus one if it was spelled as declared.
    seen: Vec<u64>,
    object: u64,
    missing_fails: bool,
    unknown_fails: bool,
}

/// How the values inside a column are found.
#[derive(Debug)]
enum Shape {
    Plain,
    Items(Box<Shape>),
    Object(Box<Fields>),
}

impl Shape {
    fn new(data_type: &DataType, options: &DecodeOptions) -> Self {
        match data_type {
            DataType::List(item) => Self::Items(Box::new(Self::new(item.data_type(), options))),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => match pair.get(1) {
                    Some(values) => Self::Items(Box::new(Self::new(values.data_type(), options))),
                    None => Self::Plain,
                },
                _ => Self::Plain,
            },
            DataType::Struct(fields) => Self::Object(Box::new(Fields::new(fields, &[], options))),
            _ => Self::Plain,
        }
    }
}

impl Fields {
    /// Prepares for objects with `columns`, and further declared fields that nobody uses.
    pub(super) fn new(
        columns: &arrow::datatypes::Fields,
        unused: &[String],
        options: &DecodeOptions,
    ) -> Self {
        let names = columns.iter().map(|field| field.name().clone()).chain(unused.iter().cloned());
        let keys = Keys::new(names.collect());
        Self {
            seen: vec![0; keys.slots()],
            keys,
            inner: columns.iter().map(|field| Shape::new(field.data_type(), options)).collect(),
            object: 0,
            missing_fails: options.missing_field_fails,
            unknown_fails: options.unknown_field_fails,
        }
    }

    /// Appends one row to `columns` from the object that comes next; `row` is the number of rows there are.
    pub(super) fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        columns: &mut [Column],
        row: usize,
    ) -> Scanned {
        scanner.pos += 1;
        scanner.descend()?;
        self.object += 1;
        let stamp = self.object * 2;
        let mut filled = 0;
        if scanner.peek() == b'}' {
            scanner.pos += 1;
        } else {
            let mut previous = START;
            loop {
                scanner.peek();
                let key = scanner.pos;
                let meaning = self.keys.next(scanner, &mut previous)?;
                match meaning.slot {
                    Some(slot) => {
                        filled +=
                            usize::from(self.field(scanner, columns, row, slot, stamp, meaning.exact)?);
                    }
                    None if self.unknown_fails => return Err(undeclared(scanner, key)),
                    None => {
                        scanner.skip()?;
                    }
                }
                if !scanner.another(b'}')? {
                    break;
                }
            }
        }
        scanner.depth -= 1;
        if filled < self.keys.slots() { self.fill_missing(scanner, columns, stamp) } else { Ok(()) }
    }

    /// Reads the value of a declared field and returns whether the record did not have the field before.
    #[inline(always)]
    fn field(
        &mut self,
        scanner: &mut Scanner<'_>,
        columns: &mut [Column],
        row: usize,
        slot: usize,
        stamp: u64,
        exact: bool,
    ) -> Scanned<bool> {
        let Some(seen) = self.seen.get_mut(slot) else { return Ok(false) };
        let again = *seen >= stamp;
        // The last one wins, but never over a name that is spelled as declared.
        let unwanted = again && !exact && *seen > stamp;
        *seen = (*seen).max(stamp + u64::from(exact));
        match (columns.get_mut(slot), self.inner.get_mut(slot)) {
            (Some(column), Some(shape)) if !unwanted => {
                if again {
                    column.truncate(row);
                }
                if let Err(problem) = value(scanner, column, shape) {
                    return Err(problem.inside(self.keys.name(slot)));
                }
            }
            _ => {
                scanner.skip()?;
            }
        }
        Ok(!again)
    }

    /// Appends NULL for every field that the object lacks.
    #[inline(never)]
    fn fill_missing(&self, scanner: &Scanner<'_>, columns: &mut [Column], stamp: u64) -> Scanned {
        for (slot, seen) in self.seen.iter().enumerate() {
            if *seen >= stamp {
                continue;
            }
            let fault = match columns.get_mut(slot) {
                _ if self.missing_fails => Some(Fault::Missing),
                Some(column) => column.push_null().err().map(|_| Fault::Missing),
                None => None,
            };
            if let Some(fault) = fault {
                let what = fault.describe("", &DataType::Null);
                return Err(Problem::at(scanner.pos.saturating_sub(1), what).inside(self.keys.name(slot)));
            }
        }
        Ok(())
    }
}

#[cold]
fn undeclared(scanner: &Scanner<'_>, key: usize) -> Box<Problem> {
    let mut names = Scanner::new(scanner.bytes, true);
    names.pos = key;
    let raw = names.key().map(|text| names.slice(text.range)).unwrap_or_default();
    Problem::at(key, format!("field `{}` is not declared", shorten(raw)))
}

/// Makes the problem that the value at `range` does not fit.
#[cold]
fn misfit(scanner: &Scanner<'_>, column: &Column, range: Range<usize>, fault: Fault) -> Box<Problem> {
    let at = range.start;
    let text = scanner.slice(range);
    Problem::at(at, column.misfit(&shorten(text), text, fault))
}

/// Appends the value that comes next to `column`.
#[inline(always)]
fn value(scanner: &mut Scanner<'_>, column: &mut Column, shape: &mut Shape) -> Scanned {
    let first = scanner.peek();
    let start = scanner.pos;
    match first {
        b'"' => {
            scanner.pos += 1;
            let text = scanner.string()?;
            let pushed = match &mut column.values {
                Values::Text(texts) if !text.escaped => texts.push(scanner.slice(text.range)),
                _ => push_string(scanner, column, text.range, text.escaped),
            };
            pushed.map_err(|fault| misfit(scanner, column, start..scanner.pos, fault))
        }
        b'0'..=b'9' | b'-' => {
            if let Some(short) = scanner.short_integer() {
                match column.push_integer(short) {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(fault) => return Err(misfit(scanner, column, start..scanner.pos, fault)),
                }
            } else {
                scanner.number()?;
            }
            let range = start..scanner.pos;
            let text = scanner.slice(range.clone());
            match &mut column.values {
                Values::Text(texts) => texts.push(text),
                _ => column.push_number(text),
            }
            .map_err(|fault| misfit(scanner, column, range, fault))
        }
        _ => other_value(scanner, column, shape, first),
    }
}

/// Appends the inside of a string to anything but a text without escapes.
#[inline(never)]
fn push_string(
    scanner: &Scanner<'_>,
    column: &mut Column,
    range: Range<usize>,
    escaped: bool,
) -> Result<(), Fault> {
    let raw = scanner.slice(range);
    match &mut column.values {
        Values::Text(texts) => {
            unescape(raw, &mut texts.bytes).ok_or(Fault::Surrogate)?;
            texts.close()
        }
        _ if escaped => {
            let mut plain = Vec::with_capacity(raw.len());
            unescape(raw, &mut plain).ok_or(Fault::Surrogate)?;
            column.push_text(&plain)
        }
        _ => column.push_text(raw),
    }
}

/// Appends a literal, an array or an object.
#[inline(never)]
fn other_value(scanner: &mut Scanner<'_>, column: &mut Column, shape: &mut Shape, first: u8) -> Scanned {
    let start = scanner.pos;
    if first == b'n' {
        scanner.literal("null")?;
        return column.push_null().map_err(|fault| misfit(scanner, column, start..scanner.pos, fault));
    }
    match (&mut column.values, shape, first) {
        (Values::List { offsets, item }, Shape::Items(inner), b'[') => {
            items(scanner, item, inner)?;
            push_end(offsets, item.len(), start)
        }
        (Values::Struct { rows, fields }, Shape::Object(object), b'{') => {
            object.object(scanner, fields, *rows)?;
            *rows += 1;
            Ok(())
        }
        (Values::Map { offsets, keys, values }, Shape::Items(inner), b'{') => {
            entries(scanner, keys, values, inner)?;
            push_end(offsets, keys.len(), start)
        }
        (Values::Text(texts), ..) => {
            let range = scanner.skip()?;
            let text = scanner.slice(range.clone());
            texts.push(text).map_err(|fault| misfit(scanner, column, range, fault))
        }
        (_, _, b't' | b'f') => {
            scanner.literal(if first == b't' { "true" } else { "false" })?;
            column
                .push_boolean(first == b't')
                .map_err(|fault| misfit(scanner, column, start..scanner.pos, fault))
        }
        _ => {
            let range = scanner.skip()?;
            Err(misfit(scanner, column, range, Fault::Mismatch))
        }
    }
}

fn push_end(offsets: &mut Vec<i32>, end: usize, at: usize) -> Scanned {
    let end = i32::try_from(end).map_err(|_| Problem::at(at, "too many items in one batch"))?;
    offsets.push(end);
    Ok(())
}

/// Appends the items of an array.
fn items(scanner: &mut Scanner<'_>, item: &mut Column, shape: &mut Shape) -> Scanned {
    scanner.pos += 1;
    scanner.descend()?;
    if scanner.peek() == b']' {
        scanner.pos += 1;
    } else {
        loop {
            value(scanner, item, shape)?;
            if !scanner.another(b']')? {
                break;
            }
        }
    }
    scanner.depth -= 1;
    Ok(())
}

/// Appends the fields of an object as the entries of a map.
fn entries(scanner: &mut Scanner<'_>, keys: &mut Column, values: &mut Column, shape: &mut Shape) -> Scanned {
    scanner.pos += 1;
    scanner.descend()?;
    if scanner.peek() == b'}' {
        scanner.pos += 1;
    } else {
        loop {
            scanner.peek();
            let start = scanner.pos;
            let key = scanner.key()?;
            let raw = scanner.slice(key.range.clone());
            push_string(scanner, keys, key.range, key.escaped)
                .map_err(|fault| misfit(scanner, keys, start..scanner.pos, fault))?;
            value(scanner, values, shape).map_err(|problem| problem.inside(&shorten(raw)))?;
            if !scanner.another(b'}')? {
                break;
            }
        }
    }
    scanner.depth -= 1;
    Ok(())
}
