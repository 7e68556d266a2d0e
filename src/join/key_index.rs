//! [`KeyIndex`]: finds the newest row of each key by the key's hash.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::chunks::RowId;

/// How many places are kept ready however few are used.
const FEW: usize = 1_024;

struct Slot {
    hash: u64,
    newest: RowId,
}

/// The newest row of each hash; what came before it is the rows' own business.
#[derive(Default)]
pub(super) struct KeyIndex {
    slots: HashTable<Slot>,
}

impl KeyIndex {
    /// Returns the newest row of a hash.
    pub(super) fn newest(&self, hash: u64) -> Option<RowId> {
        self.slots.find(hash, |slot| slot.hash == hash).map(|slot| slot.newest)
    }

    /// Makes `id` the newest row of a hash, and returns the one before it.
    pub(super) fn put(&mut self, hash: u64, id: RowId) -> Option<RowId> {
        match self.slots.entry(hash, |slot| slot.hash == hash, |slot| slot.hash) {
            Entry::Occupied(mut slot) => Some(std::mem::replace(&mut slot.get_mut().newest, id)),
            Entry::Vacant(slot) => {
                slot.insert(Slot { hash, newest: id });
                None
            }
        }
    }

    /// Forgets a hash if its newest row is before `first`.
    pub(super) fn forget_before(&mut self, hash: u64, first: RowId) {
        if let Ok(slot) = self.slots.find_entry(hash, |slot| slot.hash == hash)
            && slot.get().newest < first
        {
            slot.remove();
        }
    }

    /// Forgets a hash.
    pub(super) fn forget(&mut self, hash: u64) {
        self.forget_before(hash, RowId::MAX);
    }

    /// Gives room back where most of it is empty.
    pub(super) fn shrink(&mut self) {
        if self.slots.capacity() > 4 * self.slots.len().max(FEW) {
            self.slots.shrink_to(2 * self.slots.len(), |slot| slot.hash);
        }
    }

    /// Returns about how many bytes the index takes.
    pub(super) fn bytes(&self) -> usize {
        self.slots.allocation_size()
    }
}
