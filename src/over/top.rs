//! [`TopRows`]: the first rows of each key in any order, as a changelog.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalSortExpr;

use super::keys::Keys;
use super::ranked_rows::{Place, RankedRows};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// Which rows are kept, and how they are shown.
#[derive(Debug, Clone)]
pub struct TopRowsSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The rows that go out: those that came in, and their number.
    pub output: SchemaRef,
    /// The ordinals of the key's columns.
    pub keys: Vec<usize>,
    /// The order.
    pub order: Vec<PhysicalSortExpr>,
    /// What settles the order where the query leaves rows equal: ordinals of columns.
    pub ties: Vec<usize>,
    /// How many rows of each key are kept.
    pub count: usize,
    /// Whether anybody reads the rows' numbers: a row that only moves is then a change.
    pub numbered: bool,
    /// Whether there is one answer at the end of the input.
    pub at_end: bool,
    /// What `EXPLAIN` shows of key and order.
    pub description: String,
}

/// Keeps the first rows of each key, and gives what each epoch changed of them.
pub struct TopRows {
    name: String,
    spec: Arc<TopRowsSpec>,
    keys: Keys,
    order: RowConverter,
    rows: RankedRows,
    /// The first rows of each key, in order.
    tops: Vec<Vec<Place>>,
    /// How many rows all keys have.
    kept: usize,
    /// The keys that the epoch touched, with their first rows before it.
    touched: Vec<(u32, Vec<Place>)>,
    is_touched: Vec<bool>,
    recorded: DeltaLog,
}

