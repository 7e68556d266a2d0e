//! Velostream: streaming SQL over Arrow batches, planned by DataFusion.
//!
//! A query goes down through the rooms of this crate, and rows come back up:
//!
//! ```text
//! text ─▶ sql: statements ─▶ sql::plan: logical plan, time attached, cut at stateful operators ─▶ job: threads
//!
//! source ─▶ worker: decode, event time, steps, partial aggregate ─▶ driver: epochs, operators ─▶ sink
//! connect    format, time, flow                                      aggregate, over, bounded     connect
//! ```
//!
//! An *epoch* is what the driver finds ready when it looks: many chunks under load, one row at low rates. All that must
//! be exact is defined per row or per epoch, so an answer does not depend on how input is cut, on how many threads
//! there are, or on restarts.
//!
//! `ARCHITECTURE.md` draws the map; each room says at its door what it is for and what it must not know.
//!
//! ```
//! use velostream::sql::{Statement, parse_application};
//!
//! let application = parse_application("SELECT symbol, COUNT(*) FROM trades WINDOW TUMBLING(1m) GROUP BY symbol");
//! assert!(application.errors.is_empty());
//! assert!(matches!(application.statements[0].statement, Statement::Select(_)));
//! ```

pub mod aggregate;
pub mod bench;
pub mod bounded;
pub mod cli;
pub mod config;
pub mod connect;
pub mod error;
pub mod flow;
pub mod format;
pub mod job;
pub mod join;
pub mod observability;
pub mod over;
pub mod server;
pub mod session;
pub mod sql;
pub mod table;
pub mod time;

pub use error::{Error, ErrorKind, Result};
