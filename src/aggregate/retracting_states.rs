//! [`RetractingStates`]: the groups of rows that come and go, and what was shown of each.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter};
use arrow::row::{RowConverter, SortField};
use datafusion::common::utils::normalize_float_zero;
use hashbrown::HashMap;

use super::bags::Bag;
use super::keyed_states::Changes;
use super::latest_rows::LatestRows;
use super::retraction::{Method, Retraction};
use super::signed_totals::SignedTotals;
use super::spec::AggregateSpec;
use crate::error::{Error, Result};

/// About how many bytes a key takes beside its own.
const KEY_BYTES: usize = 64;

/// The groups of an aggregation over a changelog.
///
/// A group is there as long as it has rows; then its place is another's. Without keys there is one that stays.
pub(super) struct RetractingStates {
    spec: Arc<AggregateSpec>,
    retraction: Arc<Retraction>,
    converter: RowConverter,
    groups: HashMap<Arc<[u8]>, u32>,
    keys: Vec<Arc<[u8]>>,
    free: Vec<u32>,
    /// For each group how many rows it has.
    rows: Vec<i64>,
    totals: Vec<SignedTotals>,
    bags: Vec<Bag>,
    /// For each group the values of the functions that were given last.
    shown: LatestRows,
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    key_bytes: usize,
}

impl RetractingStates {
    /// Creates an empty store.
    pub(super) fn try_new(spec: Arc<AggregateSpec>, retraction: Arc<Retraction>) -> Result<Self> {
        let fields = spec.keys.iter().map(|(_, field)| SortField::new(field.data_type().clone()));
        Ok(Self {
            converter: RowConverter::new(fields.collect())?,
            groups: HashMap::new(),
            keys: vec![],
            free: vec![],
            rows: vec![],
            totals: retraction.totals.iter().cloned().map(SignedTotals::new).collect(),
            bags: retraction.bags.iter().cloned().map(Bag::try_new).collect::<Result<_>>()?,
            shown: LatestRows::new(spec.empty_values()),
            touched: vec![],
            is_touched: vec![],
            key_bytes: 0,
            spec,
            retraction,
        })
    }

    /// Lets rows come (weight +1) and go (−1); they have the columns that [`Retraction::schema`] says.
    pub(super) fn apply(&mut self, rows: &RecordBatch, weights: &[i8]) -> Result<()> {
        let groups = self.groups_of(rows)?;
        for (&group, &weight) in groups.iter().zip(weights) {
            self.rows[group as usize] += i64::from(weight);
            if !std::mem::replace(&mut self.is_touched[group as usize], true) {
                self.touched.push(group);
            }
        }
        for totals in &mut self.totals {
            totals.apply(rows, weights, &groups, self.rows.len())?;
        }
        for bag in &mut self.bags {
            bag.apply(rows, weights, &groups, self.rows.len())?;
        }
        Ok(())
    }

    fn groups_of(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        if self.spec.keys.is_empty() {
            if self.rows.is_empty() {
                self.add(Arc::from([]))?;
            }
            return Ok(vec![0; rows.num_rows()]);
        }
        let keys: Vec<ArrayRef> =
            rows.columns()[..self.spec.keys.len()].iter().map(normalize_float_zero).collect();
        let keys = self.converter.convert_columns(&keys)?;
        let mut groups = Vec::with_capacity(rows.num_rows());
        for key in &keys {
            groups.push(match self.groups.get(key.data()) {
                Some(&group) => group,
                None => self.add(key.data().into())?,
            });
        }
        Ok(groups)
    }

    fn add(&mut self, key: Arc<[u8]>) -> Result<u32> {
        self.key_bytes += key.len() + KEY_BYTES;
        let group = match self.free.pop() {
            Some(group) => {
                self.keys[group as usize] = Arc::clone(&key);
                group
            }
            None => {
                self.keys.push(Arc::clone(&key));
                self.rows.push(0);
                self.is_touched.push(false);
                u32::try_from(self.keys.len() - 1)
                    .map_err(|_| Error::exhausted("an aggregate has more than 2^32 groups"))?
            }
        };
        self.groups.insert(key, group);
        Ok(group)
    }

