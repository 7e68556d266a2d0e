//! Rows that leave a table by themselves: those that are too old, and those of what is not there any more.

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::kernels::cmp::eq;
use std::sync::Arc;

use super::keys::row_number;
use super::live_run::LiveRun;
use super::matches::Place;
use super::store::Store;
use crate::error::Result;
use crate::flow::ChangeBatch;

/// Rows that left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The rows, where they are wanted and there are any.
    pub(super) changes: Option<ChangeBatch>,
    /// How many they are.
    pub(super) rows: u64,
    /// A time that no row is older than which stays, where rows are told apart by time; none where no row stays.
    pub(super) oldest: Option<i64>,
}

impl Store {
    /// Deletes the rows whose time is `until` or before it.
    pub(super) fn expire(&mut self, column: usize, until: i64, wants_changes: bool) -> Result<Left> {
        self.leave(wants_changes, |part| part.expire(column, until))
    }

    /// Deletes the rows that have `value` in a column of numbers.
    pub(super) fn take_back(&mut self, column: usize, value: i64, wants_changes: bool) -> Result<Left> {
        self.leave(wants_changes, |part| part.kill_equal(column, value))
    }

    fn leave(
        &mut self,
        wants_changes: bool,
        mut leaving: impl FnMut(&mut LiveRun) -> Result<Vec<u32>>,
    ) -> Result<Left> {
        let mut old = vec![];
        for (run, part) in self.runs.iter_mut().enumerate() {
            let rows = leaving(part)?;
            old.extend(rows.into_iter().map(|row| Place { probe: 0, run, row }));
        }
        let oldest = self.runs.iter().flat_map(|part| part.oldest.iter().copied()).min();
        let mut left = Left { oldest: oldest.filter(|oldest| *oldest < i64::MAX), ..Left::default() };
        if old.is_empty() {
            return Ok(left);
        }
        left.rows = old.len() as u64;
        self.changed = true;
        let nothing = RecordBatch::new_empty(Arc::clone(&self.stored));
        left.changes = wants_changes.then(|| self.changes(&old, &nothing, &[])).transpose()?;
        self.merge()?;
        Ok(left)
    }
}

impl LiveRun {
    /// Ends the life of the rows that have `value` in a column of numbers, and returns them.
    fn kill_equal(&mut self, column: usize, value: i64) -> Result<Vec<u32>> {
        let equal = eq(self.run.rows().column(column), &Int64Array::new_scalar(value))?;
        let rows = equal.values().set_indices().map(row_number);
        let rows: Vec<u32> = rows.filter(|&row| self.live.is_live(row)).collect();
        for &row in &rows {
            Arc::make_mut(&mut self.live).kill(row);
        }
        Ok(rows)
    }
}
