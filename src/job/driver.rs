//! The driver: puts processed chunks back in order, makes epochs of them, and runs the operators.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;

use super::dead_letters::{DeadLetter, DeadLetters};
use super::driven::{DrivenPartition, DrivenScan};
use super::figures::{Figures, add_to_report};
use super::job_time::{advance_sources, moves_by_itself};
use super::loading::TableLoad;
use super::messages::{Done, Permits, StopFlag, ToDriver, ToSink};
use super::progress::{Progress, TakenIn};
use super::report::{JobReport, MEND_OR_KEEP, RejectedRecord};
use super::shards::ShardedOperator;
use super::snapshot::{PartitionSnapshot, Snapshot};
use crate::connect::{OnError, PartitionId};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, EpochContext, Misses};
use crate::sql::functions::EpochClock;
use crate::sql::plan::Target;
use crate::time::{Clock, Watermark};

/// How often the driver looks at the clock when nothing arrives.
const TICK: Duration = Duration::from_millis(20);
/// How many rejected records a report shows.
const SHOWN_REJECTIONS: usize = 10;

/// Runs the epochs of a job.
pub(super) struct Driver {
    pub(super) scans: Vec<DrivenScan>,
    pub(super) operators: Vec<ShardedOperator>,
    pub(super) targets: Vec<Target>,
    pub(super) resuming: Vec<Vec<PartitionSnapshot>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) epoch_clock: EpochClock,
    pub(super) permits: Vec<Arc<Permits>>,
    pub(super) memory_limit: Option<u64>,
    pub(super) stop: StopFlag,
    pub(super) input: Receiver<ToDriver>,
    pub(super) sink: Sender<ToSink>,
    /// The way to the error table, where records may go there, and those of the epoch with their streams.
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) letters: Vec<(String, DeadLetter)>,
    pub(super) report: Arc<Mutex<JobReport>>,
    pub(super) progress: Arc<Progress>,
    pub(super) epoch: u64,
    pub(super) watermark: Watermark,
    pub(super) figures: Figures,
    /// By table, the rows that the scans looked up in vain.
    pub(super) missing: BTreeMap<Arc<str>, Misses>,
    /// Whether no more input is wanted: a limit is reached.
    pub(super) satisfied: bool,
    /// Whether all that was there when the sources were opened has gone to the sink.
    pub(super) caught_up: bool,
    /// The load of the table that the job keeps.
    pub(super) load: Option<Arc<TableLoad>>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its inputs ended, or no more was wanted.
    Finished,
    /// It was asked to stop.
    Stopped,
}

impl Driver {
    /// Runs epochs until the inputs end, the job is stopped, or something fails.
    pub(super) fn run(&mut self) -> Result<Ending> {
        let ending = self.run_epochs();
        if ending.is_ok() {
            drop(self.sink.send(ToSink::Finish));
        }
        self.stop.raise();
        ending
    }

    fn run_epochs(&mut self) -> Result<Ending> {
        loop {
            let now = self.looked_at(self.clock.monotonic_micros());
            let failed = self.take_in();
            let ready = self.ready();
            let ended = self.scans.iter().all(|scan| scan.ended);
            let promised = self.keep_promises(&ready);
            let catches_up = !self.caught_up && self.has_caught_up();
            let withdraws = self.scans.iter().any(DrivenScan::withdraws);
            let is_input = !ready.is_empty() || promised || withdraws;
            let worth_it = catches_up || is_input || ended || self.time_moves() || self.is_due();
            if worth_it {
                self.run_epoch(ready, false)?;
                self.say_caught_up()?;
            } else if self.scans.iter().all(DrivenScan::is_quiet) {
                self.progress.rested(self.taken_in(), now);
            }
            self.refresh_figures();
            // What a source says while everything is being stopped is no reason to fail.
            let stopped = self.stop.is_raised();
            if let Some(error) = failed.filter(|_| !stopped) {
                return Err(error);
            }
            if !ended && !self.operators.iter().all(ShardedOperator::wants_more) {
                // The rest of the input does not matter: for what comes after the limit this is the end.
                self.satisfied = true;
                self.run_epoch(vec![], true)?;
                self.say_caught_up()?;
            }
            if ended || self.satisfied {
                return Ok(Ending::Finished);
            }
            if stopped {
                if self.operators.iter().any(|operator| operator.is_due(None)) {
                    self.run_epoch(vec![], true)?;
                }
                return Ok(Ending::Stopped);
            }
        }
    }

