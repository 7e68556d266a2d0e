//! [`KafkaSink`]: rows become messages of a topic, at least once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use super::client;
use super::delivery::{Deliveries, Outcome};
use super::headers::Headers;
use super::key;
use super::lookup::{self, ANSWER_TIMEOUT};
use super::settings::{Changelog, KafkaSinkSettings};
use super::trouble::kind;
use crate::connect::{Sink, Written};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::format::Encoder;

/// How long to wait for room in the client's queue before looking whether something has failed.
const ROOM_WAIT: Duration = Duration::from_millis(100);
/// How long one wait of a flush may take; the client itself gives up on a message after `message.timeout.ms`.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

const TIMESTAMP_HINT: &str = "the brokers may refuse event times that are too far from their clock: see \
    `message.timestamp.after.max.ms` and `message.timestamp.before.max.ms` of the topic";

/// One Kafka topic that takes the changes of a result.
///
/// Values are rows in the sink's format, keys come from key columns, and all messages of a key go to one partition in
/// the order of the changes. The producer is idempotent: what it retries arrives once. `flush` returns when every
/// message is confirmed. A sink that has returned an error stays failed.
///
/// A broker that recovers from a crash has forgotten producers whose last message is, by its timestamp, older than
/// `producer.id.expiration.ms` (a day): with old event times as timestamps a retry over the crash may arrive twice.
pub struct KafkaSink {
    settings: KafkaSinkSettings,
    encoder: Box<dyn Encoder>,
    producer: ThreadedProducer<Deliveries>,
    /// Deletes of an upsert changelog that no new row of their key has replaced since the last flush.
    deletes: Deletes,
    sent: u64,
    written: Written,
    values: Vec<u8>,
    ends: Vec<usize>,
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink").field("settings", &self.settings).field("written", &self.written).finish()
    }
}

/// Deleted keys with their timestamps, in the order of the last delete of each.
#[derive(Debug, Default)]
struct Deletes {
    places: HashMap<Vec<u8>, usize>,
    in_order: Vec<Option<(Vec<u8>, Option<i64>)>>,
}

impl Deletes {
    fn add(&mut self, key: &[u8], timestamp: Option<i64>) {
        self.cancel(key);
        self.places.insert(key.to_vec(), self.in_order.len());
        self.in_order.push(Some((key.to_vec(), timestamp)));
    }

    fn cancel(&mut self, key: &[u8]) {
        if let Some(place) = self.places.remove(key)
            && let Some(delete) = self.in_order.get_mut(place)
        {
            *delete = None;
        }
    }

    fn take(&mut self) -> impl Iterator<Item = (Vec<u8>, Option<i64>)> + use<> {
        self.places.clear();
        std::mem::take(&mut self.in_order).into_iter().flatten()
    }
}

/// One message, borrowed.
struct Message<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    timestamp: Option<i64>,
    headers: Option<OwnedHeaders>,
}

