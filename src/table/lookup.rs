//! [`Lookup`]: a step in which each row finds its partners in a table.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{prep_null_mask_filter, take, take_record_batch};
use arrow::datatypes::{Int8Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;

use super::matches::Matches;
use super::snapshot::{IndexId, TableSnapshot};
use super::table::Table;
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, Step, Tally};

/// How many pairs a condition looks at together where each row meets all rows.
const MOST_PAIRS: usize = 262_144;

/// What rows are looked up in.
pub trait LookedUp: fmt::Debug + Send + Sync {
    /// Returns the rows as they are now.
    fn rows(&self) -> Result<Arc<TableSnapshot>>;
}

impl LookedUp for Table {
    fn rows(&self) -> Result<Arc<TableSnapshot>> {
        Ok(self.snapshot())
    }
}

/// How rows are looked up, compiled once for each worker.
#[derive(Debug, Clone)]
pub struct LookupSpec {
    /// What `EXPLAIN` shows.
    pub name: String,
    /// Which rows come: `Inner`, `Left`, `LeftSemi`, `LeftAnti` or `LeftMark`; the left side is the rows that look.
    pub kind: JoinType,
    /// What they look in.
    pub side: Arc<dyn LookedUp>,
    /// The index that they are found by; none where each row meets all rows.
    pub index: Option<IndexId>,
    /// What each row looks for, one expression for each column of the index.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The columns of the table that follow the row's own in a pair; the one after the table's last is true.
    pub columns: Vec<usize>,
    /// How many of them are in the result.
    pub given: usize,
    /// What else is true of a pair.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of a pair.
    pub pair: SchemaRef,
    /// The result.
    pub output: SchemaRef,
    /// For `NOT IN`: the key column, where a NULL anywhere means that nothing is known not to be in it.
    pub null_aware: Option<usize>,
    /// The table by the name that rows without a partner are counted under.
    pub table: Option<Arc<str>>,
    /// Whether a row without a partner is an error.
    pub must_find: bool,
}

/// Finds the partners of each row in a table.
#[derive(Debug)]
pub struct Lookup {
    spec: LookupSpec,
}

impl Lookup {
    /// Creates the step.
    pub fn new(spec: LookupSpec) -> Self {
        Self { spec }
    }

    /// Finds the rows for which the condition holds.
    fn matches(&self, rows: &RecordBatch, table: &TableSnapshot) -> Result<Matches> {
        if let Some(index) = self.spec.index {
            return self.check(rows, table, table.lookup(index, &self.keys(rows)?)?);
        }
        // Each row meets all rows, few at a time.
        let (count, together) = (rows.num_rows(), (MOST_PAIRS / table.num_rows().max(1)).max(1));
        if self.spec.condition.is_none() || count <= together {
            return self.check(rows, table, table.all_for(count)?);
        }
        let mut found = vec![];
        for start in (0..count).step_by(together) {
            let some = rows.slice(start, together.min(count - start));
            found.push((start, self.check(&some, table, table.all_for(some.num_rows())?)?));
        }
        Ok(Matches::together(found))
    }

    /// Returns the table by the name that rows without a partner are counted under.
    pub(super) fn counted_as(&self) -> Option<&Arc<str>> {
        self.spec.table.as_ref()
    }

    /// Returns the rows of the table as they are now.
    pub(super) fn table(&self) -> Result<Arc<TableSnapshot>> {
        self.spec.side.rows()
    }

    /// Returns which rows have a partner in `table`.
    pub(super) fn finds(&self, rows: &RecordBatch, table: &TableSnapshot) -> Result<BooleanArray> {
        self.found(rows, table, &self.matches(rows, table)?)
    }

    /// Returns what each row looks for, one array for each column of the index.
    pub(super) fn keys(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let keys = self.spec.keys.iter();
        keys.map(|key| Ok(key.evaluate(rows)?.into_array(rows.num_rows())?)).collect()
    }

    /// Leaves the matches for which the condition holds.
    fn check(&self, rows: &RecordBatch, table: &TableSnapshot, matches: Matches) -> Result<Matches> {
        let Some(condition) = self.spec.condition.as_ref().filter(|_| !matches.is_empty()) else {
            return Ok(matches);
        };
        let own = take_record_batch(rows, matches.probe())?;
        let pairs = self.beside(&own, table.take(&matches, &self.spec.columns)?, &self.spec.pair)?;
        let mask = condition.evaluate(&pairs)?.into_array(pairs.num_rows())?;
        let Some(mask) = mask.as_boolean_opt() else {
            return Err(Error::internal(format!("condition {condition} is not a boolean")));
        };
        if mask.true_count() == mask.len() {
            return Ok(matches);
        }
        let mask = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
        matches.filter(&mask)
    }

