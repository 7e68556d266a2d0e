//! Sessions: statements one at a time, over streams in memory that stay.
//!
//! ```text
//! text ─▶ plan after what is declared already ─▶ declare │ start a job │ run once and answer
//! ```
//!
//! An application is planned as a whole and runs once; a session learns its statements one by one, starts each job
//! when it hears of it, and keeps results that have no sink in memory.

mod job;
#[expect(clippy::module_inception, reason = "the room holds one thing")]
mod session;

pub use job::SessionJob;
pub use session::{Answer, Session};
