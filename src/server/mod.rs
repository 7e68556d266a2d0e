//! What `velo` serves over HTTP: on this machine only, and to clients that are not trusted to be quick or many.

mod listener;
mod metrics;

pub use listener::{Listener, Serving};
pub use metrics::metrics_router;
