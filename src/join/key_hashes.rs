//! [`KeyHashes`]: the hashes by which rows of a batch find others.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::NullBuffer;
use datafusion::common::hash_utils::{RandomState, create_hashes};

use super::spec::{JoinSpec, Keeping};
use crate::error::Result;

/// The seed of all hashes, so that a run is like the one before; they never leave the process.
const SEED: u64 = 0x5eed_ba5e;

/// For each row the hash of its key, and one of the whole row where rows can be withdrawn.
pub(super) struct KeyHashes {
    hashes: Vec<u64>,
    /// The rows whose key can be found, where not all can.
    findable: Option<NullBuffer>,
    /// Empty where no row can be withdrawn.
    digests: Vec<u64>,
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
        Ok(Self { hashes, findable, digests })
    }

    /// Returns the hash by which partners find a row; none where no partner can.
    pub(super) fn key(&self, row: usize) -> Option<u64> {
        let found = self.findable.as_ref().is_none_or(|findable| findable.is_valid(row));
        found.then(|| self.hashes[row])
    }

    /// Returns the hash under which a row is kept: that of its key, or its own where it is only found to be withdrawn.
    pub(super) fn place(&self, row: usize) -> Option<u64> {
        self.key(row).or_else(|| self.digests.get(row).copied())
    }

    /// Returns the hash of the whole row but its mark; 0 where no row can be withdrawn.
    pub(super) fn digest(&self, row: usize) -> u32 {
        // Half of it is enough to tell most rows of a key apart.
        self.digests.get(row).map_or(0, |digest| u32::try_from(digest >> 32).unwrap_or_default())
    }
}
