//! The predecessor's option names, and the form `'<name>.<option>'` in which it wrote them.
//!
//! [`split_by_name`] sorts the options of a query by whom they are for, [`translate`] gives those of one source or sink
//! their names here, [`translate_job`] those of the job. What each name maps to stands in one table, `names.rs`.

mod groups;
mod names;
mod translate;
mod uri;
mod values;

pub use groups::{Groups, split_by_name};
pub use translate::{Direction, Translated, translate, translate_job};
pub use uri::uri_entries;

#[cfg(test)]
mod tests;
