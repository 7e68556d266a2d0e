//! Joins of streams: rows of two inputs find each other by key and time.
//!
//! What joins a stream with a table is a stateless step that looks rows up (`sql::plan`); here is what keeps rows of both
//! sides until no partner can come any more.

mod spec;

pub use spec::{JoinKind, JoinSpec, Keeping, Unmatched};
