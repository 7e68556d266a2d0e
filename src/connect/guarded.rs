//! [`GuardedSource`]: a source that may be away at first, or for a while, and is tried again.

use std::sync::Arc;
use std::time::Duration;

use super::circuit::Circuit;
use super::patience::Patience;
use crate::connect::{PartitionId, Polled, Position, ReadRequest, Source, SourceConnector, SourceHealth};
use crate::error::{Error, Result};

/// Opens a source; one that has patience is tried again while it is away, from `positions` on.
///
/// # Errors
/// As opening failed, if it cannot get better by itself.
pub fn open_source(
    connector: &Arc<dyn SourceConnector>,
    request: &ReadRequest,
    positions: Vec<(PartitionId, Position)>,
) -> Result<Box<dyn Source>> {
    let Some(patience) = connector.patience() else { return connector.open(request) };
    let mut source = GuardedSource::new(Arc::clone(connector), request.clone(), patience, positions);
    source.try_open()?;
    Ok(Box::new(source))
}

/// Returns the columns that a sample of the data suggests, and waits for the data as the source's options say.
pub fn infer_when_there(
    connector: &dyn SourceConnector,
    clock: &dyn crate::time::Clock,
) -> Result<arrow::datatypes::SchemaRef> {
    let Some(patience) = connector.patience() else { return connector.infer_schema() };
    let since = clock.monotonic_micros();
    let mut failures = 0;
    loop {
        let error = match connector.infer_schema() {
            Err(error) if error.may_pass() => error,
            inferred => return inferred,
        };
        failures += 1;
        let waited = clock.monotonic_micros().saturating_sub(since);
        let left = patience.limit.saturating_sub(Duration::from_micros(u64::try_from(waited).unwrap_or(0)));
        if left.is_zero() {
            return Err(patience.exhausted(&error));
        }
        clock.wait(patience.pause(failures).min(left));
    }
}

/// A source that is opened again when it was away. Where it goes on is where the last chunk of each partition ended, so
/// that no record comes twice and none is left out.
struct GuardedSource {
    connector: Arc<dyn SourceConnector>,
    request: ReadRequest,
    patience: Patience,
    circuit: Circuit,
    inner: Option<Box<dyn Source>>,
    /// Whether the source has answered a poll since it was opened.
    proven: bool,
    partitions: Vec<Partition>,
    ids: Vec<PartitionId>,
    /// For each partition of the open source its ordinal here.
    places: Vec<usize>,
    /// Positions from before a restart, of partitions that were not met yet.
    positions: Vec<(PartitionId, Position)>,
    /// Since when there are only failures, how many there are, and how many there were in all.
    since: Option<i64>,
    in_a_row: u32,
    failed_tries: u64,
    next_try: i64,
    last: Option<Error>,
}

#[derive(Default)]
struct Partition {
    position: Option<Position>,
    ended: bool,
    withdrawn: bool,
}

impl GuardedSource {
    fn new(
        connector: Arc<dyn SourceConnector>,
        request: ReadRequest,
        patience: Patience,
        positions: Vec<(PartitionId, Position)>,
    ) -> Self {
        Self {
            connector,
            request,
            circuit: Circuit::new(patience.circuit),
            patience,
            inner: None,
            proven: false,
            partitions: vec![],
            ids: vec![],
            places: vec![],
            positions,
            since: None,
            in_a_row: 0,
            failed_tries: 0,
            next_try: i64::MIN,
            last: None,
        }
    }

    fn now(&self) -> i64 {
        self.request.clock.monotonic_micros()
    }

    /// Opens the source, if it is time to try; returns whether it is open.
    fn try_open(&mut self) -> Result<bool> {
        let now = self.now();
        if let (Some(since), Some(last)) = (self.since, &self.last)
            && now >= self.deadline(since)
            && now < self.next_try
        {
            return Err(self.patience.exhausted(last));
        }
        if now < self.next_try || !self.circuit.may_try(now) {
            return Ok(false);
        }
        match self.open() {
            Ok(()) => Ok(true),
            Err(error) => self.failed(error).map(|()| false),
        }
    }

    fn open(&mut self) -> Result<()> {
        let mut source = self.connector.open(&self.request)?;
        let not_met = self.positions.iter().filter(|(id, _)| !self.ids.contains(id));
        let not_met = not_met.map(|(id, position)| (id.clone(), Some(*position)));
        let met = self.ids.iter().zip(&self.partitions);
        let met =
            met.map(|(id, partition)| (id.clone(), partition.position.filter(|_| !partition.withdrawn)));
        source.resume(&not_met.chain(met).collect::<Vec<_>>())?;
        self.places.clear();
        self.meet(source.partitions());
        for (ordinal, id) in self.ids.iter().enumerate() {
            if !self.places.contains(&ordinal) && !self.partitions[ordinal].ended {
                return Err(Error::invalid(format!(
                    "partition `{id}` of {} is gone since it was read last",
                    self.connector.describe()
                ))
                .with_hint("bring it back, or start the job anew"));
            }
        }
        self.inner = Some(source);
        self.proven = false;
        Ok(())
    }

