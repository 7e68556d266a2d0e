//! How event time goes on: the watermark of a job, from those of its sources and the clock.

use super::driven::{DrivenPartition, DrivenScan};
use crate::time::Watermark;

/// Moves the watermark of each source, and returns that of the job; `now_micros` is what the monotonic clock shows.
pub(super) fn advance_sources(scans: &[DrivenScan], now_micros: i64) -> Watermark {
    let (mut active, mut idle) = (vec![], vec![]);
    for scan in scans.iter().filter(|scan| !scan.ended) {
        let marks = scan.marks();
        if marks.is_empty() {
            active.push(scan.clock.watermark());
            continue;
        }
        let mark = scan.clock.advance(&marks, scan.idle_watermark(now_micros));
        match scan.is_idle(&marks) {
            true => idle.push((scan, marks, mark)),
            false => active.push(mark),
        }
    }
    let mut lowest = leading(&active, idle.iter().map(|(scan, _, mark)| (*scan, *mark)));
    for (scan, marks, _) in idle {
        lowest = lowest.min(scan.clock.follow(&marks, lowest));
    }
    lowest
}

/// Returns whether the watermark moves without input.
pub(super) fn moves_by_itself(scans: &[DrivenScan], now_micros: i64) -> bool {
    let (mut active, mut idle) = (vec![], vec![]);
    for scan in scans.iter().filter(|scan| !scan.ended) {
        let mark = scan.clock.watermark();
        if scan.idle_watermark(now_micros).is_some_and(|later| later > mark) {
            return true;
        }
        let marks = scan.marks();
        let is_idle = !marks.is_empty() && scan.is_idle(&marks);
        if is_idle { idle.push((scan, mark)) } else { active.push(mark) }
    }
    let lowest = leading(&active, idle.iter().copied());
    idle.into_iter().any(|(_, mark)| mark < lowest)
}

/// Returns the watermark that idle sources go with: the lowest of those that are not idle, or, where all are, of those
/// that ever had a row.
fn leading<'a>(active: &[Watermark], idle: impl Iterator<Item = (&'a DrivenScan, Watermark)>) -> Watermark {
    if let Some(lowest) = active.iter().min() {
        return *lowest;
    }
    let mut idle = idle.peekable();
    if idle.peek().is_none() {
        return Watermark::END;
    }
    idle.filter(|(scan, _)| scan.has_begun()).map(|(_, mark)| mark).min().unwrap_or(Watermark::NONE)
}

impl DrivenScan {
    /// Returns the watermark of each partition; none for those that have ended.
    fn marks(&self) -> Vec<Option<Watermark>> {
        self.partitions.iter().map(|partition| partition.watermark(self.bound_ms)).collect()
    }

    /// Returns whether the source holds nobody back. One with an upstream job has its promise, and may have rows that
    /// wait in that job.
    fn is_idle(&self, marks: &[Option<Watermark>]) -> bool {
        !self.is_promised() && self.clock.are_idle(marks)
    }

    /// Returns whether the source ever had a row.
    fn has_begun(&self) -> bool {
        self.partitions.iter().any(DrivenPartition::has_begun)
    }

    fn is_promised(&self) -> bool {
        self.partitions.iter().any(DrivenPartition::is_promised)
    }

    /// Returns the watermark that the clock gives a source of which all partitions are idle.
    fn idle_watermark(&self, now_micros: i64) -> Option<Watermark> {
        if self.is_promised() {
            return None;
        }
        let highest = self.marks().into_iter().flatten().max()?;
        let quiet_ms = (now_micros - self.clock.quiet_since()?) / 1_000;
        if highest == Watermark::NONE || highest == Watermark::END || quiet_ms < self.idle_timeout_ms {
            return None;
        }
        Some(Watermark::from_millis(highest.millis().saturating_add(quiet_ms)))
    }
}
