//! What travels through a job, and what a step is.
//!
//! A [`ChangeBatch`] goes through stateless [`Step`]s, strung together as a [`Fragment`], and through [`Operator`]s
//! that keep state. Neither does I/O or reads a clock: both get what they need with the [`EpochContext`].

mod change_batch;
mod delta_log;
mod exchange;
mod filter;
mod fragment;
mod late_rows;
mod operator;
mod pending;
mod plan_step;
mod project;

#[cfg(test)]
mod tests;

pub use change_batch::ChangeBatch;
pub use delta_log::DeltaLog;
pub use exchange::Exchange;
pub use filter::Filter;
pub use fragment::{Fragment, Misses, Step, Tally};
pub use late_rows::{LateFor, LateRow, LateRows, Origin};
pub use operator::{EpochContext, Operator, StateDelta};
pub use pending::{Pending, times_of};
pub use plan_step::{PlanStep, Slot};
pub use project::Project;
