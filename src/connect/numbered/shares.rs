//! [`Shares`]: which rows belong to which partition.

/// How the rows are shared by the partitions: blocks of `block` rows go round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    pub(super) partitions: u64,
    pub(super) block: u64,
}

impl Shares {
    /// Returns the `index`-th row of `partition`.
    pub(super) fn row(self, partition: u64, index: u64) -> u64 {
        (index / self.block)
            .saturating_mul(self.partitions)
            .saturating_add(partition)
            .saturating_mul(self.block)
            .saturating_add(index % self.block)
    }

    /// Returns how many rows of `partition` are below `row`.
    pub(super) fn count_below(self, partition: u64, row: u64) -> u64 {
        let block = row / self.block;
        let (round, holder) = (block / self.partitions, block % self.partitions);
        let partial = match holder.cmp(&partition) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => row % self.block,
            std::cmp::Ordering::Greater => self.block,
        };
        round * self.block + partial
    }
}
