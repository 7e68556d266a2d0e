//! The client library's configuration, and what it says by itself.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::settings::{KafkaSinkSettings, KafkaSourceSettings, Role, check_client_settings};
use crate::error::{Error, Result};

/// How much one source buffers ahead of its reader, over all partitions.
const SOURCE_BUFFER_KBYTES: usize = 64 * 1024;
/// What a partition may buffer at least: one full fetch.
const LANE_BUFFER_KBYTES_MIN: usize = 1024;

/// Remembers the last thing that went wrong in the client, in the library's words.
#[derive(Debug, Default)]
pub(super) struct ClientEvents {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl ClientEvents {
    /// Returns the last error and its reason.
    pub(super) fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows the reason and says less.
        let says_less = code == RDKafkaErrorCode::AllBrokersDown && last.is_some();
        if code != RDKafkaErrorCode::PartitionEOF && !says_less {
            *last = Some((code, plain(reason)));
        }
    }
}

impl ClientContext for ClientEvents {
    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&error, reason);
    }
}

impl ConsumerContext for ClientEvents {}

/// Cuts the library's own account of its state and its repetitions off a reason.
fn plain(reason: &str) -> String {
    let end = reason.find(" (after ").unwrap_or(reason.len());
    reason.get(..end).unwrap_or(reason).trim().to_owned()
}

/// The consumer of a source.
pub(super) type Consumer = BaseConsumer<ClientEvents>;

/// Creates a consumer for `lanes` partitions that reads nothing yet.
pub(super) fn consumer(settings: &KafkaSourceSettings, lanes: usize) -> Result<Consumer> {
    check_client_settings(Role::Source, &settings.client)?;
    let budget = (SOURCE_BUFFER_KBYTES / lanes.max(1)).max(LANE_BUFFER_KBYTES_MIN);
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", "velostream")
        .set("group.id", settings.group_id.as_deref().unwrap_or("velostream"))
        .set("isolation.level", "read_committed")
        // A killed broker is noticed at once; this bounds how long its return may go unseen.
        .set("reconnect.backoff.max.ms", "1000")
        // The default stalls a full queue for a second after it was emptied.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.wait.max.ms", "50")
        .set("queued.max.messages.kbytes", budget.to_string());
    for (name, value) in &settings.client {
        config.set(name, value);
    }
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false");
    create(&config, ClientEvents::default())
}

/// Returns the configuration of a sink's producer.
pub(super) fn producer_config(settings: &KafkaSinkSettings) -> Result<ClientConfig> {
    check_client_settings(Role::Sink, &settings.client)?;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", "velostream")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("reconnect.backoff.max.ms", "1000")
        .set("queue.buffering.max.kbytes", "65536")
        // As the Java client does, so that the partition of a key does not depend on who writes it.
        .set("partitioner", "murmur2_random");
    for (name, value) in settings.profile.client_settings() {
        config.set(*name, *value);
    }
    for (name, value) in &settings.client {
        config.set(name, value);
    }
    Ok(config)
}

/// Creates a client; what the library does not accept is the user's to mend.
pub(super) fn create<C, T>(config: &ClientConfig, context: C) -> Result<T>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    T::from_config_and_context(config, context).map_err(|error| match error {
        KafkaError::ClientConfig(_, reason, name, _) => {
            Error::invalid(format!("the Kafka client does not accept the setting `{name}`: {reason}"))
        }
        other => Error::invalid(format!("the Kafka client does not accept its settings: {other}"))
            .with_hint("check the `kafka.*` options against each other"),
    })
}
