//! Joins of streams: rows of two inputs find each other by key and time.
//!
//! What joins a stream with a table is a stateless step that looks rows up (`sql::plan`); here is what keeps rows of both
//! sides until no partner can come any more.

mod as_of;
mod as_of_spec;
mod chunks;
mod key_hashes;
mod key_index;
mod pairs;
mod side;
mod spec;
mod stream_join;
mod versions;
mod waiting;
mod withdrawals;

#[cfg(test)]
mod tests;

pub use as_of::AsOfJoin;
pub use as_of_spec::{AsOfMatch, AsOfSpec};
pub use spec::{JoinKind, JoinSpec, Keeping, Unmatched};
pub use stream_join::StreamJoin;