    /// Takes in the partitions of the open source.
    fn meet(&mut self, partitions: &[PartitionId]) {
        for id in partitions.iter().skip(self.places.len()) {
            let place = self.ids.iter().position(|known| known == id).unwrap_or_else(|| {
                let before = self.positions.iter().find(|(known, _)| known == id);
                self.ids.push(id.clone());
                let position = before.map(|(_, position)| *position);
                self.partitions.push(Partition { position, ..Partition::default() });
                self.ids.len() - 1
            });
            self.places.push(place);
        }
    }

    fn deadline(&self, since: i64) -> i64 {
        since.saturating_add(i64::try_from(self.patience.limit.as_micros()).unwrap_or(i64::MAX))
    }

    /// Notes a failure, and fails with it if it cannot pass or has lasted too long.
    fn failed(&mut self, error: Error) -> Result<()> {
        if !error.may_pass() {
            return Err(error);
        }
        // What is tried may take long by itself.
        let now = self.now();
        self.inner = None;
        self.circuit.note(false, now);
        self.failed_tries += 1;
        self.in_a_row = self.in_a_row.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        let deadline = self.deadline(since);
        if now >= deadline {
            return Err(self.patience.exhausted(&error));
        }
        let pause = i64::try_from(self.patience.pause(self.in_a_row).as_micros()).unwrap_or(i64::MAX);
        let next = now.saturating_add(pause).min(deadline);
        self.next_try = next.max(self.circuit.may_try_at());
        self.last = Some(error);
        Ok(())
    }

    /// Notes that the open source answers.
    fn answered(&mut self) {
        if !self.proven {
            let now = self.now();
            self.circuit.note(true, now);
            (self.proven, self.since, self.last, self.in_a_row) = (true, None, None, 0);
            self.next_try = i64::MIN;
        }
    }

    /// Gives what the open source said the ordinals in use here; nothing for an end that was told before.
    fn told(&mut self, polled: Polled) -> Option<Polled> {
        let place = |partition: usize| self.places.get(partition).copied().unwrap_or(partition);
        match polled {
            Polled::Chunk(mut chunk) => {
                chunk.partition = place(chunk.partition);
                self.partitions[chunk.partition].position = Some(chunk.end);
                Some(Polled::Chunk(chunk))
            }
            Polled::Advanced { partition, watermark } => {
                Some(Polled::Advanced { partition: place(partition), watermark })
            }
            Polled::Withdrawn(partition) => {
                let partition = place(partition);
                self.partitions[partition].withdrawn = true;
                Some(Polled::Withdrawn(partition))
            }
            Polled::PartitionEnd(partition) => {
                let partition = place(partition);
                let told = std::mem::replace(&mut self.partitions[partition].ended, true);
                (!told).then_some(Polled::PartitionEnd(partition))
            }
            Polled::Idle | Polled::End => Some(polled),
        }
    }
}

impl Source for GuardedSource {
    fn partitions(&self) -> &[PartitionId] {
        &self.ids
    }

    fn seek(&mut self, partition: usize, position: Position) -> Result<()> {
        self.partitions[partition].position = Some(position);
        let place = self.places.iter().position(|place| *place == partition);
        match (&mut self.inner, place) {
            (Some(inner), Some(place)) => inner.seek(place, position),
            _ => Ok(()),
        }
    }

    fn resume(&mut self, _before: &[(PartitionId, Option<Position>)]) -> Result<()> {
        // Whenever the source is opened it goes on from the positions that it was made with.
        Ok(())
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        if self.inner.is_none() && !self.try_open()? {
            let rest = u64::try_from(self.next_try.saturating_sub(self.now())).unwrap_or(0);
            self.request.clock.wait(wait.min(Duration::from_micros(rest)));
            return Ok(Polled::Idle);
        }
        loop {
            let Some(inner) = &mut self.inner else { return Ok(Polled::Idle) };
            match inner.poll(wait) {
                Ok(polled) => {
                    let partitions = inner.partitions().to_vec();
                    self.meet(&partitions);
                    self.answered();
                    if let Some(polled) = self.told(polled) {
                        return Ok(polled);
                    }
                }
                Err(error) => {
                    self.failed(error)?;
                    return Ok(Polled::Idle);
                }
            }
        }
    }

    fn reads_in_turn(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.reads_in_turn())
    }

    fn header_lines(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.header_lines())
    }

    fn has_caught_up(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.has_caught_up())
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.inner.as_ref().and_then(|inner| inner.progress())
    }

    fn health(&self) -> Option<SourceHealth> {
        let inner = self.inner.as_ref().and_then(|inner| inner.health()).unwrap_or_default();
        Some(SourceHealth {
            circuit: Some(self.circuit.state()),
            failed_tries: self.failed_tries,
            trouble: self.last.as_ref().map(|last| last.message().to_owned()).or(inner.trouble),
        })
    }
}
