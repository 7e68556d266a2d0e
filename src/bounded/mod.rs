//! Operators over the whole of a bounded input: order, and the rows at the front.

mod limit;
mod sort;

pub use limit::Limit;
pub use sort::Sort;
