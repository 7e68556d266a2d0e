//! [`KeyIndex`]: the rows of a run by key, built once.

use arrow::array::{ArrayRef, make_comparator};
use arrow::buffer::ScalarBuffer;
use arrow::compute::SortOptions;

use super::equality::Pairs;
use super::keys::{KeyForm, Keys, row_number};
use super::slots::{NO_ROW, Repeats, Slot, Slots};
use crate::error::{Error, Result};

/// How many keys are looked for side by side: their slots are read before any of them is looked at, so that the
/// machine fetches them at the same time.
const BLOCK: usize = 512;

/// A range of integers at most so many times the number of keys is an array; it is no larger than slots would be.
const DENSE_RANGE: u64 = 3;

/// Which row, or rows, a key has.
#[derive(Debug)]
pub(super) struct KeyIndex {
    places: Places,
    /// For each row the next one with its key, where keys repeat.
    next: Option<Vec<u32>>,
    /// The (first) row whose only key column is NULL, where integers are the keys.
    null: u32,
}

#[derive(Debug)]
enum Places {
    /// The row of each key from `lowest` on.
    Dense { lowest: i64, rows: Vec<u32> },
    /// Integers in a range of 32 bits: the tag of a slot is the key.
    Narrow { lowest: i64, slots: Slots },
    /// Any integers; the key is that of the row.
    Wide { keys: ScalarBuffer<i64>, slots: Slots },
    /// Anything else; the row has to be compared.
    Hashed { slots: Slots },
}

/// Which rows an index is to hold, and what it may take for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// One row for each key; there is no other.
    Distinct,
    /// The last row of each key.
    Latest,
    /// All rows.
    All,
}

impl KeyIndex {
    /// Builds the index over all rows, without those whose key is NULL unless `with_nulls`; returns also the rows that
    /// a later one of their key supersedes, if the index holds the latest.
    pub(super) fn build(keys: &Keys, holding: Holding, with_nulls: bool) -> Result<(Self, Vec<u32>)> {
        let mut repeats = match holding {
            Holding::Distinct => Repeats::Never,
            Holding::Latest => Repeats::LastWins(vec![]),
            Holding::All => Repeats::Chained(vec![NO_ROW; keys.rows]),
        };
        let mut null = NO_ROW;
        let places = match &keys.form {
            KeyForm::Integers(values) => {
                if with_nulls && keys.nulls.is_some() {
                    for row in (0..row_number(keys.rows)).rev().filter(|&row| keys.is_null(row)) {
                        null = if null == NO_ROW { row } else { repeats.meet(row, null) };
                    }
                }
                integer_places(keys, values, &mut repeats)
            }
            KeyForm::Hashes(hashes) => hashed_places(keys, hashes, with_nulls, &mut repeats)?,
        };
        let (next, superseded) = match repeats {
            Repeats::Never => (None, vec![]),
            Repeats::LastWins(superseded) => (None, superseded),
            Repeats::Chained(next) => (next.iter().any(|&row| row != NO_ROW).then_some(next), vec![]),
        };
        Ok((Self { places, next, null }, superseded))
    }

    /// Finds for each of the rows `wanted` of `keys` the (first) row with its key, or [`NO_ROW`]; `stored` are the key
    /// columns of the indexed rows.
    pub(super) fn find(&self, keys: &Keys, wanted: &[u32], stored: &[&ArrayRef]) -> Result<Vec<u32>> {
        let mut found = Vec::with_capacity(wanted.len());
        match (&self.places, &keys.form) {
            (Places::Dense { lowest, rows }, KeyForm::Integers(values)) => {
                found.extend(wanted.iter().map(|&row| {
                    let offset = values[row as usize].wrapping_sub(*lowest).cast_unsigned();
                    let place = usize::try_from(offset).unwrap_or(usize::MAX);
                    rows.get(place).copied().unwrap_or(NO_ROW)
                }));
            }
            (Places::Narrow { lowest, slots }, KeyForm::Integers(values)) => {
                find_narrow(slots, *lowest, values, wanted, &mut found);
            }
            (Places::Wide { keys: stored, slots }, KeyForm::Integers(values)) => {
                find_wide(slots, stored, values, wanted, &mut found);
            }
            (Places::Hashed { slots }, KeyForm::Hashes(hashes)) => {
                find_hashed(slots, hashes, keys, wanted, stored, &mut found)?;
            }
            _ => return Err(Error::internal("a key has another form than the index")),
        }
        if matches!(keys.form, KeyForm::Integers(_)) && keys.nulls.is_some() {
            for (found, _) in found.iter_mut().zip(wanted).filter(|(_, row)| keys.is_null(**row)) {
                *found = self.null;
            }
        }
        Ok(found)
    }

