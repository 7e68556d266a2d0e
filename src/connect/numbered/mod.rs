//! Sources that make their rows from row numbers: what the generator and Nexmark have in common.
//!
//! A connector says what row 7 is ([`NumberedRows`]); here is when it is due ([`Pace`]), which partition it belongs
//! to, how many rows make a chunk, and when the stream is over. Nothing here knows columns.

mod pace;
mod shares;
mod source;

#[cfg(test)]
mod tests;

pub use pace::Pace;
pub(super) use source::{NumberedRows, NumberedSource, Plan, known_partitions};
