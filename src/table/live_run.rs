//! [`LiveRun`]: a run and which of its rows are there; looking keys up in several of them.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::Array;

use super::keys::{Keys, integers, row_number};
use super::live_rows::{CHUNK_ROWS, LiveRows};
use super::matches::Finding;
use super::run::{IndexSpec, Run};
use super::slots::NO_ROW;
use crate::error::{Error, Result};

/// A run with the rows of it that are live.
#[derive(Debug, Clone)]
pub(super) struct LiveRun {
    pub(super) run: Arc<Run>,
    pub(super) live: Arc<LiveRows>,
    /// For each chunk the time that no live row is older than; empty as long as nobody asked.
    pub(super) oldest: Arc<Vec<i64>>,
}

impl LiveRun {
    /// Creates a part of which all rows are live.
    pub(super) fn new(run: Run) -> Self {
        let live = Arc::new(LiveRows::all(run.num_rows()));
        Self { run: Arc::new(run), live, oldest: Arc::default() }
    }

    /// Returns the same rows in a run that has further indexes.
    pub(super) fn with_run(&self, run: Arc<Run>) -> Self {
        Self { run, ..self.clone() }
    }

    /// Ends the life of the rows whose time is `until` or before it, and returns them.
    pub(super) fn expire(&mut self, column: usize, until: i64) -> Result<Vec<u32>> {
        let times = self.run.rows().column(column);
        let Some(values) = integers(times) else {
            return Err(Error::internal("the retention of a table is over a column that is no time"));
        };
        if self.oldest.is_empty() {
            self.oldest = Arc::new(vec![i64::MIN; self.run.num_rows().div_ceil(CHUNK_ROWS)]);
        }
        let mut expired = vec![];
        let oldest = Arc::make_mut(&mut self.oldest);
        for (chunk, oldest) in oldest.iter_mut().enumerate().filter(|(_, oldest)| **oldest <= until) {
            *oldest = i64::MAX;
            let rows = chunk * CHUNK_ROWS..((chunk + 1) * CHUNK_ROWS).min(values.len());
            for row in rows.filter(|&row| times.is_valid(row)) {
                let number = row_number(row);
                if !self.live.is_live(number) {
                    continue;
                }
                if values[row] > until {
                    *oldest = (*oldest).min(values[row]);
                } else {
                    Arc::make_mut(&mut self.live).kill(number);
                    expired.push(number);
                }
            }
        }
        Ok(expired)
    }

    /// Returns about how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        self.run.bytes() + self.live.bytes() + self.oldest.capacity() * size_of::<i64>()
    }
}

/// Finds the live rows with the keys of the rows `wanted`, through the index with that ordinal.
pub(super) fn find(
    runs: &[LiveRun],
    index: usize,
    spec: &IndexSpec,
    keys: &Keys,
    mut wanted: Vec<u32>,
) -> Result<Finding> {
    let mut order: Vec<usize> = (0..runs.len()).collect();
    if spec.unique {
        // What is found in one run need not be looked for in others: most is in the largest.
        order.sort_by_key(|&run| Reverse(runs[run].live.live()));
    }
    let mut finding = Finding::default();
    for run in order {
        if wanted.is_empty() {
            break;
        }
        let LiveRun { run: rows, live, .. } = &runs[run];
        let Some(places) = rows.index(index) else {
            return Err(Error::internal("a snapshot of a table is older than the index that is asked for"));
        };
        let first = places.find(keys, &wanted, &rows.key_columns(spec))?;
        let all_live = live.dead() == 0;
        let is_live = |row: u32| all_live || live.is_live(row);
        if spec.unique {
            wanted = take_unique(&wanted, &first, is_live, &mut finding);
        } else {
            for (&probe, &first) in wanted.iter().zip(&first) {
                places.chain(first).filter(|&row| is_live(row)).for_each(|row| finding.push(probe, row));
            }
        }
        finding.end_run(run);
    }
    Ok(finding)
}

/// Notes what was found, and returns what was not.
fn take_unique(
    wanted: &[u32],
    found: &[u32],
    is_live: impl Fn(u32) -> bool,
    finding: &mut Finding,
) -> Vec<u32> {
    let mut missing = vec![];
    for (&probe, &row) in wanted.iter().zip(found) {
        if row != NO_ROW && is_live(row) {
            finding.push(probe, row);
        } else {
            missing.push(probe);
        }
    }
    missing
}