    /// Returns the row and all that come after it with the same key, in order.
    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = u32> {
        let next = |row: &u32| match &self.next {
            Some(next) => Some(next[*row as usize]).filter(|row| *row != NO_ROW),
            None => None,
        };
        std::iter::successors(Some(first).filter(|row| *row != NO_ROW), next)
    }

    /// Returns about how many bytes the index takes.
    pub(super) fn bytes(&self) -> usize {
        let places = match &self.places {
            Places::Dense { rows, .. } => rows.capacity() * size_of::<u32>(),
            Places::Narrow { slots, .. } | Places::Wide { slots, .. } | Places::Hashed { slots } => {
                slots.bytes()
            }
        };
        places + self.next.as_ref().map_or(0, |next| next.capacity() * size_of::<u32>())
    }
}

/// Spreads keys over 64 bits.
fn mixed(key: i64) -> u64 {
    let hash = key.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    hash ^ (hash >> 32)
}

/// Rows from the last to the first that have a key.
fn backwards(keys: &Keys) -> impl Iterator<Item = u32> {
    (0..row_number(keys.rows)).rev().filter(|&row| !keys.is_null(row))
}

fn integer_places(keys: &Keys, values: &ScalarBuffer<i64>, repeats: &mut Repeats) -> Places {
    let (mut lowest, mut highest, mut count) = (i64::MAX, i64::MIN, 0usize);
    for row in backwards(keys) {
        let value = values[row as usize];
        lowest = lowest.min(value);
        highest = highest.max(value);
        count += 1;
    }
    if count == 0 {
        return Places::Dense { lowest: 0, rows: vec![] };
    }
    let range = highest.wrapping_sub(lowest).cast_unsigned();
    if range < (count as u64).saturating_mul(DENSE_RANGE) {
        let mut rows = vec![NO_ROW; usize::try_from(range).unwrap_or(0) + 1];
        for row in backwards(keys) {
            let offset = values[row as usize].wrapping_sub(lowest).cast_unsigned();
            let place = &mut rows[usize::try_from(offset).unwrap_or(0)];
            *place = if *place == NO_ROW { row } else { repeats.meet(row, *place) };
        }
        return Places::Dense { lowest, rows };
    }
    let mut slots = Slots::for_keys(count);
    let hash = |row: u32| mixed(values[row as usize]);
    if range <= u64::from(u32::MAX) {
        let tag = |row: u32, _| Slots::tag(values[row as usize].wrapping_sub(lowest).cast_unsigned());
        fill(&mut slots, backwards(keys), hash, tag, repeats, |_, _| true);
        return Places::Narrow { lowest, slots: slots.fitted(hash) };
    }
    let same = |row: u32, other: u32| values[other as usize] == values[row as usize];
    fill(&mut slots, backwards(keys), hash, |_, hash| Slots::tag(hash), repeats, same);
    Places::Wide { keys: values.clone(), slots: slots.fitted(hash) }
}

