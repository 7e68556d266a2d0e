//! [`RetractingAggregate`]: an aggregate over a changelog, which gives a changelog itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Int8Type, Schema, SchemaRef};

use super::pace::Pace;
use super::retracting_states::RetractingStates;
use super::retraction::Retraction;
use super::spec::{AggregateSpec, Bounds};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Lets rows come and go, and emits, once per epoch, the old and the new row of each group that changed.
///
/// A group without rows is withdrawn. The deltas of its state are the rows as they came, with their weights.
pub struct RetractingAggregate {
    name: String,
    spec: Arc<AggregateSpec>,
    states: RetractingStates,
    pace: Pace,
    /// Whether what changed came from a snapshot, and was given before it.
    restoring: bool,
    /// Whether this instance answers for an empty input: `SELECT count(*)` of nothing is one row.
    answers_empty_input: bool,
    delta_schema: SchemaRef,
    recorded: DeltaLog,
}

impl RetractingAggregate {
    /// Creates the operator; `first_shard` says whether it is the one that answers for an empty input, `record`
    /// whether deltas will be asked for, `interval_ms` how long a change waits for others of its group.
    pub fn try_new(
        name: String,
        spec: Arc<AggregateSpec>,
        retraction: Arc<Retraction>,
        interval_ms: Option<i64>,
        first_shard: bool,
        record: bool,
    ) -> Result<Self> {
        let mut fields = retraction.schema().fields().to_vec();
        fields.push(Arc::new(Field::new("weight", DataType::Int8, false)));
        Ok(Self {
            name,
            states: RetractingStates::try_new(Arc::clone(&spec), retraction)?,
            pace: Pace::new(interval_ms),
            restoring: false,
            answers_empty_input: first_shard && spec.keys.is_empty(),
            delta_schema: Arc::new(Schema::new(fields)),
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    fn record(&mut self, rows: &RecordBatch, weights: &Int8Array) -> Result<()> {
        if !self.recorded.is_kept() {
            return Ok(());
        }
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(weights.clone()) as ArrayRef);
        let rows = RecordBatch::try_new(Arc::clone(&self.delta_schema), columns)?;
        self.recorded.keep(&rows, Watermark::NONE);
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
        if std::mem::take(&mut self.restoring) {
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
            let inserts = || Int8Array::from_value(1, change.num_rows());
            let weights = change.weights().cloned().unwrap_or_else(inserts);
            self.states.apply(change.rows(), weights.values())?;
            self.record(change.rows(), &weights)?;
            self.answers_empty_input = false;
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        self.resume()?;
        let mut changes = vec![];
        if self.states.has_changed() {
            self.pace.came(epoch.now_ms);
            if epoch.last || watermark == Watermark::END || self.pace.lets_go(epoch.now_ms) {
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
        let Some((weights, columns)) = delta.rows.columns().split_last() else {
            return Err(Error::internal("a delta without weights"));
        };
        let Some(weights) = weights.as_primitive_opt::<Int8Type>() else {
            return Err(Error::internal("the weights of a delta are no numbers"));
        };
        if !weights.is_empty() {
            let fields = self.delta_schema.fields()[..columns.len()].to_vec();
            let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
            let schema = Arc::new(Schema::new(fields));
            let rows = RecordBatch::try_new_with_options(schema, columns.to_vec(), &options)?;
            self.states.apply(&rows, weights.values())?;
            self.restoring = true;
            self.answers_empty_input = false;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.states.bytes()
    }

    fn is_due(&self, now_ms: Option<i64>) -> bool {
        self.pace.is_due(now_ms)
    }
}
