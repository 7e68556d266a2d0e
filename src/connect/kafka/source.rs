//! [`KafkaSource`]: the partitions of Kafka topics, read by offset.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Consumer};
use super::lane::{Drained, Lane};
use super::lookup::{self, ANSWER_TIMEOUT, Place};
use super::settings::{KafkaSourceSettings, StartAt};
use super::trouble::{Trouble, judge, kind};
use crate::connect::{
    Chunk, ChunkLimits, KnownPartition, PartitionId, Payload, Polled, Position, Source, SourceHealth,
};
use crate::error::{Error, Result};

/// Events of the client that one poll serves besides records.
const EVENTS_PER_POLL: usize = 16;
/// How long an absent leader may hold up a poll that finds nothing, when asked whether it is back.
const PROBE_TIMEOUT: Duration = Duration::from_millis(100);

/// The partitions of one or more Kafka topics.
///
/// A poll never waits for a chunk to fill: whatever the client has fetched of a partition goes out at once, and under
/// load that is as much as the limits allow. Partitions take turns.
///
/// Brokers that go away after the source has opened are not an error: polls find nothing until they are back, and
/// [`stalled`](Self::stalled) says why. A position that the topic no longer (or not yet) has is an error, never a jump.
pub struct KafkaSource {
    brokers: String,
    with_headers: bool,
    limits: ChunkLimits,
    partitions: Vec<PartitionId>,
    // Before the consumer: their queues end before it does.
    lanes: Vec<Lane>,
    consumer: Arc<Consumer>,
    bell: (SyncSender<()>, Receiver<()>),
    assigned: bool,
    /// The lane that is looked at first.
    turn: usize,
    end_told: bool,
    stalled: Option<String>,
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("brokers", &self.brokers)
            .field("partitions", &self.partitions)
            .finish()
    }
}

impl KafkaSource {
    /// Connects, and looks up the partitions and where they begin and end.
    ///
    /// # Errors
    ///
    /// `Unavailable` if no broker answers within 10 s; `Invalid` if a topic or partition does not exist or the client
    /// does not accept its settings.
    pub fn try_new(settings: KafkaSourceSettings, limits: ChunkLimits) -> Result<Self> {
        let probe = client::consumer(&settings, 1)?;
        let (names, places) = find(&probe, &settings)?;
        let starts: Vec<i64> = match settings.start {
            StartAt::Earliest => places.iter().map(|place| place.low).collect(),
            StartAt::Latest => places.iter().map(|place| place.high).collect(),
            StartAt::Timestamp(millis) => {
                let found = lookup::at_timestamp(&probe, &names, millis)?;
                places.iter().zip(found).map(|(place, at)| at.unwrap_or(place.high)).collect()
            }
        };
        let partitions = places.iter().map(Place::id).collect();
        let lanes: Vec<Lane> = places
            .into_iter()
            .zip(starts)
            .map(|(place, start)| Lane::new(place, start, settings.bounded))
            .collect();
        let (ring, hear) = mpsc::sync_channel(1);
        let mut consumer = client::consumer(&settings, lanes.len())?;
        let ring_main = ring.clone();
        consumer.set_nonempty_callback(move || knock(&ring_main));
        Ok(Self {
            brokers: settings.brokers,
            with_headers: settings.with_headers,
            limits,
            partitions,
            lanes,
            consumer: Arc::new(consumer),
            bell: (ring, hear),
            assigned: false,
            turn: 0,
            end_told: false,
            stalled: None,
        })
    }

    /// Says why nothing comes although there may be something, in the client's words.
    pub fn stalled(&self) -> Option<String> {
        self.stalled.clone()
    }

