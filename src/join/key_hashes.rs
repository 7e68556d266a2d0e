//! [`KeyHashes`]: the hashes by which rows of a batch find others.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::common::hash_utils::{RandomState, create_hashes};

use super::spec::{JoinSpec, Keeping};
use crate::error::Result;
use crate::flow::times_of;

/// The seed of all hashes, so that a run is like the one before; they never leave the process.
const SEED: u64 = 0x5eed_ba5e;

/// For each row the hash of its key, and one of the whole row where rows can be withdrawn.
///
/// Where there is no key but a bound on time, rows are kept by stretches of time that are as long as the bound is wide: the
/// partners of a row are in two of them at the most.
pub(super) struct KeyHashes {
    hashes: Vec<u64>,
    stretches: Option<Stretches>,
    /// The rows whose key can be found, where not all can.
    findable: Option<NullBuffer>,
    /// Empty where no row can be withdrawn.
    digests: Vec<u64>,
}

/// Stretches of time, and in which of them the partners of rows are.
struct Stretches {
    times: ScalarBuffer<i64>,
    /// What the partners' times are from and to, from the row's own.
    partners: [i64; 2],
    width: i64,
}

impl Stretches {
    fn of(spec: &JoinSpec, port: usize, rows: &RecordBatch) -> Result<Option<Self>> {
        let (Keeping::Within { lower_ms, upper_ms }, Some(times)) = (spec.keeping, spec.times) else {
            return Ok(None);
        };
        if !spec.keys[port].is_empty() {
            return Ok(None);
        }
        let partners = match port {
            0 => [lower_ms, upper_ms],
            _ => [upper_ms.saturating_neg(), lower_ms.saturating_neg()],
        };
        let width = upper_ms.saturating_sub(lower_ms).max(1);
        Ok(Some(Self { times: times_of(rows, times[port])?.values().clone(), partners, width }))
    }

    fn hash(stretch: i64) -> u64 {
        RandomState::with_seed(SEED).hash_one(stretch)
    }

    fn own(&self, row: usize) -> u64 {
        Self::hash(self.times[row].div_euclid(self.width))
    }

    fn of_partners(&self, row: usize) -> impl Iterator<Item = u64> {
        let [first, last] =
            self.partners.map(|apart| self.times[row].saturating_add(apart).div_euclid(self.width));
        (first..=last).map(Self::hash)
    }
}

impl KeyHashes {
    /// Computes the hashes of `rows` of the side `port`.
    pub(super) fn try_new(spec: &JoinSpec, port: usize, rows: &RecordBatch) -> Result<Self> {
        let seed = RandomState::with_seed(SEED);
        let keys: Vec<&ArrayRef> = spec.keys[port].iter().map(|&column| rows.column(column)).collect();
        let mut hashes = vec![0; rows.num_rows()];
        create_hashes(keys.iter().copied(), &seed, &mut hashes)?;
        let findable = match spec.nulls_match {
            true => None,
            false => {
                let nulls: Vec<Option<NullBuffer>> = keys.iter().map(|key| key.logical_nulls()).collect();
                NullBuffer::union_many(nulls.iter().map(Option::as_ref))
            }
        };
        let mut digests = vec![];
        if !matches!(spec.keeping, Keeping::Within { .. }) {
            let mark = spec.mark_column(port);
            let columns = rows.columns().iter().enumerate();
            let columns = columns.filter(|(column, _)| Some(*column) != mark).map(|(_, values)| values);
            digests.resize(rows.num_rows(), 0);
            create_hashes(columns.map(Arc::as_ref), &seed, &mut digests)?;
        }
        Ok(Self { hashes, stretches: Stretches::of(spec, port, rows)?, findable, digests })
    }

    fn is_findable(&self, row: usize) -> bool {
        self.findable.as_ref().is_none_or(|findable| findable.is_valid(row))
    }

    /// Returns the hashes under which the partners of a row are kept.
    pub(super) fn of_partners(&self, row: usize) -> impl Iterator<Item = u64> {
        let by_time = self.stretches.as_ref().map(|stretches| stretches.of_partners(row));
        let by_key = (by_time.is_none() && self.is_findable(row)).then(|| self.hashes[row]);
        by_time.into_iter().flatten().chain(by_key)
    }

    /// Returns the hash under which a row is kept: that of its key, or its own where it is only found to be withdrawn.
    pub(super) fn place(&self, row: usize) -> Option<u64> {
        match &self.stretches {
            Some(stretches) => Some(stretches.own(row)),
            None if self.is_findable(row) => Some(self.hashes[row]),
            None => self.digests.get(row).copied(),
        }
    }

    /// Returns the hash of the whole row but its mark; 0 where no row can be withdrawn.
    pub(super) fn digest(&self, row: usize) -> u32 {
        // Half of it is enough to tell most rows of a key apart.
        self.digests.get(row).map_or(0, |digest| u32::try_from(digest >> 32).unwrap_or_default())
    }
}
