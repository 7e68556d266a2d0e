//! Kafka: topics read by partition and offset, rows written as keyed messages, at least once.
//!
//! A source assigns its partitions itself; offsets belong to the job's checkpoints, and no consumer group decides
//! anything. Each partition has a queue of its own ([`lane`](self)), so that chunks are cut from one partition at a
//! time and the end of a partition is told apart from the end of its namesake in another topic.
//!
//! A sink hands every row to an idempotent producer and waits at [`flush`](crate::connect::Sink::flush) until the
//! brokers have acknowledged all of them. Nothing here retries a job or reads a clock.

mod client;
mod connector;
mod delivery;
mod headers;
mod key;
mod lane;
mod lookup;
mod settings;
mod sink;
mod source;
mod trouble;

#[cfg(test)]
mod tests;

pub use connector::{KAFKA_DOCS, KafkaSinkConnector, KafkaSourceConnector};
pub use settings::{
    Changelog, DeliveryProfile, KafkaSinkSettings, KafkaSourceSettings, KeyFormat, StartAt,
    client_setting_names,
};
pub use sink::KafkaSink;
pub use source::KafkaSource;
