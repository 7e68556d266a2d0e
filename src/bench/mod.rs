//! Measuring: Nexmark queries as streaming jobs, side by side with DataFusion's batch run over the same input.
//!
//! ```text
//! data (made once) ─▶ check: both engines, digests of all rows equal? ─▶ measure: rounds in turn ─▶ report
//! ```
//!
//! A query whose answers differ gets no figure. Timed rounds end in sinks that only count, and every round's count
//! is held against the checked one.

mod check;
mod data;
mod datafusion;
mod dataset;
mod digest;
mod measure;
mod nexmark;
mod process;
mod queries;
mod report;
mod sink;
mod velostream;

#[cfg(test)]
mod tests;

pub use data::InputFormat;
pub use dataset::Dataset;
pub use nexmark::{Failure, Request, nexmark};
pub use queries::{BenchQuery, QUERIES};
