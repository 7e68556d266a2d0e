//! The options of a job: `table` lists them, `settings` reads them from all the places that can give them.

mod settings;
mod table;

pub use settings::{Delivery, JobOptions, Mode};
pub use table::DOCS;

#[cfg(test)]
mod tests;
