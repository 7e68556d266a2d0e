//! Files as sources and sinks: CSV and JSON lines, plain or compressed, and Parquet.

mod compression;
mod followed;
mod followed_file;
mod line_sink;
mod lines;
mod listing;
mod parquet_sink;
mod parquet_source;
mod settings;

#[cfg(test)]
mod tests;

pub use settings::{FILE_DOCS, FileSinkConnector, FileSourceConnector};
