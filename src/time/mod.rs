//! Time as an input: the clock, the event time of rows, watermarks, and the bounds of windows.
//!
//! Nothing above this room reads a clock of the machine; tests drive time through [`ManualClock`].

mod aligned_window;
mod clock;
mod event_time;
mod late_rule;
mod session_window;
mod time_pattern;
mod watermark;

#[cfg(test)]
mod tests;

pub use aligned_window::{AlignedWindow, WindowShape};
pub use clock::{Clock, ManualClock, Stopwatch, SystemClock};
pub use event_time::{BadTime, EventTimeFormat, EventTimeReader};
pub use late_rule::LateRule;
pub use session_window::SessionWindow;
pub use time_pattern::TimePattern;
pub use watermark::{Watermark, WatermarkStrategy, running_watermarks};
