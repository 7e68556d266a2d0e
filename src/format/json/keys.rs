//! [`Keys`]: which column a field name means, found by guessing the field that followed last time.

use std::collections::HashMap;

use super::scan::{Scanned, Scanner, Text, unescape};

/// Field names that are remembered, at most: data in which names are values must not fill the memory.
const KEYS_MAX: usize = 1_024;

/// What a field name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The slot of the declared field, if it is one: first the columns, then the fields nobody uses.
    pub(super) slot: Option<usize>,
    /// Whether the name is spelled as declared.
    pub(super) exact: bool,
}

#[derive(Debug)]
struct Known {
    /// `"name":` as it is written without space.
    written: Vec<u8>,
    meaning: Meaning,
    /// The name that followed last time.
    next: usize,
}

/// The field names of one kind of object.
#[derive(Debug)]
pub(super) struct Keys {
    declared: Vec<String>,
    known: Vec<Known>,
    index: HashMap<Vec<u8>, usize>,
    /// The name that came first last time.
    first: usize,
}

/// The place in `known` from which the next guess is made.
pub(super) const START: usize = usize::MAX;

impl Keys {
    pub(super) fn new(declared: Vec<String>) -> Self {
        let mut keys = Self { declared, known: Vec::new(), index: HashMap::new(), first: 0 };
        for name in keys.declared.clone() {
            keys.remember(name.as_bytes());
        }
        keys
    }

    /// Returns the declared name of a slot.
    pub(super) fn name(&self, slot: usize) -> &str {
        self.declared.get(slot).map_or("", String::as_str)
    }

    pub(super) fn slots(&self) -> usize {
        self.declared.len()
    }

    /// Steps over a field name and its colon; `previous` is the name before it and becomes this one.
    #[inline(always)]
    pub(super) fn next(&mut self, scanner: &mut Scanner<'_>, previous: &mut usize) -> Scanned<Meaning> {
        let guess = self.known.get(*previous).map_or(self.first, |known| known.next);
        if let Some(known) = self.known.get(guess)
            && scanner.bytes.get(scanner.pos..).is_some_and(|rest| rest.starts_with(&known.written))
        {
            scanner.pos += known.written.len();
            *previous = guess;
            return Ok(known.meaning);
        }
        self.look_up(scanner, previous)
    }

    #[inline(never)]
    fn look_up(&mut self, scanner: &mut Scanner<'_>, previous: &mut usize) -> Scanned<Meaning> {
        let text = scanner.key()?;
        let raw = scanner.slice(text.range.clone());
        let found = match self.index.get(raw) {
            Some(found) => Some(*found),
            None if text.escaped => return Ok(self.meaning_escaped(raw, &text)),
            None => self.remember(raw),
        };
        let Some(found) = found else {
            return Ok(self.meaning(raw));
        };
        match self.known.get_mut(*previous) {
            Some(known) => known.next = found,
            None => self.first = found,
        }
        *previous = found;
        Ok(self.known.get(found).map_or(Meaning { slot: None, exact: false }, |known| known.meaning))
    }

    /// Adds a name to those known; nothing when there is no more room or the name is not text.
    fn remember(&mut self, raw: &[u8]) -> Option<usize> {
        if self.known.len() >= KEYS_MAX.max(self.declared.len()) || std::str::from_utf8(raw).is_err() {
            return None;
        }
        let meaning = self.meaning(raw);
        let place = self.known.len();
        let mut written = Vec::with_capacity(raw.len() + 3);
        written.push(b'"');
        written.extend_from_slice(raw);
        written.extend_from_slice(b"\":");
        self.known.push(Known { written, meaning, next: place + 1 });
        self.index.insert(raw.to_vec(), place);
        Some(place)
    }

    fn meaning_escaped(&self, raw: &[u8], text: &Text) -> Meaning {
        let mut plain = Vec::with_capacity(text.range.len());
        match unescape(raw, &mut plain) {
            Some(()) => self.meaning(&plain),
            None => Meaning { slot: None, exact: false },
        }
    }

    fn meaning(&self, name: &[u8]) -> Meaning {
        if let Some(slot) = self.declared.iter().position(|declared| declared.as_bytes() == name) {
            return Meaning { slot: Some(slot), exact: true };
        }
        let name = std::str::from_utf8(name).map(str::to_lowercase).unwrap_or_default();
        let slot = self.declared.iter().position(|declared| declared.to_lowercase() == name);
        Meaning { slot, exact: false }
    }
}
