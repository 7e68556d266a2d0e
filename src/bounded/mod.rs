//! Operators over the whole of a bounded input: order, the rows at the front, and what changes come to.

mod fold;
mod limit;
mod net_rows;
mod sort;

pub use fold::Fold;
pub use limit::Limit;
pub use net_rows::NetRows;
pub use sort::Sort;