    fn beside(&self, own: &RecordBatch, theirs: Vec<ArrayRef>, schema: &SchemaRef) -> Result<RecordBatch> {
        let mut columns = own.columns().to_vec();
        columns.extend(theirs);
        let options = RecordBatchOptions::new().with_row_count(Some(own.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    /// Returns which rows have a partner.
    fn found(&self, rows: &RecordBatch, table: &TableSnapshot, matches: &Matches) -> Result<BooleanArray> {
        let mut found = vec![false; rows.num_rows()];
        for &row in matches.probe().values() {
            found[row as usize] = true;
        }
        if let Some(column) = self.spec.null_aware.filter(|_| table.num_rows() > 0) {
            let nulls = |batch: Result<RecordBatch>| Ok(batch?.column(0).null_count() > 0);
            let unknown = table.scan(Some(&[column])).map(nulls).collect::<Result<Vec<bool>>>()?;
            let unknown = unknown.contains(&true);
            for key in self.keys(rows)? {
                for (row, found) in found.iter_mut().enumerate() {
                    *found |= unknown || key.is_null(row);
                }
            }
        }
        Ok(BooleanArray::from(found))
    }

    fn count_missing(&self, rows: &RecordBatch, found: &BooleanArray, tally: &mut Tally) -> Result<()> {
        let missing = (found.len() - found.true_count()) as u64;
        let Some(table) = self.spec.table.as_ref().filter(|_| missing > 0) else { return Ok(()) };
        if self.spec.must_find {
            let row = (0..found.len()).find(|&row| !found.value(row)).unwrap_or(0);
            let keys = self.keys(&rows.slice(row, 1))?;
            let options = FormatOptions::default().with_null("NULL");
            let shown = |key: &ArrayRef| Ok(ArrayFormatter::try_new(key, &options)?.value(0).to_string());
            let shown = keys.iter().map(shown).collect::<Result<Vec<_>>>()?.join(", ");
            return Err(Error::data(format!("table `{table}` has no row for {shown}")));
        }
        tally.missing.entry(Arc::clone(table)).or_default().rows += missing;
        Ok(())
    }

    fn pairs(&self, batch: &ChangeBatch, table: &TableSnapshot, matches: &Matches) -> Result<ChangeBatch> {
        let theirs = table.take(matches, &self.spec.columns[..self.spec.given])?;
        let probe = matches.probe();
        // Most lookups find one row for each: nothing has to be copied then.
        if probe.len() == batch.num_rows() && probe.values().iter().zip(0..).all(|(&row, at)| row == at) {
            let rows = self.beside(batch.rows(), theirs, &self.spec.output)?;
            return batch.clone().with_rows(rows);
        }
        let own = take_record_batch(batch.rows(), probe)?;
        let weights = batch.weights().map(|weights| take(weights, probe, None)).transpose()?;
        let weights = weights.map(|weights| weights.as_primitive::<Int8Type>().clone());
        ChangeBatch::try_new(self.beside(&own, theirs, &self.spec.output)?, weights)
    }
}

impl Step for Lookup {
    fn describe(&self) -> String {
        self.spec.name.clone()
    }

    fn run(&mut self, batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch> {
        let table = self.table()?;
        self.look_up(&batch, &table, tally)
    }
}

impl Lookup {
    /// Finds the partners of rows in `table`.
    pub(super) fn look_up(
        &self,
        batch: &ChangeBatch,
        table: &TableSnapshot,
        tally: &mut Tally,
    ) -> Result<ChangeBatch> {
        let rows = batch.rows();
        let matches = self.matches(rows, table)?;
        let found = self.found(rows, table, &matches)?;
        self.count_missing(rows, &found, tally)?;
        let (before, lost) = (rows.num_rows(), found.len() - found.true_count());
        match self.spec.kind {
            JoinType::Inner | JoinType::Left => {
                let left = self.spec.kind == JoinType::Left;
                let matches = if left && lost > 0 { matches.with_missing(before) } else { matches };
                let joined = self.pairs(batch, table, &matches)?;
                let lost = if left { 0 } else { lost };
                tally.filtered += lost as u64;
                let kept = i64::try_from(before - lost).unwrap_or(i64::MAX);
                tally.expanded += i64::try_from(joined.num_rows()).unwrap_or(i64::MAX) - kept;
                if let Some(late_rows) = &mut tally.late_rows {
                    late_rows.remade();
                }
                Ok(joined)
            }
            JoinType::LeftSemi | JoinType::LeftAnti => {
                let keep = match self.spec.kind {
                    JoinType::LeftSemi => found,
                    _ => found.iter().map(|found| found.map(|found| !found)).collect(),
                };
                tally.filtered += (keep.len() - keep.true_count()) as u64;
                if let Some(late_rows) = &mut tally.late_rows {
                    late_rows.kept(&keep);
                }
                batch.filter(&keep)
            }
            JoinType::LeftMark => {
                let rows = self.beside(rows, vec![Arc::new(found)], &self.spec.output)?;
                batch.clone().with_rows(rows)
            }
            other => Err(Error::internal(format!("a {other} join cannot look rows up"))),
        }
    }
}
