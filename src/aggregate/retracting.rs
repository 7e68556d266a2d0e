//! [`RetractingAggregate`]: an aggregate over a changelog, which gives a changelog itself.

use std::sync::Arc;

use arrow::array::Int8Array;

use super::pace::Pace;
use super::retracting_states::RetractingStates;
use super::retraction::Retraction;
use super::spec::{AggregateSpec, Bounds};
use crate::error::Result;
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Lets rows come and go, and emits, once per epoch, the old and the new row of each group that changed.
///
/// Or it emits what there is when the input ends. A group without rows is withdrawn. The deltas of its state are the rows as they came, with their weights.
pub struct RetractingAggregate {
    name: String,
    spec: Arc<AggregateSpec>,
    states: RetractingStates,
    pace: Pace,
    /// Whether the groups are given once, at the end of the input.
    at_end: bool,
    /// Whether what changed came from a snapshot, and was given before it.
    restoring: bool,
    /// Whether this instance answers for an empty input: `SELECT count(*)` of nothing is one row.
    answers_empty_input: bool,
    recorded: DeltaLog,
}

impl RetractingAggregate {
    /// Creates the operator; `at_end` says whether groups are given once, at the end of the input, `first_shard` whether
    /// it is the one that answers for an empty input, `record` whether deltas will be asked for, `interval_ms` how long
    /// a change waits for others of its group.
    pub fn try_new(
        name: String,
        spec: Arc<AggregateSpec>,
        (retraction, at_end): (Arc<Retraction>, bool),
        interval_ms: Option<i64>,
        first_shard: bool,
        record: bool,
    ) -> Result<Self> {
        Ok(Self {
            name,
            states: RetractingStates::try_new(Arc::clone(&spec), retraction)?,
            pace: Pace::new(interval_ms),
            at_end,
            restoring: false,
            answers_empty_input: first_shard && spec.keys.is_empty(),
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    fn take_in(&mut self, change: &ChangeBatch) -> Result<()> {
        let inserts = || Int8Array::from_value(1, change.num_rows());
        let weights = change.weights().cloned().unwrap_or_else(inserts);
        self.states.apply(change.rows(), weights.values())?;
        self.answers_empty_input = false;
        Ok(())
    }

    fn settle(&mut self) -> Result<Option<ChangeBatch>> {
        self.pace.released();
        let (keys, values, weights) = self.states.settle()?.into_rows()?;
        if weights.is_empty() {
            return Ok(None);
        }
        let rows = self.spec.result(&Bounds::Same(0..0), &keys, values, weights.len())?;
        let only_inserts = weights.iter().all(|&weight| weight > 0);
        let weights = (!only_inserts).then(|| Int8Array::from(weights));
        Ok(Some(ChangeBatch::try_new(rows, weights)?))
    }

    /// Forgets what a snapshot changed.
    fn resume(&mut self) -> Result<()> {
        if std::mem::take(&mut self.restoring) && !self.at_end {
            self.states.settle()?;
        }
        Ok(())
    }
}

impl Operator for RetractingAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        self.resume()?;
        if change.num_rows() > 0 {
            self.take_in(change)?;
            self.recorded.keep_changes(change, Watermark::NONE)?;
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        if self.at_end && watermark != Watermark::END {
            return Ok(vec![]);
        }
        self.resume()?;
        let mut changes = vec![];
        if self.states.has_changed() {
            if !self.at_end {
                self.pace.came(epoch.now_ms);
            }
            let lets_go = || !self.at_end && (epoch.last || self.pace.lets_go(epoch.now_ms));
            if watermark == Watermark::END || lets_go() {
                changes.extend(self.settle()?);
            }
        }
        if self.answers_empty_input && watermark == Watermark::END {
            self.answers_empty_input = false;
            changes.push(ChangeBatch::inserts(self.spec.result_of_nothing()?));
        }
        Ok(changes)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        Ok(self.recorded.take())
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        if delta.rows.num_rows() > 0 {
            self.take_in(&ChangeBatch::of_weighted_rows(&delta.rows)?)?;
            self.restoring = !self.at_end;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.states.bytes()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.states.len())
    }

    fn is_due(&self, now_ms: Option<i64>) -> bool {
        self.pace.is_due(now_ms)
    }
}