impl KafkaSink {
    /// Connects, looks the topic up and creates it if the settings say so.
    ///
    /// # Errors
    ///
    /// `Unavailable` if no broker answers within 10 s; `Invalid` if the topic does not exist and is not to be created,
    /// if an upsert changelog has no key, or if the client does not accept its settings.
    pub fn try_new(settings: KafkaSinkSettings, encoder: Box<dyn Encoder>) -> Result<Self> {
        if settings.changelog == Changelog::Upsert && settings.key_columns.is_empty() {
            return Err(Error::invalid(format!(
                "the upsert changelog to topic `{}` has no key",
                settings.topic
            ))
            .with_hint("declare a PRIMARY KEY, or set `changelog` to `op`"));
        }
        let config = client::producer_config(&settings)?;
        let producer: ThreadedProducer<Deliveries> = client::create(&config, Deliveries::default())?;
        let events = &producer.context().events;
        let count =
            || lookup::partition_count(producer.client(), events, &settings.brokers, &settings.topic, || {});
        if count()?.is_none() {
            let Some(partitions) = settings.create_topic else {
                let otherwise = "`topic.create` to a number of partitions";
                return Err(lookup::missing_topic(producer.client(), &settings.topic, otherwise));
            };
            create_topic(&settings, partitions)?;
        }
        Ok(Self {
            settings,
            encoder,
            producer,
            deletes: Deletes::default(),
            sent: 0,
            written: Written::default(),
            values: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Sends the `kept` rows of `rows` in order, and for an upsert changelog notes the others as deletes.
    fn send_rows(
        &mut self,
        rows: &RecordBatch,
        kept: Option<&BooleanArray>,
        values: &RecordBatch,
    ) -> Result<()> {
        let keys = key::keys(rows, &self.settings.key_columns, &mut self.settings.key_format)?;
        let times = self.settings.event_time.map(|column| key::timestamps(rows, column)).transpose()?;
        let headers = self.settings.headers.map(|column| Headers::of(rows, column)).transpose()?;
        let mut bytes = std::mem::take(&mut self.values);
        let mut ends = std::mem::take(&mut self.ends);
        bytes.clear();
        ends.clear();
        self.encoder.encode_each(values, &mut bytes, &mut ends)?;
        if ends.len() != values.num_rows() {
            return Err(Error::internal(format!("{} values for {} rows", ends.len(), values.num_rows())));
        }
        let upsert = self.settings.changelog == Changelog::Upsert;
        let (mut start, mut upcoming) = (0, ends.iter());
        for row in 0..rows.num_rows() {
            let key = keys.get(row);
            let timestamp = times.as_ref().and_then(|times| times.get(row).copied().flatten());
            if upsert && key.is_none() {
                return Err(Error::data(format!(
                    "a row for topic `{}` has a key of NULL",
                    self.settings.topic
                ))
                .with_hint("an upsert changelog needs a key in every row"));
            }
            if kept.is_none_or(|kept| kept.value(row)) {
                let end = upcoming.next().copied().unwrap_or(start);
                if upsert {
                    self.deletes.cancel(key.unwrap_or_default());
                }
                let headers = headers.as_ref().and_then(|headers| headers.owned(row));
                self.send(Message { key, value: bytes.get(start..end), timestamp, headers })?;
                start = end;
            } else {
                self.deletes.add(key.unwrap_or_default(), timestamp);
            }
        }
        self.values = bytes;
        self.ends = ends;
        Ok(())
    }

    /// Puts a message into the client's queue, waiting for room as long as it takes.
    fn send(&mut self, message: Message<'_>) -> Result<()> {
        let bytes = message.key.map_or(0, <[u8]>::len) + message.value.map_or(0, <[u8]>::len);
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.settings.topic);
        record.key = message.key;
        record.payload = message.value;
        record.timestamp = message.timestamp;
        record.headers = message.headers;
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    record = back;
                    let deliveries = self.producer.context();
                    let settled = deliveries.outcome().settled;
                    let outcome = deliveries.wait(settled + 1, ROOM_WAIT);
                    self.check(outcome)?;
                }
                Err((error, _)) => return Err(self.refused(&error)),
            }
        }
        self.sent += 1;
        self.written.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Returns the error of the first message that could not be delivered.
    fn check(&self, outcome: Outcome) -> Result<()> {
        let Some(code) = outcome.first_failure else { return Ok(()) };
        Err(self.failed(code, &format!("{} of {} messages were not delivered", outcome.failed, self.sent)))
    }

    fn refused(&self, error: &KafkaError) -> Error {
        self.failed(error.rdkafka_error_code().unwrap_or(Code::Unknown), "the message was refused")
    }

    fn failed(&self, code: Code, what: &str) -> Error {
        let reason = match self.producer.client().fatal_error() {
            Some((_, reason)) => reason,
            None => code.to_string(),
        };
        let mut message = format!("cannot write to topic `{}`: {what}: {reason}", self.settings.topic);
        if code == Code::MessageTimedOut
            && let Some((_, why)) = self.producer.context().events.last()
        {
            message = format!("{message} ({why})");
        }
        let error = Error::new(kind(code), message);
        match code {
            Code::MessageSizeTooLarge => {
                error.with_hint("raise `message.max.bytes` of the sink, and `max.message.bytes` of the topic")
            }
            Code::InvalidTimestamp => error.with_hint(TIMESTAMP_HINT),
            Code::InvalidRecord if self.settings.event_time.is_some() => error.with_hint(TIMESTAMP_HINT),
            _ => error,
        }
    }

