//! [`Figures`]: how the driver keeps the job's report up to date while it runs.

use std::sync::Arc;

use parking_lot::Mutex;

use super::driver::{Driver, Ending};
use super::report::{HeldBack, JobReport, MissingReport, OperatorReport, PartitionReport, PartitionState};
use super::scan::Processed;
use super::shards::ShardedOperator;
use crate::error::Result;
use crate::flow::{ChangeBatch, Misses};
use crate::time::{Stopwatch, Watermark};

/// How often figures that take a look at state are brought up to date, at most.
const REFRESH_MICROS: i64 = 100_000;
/// How many times as long as a look took there is none: what looking costs stays below two hundredths.
const REST: i64 = 50;

/// What the driver remembers between two looks.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// The scan and the partition that the watermark waits for.
    held_back_by: Option<(usize, usize)>,
    /// Whether an epoch has run since the last look.
    stale: bool,
    /// When the next look may be, in monotonic microseconds.
    next: i64,
}

impl Driver {
    /// Notes an epoch that began at `began`, and how far time is after it.
    pub(super) fn end_epoch(&mut self, began: i64) {
        let took = u64::try_from(self.clock.monotonic_micros() - began).unwrap_or(0);
        self.figures.stale = true;
        {
            let mut report = self.report.lock();
            report.epochs = self.epoch;
            report.epoch_durations.observe(took);
            report.watermark = self.watermark;
        }
        self.note_holder();
    }

    /// Notes the partitions of a source that has new ones.
    pub(super) fn report_partitions(&self, scan: usize) {
        let mut report = self.report.lock();
        let (source, partitions) = (&mut report.sources[scan], &self.scans[scan].partitions);
        source.partitions = partitions.len();
        let unknown = partitions.iter().skip(source.by_partition.len());
        let unknown = unknown.map(|partition| PartitionReport {
            name: partition.id.to_string(),
            records: partition.carried.records,
            ..PartitionReport::default()
        });
        source.by_partition.extend(unknown);
    }

    /// Looks at operators and partitions, if that was not done just now.
    pub(super) fn refresh_figures(&mut self) {
        let now = self.clock.monotonic_micros();
        if now < self.figures.next {
            return;
        }
        if std::mem::take(&mut self.figures.stale) {
            self.report_operators();
        }
        self.report_by_partition();
        self.note_holder();
        let after = self.clock.monotonic_micros();
        self.figures.next = after + REFRESH_MICROS.max((after - now).saturating_mul(REST));
    }

    /// Brings the report up to date for the last time.
    pub(super) fn finish_report(&mut self, ending: &Result<Ending>) {
        self.report_operators();
        self.report_by_partition();
        self.report.lock().state = state_of(ending);
    }

    fn report_operators(&self) {
        let operators = self.operators.iter().map(ShardedOperator::report).collect();
        let mut missing = self.missing.clone();
        self.operators.iter().for_each(|operator| operator.add_misses(&mut missing));
        let missing = missing.into_iter().filter(|(_, misses)| *misses != Misses::default());
        let missing = missing.map(|(table, misses)| MissingReport {
            table: table.to_string(),
            rows: misses.rows,
            given_up: misses.given_up,
        });
        let mut report = self.report.lock();
        (report.operators, report.missing) = (operators, missing.collect());
    }

    fn report_by_partition(&self) {
        let mut report = self.report.lock();
        for (source, scan) in report.sources.iter_mut().zip(&self.scans) {
            for (number, (told, partition)) in
                source.by_partition.iter_mut().zip(&scan.partitions).enumerate()
            {
                let mark = partition.watermark(scan.bound_ms).filter(|_| !scan.ended);
                told.records = partition.carried.records;
                told.watermark = mark.unwrap_or(Watermark::END);
                told.state = match mark {
                    None => PartitionState::Ended,
                    Some(_) if scan.clock.is_idle(number) => PartitionState::Idle,
                    Some(_) => PartitionState::Active,
                };
            }
        }
    }

    /// Notes which partition holds the watermark back, and since when it does.
    fn note_holder(&mut self) {
        let holder = if self.watermark == Watermark::END { None } else { self.holder() };
        if self.figures.held_back_by != holder {
            self.figures.held_back_by = holder;
            let since_ms = self.clock.now_millis();
            self.report.lock().held_back_by = holder.map(|(scan, partition)| HeldBack {
                source: self.scans[scan].name.clone(),
                partition: self.scans[scan].partitions[partition].id.to_string(),
                since_ms,
            });
        }
    }

    /// Returns the partition that is furthest behind, of those that are not idle.
    fn holder(&self) -> Option<(usize, usize)> {
        let marks = self.scans.iter().enumerate().flat_map(|(ordinal, scan)| {
            let partitions = scan.partitions.iter().enumerate();
            let open = partitions.filter(|(number, _)| !scan.ended && !scan.clock.is_idle(*number));
            open.filter_map(move |(number, partition)| {
                Some((partition.watermark(scan.bound_ms)?, (ordinal, number)))
            })
        });
        marks.min().map(|(_, place)| place)
    }
}

impl ShardedOperator {
    /// Returns what the operator has taken and given, and what it keeps.
    pub(super) fn report(&self) -> OperatorReport {
        OperatorReport {
            name: self.name.clone(),
            rows_in: self.rows_in,
            rows_out: self.rows_out,
            filtered: self.filtered,
            expired: self.expired(),
            state_bytes: self.bytes(),
            state_rows: self.rows(),
        }
    }
}

/// Adds a chunk of source `scan` to the report; `passes` says whether its rows go past the first stage as they are.
pub(super) fn add_to_report(report: &mut JobReport, scan: usize, processed: &Processed, passes: bool) {
    let rejected = processed.rejected.len() as u64;
    let source = &mut report.sources[scan];
    source.records += processed.records;
    source.bytes += processed.bytes;
    source.rejected += rejected;
    report.rows_in += processed.records;
    report.bytes_in += processed.bytes;
    report.rejected += rejected;
    report.dead_letters += processed.letters.len() as u64;
    let rows: usize = processed.output.iter().map(ChangeBatch::num_rows).sum();
    report.add_tally(scan, &processed.tally, if passes { rows as u64 } else { 0 });
}

/// Returns how a report calls the end of its job.
pub(super) fn state_of(ending: &Result<Ending>) -> &'static str {
    match ending {
        Ok(Ending::Finished) => "finished",
        Ok(Ending::Stopped) => "stopped",
        Err(_) => "failed",
    }
}

/// Returns a handle that says what is in `report` by now.
pub(super) fn observer(
    report: &Arc<Mutex<JobReport>>,
    stopwatch: &Stopwatch,
) -> impl Fn() -> JobReport + Send + Sync + 'static {
    let (report, stopwatch) = (Arc::clone(report), stopwatch.clone());
    move || {
        let mut report = report.lock().clone();
        if report.state == "running" {
            report.seconds = stopwatch.seconds();
        }
        report
    }
}
