//! [`NetRows`]: the rows that a changelog has come to.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::flow::ChangeBatch;

/// About how many bytes a row takes beside its own.
const ROW_BYTES: usize = 48;
/// How many rows a batch of the answer has at most.
const BATCH_ROWS: usize = 8_192;

/// A row as bytes, when it came first, and how often it is there.
type Counted = (Box<[u8]>, (u64, i64));

/// Rows that come and go: what is left of them, each with how often it is there.
///
/// Changes may be applied in any order; a row whose changes cancel out takes no place.
#[derive(Debug)]
pub struct NetRows {
    schema: SchemaRef,
    converter: RowConverter,
    /// For each row, as bytes, when it came first and how often it is there.
    rows: HashMap<Box<[u8]>, (u64, i64)>,
    came: u64,
    bytes: usize,
}

impl NetRows {
    /// Creates an empty store of rows of `schema`.
    ///
    /// # Errors
    /// Not yet available: a column whose values cannot be told apart by their bytes.
    pub fn try_new(schema: SchemaRef) -> Result<Self> {
        let field = |field: &arrow::datatypes::FieldRef| SortField::new(field.data_type().clone());
        for field in schema.fields() {
            if !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]) {
                return Err(Error::not_yet(format!(
                    "the final rows of a changelog with column `{}`",
                    field.name()
                ))
                .with_hint("leave the column out"));
            }
        }
        let converter = RowConverter::new(schema.fields().iter().map(field).collect())?;
        Ok(Self { schema, converter, rows: HashMap::new(), came: 0, bytes: 0 })
    }

    /// Takes changes in.
    pub fn apply(&mut self, change: &ChangeBatch) -> Result<()> {
        let weight = |row: usize| change.weights().map_or(1, |weights| i64::from(weights.value(row)));
        if self.schema.fields().is_empty() {
            (0..change.num_rows()).for_each(|row| self.add(&[], weight(row)));
            return Ok(());
        }
        let rows = self.converter.convert_columns(change.rows().columns())?;
        for (row, bytes) in rows.iter().enumerate() {
            self.add(bytes.data(), weight(row));
        }
        Ok(())
    }

    fn add(&mut self, bytes: &[u8], weight: i64) {
        use hashbrown::hash_map::RawEntryMut;
        match self.rows.raw_entry_mut().from_key(bytes) {
            RawEntryMut::Occupied(mut row) => {
                row.get_mut().1 += weight;
                if row.get().1 == 0 {
                    row.remove();
                    self.bytes -= bytes.len() + ROW_BYTES;
                }
            }
            RawEntryMut::Vacant(place) => {
                place.insert(bytes.into(), (self.came, weight));
                self.came += 1;
                self.bytes += bytes.len() + ROW_BYTES;
            }
        }
    }

    /// Returns the rows, in the order in which they came to be there, and leaves none.
    ///
    /// # Errors
    /// Internal: a row was withdrawn more often than it came.
    pub fn take(&mut self) -> Result<Vec<RecordBatch>> {
        let mut rows: Vec<Counted> = self.rows.drain().collect();
        self.bytes = 0;
        rows.sort_unstable_by_key(|(_, (came, _))| *came);
        let mut each: Vec<&[u8]> = vec![];
        for (bytes, (_, times)) in &rows {
            let times = usize::try_from(*times).map_err(|_| {
                Error::internal("a changelog withdrew a row that it had not given")
                    .with_hint("this is a bug of Velostream: please report it")
            })?;
            each.extend(std::iter::repeat_n(&**bytes, times));
        }
        each.chunks(BATCH_ROWS).map(|rows| self.batch(rows)).collect()
    }

    fn batch(&self, rows: &[&[u8]]) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let mut columns: Vec<ArrayRef> = vec![];
        if !self.schema.fields().is_empty() {
            let parser = self.converter.parser();
            let decoded = self.converter.convert_rows(rows.iter().map(|bytes| parser.parse(bytes)))?;
            for (column, field) in decoded.into_iter().zip(self.schema.fields()) {
                // Bytes do not say that a value came from a dictionary.
                let same = column.data_type() == field.data_type();
                columns.push(if same { column } else { cast(&column, field.data_type())? });
            }
        }
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Returns about how many bytes the rows take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
