//! [`KeyedStates`]: the accumulator states of all groups as columns, of which an epoch touches only its own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, make_comparator};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{SortOptions, concat, interleave, or, take};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::distinct_counts::DistinctCounts;
use super::groups::{Groups, KeyedRows};
use super::latest_rows::LatestRows;
use super::spec::AggregateSpec;
use crate::error::Result;

/// The groups of some partial states: known ones first, then new ones in the order in which the batches bring them.
struct Touched {
    groups: Vec<u32>,
    /// For each group a batch and a row where its key stands.
    first_seen: Vec<(usize, usize)>,
    /// The ordinals of the groups that had a state.
    had: Vec<usize>,
    /// For each batch the ordinals of its rows' groups.
    locals: Vec<Vec<usize>>,
}

/// What an epoch changed: for each touched group the values before, if it had any, and after.
pub(super) struct Changes {
    /// The keys of the touched groups.
    pub(super) keys: Vec<ArrayRef>,
    /// The values of the functions before, one row for each entry of `had`.
    pub(super) old: Vec<ArrayRef>,
    /// For each row of `old` which touched group it belongs to.
    pub(super) had: Vec<u32>,
    /// The values of the functions now, one row for each touched group.
    pub(super) new: Vec<ArrayRef>,
    /// For each touched group whether it has rows now.
    pub(super) alive: Vec<bool>,
}

/// The states of all groups of one window, or of all rows where there is no window.
pub(super) struct KeyedStates {
    spec: Arc<AggregateSpec>,
    state_widths: Vec<usize>,
    groups: Groups,
    distinct: DistinctCounts,
    latest: LatestRows,
    /// For each group its ordinal among the groups that the current epoch touched.
    touched_as: Vec<u32>,
}

impl KeyedStates {
    /// Creates an empty store.
    pub(super) fn try_new(spec: Arc<AggregateSpec>) -> Result<Self> {
        let (distinct, spec) = DistinctCounts::take_over(&spec)?;
        let spec = Arc::new(spec);
        let nothing = RecordBatch::new_empty(spec.state_schema()?);
        Ok(Self {
            distinct,
            state_widths: spec.state_widths()?,
            groups: spec.groups()?,
            latest: LatestRows::new(nothing.columns()[spec.first_state()..].to_vec()),
            touched_as: vec![],
            spec,
        })
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns about how many bytes the states take.
    pub(super) fn bytes(&self) -> usize {
        self.groups.bytes() + self.distinct.bytes() + self.latest.bytes() + self.touched_as.capacity() * 4
    }

    /// Merges an epoch's partial states, and says what they changed.
    ///
    /// # Errors
    /// Data: a value of a touched group does not fit its type.
    pub(super) fn merge(&mut self, epoch: &[KeyedRows]) -> Result<Changes> {
        let touched = self.touch(epoch)?;
        let epoch = &self.counted(epoch, &touched)?;
        let (prior, states) = self.fold(epoch, &touched)?;
        let new = self.values(&states, touched.groups.len())?;
        let old = self.values(&prior, touched.had.len())?;
        let keys = gather(epoch, self.spec.keys.len(), &touched.first_seen)?;
        let had = touched.had.iter().map(|&local| u32::try_from(local).unwrap_or(u32::MAX)).collect();
        let total = touched.groups.len();
        self.latest.write(states, touched.groups)?;
        Ok(Changes { keys, old, had, new, alive: vec![true; total] })
    }

    /// Merges partial states of which nobody asks what they changed.
    pub(super) fn absorb(&mut self, states: &[KeyedRows]) -> Result<()> {
        let touched = self.touch(states)?;
        let states = self.counted(states, &touched)?;
        let (_, states) = self.fold(&states, &touched)?;
        self.latest.write(states, touched.groups)
    }

    /// Finds the groups of partial states.
    fn touch(&mut self, epoch: &[KeyedRows]) -> Result<Touched> {
        let mut touched: Vec<u32> = vec![];
        let mut first_seen: Vec<(usize, usize)> = vec![];
        let mut locals: Vec<Vec<usize>> = Vec::with_capacity(epoch.len());
        let mut groups = vec![];
        for (ordinal, batch) in epoch.iter().enumerate() {
            self.groups.intern(&batch.columns[..self.spec.keys.len()], batch.rows, &mut groups)?;
            self.touched_as.resize(self.groups.len(), u32::MAX);
            let mut local = Vec::with_capacity(groups.len());
            for (row, &group) in groups.iter().enumerate() {
                if self.touched_as[group] == u32::MAX {
                    self.touched_as[group] = u32::try_from(touched.len()).unwrap_or(u32::MAX);
                    touched.push(u32::try_from(group).unwrap_or(u32::MAX));
                    first_seen.push((ordinal, row));
                }
                local.push(self.touched_as[group] as usize);
            }
            locals.push(local);
        }
        for &group in &touched {
            self.touched_as[group as usize] = u32::MAX;
        }
        // Accumulators take it that a merge covers every group up to its total: known groups come first, then new ones
        // in the order in which the batches bring them.
        let is_known = |local: &usize| self.latest.has(touched[*local]);
        let (known, new): (Vec<usize>, Vec<usize>) = (0..touched.len()).partition(is_known);
        let order: Vec<usize> = known.iter().chain(&new).copied().collect();
        let mut renamed = vec![0; order.len()];
        for (place, &local) in order.iter().enumerate() {
            renamed[local] = place;
        }
        locals.iter_mut().flatten().for_each(|local| *local = renamed[*local]);
        Ok(Touched {
            groups: order.iter().map(|&local| touched[local]).collect(),
            first_seen: order.iter().map(|&local| first_seen[local]).collect(),
            had: (0..known.len()).collect(),
            locals,
        })
    }

    /// Counts the distinct values that partial states bring.
    fn counted(&mut self, epoch: &[KeyedRows], touched: &Touched) -> Result<Vec<KeyedRows>> {
        let mut epoch = epoch.to_vec();
        for (rows, locals) in epoch.iter_mut().zip(&touched.locals) {
            let groups: Vec<u32> = locals.iter().map(|&local| touched.groups[local]).collect();
            self.distinct.count(&self.spec, rows, &groups)?;
        }
        Ok(epoch)
    }

    /// Returns the states of the touched groups that had one, and those of all of them now.
    fn fold(&self, epoch: &[KeyedRows], touched: &Touched) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let prior = self.latest.of(&touched.groups[..touched.had.len()])?;
        let mut sums = self.spec.accumulators()?;
        let mut covered = touched.had.len();
        self.merge_into(&mut sums, &prior, &touched.had, covered)?;
        for (batch, local) in epoch.iter().zip(&touched.locals) {
            covered = local.iter().map(|&local| local + 1).fold(covered, usize::max);
            self.merge_into(&mut sums, &batch.columns[self.spec.keys.len()..], local, covered)?;
        }
        let mut states = vec![];
        for sum in &mut sums {
            states.extend(sum.state(EmitTo::All)?);
        }
        Ok((prior, states))
    }