    /// Begins to fetch, every partition at its position.
    fn assign(&mut self) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(self.lanes.len());
        let failed = |error: KafkaError| Error::internal(format!("cannot assign Kafka partitions: {error}"));
        for lane in &mut self.lanes {
            let Place { topic, number, low, high } = lane.place.clone();
            if !(low..=high).contains(&lane.next) {
                return Err(offset_gone(&lane.place, lane.next));
            }
            // Split off first: else records could slip into the common queue in between.
            let queue = self.consumer.split_partition_queue(&topic, number).ok_or_else(|| {
                Error::internal(format!("the Kafka client does not know partition `{topic}/{number}`"))
            })?;
            let ring = self.bell.0.clone();
            lane.open(queue, move || knock(&ring));
            if !lane.is_over() {
                list.add_partition_offset(&topic, number, Offset::Offset(lane.next)).map_err(failed)?;
            }
        }
        self.consumer.assign(&list).map_err(failed)?;
        self.assigned = true;
        Ok(())
    }

    /// Looks once at everything that has arrived.
    fn look(&mut self) -> Result<Option<Polled>> {
        // Whatever rings from here on is seen by the next wait.
        while self.bell.1.try_recv().is_ok() {}
        self.serve_client()?;
        let count = self.lanes.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let Some(lane) = self.lanes.get_mut(at) else { continue };
            if lane.told {
                continue;
            }
            if !lane.is_over() {
                match lane.drain(&self.limits, self.with_headers)? {
                    Drained::Records(start, messages) => {
                        self.stalled = None;
                        self.turn = at + 1;
                        let end = Position(lane.next);
                        let payload = Payload::Messages(messages);
                        return Ok(Some(Polled::Chunk(Chunk {
                            partition: at,
                            start,
                            end,
                            payload,
                            origin: None,
                            watermark: None,
                        })));
                    }
                    Drained::Trouble(error) => self.meet(&error, Some(at))?,
                    Drained::Nothing => {}
                }
            }
            if let Some(lane) = self.lanes.get_mut(at)
                && lane.is_over()
            {
                lane.told = true;
                self.release(at)?;
                return Ok(Some(Polled::PartitionEnd(at)));
            }
        }
        if !self.end_told && self.lanes.iter().all(|lane| lane.told) {
            self.end_told = true;
            return Ok(Some(Polled::End));
        }
        Ok(None)
    }

    /// Stops fetching a partition that is read to its end.
    fn release(&self, at: usize) -> Result<()> {
        let Some(lane) = self.lanes.get(at) else { return Ok(()) };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&lane.place.topic, lane.place.number);
        match self.consumer.pause(&list) {
            Ok(()) => Ok(()),
            Err(error) => {
                Err(Error::internal(format!("cannot leave partition `{}`: {error}", self.partitions[at])))
            }
        }
    }

    /// Serves what the client has to say beside records.
    fn serve_client(&mut self) -> Result<()> {
        for _ in 0..EVENTS_PER_POLL {
            let error = match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(_)) => {
                    return Err(Error::internal("a Kafka record came outside its partition's queue"));
                }
                Some(Err(error)) => error,
            };
            self.meet(&error, None)?;
        }
        Ok(())
    }

    /// Notes a passing trouble, and turns a lasting one into an error.
    fn meet(&mut self, error: &KafkaError, lane: Option<usize>) -> Result<()> {
        let Some(code) = error.rdkafka_error_code() else { return Ok(()) };
        let place = lane.and_then(|at| self.lanes.get(at));
        match judge(code) {
            Trouble::Harmless => Ok(()),
            Trouble::Passing => {
                let reason =
                    self.consumer.context().last().map_or_else(|| code.to_string(), |(_, reason)| reason);
                self.stalled = Some(format!("Kafka brokers `{}`: {reason}", self.brokers));
                Ok(())
            }
            Trouble::OffsetGone => match place {
                Some(lane) => Err(offset_gone(&self.look_up(lane), lane.next)),
                None => Err(Error::invalid(format!("a Kafka offset is no longer there: {code}"))),
            },
            Trouble::Lasting(_) => {
                let what = match place {
                    Some(lane) => format!("partition `{}/{}`", lane.place.topic, lane.place.number),
                    None => format!("the Kafka brokers `{}`", self.brokers),
                };
                let reason = match self.consumer.context().last() {
                    Some((last, reason)) if last == code => reason,
                    _ => code.to_string(),
                };
                Err(lasting(code, format!("cannot read from {what}: {reason}")))
            }
        }
    }

    /// Returns where the partition begins and ends now, as far as the brokers answer.
    fn look_up(&self, lane: &Lane) -> Place {
        let name = [(lane.place.topic.clone(), lane.place.number)];
        let now = lookup::places(&self.consumer, &name, PROBE_TIMEOUT);
        now.ok().and_then(|places| places.into_iter().next()).unwrap_or_else(|| lane.place.clone())
    }

    /// Asks all leaders for the ends of their partitions: if they answer, nothing holds the source back.
    fn probe(&mut self, wait: Duration) {
        let names: Vec<(String, i32)> =
            self.lanes.iter().map(|lane| (lane.place.topic.clone(), lane.place.number)).collect();
        if lookup::places(&self.consumer, &names, wait.min(PROBE_TIMEOUT)).is_ok() {
            self.stalled = None;
        }
    }
}

