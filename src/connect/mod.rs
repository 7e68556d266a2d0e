//! Sources and sinks: everything outside that rows come from and go to.
//!
//! A connector knows its own options and its own protocol; it knows neither SQL text nor operators.

mod sink;
mod source;

pub use sink::{Sink, Written};
pub use source::{Chunk, ChunkLimits, Messages, PartitionId, Payload, Polled, Position, ReadRows, Source};
