//! [`LineCutter`]: cuts a byte stream into chunks of whole records.

use std::io::Read;

use bytes::Bytes;

use crate::connect::{ChunkLimits, TextFormat};
use crate::error::Error;

/// About how many bytes a chunk has: large enough that per-chunk work does not count, small enough that a decoder's
/// input and output stay in the cache.
const CHUNK_BYTES: usize = 1 << 20;

/// The most bytes of one record: what has no end by then is taken for text without records.
const RECORD_BYTES: usize = 256 << 20;

/// Cuts what a reader gives into chunks that end with a record.
pub(super) struct LineCutter {
    format: TextFormat,
    limits: ChunkLimits,
    /// What was read beyond the last record that was handed out.
    rest: Vec<u8>,
    /// How much of the rest is known to hold no end of a record.
    searched: usize,
    ended: bool,
}

/// What a read came to.
pub(super) enum Cut {
    /// Whole records.
    Records(Bytes),
    /// The end, and nothing is left.
    End,
    /// A record that does not end within what one may have.
    Endless,
}

/// Returns the error for a record that does not end.
pub(super) fn endless(place: impl std::fmt::Display) -> Error {
    let limit = RECORD_BYTES >> 20;
    Error::data(format!("{place}: a record begins here that has no end within {limit} MiB"))
        .with_hint("each record is a line of its own; in CSV a quote may lack its partner")
}

impl LineCutter {
    pub(super) fn new(format: TextFormat, limits: ChunkLimits) -> Self {
        Self { format, limits, rest: vec![], searched: 0, ended: false }
    }

    /// Puts bytes back before what comes next: a sample that was read ahead.
    pub(super) fn push_front(&mut self, bytes: &[u8]) {
        self.rest.splice(0..0, bytes.iter().copied());
        self.searched = 0;
    }

    /// Returns whether the reader has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns how many bytes were read that are not handed out.
    pub(super) fn waiting(&self) -> usize {
        self.rest.len()
    }

    /// Reads the first line, without its end, for its column names; none at the end of the input.
    pub(super) fn header(&mut self, reader: &mut dyn Read) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.rest) {
                return Ok(Some(self.rest.drain(..=end).collect()));
            }
            if self.fill(reader, 64 << 10)? == 0 {
                self.ended = true;
                return Ok((!self.rest.is_empty()).then(|| std::mem::take(&mut self.rest)));
            }
        }
    }

    /// Returns the next chunk. A reader that blocks is read only while no whole record is there.
    ///
    /// With `greedy` the chunk is filled up; without, whatever one read gives is handed out, so that a record that has
    /// come never waits for the next.
    pub(super) fn next(&mut self, reader: &mut dyn Read, greedy: bool) -> std::io::Result<Cut> {
        let wanted = CHUNK_BYTES.min(self.limits.bytes).max(1);
        loop {
            if self.rest.len() >= wanted || self.ended || !greedy {
                if let Some(end) = self.find_end(wanted) {
                    return Ok(Cut::Records(self.take(end)));
                }
                if self.ended {
                    let all = self.rest.len();
                    return Ok(if all == 0 { Cut::End } else { Cut::Records(self.take(all)) });
                }
            }
            if self.searched > RECORD_BYTES {
                return Ok(Cut::Endless);
            }
            // The longer a record is, the more is read before it is searched again.
            let missing = wanted.saturating_sub(self.rest.len()).max(self.searched).max(64 << 10);
            if self.fill(reader, missing)? == 0 {
                self.ended = true;
            }
        }
    }

    /// Returns where to cut, if there can be an end of a record that was not looked for before.
    fn find_end(&mut self, wanted: usize) -> Option<usize> {
        let new = self.rest.get(self.searched..).unwrap_or_default();
        let end = memchr::memchr(b'\n', new).and_then(|_| self.cut_at(wanted));
        self.searched = self.rest.len();
        end
    }

    /// Where to cut what is there: after a record, within the limits unless one record alone is larger.
    fn cut_at(&self, wanted: usize) -> Option<usize> {
        let within = self.rest.get(..wanted).unwrap_or(&self.rest);
        let end = self.format.last_record_end(within).or_else(|| {
            // One record is larger than the limit: find its end further on.
            (within.len() < self.rest.len()).then(|| self.format.last_record_end(&self.rest)).flatten()
        })?;
        let rows = self.limits.rows;
        if rows.saturating_mul(2) >= end {
            return Some(end);
        }
        // Only small row limits can bind before the byte limit does.
        let mut ends = memchr::memchr_iter(b'\n', self.rest.get(..end)?);
        match ends.nth(rows - 1) {
            Some(nth) => self.format.last_record_end(self.rest.get(..=nth)?).or(Some(end)),
            None => Some(end),
        }
    }

    fn take(&mut self, end: usize) -> Bytes {
        self.searched = 0;
        let rest = self.rest.split_off(end);
        Bytes::from(std::mem::replace(&mut self.rest, rest))
    }

    fn fill(&mut self, reader: &mut dyn Read, at_most: usize) -> std::io::Result<usize> {
        let before = self.rest.len();
        self.rest.resize(before + at_most, 0);
        let read = loop {
            match reader.read(&mut self.rest[before..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.rest.truncate(before + read.as_ref().map_or(0, |read| *read));
        read
    }
}
