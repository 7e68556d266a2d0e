//! What the brokers say about topics, partitions and offsets before anything is read or written.

use std::sync::mpsc;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ClientEvents, Consumer};
use super::trouble::{Trouble, judge, kind};
use crate::connect::PartitionId;
use crate::error::{Error, ErrorKind, Result};

/// How long brokers may take to answer in all before they count as unreachable.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// One request; between two of them a refused password is noticed.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to ask again while a topic has no leader yet.
const SETTLE: Duration = Duration::from_millis(200);

/// One partition, as the brokers see it when the source opens.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) number: i32,
    /// The oldest offset there is.
    pub(super) low: i64,
    /// The offset that the next record will get, or the end of the last finished transaction.
    pub(super) high: i64,
}

impl Place {
    /// Returns the name of the partition.
    pub(super) fn id(&self) -> PartitionId {
        PartitionId(format!("{}/{}", self.topic, self.number).into())
    }
}

/// Returns the error for brokers that do not answer.
pub(super) fn unreachable(brokers: &str, last: Option<&(Code, String)>) -> Error {
    let reason = last.map_or_else(|| "no answer".to_owned(), |(_, reason)| reason.clone());
    let kind = last.map_or(ErrorKind::Unavailable, |(code, _)| kind(*code));
    let what = if kind == ErrorKind::Invalid { "refused by" } else { "cannot reach" };
    Error::new(kind, format!("{what} the Kafka brokers `{brokers}`: {reason}")).with_hint(
        if kind == ErrorKind::Invalid {
            "check user, password and protocol of the connection"
        } else {
            "check the addresses, and that a broker listens there"
        },
    )
}

/// Returns the number of partitions of `topic`, or none if there is no such topic.
///
/// `serve` lets the client tell what it has to tell between two tries.
pub(super) fn partition_count<C: ClientContext>(
    client: &Client<C>,
    events: &ClientEvents,
    brokers: &str,
    topic: &str,
    serve: impl Fn(),
) -> Result<Option<i32>> {
    for _ in 0..ANSWER_TIMEOUT.as_millis() / ASK_TIMEOUT.as_millis() {
        let answer = client.fetch_metadata(Some(topic), ASK_TIMEOUT);
        serve();
        let metadata = match answer {
            Ok(metadata) => metadata,
            Err(error) => {
                let refused =
                    |(code, _): &(Code, String)| judge(*code) == Trouble::Lasting(ErrorKind::Invalid);
                match error.rdkafka_error_code().map(judge) {
                    Some(Trouble::Passing) if !events.last().as_ref().is_some_and(refused) => continue,
                    Some(Trouble::Passing) => break,
                    _ => return Err(Error::unavailable(format!("cannot look up topic `{topic}`: {error}"))),
                }
            }
        };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(Code::from) {
            None => match i32::try_from(found.partitions().len()) {
                Ok(count) if count > 0 => return Ok(Some(count)),
                _ => pause(SETTLE),
            },
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
            Some(code) if judge(code) == Trouble::Passing => pause(SETTLE),
            Some(code) => return Err(Error::new(kind(code), format!("cannot use topic `{topic}`: {code}"))),
        }
    }
    Err(unreachable(brokers, events.last().as_ref()))
}

/// Returns the error for a topic that does not exist, with the names there are that look like it.
pub(super) fn missing_topic<C: ClientContext>(client: &Client<C>, topic: &str, otherwise: &str) -> Error {
    let names: Vec<String> = match client.fetch_metadata(None, ASK_TIMEOUT) {
        Ok(metadata) => metadata.topics().iter().map(|found| found.name().to_owned()).collect(),
        Err(_) => Vec::new(),
    };
    let public = names.iter().map(String::as_str).filter(|name| !name.starts_with("__"));
    let nearest: Vec<String> = nearest(topic, public).iter().map(|name| format!("`{name}`")).collect();
    let error = Error::absent(format!("there is no Kafka topic `{topic}`"));
    match nearest.as_slice() {
        [] => error.with_hint(format!("create it, or set {otherwise}")),
        near => {
            error.with_hint(format!("did you mean {}? Else create it, or set {otherwise}", near.join(" or ")))
        }
    }
}

/// Returns up to three of `names` that look like `wanted`, the nearest first.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let reach = (wanted.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, _)| *distance <= reach)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Lets `time` pass.
pub(super) fn pause(time: Duration) {
    let (_open, never) = mpsc::channel::<()>();
    // It always runs into the limit: nobody sends, and the other end is open.
    never.recv_timeout(time).ok();
}

/// Returns the places of `partitions` as they are now.
pub(super) fn places(
    consumer: &Consumer,
    partitions: &[(String, i32)],
    timeout: Duration,
) -> Result<Vec<Place>> {
    let lows = offsets(consumer, partitions, Offset::Beginning, timeout)?;
    let highs = offsets(consumer, partitions, Offset::End, timeout)?;
    let places = partitions.iter().zip(lows.into_iter().zip(highs));
    places
        .map(|((topic, number), (low, high))| match (low, high) {
            (Some(low), Some(high)) => Ok(Place { topic: topic.clone(), number: *number, low, high }),
            _ => Err(Error::unavailable(format!(
                "the brokers do not say where `{topic}/{number}` begins and ends"
            ))),
        })
        .collect()
}

/// Returns for each partition the first offset at or after `timestamp` (epoch milliseconds), if there is one.
pub(super) fn at_timestamp(
    consumer: &Consumer,
    partitions: &[(String, i32)],
    timestamp: i64,
) -> Result<Vec<Option<i64>>> {
    // Negative numbers stand for the beginning and the end; before 1970 there is nothing but the beginning.
    offsets(consumer, partitions, Offset::Offset(timestamp.max(0)), ANSWER_TIMEOUT)
}

fn offsets(
    consumer: &Consumer,
    partitions: &[(String, i32)],
    at: Offset,
    timeout: Duration,
) -> Result<Vec<Option<i64>>> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    let failed = |topic: &str, error: &dyn std::fmt::Display| {
        Error::unavailable(format!("cannot look up the offsets of topic `{topic}`: {error}"))
    };
    for (topic, number) in partitions {
        list.add_partition_offset(topic, *number, at).map_err(|error| failed(topic, &error))?;
    }
    let first = partitions.first().map_or("", |(topic, _)| topic);
    let passes = |error: &KafkaError| error.rdkafka_error_code().map(judge) == Some(Trouble::Passing);
    let mut tries = timeout.as_millis() / SETTLE.as_millis();
    let found = loop {
        match consumer.offsets_for_times(list.clone(), timeout) {
            // Leaders of a topic that was just made are not known everywhere yet.
            Err(error) if passes(&error) && tries > 0 => tries -= 1,
            other => break other.map_err(|error| failed(first, &error))?,
        }
        pause(SETTLE);
    };
    partitions
        .iter()
        .map(|(topic, number)| {
            let Some(found) = found.find_partition(topic, *number) else { return Ok(None) };
            found.error().map_err(|error| failed(topic, &error))?;
            Ok(match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        })
        .collect()
}
