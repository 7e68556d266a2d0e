//! `SHOW PARTITIONS s`: what is known of the partitions of a stream, and how far jobs are with them.

mod show;

#[cfg(test)]
mod tests;

pub(super) use show::show;
