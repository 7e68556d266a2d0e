//! Guessing a schema from a sample of the data.
//!
//! `kind` is what is known about one field so far, `json` and `csv` walk over the sample.

mod csv;
mod json;
mod kind;

#[cfg(test)]
mod tests;

pub use csv::infer_csv;
pub use json::infer_json;

/// Records that are looked at, at most.
const RECORDS_MAX: usize = 1_000;
