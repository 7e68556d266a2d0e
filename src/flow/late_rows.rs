//! [`LateRows`]: the rows of a batch that came late, traced back to the batch that the first step got.

use std::ops::Range;

use arrow::array::{BooleanArray, RecordBatch};

use crate::time::{AlignedWindow, SessionWindow};

/// What a row was late for.
#[derive(Debug, Clone, Copy)]
pub enum LateFor {
    /// All its windows.
    Aligned(AlignedWindow),
    /// A session.
    Session(SessionWindow),
    /// Its place among the rows around it, or a window that only its query knows.
    Order,
}

/// Which row came late.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// The one with this ordinal in the batch that the first step got.
    First(usize),
    /// One that a step made, as it came to the step that found it late.
    Made(RecordBatch),
}

/// A row that came late.
#[derive(Debug, Clone)]
pub struct LateRow {
    /// The row itself.
    pub row: Origin,
    /// Its time and the watermark of its partition, in epoch milliseconds, where the step knows them.
    pub time: Option<(i64, i64)>,
    /// What it was late for.
    pub late_for: LateFor,
}

impl LateFor {
    /// Returns what a report calls the part of the query that finds such rows late.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aligned(_) => "window",
            Self::Session(_) => "session",
            Self::Order => "over",
        }
    }
}

impl LateRow {
    /// Returns the same row where the batch that the first step got stands behind `rows` others.
    #[must_use]
    pub fn behind(self, rows: usize) -> Self {
        let row = match self.row {
            Origin::First(row) => Origin::First(rows + row),
            made @ Origin::Made(_) => made,
        };
        Self { row, ..self }
    }

    /// Returns the last of the windows that a row at `time` would have been in, in epoch milliseconds.
    pub fn window(&self, time: i64) -> Option<Range<i64>> {
        match self.late_for {
            LateFor::Aligned(windows) => {
                Some(windows.bounds(*windows.windows_of(windows.pane_at(time)).end()))
            }
            LateFor::Session(windows) => Some(time..windows.end(time)),
            LateFor::Order => None,
        }
    }

    /// Returns how far `watermark` was past what a row at `time` could still have counted in, in milliseconds.
    pub fn lateness(&self, time: i64, watermark: i64) -> i64 {
        match self.late_for {
            LateFor::Aligned(_) => {
                watermark.saturating_sub(self.window(time).map_or(time, |window| window.end))
            }
            LateFor::Session(_) | LateFor::Order => watermark.saturating_sub(time),
        }
    }
}

/// Collects late rows while a batch goes through the steps of a fragment.
#[derive(Debug, Default)]
pub struct LateRows {
    /// For each step that left rows out those that it kept; none for a step that made other rows.
    kept: Vec<Option<BooleanArray>>,
    found: Vec<LateRow>,
}

impl LateRows {
    /// Learns that a step keeps the rows for which `mask` is true.
    pub fn kept(&mut self, mask: &BooleanArray) {
        self.kept.push(Some(mask.clone()));
    }

    /// Learns that a step makes rows that do not stand for the old ones one to one.
    pub fn remade(&mut self) {
        self.kept.push(None);
    }

    /// Takes in that `late` of the `rows` that came to a step are late; `time` tells the time of a row and its watermark.
    pub fn found(
        &mut self,
        rows: &RecordBatch,
        late: &[usize],
        late_for: LateFor,
        time: impl Fn(usize) -> Option<(i64, i64)>,
    ) {
        let mut origins: Option<Vec<usize>> = Some(late.to_vec());
        for mask in self.kept.iter().rev() {
            origins = match (origins, mask) {
                (Some(origins), Some(mask)) => {
                    let kept: Vec<usize> = mask.values().set_indices().collect();
                    origins.into_iter().map(|row| kept.get(row).copied()).collect()
                }
                _ => None,
            };
        }
        self.found.extend(late.iter().enumerate().map(|(ordinal, &row)| LateRow {
            row: match &origins {
                Some(origins) => Origin::First(origins[ordinal]),
                None => Origin::Made(rows.slice(row, 1)),
            },
            time: time(row),
            late_for,
        }));
    }

    /// Returns the late rows.
    pub fn into_found(self) -> Vec<LateRow> {
        self.found
    }
}