    fn has_caught_up(&self) -> bool {
        self.satisfied || self.scans.iter().all(DrivenScan::has_caught_up)
    }

    /// Says once that all that was there when the sources were opened has been worked through.
    fn say_caught_up(&mut self) -> Result<()> {
        if self.caught_up || !self.has_caught_up() {
            return Ok(());
        }
        self.caught_up = true;
        self.progress.caught_up();
        if let Some(load) = &self.load {
            load.finish(self.clock.monotonic_micros());
        }
        self.sink.send(ToSink::CaughtUp).map_err(|_| Error::internal("the sink is gone"))
    }

    /// Waits for something to arrive, and takes in all that has; returns what failed.
    fn take_in(&mut self) -> Option<Error> {
        let first = match self.input.recv_timeout(TICK) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return None,
            // Readers and workers leave when the job is stopped; one that reads nothing has none.
            Err(RecvTimeoutError::Disconnected) if self.stop.is_raised() || self.scans.is_empty() => {
                return None;
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Some(Error::internal("the job's workers are gone"));
            }
        };
        let mut failed = None;
        let mut next = Some(first);
        while let Some(message) = next {
            if let ToDriver::Failed(error) = message {
                failed.get_or_insert(error);
            } else {
                self.note(message);
            }
            next = self.input.try_recv().ok();
        }
        for scan in &mut self.scans {
            scan.ended = scan.chunks_in_all == Some(scan.chunks + scan.waiting_chunks());
        }
        failed
    }

    fn note(&mut self, message: ToDriver) {
        match message {
            ToDriver::Partitions { scan, partitions } => self.meet_partitions(scan, partitions),
            ToDriver::Processed(done) => {
                let partition = &mut self.scans[done.scan].partitions[done.partition];
                partition.waiting.insert(done.turn, *done);
            }
            ToDriver::Promised { scan, partition, chunks, watermark } => {
                self.scans[scan].partitions[partition].promises.push((chunks, watermark));
            }
            ToDriver::Health { scan, health } => self.report.lock().sources[scan].health = Some(health),
            ToDriver::CaughtUp { scan, chunks } => self.scans[scan].there_at_open = Some(chunks),
            ToDriver::Withdrawn { scan, partition, chunks } => {
                self.scans[scan].withdrawals.push_back((partition, chunks));
            }
            ToDriver::PartitionEnd { scan, partition, chunks } => {
                self.scans[scan].partitions[partition].chunks_in_all = Some(chunks);
            }
            ToDriver::ScanEnd { scan, chunks } => self.scans[scan].chunks_in_all = Some(chunks),
            ToDriver::Failed(_) => {}
        }
    }

    fn meet_partitions(&mut self, scan: usize, partitions: Vec<PartitionId>) {
        let known = self.scans[scan].partitions.len();
        for id in partitions.into_iter().skip(known) {
            let before = self.resuming[scan].iter().find(|partition| partition.id == id);
            self.scans[scan].partitions.push(DrivenPartition {
                id,
                carried: before.map(|before| before.carried).unwrap_or_default(),
                position: before.and_then(|before| before.position),
                next_turn: 0,
                waiting: BTreeMap::new(),
                chunks_in_all: None,
                promised: None,
                promises: vec![],
                withdrawn: false,
            });
        }
        self.report_partitions(scan);
    }

    /// Takes the chunks whose predecessors are all done, in order.
    fn ready(&mut self) -> Vec<Done> {
        let mut ready = vec![];
        for scan in &mut self.scans {
            for partition in &mut scan.partitions {
                while let Some(done) = partition.waiting.remove(&partition.next_turn) {
                    partition.next_turn += 1;
                    scan.chunks += 1;
                    ready.push(done);
                }
            }
        }
        ready
    }

    /// Takes over the watermarks whose chunks are done, those that are `ready` after the others; returns whether one
    /// holds without them.
    fn keep_promises(&mut self, ready: &[Done]) -> bool {
        let mut kept = false;
        for (ordinal, scan) in self.scans.iter_mut().enumerate() {
            for (number, partition) in scan.partitions.iter_mut().enumerate() {
                let is_open = |done: &Done| (done.scan, done.partition) == (ordinal, number);
                let waits = ready.iter().any(is_open);
                let done = partition.next_turn;
                for (_, watermark) in
                    partition.promises.extract_if(.., |(chunks, _)| !waits && *chunks <= done)
                {
                    partition.promised = partition.promised.max(Some(watermark));
                    kept = true;
                }
            }
        }
        kept
    }

    /// Returns when all that can be known at `now` was looked at: a reader sees by itself that partitions are idle.
    fn looked_at(&self, now: i64) -> i64 {
        let readers = self.scans.iter().filter(|scan| !scan.ended).map(|scan| scan.clock.looked_at());
        readers.min().map_or(now, |looked| looked.min(now))
    }

    /// Returns whether the watermark moves without input: everything is quiet and time goes on by the clock.
    fn time_moves(&self) -> bool {
        !self.operators.is_empty() && moves_by_itself(&self.scans, self.clock.monotonic_micros())
    }

    /// Returns whether an operator holds changes back that are due.
    fn is_due(&self) -> bool {
        let now = self.clock.now_millis();
        self.operators.iter().any(|operator| operator.is_due(Some(now)))
    }

    fn run_epoch(&mut self, ready: Vec<Done>, last: bool) -> Result<()> {
        let began = self.clock.monotonic_micros();
        self.epoch += 1;
        let epoch = EpochContext { epoch: self.epoch, now_ms: self.clock.now_millis(), last };
        self.epoch_clock.set_millis(epoch.now_ms);
        let mut to_operators: Vec<Vec<(usize, ChangeBatch)>> =
            self.operators.iter().map(|_| vec![]).collect();
        let mut to_sink = vec![];
        let mut failed = None;
        for done in ready {
            let scan = done.scan;
            self.permits[scan].give_back(1);
            if failed.is_some() {
                continue;
            }
            match self.account(done) {
                Ok(output) => match self.scans[scan].target {
                    Target::Operator { operator, port } => {
                        to_operators[operator].extend(output.into_iter().map(|batch| (port, batch)));
                    }
                    Target::Sink => to_sink.extend(output),
                },
                Err(error) => failed = Some(error),
            }
        }
        self.keep_letters()?;
        if failed.is_none() {
            self.withdraw();
        }
        // A job that fails closes no window on what it has seen so far.
        let watermark = if failed.is_some() { self.watermark } else { self.advance_watermark() };
        let mut marks = vec![watermark; self.operators.len()];
        let mut written = watermark;
        for ordinal in 0..self.operators.len() {
            let input = std::mem::take(&mut to_operators[ordinal]);
            let output = self.operators[ordinal].run(input, marks[ordinal], &epoch)?;
            let behind = self.operators[ordinal].watermark_behind(marks[ordinal]);
            match self.targets[ordinal] {
                Target::Operator { operator, port } => {
                    to_operators[operator].extend(output.into_iter().map(|batch| (port, batch)));
                    marks[operator] = marks[operator].min(behind);
                }
                Target::Sink => {
                    to_sink.extend(output);
                    written = written.min(behind);
                }
            }
        }
        self.check_memory()?;
        self.end_epoch(began);
        self.progress.ran(self.taken_in());
        if self.sink.send(ToSink::Epoch(to_sink, written)).is_err() {
            return Err(Error::internal("the sink is gone"));
        }
        failed.map_or(Ok(()), Err)
    }

    /// Has what is not there any more outside taken back behind what the epoch brings.
    fn withdraw(&mut self) {
        for scan in &mut self.scans {
            while let Some(partition) = scan.next_withdrawal() {
                if let Target::Operator { operator, .. } = scan.target {
                    self.operators[operator].withdraw(&partition);
                }
            }
        }
    }

    /// Writes what the epoch has for the error table, before anything that follows from the epoch goes on.
    fn keep_letters(&mut self) -> Result<()> {
        let letters = std::mem::take(&mut self.letters);
        match &mut self.dead_letters {
            Some(dead_letters) => dead_letters.write(&letters),
            None if letters.is_empty() => Ok(()),
            None => Err(Error::internal("records for an error table that is not there")),
        }
    }

    /// Counts what became of a chunk, moves its partition on, and returns what goes on.
    fn account(&mut self, done: Done) -> Result<Vec<ChangeBatch>> {
        let scan = &mut self.scans[done.scan];
        let partition = &mut scan.partitions[done.partition];
        let mut processed =
            done.result.map_err(|error| error.within(format!("`{}` {}", scan.name, partition.id)))?;
        let mut report = self.report.lock();
        for rejected in &processed.rejected {
            let place = format!("`{}` {}", scan.name, rejected.place);
            if scan.on_error == OnError::Fail {
                return Err(Error::data(format!("{place}: {}", rejected.message)).with_hint(MEND_OR_KEEP));
            }
            if report.rejections.len() < SHOWN_REJECTIONS {
                report.rejections.push(RejectedRecord { place, message: rejected.message.clone() });
            }
        }
        partition.position = Some(done.end);
        partition.carried.seen = partition.carried.seen.max(processed.seen);
        partition.carried.floor.advance_to(processed.floor.unwrap_or(Watermark::NONE));
        partition.carried.lines += processed.lines;
        partition.carried.records += processed.records;
        let nothing_yet = processed.carries_time.then_some(Watermark::NONE);
        partition.promised = partition.promised.max(done.watermark).max(nothing_yet);
        let passes = match scan.target {
            Target::Sink => true,
            Target::Operator { operator, .. } => {
                let name = &self.operators[operator].name;
                !name.contains("aggregate") && !name.contains("distinct")
            }
        };
        for (table, misses) in std::mem::take(&mut processed.tally.missing) {
            self.missing.entry(table).or_default().add(misses);
        }
        add_to_report(&mut report, done.scan, &processed, passes);
        if let Some(load) = &self.load {
            load.took_in(processed.records, processed.bytes);
        }
        let letters = processed.letters.drain(..).map(|letter| (scan.name.clone(), letter));
        self.letters.extend(letters);
        Ok(processed.output)
    }

    /// Returns for each scan the records taken in so far.
    fn taken_in(&self) -> Vec<TakenIn> {
        let taken = |scan: &DrivenScan| TakenIn {
            records: scan.partitions.iter().map(|partition| partition.carried.records).sum(),
            promised: scan
                .partitions
                .iter()
                .filter_map(|partition| partition.promised)
                .max()
                .unwrap_or(Watermark::NONE),
        };
        self.scans.iter().map(taken).collect()
    }

    fn check_memory(&self) -> Result<()> {
        let Some(limit) = self.memory_limit else { return Ok(()) };
        let largest = self.operators.iter().max_by_key(|operator| operator.bytes());
        let total: usize = self.operators.iter().map(ShardedOperator::bytes).sum();
        match largest {
            Some(largest) if total as u64 > limit => Err(Error::exhausted(format!(
                "the job's state takes {total} bytes, more than `memory.limit` = {limit}; most of it is in operator `{}`",
                largest.name
            ))
            .with_hint("raise `memory.limit`, use a smaller window, or fewer keys")),
            _ => Ok(()),
        }
    }

    fn advance_watermark(&mut self) -> Watermark {
        if self.satisfied {
            self.watermark = Watermark::END;
            return self.watermark;
        }
        self.watermark.advance_to(advance_sources(&self.scans, self.clock.monotonic_micros()));
        self.watermark
    }

    /// Returns what the job needs to go on from here elsewhere; only after the run.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot> {
        let scans = self.scans.iter().map(|scan| {
            let there = scan.partitions.iter().filter(|partition| !partition.withdrawn);
            let partitions = there.map(|partition| PartitionSnapshot {
                id: partition.id.clone(),
                position: partition.position,
                carried: partition.carried,
            });
            (scan.clock.watermark(), partitions.collect())
        });
        let scans = scans.collect();
        let operators = self.operators.iter_mut().map(ShardedOperator::take_delta).collect::<Result<_>>()?;
        Ok(Snapshot { epoch: self.epoch, watermark: self.watermark, scans, operators })
    }
}
