//! [`Scanner`]: one pass over JSON text that checks all of it, also what nobody wants to have.

use std::ops::Range;

use crate::format::swar;

/// Objects and arrays inside one another, at most.
pub(super) const DEPTH_LIMIT: u32 = 128;

/// What is wrong with a record.
#[derive(Debug)]
pub(in crate::format) struct Problem {
    /// The names on the way to the value, innermost first.
    pub(super) path: Vec<String>,
    /// What is wrong there.
    pub(super) what: String,
    /// The byte at which it is.
    pub(super) at: usize,
}

impl Problem {
    #[cold]
    pub(super) fn at(at: usize, what: impl Into<String>) -> Box<Self> {
        Box::new(Self { path: Vec::new(), what: what.into(), at })
    }

    /// Puts a name before those on the way to the value.
    #[cold]
    pub(super) fn inside(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path.push(name.to_owned());
        self
    }

    /// Returns the whole message.
    pub(super) fn message(&self) -> String {
        if self.path.is_empty() {
            return self.what.clone();
        }
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        format!("field `{}`: {}", path.join("."), self.what)
    }
}

/// The result of a scanning step; the box keeps the good case in one register.
pub(in crate::format) type Scanned<T = ()> = Result<T, Box<Problem>>;

/// The inside of a string: its bytes, and whether escapes are among them.
#[derive(Debug, Clone)]
pub(in crate::format) struct Text {
    pub(in crate::format) range: Range<usize>,
    pub(in crate::format) escaped: bool,
}

/// A place in JSON text.
#[derive(Debug)]
pub(in crate::format) struct Scanner<'a> {
    pub(in crate::format) bytes: &'a [u8],
    pub(in crate::format) pos: usize,
    /// Whether a line feed is space, or the end of the record.
    spans_lines: bool,
    /// Whether bytes outside ASCII were seen since this was last cleared.
    pub(super) beyond_ascii: bool,
    pub(in crate::format) depth: u32,
}

impl<'a> Scanner<'a> {
    pub(in crate::format) fn new(bytes: &'a [u8], spans_lines: bool) -> Self {
        Self { bytes, pos: 0, spans_lines, beyond_ascii: false, depth: 0 }
    }

    /// Skips space and returns the next byte; 0 stands for the end of the record.
    #[inline(always)]
    pub(in crate::format) fn peek(&mut self) -> u8 {
        match self.bytes.get(self.pos) {
            Some(byte) if *byte > b' ' => *byte,
            _ => self.peek_after_space(),
        }
    }

    fn peek_after_space(&mut self) -> u8 {
        while let Some(byte) = self.bytes.get(self.pos) {
            match byte {
                b' ' | b'\t' | b'\r' => self.pos += 1,
                b'\n' if self.spans_lines => self.pos += 1,
                b'\n' => return 0,
                other => return *other,
            }
        }
        0
    }

    /// Returns the bytes between two places.
    pub(in crate::format) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Makes the problem that something else was expected here.
    #[cold]
    pub(super) fn expected<T>(&self, what: &str) -> Scanned<T> {
        let found = match self.bytes.get(self.pos) {
            None => "the record ends".to_owned(),
            Some(b'\n') if !self.spans_lines => "the line ends".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("found `{}`", char::from(*byte)),
            Some(byte) => format!("found byte 0x{byte:02x}"),
        };
        Err(Problem::at(self.pos, format!("invalid JSON: expected {what}, {found}")))
    }

    /// Steps over `byte` after space.
    #[inline(always)]
    pub(in crate::format) fn expect(&mut self, byte: u8, what: &str) -> Scanned {
        if self.peek() == byte {
            self.pos += 1;
            return Ok(());
        }
        self.expected(what)
    }

