//! The text where it is hard: escapes, histograms, and what has no labels.

use super::{DurationHistogram, Exposition, Metric, MetricKind};

const FILES: Metric =
    Metric { name: "velo_files_total", kind: MetricKind::Counter, labels: &["path", "job"], help: "Files." };
const MEMORY: Metric =
    Metric { name: "velo_memory_bytes", kind: MetricKind::Gauge, labels: &[], help: "Memory." };
const TIME: Metric =
    Metric { name: "velo_time_seconds", kind: MetricKind::Histogram, labels: &["job"], help: "Time." };

#[test]
fn the_text_says_each_family_once_and_escapes_labels() {
    let mut exposition = Exposition::default();
    exposition.fraction(&MEMORY, &[], 1.5);
    exposition.whole(&FILES, &["c:\\x", "a\nb"], u64::MAX);
    let mut durations = DurationHistogram::default();
    [0, 500, 501, 20_000_000].into_iter().for_each(|micros| durations.observe(micros));
    exposition.durations(&TIME, &["\"j\""], durations);
    exposition.whole(&FILES, &["größe", ""], 2);
    let text = exposition.text().unwrap();
    let counted = "# HELP velo_files Files.\n# TYPE velo_files counter\n\
        velo_files_total{path=\"c:\\\\x\",job=\"a\\nb\"} 18446744073709551615\n\
        velo_files_total{path=\"größe\",job=\"\"} 2\n\
        # HELP velo_memory_bytes Memory.\n# TYPE velo_memory_bytes gauge\nvelo_memory_bytes 1.5\n\
        # HELP velo_time_seconds Time.\n# TYPE velo_time_seconds histogram\n";
    let (families, histogram) = text.split_at(counted.len());
    assert_eq!(families, counted);
    let lines: Vec<&str> = histogram.lines().collect();
    assert_eq!(lines[0], "velo_time_seconds_sum{job=\"\\\"j\\\"\"} 20.001001");
    assert_eq!(lines[1], "velo_time_seconds_count{job=\"\\\"j\\\"\"} 4");
    assert_eq!(lines[2], "velo_time_seconds_bucket{le=\"0.0005\",job=\"\\\"j\\\"\"} 2");
    assert_eq!(lines[3], "velo_time_seconds_bucket{le=\"0.001\",job=\"\\\"j\\\"\"} 3");
    assert_eq!(lines[lines.len() - 2], "velo_time_seconds_bucket{le=\"+Inf\",job=\"\\\"j\\\"\"} 4");
    assert_eq!(lines[lines.len() - 1], "# EOF");
}
