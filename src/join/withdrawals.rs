//! How a [`Side`] lets go of rows that are withdrawn.

use std::collections::HashSet;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::and;

use super::chunks::RowId;
use super::key_hashes::KeyHashes;
use super::pairs::{Candidates, equals, pick};
use super::side::{BLOCK, Shown, Side};
use crate::error::Result;

impl Side {
    /// Finds for each of `rows` the oldest row that is kept and equal to it in all but the mark; none where there is no
    /// other than those that stand for earlier rows already.
    pub(super) fn find(&self, rows: &RecordBatch, hashes: &KeyHashes) -> Result<Vec<Option<RowId>>> {
        let mut found: Vec<(u32, RowId)> = vec![];
        let mut candidates = Candidates::default();
        for ordinal in 0..rows.num_rows() {
            let row = u32::try_from(ordinal).unwrap_or(u32::MAX);
            let mut next = hashes.place(ordinal).and_then(|hash| self.newest(hash));
            while let Some(id) = next {
                if self.digest(id) == hashes.digest(ordinal) {
                    candidates.rows.push(row);
                    candidates.ids.push(id);
                }
                next = self.before(id);
            }
            if candidates.ids.len() >= BLOCK {
                found.extend(self.equal(rows, std::mem::take(&mut candidates))?);
            }
        }
        found.extend(self.equal(rows, candidates)?);
        let mut taken = HashSet::new();
        let mut oldest = vec![None; rows.num_rows()];
        // The candidates of a row go from the newest to the oldest.
        for own in found.chunk_by(|a, b| a.0 == b.0) {
            let free = own.iter().rev().find(|(_, id)| taken.insert(*id));
            oldest[own[0].0 as usize] = free.map(|(_, id)| *id);
        }
        Ok(oldest)
    }

    /// Keeps the candidates whose rows are equal.
    fn equal(&self, rows: &RecordBatch, candidates: Candidates) -> Result<Vec<(u32, RowId)>> {
        let picked = UInt32Array::from(candidates.rows.clone());
        let places = self.chunks.places(&candidates.ids);
        let mark = self.mark_column();
        let mut equal = BooleanArray::from(vec![true; candidates.ids.len()]);
        for column in (0..rows.num_columns()).filter(|column| Some(*column) != mark) {
            let kept = self.chunks.gather(column, &places)?;
            equal = and(&equal, &equals(&pick(rows.column(column), &picked)?, &kept, true)?)?;
        }
        let all = candidates.rows.into_iter().zip(candidates.ids);
        Ok(all.zip(equal.values()).filter_map(|(candidate, equal)| equal.then_some(candidate)).collect())
    }

    /// Lets go of the row `id`, which is kept under `hash`.
    pub(super) fn withdraw(&mut self, hash: u64, id: RowId) {
        let older = self.before(id);
        let mut newer = self.newest(hash);
        if newer == Some(id) {
            match older {
                Some(older) => drop(self.index.put(hash, older)),
                None => self.index.forget(hash),
            }
            newer = None;
        }
        while let Some(at) = newer {
            newer = self.before(at);
            if newer == Some(id) {
                let back = older.and_then(|older| u32::try_from(at - older).ok());
                self.kept_mut(at).back = back.unwrap_or(0);
                break;
            }
        }
        self.gone += 1;
        let kept = self.kept_mut(id);
        kept.gone = true;
        if kept.shown != Shown::No {
            self.touched.push(id);
        }
    }
}
