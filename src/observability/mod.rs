//! Figures for those who watch: what metrics there are, their text for Prometheus, and the process's own figures.
//!
//! Rooms above say which figures there are ([`Metric`]) and what they show now ([`Exposition`]); this room knows nothing
//! of jobs. Nothing is registered and nothing is global: each scrape is an exposition of its own.

mod durations;
mod exposition;
mod metric;
mod process;
#[cfg(test)]
mod tests;

pub use durations::DurationHistogram;
pub use exposition::{CONTENT_TYPE, Exposition};
pub use metric::{Metric, MetricKind};
pub use process::{peak_memory, resident_memory};
