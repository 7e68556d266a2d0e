//! [`JobReport`]: what a job did, row by row accounted for.

use std::fmt;

use serde::Serialize;

use super::loading::LoadProgress;
use crate::connect::{SourceHealth, Written};
use crate::flow::Tally;
use crate::observability::DurationHistogram;
use crate::time::Watermark;

/// What to do about a record that failed its job.
pub(super) const MEND_OR_KEEP: &str = "mend the record, or set `on.error` = 'skip' to leave such records out, \
     'dead_letter' to keep them in `velo_errors`";

/// What became of the records of one source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceReport {
    /// The stream's name.
    pub name: String,
    /// Where the records come from.
    pub from: String,
    /// Records read, good and bad.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Records that did not fit and were left out.
    pub rejected: u64,
    /// Rows that came after their window had closed.
    pub late: u64,
    /// Rows that a condition kept out before the first operator.
    pub filtered: u64,
    /// Whether the source is there, where it may be away.
    pub health: Option<SourceHealth>,
    /// The number of partitions.
    pub partitions: usize,
    /// How far each partition is, where the job follows its inputs.
    pub by_partition: Vec<PartitionReport>,
}

/// How far one partition of a source is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PartitionReport {
    /// The partition: a file, or a topic with its number.
    pub name: String,
    /// Records read, those before a restart among them.
    pub records: u64,
    /// The watermark of the partition's own rows.
    #[serde(serialize_with = "as_text")]
    pub watermark: Watermark,
    /// Whether rows are expected.
    pub state: PartitionState,
}

/// Whether a partition's rows are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionState {
    /// It may hold the watermark back.
    #[default]
    Active,
    /// Nothing came for the idle timeout: it holds nobody back.
    Idle,
    /// No row can come any more.
    Ended,
}

/// What one operator took and gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OperatorReport {
    /// The operator's name.
    pub name: String,
    /// Rows taken: for an aggregate, rows of partial states.
    pub rows_in: u64,
    /// Rows given, deletes included.
    pub rows_out: u64,
    /// Rows that a condition after it kept out.
    pub filtered: u64,
    /// Rows that left because they had been kept for `state.ttl` or `retention`, or had waited for a table in vain.
    pub expired: u64,
    /// About how many bytes its state takes.
    pub state_bytes: usize,
    /// How many rows, groups or sessions its state holds, where it knows.
    pub state_rows: Option<usize>,
}

/// Rows that found nothing in a table, so that `on.missing` said what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MissingReport {
    /// The table.
    pub table: String,
    /// How many they are.
    pub rows: u64,
    /// How many of them had waited (`retry`) and were given up.
    pub given_up: u64,
}

/// What the sink took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SinkReport {
    /// Where the rows went.
    pub to: String,
    /// Rows written, deletes included.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// A record that was left out, for messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedRecord {
    /// Where it is: stream, partition, line or offset, byte.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

/// The partition that holds the watermark back: the furthest behind of those that are not idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldBack {
    /// The stream.
    pub source: String,
    /// The partition.
    pub partition: String,
    /// Since when it is this one, in epoch milliseconds.
    pub since_ms: i64,
}

impl HeldBack {
    /// Returns since when it is this partition, as text.
    pub fn since(&self) -> String {
        let since = chrono::DateTime::from_timestamp_millis(self.since_ms).unwrap_or_default();
        since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }
}

impl fmt::Display for PartitionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Ended => "ended",
        })
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` partition {} since {}", self.source, self.partition, self.since())
    }
}

fn as_text<S: serde::Serializer>(watermark: &Watermark, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(watermark)
}

/// What a job did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct JobReport {
    /// The job's name.
    pub name: String,
    /// Whether it ran as `stream` or `batch`.
    pub mode: &'static str,
    /// How it ended: `finished`, `stopped` or `failed`; `waiting` or `running` before that.
    pub state: &'static str,
    /// The tables that it waits for, and how far they are.
    pub waiting_for: Option<String>,
    /// Seconds from the job's start to its end, without process start and planning.
    pub seconds: f64,
    /// Records read, over all sources.
    pub rows_in: u64,
    /// Bytes read, over all sources.
    pub bytes_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Rows that came after their window had closed.
    pub late: u64,
    /// Rows that count in a window although one of their windows, or more, had closed.
    pub partly_late: u64,
    /// Rows that came after their windows had closed and were put into a later one.
    pub put_later: u64,
    /// Records that did not fit and were left out.
    pub rejected: u64,
    /// Rejected and late records that were kept in the error table.
    pub dead_letters: u64,
    /// Rows that a condition kept out before the first operator.
    pub filtered: u64,
    /// Rows that went into aggregates.
    pub merged: u64,
    /// Rows that `UNNEST` made, less those it made them of.
    pub expanded: i64,
    /// Rows that went past the first stage: into an operator other than an aggregate, or to the sink.
    pub passed: u64,
    /// Rows of operators' state that the job went on from.
    pub restored_rows: u64,
    /// Epochs run.
    pub epochs: u64,
    /// How long epochs took, without the wait for the sink.
    #[serde(skip)]
    pub epoch_durations: DurationHistogram,
    /// The watermark.
    #[serde(serialize_with = "as_text")]
    pub watermark: Watermark,
    /// The partition that the watermark waits for.
    pub held_back_by: Option<HeldBack>,
    /// By source.
    pub sources: Vec<SourceReport>,
    /// By operator.
    pub operators: Vec<OperatorReport>,
    /// By table, the rows that found nothing in it.
    pub missing: Vec<MissingReport>,
    /// How the table is that the job keeps, while it runs.
    #[serde(skip)]
    pub table: Option<LoadProgress>,
    /// By sink.
    pub sinks: Vec<SinkReport>,
    /// The first rejected records.
    pub rejections: Vec<RejectedRecord>,
}

impl JobReport {
    /// Takes over what the sink has written so far.
    pub(crate) fn set_written(&mut self, written: Written) {
        (self.rows_out, self.bytes_out) = (written.rows, written.bytes);
        if let Some(sink) = self.sinks.first_mut() {
            (sink.rows, sink.bytes) = (written.rows, written.bytes);
        }
    }

    /// Adds what became of the rows of a chunk of source `source`.
    pub(crate) fn add_tally(&mut self, source: usize, tally: &Tally, passed: u64) {
        self.sources[source].late += tally.late;
        self.sources[source].filtered += tally.filtered;
        self.late += tally.late;
        self.partly_late += tally.partly_late;
        self.put_later += tally.put_later;
        self.filtered += tally.filtered;
        self.merged += tally.merged;
        self.expanded += tally.expanded;
        self.passed += passed;
    }

    /// Returns how many records are unaccounted for: 0, or there is a bug.
    ///
    /// Every record read was rejected, filtered, late, merged into an aggregate, or passed on.
    pub fn unaccounted(&self) -> i64 {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let outcomes = self.rejected + self.filtered + self.late + self.merged + self.passed;
        signed(self.rows_in) + self.expanded - signed(outcomes)
    }
}