impl TopRows {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<TopRowsSpec>, record: bool) -> Result<Self> {
        let mut order = vec![];
        for key in &spec.order {
            order.push(SortField::new_with_options(key.expr.data_type(&spec.input)?, key.options));
        }
        let ties = spec.ties.iter().map(|&tie| SortField::new(spec.input.field(tie).data_type().clone()));
        order.extend(ties);
        Ok(Self {
            name,
            keys: Keys::try_new(&spec.input, &spec.keys)?,
            order: RowConverter::new(order)?,
            rows: RankedRows::new(Arc::clone(&spec.input)),
            tops: vec![],
            kept: 0,
            touched: vec![],
            is_touched: vec![],
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    /// Lets rows take their places.
    fn take_in(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut columns: Vec<ArrayRef> = vec![];
        for key in &self.spec.order {
            columns.push(key.expr.evaluate(rows)?.into_array(rows.num_rows())?);
        }
        columns.extend(self.spec.ties.iter().map(|&tie| Arc::clone(rows.column(tie))));
        let ranks = self.order.convert_columns(&columns)?.try_into_binary()?;
        let keys = self.keys.of(rows)?;
        let known = self.keys.len();
        self.tops.resize(known, vec![]);
        self.is_touched.resize(known, false);
        let chunk = self.rows.add(rows.clone(), ranks);
        for (row, &key) in (0u32..).zip(&keys) {
            let (place, top) = (Place { chunk, row }, &mut self.tops[key]);
            let rank = self.rows.rank(place);
            if top.len() == self.spec.count && top.last().is_none_or(|&last| self.rows.rank(last) <= rank) {
                continue;
            }
            if !std::mem::replace(&mut self.is_touched[key], true) {
                self.touched.push((u32::try_from(key).unwrap_or(u32::MAX), top.clone()));
            }
            let at = top.partition_point(|&other| self.rows.rank(other) <= rank);
            if top.len() == self.spec.count {
                top.pop();
            } else {
                self.kept += 1;
            }
            if top.len() == top.capacity() {
                top.reserve_exact(if top.is_empty() {
                    1
                } else {
                    top.len().min(self.spec.count - top.len())
                });
            }
            top.insert(at, place);
        }
        Ok(())
    }

    /// Gives what the epoch changed, and lets go of the rows that are not among the first.
    fn settle(&mut self) -> Result<Option<ChangeBatch>> {
        let touched = std::mem::take(&mut self.touched);
        let mut changes = Changes::default();
        for (key, old) in &touched {
            self.is_touched[*key as usize] = false;
            let new = &self.tops[*key as usize];
            if self.spec.numbered {
                changes.by_number(old, new);
            } else {
                changes.by_row(old, new);
            }
        }
        let changelog = match self.spec.at_end || changes.places.is_empty() {
            true => None,
            false => Some(self.changelog(changes)?),
        };
        let survivors = self.rows.settle(&mut self.tops, touched.iter().map(|(key, _)| *key), self.kept)?;
        if let Some(rows) = survivors {
            self.recorded.keep(&rows, Watermark::NONE);
        }
        Ok(changelog)
    }

    fn changelog(&self, changes: Changes) -> Result<ChangeBatch> {
        let rows = self.rows.gather(&changes.places)?;
        let rows = self.numbered(&rows, changes.numbers)?;
        let only_inserts = changes.weights.iter().all(|&weight| weight > 0);
        ChangeBatch::try_new(rows, (!only_inserts).then(|| Int8Array::from(changes.weights)))
    }

    fn numbered(&self, rows: &RecordBatch, numbers: Vec<u64>) -> Result<RecordBatch> {
        let carried = self.spec.output.fields().len() - 1;
        let mut columns = rows.columns()[..carried].to_vec();
        columns.push(Arc::new(UInt64Array::from(numbers)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }

    /// Gives the first rows of every key.
    fn answer(&mut self) -> Result<Option<ChangeBatch>> {
        let mut changes = Changes::default();
        for top in std::mem::take(&mut self.tops) {
            changes.by_number(&[], &top);
        }
        match changes.places.is_empty() {
            true => Ok(None),
            false => Ok(Some(self.changelog(changes)?)),
        }
    }
}

/// Rows that come and go, with their numbers.
#[derive(Default)]
struct Changes {
    places: Vec<Place>,
    numbers: Vec<u64>,
    weights: Vec<i8>,
}

impl Changes {
    fn push(&mut self, place: Place, number: usize, weight: i8) {
        self.places.push(place);
        self.numbers.push(number as u64 + 1);
        self.weights.push(weight);
    }

    /// A row is another where its number is.
    fn by_number(&mut self, old: &[Place], new: &[Place]) {
        for number in 0..old.len().max(new.len()) {
            let (before, after) = (old.get(number), new.get(number));
            if before == after {
                continue;
            }
            before.into_iter().for_each(|&place| self.push(place, number, -1));
            after.into_iter().for_each(|&place| self.push(place, number, 1));
        }
    }

    /// A row is the same wherever it stands.
    fn by_row(&mut self, old: &[Place], new: &[Place]) {
        for (number, &place) in old.iter().enumerate().filter(|(_, place)| !new.contains(place)) {
            self.push(place, number, -1);
        }
        for (number, &place) in new.iter().enumerate().filter(|(_, place)| !old.contains(place)) {
            self.push(place, number, 1);
        }
    }
}

impl Operator for TopRows {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.weights().is_some() {
            return Err(Error::internal("the first rows of a changelog"));
        }
        if change.num_rows() > 0 {
            self.take_in(change.rows())?;
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        let mut out: Vec<ChangeBatch> = self.settle()?.into_iter().collect();
        if self.spec.at_end && watermark == Watermark::END {
            out.extend(self.answer()?);
        }
        Ok(out)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        Ok(self.recorded.take())
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        if delta.rows.num_rows() > 0 {
            self.take_in(&delta.rows)?;
            // What these rows changed came out before the snapshot, and is in it.
            let recorded = std::mem::replace(&mut self.recorded, DeltaLog::new(false));
            self.settle()?;
            self.recorded = recorded;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let tops = self.tops.iter().map(|top| top.capacity() * size_of::<Place>()).sum::<usize>();
        self.keys.bytes() + self.rows.bytes() + tops + self.tops.capacity() * size_of::<Vec<Place>>()
    }
}
