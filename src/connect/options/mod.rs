//! The options of sources, sinks and jobs: `strict` takes them one by one and refuses what is left, `value` says what an
//! option's text can be read as.

mod strict;
mod value;

pub use strict::{OptionDoc, Options};
pub(in crate::connect) use strict::{nearest, quoted};
pub use value::{ByteSize, OptionValue};

#[cfg(test)]
mod tests;
