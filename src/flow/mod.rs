//! What travels through a job, and what a step is.

mod change_batch;

pub use change_batch::ChangeBatch;
