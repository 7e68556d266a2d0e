//! [`StatementConnector`]: what one statement does to a table, all of it at once or nothing.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int8Array, RecordBatch};
use arrow::compute::kernels::cmp::neq;
use arrow::compute::{cast, concat_batches, filter, filter_record_batch};
use arrow::datatypes::{DataType, Int8Type, Schema};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;

use super::merging::CHANGE;
use crate::connect::{ChangelogForm, Sink, SinkConnector, WriteRequest, Written};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// The input of a table as a statement writes it that runs once.
#[derive(Debug)]
pub(super) struct StatementConnector {
    /// The name of the table.
    pub(super) table: String,
    /// Where its rows come in.
    pub(super) input: Arc<dyn SinkConnector>,
    /// The columns that may not be NULL.
    pub(super) required: Vec<usize>,
    /// What becomes of the rows.
    pub(super) does: StatementDoes,
    /// The ordinals of the key's columns.
    pub(super) key: Vec<usize>,
}

/// What a statement does with the rows that its query gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatementDoes {
    /// They take the places of those with their keys, the last of several with one key.
    Put,
    /// They are taken out.
    Delete,
    /// What their last column says, [`CHANGE`]; several with one key are an error, or the first of them is taken.
    Merge {
        /// Whether it is.
        keeps_first: bool,
    },
}

impl SinkConnector for StatementConnector {
    fn describe(&self) -> String {
        format!("table `{}`", self.table)
    }

    fn changelog_form(&self) -> ChangelogForm {
        self.input.changelog_form()
    }

    fn guarantee(&self) -> &'static str {
        "in memory"
    }

    fn open(&self, request: &WriteRequest) -> Result<Box<dyn Sink>> {
        let mut fields = request.schema.fields().to_vec();
        fields.retain(|field| field.name() != CHANGE);
        let request = WriteRequest { schema: Arc::new(Schema::new(fields)), ..request.clone() };
        Ok(Box::new(StatementSink {
            table: self.table.clone(),
            input: self.input.open(&request)?,
            required: self.required.clone(),
            does: self.does,
            key: self.key.clone(),
            rows: vec![],
            weights: vec![],
            written: Written::default(),
        }))
    }
}

/// Collects the rows of a statement until it has come to its end.
struct StatementSink {
    table: String,
    input: Box<dyn Sink>,
    required: Vec<usize>,
    does: StatementDoes,
    key: Vec<usize>,
    rows: Vec<RecordBatch>,
    /// The weight of each row.
    weights: Vec<i8>,
    written: Written,
}

impl StatementSink {
    fn check(&self, rows: &RecordBatch) -> Result<()> {
        match self.required.iter().find(|&&column| rows.column(column).logical_null_count() > 0) {
            Some(&column) => {
                let schema = rows.schema();
                let name = schema.field(column).name();
                Err(Error::data(format!(
                    "column `{name}` of table `{}` is NULL, and is declared NOT NULL or a key",
                    self.table
                ))
                .with_hint(format!("give each row a `{name}`; nothing of the statement was done")))
            }
            None => Ok(()),
        }
    }

    /// Takes the column off that says what becomes of each row, and the rows of which nothing becomes.
    fn split(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let StatementDoes::Merge { .. } = self.does else {
            let weight = if self.does == StatementDoes::Delete { -1 } else { 1 };
            self.weights.resize(self.weights.len() + rows.num_rows(), weight);
            return Ok(rows.clone());
        };
        let ordinal = rows.schema().index_of(CHANGE)?;
        let changes = cast(rows.column(ordinal), &DataType::Int8)?;
        let zero = Int8Array::new_scalar(0);
        let rows = filter_record_batch(rows, &neq(&changes, &zero)?)?;
        let changes = cast(rows.column(ordinal), &DataType::Int8)?;
        self.weights.extend_from_slice(changes.as_primitive::<Int8Type>().values());
        let rest: Vec<usize> = (0..rows.num_columns()).filter(|&column| column != ordinal).collect();
        Ok(rows.project(&rest)?)
    }

    /// Returns the rows with a key of their own; of several with one key the first, or an error.
    fn one_by_key(&self, rows: RecordBatch, keeps_first: bool) -> Result<ChangeBatch> {
        let columns: Vec<_> = self.key.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let keys = RowConverter::new(fields)?.convert_columns(&columns)?;
        let mut seen = HashSet::new();
        let first: Vec<bool> = keys.iter().map(|key| seen.insert(key)).collect();
        if let Some(twice) = first.iter().position(|first| !first).filter(|_| !keeps_first) {
            let values = columns.iter().map(|column| array_value_to_string(column, twice));
            let values = values.collect::<std::result::Result<Vec<_>, _>>()?.join(", ");
            return Err(Error::data(format!(
                "the statement does something twice with the row of key ({values}) of table `{}`",
                self.table
            ))
            .with_hint(
                "let each row of the table meet one row of the source; nothing of the statement was done",
            ));
        }
        let first = BooleanArray::from(first);
        let weights = filter(&Int8Array::from(self.weights.clone()), &first)?;
        let weights = weights.as_primitive::<Int8Type>().clone();
        ChangeBatch::try_new(filter_record_batch(&rows, &first)?, Some(weights))
    }
}

impl Sink for StatementSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        let rows = self.split(changes.rows())?;
        self.check(&rows)?;
        self.written.rows += rows.num_rows() as u64;
        self.rows.push(rows);
        Ok(())
    }

    fn advance(&mut self, watermark: Watermark) -> Result<()> {
        if watermark == Watermark::END
            && let Some(first) = self.rows.first()
        {
            let rows = concat_batches(&first.schema(), &self.rows)?;
            let changes = match self.does {
                StatementDoes::Merge { keeps_first } => self.one_by_key(rows, keeps_first)?,
                StatementDoes::Put => ChangeBatch::inserts(rows),
                StatementDoes::Delete => {
                    ChangeBatch::try_new(rows, Some(Int8Array::from(self.weights.clone())))?
                }
            };
            self.input.write(&changes)?;
            self.rows.clear();
        }
        self.input.advance(watermark)
    }

    fn caught_up(&mut self) {
        self.input.caught_up();
    }

    fn flush(&mut self) -> Result<()> {
        self.input.flush()
    }

    fn finish(&mut self) -> Result<()> {
        self.input.finish()
    }

    fn written(&self) -> Written {
        self.written
    }
}
