//! [`Lane`]: one partition of a source, cut into chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use super::client::ClientEvents;
use super::lookup::Place;
use crate::connect::{ChunkLimits, Messages, Position};
use crate::error::{Error, Result};

/// The most bytes that a chunk holds whatever the limits say: its ends are counted in 32 bits.
const BYTES_MAX: usize = 1 << 30;

/// One partition: its queue, and how far it has been read.
pub(super) struct Lane {
    pub(super) place: Place,
    /// The offset at which the next chunk starts.
    pub(super) next: i64,
    /// The offset at which a bounded source stops.
    end: Option<i64>,
    /// Whether the brokers said that nothing comes before `end` any more.
    at_end: bool,
    /// Whether an endless source has come to where the partition ended at some time.
    reached_end: bool,
    /// Whether the end was told.
    pub(super) told: bool,
    /// Rung by the client when something arrives in the empty queue.
    pub(super) ready: Arc<AtomicBool>,
    queue: Option<PartitionQueue<ClientEvents>>,
    /// An error that came after the records of the last chunk.
    trouble: Option<KafkaError>,
    /// Sizes of the last chunk, as a guess for the next.
    last: (usize, usize, usize),
}

/// What a look into the queue brought.
pub(super) enum Drained {
    /// Records from the position on, which is the new start; all but the messages.
    Records(Position, Messages),
    /// The partition said something else.
    Trouble(KafkaError),
    Nothing,
}

impl Lane {
    pub(super) fn new(place: Place, next: i64, bounded: bool) -> Self {
        let end = bounded.then_some(place.high);
        Self {
            place,
            next,
            end,
            at_end: false,
            reached_end: false,
            told: false,
            ready: Arc::new(AtomicBool::new(false)),
            queue: None,
            trouble: None,
            last: (0, 0, 0),
        }
    }

    /// Reads from `queue`, and has `ring` called whenever something arrives.
    pub(super) fn open(
        &mut self,
        mut queue: PartitionQueue<ClientEvents>,
        ring: impl Fn() + Send + Sync + 'static,
    ) {
        let ready = Arc::clone(&self.ready);
        queue.set_nonempty_callback(move || {
            ready.store(true, Ordering::Release);
            ring();
        });
        self.ready.store(true, Ordering::Release);
        self.queue = Some(queue);
    }

    /// Whether no record can come any more.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.at_end || self.next >= end)
    }

    /// Whether everything is read that was there when the partition was looked up.
    ///
    /// What a transaction or compaction left out has offsets, too: behind the last record there may be none to read.
    pub(super) fn has_caught_up(&self) -> bool {
        self.reached_end || self.at_end || self.next >= self.place.high
    }

    /// Returns how many of the offsets that were there are read, and how many those are.
    pub(super) fn progress(&self) -> (u64, u64) {
        let count = |from: i64, to: i64| u64::try_from(to - from).unwrap_or(0);
        let total = count(self.place.low, self.place.high);
        (count(self.place.low, self.next).min(total), total)
    }

    /// Takes what is in the queue, up to the limits; never waits.
    pub(super) fn drain(&mut self, limits: &ChunkLimits, with_headers: bool) -> Result<Drained> {
        if let Some(error) = self.trouble.take() {
            self.ready.store(true, Ordering::Release);
            return Ok(Drained::Trouble(error));
        }
        if !self.ready.swap(false, Ordering::AcqRel) {
            return Ok(Drained::Nothing);
        }
        let Some(queue) = &self.queue else { return Ok(Drained::Nothing) };
        let start = Position(self.next);
        let bytes_max = limits.bytes.min(BYTES_MAX);
        let mut messages = Messages::default();
        loop {
            let records = messages.ends.len();
            let full =
                records >= limits.rows.max(1) || messages.values.len() + messages.keys.len() >= bytes_max;
            if records > 0 && full {
                self.ready.store(true, Ordering::Release);
                break;
            }
            match queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) if self.end.is_some_and(|end| message.offset() >= end) => {
                    self.at_end = true;
                    break;
                }
                Some(Ok(message)) => {
                    if records == 0 {
                        reserve(&mut messages, self.last, limits.rows);
                    }
                    append(&mut messages, &message, with_headers)?;
                    self.next = message.offset() + 1;
                }
                Some(Err(KafkaError::PartitionEOF(_))) if self.end.is_none() => self.reached_end = true,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    break;
                }
                Some(Err(error)) => {
                    self.ready.store(true, Ordering::Release);
                    self.trouble = Some(error);
                    break;
                }
            }
        }
        if messages.ends.is_empty() {
            return Ok(self.trouble.take().map_or(Drained::Nothing, Drained::Trouble));
        }
        self.last = (messages.ends.len(), messages.values.len(), messages.keys.len());
        Ok(Drained::Records(start, messages))
    }
}

/// Makes room for about as much as the last chunk held.
fn reserve(messages: &mut Messages, last: (usize, usize, usize), rows_max: usize) {
    let (rows, values, keys) = last;
    let rows = rows.min(rows_max);
    messages.values.reserve(values);
    messages.keys.reserve(keys);
    messages.ends.reserve(rows);
    messages.key_ends.reserve(rows);
    messages.timestamps.reserve(rows);
    messages.offsets.reserve(rows);
}

fn append(messages: &mut Messages, message: &BorrowedMessage<'_>, with_headers: bool) -> Result<()> {
    let ordinal = place(messages.ends.len())?;
    match message.payload() {
        Some(value) => messages.values.extend_from_slice(value),
        None => messages.tombstones.push(ordinal),
    }
    let key = message.key();
    messages.keys.extend_from_slice(key.unwrap_or_default());
    if with_headers && let Some(headers) = message.headers() {
        for header in headers.iter() {
            messages.headers.push((ordinal, header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        }
    }
    messages.ends.push(place(messages.values.len())?);
    messages.key_ends.push((place(messages.keys.len())?, key.is_some()));
    messages.timestamps.push(message.timestamp().to_millis());
    messages.offsets.push(message.offset());
    Ok(())
}

fn place(bytes: usize) -> Result<u32> {
    u32::try_from(bytes)
        .map_err(|_| Error::internal(format!("a chunk of {bytes} bytes is too large to address")))
}
