//! [`WaitingLookup`]: a lookup in which rows that find nothing wait for a while, and are looked up again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};

use super::lookup::Lookup;
use super::snapshot::TableSnapshot;
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Misses, Operator, StateDelta, Tally};
use crate::time::Watermark;

/// How rows that find nothing are looked up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRule {
    /// How often, at most.
    pub most_tries: u32,
    /// How long after the last try, in milliseconds of the clock.
    pub delay_ms: i64,
    /// How many rows may wait.
    pub most_rows: usize,
}

impl RetryRule {
    /// Returns for how long a row waits at most, in milliseconds.
    pub fn patience_ms(&self) -> i64 {
        self.delay_ms.saturating_mul(i64::from(self.most_tries))
    }
}

/// Rows that came together and found nothing.
struct Cohort {
    rows: RecordBatch,
    arrived_ms: i64,
    next_ms: i64,
    /// The watermark before they came: they are not behind it.
    mark: Watermark,
}

/// Looks rows up in a table; those that find nothing wait, and those of the same key that come after them.
///
/// What becomes of a row that has waited for long enough is what the lookup does with a row that finds nothing. When the
/// input ends nothing is waited for.
pub struct WaitingLookup {
    name: String,
    lookup: Lookup,
    rule: RetryRule,
    input: SchemaRef,
    cohorts: Vec<Cohort>,
    /// The keys of the rows that wait.
    keys: HashSet<OwnedRow>,
    converter: RowConverter,
    watermark: Watermark,
    misses: Misses,
    recorded: DeltaLog,
}

/// The columns of a delta behind those of the rows: when they came, the watermark before, and whether they left.
const ARRIVED: &str = "__arrived";
const MARK: &str = "__mark";
const LEFT: &str = "__left";

impl WaitingLookup {
    /// Creates the operator for rows with the columns of `input`; `record` says whether deltas will be asked for.
    pub fn try_new(
        name: String,
        lookup: Lookup,
        rule: RetryRule,
        input: SchemaRef,
        record: bool,
    ) -> Result<Self> {
        let none = RecordBatch::new_empty(Arc::clone(&input));
        let fields = lookup.keys(&none)?.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        Ok(Self {
            name,
            lookup,
            rule,
            input,
            cohorts: vec![],
            keys: HashSet::new(),
            converter: RowConverter::new(fields)?,
            watermark: Watermark::NONE,
            misses: Misses::default(),
            recorded: DeltaLog::new(record),
        })
    }

    /// Returns the keys of rows, and which rows have one: a NULL never finds anything.
    fn keys_of(&self, rows: &RecordBatch) -> Result<(Rows, Vec<bool>)> {
        let columns: Vec<ArrayRef> = self.lookup.keys(rows)?;
        let whole = (0..rows.num_rows()).map(|row| columns.iter().all(|column| column.is_valid(row)));
        let whole = whole.collect();
        Ok((self.converter.convert_columns(&columns)?, whole))
    }

    fn waiting(&self) -> usize {
        self.cohorts.iter().map(|cohort| cohort.rows.num_rows()).sum()
    }

    /// Looks everything up again that waits, at `now_ms`, and returns the rows that need not wait any more, in the order in
    /// which they came; `ended` lets nothing wait.
    fn release(&mut self, now_ms: i64, ended: bool) -> Result<Vec<ChangeBatch>> {
        let table = self.lookup.table()?;
        let cohorts = std::mem::take(&mut self.cohorts);
        self.keys.clear();
        let mut released = vec![];
        for mut cohort in cohorts {
            let found = self.lookup.finds(&cohort.rows, &table)?;
            let over = ended || now_ms.saturating_sub(cohort.arrived_ms) >= self.rule.patience_ms();
            let (keys, _) = self.keys_of(&cohort.rows)?;
            let mut goes = Vec::with_capacity(found.len());
            for (row, key) in keys.iter().enumerate() {
                let key = key.owned();
                let go = (over || found.value(row)) && !self.keys.contains(&key);
                if !go {
                    self.keys.insert(key);
                }
                goes.push(go);
            }
            let goes = BooleanArray::from(goes);
            if goes.true_count() > 0 {
                let gone = filter_record_batch(&cohort.rows, &goes)?;
                self.note(&gone, cohort.arrived_ms, cohort.mark, true)?;
                let alone = (0..found.len()).filter(|&row| goes.value(row) && !found.value(row)).count();
                self.misses.given_up += alone as u64;
                released.push(gone);
                cohort.rows = filter_record_batch(&cohort.rows, &arrow::compute::not(&goes)?)?;
            }
            if cohort.next_ms <= now_ms {
                cohort.next_ms = now_ms.saturating_add(self.rule.delay_ms);
            }
            if cohort.rows.num_rows() > 0 {
                self.cohorts.push(cohort);
            }
        }
        match released.is_empty() {
            true => Ok(vec![]),
            false => self.give(concat_batches(&self.input, &released)?, &table),
        }
    }

    /// Gives rows with what the lookup finds for them in `table`.
    fn give(&mut self, rows: RecordBatch, table: &TableSnapshot) -> Result<Vec<ChangeBatch>> {
        let mut tally = Tally::default();
        let given = self.lookup.look_up(&ChangeBatch::inserts(rows), table, &mut tally)?;
        tally.missing.into_values().for_each(|misses| self.misses.add(misses));
        Ok(if given.num_rows() > 0 { vec![given] } else { vec![] })
    }

