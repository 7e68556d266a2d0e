//! [`Clock`]: the only door to the machine's time.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Where time comes from.
pub trait Clock: Send + Sync + Debug {
    /// Returns the milliseconds since the Unix epoch.
    fn now_millis(&self) -> i64;

    /// Returns microseconds that never go back, since an arbitrary start.
    fn monotonic_micros(&self) -> i64;

    /// Blocks the calling thread until `limit` has passed.
    fn wait(&self, limit: Duration);
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn default() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now_millis(&self) -> i64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_epoch.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_micros(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn wait(&self, limit: Duration) {
        std::thread::sleep(limit);
    }
}

/// A clock that stands still until a test moves it.
///
/// ```
/// use velostream::time::{Clock, ManualClock};
///
/// let clock = ManualClock::at_millis(1_000);
/// clock.advance_millis(500);
/// assert_eq!(clock.now_millis(), 1_500);
/// ```
#[derive(Debug)]
pub struct ManualClock {
    millis: Mutex<i64>,
    moved: Condvar,
}

impl ManualClock {
    /// Creates a clock that shows `millis` since the Unix epoch.
    pub fn at_millis(millis: i64) -> Self {
        Self { millis: Mutex::new(millis), moved: Condvar::new() }
    }

    /// Moves the clock forward.
    pub fn advance_millis(&self, millis: i64) {
        *self.millis.lock() += millis.max(0);
        self.moved.notify_all();
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> i64 {
        *self.millis.lock()
    }

    fn monotonic_micros(&self) -> i64 {
        self.millis.lock().saturating_mul(1_000)
    }

    fn wait(&self, limit: Duration) {
        // Bounded in real time: a thread that waits for driven time must still see that its job was stopped.
        let mut millis = self.millis.lock();
        let _timed_out = self.moved.wait_for(&mut millis, limit.min(Duration::from_millis(5)));
    }
}

/// Measures how long something takes.
#[derive(Debug, Clone)]
pub struct Stopwatch {
    clock: Arc<dyn Clock>,
    start: i64,
}

impl Stopwatch {
    /// Starts to measure.
    pub fn start(clock: Arc<dyn Clock>) -> Self {
        let start = clock.monotonic_micros();
        Self { clock, start }
    }

    /// Returns the seconds since the start.
    #[expect(clippy::cast_precision_loss, reason = "a measured time needs no more than 52 bits")]
    pub fn seconds(&self) -> f64 {
        (self.clock.monotonic_micros() - self.start) as f64 / 1e6
    }
}
