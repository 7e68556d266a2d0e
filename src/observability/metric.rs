//! [`Metric`]: the name, kind, labels and meaning of one figure.

/// One figure, of which there is a series for each combination of its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name of its series, with the unit, and with `_total` if it counts.
    pub name: &'static str,
    /// How its numbers behave.
    pub kind: MetricKind,
    /// The names of the labels, in order.
    pub labels: &'static [&'static str],
    /// What it says: one sentence with a full stop.
    pub help: &'static str,
}

/// How the numbers of a metric behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows while the process lives; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts observations by size.
    Histogram,
}

impl MetricKind {
    /// Returns the name of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}
