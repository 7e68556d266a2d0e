//! Aggregates: partial states on the source threads, merged into windows and running totals by key.
//!
//! An aggregation has two halves. [`PartialAggregate`] is a stateless step: it turns the rows of one batch into one
//! row of accumulator states for each group. [`FinalAggregate`] (one answer when a window closes or the input ends)
//! and [`ChangingAggregate`] (every change of every group) merge such states; the same states, kept as they come, are
//! the incremental snapshot.
//!
//! Over a changelog rows come and go one by one: [`RetractedRows`] computes what the functions read, and
//! [`RetractingAggregate`] keeps what each function needs to take a row back, as its [`Retraction`] says. In windows each
//! change counts in those of its row, which [`RowWindows`] finds.

mod bags;
mod changing;
mod distinct_counts;
mod groups;
mod hopping_states;
mod keyed_states;
mod latest_rows;
mod pace;
mod partial;
mod retracted_rows;
mod retracting;
mod retracting_states;
mod retraction;
mod row_aggregate;
mod row_windows;
mod session_aggregate;
mod session_runs;
mod session_states;
mod showing;
mod signed_totals;
mod spec;
mod window_aggregate;
mod window_key;

#[cfg(test)]
mod tests;

pub use changing::ChangingAggregate;
pub use partial::PartialAggregate;
pub use retracted_rows::RetractedRows;
pub use retracting::RetractingAggregate;
pub use retraction::Retraction;
pub use row_aggregate::RowAggregate;
pub use row_windows::RowWindows;
pub use session_aggregate::SessionAggregate;
pub use showing::Showing;
pub use spec::{AggregateSpec, GroupColumn};
pub use window_aggregate::FinalAggregate;
pub use window_key::{Closing, RowTime, WindowKey};
