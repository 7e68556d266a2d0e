//! [`NexmarkGenerator`]: Nexmark's events as batches.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Schema};

use super::kind::NexmarkKind;
use super::model::{Chance, Model};
use crate::connect::dice::Throws;
use crate::connect::text_column::TextColumn;
use crate::error::{Error, Result};

/// Makes the events of Nexmark; the same seed and event number always make the same row.
///
/// ```
/// use velostream::connect::nexmark::{NexmarkGenerator, NexmarkKind};
///
/// let generator = NexmarkGenerator::try_new(7, 10_000, 1_767_225_600_000)?;
/// let bids = generator.batch(NexmarkKind::Bid, 0, 1_000, Some(&[0, 2]))?;
/// assert_eq!((bids.num_rows(), bids.num_columns()), (920, 2));
/// # Ok::<(), velostream::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NexmarkGenerator {
    model: Model,
}

impl NexmarkGenerator {
    /// Creates the events of `seed`: `events_per_second` of event time from `base_time_millis` (Unix epoch) on.
    ///
    /// Errors if there are no events per second.
    pub fn try_new(seed: u64, events_per_second: u64, base_time_millis: i64) -> Result<Self> {
        Ok(Self { model: Model::try_new(seed, events_per_second, base_time_millis)? })
    }

    /// Returns the rows of `kind` among the `n_events` events (of all kinds) from `first_event` on.
    ///
    /// `columns` are ordinals in [`NexmarkKind::schema`]; none means all. Errors if one does not exist, or a text
    /// column would exceed 2 GiB.
    pub fn batch(
        &self,
        kind: NexmarkKind,
        first_event: u64,
        n_events: u64,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let rows = kind.rows_below(first_event)..kind.rows_below(first_event.saturating_add(n_events));
        self.rows(kind, &rows.collect::<Vec<_>>(), columns)
    }

    /// Returns the given rows of `kind`, counted within the kind.
    pub(super) fn rows(
        &self,
        kind: NexmarkKind,
        rows: &[u64],
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let schema = match columns {
            Some(columns) => Arc::new(kind.schema().project(columns)?),
            None => kind.schema(),
        };
        let events: Vec<u64> = rows.iter().map(|row| kind.event(*row)).collect();
        let maker = Columns { model: &self.model, rows, events: &events };
        let arrays = match kind {
            NexmarkKind::Person => maker.all(&schema, Columns::person),
            NexmarkKind::Auction => maker.all(&schema, Columns::auction),
            NexmarkKind::Bid => maker.all(&schema, Columns::bid),
        }?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }
}

/// Makes single columns of a batch.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub(super) model: &'a Model,
    /// The ordinals within the kind.
    pub(super) rows: &'a [u64],
    /// The event numbers.
    pub(super) events: &'a [u64],
}

impl Columns<'_> {
    fn all(&self, schema: &Schema, column: fn(&Self, &str) -> Result<ArrayRef>) -> Result<Vec<ArrayRef>> {
        schema.fields().iter().map(|field| column(self, field.name())).collect()
    }

    /// Makes a column of ids that follow each other.
    pub(super) fn ids(&self) -> Result<ArrayRef> {
        let id = |row: &u64| i64::try_from(Model::id(*row)).unwrap_or(i64::MAX);
        Ok(Arc::new(self.rows.iter().map(id).collect::<Int64Array>()))
    }

    /// Makes a column of whole numbers.
    pub(super) fn numbers(
        &self,
        chance: Chance,
        number: impl Fn(&mut Throws, u64) -> u64,
    ) -> Result<ArrayRef> {
        let dice = self.model.dice(chance);
        let value = |event: &u64| i64::try_from(number(&mut dice.at(*event), *event)).unwrap_or(i64::MAX);
        Ok(Arc::new(Int64Array::from_iter_values(self.events.iter().map(value))))
    }

    /// Makes a column of prices.
    pub(super) fn prices(&self) -> Int64Array {
        let dice = self.model.dice(Chance::Price);
        self.events.iter().map(|event| Model::price(&mut dice.at(*event))).collect()
    }

    /// Makes the column of event times.
    pub(super) fn times(&self) -> TimestampMillisecondArray {
        let dice = self.model.dice(Chance::Lateness);
        let time = |event: &u64| self.model.time(&mut dice.at(*event), *event);
        TimestampMillisecondArray::from_iter_values(self.events.iter().map(time))
    }

    /// Makes a column of text of about `row_bytes`.
    pub(super) fn text(
        &self,
        chance: Chance,
        row_bytes: usize,
        write: impl Fn(&mut Throws, &mut Vec<u8>),
    ) -> Result<ArrayRef> {
        let dice = self.model.dice(chance);
        let mut column = TextColumn::with_capacity(self.events.len(), row_bytes);
        for event in self.events {
            column.row(|out| write(&mut dice.at(*event), out))?;
        }
        column.finish(None, &DataType::Utf8)
    }

    /// Makes the padding: letters, on average `mean`, a fifth more or less.
    pub(super) fn extra(&self, chance: Chance, mean: u64) -> Result<ArrayRef> {
        let spread = mean / 5;
        self.text(chance, usize::try_from(mean + spread).unwrap_or(0), |throws, out| {
            let count = mean - spread + throws.below(2 * spread + 1);
            throws.letters(out, usize::try_from(count).unwrap_or(0));
        })
    }

    /// Says that a schema names a column that its kind does not have.
    pub(super) fn unknown(column: &str) -> Error {
        Error::internal(format!("nexmark makes no column `{column}`"))
    }
}
