//! Velostream.

pub mod connect;
pub mod error;
pub mod flow;
pub mod format;

pub use error::{Error, ErrorKind, Result};