    fn count(&mut self, rows: usize) {
        self.written.rows += u64::try_from(rows).unwrap_or(u64::MAX);
    }
}

impl Sink for KafkaSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        self.check(self.producer.context().outcome())?;
        let kept = inserted(changes);
        match (self.settings.changelog, kept) {
            (Changelog::Op, kept) => {
                let values = with_op(changes.rows(), kept.as_ref())?;
                self.send_rows(changes.rows(), None, &values)?;
            }
            (Changelog::AppendOnly, Some(_)) => {
                return Err(Error::invalid(format!("topic `{}` gets deletes", self.settings.topic))
                    .with_hint("set `changelog` to `upsert` or `op`"));
            }
            (Changelog::Upsert, Some(kept)) => {
                let values = arrow::compute::filter_record_batch(changes.rows(), &kept)?;
                self.send_rows(changes.rows(), Some(&kept), &values)?;
            }
            (Changelog::NewRows, Some(kept)) => {
                let rows = arrow::compute::filter_record_batch(changes.rows(), &kept)?;
                self.send_rows(&rows, None, &rows)?;
                self.count(rows.num_rows());
                return Ok(());
            }
            (Changelog::AppendOnly | Changelog::NewRows | Changelog::Upsert, None) => {
                self.send_rows(changes.rows(), None, changes.rows())?;
            }
        }
        self.count(changes.num_rows());
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        for (key, timestamp) in self.deletes.take() {
            self.send(Message { key: Some(&key), value: None, timestamp, headers: None })?;
        }
        loop {
            let outcome = self.producer.context().wait(self.sent, FLUSH_WAIT);
            if outcome.settled >= self.sent {
                return self.check(outcome);
            }
            if let Some((code, _)) = self.producer.client().fatal_error() {
                return Err(self.failed(code, "the producer gave up"));
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.flush()
    }

    fn written(&self) -> Written {
        self.written
    }
}

/// Returns which rows are inserted, or none if all are.
fn inserted(changes: &ChangeBatch) -> Option<BooleanArray> {
    let kept: BooleanArray = changes.weights()?.iter().map(|weight| Some(weight.unwrap_or(0) > 0)).collect();
    (kept.true_count() < kept.len()).then_some(kept)
}

/// Puts the column `_op` before the columns of `rows`.
fn with_op(rows: &RecordBatch, kept: Option<&BooleanArray>) -> Result<RecordBatch> {
    let op = |row: usize| if kept.is_none_or(|kept| kept.value(row)) { "insert" } else { "delete" };
    let ops: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows.num_rows()).map(op)));
    let mut fields = vec![Arc::new(Field::new("_op", DataType::Utf8, false))];
    fields.extend(rows.schema_ref().fields().iter().map(Arc::clone));
    let columns = std::iter::once(ops).chain(rows.columns().iter().map(Arc::clone)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn create_topic(settings: &KafkaSinkSettings, partitions: i32) -> Result<()> {
    let config = client::producer_config(settings)?;
    let admin: AdminClient<client::ClientEvents> = client::create(&config, client::ClientEvents::default())?;
    let topic = NewTopic::new(&settings.topic, partitions, TopicReplication::Fixed(-1));
    let options =
        AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT)).request_timeout(Some(ANSWER_TIMEOUT));
    let failed = |code: Code, reason: String| {
        Error::new(kind(code), format!("cannot create topic `{}`: {reason}", settings.topic))
    };
    let made = futures::executor::block_on(admin.create_topics([&topic], &options))
        .map_err(|error| failed(error.rdkafka_error_code().unwrap_or(Code::Unknown), error.to_string()))?;
    match made.into_iter().next() {
        // Another job was faster.
        None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(failed(code, code.to_string())),
    }
}
