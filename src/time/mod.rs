//! Time as an input: the clock, the event time of rows, watermarks, and the bounds of windows.
//!
//! Nothing above this room reads a clock of the machine; tests drive time through [`ManualClock`].

mod clock;
mod event_time;
mod watermark;
mod window_bounds;

pub use clock::{Clock, ManualClock, Stopwatch, SystemClock};
pub use event_time::{BadTime, EventTimeFormat, EventTimeReader};
pub use watermark::{Watermark, WatermarkStrategy, running_watermarks};
pub use window_bounds::{TumblingWindow, tumbling_start};
