//! [`LatestRows`]: the newest row of each group, as columns.

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;

use crate::error::Result;

/// Where a group's newest row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    chunk: u32,
    row: u32,
}

const NOWHERE: Place = Place { chunk: u32::MAX, row: u32::MAX };

/// The rows that were written together, or several such chunks merged.
struct Chunk {
    columns: Vec<ArrayRef>,
    /// The group of each row; a row is dead once its group's newest row is elsewhere.
    groups: Vec<u32>,
}

/// The newest row of each group.
///
/// Chunks of rows are immutable and appended; small ones are merged into larger ones (as a log-structured merge tree
/// does), so that writing one row costs no more than a logarithm of the number of groups.
pub(super) struct LatestRows {
    /// What columns there are.
    nothing: Vec<ArrayRef>,
    places: Vec<Place>,
    chunks: Vec<Chunk>,
    live: usize,
}

impl LatestRows {
    /// Creates an empty store; `nothing` is its columns without rows.
    pub(super) fn new(nothing: Vec<ArrayRef>) -> Self {
        Self { nothing, places: vec![], chunks: vec![], live: 0 }
    }

    /// Returns whether the group has a row.
    pub(super) fn has(&self, group: u32) -> bool {
        self.places.get(group as usize).is_some_and(|place| *place != NOWHERE)
    }

    /// Returns the rows of groups that have one.
    pub(super) fn of(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let places = groups.iter().map(|&group| self.places[group as usize]);
        self.gather(&places.collect::<Vec<_>>())
    }

    /// Makes `columns` the rows of `groups`, each of which comes once.
    pub(super) fn write(&mut self, columns: Vec<ArrayRef>, groups: Vec<u32>) -> Result<()> {
        let Some(highest) = groups.iter().max() else { return Ok(()) };
        if *highest as usize >= self.places.len() {
            self.places.resize(*highest as usize + 1, NOWHERE);
        }
        let chunk = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        for (row, &group) in (0u32..).zip(&groups) {
            let before = std::mem::replace(&mut self.places[group as usize], Place { chunk, row });
            self.live += usize::from(before == NOWHERE);
        }
        self.chunks.push(Chunk { columns, groups });
        while let [.., larger, smaller] = self.chunks.as_slice() {
            if larger.groups.len() > 2 * smaller.groups.len() {
                break;
            }
            self.merge_last(2)?;
        }
        let rows: usize = self.chunks.iter().map(|chunk| chunk.groups.len()).sum();
        if rows > 2 * self.live + 4_096 {
            self.merge_last(self.chunks.len())?;
        }
        Ok(())
    }

    /// Forgets the row of a group.
    pub(super) fn forget(&mut self, group: u32) {
        if self.has(group) {
            self.places[group as usize] = NOWHERE;
            self.live -= 1;
        }
    }

    /// Returns about how many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        let arrays = self.chunks.iter().flat_map(|chunk| &chunk.columns);
        let groups: usize = self.chunks.iter().map(|chunk| chunk.groups.capacity() * 4).sum();
        arrays.map(|array| array.get_array_memory_size()).sum::<usize>()
            + groups
            + self.places.capacity() * size_of::<Place>()
    }

    fn gather(&self, places: &[Place]) -> Result<Vec<ArrayRef>> {
        if self.chunks.is_empty() {
            return Ok(self.nothing.clone());
        }
        let rows: Vec<(usize, usize)> =
            places.iter().map(|place| (place.chunk as usize, place.row as usize)).collect();
        (0..self.nothing.len())
            .map(|column| {
                let arrays: Vec<&dyn Array> =
                    self.chunks.iter().map(|chunk| chunk.columns[column].as_ref()).collect();
                Ok(interleave(&arrays, &rows)?)
            })
            .collect()
    }

    /// Makes the last `count` chunks one, without their dead rows.
    fn merge_last(&mut self, count: usize) -> Result<()> {
        let first = self.chunks.len() - count;
        let mut places = vec![];
        let mut groups = vec![];
        for (chunk, part) in (0u32..).zip(&self.chunks).skip(first) {
            for (row, &group) in (0u32..).zip(&part.groups) {
                let place = Place { chunk, row };
                if self.places[group as usize] == place {
                    places.push(place);
                    groups.push(group);
                }
            }
        }
        let columns = self.gather(&places)?;
        self.chunks.truncate(first);
        let chunk = u32::try_from(first).unwrap_or(u32::MAX);
        for (row, &group) in (0u32..).zip(&groups) {
            self.places[group as usize] = Place { chunk, row };
        }
        self.chunks.push(Chunk { columns, groups });
        Ok(())
    }
}
