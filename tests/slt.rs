//! Streaming SQL as data: every file of `tests/slt` runs three ways, and gives the same answer or is red.
//!
//! A file is a session: its statements are given one by one over streams in memory and a clock that only the file
//! moves. Beside SQL it may say:
//!
//! - `ADVANCE CLOCK '30s'`
//! - `FINISH`: ends all inputs and waits for the end of all jobs
//! - `EMITTED x`, a query: what came out into `x` since the last such query, `+` or `-` first
//! - `COUNTS x`, a query: records, late, filtered and rejected of the job `x`
//!
//! A file that only makes sense one way says so in its first line: `# only straight: <reason>`. Run one again the way
//! it failed with `cargo test --test slt`; write the answers anew with `cargo test --test slt -- bless`.
//! Both take names: `cargo test --test slt -- every_file joins/lookup.slt` runs that file only.

#[cfg(test)]
#[path = "support/slt.rs"]
mod support;
