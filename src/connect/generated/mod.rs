//! Connectors whose rows are made up: `generator` by rules for each column, `nexmark` by the benchmark's model.

mod generator;
mod nexmark;

pub use generator::{GENERATOR_DOCS, GeneratorConnector};
pub use nexmark::{NEXMARK_DOCS, NexmarkConnector};
