//! [`Waiting`]: rows for which something follows once time has come to them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::chunks::RowId;

/// Rows by time.
///
/// Those that came together are sorted once, and then only taken from.
#[derive(Default)]
pub(super) struct Waiting {
    runs: BinaryHeap<Run>,
    rows: usize,
}

/// Rows that came together, the latest first; never empty.
struct Run(Vec<(i64, RowId)>);

impl Run {
    fn earliest(&self) -> Option<i64> {
        self.0.last().map(|(time, _)| *time)
    }
}

impl Ord for Run {
    /// The run with the earliest row is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.earliest().cmp(&self.earliest())
    }
}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Run {}

impl Waiting {
    /// Adds rows with their times.
    pub(super) fn push(&mut self, mut rows: Vec<(i64, RowId)>) {
        if !rows.is_empty() {
            rows.sort_unstable_by(|a, b| b.cmp(a));
            self.rows += rows.len();
            self.runs.push(Run(rows));
        }
    }

    /// Takes all rows out from the earliest on for which `goes` says so of their time and number.
    pub(super) fn take_while(&mut self, goes: impl Fn(i64, RowId) -> bool) -> Vec<RowId> {
        let mut taken = vec![];
        while let Some(mut run) = self.runs.peek_mut() {
            let before = taken.len();
            while let Some(&(time, id)) = run.0.last()
                && goes(time, id)
            {
                run.0.pop();
                taken.push(id);
            }
            let stays = taken.len() == before;
            if run.0.is_empty() {
                PeekMut::pop(run);
            } else if stays {
                break;
            }
        }
        self.rows -= taken.len();
        taken
    }

    /// Returns the time of the earliest row.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.runs.peek().and_then(Run::earliest)
    }

    /// Gives the rows other numbers; those that get none are forgotten.
    pub(super) fn renumber(&mut self, number: impl Fn(RowId) -> Option<RowId>) {
        let runs = std::mem::take(&mut self.runs).into_vec().into_iter().filter_map(|Run(mut rows)| {
            rows.retain_mut(|(_, id)| match number(*id) {
                Some(new) => {
                    *id = new;
                    true
                }
                None => false,
            });
            (!rows.is_empty()).then_some(Run(rows))
        });
        self.runs = runs.collect();
        self.rows = self.runs.iter().map(|run| run.0.len()).sum();
    }

    /// Returns about how many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.rows * size_of::<(i64, RowId)>() + self.runs.capacity() * size_of::<Run>()
    }
}
