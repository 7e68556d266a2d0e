//! [`METRICS`]: which metrics there are of jobs, and [`expose`]: what they show.

use super::loading::LoadState;
use super::report::{JobReport, OperatorReport, PartitionState, SourceReport};
use crate::connect::CircuitState;
use crate::observability::{Exposition, Metric, MetricKind, peak_memory, resident_memory};
use crate::time::Watermark;

/// Sources with more partitions than this have no series for each.
const MOST_PARTITIONS: usize = 1_000;

const JOB: &[&str] = &["job"];
const SOURCE: &[&str] = &["job", "stage", "source"];
const PARTITION: &[&str] = &["job", "stage", "source", "partition"];
const OPERATOR: &[&str] = &["job", "stage", "operator"];
const TABLE: &[&str] = &["job", "table"];
const SINK: &[&str] = &["job", "sink"];

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, $labels:expr, $help:literal;)*) => {
        $(const $constant: Metric =
            Metric { name: $name, kind: MetricKind::$kind, labels: $labels, help: $help };)*

        /// Every metric of a running application, in the order of the reference.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    RUNNING = "velo_job_running", Gauge, &["job", "mode"],
        "1 while the job runs or waits for tables, 0 once it has ended.";
    READ_ROWS = "velo_job_read_rows_total", Counter, JOB,
        "Records read, good and bad.";
    READ_BYTES = "velo_job_read_bytes_total", Counter, JOB,
        "Bytes read.";
    WRITTEN_ROWS = "velo_job_written_rows_total", Counter, JOB,
        "Rows written, deletes included.";
    WRITTEN_BYTES = "velo_job_written_bytes_total", Counter, JOB,
        "Bytes written, after encoding and compression.";
    REJECTED = "velo_job_rejected_rows_total", Counter, JOB,
        "Records that did not fit and were left out.";
    DEAD_LETTERS = "velo_job_dead_letters_total", Counter, JOB,
        "Rejected and late records that were kept in the error table.";
    LATE = "velo_job_late_rows_total", Counter, JOB,
        "Rows that came after all their windows had closed.";
    PARTLY_LATE = "velo_job_partly_late_rows_total", Counter, JOB,
        "Rows that count in a window although one of their windows, or more, had closed.";
    PUT_LATER = "velo_job_put_later_rows_total", Counter, JOB,
        "Rows that came after their windows had closed and were put into a later one.";
    FILTERED = "velo_job_filtered_rows_total", Counter, JOB,
        "Rows that a condition kept out before the first operator.";
    MERGED = "velo_job_merged_rows_total", Counter, JOB,
        "Rows that went into aggregates.";
    WATERMARK = "velo_job_watermark_timestamp_seconds", Gauge, JOB,
        "The watermark in Unix time; absent before the first row and once the inputs have ended.";
    WATERMARK_LAG = "velo_job_watermark_lag_seconds", Gauge, JOB,
        "How far the watermark is behind the clock; absent where there is no watermark.";
    HELD_BACK = "velo_job_watermark_held_back_since_timestamp_seconds", Gauge, &["job", "source", "partition"],
        "Since when, in Unix time, this partition is the one that the watermark waits for; absent where it waits for none.";
    EPOCHS = "velo_job_epochs_total", Counter, JOB,
        "Epochs run.";
    EPOCH_DURATION = "velo_job_epoch_duration_seconds", Histogram, JOB,
        "How long epochs took, without the wait for the sink.";
    SOURCE_ROWS = "velo_source_read_rows_total", Counter, SOURCE,
        "Records read, good and bad.";
    SOURCE_BYTES = "velo_source_read_bytes_total", Counter, SOURCE,
        "Bytes read.";
    SOURCE_REJECTED = "velo_source_rejected_rows_total", Counter, SOURCE,
        "Records that did not fit and were left out.";
    SOURCE_LATE = "velo_source_late_rows_total", Counter, SOURCE,
        "Rows that came after all their windows had closed.";
    SOURCE_FILTERED = "velo_source_filtered_rows_total", Counter, SOURCE,
        "Rows that a condition kept out before the first operator.";
    SOURCE_PARTITIONS = "velo_source_partitions", Gauge, SOURCE,
        "The number of partitions.";
    SOURCE_FAILED_TRIES = "velo_source_failed_tries_total", Counter, SOURCE,
        "Tries to open or read the source that failed; absent where a failure is final.";
    SOURCE_CIRCUIT = "velo_source_circuit", Gauge, SOURCE,
        "Whether the source is asked: 0 yes (closed), 1 once more (half-open), 2 not for a while (open); absent where a failure is final.";
    PARTITION_ROWS = "velo_partition_read_rows_total", Counter, PARTITION,
        "Records read; absent for sources with more than 1000 partitions and for jobs that run once.";
    PARTITION_WATERMARK = "velo_partition_watermark_timestamp_seconds", Gauge, PARTITION,
        "The watermark of the partition's own rows in Unix time; absent before its first row and once it has ended.";
    PARTITION_IDLE = "velo_partition_idle", Gauge, PARTITION,
        "1 while nothing comes and the partition holds nobody back, 0 while it is waited for; absent once it has ended.";
    TABLE_STATE = "velo_table_state", Gauge, TABLE,
        "How the table is that the job keeps: 0 it waits for others, 1 it loads, 2 it is ready, 3 it failed before it was ready, 4 it is stale: it was ready, and its job has failed.";
    MISSING = "velo_job_missing_rows_total", Counter, TABLE,
        "Rows that found nothing in a table, so that `on.missing` said what became of them.";
    GIVEN_UP = "velo_job_given_up_rows_total", Counter, TABLE,
        "Those of them that had waited for the table (`on.missing` = `retry`) and were given up.";
    OPERATOR_INPUT = "velo_operator_input_rows_total", Counter, OPERATOR,
        "Rows taken, for an aggregate rows of partial states.";
    OPERATOR_OUTPUT = "velo_operator_output_rows_total", Counter, OPERATOR,
        "Rows given, deletes included.";
    OPERATOR_FILTERED = "velo_operator_filtered_rows_total", Counter, OPERATOR,
        "Rows that a condition after the operator kept out.";
    OPERATOR_EXPIRED = "velo_operator_expired_rows_total", Counter, OPERATOR,
        "Rows that left the state only because they had been kept for `state.ttl` or `retention`, or had waited for a table in vain.";
    OPERATOR_STATE = "velo_operator_state_bytes", Gauge, OPERATOR,
        "About how many bytes the operator's state takes.";
    OPERATOR_ROWS = "velo_operator_state_rows", Gauge, OPERATOR,
        "How many rows, groups or sessions the operator's state holds; absent where it does not know without counting.";
    SINK_ROWS = "velo_sink_written_rows_total", Counter, SINK,
        "Rows written, deletes included.";
    SINK_BYTES = "velo_sink_written_bytes_total", Counter, SINK,
        "Bytes written, after encoding and compression.";
    MEMORY = "velo_process_resident_memory_bytes", Gauge, &[],
        "The resident memory of the process; absent where the system does not say.";
    PEAK_MEMORY = "velo_process_resident_memory_peak_bytes", Gauge, &[],
        "The highest resident memory of the process so far; absent where the system does not say.";
}

