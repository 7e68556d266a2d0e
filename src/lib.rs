//! Velostream.

pub mod aggregate;
pub mod connect;
pub mod error;
pub mod flow;
pub mod format;
pub mod time;

pub use error::{Error, ErrorKind, Result};
