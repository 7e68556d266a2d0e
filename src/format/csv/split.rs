//! Telling CSV fields and records apart.
//!
//! A quote opens a quoted field only where the field begins; anywhere else it is a character like others, so that a
//! stray quote in the middle of a field cannot swallow the lines after it.

use std::ops::Range;

use super::CsvOptions;
use crate::error::{Error, Result};
use crate::format::column::shorten;
use crate::format::swar;

/// One field of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::format) struct Part {
    /// Where the text begins, behind an opening quote.
    pub(super) start: usize,
    /// Where the text ends, before a closing quote.
    pub(super) end: usize,
    pub(super) quoted: bool,
    /// Whether quotes inside have to be resolved.
    pub(super) escaped: bool,
}

/// The fields of one record.
#[derive(Debug, Default)]
pub(in crate::format) struct Row {
    pub(super) parts: Vec<Part>,
}

impl Row {
    /// Returns the text of a field and whether it was quoted; `spare` holds it if quotes had to be resolved.
    #[inline]
    pub(in crate::format) fn text<'a>(
        &self,
        splitter: &Splitter<'a>,
        place: usize,
        spare: &'a mut Vec<u8>,
    ) -> Option<(&'a [u8], bool)> {
        let part = self.parts.get(place)?;
        let raw = splitter.bytes.get(part.start..part.end)?;
        if !part.escaped {
            return Some((raw, part.quoted));
        }
        spare.clear();
        splitter.resolve(raw, spare);
        Some((spare.as_slice(), part.quoted))
    }

    pub(in crate::format) fn len(&self) -> usize {
        self.parts.len()
    }
}

/// Where a record ends.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct RecordEnd {
    /// The end of the record's text, without its line end.
    pub(super) text: usize,
    /// Where the next record begins.
    pub(super) next: usize,
}

impl RecordEnd {
    /// Returns where the next record begins.
    pub(in crate::format) fn next(&self) -> usize {
        self.next
    }
}

/// Why a record could not be split.
#[derive(Debug)]
pub(in crate::format) struct BadQuote {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// A place in CSV text.
#[derive(Debug)]
pub(in crate::format) struct Splitter<'a> {
    pub(in crate::format) bytes: &'a [u8],
    delimiter: u8,
    quote: u8,
    escape: u8,
    delimiters: u64,
    /// Whether bytes outside ASCII may have been seen since this was last cleared.
    pub(super) beyond_ascii: bool,
    /// Whether a line feed ends a record.
    lines: bool,
}

impl<'a> Splitter<'a> {
    pub(in crate::format) fn new(bytes: &'a [u8], options: &CsvOptions, lines: bool) -> Self {
        Self {
            bytes,
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape.unwrap_or(options.quote),
            delimiters: swar::repeat(options.delimiter),
            beyond_ascii: false,
            lines,
        }
    }

    /// Splits the record that begins at `start`, handing over each field as it is found.
    #[inline(always)]
    pub(in crate::format) fn each_part(
        &mut self,
        start: usize,
        mut part: impl FnMut(Part),
    ) -> Result<RecordEnd, BadQuote> {
        let mut at = start;
        loop {
            let next = if self.bytes.get(at) == Some(&self.quote) {
                let (found, next) = self.quoted(at)?;
                part(found);
                next
            } else {
                let mut end = self.plain_end(at);
                let next = end;
                // A carriage return belongs to the line end.
                if self.bytes.get(end) != Some(&self.delimiter)
                    && end > at
                    && self.bytes.get(end - 1) == Some(&b'\r')
                {
                    end -= 1;
                }
                part(Part { start: at, end, quoted: false, escaped: false });
                next
            };
            match self.bytes.get(next) {
                Some(byte) if *byte == self.delimiter => at = next + 1,
                _ => return Ok(RecordEnd { text: next, next: next + 1 }),
            }
        }
    }

    /// Splits the record that begins at `start` into `row`.
    pub(in crate::format) fn split(&mut self, start: usize, row: &mut Row) -> Result<RecordEnd, BadQuote> {
        row.parts.clear();
        let parts = &mut row.parts;
        self.each_part(start, |part| parts.push(part))
    }

    /// Returns the place of the next delimiter or line end.
    #[inline(always)]
    fn plain_end(&mut self, start: usize) -> usize {
        let mut at = start;
        loop {
            while let Some(word) = swar::word(self.bytes, at) {
                self.beyond_ascii |= swar::beyond_ascii(word);
                let stops = swar::equal(word, self.delimiters) | swar::equal(word, swar::repeat(b'\n'));
                if stops != 0 {
                    at += swar::before(stops);
                    break;
                }
                at += 8;
            }
            match self.bytes.get(at) {
                None => return at,
                Some(byte) if *byte == self.delimiter => return at,
                Some(b'\n') if self.lines => return at,
                Some(byte) => {
                    self.beyond_ascii |= *byte >= 0x80;
                    at += 1;
                }
            }
        }
    }

