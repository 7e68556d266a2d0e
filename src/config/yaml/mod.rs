//! Options in YAML files: `load` reads files and their bases, `node` is the document with places and exact texts.

mod load;
mod node;

pub use load::{FieldText, YamlOptions, load_yaml_options, with_config_file};

#[cfg(test)]
mod tests;