    /// Returns whether a group has changed since the last [`settle`](Self::settle).
    pub(super) fn has_changed(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Says what changed since the last call, and lets go of the groups that have no rows any more.
    ///
    /// # Errors
    /// Data: a value of a group that changed does not fit its type. Internal: a row was withdrawn that never came.
    pub(super) fn settle(&mut self) -> Result<Changes> {
        if !self.bags.iter().all(Bag::is_sound) {
            return Err(withdrawn_unseen());
        }
        let touched = std::mem::take(&mut self.touched);
        let stays = self.spec.keys.is_empty();
        let mut alive = Vec::with_capacity(touched.len());
        for &group in &touched {
            self.is_touched[group as usize] = false;
            let rows = self.rows[group as usize];
            if rows < 0 {
                return Err(withdrawn_unseen());
            }
            alive.push(stays || rows > 0);
        }
        let keys = self.keys_of(&touched)?;
        let new = self.values(&touched)?;
        let had = (0u32..).zip(&touched).filter(|(_, group)| self.shown.has(**group));
        let (had, old): (Vec<u32>, Vec<u32>) = had.unzip();
        let old = self.shown.of(&old)?;
        let mask = BooleanArray::from(alive.clone());
        let shown = new.iter().map(|values| Ok(filter(values, &mask)?)).collect::<Result<_>>()?;
        let (mut staying, mut going) = (vec![], vec![]);
        for (&group, &alive) in touched.iter().zip(&alive) {
            if alive { staying.push(group) } else { going.push(group) }
        }
        self.shown.write(shown, staying)?;
        for group in going {
            self.forget(group)?;
        }
        Ok(Changes { keys, old, had, new, alive })
    }

    fn keys_of(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        if self.spec.keys.is_empty() {
            return Ok(vec![]);
        }
        let parser = self.converter.parser();
        let rows = groups.iter().map(|&group| parser.parse(&self.keys[group as usize]));
        let keys = self.converter.convert_rows(rows)?;
        let typed = keys.iter().zip(&self.spec.keys).map(|(key, (_, field))| {
            // Bytes do not say that a value came from a dictionary.
            if key.data_type() == field.data_type() {
                return Ok(Arc::clone(key));
            }
            Ok(cast(key, field.data_type())?)
        });
        typed.collect()
    }

    fn values(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        if groups.is_empty() {
            return Ok(self.spec.empty_values());
        }
        let value = |method: &Method| match method {
            Method::Total(totals, function) => self.totals[*totals].evaluate(function, groups),
            Method::Bag(bag, reading, function) => self.bags[*bag].evaluate(function, *reading, groups),
            Method::Different(bag, _) => Ok(self.bags[*bag].different(groups)),
        };
        self.retraction.methods.iter().map(value).collect()
    }

    fn forget(&mut self, group: u32) -> Result<()> {
        let key = std::mem::replace(&mut self.keys[group as usize], Arc::from([]));
        self.key_bytes -= key.len() + KEY_BYTES;
        self.groups.remove(&key);
        self.shown.forget(group);
        self.free.push(group);
        let mut is_empty = true;
        for totals in &mut self.totals {
            is_empty &= totals.forget(group);
        }
        for bag in &mut self.bags {
            is_empty &= bag.forget(group);
        }
        if is_empty { Ok(()) } else { Err(withdrawn_unseen()) }
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns about how many bytes the states take.
    pub(super) fn bytes(&self) -> usize {
        self.key_bytes
            + self.rows.capacity() * (size_of::<i64>() + size_of::<Arc<[u8]>>())
            + self.totals.iter().map(SignedTotals::bytes).sum::<usize>()
            + self.bags.iter().map(Bag::bytes).sum::<usize>()
            + self.shown.bytes()
    }
}

fn withdrawn_unseen() -> Error {
    Error::internal("a changelog withdrew a row that it had not given")
        .with_hint("this is a bug of Velostream: please report it")
}
