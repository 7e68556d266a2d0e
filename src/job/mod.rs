//! Jobs: a planned query on threads, from its sources to its sink.
//!
//! ```text
//! reader ─▶ workers (decode, time, steps, partial aggregates) ─▶ driver (epochs, operators) ─▶ sink
//! ```
//!
//! A reader thread for each source cuts chunks of whole records. Workers process chunks of a partition side by side
//! and pass what depends on order along a carry. The driver puts the results back in order and makes epochs of
//! whatever is there: under load many chunks, at low rates one row. The sink has a thread of its own.

pub mod application;
mod batch;
mod batch_worker;
mod carry;
mod dead_letters;
mod driven;
mod driver;
mod figures;
mod job_time;
mod loading;
mod messages;
mod metrics;
mod options;
mod progress;
mod reader;
mod report;
mod row_records;
mod running;
mod scan;
mod shards;
mod snapshot;
mod system_columns;
mod threads;
mod tombstones;
mod trouble;

pub use dead_letters::Failures;
pub use driver::Ending;
pub use loading::{Gate, LoadProgress, LoadState, Loads, OwnLoad, TableLoad, Turn, Turns};
pub use metrics::{METRICS, expose};
pub use options::{DOCS as JOB_OPTION_DOCS, Delivery, JobOptions, Mode};
pub use progress::TakenIn;
pub use report::{
    HeldBack, JobReport, MissingReport, OperatorReport, PartitionReport, PartitionState, RejectedRecord,
    SinkReport, SourceReport,
};
pub use running::{Job, JobSpec, Outcome};
pub use snapshot::Snapshot;
