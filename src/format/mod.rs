//! Bytes outside, batches inside: decoders and encoders of the record formats.
//!
//! This room knows neither topics nor paths; it gets bytes and gives batches, or the other way round.

mod cells;
mod column;
mod csv;
mod decode;
mod encode;
mod infer;
mod json;
mod rows;
mod swar;

#[cfg(test)]
mod tests;

pub use csv::{CsvDecoder, CsvEncoder, CsvOptions, csv_header, csv_last_record_end};
pub use decode::{
    DecodeOptions, Decoded, Decoder, IntegerTime, Layout, Rejected, WrittenTime, lines_last_record_end,
};
pub use encode::Encoder;
pub use infer::{infer_csv, infer_json};
pub use json::{JsonDecoder, JsonEncoder};
