//! [`KeyedStates`]: the accumulator states of all groups as columns, of which an epoch touches only its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat, interleave, or, take};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::groups::{Groups, KeyedRows};
use super::spec::AggregateSpec;
use crate::error::Result;

/// Where a group's newest state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    chunk: u32,
    row: u32,
}

const NOWHERE: Place = Place { chunk: u32::MAX, row: u32::MAX };

/// The states that one epoch wrote, or several merged.
struct Chunk {
    states: Vec<ArrayRef>,
    /// The group of each row; a row is dead once its group's newest state is elsewhere.
    groups: Vec<u32>,
}

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
    /// The number of touched groups.
    pub(super) touched: usize,
}

/// The states of all groups of one window, or of all rows where there is no window.
///
/// Chunks of states are immutable and appended; small ones are merged into larger ones (as a log-structured merge tree
/// does), so that an epoch of one row costs no more than a logarithm of the number of groups.
pub(super) struct KeyedStates {
    spec: Arc<AggregateSpec>,
    state_widths: Vec<usize>,
    groups: Groups,
    places: Vec<Place>,
    chunks: Vec<Chunk>,
    /// For each group its ordinal among the groups that the current epoch touched.
    touched_as: Vec<u32>,
}

impl KeyedStates {
    /// Creates an empty store.
    pub(super) fn try_new(spec: Arc<AggregateSpec>) -> Result<Self> {
        Ok(Self {
            state_widths: spec.state_widths()?,
            groups: spec.groups()?,
            places: vec![],
            chunks: vec![],
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
        let arrays = self.chunks.iter().flat_map(|chunk| &chunk.states);
        self.groups.bytes()
            + arrays.map(|array| array.get_array_memory_size()).sum::<usize>()
            + self.places.capacity() * 12
    }

    /// Merges an epoch's partial states, and says what they changed.
    ///
    /// # Errors
    /// Data: a value of a touched group does not fit its type.
    pub(super) fn merge(&mut self, epoch: &[KeyedRows]) -> Result<Changes> {
        let touched = self.touch(epoch)?;
        let (prior, states) = self.fold(epoch, &touched)?;
        let new = self.values(&states, touched.groups.len())?;
        let old = self.values(&prior, touched.had.len())?;
        let keys = gather(epoch, self.spec.keys.len(), &touched.first_seen)?;
        let had = touched.had.iter().map(|&local| u32::try_from(local).unwrap_or(u32::MAX)).collect();
        let total = touched.groups.len();
        self.append(states, touched.groups)?;
        Ok(Changes { keys, old, had, new, touched: total })
    }

    /// Merges partial states of which nobody asks what they changed.
    pub(super) fn absorb(&mut self, states: &[KeyedRows]) -> Result<()> {
        let touched = self.touch(states)?;
        let (_, states) = self.fold(states, &touched)?;
        self.append(states, touched.groups)
    }

    /// Finds the groups of partial states.
    fn touch(&mut self, epoch: &[KeyedRows]) -> Result<Touched> {
        let mut touched: Vec<u32> = vec![];
        let mut first_seen: Vec<(usize, usize)> = vec![];
        let mut locals: Vec<Vec<usize>> = Vec::with_capacity(epoch.len());
        let mut groups = vec![];
        for (ordinal, batch) in epoch.iter().enumerate() {
            self.groups.intern(&batch.columns[..self.spec.keys.len()], batch.rows, &mut groups)?;
            self.places.resize(self.groups.len(), NOWHERE);
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
        let is_known = |local: &usize| self.places[touched[*local] as usize] != NOWHERE;
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

    /// Returns the states of the touched groups that had one, and those of all of them now.
    fn fold(&self, epoch: &[KeyedRows], touched: &Touched) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let prior = touched.groups[..touched.had.len()].iter().map(|&group| self.places[group as usize]);
        let prior = self.states_at(&prior.collect::<Vec<_>>())?;
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

    /// Gathers the states at `places`; without any, empty columns.
    fn states_at(&self, places: &[Place]) -> Result<Vec<ArrayRef>> {
        let Some(first) = self.chunks.first() else {
            let nothing = RecordBatch::new_empty(self.spec.state_schema()?);
            return Ok(nothing.columns()[self.spec.first_state()..].to_vec());
        };
        let rows: Vec<(usize, usize)> =
            places.iter().map(|place| (place.chunk as usize, place.row as usize)).collect();
        (0..first.states.len())
            .map(|column| {
                let arrays: Vec<&dyn arrow::array::Array> =
                    self.chunks.iter().map(|chunk| chunk.states[column].as_ref()).collect();
                Ok(interleave(&arrays, &rows)?)
            })
            .collect()
    }

    fn append(&mut self, states: Vec<ArrayRef>, groups: Vec<u32>) -> Result<()> {
        let chunk = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        for (row, &group) in (0u32..).zip(&groups) {
            self.places[group as usize] = Place { chunk, row };
        }
        self.chunks.push(Chunk { states, groups });
        while let [.., larger, smaller] = self.chunks.as_slice() {
            if larger.groups.len() > 2 * smaller.groups.len() {
                break;
            }
            self.merge_last(2)?;
        }
        let rows: usize = self.chunks.iter().map(|chunk| chunk.groups.len()).sum();
        if rows > 2 * self.len() + 4_096 {
            self.merge_last(self.chunks.len())?;
        }
        Ok(())
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
        let states = self.states_at(&places)?;
        self.chunks.truncate(first);
        let chunk = u32::try_from(first).unwrap_or(u32::MAX);
        for (row, &group) in (0u32..).zip(&groups) {
            self.places[group as usize] = Place { chunk, row };
        }
        self.chunks.push(Chunk { states, groups });
        Ok(())
    }
}

/// Gathers the first `width` columns.
fn gather(epoch: &[KeyedRows], width: usize, rows: &[(usize, usize)]) -> Result<Vec<ArrayRef>> {
    (0..width)
        .map(|column| {
            let arrays: Vec<&dyn arrow::array::Array> =
                epoch.iter().map(|batch| batch.columns[column].as_ref()).collect();
            Ok(interleave(&arrays, rows)?)
        })
        .collect()
}

impl Changes {
    /// Returns the keys, values and weights of what really changed: for each group the old row, then the new one.
    pub(super) fn into_rows(self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>, Vec<i8>)> {
        let had = UInt32Array::from(self.had);
        let mut changed: Option<BooleanArray> = None;
        for (old, new) in self.old.iter().zip(&self.new) {
            let differs = distinct(old, &take(new, &had, None)?)?;
            changed = Some(match changed {
                Some(changed) => or(&changed, &differs)?,
                None => differs,
            });
        }
        let old_rows = had.len();
        let mut old_of = vec![None; self.touched];
        for (row, &local) in had.values().iter().enumerate() {
            old_of[local as usize] = Some(row);
        }
        let (mut key_rows, mut value_rows, mut weights) = (vec![], vec![], vec![]);
        for (local, old) in (0u32..).zip(&old_of) {
            if let Some(old) = old {
                if !changed.as_ref().is_some_and(|changed| changed.value(*old)) {
                    continue;
                }
                key_rows.push(local);
                value_rows.push(u32::try_from(*old).unwrap_or(u32::MAX));
                weights.push(-1);
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
