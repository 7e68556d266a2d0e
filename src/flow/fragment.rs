//! [`Fragment`]: stateless steps strung together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::flow::{ChangeBatch, LateRows};

/// Rows that were looked up in a table and found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Misses {
    /// How many they are.
    pub rows: u64,
    /// How many of them had waited, and were looked up again in vain.
    pub given_up: u64,
}

impl Misses {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.given_up += other.given_up;
    }
}

/// What became of the rows that did not go on, for the conservation of every record.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows that a condition kept out.
    pub filtered: u64,
    /// Rows that came after their window had closed.
    pub late: u64,
    /// Rows that count in a window although one of their windows, or more, had closed.
    pub partly_late: u64,
    /// Rows that came after their windows had closed and were put into a later one.
    pub put_later: u64,
    /// Rows that found no row in a table, by the table's name.
    pub missing: BTreeMap<Arc<str>, Misses>,
    /// Rows that went into an aggregate's state.
    pub merged: u64,
    /// Rows that a step made out of one (`UNNEST`), less the rows it made them of; negative where rows vanish.
    pub expanded: i64,
    /// The late rows themselves, where they are wanted.
    pub late_rows: Option<LateRows>,
}

impl Tally {
    /// Creates an empty tally that collects late rows, if `late_rows` says so.
    pub fn collecting(late_rows: bool) -> Self {
        Self { late_rows: late_rows.then(LateRows::default), ..Self::default() }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.filtered += other.filtered;
        self.late += other.late;
        self.partly_late += other.partly_late;
        self.put_later += other.put_later;
        self.merged += other.merged;
        self.expanded += other.expanded;
        for (table, misses) in &other.missing {
            self.missing.entry(Arc::clone(table)).or_default().add(*misses);
        }
    }
}

/// A stateless transformation of batches.
pub trait Step: Send {
    /// Returns what `EXPLAIN` shows.
    fn describe(&self) -> String;

    /// Transforms one batch.
    ///
    /// A step whose result for a row depends on other rows of the batch must come last (partial aggregation).
    fn run(&mut self, batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch>;
}

/// Steps that run one after the other on each batch.
#[derive(Default)]
pub struct Fragment {
    steps: Vec<Box<dyn Step>>,
    /// The ordinal of the step that ran last.
    at: usize,
}

impl std::fmt::Debug for Fragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| step.describe())).finish()
    }
}

impl Fragment {
    /// Creates a fragment of `steps`.
    pub fn new(steps: Vec<Box<dyn Step>>) -> Self {
        Self { steps, at: 0 }
    }

    /// Adds a step at the end.
    pub fn push(&mut self, step: Box<dyn Step>) {
        self.steps.push(step);
    }

    /// Runs all steps on one batch; what is left of it may be empty.
    pub fn run(&mut self, mut batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch> {
        for (ordinal, step) in self.steps.iter_mut().enumerate() {
            self.at = ordinal;
            batch = step.run(batch, tally)?;
        }
        Ok(batch)
    }

    /// Returns what the step does that ran last: where a run failed, the one that failed.
    pub fn last_step(&self) -> Option<String> {
        self.steps.get(self.at).map(|step| step.describe())
    }

    /// Returns a line for each step.
    pub fn describe(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.describe()).collect()
    }
}
