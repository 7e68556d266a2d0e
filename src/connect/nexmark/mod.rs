//! The `nexmark` source: an auction site's people, auctions and bids, the usual benchmark of streaming SQL.
//!
//! Every row is a pure function of the seed and its event number, each column with throws of its own. So any
//! position can be sought, columns that nobody wants cost nothing, and partitions need not know of each other.
//!
//! Of 50 events in a row, 1 is a person, 3 are auctions and 46 are bids; see [`NexmarkKind`].

mod auction;
mod bid;
mod generator;
mod kind;
mod model;
mod person;
mod source;

#[cfg(test)]
mod tests;

pub use generator::NexmarkGenerator;
pub use kind::NexmarkKind;
pub use source::{NexmarkOptions, NexmarkSource};
