//! [`MemorySourceConnector`]: reads a [`MemoryStream`].

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::stream::{Found, MemoryStream};
use crate::connect::{
    Chunk, KnownPartition, PartitionId, Payload, Polled, Position, ReadRequest, Source, SourceConnector,
};
use crate::error::{Error, Result};
use crate::format::Decoder;
use crate::time::Watermark;

/// Columns that travel with the rows of a stream between jobs.
const CARRIED: [&str; 2] = ["__time", "__watermark"];

/// A stream of this process as a source.
#[derive(Debug)]
pub struct MemorySourceConnector {
    stream: Arc<MemoryStream>,
    bounded: bool,
    /// Whether another job makes the rows, and says their time.
    is_made: bool,
}

impl MemorySourceConnector {
    /// Creates the connector; `bounded` says whether the stream's writers are known to end.
    pub fn new(stream: Arc<MemoryStream>, bounded: bool) -> Self {
        Self { stream, bounded, is_made: false }
    }

    /// Creates the connector of what another job of the application gives.
    pub fn between_jobs(stream: Arc<MemoryStream>, bounded: bool) -> Self {
        Self { stream, bounded, is_made: true }
    }
}

impl SourceConnector for MemorySourceConnector {
    fn describe(&self) -> String {
        format!("memory `{}`", self.stream.name())
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn stamps_arrival(&self) -> bool {
        !self.is_made
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(self.stream.schema()))
    }

    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        let id = PartitionId(Arc::from(self.stream.name()));
        Ok(vec![KnownPartition { rows: u64::try_from(self.stream.rows()).ok(), ..KnownPartition::named(id) }])
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let schema = self.stream.schema();
        let mut columns = request.columns.clone();
        columns.extend(CARRIED.iter().filter_map(|name| schema.index_of(name).ok()));
        let partitions = vec![PartitionId(Arc::from(self.stream.name()))];
        let reader = self.stream.add_reader();
        let stream = Arc::clone(&self.stream);
        let max_rows = request.limits.rows;
        Ok(Box::new(MemorySource {
            stream,
            reader,
            columns,
            partitions,
            position: 0,
            max_rows,
            promised: None,
            ended: false,
        }))
    }

    fn decoder(&self, _request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(None)
    }
}

/// Reads a stream from its first row, or from where a seek says.
struct MemorySource {
    stream: Arc<MemoryStream>,
    reader: usize,
    columns: Vec<usize>,
    partitions: Vec<PartitionId>,
    position: i64,
    max_rows: usize,
    /// The last watermark that was handed on.
    promised: Option<Watermark>,
    ended: bool,
}

impl Source for MemorySource {
    fn partitions(&self) -> &[PartitionId] {
        &self.partitions
    }

    fn seek(&mut self, _partition: usize, position: Position) -> Result<()> {
        self.position = position.0;
        Ok(())
    }

    fn has_caught_up(&self) -> bool {
        self.stream.has_caught_up(self.position)
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        if self.ended {
            return Ok(Polled::End);
        }
        match self.stream.read(self.reader, self.position, self.max_rows, wait) {
            Found::Rows(changes, watermark) => {
                self.promised = self.promised.max(watermark);
                let start = Position(self.position);
                self.position += i64::try_from(changes.num_rows()).unwrap_or(i64::MAX);
                let rows = changes.rows().project(&self.columns)?;
                let payload = Payload::Rows(changes.with_rows(rows)?);
                let end = Position(self.position);
                Ok(Polled::Chunk(Chunk { partition: 0, start, end, payload, origin: None, watermark }))
            }
            Found::Nothing(watermark @ Some(promise)) if self.promised < watermark => {
                self.promised = watermark;
                Ok(Polled::Advanced { partition: 0, watermark: promise })
            }
            Found::Nothing(_) => Ok(Polled::Idle),
            Found::Abandoned => Err(Error::unavailable(format!(
                "the job that writes `{}` did not come to its end",
                self.stream.name()
            ))
            .with_hint("its own error says why")),
            Found::End => {
                self.ended = true;
                Ok(Polled::PartitionEnd(0))
            }
        }
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.stream.remove_reader(self.reader);
    }
}
