//! `OVER` in a stream: functions over the rows around each row of its key, in the order of event time.
//!
//! [`OrderedOver`] holds rows until the watermark has passed them, puts them in order, and evaluates the functions of
//! each key where they left off. DataFusion's evaluators and accumulators do the computing; what is kept for a key is
//! their state and those rows that a later frame can still reach. [`WindowedOver`] evaluates whole windows, in any order,
//! [`BufferedOver`] the last rows of each key in an order of their own, and
//! [`TopRows`] keeps the first rows of each key in any order, as a changelog. [`SessionRows`] gives rows the session that
//! functions over sessions are computed in.

mod buffered;
mod complete;
mod keyed_rows;
mod keys;
mod known;
mod last_rows;
mod ordered;
mod ranked_rows;
mod segment;
mod session_rows;
mod spec;
mod stretches;
mod top;

pub use buffered::{BufferedOver, BufferedOverSpec};
pub use complete::{WindowedOver, WindowedOverSpec};
pub use last_rows::LastRows;
pub use ordered::OrderedOver;
pub use session_rows::{SessionRows, SessionRowsSpec};
pub use spec::{Ahead, Evaluation, OverFunction, OverSpec, distance_text};
pub use top::{Numbering, TopRows, TopRowsSpec};
