//! Aggregates: partial states on the source threads, merged into windows and running totals by key.
//!
//! An aggregation has two halves. [`PartialAggregate`] is a stateless step: it turns the rows of one batch into one
//! row of accumulator states for each group. [`FinalAggregate`] (one answer when a window closes or the input ends)
//! and [`ChangingAggregate`] (every change of every group) merge such states; the same states, kept as they come, are
//! the incremental snapshot.

mod changing;
mod groups;
mod hopping_states;
mod keyed_states;
mod pace;
mod partial;
mod session_aggregate;
mod session_runs;
mod session_states;
mod showing;
mod spec;
mod window_aggregate;
mod window_key;

pub use changing::ChangingAggregate;
pub use partial::PartialAggregate;
pub use session_aggregate::SessionAggregate;
pub use showing::Showing;
pub use spec::{AggregateSpec, GroupColumn};
pub use window_aggregate::FinalAggregate;
pub use window_key::{Closing, RowTime, WindowKey};
