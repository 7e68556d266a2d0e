//! The process's own input and output as source and sink.

mod stdin;
mod stdout;

pub use stdin::{STDIN_DOCS, StdinConnector};
pub use stdout::{OutputForm, STDOUT_CLOSED, STDOUT_DOCS, StdoutConnector};