/// Returns what the metrics of jobs show, and those of the process, when the clock shows `now_ms`.
pub fn expose(reports: &[JobReport], now_ms: i64) -> Exposition {
    let mut exposition = Exposition::default();
    for report in reports {
        job(&mut exposition, report, now_ms);
        for (ordinal, told) in report.sources.iter().enumerate() {
            source(&mut exposition, &report.name, ordinal + 1, told);
        }
        for (ordinal, told) in report.operators.iter().enumerate() {
            operator(&mut exposition, &report.name, report.sources.len() + ordinal + 1, told);
        }
        if let Some(table) = &report.table {
            let state = match table.state {
                LoadState::WaitingForDependencies => 0,
                LoadState::Loading => 1,
                LoadState::Ready => 2,
                LoadState::Failed => 3,
                LoadState::Stale => 4,
            };
            exposition.whole(&TABLE_STATE, &[&report.name, &table.table], state);
        }
        for missing in &report.missing {
            let labels = [report.name.as_str(), &missing.table];
            exposition.whole(&MISSING, &labels, missing.rows);
            exposition.whole(&GIVEN_UP, &labels, missing.given_up);
        }
        for sink in &report.sinks {
            let labels = [report.name.as_str(), &sink.to];
            exposition.whole(&SINK_ROWS, &labels, sink.rows);
            exposition.whole(&SINK_BYTES, &labels, sink.bytes);
        }
    }
    for (metric, bytes) in [(&MEMORY, resident_memory()), (&PEAK_MEMORY, peak_memory())] {
        if bytes > 0 {
            exposition.whole(metric, &[], bytes);
        }
    }
    exposition
}

