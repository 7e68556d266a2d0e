//! JSON records: lines or messages that are objects.
//!
//! `scan` walks over JSON text once, `keys` guesses which field comes next, `value` puts values into columns,
//! `decode` keeps records apart and isolates the bad ones; `write` goes the other way.

mod decode;
mod keys;
mod scan;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use decode::JsonDecoder;
pub use write::JsonEncoder;

pub(super) use scan::{Scanned, Scanner, unescape};
pub(super) use write::{json_string, json_value};
