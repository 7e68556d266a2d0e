//! The `generator` source: made-up rows for a declared schema, by a rule for each column.
//!
//! Options become [`GeneratorRules`]; a row follows from the seed and its number by these rules alone, so the
//! stream can go on at any row and gives the same rows again.

mod column;
mod field_options;
mod rule;
mod rules;
mod source;
mod value_text;
mod walk;

#[cfg(test)]
mod tests;

pub use rules::GeneratorRules;
pub use source::{GeneratorOptions, GeneratorSource};
pub use value_text::time_millis;
