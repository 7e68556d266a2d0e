//! The table of option names: what each name of the predecessor means here.
//!
//! Names that are in use here stand in it too, as [`To::Same`]. A name that is not in the table is passed on as it is;
//! the strict reading of the connector or job refuses it if it does not know it either.

use crate::config::Entry;
use crate::error::Result;

use super::translate::Direction;
use super::values::{
    Meaning, delivery_of_mode, delivery_of_transactions, file_format, key_format, kilobytes, late_rows,
    message_format, on_error, on_missing, watermark_strategy,
};

/// Where a name has the meaning of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every source, sink and job.
    Everywhere,
    /// A job.
    Job,
    /// Every source.
    Source,
    /// Every sink.
    Sink,
    /// Every source and sink.
    Connector,
    /// A Kafka source or sink.
    Kafka,
    /// A Kafka source.
    KafkaSource,
    /// A Kafka sink.
    KafkaSink,
    /// A file source or sink.
    File,
    /// A file source.
    FileSource,
    /// A file sink.
    FileSink,
}

/// Whose option is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// A job.
    Job,
    /// A source or sink.
    Connector(&'static str, Direction),
}

impl Scope {
    fn covers(self, owner: Owner) -> bool {
        let Owner::Connector(connector, direction) = owner else {
            return matches!(self, Self::Everywhere | Self::Job);
        };
        let (source, sink) = (direction != Direction::Sink, direction != Direction::Source);
        match self {
            Self::Everywhere | Self::Connector => true,
            Self::Job => false,
            Self::Source => source,
            Self::Sink => sink,
            Self::Kafka => connector == "kafka",
            Self::KafkaSource => connector == "kafka" && source,
            Self::KafkaSink => connector == "kafka" && sink,
            Self::File => connector == "file",
            Self::FileSource => connector == "file" && source,
            Self::FileSink => connector == "file" && sink,
        }
    }
}

