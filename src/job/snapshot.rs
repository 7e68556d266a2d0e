//! [`Snapshot`]: what a job needs to go on from the end of an epoch.

use super::carry::Carried;
use crate::connect::{PartitionId, Position};
use crate::flow::StateDelta;
use crate::time::Watermark;

/// The state of a job at the end of an epoch.
///
/// The operators' parts are deltas since the snapshot before; [`Snapshot::follow`] strings them together.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) epoch: u64,
    pub(super) watermark: Watermark,
    /// For each scan its watermark and partitions.
    pub(super) scans: Vec<(Watermark, Vec<PartitionSnapshot>)>,
    /// For each operator what changed.
    pub(super) operators: Vec<Vec<StateDelta>>,
}

/// Where a partition goes on.
#[derive(Debug, Clone)]
pub(super) struct PartitionSnapshot {
    pub(super) id: PartitionId,
    pub(super) position: Option<Position>,
    pub(super) carried: Carried,
}

impl Snapshot {
    /// Returns the rows of operators' state.
    pub fn state_rows(&self) -> u64 {
        self.operators.iter().flatten().map(|delta| delta.rows.num_rows() as u64).sum()
    }

    /// Returns the state after `later`, which was taken of a job that went on from `self`.
    #[must_use]
    pub fn follow(mut self, later: Self) -> Self {
        for (operator, deltas) in self.operators.iter_mut().zip(later.operators) {
            operator.extend(deltas);
        }
        Self { operators: self.operators, ..later }
    }
}