    fn note(&mut self, rows: &RecordBatch, arrived_ms: i64, mark: Watermark, left: bool) -> Result<()> {
        if !self.recorded.is_kept() {
            return Ok(());
        }
        let count = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(vec![arrived_ms; count])));
        columns.push(Arc::new(Int64Array::from(vec![mark.millis(); count])));
        columns.push(Arc::new(BooleanArray::from(vec![left; count])));
        let rows = RecordBatch::try_new(self.state_schema(), columns)?;
        self.recorded.keep(&rows, self.watermark);
        Ok(())
    }

    fn state_schema(&self) -> SchemaRef {
        let own = [(ARRIVED, DataType::Int64), (MARK, DataType::Int64), (LEFT, DataType::Boolean)];
        let own = own.map(|(name, data_type)| Arc::new(Field::new(name, data_type, false)));
        Arc::new(Schema::new(self.input.fields().iter().cloned().chain(own).collect::<Vec<_>>()))
    }

    /// Lets rows wait from `arrived_ms` on.
    fn hold(&mut self, rows: RecordBatch, arrived_ms: i64, mark: Watermark) -> Result<()> {
        let (keys, _) = self.keys_of(&rows)?;
        self.keys.extend(keys.iter().map(|key| key.owned()));
        let next_ms = arrived_ms.saturating_add(self.rule.delay_ms);
        self.cohorts.push(Cohort { rows, arrived_ms, next_ms, mark });
        Ok(())
    }

    /// Takes the first row that waits of each of the keys of `rows` out again, once for each row.
    fn forget(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut gone: HashMap<OwnedRow, usize> = HashMap::new();
        for key in self.keys_of(rows)?.0.iter() {
            *gone.entry(key.owned()).or_default() += 1;
        }
        let cohorts = std::mem::take(&mut self.cohorts);
        self.keys.clear();
        for mut cohort in cohorts {
            let (keys, _) = self.keys_of(&cohort.rows)?;
            let mut stays = Vec::with_capacity(cohort.rows.num_rows());
            for key in keys.iter() {
                let key = key.owned();
                let goes = gone.get_mut(&key).filter(|count| **count > 0).map(|count| *count -= 1).is_some();
                stays.push(!goes);
                if !goes {
                    self.keys.insert(key);
                }
            }
            cohort.rows = filter_record_batch(&cohort.rows, &BooleanArray::from(stays))?;
            if cohort.rows.num_rows() > 0 {
                self.cohorts.push(cohort);
            }
        }
        Ok(())
    }
}

impl Operator for WaitingLookup {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.weights().is_some() {
            return Err(Error::internal("rows of a changelog wait for a table"));
        }
        let rows = change.rows();
        let table = self.lookup.table()?;
        let found = self.lookup.finds(rows, &table)?;
        if found.true_count() == found.len() && self.cohorts.is_empty() {
            return self.give(rows.clone(), &table);
        }
        let (keys, whole) = self.keys_of(rows)?;
        let mut waits = Vec::with_capacity(found.len());
        for (row, key) in keys.iter().enumerate() {
            // Behind a row of its key that waits a row waits too, so that they come out in the order in which they came.
            let key = key.owned();
            let wait = whole[row] && (!found.value(row) || self.keys.contains(&key));
            if wait {
                self.keys.insert(key);
            }
            waits.push(wait);
        }
        let waits = BooleanArray::from(waits);
        if waits.true_count() > 0 {
            let held = filter_record_batch(rows, &waits)?;
            self.note(&held, epoch.now_ms, self.watermark, false)?;
            self.hold(held, epoch.now_ms, self.watermark)?;
        }
        if self.waiting() > self.rule.most_rows {
            return Err(Error::exhausted(format!(
                "{} rows wait in `{}`, more than the {} that may",
                self.waiting(),
                self.name,
                self.rule.most_rows
            ))
            .with_hint("let more wait: '<table>.retry.max_rows', or let them wait for less long: '<table>.retry.max_attempts', '<table>.retry.delay'"));
        }
        self.give(filter_record_batch(rows, &arrow::compute::not(&waits)?)?, &table)
    }

    fn advance(&mut self, watermark: Watermark, epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        let ended = watermark == Watermark::END;
        let due = ended || self.is_due(Some(epoch.now_ms));
        let released = if due { self.release(epoch.now_ms, ended)? } else { vec![] };
        self.watermark.advance_to(watermark);
        Ok(released)
    }

    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        self.cohorts.iter().map(|cohort| cohort.mark).min().map_or(watermark, |mark| mark.min(watermark))
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        let schema = self.state_schema();
        self.recorded.take_at(self.watermark, || Ok(schema))
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.watermark.advance_to(delta.watermark);
        let own = self.input.fields().len();
        let rows = delta.rows.project(&(0..own).collect::<Vec<_>>())?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        // The rows of a delta came or left together.
        let first = |column: usize| delta.rows.column(column).as_primitive::<Int64Type>().value(0);
        match delta.rows.column(own + 2).as_boolean().value(0) {
            true => self.forget(&rows),
            false => self.hold(rows, first(own), Watermark::from_millis(first(own + 1))),
        }
    }

    fn bytes(&self) -> usize {
        self.cohorts.iter().map(|cohort| cohort.rows.get_array_memory_size()).sum()
    }

    fn expired(&self) -> u64 {
        self.misses.given_up
    }

    fn misses(&self) -> Option<(Arc<str>, Misses)> {
        self.lookup.counted_as().map(|table| (Arc::clone(table), self.misses))
    }

    fn rows(&self) -> Option<usize> {
        Some(self.waiting())
    }

    fn is_due(&self, now_ms: Option<i64>) -> bool {
        now_ms.is_some_and(|now| self.cohorts.iter().any(|cohort| cohort.next_ms <= now))
    }
}
