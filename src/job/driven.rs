//! The sources of a job as its driver sees them: [`DrivenScan`] and its partitions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::carry::Carried;
use super::messages::{Done, SourceClock};
use super::scan::watermark_after;
use crate::connect::{OnError, PartitionId, Position};
use crate::sql::plan::Target;
use crate::time::Watermark;

/// One source as the driver sees it.
pub(super) struct DrivenScan {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) bound_ms: i64,
    pub(super) idle_timeout_ms: i64,
    pub(super) on_error: OnError,
    pub(super) clock: Arc<SourceClock>,
    pub(super) partitions: Vec<DrivenPartition>,
    pub(super) ended: bool,
    /// Chunks that were processed, and how many there are in all once that is known.
    pub(super) chunks: u64,
    pub(super) chunks_in_all: Option<u64>,
    /// For each partition how many chunks hold what was there when the source was opened, once that is known.
    pub(super) there_at_open: Option<Vec<u64>>,
    /// Partitions of which nothing is there any more outside, each with how many chunks of all partitions came before.
    pub(super) withdrawals: VecDeque<(usize, Vec<u64>)>,
}

/// One partition as the driver sees it.
pub(super) struct DrivenPartition {
    pub(super) id: PartitionId,
    pub(super) carried: Carried,
    pub(super) position: Option<Position>,
    pub(super) next_turn: u64,
    pub(super) waiting: BTreeMap<u64, Done>,
    pub(super) chunks_in_all: Option<u64>,
    pub(super) promised: Option<Watermark>,
    /// Watermarks that hold once so many chunks are done.
    pub(super) promises: Vec<(u64, Watermark)>,
    /// Whether what it gave was taken back.
    pub(super) withdrawn: bool,
}

impl DrivenScan {
    /// Returns whether the reader has found that there is nothing to read now.
    pub(super) fn is_quiet(&self) -> bool {
        let has_rows = self.partitions.iter().any(DrivenPartition::has_begun);
        self.ended || !has_rows || self.clock.quiet_since().is_some()
    }

    /// Returns whether all that was there when the source was opened is taken in.
    pub(super) fn has_caught_up(&self) -> bool {
        self.ended || self.there_at_open.as_ref().is_some_and(|chunks| self.has_done(chunks))
    }

    /// Returns whether so many chunks of each partition are done.
    fn has_done(&self, chunks: &[u64]) -> bool {
        let done = self.partitions.iter().map(|partition| partition.next_turn);
        chunks.iter().zip(done).all(|(wanted, done)| done >= *wanted)
    }

    /// Returns whether there is a partition to be taken back.
    pub(super) fn withdraws(&self) -> bool {
        self.withdrawals.front().is_some_and(|(_, chunks)| self.has_done(chunks))
    }

    /// Returns the next partition to be taken back; none while something is not done that came before.
    pub(super) fn next_withdrawal(&mut self) -> Option<PartitionId> {
        if !self.withdraws() {
            return None;
        }
        let (partition, _) = self.withdrawals.pop_front()?;
        let partition = &mut self.partitions[partition];
        partition.withdrawn = true;
        Some(partition.id.clone())
    }

    pub(super) fn waiting_chunks(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.waiting.len() as u64).sum()
    }
}

impl DrivenPartition {
    /// Returns whether the partition ever had a row.
    pub(super) fn has_begun(&self) -> bool {
        self.carried.records > 0
    }

    /// Returns whether an upstream job says how far event time is, whether it gives rows or not.
    pub(super) fn is_promised(&self) -> bool {
        self.promised.is_some()
    }

    /// Returns the partition's watermark; none once it has ended.
    pub(super) fn watermark(&self, bound_ms: i64) -> Option<Watermark> {
        if self.chunks_in_all == Some(self.next_turn) {
            return None;
        }
        if let Some(promised) = self.promised {
            return Some(promised);
        }
        let mut mark = watermark_after(self.carried.seen, bound_ms);
        mark.advance_to(self.carried.floor);
        Some(mark)
    }
}
