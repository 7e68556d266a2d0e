//! Bytes outside, batches inside: decoders and encoders of the record formats.
//!
//! This room knows neither topics nor paths; it gets bytes and gives batches, or the other way round.

mod decode;
mod encode;

pub use decode::{DecodeOptions, Decoded, Decoder, IntegerTime, Layout, Rejected};
pub use encode::Encoder;
