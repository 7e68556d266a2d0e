//! [`TableConnector`]: a table where a query reads it, and where the job that keeps it writes.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::connect::{
    ChangelogForm, ReadRequest, Sink, SinkConnector, Source, SourceConnector, WriteRequest, Written,
};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::format::Decoder;
use crate::job::TableLoad;
use crate::table::{Table, TableWriter};
use crate::time::{Clock, Watermark};

/// A table as one end of a query.
#[derive(Debug)]
pub(super) struct TableConnector {
    table: Arc<Table>,
    load: Option<Arc<TableLoad>>,
    then: Option<Arc<dyn SinkConnector>>,
}

impl TableConnector {
    /// Creates the table as a source, or as the sink of a job whose last operator keeps the rows: of what is left nobody
    /// wants anything.
    pub(super) fn of(table: &Arc<Table>) -> Self {
        Self { table: Arc::clone(table), load: None, then: None }
    }

    /// Creates the table as the sink of a job that runs once; its changes go on to `then`.
    pub(super) fn loaded_by(
        table: &Arc<Table>,
        load: &Arc<TableLoad>,
        then: Option<Arc<dyn SinkConnector>>,
    ) -> Self {
        Self { table: Arc::clone(table), load: Some(Arc::clone(load)), then }
    }
}

impl SourceConnector for TableConnector {
    fn describe(&self) -> String {
        format!("table `{}`", self.table.name())
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(self.table.schema()))
    }

    fn open(&self, _request: &ReadRequest) -> Result<Box<dyn Source>> {
        Err(Error::internal(format!("table `{}` was read as a stream", self.table.name())))
    }

    fn decoder(&self, _request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(None)
    }
}

impl SinkConnector for TableConnector {
    fn describe(&self) -> String {
        SourceConnector::describe(self)
    }

    fn changelog_form(&self) -> ChangelogForm {
        ChangelogForm::Upsert
    }

    fn guarantee(&self) -> &'static str {
        "in memory"
    }

    fn open(&self, request: &WriteRequest) -> Result<Box<dyn Sink>> {
        let Some(load) = &self.load else { return Ok(Box::new(Kept(Written::default()))) };
        Ok(Box::new(Loading {
            writer: self.table.writer()?,
            load: Arc::clone(load),
            then: self.then.as_ref().map(|then| then.open(request)).transpose()?,
            clock: Arc::clone(&request.clock),
            written: Written::default(),
        }))
    }
}

/// What comes out behind a table that the job's last operator keeps.
struct Kept(Written);

impl Sink for Kept {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.0.rows += changes.num_rows() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn written(&self) -> Written {
        self.0
    }
}

/// Fills a table with a result that comes once, and shows it when it is whole.
struct Loading {
    writer: TableWriter,
    load: Arc<TableLoad>,
    then: Option<Box<dyn Sink>>,
    clock: Arc<dyn Clock>,
    written: Written,
}

impl Sink for Loading {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        let rows = changes.num_rows() as u64;
        self.written.rows += rows;
        self.load.took_in(rows, 0);
        let changes = self.writer.apply(changes, self.then.is_some())?;
        match (changes, &mut self.then) {
            (Some(changes), Some(then)) => then.write(&changes),
            _ => Ok(()),
        }
    }

    fn advance(&mut self, watermark: Watermark) -> Result<()> {
        if watermark == Watermark::END {
            self.writer.publish()?;
            self.load.finish(self.clock.monotonic_micros());
        }
        self.then.as_mut().map_or(Ok(()), |then| then.advance(watermark))
    }

    fn flush(&mut self) -> Result<()> {
        self.then.as_mut().map_or(Ok(()), |then| then.flush())
    }

    fn finish(&mut self) -> Result<()> {
        self.then.as_mut().map_or(Ok(()), |then| then.finish())
    }

    fn written(&self) -> Written {
        self.written
    }
}
