//! [`ErrorTableConnector`]: the error table as a source that ends.

use std::path::Path;

use arrow::datatypes::SchemaRef;

use super::columns::error_columns;
use super::log::{SEGMENT_ENDING, SEGMENT_NAME};
use crate::connect::file::FileSourceConnector;
use crate::connect::{KnownPartition, ReadRequest, Source, SourceConnector};
use crate::error::Result;
use crate::format::Decoder;

/// The rows that an error table holds when it is opened; none where nothing was ever rejected.
#[derive(Debug, Clone)]
pub struct ErrorTableConnector {
    location: String,
    files: FileSourceConnector,
}

impl ErrorTableConnector {
    /// Creates the connector of the table in the directory `location`.
    pub fn new(location: &Path) -> Self {
        let location = location.display().to_string();
        let pattern = format!("{}/{SEGMENT_NAME}*{SEGMENT_ENDING}", glob::Pattern::escape(&location));
        Self { location, files: FileSourceConnector::of_json_files(pattern) }
    }
}

impl SourceConnector for ErrorTableConnector {
    fn describe(&self) -> String {
        format!("error table `{}`", self.location)
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(error_columns())
    }

    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        self.files.partitions()
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        self.files.open(request)
    }

    fn decoder(&self, request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        self.files.decoder(request)
    }
}
