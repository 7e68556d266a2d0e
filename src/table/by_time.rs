//! [`ByTime`]: which row of a key is the last, where that is the one with the latest event time.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, Int8Array, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::Int8Type;

use super::keys::{KeyForm, Keys, chosen, integers, row_number};
use super::live_run::LiveRun;
use super::matches::Place;
use crate::error::{Error, Result};

/// The rows of a batch in an order in which the last one of a key is the latest, and what is needed to compare them with
/// those that are there.
///
/// Of equal times the row that comes later is the last. A delete is of no time: it ends what came before it, and what comes
/// after it is compared with nothing before.
pub(super) struct ByTime {
    pub(super) rows: RecordBatch,
    pub(super) weights: Option<Int8Array>,
    column: usize,
    /// Whether a delete of the same key comes before the row.
    renewed: Vec<bool>,
}

impl ByTime {
    /// Puts rows, each with its weight, into that order; `column` is their time, `key` their key.
    pub(super) fn of(
        rows: &RecordBatch,
        weights: Option<&Int8Array>,
        key: &[usize],
        column: usize,
    ) -> Result<Self> {
        let times = times(rows, column)?;
        let deletes = deletes_before(rows, weights, key)?;
        let is_delete = |row: usize| weights.is_some_and(|weights| weights.value(row) < 0);
        let mut order: Vec<u32> = (0..row_number(rows.num_rows())).collect();
        // Stable: of equal times the later row stays the later one.
        order.sort_by_key(|&row| {
            let row = row as usize;
            (deletes.get(row).copied().unwrap_or(0), is_delete(row), times[row])
        });
        let renewed =
            order.iter().map(|&row| deletes.get(row as usize).is_some_and(|count| *count > 0)).collect();
        let order = UInt32Array::from(order);
        let weights = weights.map(|weights| take(weights, &order, None)).transpose()?;
        Ok(Self {
            rows: take_record_batch(rows, &order)?,
            weights: weights.map(|weights| weights.as_primitive::<Int8Type>().clone()),
            column,
            renewed,
        })
    }

    /// Leaves the rows of `old` that are later than those that come in their place, and these of `kept` out.
    pub(super) fn keep_latest(
        &self,
        runs: &[LiveRun],
        old: &mut Vec<Place>,
        kept: &mut [bool],
    ) -> Result<()> {
        let mut stays = vec![false; kept.len()];
        for (run, part) in runs.iter().enumerate() {
            let pairs: Vec<_> =
                old.iter().filter(|place| place.run == run).map(|place| (place.probe, place.row)).collect();
            let of_run = self.stays(part.run.rows(), pairs.iter().copied())?;
            for ((probe, _), stay) in pairs.iter().zip(of_run) {
                stays[*probe as usize] = stay;
            }
        }
        old.retain(|place| !stays[place.probe as usize]);
        kept.iter_mut().zip(stays).for_each(|(kept, stays)| *kept &= !stays);
        Ok(())
    }

    /// Returns for each pair whether the row that is there, of `stored`, stays before the one that comes.
    fn stays(&self, stored: &RecordBatch, pairs: impl Iterator<Item = (u32, u32)>) -> Result<Vec<bool>> {
        let (ours, theirs) = (times(&self.rows, self.column)?, times(stored, self.column)?);
        let is_delete = |row: usize| self.weights.as_ref().is_some_and(|weights| weights.value(row) < 0);
        let stays = pairs.map(|(row, other)| {
            let row = row as usize;
            !self.renewed[row] && !is_delete(row) && theirs[other as usize] > ours[row]
        });
        Ok(stays.collect())
    }
}

/// Returns for each row how many deletes of its key come before it; nothing where there is none at all.
fn deletes_before(rows: &RecordBatch, weights: Option<&Int8Array>, key: &[usize]) -> Result<Vec<u32>> {
    let Some(weights) = weights else { return Ok(vec![]) };
    let keys = Keys::try_new(chosen(rows.columns(), key), rows.num_rows())?;
    let of = |row: usize| match &keys.form {
        KeyForm::Integers(integers) => u64::from_ne_bytes(integers[row].to_ne_bytes()),
        KeyForm::Hashes(hashes) => hashes[row],
    };
    let mut counts: HashMap<u64, u32> = HashMap::new();
    let before = (0..rows.num_rows()).map(|row| {
        let count = counts.entry(of(row)).or_default();
        let before = *count;
        *count += u32::from(weights.value(row) < 0);
        before
    });
    Ok(before.collect())
}

/// Returns times as numbers in the column's unit; a row without one is before all others.
fn times(rows: &RecordBatch, column: usize) -> Result<Vec<i64>> {
    let column = rows.column(column);
    let Some(values) = integers(column) else {
        return Err(Error::internal("the event time of a table is no timestamp"));
    };
    let time = |row: usize| if column.is_null(row) { i64::MIN } else { values[row] };
    Ok((0..column.len()).map(time).collect())
}
