//! From tokens to statements: the application, its statements, and the pass over their queries.

mod application;
mod block;
mod create;
mod engine;
mod from;
mod listing;
mod options;
mod query;
mod row_change;
mod rows_window;
mod statement;
mod timed_join;
mod window;
mod window_refs;

pub use application::{Application, parse_application, parse_expression};
pub(crate) use window_refs::is_aggregate;
pub use window_refs::{SESSION_DURATION, WINDOW_END, WINDOW_START};

#[cfg(test)]
mod tests;