impl Source for KafkaSource {
    fn partitions(&self) -> &[PartitionId] {
        &self.partitions
    }

    fn seek(&mut self, partition: usize, position: Position) -> Result<()> {
        if self.assigned {
            return Err(Error::internal("a Kafka source was told to seek after its first poll"));
        }
        match self.lanes.get_mut(partition) {
            Some(lane) => {
                lane.next = position.0;
                Ok(())
            }
            None => Err(Error::internal(format!("there is no partition {partition} to seek in"))),
        }
    }

    fn health(&self) -> Option<SourceHealth> {
        Some(SourceHealth { trouble: self.stalled(), ..SourceHealth::default() })
    }

    fn has_caught_up(&self) -> bool {
        self.lanes.iter().all(Lane::has_caught_up)
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let parts = self.lanes.iter().map(Lane::progress);
        Some(parts.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1)))
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        if !self.assigned {
            self.assign()?;
        }
        if let Some(found) = self.look()? {
            return Ok(found);
        }
        // The source itself holds the other end, so that this is a ring or the limit.
        let rung = self.bell.1.recv_timeout(wait).is_ok();
        if let Some(found) = self.look()? {
            return Ok(found);
        }
        if !rung && self.stalled.is_some() {
            self.probe(wait);
        }
        Ok(Polled::Idle)
    }
}

/// Rings the bell; when it has rung already, that is enough.
fn knock(bell: &SyncSender<()>) {
    bell.try_send(()).ok();
}

/// Returns the number of partitions of `topic`.
fn partitions_of(probe: &Consumer, settings: &KafkaSourceSettings, topic: &str) -> Result<i32> {
    let serve = || while probe.poll(Duration::ZERO).is_some() {};
    let found = lookup::partition_count(probe.client(), probe.context(), &settings.brokers, topic, serve)?;
    found.ok_or_else(|| lookup::missing_topic(probe.client(), topic, "`topic.wait.timeout` to wait for it"))
}

/// A topic and the number of a partition of it.
type TopicPartition = (String, i32);

/// Finds the partitions to read, and where they begin and end.
fn find(probe: &Consumer, settings: &KafkaSourceSettings) -> Result<(Vec<TopicPartition>, Vec<Place>)> {
    let mut names = Vec::new();
    for topic in &settings.topics {
        let count = partitions_of(probe, settings, topic)?;
        names.extend(chosen(topic, count, settings.partitions.as_deref())?);
    }
    if names.is_empty() {
        return Err(Error::invalid("a Kafka source needs at least one topic and partition"));
    }
    let places = lookup::places(probe, &names, ANSWER_TIMEOUT)?;
    Ok((names, places))
}

/// Returns the partitions that a source would read, with the offsets that they have now.
pub(super) fn known_partitions(settings: &KafkaSourceSettings) -> Result<Vec<KnownPartition>> {
    let (_, places) = find(&client::consumer(settings, 1)?, settings)?;
    let known = |place: Place| KnownPartition {
        offsets: Some((place.low, place.high)),
        ..KnownPartition::named(place.id())
    };
    Ok(places.into_iter().map(known).collect())
}

/// Returns the partitions of `topic` to read.
fn chosen(topic: &str, count: i32, explicit: Option<&[i32]>) -> Result<Vec<(String, i32)>> {
    let Some(explicit) = explicit else {
        return Ok((0..count).map(|number| (topic.to_owned(), number)).collect());
    };
    let mut numbers = explicit.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers.iter().find(|number| !(0..count).contains(*number)) {
        Some(number) => Err(Error::invalid(format!("topic `{topic}` has no partition {number}"))
            .with_hint(format!("its partitions are 0 to {}", count - 1))),
        None => Ok(numbers.into_iter().map(|number| (topic.to_owned(), number)).collect()),
    }
}

fn offset_gone(place: &Place, wanted: i64) -> Error {
    let Place { topic, number, low, high } = place;
    let error = Error::invalid(format!(
        "offset {wanted} of partition `{topic}/{number}` is not there: the partition has offsets {low} to {high}"
    ));
    if wanted < *low {
        error.with_hint(
            "its records were deleted by the topic's retention: start the job anew, or from a later position",
        )
    } else {
        error.with_hint("the topic was made anew or lost records: start the job anew")
    }
}

fn lasting(code: Code, message: String) -> Error {
    Error::new(kind(code), message)
}
