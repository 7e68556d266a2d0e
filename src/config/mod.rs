//! Settings before anyone has given them a meaning: where each came from, how quantities are written, and the files
//! and variables they are read from.
//!
//! Nothing here knows a connector or a job; they take the [`Entry`]s and read them strictly.

mod entry;
mod environment;
mod quantity;
mod schema_text;
mod yaml;

pub use entry::{Entry, Origin, is_secret, shown_value};
pub use environment::{Environment, ProcessEnvironment, environment_entries, substitute};
pub use quantity::{
    BadQuantity, duration_text, parse_bool, parse_bytes, parse_duration, read_duration, time_units,
};
pub use schema_text::{parse_data_type, parse_fields};
pub use yaml::{FieldText, YamlOptions, load_yaml_options, with_config_file};

#[cfg(test)]
mod tests;
