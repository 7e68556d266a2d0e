//! [`Limit`]: lets some rows through and then wants no more.

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Leaves out `skip` rows and lets `fetch` through, in the order in which they come.
#[derive(Debug)]
pub struct Limit {
    skip: u64,
    fetch: Option<u64>,
    taken: u64,
    changed: bool,
}

impl Limit {
    /// Creates the operator.
    pub fn new(skip: usize, fetch: Option<usize>) -> Self {
        Self { skip: skip as u64, fetch: fetch.map(|fetch| fetch as u64), taken: 0, changed: false }
    }

    fn end(&self) -> u64 {
        self.fetch.map_or(u64::MAX, |fetch| self.skip.saturating_add(fetch))
    }
}

impl Operator for Limit {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.weights().is_some() {
            return Err(Error::internal("LIMIT got a changelog"));
        }
        let count = change.num_rows() as u64;
        let (first, last) = (self.skip.max(self.taken), self.end().min(self.taken + count));
        let begin = first - self.taken;
        self.taken += count;
        self.changed = true;
        if first >= last {
            return Ok(vec![]);
        }
        let narrow = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let length = last - first;
        Ok(vec![ChangeBatch::inserts(change.rows().slice(narrow(begin), narrow(length)))])
    }

    fn advance(&mut self, _watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        Ok(vec![])
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        if !std::mem::take(&mut self.changed) {
            return Ok(vec![]);
        }
        let schema = Arc::new(Schema::new(vec![Field::new("taken", DataType::UInt64, false)]));
        let rows = RecordBatch::try_new(schema, vec![Arc::new(UInt64Array::from(vec![self.taken]))])?;
        Ok(vec![StateDelta { port: 0, rows, watermark: Watermark::NONE }])
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        let taken = delta.rows.column(0).as_any().downcast_ref::<UInt64Array>();
        self.taken =
            taken.map(|taken| taken.value(0)).ok_or_else(|| Error::internal("not a state of LIMIT"))?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }

    fn rows(&self) -> Option<usize> {
        Some(0)
    }

    fn wants_more(&self) -> bool {
        self.taken < self.end()
    }
}
