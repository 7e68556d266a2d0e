//! Applications: all statements of a file, planned together and run as one.
//!
//! Declarations first, in the order of the file; then every query once all that it reads is known, whatever the order
//! in which they stand. Nothing starts unless everything is planned.

mod advice;
mod answers;
mod catalog;
mod columns;
mod destination;
mod dropping;
mod explain;
mod graph;
mod merging;
mod order;
mod partitions;
mod planning;
mod reading;
mod row_changes;
mod run;
mod settings;
mod shared_sink;
mod statement_sink;
mod statements;
mod table_connector;
mod table_options;
mod tables;

pub use advice::{Advice, advice};
pub use catalog::Catalog;
pub use explain::{explain, ran};
pub use planning::{PlannedApplication, PlannedJob, Work};
pub use run::{ApplicationOutcome, RunningApplication};
pub use settings::Settings;
pub use statements::Explaining;
pub use tables::KeptTable;
