//! [`LiveRows`]: which rows of a run are there, copied only where somebody still reads the old state.

use std::sync::Arc;

use arrow::buffer::{BooleanBuffer, ScalarBuffer};

/// How many rows share what is copied together.
pub(super) const CHUNK_ROWS: usize = 1 << 16;
const WORDS: usize = CHUNK_ROWS / 64;

/// A bit for each row of a run.
#[derive(Debug, Clone)]
pub(super) struct LiveRows {
    rows: usize,
    live: usize,
    /// By 65,536 rows; none where all of them are live.
    chunks: Vec<Option<Arc<[u64; WORDS]>>>,
}

impl LiveRows {
    /// Says that all of so many rows are live.
    pub(super) fn all(rows: usize) -> Self {
        Self { rows, live: rows, chunks: vec![None; rows.div_ceil(CHUNK_ROWS)] }
    }

    /// Returns the live rows, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.rows).filter(|&row| u32::try_from(row).is_ok_and(|row| self.is_live(row)))
    }

    /// Returns how many rows are live.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Returns how many rows are not live.
    pub(super) fn dead(&self) -> usize {
        self.rows - self.live
    }

    /// Returns whether a row is live.
    pub(super) fn is_live(&self, row: u32) -> bool {
        let row = row as usize;
        match &self.chunks[row / CHUNK_ROWS] {
            None => true,
            Some(words) => words[row % CHUNK_ROWS / 64] >> (row % 64) & 1 == 1,
        }
    }

    /// Ends the life of a row; returns whether it had been live.
    pub(super) fn kill(&mut self, row: u32) -> bool {
        if !self.is_live(row) {
            return false;
        }
        let row = row as usize;
        let words = self.chunks[row / CHUNK_ROWS].get_or_insert_with(|| Arc::new([u64::MAX; WORDS]));
        Arc::make_mut(words)[row % CHUNK_ROWS / 64] &= !(1 << (row % 64));
        self.live -= 1;
        true
    }

    /// Returns which of the rows `from..from + length`, all of one chunk, are live; none if all of them are.
    pub(super) fn mask(&self, from: usize, length: usize) -> Option<BooleanBuffer> {
        let words = self.chunks[from / CHUNK_ROWS].as_ref()?;
        let first = from % CHUNK_ROWS / 64;
        let last = (from % CHUNK_ROWS + length).div_ceil(64);
        let part: ScalarBuffer<u64> = words[first..last].iter().copied().collect();
        let mask = BooleanBuffer::new(part.into_inner(), from % 64, length);
        (mask.count_set_bits() < length).then_some(mask)
    }

    /// Returns about how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let copied = self.chunks.iter().flatten().count() * WORDS * size_of::<u64>();
        copied + self.chunks.capacity() * size_of::<Option<Arc<[u64; WORDS]>>>()
    }
}
