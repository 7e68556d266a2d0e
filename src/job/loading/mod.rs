//! Tables that fill: how far each load is, what waits for it, and when it may begin.
//!
//! A job that reads tables stands at a [`Gate`] until all of them are ready: none of its sources is polled before. A
//! table is *ready* once the job that keeps it has worked through all that was there when its sources were opened.

mod gate;
mod load;
mod progress;
mod turns;

#[cfg(test)]
mod tests;

pub use gate::{Gate, OwnLoad};
pub use load::{Loads, TableLoad};
pub use progress::{LoadProgress, LoadState};
pub use turns::{Turn, Turns};
