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

/// How rows are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// `ROW_NUMBER`: each row has a number of its own.
    Rows,
    /// `RANK`: rows that the order leaves equal have one number, and leave a gap behind them.
    Rank,
    /// `DENSE_RANK`: rows that the order leaves equal have one number, and leave no gap.
    DenseRank,
}

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
    /// What settles the order where the query leaves rows equal: ordinals of columns; none where equal rows have one
    /// number.
    pub ties: Vec<usize>,
    /// How rows are numbered.
    pub numbering: Numbering,
    /// The highest number of a row that is kept.
    pub count: usize,
    /// Whether anybody reads the rows' numbers: a row that only moves is then a change.
    pub numbered: bool,
    /// Whether there is one answer at the end of the input.
    pub at_end: bool,
    /// What `EXPLAIN` shows of key and order.
    pub description: String,
}

/// Keeps the first rows of each key, and gives what each epoch changed of them.
///
/// Rows with one rank are kept together, however many they are.
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
            let at = top.partition_point(|&other| self.rows.rank(other) <= rank);
            if at == top.len() && self.spec.numbering.next(top, &self.rows, rank) > self.spec.count {
                continue;
            }
            if !std::mem::replace(&mut self.is_touched[key], true) {
                self.touched.push((u32::try_from(key).unwrap_or(u32::MAX), top.clone()));
            }
            let full = self.spec.numbering == Numbering::Rows && top.len() == self.spec.count;
            if full {
                top.pop();
            }
            if top.len() == top.capacity() {
                let room = match self.spec.numbering {
                    Numbering::Rows => self.spec.count - top.len(),
                    Numbering::Rank | Numbering::DenseRank => usize::MAX,
                };
                top.reserve_exact(top.len().max(1).min(room));
            }
            top.insert(at, place);
            let length = top.len();
            self.spec.numbering.cut(top, &self.rows, self.spec.count);
            self.kept = self.kept + usize::from(!full) + top.len() - length;
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
            match (self.spec.numbering, self.spec.numbered) {
                (Numbering::Rows, true) => changes.by_number(old, new),
                (Numbering::Rows, false) => changes.by_row(old, new),
                (numbering, numbered) => changes.by_rank(old, new, &self.rows, numbering, numbered),
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
            match self.spec.numbering {
                Numbering::Rows => changes.by_number(&[], &top),
                numbering => changes.by_rank(&[], &top, &self.rows, numbering, true),
            }
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
        self.push_number(place, number as u64 + 1, weight);
    }

    fn push_number(&mut self, place: Place, number: u64, weight: i8) {
        self.places.push(place);
        self.numbers.push(number);
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

    /// Rows that are equal have one number, and come and go together; `numbered` says whether another number makes another
    /// row.
    fn by_rank(
        &mut self,
        old: &[Place],
        new: &[Place],
        rows: &RankedRows,
        numbering: Numbering,
        numbered: bool,
    ) {
        let (before, after) = (numbering.of(old, rows), numbering.of(new, rows));
        let (mut gone, mut come) = (0, 0);
        loop {
            match (old.get(gone), new.get(come)) {
                (None, None) => break,
                (Some(was), Some(is)) if was == is => {
                    if numbered && before[gone] != after[come] {
                        self.push_number(*was, before[gone], -1);
                        self.push_number(*is, after[come], 1);
                    }
                    (gone, come) = (gone + 1, come + 1);
                }
                // Of equal rows those that came later stand behind.
                (Some(was), is) if is.is_none_or(|&is| rows.rank(*was) <= rows.rank(is)) => {
                    self.push_number(*was, before[gone], -1);
                    gone += 1;
                }
                (_, Some(is)) => {
                    self.push_number(*is, after[come], 1);
                    come += 1;
                }
                (Some(_), None) => break,
            }
        }
    }
}

impl Numbering {
    /// Returns the number of a row behind all of `top`, which is in order.
    fn next(self, top: &[Place], rows: &RankedRows, rank: &[u8]) -> usize {
        let equals_last = || top.last().is_some_and(|&last| rows.rank(last) == rank);
        match self {
            Self::Rows => top.len() + 1,
            Self::Rank if equals_last() => start_of_last(top, rows) + 1,
            Self::Rank => top.len() + 1,
            Self::DenseRank => ends(top, rows).count() + usize::from(!equals_last()),
        }
    }

    /// Takes the rows out of `top` whose number is higher than `count`.
    fn cut(self, top: &mut Vec<Place>, rows: &RankedRows, count: usize) {
        let length = match self {
            Self::Rows => count,
            Self::Rank => match start_of_last(top, rows) {
                start if start >= count => start,
                _ => top.len(),
            },
            Self::DenseRank => ends(top, rows).nth(count.saturating_sub(1)).unwrap_or(top.len()),
        };
        top.truncate(length);
    }

    /// Returns the number of each row of `top`.
    fn of(self, top: &[Place], rows: &RankedRows) -> Vec<u64> {
        if self == Self::Rows {
            return (1..=top.len() as u64).collect();
        }
        let (mut numbers, mut start) = (Vec::with_capacity(top.len()), 0);
        for (group, end) in (1..).zip(ends(top, rows)) {
            let number = if self == Self::Rank { start as u64 + 1 } else { group };
            numbers.resize(end, number);
            start = end;
        }
        numbers
    }
}

/// Returns where the rows begin that are equal to the last.
fn start_of_last(top: &[Place], rows: &RankedRows) -> usize {
    let Some(&last) = top.last() else { return 0 };
    top.partition_point(|&other| rows.rank(other) < rows.rank(last))
}

/// Returns where each run of equal rows ends.
fn ends(top: &[Place], rows: &RankedRows) -> impl Iterator<Item = usize> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = rows.rank(*top.get(start)?);
        start += top[start..].partition_point(|&other| rows.rank(other) <= first);
        Some(start)
    })
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

    fn rows(&self) -> Option<usize> {
        Some(self.kept)
    }
}
