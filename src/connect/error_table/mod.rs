//! The error table: rejected and late records, kept in a directory and read as the relation `velo_errors`.
//!
//! `columns` says what a row holds, `log` writes rows durably and bounds them, `source` reads them again.

mod columns;
mod log;
mod source;

#[cfg(test)]
mod tests;

pub use columns::{ERROR_TABLE, error_columns, written_columns};
pub use log::{ErrorLog, ErrorTableSettings};
pub use source::ErrorTableConnector;
