//! [`AsOfJoin`]: gives each row of a stream the version of a table's row that holds at its time.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, not, take, take_record_batch};
use arrow::row::{RowConverter, SortField};

use super::as_of_spec::AsOfSpec;
use super::chunks::RowId;
use super::pairs::Condition;
use super::versions::{Found, Versions};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, Pending, StateDelta, times_of};
use crate::time::Watermark;

/// Holds the rows of a stream until it is sure which version each takes, and gives them in the order of their time.
///
/// A row waits until the watermark has passed it, and where it takes a version after it, until the watermark has passed
/// that one too.
pub struct AsOfJoin {
    name: String,
    spec: Arc<AsOfSpec>,
    condition: Option<Condition>,
    pending: Pending,
    /// Rows that the watermark has passed and that have no version yet.
    unsure: Vec<RecordBatch>,
    /// The earliest time of these rows.
    unsure_since: Option<i64>,
    versions: Versions,
    order: RowConverter,
    watermark: Watermark,
    /// Whether deltas are being restored: nothing is given or forgotten before all of them are in.
    restoring: bool,
    recorded: DeltaLog,
}

impl AsOfJoin {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<AsOfSpec>, record: bool) -> Result<Self> {
        let order = std::iter::once(&spec.times[0]).chain(&spec.ties);
        let order = order.map(|&column| SortField::new(spec.inputs[0].field(column).data_type().clone()));
        let condition = spec.condition.as_ref().map(|condition| Condition::try_new(condition, &spec.output));
        Ok(Self {
            name,
            condition: condition.transpose()?,
            pending: Pending::new(Arc::clone(&spec.inputs[0]), spec.times[0], spec.times[0]),
            unsure: vec![],
            unsure_since: None,
            versions: Versions::try_new(Arc::clone(&spec))?,
            order: RowConverter::new(order.collect())?,
            watermark: Watermark::NONE,
            restoring: false,
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    /// Ends the restoring of deltas: what follows from them came out before they were taken.
    fn resume(&mut self) -> Result<()> {
        if std::mem::take(&mut self.restoring) {
            self.release()?;
        }
        Ok(())
    }

    fn take_in(&mut self, port: usize, change: &ChangeBatch) -> Result<()> {
        match port {
            0 => self.pending.push(change.rows().clone()),
            _ => self.versions.insert(change.rows(), change.weights()),
        }
    }

    /// Gives the rows whose version is sure, and forgets what no other row can reach.
    fn release(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = self.pending.take_before(self.watermark)?;
        if self.versions.have_passed(self.watermark) && !self.unsure.is_empty() {
            self.unsure.push(rows);
            rows = concat_batches(&self.spec.inputs[0], &self.unsure)?;
            self.unsure.clear();
            self.unsure_since = None;
        }
        let mut found = self.versions.find(&rows, self.watermark)?;
        let is_sure = BooleanArray::from_iter(found.iter().map(|found| Some(*found != Found::NotYet)));
        if is_sure.true_count() < is_sure.len() {
            let unsure = filter_record_batch(&rows, &not(&is_sure)?)?;
            let earliest = times_of(&unsure, self.spec.times[0])?.values().iter().min().copied();
            self.unsure_since = self.unsure_since.into_iter().chain(earliest).min();
            self.unsure.push(unsure);
            rows = filter_record_batch(&rows, &is_sure)?;
            found.retain(|found| *found != Found::NotYet);
        }
        let given = match rows.num_rows() {
            0 => None,
            _ => Some(self.give(&rows, &found)?),
        };
        self.versions.forget_before(self.held(self.watermark).millis())?;
        Ok(given)
    }

    /// Returns the earliest time of a row that can still come out, where the watermark is `watermark`.
    fn held(&self, watermark: Watermark) -> Watermark {
        self.unsure_since.map_or(watermark, |since| watermark.min(Watermark::from_millis(since)))
    }

    /// Puts rows beside the versions that were found for them, in the order of time.
    fn give(&self, rows: &RecordBatch, found: &[Found]) -> Result<RecordBatch> {
        let order = self.in_order(rows)?;
        let rows = take_record_batch(rows, &order)?;
        let mut ids: Vec<RowId> = vec![];
        let place = |id: RowId, ids: &mut Vec<RowId>| {
            ids.push(id);
            u32::try_from(ids.len() - 1).ok()
        };
        let places = order.values().iter().map(|&row| match found[row as usize] {
            Found::Version(id) => place(id, &mut ids),
            _ => None,
        });
        let mut places: Vec<Option<u32>> = places.collect();
        self.drop_untrue(&rows, &ids, &mut places)?;
        let rows = match self.spec.keeps_unmatched || places.iter().all(Option::is_some) {
            true => rows,
            false => {
                let matched = BooleanArray::from_iter(places.iter().map(|place| Some(place.is_some())));
                places.retain(Option::is_some);
                filter_record_batch(&rows, &matched)?
            }
        };
        let places = UInt32Array::from(places);
        let mut columns = rows.columns().to_vec();
        for (column, field) in self.spec.inputs[1].fields().iter().enumerate() {
            columns.push(match ids.is_empty() {
                true => new_null_array(field.data_type(), rows.num_rows()),
                false => take(&self.versions.gather(column, &ids)?, &places, None)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }

    /// Takes from rows the versions with which the condition is not true.
    fn drop_untrue(&self, rows: &RecordBatch, ids: &[RowId], places: &mut [Option<u32>]) -> Result<()> {
        let Some(condition) = self.condition.as_ref().filter(|_| !ids.is_empty()) else { return Ok(()) };
        let matched = (0_u32..).zip(places.iter()).filter_map(|(row, place)| place.is_some().then_some(row));
        let matched = UInt32Array::from_iter_values(matched);
        let width = self.spec.inputs[0].fields().len();
        let columns = condition.columns().iter().map(|&column| match column < width {
            true => Ok(take(rows.column(column), &matched, None)?),
            false => self.versions.gather(column - width, ids),
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let holds = condition.evaluate(columns, ids.len())?;
        for (&row, holds) in matched.values().iter().zip(holds.values()) {
            if !holds {
                places[row as usize] = None;
            }
        }
        Ok(())
    }

    /// Returns the rows in order: by time, then by what settles it; where nothing does, as they came.
    fn in_order(&self, rows: &RecordBatch) -> Result<UInt32Array> {
        let columns = std::iter::once(&self.spec.times[0]).chain(&self.spec.ties);
        let columns: Vec<ArrayRef> = columns.map(|&column| Arc::clone(rows.column(column))).collect();
        let encoded = self.order.convert_columns(&columns)?;
        let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap_or(u32::MAX)).collect();
        order.sort_by(|&a, &b| encoded.row(a as usize).cmp(&encoded.row(b as usize)));
        Ok(UInt32Array::from(order))
    }
}

impl Operator for AsOfJoin {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        self.resume()?;
        if change.num_rows() > 0 {
            match port {
                0 if change.weights().is_some() => {
                    return Err(Error::internal("an as-of join got a changelog"));
                }
                0 => self.recorded.keep(change.rows(), self.watermark),
                _ => self.recorded.keep_changes_of(port, change, self.watermark)?,
            }
            self.take_in(port, change)?;
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        self.resume()?;
        self.watermark.advance_to(watermark);
        let given = self.release()?;
        Ok(given.filter(|rows| rows.num_rows() > 0).map(ChangeBatch::inserts).into_iter().collect())
    }

    /// The event time of what comes out is that of the stream's row: those that wait for a version hold it back.
    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        self.held(watermark)
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || Ok(Arc::clone(&self.spec.inputs[0])))
    }

    /// Takes everything in again; what the watermark lets out of it then came out before.
    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.restoring = true;
        self.watermark.advance_to(delta.watermark);
        match delta.port {
            0 => self.take_in(0, &ChangeBatch::inserts(delta.rows.clone())),
            port => self.take_in(port, &ChangeBatch::of_weighted_rows(&delta.rows)?),
        }
    }

    fn bytes(&self) -> usize {
        let unsure = self.unsure.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        self.pending.bytes() + unsure + self.versions.bytes()
    }
}