    /// Reads a quoted field and returns it with the place behind it: a delimiter, a line end or the end.
    #[inline(never)]
    fn quoted(&mut self, open: usize) -> Result<(Part, usize), BadQuote> {
        let mut at = open + 1;
        let mut escaped = false;
        let end = loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(found) = memchr::memchr2(self.quote, self.escape, rest) else {
                return Err(BadQuote { at: open, what: "a quoted field is not closed" });
            };
            at += found;
            let next = self.bytes.get(at + 1);
            if self.bytes.get(at) == Some(&self.escape)
                && next.is_some_and(|next| *next == self.quote || self.escape != self.quote)
            {
                escaped = true;
                at += 2;
            } else {
                break at;
            }
        };
        self.beyond_ascii |= !self.bytes.get(open..end).unwrap_or_default().is_ascii();
        let part = Part { start: open + 1, end, quoted: true, escaped };
        let after = end + 1;
        match (self.bytes.get(after), self.bytes.get(after + 1)) {
            (None, _) => Ok((part, after)),
            (Some(b'\n'), _) if self.lines => Ok((part, after)),
            (Some(byte), _) if *byte == self.delimiter => Ok((part, after)),
            (Some(b'\r'), None) => Ok((part, after + 1)),
            (Some(b'\r'), Some(b'\n')) if self.lines => Ok((part, after + 1)),
            _ => Err(BadQuote { at: after, what: "text follows the closing quote of a field" }),
        }
    }

    /// Appends the inside of a quoted field with its quotes resolved.
    pub(super) fn resolve(&self, raw: &[u8], out: &mut Vec<u8>) {
        let mut rest = raw;
        while let Some(at) = memchr::memchr(self.escape, rest) {
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            out.extend(rest.get(at + 1));
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    }
}

/// Reads the column names from a header line, with or without its line end.
pub fn csv_header(line: &[u8], options: &CsvOptions) -> Result<Vec<String>> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let mut splitter = Splitter::new(line, options, true);
    let mut row = Row::default();
    let shown = shorten(line);
    splitter
        .split(0, &mut row)
        .map_err(|bad| Error::data(format!("{} in the CSV header line: {shown}", bad.what)))?;
    let mut names: Vec<String> = Vec::with_capacity(row.len());
    for place in 0..row.len() {
        let mut spare = Vec::new();
        let (text, _) = row.text(&splitter, place, &mut spare).unwrap_or_default();
        let name = std::str::from_utf8(text)
            .map_err(|_| Error::data(format!("the CSV header line is not UTF-8 text: {shown}")))?;
        names.push(name.trim().to_owned());
    }
    if let Some(twice) = names.iter().enumerate().find(|(i, name)| names.iter().take(*i).any(|n| n == *name))
    {
        return Err(Error::data(format!("the CSV header names the column `{}` twice", twice.1)));
    }
    Ok(names)
}

/// Returns the end of the last record of `bytes`, its line feed included: where a reader cuts a buffer of CSV.
///
/// `bytes` begins with a record. The same quotes count as in decoding.
pub fn csv_last_record_end(bytes: &[u8], options: &CsvOptions) -> Option<usize> {
    let newline = |range: Range<usize>| {
        let start = range.start;
        memchr::memrchr(b'\n', bytes.get(range)?).map(|at| start + at + 1)
    };
    let mut splitter = Splitter::new(bytes, options, true);
    let mut outside = 0;
    let mut last = None;
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr(options.quote, rest) else {
            return newline(outside..bytes.len()).or(last);
        };
        at += found;
        let opens = match at.checked_sub(1).and_then(|before| bytes.get(before)) {
            None | Some(b'\n') => true,
            Some(byte) => *byte == options.delimiter || (at == 3 && bytes.starts_with(b"\xEF\xBB\xBF")),
        };
        if !opens {
            at += 1;
            continue;
        }
        last = newline(outside..at).or(last);
        match splitter.quoted(at) {
            Ok((_, next)) => at = next,
            // The decoder gives up the line in which the record begins, and goes on with the next one.
            Err(bad) if bad.at > at => {
                let begin = last.unwrap_or(0);
                let record = bytes.get(begin..).unwrap_or_default();
                at = memchr::memchr(b'\n', record).map_or(bytes.len(), |line| begin + line);
            }
            Err(_) => return last,
        }
        outside = at;
    }
}
