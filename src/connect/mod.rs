//! Sources and sinks: everything outside that rows come from and go to.
//!
//! A connector knows its own options and its own protocol; it knows neither SQL text nor operators.

mod change_encoding;
mod connector;
pub mod console;
mod dice;
pub mod error_table;
pub mod file;
pub mod generated;
pub mod generator;
pub mod kafka;
mod line_cutter;
pub mod memory;
pub mod nexmark;
mod numbered;
mod options;
pub mod predecessor;
mod registry;
mod sink;
mod source;
mod text_column;
mod text_format;
mod time_options;

pub use change_encoding::{APPENDED_CHANGELOG_DOC, CHANGELOG_DOC, ChangeEncoding};
pub use connector::{
    ChangelogForm, HEADERS, KnownPartition, ReadRequest, SinkConnector, SourceConnector, WriteRequest,
};
pub use numbered::Pace;
pub use options::{ByteSize, OptionDoc, OptionValue, Options};
pub use registry::{CONNECTORS, ConnectorDoc, Declaration, Declared, DeclaredSource, declare};
pub use sink::{Sink, Written};
pub use source::{
    Chunk, ChunkLimits, Messages, Origin, PartitionId, Payload, Polled, Position, ReadRows, Source,
};
pub use text_format::{DecodeSettings, FORMAT_DOCS, TextFormat};
pub use time_options::{OnError, TIME_DOCS, TimeOptions};
