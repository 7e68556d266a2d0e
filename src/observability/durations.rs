//! [`DurationHistogram`]: how long something took, counted by size.

/// The upper bounds of the buckets, in microseconds; the last bucket has none.
const BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Counts durations by size: half a millisecond to ten seconds, and longer.
///
/// ```
/// use velostream::observability::DurationHistogram;
///
/// let mut durations = DurationHistogram::default();
/// durations.observe(700);
/// durations.observe(60_000_000);
/// assert_eq!((durations.count(), durations.sum_seconds()), (2, 60.0007));
/// assert_eq!(durations.buckets().filter(|(_, count)| *count > 0).count(), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DurationHistogram {
    counts: [u64; BOUNDS.len() + 1],
    micros: u64,
}

impl DurationHistogram {
    /// Counts a duration of `micros` microseconds.
    pub fn observe(&mut self, micros: u64) {
        self.counts[BOUNDS.partition_point(|bound| *bound < micros)] += 1;
        self.micros = self.micros.saturating_add(micros);
    }

    /// Returns how many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the seconds of all durations together.
    #[expect(clippy::cast_precision_loss, reason = "a measured time needs no more than 52 bits")]
    pub fn sum_seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }

    /// Returns for each bucket its upper bound in seconds and how many durations are in it alone.
    #[expect(clippy::cast_precision_loss, reason = "the bounds are small")]
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.counts)
    }
}
