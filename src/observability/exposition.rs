//! [`Exposition`]: what metrics show at one moment, as text for Prometheus.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::durations::DurationHistogram;
use super::metric::{Metric, MetricKind};
use crate::error::{Error, Result};

/// What [`Exposition::text`] is: the text form of OpenMetrics, which Prometheus reads.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What metrics show at one moment; a metric without a value is not mentioned.
///
/// ```
/// use velostream::observability::{Exposition, Metric, MetricKind};
///
/// const ROWS: Metric =
///     Metric { name: "velo_rows_total", kind: MetricKind::Counter, labels: &["job"], help: "Rows." };
/// let mut exposition = Exposition::default();
/// exposition.whole(&ROWS, &["a \"b\""], 3);
/// assert_eq!(
///     exposition.text().unwrap(),
///     "# HELP velo_rows Rows.\n# TYPE velo_rows counter\nvelo_rows_total{job=\"a \\\"b\\\"\"} 3\n# EOF\n"
/// );
/// ```
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, Family>,
}

#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    samples: Vec<(Vec<String>, Value)>,
}

#[derive(Debug)]
enum Value {
    Whole(u64),
    Fraction(f64),
    Durations(DurationHistogram),
}

impl Exposition {
    /// Says that the series of `metric` with these labels shows the whole number `value`.
    pub fn whole(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        self.add(metric, labels, Value::Whole(value));
    }

    /// Says that the series of the gauge `metric` with these labels shows `value`.
    pub fn fraction(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.add(metric, labels, Value::Fraction(value));
    }

    /// Says what the series of the histogram `metric` with these labels has counted.
    pub fn durations(&mut self, metric: &'static Metric, labels: &[&str], value: DurationHistogram) {
        self.add(metric, labels, Value::Durations(value));
    }

    fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "the labels of `{}`", metric.name);
        let family = self.families.entry(metric.name).or_insert_with(|| Family { metric, samples: vec![] });
        family.samples.push((labels.iter().map(|label| (*label).to_owned()).collect(), value));
    }

    /// Returns the metrics that have a value.
    pub fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        self.families.values().map(|family| family.metric)
    }

    /// Returns all as text of [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Internal, if a number cannot be written.
    pub fn text(self) -> Result<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry)
            .map_err(|error| Error::internal("cannot write the metrics").with_cause(error))?;
        Ok(text)
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { metric, samples } in self.families.values() {
            // The encoder puts the ending of counters to their samples itself.
            let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            let kind = match metric.kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
                MetricKind::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for (labels, value) in samples {
                let labels: Vec<(&str, &str)> =
                    metric.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
                if labels.is_empty() {
                    value.encode(metric.kind, &mut family)?;
                } else {
                    value.encode(metric.kind, &mut family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, kind: MetricKind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match (self, kind) {
            (Self::Whole(value), MetricKind::Counter) => {
                encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
            }
            (Self::Fraction(value), MetricKind::Counter) => {
                encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
            }
            (Self::Whole(value), _) => encoder.encode_gauge(value),
            (Self::Fraction(value), _) => encoder.encode_gauge(value),
            (Self::Durations(durations), _) => {
                let buckets: Vec<(f64, u64)> = durations.buckets().collect();
                let (sum, count) = (durations.sum_seconds(), durations.count());
                encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            }
        }
    }
}