/// What a name means here.
#[derive(Clone, Copy)]
pub(super) enum To {
    /// The same name is in use here.
    Same,
    /// Another name, the same value.
    Name(&'static str),
    /// A setting of librdkafka: `kafka.` and the name.
    Librdkafka,
    /// A section of settings of librdkafka: what follows the section's name is looked up by itself.
    Section,
    /// Depends on the value.
    Value(fn(&Entry) -> Result<Meaning>),
    /// Accepted without effect; the reason completes "has no effect here, because".
    NoEffect(&'static str),
    /// Refused by this version; what is not available yet.
    NotYet(&'static str),
}

/// One line of the table.
pub(super) struct Row {
    pub(super) scope: Scope,
    pub(super) names: &'static [&'static str],
    pub(super) to: To,
}

const fn row(scope: Scope, names: &'static [&'static str], to: To) -> Row {
    Row { scope, names, to }
}

const OWN_RUNTIME: &str = "it tunes the predecessor's runtime, which is not used";
const BATCHES: &str = "batches form by `batch.max_rows`, `batch.max_bytes` and `batch.linger`";
const RETRIES: &str = "outside systems that are away are tried again with growing pauses by themselves";
const REJECTED: &str = "`on.error` says where rejected records go";
const MEMORY: &str = "`memory.limit` bounds the memory of a job";
const LOADING: &str = "a table is loaded, then kept up to date, by itself";
const OFFSETS: &str = "the job keeps the positions itself";
const ROUTING: &str = "rows are always routed by the keys of the query";
const METADATA: &str = "the statement says it";
const ROTATION: &str =
    "rotating output files (`max_file_size_bytes`, `rotation_interval_ms`, `max_records_per_file`)";

/// The table. An exact name comes before a pattern (`x.*`), a longer pattern before a shorter one, an earlier row before
/// a later one.
pub(super) const TABLE: &[Row] = &[
    // Kafka.
    row(Scope::Kafka, &["topic", "bootstrap.servers", "kafka.*"], To::Same),
    row(Scope::Kafka, &["topic.name"], To::Name("topic")),
    row(
        Scope::Kafka,
        &["brokers", "kafka.brokers", "kafka.bootstrap.servers"],
        To::Name("bootstrap.servers"),
    ),
    row(Scope::Kafka, &["datasource.consumer_config.*", "consumer_config.*"], To::Section),
    row(Scope::Kafka, &["datasink.producer_config.*", "producer_config.*"], To::Section),
    row(
        Scope::Kafka,
        &["client.id", "security.protocol", "sasl.*", "ssl.*", "request.timeout.ms", "retry.backoff.ms"],
        To::Librdkafka,
    ),
    row(
        Scope::Kafka,
        &[
            "broker.address.family",
            "socket.*",
            "reconnect.*",
            "metadata.max.age.ms",
            "connections.max.idle.ms",
        ],
        To::Librdkafka,
    ),
    row(Scope::Kafka, &["kafka.timeout"], To::Name("kafka.request.timeout.ms")),
    row(Scope::Kafka, &["format", "value.format", "value.serializer"], To::Value(message_format)),
    row(Scope::Kafka, &["schema.value.serializer", "serialization.format"], To::Value(message_format)),
    row(Scope::Kafka, &["key.format", "key.serializer", "schema.key.serializer"], To::Value(key_format)),
    row(Scope::Kafka, &["key.field", "message.key.field", "schema.key.field"], To::Name("key.field")),
    row(Scope::Kafka, &["key.schema.file", "schema.key.schema.file"], To::Name("key.schema.file")),
    row(
        Scope::Connector,
        &[
            "schema",
            "avro.schema",
            "value.avro.schema",
            "schema.avro",
            "protobuf.schema",
            "proto.schema",
            "json.schema",
        ],
        To::Name("schema"),
    ),
    row(
        Scope::Connector,
        &[
            "schema.file",
            "avro.schema.file",
            "value.schema.file",
            "schema.value.schema.file",
            "protobuf.schema.file",
            "proto.schema.file",
            "json.schema.file",
        ],
        To::Name("schema.file"),
    ),
    row(Scope::Connector, &["schema.registry.*"], To::NotYet("a schema registry (`schema.registry.url`)")),
    row(
        Scope::Everywhere,
        &["performance_profile", "performance_profiles", "performance_profiles.*"],
        To::NoEffect(OWN_RUNTIME),
    ),
    row(Scope::KafkaSource, &["group.id", "group_id", "kafka.group.id"], To::NoEffect(OFFSETS)),
    row(Scope::KafkaSource, &["auto.offset.reset", "kafka.auto.offset.reset"], To::Name("auto.offset.reset")),
    row(Scope::KafkaSource, &["scan.end", "backfill.from", "topic.wait.timeout"], To::Same),
    row(
        Scope::KafkaSource,
        &["topic.retry.interval", "topic.retry.strategy", "topic.retry.multiplier"],
        To::Same,
    ),
    row(Scope::KafkaSource, &["topic.retry.max.delay", "topic.retry.increment"], To::Same),
    row(
        Scope::KafkaSource,
        &[
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "max.poll.interval.ms",
            "fetch.*",
            "isolation.level",
        ],
        To::Librdkafka,
    ),
    row(
        Scope::KafkaSource,
        &["max.partition.fetch.bytes", "queued.*", "partition.assignment.strategy", "group.instance.id"],
        To::Librdkafka,
    ),
    row(Scope::KafkaSource, &["fetch.max.wait.ms"], To::Name("kafka.fetch.wait.max.ms")),
    row(Scope::KafkaSource, &["enable.auto.commit", "auto.commit.interval.ms"], To::NoEffect(OFFSETS)),
    row(Scope::KafkaSource, &["max.poll.records"], To::NoEffect(BATCHES)),
    row(
        Scope::KafkaSink,
        &[
            "acks",
            "batch.size",
            "linger.ms",
            "compression.type",
            "retries",
            "enable.idempotence",
            "partitioner",
        ],
        To::Librdkafka,
    ),
    row(
        Scope::KafkaSink,
        &[
            "max.in.flight.requests.per.connection",
            "delivery.timeout.ms",
            "queue.buffering.*",
            "compression.*",
        ],
        To::Librdkafka,
    ),
    row(Scope::KafkaSink, &["message.*", "transaction.timeout.ms"], To::Librdkafka),
    row(Scope::KafkaSink, &["buffer.memory", "kafka.buffer.memory"], To::Value(kilobytes)),
    row(Scope::KafkaSink, &["delivery_profile", "delivery.profile"], To::Name("delivery_profile")),
    row(
        Scope::KafkaSink,
        &["transactional.id", "transactional_id"],
        To::NoEffect("a sink names its transactions itself"),
    ),
    // Files.
    row(Scope::File, &["path", "file.path"], To::Name("path")),
    row(Scope::File, &["format", "file.format"], To::Value(file_format)),
    row(Scope::File, &["header", "has_headers", "file.has_headers"], To::Name("header")),
    row(Scope::File, &["delimiter", "quote", "compression"], To::Same),
    row(Scope::File, &["escape", "csv_escape"], To::Name("escape")),
    row(Scope::File, &["null"], To::Same),
    row(Scope::File, &["buffer_size", "writer_threads"], To::NoEffect(OWN_RUNTIME)),
    row(Scope::FileSource, &["watch", "watching"], To::Name("watch")),
    row(Scope::FileSource, &["incremental.interval"], To::Same),
    row(
        Scope::FileSource,
        &["poll.interval", "polling_interval", "poll_interval"],
        To::Name("incremental.interval"),
    ),
    row(
        Scope::FileSource,
        &["recursive", "file.sequence", "file.wait.timeout", "file.retry.interval"],
        To::Same,
    ),
    row(Scope::FileSource, &["file.retry.strategy", "file.retry.multiplier"], To::Same),
    row(Scope::FileSource, &["file.retry.max.delay", "file.retry.increment"], To::Same),
    row(Scope::FileSource, &["skip.lines", "skip_lines"], To::Name("skip.lines")),
    row(Scope::FileSource, &["extension.filter", "extension_filter"], To::Name("extension.filter")),
    row(Scope::FileSource, &["max.records", "max_records"], To::Name("max.records")),
    row(Scope::FileSink, &["append"], To::Same),
    row(
        Scope::FileSink,
        &["max_file_size_bytes", "rotation_interval_ms", "max_records_per_file"],
        To::NotYet(ROTATION),
    ),
    // Every source.
    row(
        Scope::Source,
        &[
            "event.time.field",
            "event.time.format",
            "event.time.zone",
            "event.time.max_ahead",
            "timestamp.format",
        ],
        To::Same,
    ),
    row(Scope::Source, &["watermark.strategy"], To::Value(watermark_strategy)),
    row(Scope::Source, &["watermark.max_out_of_orderness", "watermark.idle_timeout"], To::Same),
    row(
        Scope::Source,
        &[
            "missing.field",
            "unknown.field",
            "infer.decimal",
            "incremental.interval",
            "wait.timeout",
            "primary.key",
        ],
        To::Same,
    ),
    row(Scope::Source, &["table.primary_key"], To::Name("primary.key")),
    row(Scope::Source, &["on.missing"], To::Value(on_missing)),
    row(Scope::Source, &["retry.max_attempts", "retry.delay", "retry.then", "default.*"], To::Same),
    row(Scope::Sink, &["changelog"], To::Same),
    row(Scope::Connector, &["table.name", "table.type"], To::NoEffect(METADATA)),
    row(
        Scope::Connector,
        &["batch.enable", "batch.strategy", "batch.size", "batch.timeout", "batch.max_size", "batch.window"],
        To::NoEffect(BATCHES),
    ),
    row(
        Scope::Everywhere,
        &["batch.min_size", "batch.adaptive_max_size", "batch.target_latency", "batch.mega_batch_size"],
        To::NoEffect(BATCHES),
    ),
    row(
        Scope::Everywhere,
        &["batch.low_latency_max_size", "batch.low_latency_wait", "batch.eager_processing"],
        To::NoEffect(BATCHES),
    ),
    row(Scope::Everywhere, &["batch.parallel", "batch.reuse_buffer"], To::NoEffect(BATCHES)),
    row(Scope::Connector, &["batch.memory_size"], To::NoEffect(BATCHES)),
    // Jobs.
    row(
        Scope::Job,
        &["delivery", "parallelism", "batch.max_rows", "batch.max_bytes", "batch.linger", "emit.interval"],
        To::Same,
    ),
    row(
        Scope::Job,
        &["state.ttl", "memory.limit", "allowed.lateness", "checkpoint.interval", "checkpoint.location"],
        To::Same,
    ),
    row(Scope::Job, &["table.wait.timeout", "tables.load.max_parallel", "timezone"], To::Same),
    row(Scope::Job, &["mode", "@job_mode"], To::Value(delivery_of_mode)),
    row(Scope::Job, &["use_transactions"], To::Value(delivery_of_transactions)),
    row(Scope::Job, &["@batch_size", "max_batch_size", "batch.size"], To::Name("batch.max_rows")),
    row(Scope::Job, &["batch_timeout", "batch.timeout"], To::Name("batch.linger")),
    row(Scope::Job, &["batch.memory_size"], To::Name("batch.max_bytes")),
    row(
        Scope::Job,
        &["batch.enable", "batch.strategy", "batch.max_size", "batch.window"],
        To::NoEffect(BATCHES),
    ),
    row(Scope::Job, &["@num_partitions", "@partition-count", "num_partitions"], To::Name("parallelism")),
    row(
        Scope::Job,
        &["@partitioning_strategy", "partitioning_strategy", "@sticky-partition-id"],
        To::NoEffect(ROUTING),
    ),
    row(
        Scope::Job,
        &["empty_batch_count", "wait_on_empty", "wait_on_empty_batch_ms"],
        To::NoEffect(OWN_RUNTIME),
    ),
    // Everywhere.
    row(
        Scope::Everywhere,
        &["on.error", "failure_strategy", "failure.strategy", "@failure_strategy"],
        To::Value(on_error),
    ),
    row(Scope::Everywhere, &["late.data.strategy", "late_data_strategy"], To::Value(late_rows)),
    row(
        Scope::Everywhere,
        &["max_retries", "retry_backoff", "retry_backoff_ms", "@max_retries", "@retry_backoff_ms"],
        To::NoEffect(RETRIES),
    ),
    row(
        Scope::Everywhere,
        &[
            "retry.max.attempts",
            "retry.backoff.strategy",
            "retry.initial.delay",
            "retry.max.delay",
            "retry.multiplier",
        ],
        To::NoEffect(RETRIES),
    ),
    row(Scope::Everywhere, &["circuit.breaker.*"], To::NoEffect(RETRIES)),
    row(
        Scope::Everywhere,
        &["enable_dlq", "@enable_dlq", "dlq_max_size", "@dlq_max_size", "dlq.*", "dead.letter.queue.*"],
        To::NoEffect(REJECTED),
    ),
    row(
        Scope::Everywhere,
        &["max.groups", "max.joins", "max.memory.mb", "spill.to.disk", "memory.pressure.threshold"],
        To::NoEffect(MEMORY),
    ),
    row(
        Scope::Everywhere,
        &["join.timeout", "join.retry.*"],
        To::NoEffect("a join waits as long as its time bound and its tables say"),
    ),
    row(
        Scope::Everywhere,
        &["cache.*"],
        To::NoEffect("a table is held in memory as a whole, so there is nothing to cache"),
    ),
    row(Scope::Everywhere, &["table_model"], To::NoEffect("a table has one form, which is compact")),
    row(Scope::Job, &["retention"], To::Same),
    row(Scope::Everywhere, &["retention"], To::NoEffect("only the rows of a table are kept")),
    row(Scope::Everywhere, &["loading.*"], To::NoEffect(LOADING)),
    row(
        Scope::Everywhere,
        &["delivery.guarantee"],
        To::NoEffect("the guarantee follows from the source and the sink; EXPLAIN shows it"),
    ),
    row(
        Scope::Everywhere,
        &["observability.alerts.enabled", "monitoring_config", "monitoring_config.*"],
        To::NoEffect("the metrics of every job are served anyway; alerts are made from them"),
    ),
    row(
        Scope::Everywhere,
        &["security_config", "security_config.*"],
        To::NoEffect("a connection is secured by the options of its source or sink"),
    ),
];

/// Returns what `name` means for `owner`, and the part of the name that a pattern leaves open.
pub(super) fn lookup(name: &str, owner: Owner) -> Option<(To, &str)> {
    let rows = || TABLE.iter().filter(|row| row.scope.covers(owner));
    if let Some(row) = rows().find(|row| row.names.contains(&name)) {
        return Some((row.to, ""));
    }
    let matches = rows().flat_map(|row| {
        row.names.iter().filter_map(move |pattern| {
            let prefix = pattern.strip_suffix('*')?;
            Some((prefix.len(), row.to, name.strip_prefix(prefix)?))
        })
    });
    matches.max_by_key(|(length, _, _)| *length).map(|(_, to, rest)| (to, rest))
}