    /// After a member: steps over a comma (`true`) or the closing byte (`false`).
    #[inline(always)]
    pub(in crate::format) fn another(&mut self, close: u8) -> Scanned<bool> {
        let byte = self.peek();
        if byte == b',' {
            self.pos += 1;
            Ok(true)
        } else if byte == close {
            self.pos += 1;
            Ok(false)
        } else {
            self.expected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })
        }
    }

    /// Steps over a string whose opening quote is already behind.
    #[inline(always)]
    pub(in crate::format) fn string(&mut self) -> Scanned<Text> {
        let start = self.pos;
        let mut at = start;
        let mut escaped = false;
        loop {
            while let Some(word) = swar::word(self.bytes, at) {
                self.beyond_ascii |= swar::beyond_ascii(word);
                let stops = swar::string_stop(word);
                if stops != 0 {
                    at += swar::before(stops);
                    break;
                }
                at += 8;
            }
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(Text { range: start..at, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(at)?;
                }
                Some(byte) if *byte >= 0x20 => {
                    self.beyond_ascii |= *byte >= 0x80;
                    at += 1;
                }
                _ => return self.unterminated(start, at),
            }
        }
    }

    /// Returns the place after the escape that begins at `at`.
    fn escape(&mut self, at: usize) -> Scanned<usize> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') if hex(self.bytes, at + 2).is_some() => Ok(at + 6),
            _ => Err(Problem::at(at, "invalid JSON: a backslash in a string begins no escape")),
        }
    }

    #[cold]
    fn unterminated(&mut self, start: usize, at: usize) -> Scanned<Text> {
        self.pos = at;
        match self.bytes.get(at) {
            Some(byte) if *byte != b'\n' || self.spans_lines => Err(Problem::at(
                at,
                format!("invalid JSON: a string has the bare control character 0x{byte:02x}"),
            )),
            _ => Err(Problem::at(start, "invalid JSON: a string is not closed")),
        }
    }

    /// Steps over a number and returns its bytes.
    #[inline]
    pub(in crate::format) fn number(&mut self) -> Scanned<Range<usize>> {
        let start = self.pos;
        if self.bytes.get(self.pos) == Some(&b'-') {
            self.pos += 1;
        }
        let first = self.pos;
        self.digits("a digit")?;
        if self.bytes.get(first) == Some(&b'0') && self.pos > first + 1 {
            return Err(Problem::at(start, "invalid JSON: a number begins with a zero"));
        }
        if self.bytes.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.digits("a digit after the decimal point")?;
        }
        if matches!(self.bytes.get(self.pos), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.bytes.get(self.pos), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits("a digit of the exponent")?;
        }
        Ok(start..self.pos)
    }

    #[inline(always)]
    fn digits(&mut self, what: &str) -> Scanned {
        let start = self.pos;
        while self.bytes.get(self.pos).is_some_and(u8::is_ascii_digit) {
            self.pos += 1;
        }
        if self.pos == start { self.expected(what) } else { Ok(()) }
    }

    /// Steps over an integer of at most 18 digits and returns it; stays in place at any other number.
    #[inline(always)]
    pub(super) fn short_integer(&mut self) -> Option<i64> {
        let mut at = self.pos;
        let negative = self.bytes.get(at) == Some(&b'-');
        at += usize::from(negative);
        let first = at;
        let mut value = 0_u64;
        while let Some(eight) = swar::word(self.bytes, at).and_then(swar::eight_digits) {
            value = value.wrapping_mul(100_000_000).wrapping_add(eight);
            at += 8;
        }
        let mut last = 0;
        while let Some(byte) = self.bytes.get(at) {
            last = *byte;
            let digit = last.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        let length = at - first;
        let zero_first = length > 1 && self.bytes.get(first) == Some(&b'0');
        if length == 0 || length > 18 || zero_first || matches!(last, b'.' | b'e' | b'E') {
            return None;
        }
        self.pos = at;
        let value = i64::try_from(value).ok()?;
        Some(if negative { -value } else { value })
    }

    /// Steps over `true`, `false` or `null`.
    #[inline]
    pub(in crate::format) fn literal(&mut self, literal: &str) -> Scanned {
        if self.bytes.get(self.pos..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            self.pos += literal.len();
            return Ok(());
        }
        self.expected("a value")
    }

    /// Goes one object or array deeper.
    pub(in crate::format) fn descend(&mut self) -> Scanned {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(Problem::at(
                self.pos,
                format!("objects and arrays are nested deeper than {DEPTH_LIMIT}"),
            ));
        }
        Ok(())
    }

    /// Steps over any value and returns its bytes.
    #[inline]
    pub(in crate::format) fn skip(&mut self) -> Scanned<Range<usize>> {
        let first = self.peek();
        let start = self.pos;
        match first {
            b'"' => {
                self.pos += 1;
                self.string()?;
            }
            b'{' | b'[' => self.skip_nested()?,
            _ => self.skip_plain(first)?,
        }
        Ok(start..self.pos)
    }

    #[inline]
    fn skip_plain(&mut self, first: u8) -> Scanned {
        match first {
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.expected("a value"),
        }
    }

    /// Steps over an object or array; a bit for each level says which of the two it is.
    fn skip_nested(&mut self) -> Scanned {
        let outer = self.depth;
        let mut objects = 0_u128;
        loop {
            // A value is due.
            match self.peek() {
                open @ (b'{' | b'[') => {
                    self.descend()?;
                    self.pos += 1;
                    objects = (objects << 1) | u128::from(open == b'{');
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() != close {
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.pos += 1;
                    self.depth -= 1;
                    objects >>= 1;
                }
                b'"' => {
                    self.pos += 1;
                    self.string()?;
                }
                first => self.skip_plain(first)?,
            }
            // A value is complete.
            loop {
                if self.depth == outer {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                if self.another(if object { b'}' } else { b']' })? {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                self.depth -= 1;
                objects >>= 1;
            }
        }
    }

    /// Steps over a field name and its colon.
    #[inline]
    pub(in crate::format) fn key(&mut self) -> Scanned<Text> {
        self.expect(b'"', "a field name in quotes")?;
        let text = self.string()?;
        self.expect(b':', "`:` after the field name")?;
        Ok(text)
    }
}

/// Reads four hexadecimal digits.
fn hex(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .iter()
        .try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
}

/// Appends the inside of a string without its escapes; nothing when half a surrogate pair stands alone.
pub(in crate::format) fn unescape(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at)?);
        let code = *rest.get(at + 1)?;
        let mut length = 2;
        let plain = match code {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut point = hex(rest, at + 2)?;
                length = 6;
                if (0xD800..0xDC00).contains(&point) {
                    let low = rest.get(at + 6..)?.strip_prefix(b"\\u").and_then(|low| hex(low, 0))?;
                    point = 0x1_0000
                        + ((point - 0xD800) << 10)
                        + low.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
                    length = 12;
                }
                let mut buffer = [0; 4];
                out.extend_from_slice(char::from_u32(point)?.encode_utf8(&mut buffer).as_bytes());
                rest = rest.get(at + length..)?;
                continue;
            }
            other => other,
        };
        out.push(plain);
        rest = rest.get(at + length..)?;
    }
    out.extend_from_slice(rest);
    Some(())
}