fn job(exposition: &mut Exposition, report: &JobReport, now_ms: i64) {
    let name = [report.name.as_str()];
    exposition.whole(
        &RUNNING,
        &[&report.name, report.mode],
        u64::from(["waiting", "running"].contains(&report.state)),
    );
    let counts = [
        (&READ_ROWS, report.rows_in),
        (&READ_BYTES, report.bytes_in),
        (&WRITTEN_ROWS, report.rows_out),
        (&WRITTEN_BYTES, report.bytes_out),
        (&REJECTED, report.rejected),
        (&DEAD_LETTERS, report.dead_letters),
        (&LATE, report.late),
        (&PARTLY_LATE, report.partly_late),
        (&PUT_LATER, report.put_later),
        (&FILTERED, report.filtered),
        (&MERGED, report.merged),
        (&EPOCHS, report.epochs),
    ];
    for (metric, count) in counts {
        exposition.whole(metric, &name, count);
    }
    exposition.durations(&EPOCH_DURATION, &name, report.epoch_durations);
    if let Some(watermark) = instant(report.watermark) {
        exposition.fraction(&WATERMARK, &name, seconds(watermark));
        exposition.fraction(&WATERMARK_LAG, &name, seconds(now_ms.saturating_sub(watermark)));
    }
    if let Some(holder) = &report.held_back_by {
        let labels = [report.name.as_str(), &holder.source, &holder.partition];
        exposition.fraction(&HELD_BACK, &labels, seconds(holder.since_ms));
    }
}

fn source(exposition: &mut Exposition, job: &str, stage: usize, source: &SourceReport) {
    let stage = stage.to_string();
    let labels = [job, &stage, &source.name];
    let counts = [
        (&SOURCE_ROWS, source.records),
        (&SOURCE_BYTES, source.bytes),
        (&SOURCE_REJECTED, source.rejected),
        (&SOURCE_LATE, source.late),
        (&SOURCE_FILTERED, source.filtered),
        (&SOURCE_PARTITIONS, source.partitions as u64),
    ];
    for (metric, count) in counts {
        exposition.whole(metric, &labels, count);
    }
    if let Some((health, circuit)) = source.health.as_ref().and_then(|health| Some((health, health.circuit?)))
    {
        exposition.whole(&SOURCE_FAILED_TRIES, &labels, health.failed_tries);
        let circuit = match circuit {
            CircuitState::Closed => 0,
            CircuitState::HalfOpen => 1,
            CircuitState::Open => 2,
        };
        exposition.whole(&SOURCE_CIRCUIT, &labels, circuit);
    }
    if source.by_partition.len() > MOST_PARTITIONS {
        return;
    }
    for partition in &source.by_partition {
        let labels = [job, &stage, &source.name, &partition.name];
        exposition.whole(&PARTITION_ROWS, &labels, partition.records);
        if let Some(watermark) = instant(partition.watermark) {
            exposition.fraction(&PARTITION_WATERMARK, &labels, seconds(watermark));
        }
        if partition.state != PartitionState::Ended {
            exposition.whole(&PARTITION_IDLE, &labels, u64::from(partition.state == PartitionState::Idle));
        }
    }
}

fn operator(exposition: &mut Exposition, job: &str, stage: usize, operator: &OperatorReport) {
    let stage = stage.to_string();
    let labels = [job, &stage, &operator.name];
    exposition.whole(&OPERATOR_INPUT, &labels, operator.rows_in);
    exposition.whole(&OPERATOR_OUTPUT, &labels, operator.rows_out);
    exposition.whole(&OPERATOR_FILTERED, &labels, operator.filtered);
    exposition.whole(&OPERATOR_EXPIRED, &labels, operator.expired);
    exposition.whole(&OPERATOR_STATE, &labels, operator.state_bytes as u64);
    if let Some(rows) = operator.state_rows {
        exposition.whole(&OPERATOR_ROWS, &labels, rows as u64);
    }
}

/// Returns a watermark in epoch milliseconds, if it is a time at all.
fn instant(watermark: Watermark) -> Option<i64> {
    (watermark != Watermark::NONE && watermark != Watermark::END).then(|| watermark.millis())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this era need less than 52 bits")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1e3
}
