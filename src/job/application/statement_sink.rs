//! [`StatementConnector`]: what one statement does to a table, all of it at once or nothing.

use std::sync::Arc;

use arrow::array::{Int8Array, RecordBatch};
use arrow::compute::concat_batches;

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
    /// Whether the rows are to go.
    pub(super) deletes: bool,
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
        Ok(Box::new(StatementSink {
            table: self.table.clone(),
            input: self.input.open(request)?,
            required: self.required.clone(),
            deletes: self.deletes,
            rows: vec![],
            written: Written::default(),
        }))
    }
}

/// Collects the rows of a statement until it has come to its end.
struct StatementSink {
    table: String,
    input: Box<dyn Sink>,
    required: Vec<usize>,
    deletes: bool,
    rows: Vec<RecordBatch>,
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
}

impl Sink for StatementSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.check(changes.rows())?;
        self.written.rows += changes.num_rows() as u64;
        self.rows.push(changes.rows().clone());
        Ok(())
    }

    fn advance(&mut self, watermark: Watermark) -> Result<()> {
        if watermark == Watermark::END
            && let Some(first) = self.rows.first()
        {
            let rows = concat_batches(&first.schema(), &self.rows)?;
            let weights = self.deletes.then(|| Int8Array::from(vec![-1; rows.num_rows()]));
            self.input.write(&ChangeBatch::try_new(rows, weights)?)?;
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
