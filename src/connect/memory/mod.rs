//! Streams that live in the process: what tests insert and read, and what one job gives another.

mod sink;
mod source;
mod stream;

pub use sink::{BlackholeConnector, MemorySinkConnector};
pub use source::MemorySourceConnector;
pub use stream::MemoryStream;
