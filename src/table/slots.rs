//! [`Slots`]: a hash table of row numbers with open addressing, filled once.

use std::hint::black_box;

/// Stands for no row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// A part of the hash, or of the key, beside the row it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) tag: u32,
    pub(super) row: u32,
}

impl Slot {
    pub(super) const EMPTY: Self = Self { tag: 0, row: NO_ROW };
}

/// What becomes of rows that have one key.
#[derive(Debug)]
pub(super) enum Repeats {
    /// There are none: keys are known to be distinct.
    Never,
    /// The last row stays, the others are listed.
    LastWins(Vec<u32>),
    /// For each row the next one with its key.
    Chained(Vec<u32>),
}

impl Repeats {
    /// Takes note that `row` has the key of the later row `head`; returns the row that stands for the key now.
    pub(super) fn meet(&mut self, row: u32, head: u32) -> u32 {
        match self {
            Self::Never => head,
            Self::LastWins(superseded) => {
                superseded.push(row);
                head
            }
            Self::Chained(next) => {
                next[row as usize] = head;
                row
            }
        }
    }

    pub(super) fn can_be(&self) -> bool {
        !matches!(self, Self::Never)
    }
}

/// Rows by hash; two thirds of the slots are taken at most, so a search ends after a few neighbours.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    taken: usize,
}

impl Slots {
    /// Creates slots for so many keys.
    pub(super) fn for_keys(keys: usize) -> Self {
        Self { slots: vec![Slot::EMPTY; room_for(keys)], taken: 0 }
    }

    /// Returns where the search for a hash starts: its upper half, scaled to the number of slots.
    pub(super) fn home(&self, hash: u64) -> usize {
        let scaled = (hash >> 32).wrapping_mul(self.slots.len() as u64) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// Returns the half of the hash that a slot keeps.
    pub(super) fn tag(hash: u64) -> u32 {
        u32::try_from(hash & 0xFFFF_FFFF).unwrap_or(0)
    }

    pub(super) fn at(&self, place: usize) -> Slot {
        self.slots[place]
    }

    /// Returns the first row with `tag` for which `is_it` holds, from `home` on; [`NO_ROW`] if there is none.
    pub(super) fn search(&self, home: usize, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> u32 {
        let mut place = home;
        loop {
            let slot = self.slots[place];
            if slot.row == NO_ROW || slot.tag == tag && is_it(slot.row) {
                return slot.row;
            }
            place = self.after(place);
        }
    }

    /// Reads slots that will be needed soon, so that the machine fetches them side by side.
    pub(super) fn read_ahead(&self, places: impl Iterator<Item = usize>) {
        black_box(places.filter(|&place| self.slots[place].row == NO_ROW).count());
    }

    /// Adds a row, or lets it meet the later row of its key.
    pub(super) fn insert(
        &mut self,
        home: usize,
        tag: u32,
        row: u32,
        repeats: &mut Repeats,
        same: impl Fn(u32) -> bool,
    ) {
        let mut place = home;
        loop {
            let slot = &mut self.slots[place];
            if slot.row == NO_ROW {
                *slot = Slot { tag, row };
                self.taken += 1;
                return;
            }
            if slot.tag == tag && repeats.can_be() && same(slot.row) {
                slot.row = repeats.meet(row, slot.row);
                return;
            }
            place = self.after(place);
        }
    }

    /// Gives back the room of keys that were fewer than expected; `hash` tells that of a row.
    pub(super) fn fitted(self, hash: impl Fn(u32) -> u64) -> Self {
        if room_for(self.taken) > self.slots.len() / 4 * 3 {
            return self;
        }
        let mut fitted = Self::for_keys(self.taken);
        for slot in self.slots.into_iter().filter(|slot| slot.row != NO_ROW) {
            fitted.insert(fitted.home(hash(slot.row)), slot.tag, slot.row, &mut Repeats::Never, |_| false);
        }
        fitted
    }

    fn after(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() { 0 } else { place + 1 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }
}

fn room_for(keys: usize) -> usize {
    keys + keys / 2 + 2
}
