//! What a Kafka source or sink is told, and which settings of the client library a user may change.

use std::fmt;

use crate::error::{Error, Result};
use crate::format::Encoder;

/// Where a partition without a stored position begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// The oldest record that the brokers still have.
    Earliest,
    /// After the newest record there is when the source opens.
    #[default]
    Latest,
    /// The first record whose timestamp, in epoch milliseconds, is this one or later; without one, the end.
    Timestamp(i64),
}

/// What a [`KafkaSource`](super::KafkaSource) reads.
#[derive(Debug, Clone)]
pub struct KafkaSourceSettings {
    /// The brokers asked first, as `host:port,host:port`.
    pub brokers: String,
    /// The topics, each of which must exist.
    pub topics: Vec<String>,
    /// The partitions of every topic to read; all of them if none are given.
    pub partitions: Option<Vec<i32>>,
    /// Where reading begins.
    pub start: StartAt,
    /// Whether reading ends at the end that each partition has when the source opens.
    pub bounded: bool,
    /// The consumer group under which the client shows itself to the brokers; it neither assigns nor commits.
    pub group_id: Option<String>,
    /// Settings of the client library, each from [`client_setting_names`].
    pub client: Vec<(String, String)>,
    /// Whether the headers of the messages are wanted; collecting them costs an allocation each.
    pub with_headers: bool,
}

impl KafkaSourceSettings {
    /// Returns settings that read all partitions of `topic` from their beginning, without end.
    pub fn new(brokers: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topics: vec![topic.into()],
            partitions: None,
            start: StartAt::Earliest,
            bounded: false,
            group_id: None,
            client: Vec::new(),
            with_headers: false,
        }
    }
}

/// How the deletes of a changelog are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changelog {
    /// There are none: a delete is an error.
    #[default]
    AppendOnly,
    /// They are left out: the new rows stand for themselves.
    NewRows,
    /// A delete is a message with the row's key and no value, unless the key gets a new row before the next flush.
    Upsert,
    /// Every row has a leading column `_op`, either `insert` or `delete`.
    Op,
}

/// How the key of a message is written.
#[derive(Default)]
pub enum KeyFormat {
    /// The texts of the key columns, joined by `|`; NULL is the empty text.
    #[default]
    Text,
    /// The key columns in a format of their own.
    Encoded(Box<dyn Encoder>),
}

impl fmt::Debug for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "Text",
            Self::Encoded(_) => "Encoded",
        })
    }
}

/// Client settings that go well together; single settings given by the user win over them.
///
/// In every profile all in-sync replicas confirm and retries make no duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryProfile {
    /// Batches wait up to 5 ms, lz4.
    #[default]
    Balanced,
    /// Batches wait up to 50 ms and grow to 1 MiB, lz4.
    HighThroughput,
    /// Nothing waits and nothing is compressed.
    LowLatency,
    /// One request in flight, ten minutes of patience with absent brokers, zstd.
    Durable,
    /// Brokers that are away for 10 s are an error.
    Development,
}

impl DeliveryProfile {
    /// Returns the profile of that name, as the option `delivery_profile` gives it.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "balanced" => Ok(Self::Balanced),
            "high_throughput" => Ok(Self::HighThroughput),
            "low_latency" => Ok(Self::LowLatency),
            "durable" | "max_durability" => Ok(Self::Durable),
            "development" => Ok(Self::Development),
            other => Err(Error::invalid(format!("unknown delivery profile `{other}`")).with_hint(
                "choose `balanced`, `high_throughput`, `low_latency`, `durable` or `development`",
            )),
        }
    }

    pub(super) fn client_settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Balanced => &[("linger.ms", "5"), ("compression.type", "lz4")],
            Self::HighThroughput => {
                &[("linger.ms", "50"), ("batch.size", "1048576"), ("compression.type", "lz4")]
            }
            Self::LowLatency => &[("linger.ms", "0"), ("compression.type", "none")],
            Self::Durable => &[
                ("linger.ms", "5"),
                ("compression.type", "zstd"),
                ("max.in.flight.requests.per.connection", "1"),
                ("message.timeout.ms", "600000"),
            ],
            Self::Development => &[("linger.ms", "5"), ("message.timeout.ms", "10000")],
        }
    }
}

/// What a [`KafkaSink`](super::KafkaSink) writes to, and how.
#[derive(Debug, Default)]
pub struct KafkaSinkSettings {
    /// The brokers asked first, as `host:port,host:port`.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// Settings of the client library, each from [`client_setting_names`].
    pub client: Vec<(String, String)>,
    /// The columns that make the key of a message, by index; without any, messages have no key.
    pub key_columns: Vec<usize>,
    /// How the key is written.
    pub key_format: KeyFormat,
    /// The column, by index, whose time is the timestamp of the message; without one the producer's clock counts.
    ///
    /// A time before 1970-01-01T00:00:00.001Z or NULL cannot be expressed and is left out.
    pub event_time: Option<usize>,
    /// The column, a map, that holds the headers of each message.
    pub headers: Option<usize>,
    /// How deletes are written.
    pub changelog: Changelog,
    /// The number of partitions with which to create the topic if it is missing.
    pub create_topic: Option<i32>,
    /// The client settings to begin with.
    pub profile: DeliveryProfile,
}

/// Settings that change how a client connects, signs in and sizes its buffers, but nothing that a job relies on.
const BOTH: &[&str] = &[
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "enable.ssl.certificate.verification",
    "message.max.bytes",
    "metadata.max.age.ms",
    "metadata.recovery.strategy",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

const SOURCE: &[&str] = &[
    "check.crcs",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
];

const SINK: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.timeout.ms",
    "enable.idempotence",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
];

/// Which end of a topic a client is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Source,
    Sink,
}

/// Returns the client settings that a source (or, if `sink`, a sink) accepts.
pub fn client_setting_names(sink: bool) -> Vec<&'static str> {
    let mut names = [BOTH, if sink { SINK } else { SOURCE }].concat();
    names.sort_unstable();
    names
}

/// Checks that every setting is one that a user may change.
pub(super) fn check_client_settings(role: Role, settings: &[(String, String)]) -> Result<()> {
    let accepted = client_setting_names(role == Role::Sink);
    for (name, _) in settings {
        if accepted.contains(&name.as_str()) {
            continue;
        }
        let error = Error::invalid(format!("the Kafka client setting `{name}` cannot be changed"));
        let nearest = super::lookup::nearest(name, accepted.iter().copied());
        return Err(match nearest.first() {
            Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
            None => error.with_hint(format!("accepted: {}", accepted.join(", "))),
        });
    }
    Ok(())
}
