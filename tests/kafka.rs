//! The Kafka source and sink against a real broker.

#[cfg(test)]
#[path = "kafka/application.rs"]
mod application;
#[cfg(test)]
#[path = "support/kafka.rs"]
mod server;
#[cfg(test)]
#[path = "kafka/sink.rs"]
mod sink;
#[cfg(test)]
#[path = "kafka/source.rs"]
mod source;
#[cfg(test)]
#[path = "kafka/tables.rs"]
mod tables;

#[expect(clippy::disallowed_methods, reason = "real brokers answer in real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
