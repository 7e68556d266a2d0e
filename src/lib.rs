//! Velostream.

pub mod aggregate;
pub mod bounded;
pub mod cli;
pub mod config;
pub mod connect;
pub mod error;
pub mod flow;
pub mod format;
pub mod job;
pub mod sql;
pub mod time;

pub use error::{Error, ErrorKind, Result};
