//! Columns under construction: typed values are appended from text, and a bad record is cut off again.
//!
//! Numbers never pass through a float on their way into integers and decimals.

mod build;
mod finish;
mod instant;
mod number;
mod text;

#[cfg(test)]
mod tests;

pub(super) use build::{Column, Values};
pub(super) use instant::{TimeWriting, civil_from_days, parse_date, parse_timestamp};
pub(super) use number::power_of_ten;
pub(super) use text::{Fault, shorten, sql_name};
