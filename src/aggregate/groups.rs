//! [`Groups`] and [`LiveStates`]: the keys of an aggregation and the accumulators of each.

use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::GroupValues;

use super::spec::AggregateSpec;
use crate::error::Result;

/// From how many parts on a pane merges the smaller ones.
const MANY_PARTS: usize = 8;

/// Gives each distinct key a dense ordinal.
pub(super) enum Groups {
    /// No keys: one group for everything.
    One {
        /// Whether a row was there.
        seen: bool,
    },
    /// Groups by key.
    Keyed(Box<dyn GroupValues>),
}

impl Groups {
    /// Sets `groups` to the group of each of the `rows` rows.
    pub(super) fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<usize>) -> Result<()> {
        match self {
            Self::One { seen } => {
                *seen |= rows > 0;
                groups.clear();
                groups.resize(rows, 0);
            }
            Self::Keyed(values) => values.intern(keys, groups)?,
        }
        Ok(())
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One { seen } => usize::from(*seen),
            Self::Keyed(values) => values.len(),
        }
    }

    /// Returns the keys of all groups in the order of their ordinals, and forgets them.
    pub(super) fn drain(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::One { seen } => {
                *seen = false;
                Ok(vec![])
            }
            Self::Keyed(values) if values.is_empty() => Ok(vec![]),
            Self::Keyed(values) => {
                let rows = values.len();
                let keys = values.emit(EmitTo::All)?;
                // Keys of several columns are still in the hash table after they were emitted.
                values.clear_shrink(rows);
                Ok(keys)
            }
        }
    }

    /// Returns about how many bytes the keys take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::One { .. } => 0,
            Self::Keyed(values) => values.size(),
        }
    }
}

/// Groups with an accumulator for each function, into which partial states are merged.
pub(super) struct LiveStates {
    groups: Groups,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    state_widths: Vec<usize>,
    group_of_row: Vec<usize>,
}

impl LiveStates {
    /// Creates empty states.
    pub(super) fn try_new(spec: &AggregateSpec) -> Result<Self> {
        Ok(Self {
            groups: spec.groups()?,
            accumulators: spec.accumulators()?,
            state_widths: spec.state_widths()?,
            group_of_row: vec![],
        })
    }

    /// Merges `rows` partial states: their keys, then the functions' states.
    pub(super) fn merge(&mut self, spec: &AggregateSpec, states: &[ArrayRef], rows: usize) -> Result<()> {
        let (keys, states) = states.split_at(spec.keys.len());
        self.groups.intern(keys, rows, &mut self.group_of_row)?;
        let total = self.groups.len();
        let mut column = 0;
        for (accumulator, width) in self.accumulators.iter_mut().zip(&self.state_widths) {
            accumulator.merge_batch(&states[column..column + width], &self.group_of_row, total)?;
            column += width;
        }
        Ok(())
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns the keys and the values of the functions.
    pub(super) fn evaluate(mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let keys = self.groups.drain()?;
        let values = self.accumulators.iter_mut().map(|accumulator| Ok(accumulator.evaluate(EmitTo::All)?));
        Ok((keys, values.collect::<Result<_>>()?))
    }

    /// Returns the keys and states as partial states, without the columns that say where the windows are.
    pub(super) fn export(mut self) -> Result<KeyedRows> {
        let rows = self.len();
        let mut columns = self.groups.drain()?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(KeyedRows { columns, rows })
    }

    /// Returns about how many bytes the states take.
    pub(super) fn bytes(&self) -> usize {
        self.groups.bytes() + self.accumulators.iter().map(|accumulator| accumulator.size()).sum::<usize>()
    }
}

/// Partial states: keys, then the functions' states, one row for each group of a part.
#[derive(Debug, Clone)]
pub(super) struct KeyedRows {
    /// The columns.
    pub(super) columns: Vec<ArrayRef>,
    /// The number of rows, which may have no columns.
    pub(super) rows: usize,
}

impl KeyedRows {
    /// Takes partial states apart from the columns that say where their windows are.
    pub(super) fn of(spec: &AggregateSpec, states: &RecordBatch) -> Self {
        let columns = states.columns()[spec.first_key()..].to_vec();
        Self { columns, rows: states.num_rows() }
    }

    /// Returns about how many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.get_array_memory_size()).sum()
    }
}

/// Adds a part, and merges the smaller ones where there are many.
pub(super) fn push(spec: &AggregateSpec, parts: &mut Vec<KeyedRows>, rows: KeyedRows) -> Result<()> {
    parts.push(rows);
    if parts.len() <= MANY_PARTS {
        return Ok(());
    }
    let mut merged = 0;
    let mut begin = parts.len();
    while let Some(before) = begin.checked_sub(1)
        && (merged == 0 || parts[before].rows <= 2 * merged)
    {
        merged += parts[before].rows;
        begin = before;
    }
    // A large part stays as it is until what came after it is as large.
    let begin = begin.min(parts.len() - 2);
    let mut live = LiveStates::try_new(spec)?;
    for rows in parts.drain(begin..) {
        live.merge(spec, &rows.columns, rows.rows)?;
    }
    parts.push(live.export()?);
    Ok(())
}
