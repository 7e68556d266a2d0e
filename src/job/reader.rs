//! The reader thread: takes chunks from one source and hands them to the workers.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::carry::{Carried, Carry};
use super::loading::{Gate, TableLoad};
use super::messages::{Permits, SourceClock, StopFlag, ToDriver};
use super::scan::Ticket;
use crate::connect::{PartitionId, Polled, Source, SourceHealth};
use crate::error::Result;
use crate::time::Clock;

/// How long a reader waits for input before it looks whether the job was stopped.
const WAIT: Duration = Duration::from_millis(20);

/// Reads one source.
pub(super) struct Reader {
    pub(super) scan: usize,
    pub(super) source: Box<dyn Source>,
    /// What partitions go on from, by identity.
    pub(super) resuming: Vec<(PartitionId, Carried)>,
    pub(super) idle_timeout_ms: i64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) source_clock: Arc<SourceClock>,
    pub(super) permits: Arc<Permits>,
    pub(super) stop: StopFlag,
    /// What the job waits for before it reads.
    pub(super) gate: Option<Arc<Gate>>,
    /// The load of the table that the job keeps.
    pub(super) load: Option<Arc<TableLoad>>,
    pub(super) tickets: Sender<Ticket>,
    pub(super) driver: Sender<ToDriver>,
}

/// What the reader knows of a partition.
struct PartitionState {
    carry: Arc<Carry>,
    chunks: u64,
    /// Whether it ever had rows, before a restart too.
    begun: bool,
    /// When it last had rows, on the reader's own time, which stands still while the reader is held back.
    last_rows: i64,
    idle: bool,
}

impl Reader {
    /// Reads until the source ends, fails, or the job stops.
    pub(super) fn run(mut self) {
        if let Err(error) = self.read() {
            // A driver that is gone has already ended the job.
            drop(self.driver.send(ToDriver::Failed(error)));
        }
    }

    fn read(&mut self) -> Result<()> {
        if let Some(gate) = &self.gate
            && !gate.pass(self.clock.as_ref(), &self.stop)?
        {
            return Ok(());
        }
        let mut partitions: Vec<PartitionState> = vec![];
        let mut held_back = 0;
        let mut caught_up = false;
        let mut health = None;
        self.meet_partitions(&mut partitions, self.clock.monotonic_micros());
        loop {
            let before = self.clock.monotonic_micros();
            if self.stop.is_raised() {
                return Ok(());
            }
            if !self.permits.take(WAIT) {
                held_back += self.clock.monotonic_micros() - before;
                continue;
            }
            held_back += self.clock.monotonic_micros() - before;
            let polled = self.source.poll(WAIT)?;
            if !matches!(polled, Polled::Chunk(_)) {
                self.permits.give_back(1);
            }
            let own_time = self.clock.monotonic_micros() - held_back;
            self.meet_partitions(&mut partitions, own_time);
            match polled {
                Polled::Chunk(chunk) => {
                    if !self.hand_over(&mut partitions, chunk, own_time) {
                        return Ok(());
                    }
                }
                Polled::Idle => self.note_quiet(&partitions),
                Polled::Advanced { partition, watermark } => {
                    let chunks = partitions[partition].chunks;
                    drop(self.driver.send(ToDriver::Promised {
                        scan: self.scan,
                        partition,
                        chunks,
                        watermark,
                    }));
                }
                Polled::Withdrawn(partition) => {
                    let chunks = partitions.iter().map(|partition| partition.chunks).collect();
                    drop(self.driver.send(ToDriver::Withdrawn { scan: self.scan, partition, chunks }));
                }
                Polled::PartitionEnd(partition) => {
                    let chunks = partitions[partition].chunks;
                    drop(self.driver.send(ToDriver::PartitionEnd { scan: self.scan, partition, chunks }));
                }
                Polled::End => {
                    let chunks = partitions.iter().map(|partition| partition.chunks).sum();
                    drop(self.driver.send(ToDriver::ScanEnd { scan: self.scan, chunks }));
                    return Ok(());
                }
            }
            if !caught_up && self.source.has_caught_up() {
                caught_up = true;
                let chunks = partitions.iter().map(|partition| partition.chunks).collect();
                drop(self.driver.send(ToDriver::CaughtUp { scan: self.scan, chunks }));
            }
            self.say_health(&mut health);
            if let (Some(load), Some((read, total))) = (&self.load, self.source.progress()) {
                load.measured(self.scan, read, total);
            }
            self.find_idle(&mut partitions, own_time);
            self.source_clock.set_looked(before);
        }
    }

    /// Says how the source is, if it is otherwise than it was.
    fn say_health(&self, before: &mut Option<SourceHealth>) {
        let now = self.source.health();
        if let Some(health) = now.clone().filter(|_| now != *before) {
            if let Some(load) = &self.load {
                load.set_health(self.scan, health.clone());
            }
            drop(self.driver.send(ToDriver::Health { scan: self.scan, health }));
            *before = now;
        }
    }

    fn meet_partitions(&mut self, known: &mut Vec<PartitionState>, own_time: i64) {
        let all = self.source.partitions();
        if all.len() == known.len() && !known.is_empty() {
            return;
        }
        for id in &all[known.len()..] {
            let carried = self.resuming.iter().find(|(other, _)| other == id).map(|(_, carried)| *carried);
            let mut carried = carried
                .unwrap_or_else(|| Carried { lines: self.source.header_lines(), ..Carried::default() });
            carried.floor.advance_to(self.source_clock.watermark());
            let carry = Arc::new(Carry::resuming(carried));
            let begun = carried.records > 0;
            known.push(PartitionState { carry, chunks: 0, begun, last_rows: own_time, idle: false });
        }
        let partitions = all.to_vec();
        drop(self.driver.send(ToDriver::Partitions { scan: self.scan, partitions }));
    }

    /// Hands a chunk to the workers; returns false when nobody wants it any more.
    fn hand_over(
        &self,
        partitions: &mut [PartitionState],
        chunk: crate::connect::Chunk,
        own_time: i64,
    ) -> bool {
        let partition_id = self.source.partitions()[chunk.partition].clone();
        let partition = &mut partitions[chunk.partition];
        let floor = self.source_clock.set_active(chunk.partition);
        if partition.idle {
            partition.idle = false;
            partition.carry.lift(floor);
        }
        partition.last_rows = own_time;
        partition.begun = true;
        let turn = partition.chunks;
        partition.chunks += 1;
        let ticket = Ticket {
            scan: self.scan,
            turn,
            chunk,
            arrival_ms: self.clock.now_millis(),
            partition_id,
            carry: Arc::clone(&partition.carry),
        };
        self.tickets.send(ticket).is_ok()
    }

    /// Tells the driver since when nothing has come at all, so that time can go on by the clock.
    fn note_quiet(&self, partitions: &[PartitionState]) {
        if self.source_clock.quiet_since().is_none() && partitions.iter().any(|partition| partition.begun) {
            self.source_clock.set_quiet(self.clock.monotonic_micros());
        }
    }

    fn find_idle(&self, partitions: &mut [PartitionState], own_time: i64) {
        for (ordinal, partition) in partitions.iter_mut().enumerate() {
            let quiet_ms = (own_time - partition.last_rows) / 1_000;
            let waits = !partition.begun && self.source.reads_in_turn();
            if !partition.idle && !waits && quiet_ms >= self.idle_timeout_ms {
                partition.idle = true;
                self.source_clock.set_idle(ordinal);
            }
        }
    }
}