    fn merge_into(
        &self,
        sums: &mut [Box<dyn GroupsAccumulator>],
        states: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        let mut column = 0;
        for (sum, width) in sums.iter_mut().zip(&self.state_widths) {
            sum.merge_batch(&states[column..column + width], groups, total)?;
            column += width;
        }
        Ok(())
    }

    /// Returns the values of the functions for states, one group a row.
    fn values(&self, states: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
        if rows == 0 {
            // Not every accumulator can say nothing.
            return Ok(self.spec.empty_values());
        }
        let mut sums = self.spec.accumulators()?;
        let each: Vec<usize> = (0..rows).collect();
        self.merge_into(&mut sums, states, &each, rows)?;
        sums.iter_mut().map(|sum| Ok(sum.evaluate(EmitTo::All)?)).collect()
    }
}

/// Gathers the first `width` columns.
fn gather(epoch: &[KeyedRows], width: usize, rows: &[(usize, usize)]) -> Result<Vec<ArrayRef>> {
    (0..width)
        .map(|column| {
            let arrays: Vec<&dyn Array> = epoch.iter().map(|batch| batch.columns[column].as_ref()).collect();
            Ok(interleave(&arrays, rows)?)
        })
        .collect()
}

/// Returns for each row whether the two columns differ there; NULL is like NULL.
fn differs(old: &ArrayRef, new: &ArrayRef) -> Result<BooleanArray> {
    if !old.data_type().is_nested() {
        return Ok(distinct(old, new)?);
    }
    let compare = make_comparator(old, new, SortOptions::default())?;
    Ok((0..old.len()).map(|row| Some(compare(row, row).is_ne())).collect())
}

impl Changes {
    /// Returns the keys, values and weights of what really changed: for each group the old row, then the new one; only
    /// the old one where no row is left.
    pub(super) fn into_rows(self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>, Vec<i8>)> {
        let had = UInt32Array::from(self.had);
        let mut changed: Option<BooleanArray> = None;
        for (old, new) in self.old.iter().zip(&self.new) {
            let differs = differs(old, &take(new, &had, None)?)?;
            changed = Some(match changed {
                Some(changed) => or(&changed, &differs)?,
                None => differs,
            });
        }
        let old_rows = had.len();
        let mut old_of = vec![None; self.alive.len()];
        for (row, &local) in had.values().iter().enumerate() {
            old_of[local as usize] = Some(row);
        }
        let (mut key_rows, mut value_rows, mut weights) = (vec![], vec![], vec![]);
        for ((local, old), alive) in (0u32..).zip(&old_of).zip(self.alive) {
            if let Some(old) = old {
                if alive && !changed.as_ref().is_some_and(|changed| changed.value(*old)) {
                    continue;
                }
                key_rows.push(local);
                value_rows.push(u32::try_from(*old).unwrap_or(u32::MAX));
                weights.push(-1);
            }
            if !alive {
                continue;
            }
            key_rows.push(local);
            value_rows.push(u32::try_from(old_rows).unwrap_or(u32::MAX) + local);
            weights.push(1);
        }
        let (key_rows, value_rows) = (UInt32Array::from(key_rows), UInt32Array::from(value_rows));
        let keys = self.keys.iter().map(|key| Ok(take(key, &key_rows, None)?)).collect::<Result<_>>()?;
        let values = self.old.iter().zip(&self.new).map(|(old, new)| {
            let both = concat(&[old.as_ref(), new.as_ref()])?;
            Ok(take(&both, &value_rows, None)?)
        });
        Ok((keys, values.collect::<Result<_>>()?, weights))
    }
}
