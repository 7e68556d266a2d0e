//! [`HoppingStates`]: partial states by pane, of which overlapping windows are put together.

use std::collections::{BTreeMap, HashMap};

use super::groups::{KeyedRows, LiveStates, push};
use super::spec::AggregateSpec;
use crate::error::Result;
use crate::time::AlignedWindow;

/// The states of windows that share panes.
///
/// A row is merged once, into its pane. When a window closes, the states of its panes are merged: not each by itself,
/// but by blocks of 2, 4, 8, … panes whose merged states are kept for the windows to come, so that a window of n panes
/// costs about 2 log₂ n merges (the dyadic intervals of A. Arasu and J. Widom, "Resource sharing in continuous
/// sliding-window aggregates", 2004).
pub(super) struct HoppingStates {
    windows: AlignedWindow,
    /// By pane; each part has a group at most once.
    panes: BTreeMap<i64, Vec<KeyedRows>>,
    /// By first window and pane: rows that came after some windows of their pane had closed for their partition. They
    /// must not count in those, even where another partition still holds them open.
    partly_late: BTreeMap<(i64, i64), Vec<KeyedRows>>,
    /// By level and ordinal: the merged states of 2^level panes.
    blocks: HashMap<(u32, i64), KeyedRows>,
    /// Blocks above this level would be used once.
    highest_level: u32,
    /// The windows before this one are closed.
    next: i64,
}

impl HoppingStates {
    /// Creates empty states.
    pub(super) fn new(windows: AlignedWindow) -> Self {
        let panes = windows.panes_of(*windows.windows_of(0).end());
        let length = panes.end.saturating_sub(panes.start).unsigned_abs();
        Self {
            windows,
            panes: BTreeMap::new(),
            partly_late: BTreeMap::new(),
            blocks: HashMap::new(),
            highest_level: (length / 2).max(1).ilog2(),
            next: i64::MIN,
        }
    }

    /// Adds the partial states of rows of `pane` that count in the windows from `first` on.
    pub(super) fn add(&mut self, spec: &AggregateSpec, pane: i64, first: i64, rows: KeyedRows) -> Result<()> {
        if first > self.next && first > *self.windows.windows_of(pane).start() {
            return push(spec, self.partly_late.entry((first, pane)).or_default(), rows);
        }
        self.forget_blocks_of(pane);
        push(spec, self.panes.entry(pane).or_default(), rows)
    }

    /// Returns the window that closes next, of those that have rows.
    pub(super) fn next_window(&self) -> Option<i64> {
        let regular = self.panes.first_key_value().map(|(pane, _)| *self.windows.windows_of(*pane).start());
        let late = self.partly_late.first_key_value().map(|((first, _), _)| *first);
        Some(regular.into_iter().chain(late).min()?.max(self.next))
    }

    /// Returns the states of `window`, after which no earlier one and no row of it may come.
    pub(super) fn close(&mut self, spec: &AggregateSpec, window: i64) -> Result<LiveStates> {
        while let Some(entry) = self.partly_late.first_entry()
            && entry.key().0 <= window
        {
            let ((_, pane), parts) = entry.remove_entry();
            self.forget_blocks_of(pane);
            for rows in parts {
                push(spec, self.panes.entry(pane).or_default(), rows)?;
            }
        }
        let mut live = LiveStates::try_new(spec)?;
        let panes = self.windows.panes_of(window);
        let mut pane = panes.start;
        while pane < panes.end {
            let fits = (panes.end - pane).unsigned_abs().ilog2();
            let level = pane.trailing_zeros().min(fits).min(self.highest_level);
            self.merge_block(spec, level, pane >> level, &mut live)?;
            pane += 1 << level;
        }
        self.next = window + 1;
        while let Some(entry) = self.panes.first_entry()
            && *self.windows.windows_of(*entry.key()).end() < self.next
        {
            let pane = *entry.key();
            entry.remove();
            self.forget_blocks_of(pane);
        }
        Ok(live)
    }

    /// Returns the number of partial states.
    pub(super) fn len(&self) -> usize {
        let parts = self.panes.values().chain(self.partly_late.values()).flatten();
        parts.map(|part| part.rows).sum()
    }

    /// Returns about how many bytes the states take.
    pub(super) fn bytes(&self) -> usize {
        let parts = self.panes.values().chain(self.partly_late.values()).flatten();
        parts.chain(self.blocks.values()).map(KeyedRows::bytes).sum()
    }

    fn merge_block(
        &mut self,
        spec: &AggregateSpec,
        level: u32,
        ordinal: i64,
        into: &mut LiveStates,
    ) -> Result<()> {
        if level == 0 {
            for rows in self.panes.get(&ordinal).into_iter().flatten() {
                into.merge(spec, &rows.columns, rows.rows)?;
            }
            return Ok(());
        }
        let panes = ordinal << level..(ordinal + 1) << level;
        if self.panes.range(panes).next().is_none() {
            return Ok(());
        }
        if !self.blocks.contains_key(&(level, ordinal)) {
            let mut block = LiveStates::try_new(spec)?;
            self.merge_block(spec, level - 1, 2 * ordinal, &mut block)?;
            self.merge_block(spec, level - 1, 2 * ordinal + 1, &mut block)?;
            self.blocks.insert((level, ordinal), block.export()?);
        }
        match self.blocks.get(&(level, ordinal)) {
            Some(rows) => into.merge(spec, &rows.columns, rows.rows),
            None => Ok(()),
        }
    }

    fn forget_blocks_of(&mut self, pane: i64) {
        if !self.blocks.is_empty() {
            for level in 1..=self.highest_level {
                self.blocks.remove(&(level, pane >> level));
            }
        }
    }
}