fn hashed_places(keys: &Keys, hashes: &[u64], with_nulls: bool, repeats: &mut Repeats) -> Result<Places> {
    let comparators = keys
        .columns
        .iter()
        .map(|column| make_comparator(column, column, SortOptions::default()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut slots = Slots::for_keys(keys.rows);
    let rows = (0..row_number(keys.rows)).rev().filter(|&row| with_nulls || !keys.is_null(row));
    let hash = |row: u32| hashes[row as usize];
    let same =
        |row: u32, other: u32| comparators.iter().all(|same| same(row as usize, other as usize).is_eq());
    fill(&mut slots, rows, hash, |_, hash| Slots::tag(hash), repeats, same);
    Ok(Places::Hashed { slots: slots.fitted(hash) })
}

/// Inserts rows, in blocks whose slots are all read before the first of them is written.
fn fill(
    slots: &mut Slots,
    mut rows: impl Iterator<Item = u32>,
    hash: impl Fn(u32) -> u64,
    tag: impl Fn(u32, u64) -> u32,
    repeats: &mut Repeats,
    same: impl Fn(u32, u32) -> bool,
) {
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        block.extend(rows.by_ref().take(BLOCK).map(|row| {
            let hash = hash(row);
            (row, slots.home(hash), tag(row, hash))
        }));
        if block.is_empty() {
            return;
        }
        slots.read_ahead(block.iter().map(|&(_, home, _)| home));
        for &(row, home, tag) in &block {
            slots.insert(home, tag, row, repeats, |other| same(row, other));
        }
    }
}

/// Where the search for the keys of a block starts, and what is found there.
struct Block {
    homes: [usize; BLOCK],
    tags: [u32; BLOCK],
    first: [Slot; BLOCK],
}

impl Block {
    fn new() -> Self {
        Self { homes: [0; BLOCK], tags: [0; BLOCK], first: [Slot::EMPTY; BLOCK] }
    }

    fn read(&mut self, slots: &Slots, count: usize) {
        for (first, &home) in self.first.iter_mut().zip(&self.homes).take(count) {
            *first = slots.at(home);
        }
    }

    /// Returns the first row with the tag of each key.
    fn rows(&self, slots: &Slots, count: usize) -> impl Iterator<Item = u32> {
        let keys = self.first.iter().zip(&self.homes).zip(&self.tags).take(count);
        keys.map(|((first, &home), &tag)| {
            let is_decided = first.row == NO_ROW || first.tag == tag;
            if is_decided { first.row } else { slots.search(home, tag, |_| true) }
        })
    }
}

fn find_narrow(slots: &Slots, lowest: i64, values: &[i64], wanted: &[u32], found: &mut Vec<u32>) {
    let mut block = Block::new();
    for wanted in wanted.chunks(BLOCK) {
        for (place, &row) in wanted.iter().enumerate() {
            let value = values[row as usize];
            block.homes[place] = slots.home(mixed(value));
            block.tags[place] = Slots::tag(value.wrapping_sub(lowest).cast_unsigned());
        }
        block.read(slots, wanted.len());
        found.extend(block.rows(slots, wanted.len()).zip(wanted).map(|(candidate, &row)| {
            let offset = values[row as usize].wrapping_sub(lowest).cast_unsigned();
            if offset <= u64::from(u32::MAX) { candidate } else { NO_ROW }
        }));
    }
}

fn find_wide(slots: &Slots, stored: &[i64], values: &[i64], wanted: &[u32], found: &mut Vec<u32>) {
    let mut block = Block::new();
    let mut candidates = [NO_ROW; BLOCK];
    let mut keys = [0; BLOCK];
    for wanted in wanted.chunks(BLOCK) {
        for (place, &row) in wanted.iter().enumerate() {
            let hash = mixed(values[row as usize]);
            block.homes[place] = slots.home(hash);
            block.tags[place] = Slots::tag(hash);
        }
        block.read(slots, wanted.len());
        for (candidate, row) in candidates.iter_mut().zip(block.rows(slots, wanted.len())) {
            *candidate = row;
        }
        for (key, &candidate) in keys.iter_mut().zip(&candidates).take(wanted.len()) {
            *key = stored.get(candidate as usize).copied().unwrap_or(0);
        }
        for (place, &row) in wanted.iter().enumerate() {
            let (value, candidate) = (values[row as usize], candidates[place]);
            let is_decided = candidate == NO_ROW || keys[place] == value;
            let search = || {
                slots.search(block.homes[place], block.tags[place], |other| stored[other as usize] == value)
            };
            found.push(if is_decided { candidate } else { search() });
        }
    }
}

fn find_hashed(
    slots: &Slots,
    hashes: &[u64],
    keys: &Keys,
    wanted: &[u32],
    stored: &[&ArrayRef],
    found: &mut Vec<u32>,
) -> Result<()> {
    let mut block = Block::new();
    for wanted in wanted.chunks(BLOCK) {
        for (place, &row) in wanted.iter().enumerate() {
            let hash = hashes[row as usize];
            block.homes[place] = slots.home(hash);
            block.tags[place] = Slots::tag(hash);
        }
        block.read(slots, wanted.len());
        found.extend(block.rows(slots, wanted.len()));
    }
    let (mut pairs, mut places) = (Pairs::default(), vec![]);
    for (place, (&candidate, &row)) in found.iter().zip(wanted).enumerate() {
        if candidate != NO_ROW {
            pairs.push(row, candidate);
            places.push(place);
        }
    }
    let equal = keys.are_equal(&pairs, stored)?;
    for (&place, _) in places.iter().zip(equal).filter(|(_, equal)| !equal) {
        // Another key with the same tag stands before: rare enough to look at them one by one.
        let row = wanted[place];
        let hash = hashes[row as usize];
        let mut failed = None;
        let is_it = |candidate: u32| {
            let pair = Pairs { left: vec![row], right: vec![candidate] };
            keys.are_equal(&pair, stored).unwrap_or_else(|error| {
                failed = Some(error);
                vec![]
            }) == [true]
        };
        found[place] = slots.search(slots.home(hash), Slots::tag(hash), is_it);
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}
