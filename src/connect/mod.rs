//! Sources and sinks: everything outside that rows come from and go to.
//!
//! A connector knows its own options and its own protocol; it knows neither SQL text nor operators.

mod change_encoding;
mod circuit;
mod connector;
pub mod console;
mod dice;
pub mod error_table;
pub mod file;
pub mod generated;
pub mod generator;
mod guarded;
pub mod kafka;
mod line_cutter;
pub mod memory;
pub mod nexmark;
mod numbered;
mod options;
mod patience;
pub mod predecessor;
mod registry;
mod sink;
mod source;
mod text_column;
mod text_format;
mod time_options;

#[cfg(test)]
mod tests;

pub use change_encoding::{APPENDED_CHANGELOG_DOC, CHANGELOG_DOC, ChangeEncoding};
pub use circuit::CircuitState;
pub use connector::{
    ChangelogForm, HEADERS, KnownPartition, ReadRequest, SinkConnector, SourceConnector, WriteRequest,
};
pub use guarded::{infer_when_there, open_source};
pub use numbered::Pace;
pub use options::{ByteSize, OptionDoc, OptionValue, Options};
pub use patience::{FILE_PATIENCE_DOCS, Patience, TOPIC_PATIENCE_DOCS};
pub use registry::{CONNECTORS, ConnectorDoc, Declaration, Declared, DeclaredSource, declare};
pub use sink::{Sink, Written};
pub use source::{
    Chunk, ChunkLimits, Messages, Origin, PartitionId, Payload, Polled, Position, ReadRows, Source,
    SourceHealth,
};
pub use text_format::{DecodeSettings, FORMAT_DOCS, TextFormat};
pub use time_options::{LATE_STRATEGY, OnError, TIME_DOCS, TimeOptions};
