//! CSV records: delimited fields, quoted where needed.
//!
//! `options` is the dialect, `split` tells fields and records apart, `decode` puts fields into columns; `write` goes
//! the other way.

mod decode;
mod options;
mod split;
mod write;

#[cfg(test)]
mod tests;

pub use decode::CsvDecoder;
pub use options::CsvOptions;
pub use split::{csv_header, csv_last_record_end};
pub use write::CsvEncoder;

pub(super) use split::{Row, Splitter};
