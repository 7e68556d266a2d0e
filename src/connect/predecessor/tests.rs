//! Every name of the predecessor has a meaning, and the meanings are the ones that were agreed.

use super::names::{Owner, lookup};
use super::{Direction, split_by_name, translate, translate_job, uri_entries};
use crate::config::{Entry, Origin};

/// All option names of the reference (naming, Kafka, files, event time, waiting, batching, ignored ones, job defaults)
/// and the names in use here. `x.*` stands for one name that begins so.
const NAMES: &[&str] = &[
    // Kafka source.
    "topic",
    "topic.name",
    "bootstrap.servers",
    "brokers",
    "group.id",
    "group_id",
    "client.id",
    "auto.offset.reset",
    "enable.auto.commit",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "datasource.consumer_config.fetch.min.bytes",
    "performance_profile",
    "performance_profiles",
    "value.serializer",
    "value.format",
    "key.serializer",
    "key.field",
    "message.key.field",
    "schema.key.field",
    "avro.schema",
    "value.avro.schema",
    "schema.avro",
    "avro.schema.file",
    "value.schema.file",
    "schema.value.schema.file",
    "schema.file",
    "protobuf.schema",
    "protobuf.schema.file",
    "proto.schema",
    "proto.schema.file",
    "json.schema",
    "key.schema.file",
    "schema.registry.url",
    "schema.registry.auth.type",
    "schema.registry.auth.username",
    "schema.registry.auth.password",
    "cache.l1.max_entries",
    "cache.l2.max_memory_mb",
    "cache.l3.storage_path",
    "cache.promotion_threshold",
    "max.poll.records",
    // Kafka sink.
    "acks",
    "batch.size",
    "linger.ms",
    "compression.type",
    "retries",
    "request.timeout.ms",
    "buffer.memory",
    "enable.idempotence",
    "transactional.id",
    "transactional_id",
    "max.in.flight.requests.per.connection",
    "datasink.producer_config.acks",
    "delivery_profile",
    // Files.
    "path",
    "format",
    "delimiter",
    "quote",
    "csv_escape",
    "has_headers",
    "skip_lines",
    "watching",
    "watch",
    "polling_interval",
    "poll_interval",
    "recursive",
    "extension_filter",
    "max_records",
    "buffer_size",
    "file.wait.timeout",
    "file.retry.interval",
    "append",
    "max_file_size_bytes",
    "rotation_interval_ms",
    "max_records_per_file",
    "compression",
    "writer_threads",
    "table.name",
    "table.type",
    "table.primary_key",
    "file.path",
    "file.format",
    "file.has_headers",
    "cache.enabled",
    "cache.ttl_seconds",
    "cache.max_entries",
    "cache.eviction_policy",
    "loading.refresh_strategy",
    // Event time, watermarks, late rows.
    "event.time.field",
    "event.time.format",
    "event.time.zone",
    "event.time.max_ahead",
    "timestamp.format",
    "watermark.strategy",
    "watermark.max_out_of_orderness",
    "watermark.idle_timeout",
    "late.data.strategy",
    "late_data_strategy",
    "file.sequence",
    "allowed.lateness",
    // Waiting and tables.
    "topic.wait.timeout",
    "topic.retry.interval",
    "topic.retry.strategy",
    "topic.retry.multiplier",
    "topic.retry.max.delay",
    "topic.retry.increment",
    "table_model",
    "retention",
    "kafka.batch.size",
    "kafka.linger.ms",
    "kafka.compression.type",
    "kafka.group.id",
    "kafka.timeout",
    "loading.unified",
    "loading.bulk.max_records",
    "loading.bulk.max_duration",
    "loading.incremental.max_records",
    "loading.continue_on_errors",
    "batch.strategy",
    "table.wait.timeout",
    "wait.timeout",
    "join.timeout",
    "join.retry.interval",
    "on.missing",
    "retry.max_attempts",
    "retry.delay",
    "retry.then",
    "default.tier",
    "incremental.interval",
    // Batching.
    "batch.enable",
    "batch.window",
    "batch.memory_size",
    "batch.min_size",
    "batch.adaptive_max_size",
    "batch.target_latency",
    "batch.low_latency_max_size",
    "batch.low_latency_wait",
    "batch.eager_processing",
    "batch.mega_batch_size",
    "batch.parallel",
    "batch.reuse_buffer",
    "batch.timeout",
    "batch.max_size",
    // Accepted and ignored there.
    "circuit.breaker.enabled",
    "circuit.breaker.failure.threshold",
    "circuit.breaker.success.threshold",
    "circuit.breaker.timeout",
    "circuit.breaker.slow.call.duration.threshold",
    "max.groups",
    "max.joins",
    "max.memory.mb",
    "spill.to.disk",
    "memory.pressure.threshold",
    "retry.max.attempts",
    "retry.backoff.strategy",
    "retry.initial.delay",
    "retry.max.delay",
    "retry.multiplier",
    "dead.letter.queue.enabled",
    "dead.letter.queue.topic",
    "delivery.guarantee",
    "observability.alerts.enabled",
    "monitoring_config.x",
    "security_config.x",
    // Jobs.
    "mode",
    "use_transactions",
    "failure_strategy",
    "max_retries",
    "retry_backoff",
    "max_batch_size",
    "batch_timeout",
    "enable_dlq",
    "dlq_max_size",
    "empty_batch_count",
    "wait_on_empty",
    "@job_mode",
    "@batch_size",
    "@num_partitions",
    "@partitioning_strategy",
    "@failure_strategy",
    "@max_retries",
    "@retry_backoff_ms",
    "@enable_dlq",
    "@dlq_max_size",
    "@sticky-partition-id",
    "@partition-count",
    "parallelism",
    "batch.max_rows",
    "batch.max_bytes",
    "batch.linger",
    "emit.interval",
    "state.ttl",
    "memory.limit",
    "on.error",
    "checkpoint.interval",
    "checkpoint.location",
    "timezone",
    // Only here.
    "missing.field",
    "unknown.field",
    "infer.decimal",
    "changelog",
    "scan.end",
    "backfill.from",
    "escape",
    "header",
    "null",
    "schema",
];

fn with(key: &str, value: &str) -> Entry {
    Entry::new(key, value, Origin::With(1..2))
}

fn pairs(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("{}={}", entry.key, entry.value)).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_name_of_the_reference_is_known() {
    let owners =
        [Owner::Job, Owner::Connector("kafka", Direction::Both), Owner::Connector("file", Direction::Both)];
    let unknown: Vec<&&str> =
        NAMES.iter().filter(|name| owners.iter().all(|owner| lookup(name, *owner).is_none())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn names_and_values_are_translated() {
    for (kind, direction, given, expected) in [
        ("kafka_source", Direction::Source, ("brokers", "k:9092"), "bootstrap.servers=k:9092"),
        ("kafka_source", Direction::Source, ("topic.name", "t"), "topic=t"),
        ("kafka_source", Direction::Source, ("consumer_config.brokers", "k:1"), "bootstrap.servers=k:1"),
        ("kafka_source", Direction::Source, ("datasource.consumer_config.group.id", "g"), ""),
        (
            "kafka_source",
            Direction::Source,
            ("consumer_config.fetch.min.bytes", "1"),
            "kafka.fetch.min.bytes=1",
        ),
        ("kafka_source", Direction::Source, ("consumer_config.enable.auto.commit", "true"), ""),
        ("kafka_source", Direction::Source, ("sasl.mechanism", "PLAIN"), "kafka.sasl.mechanism=PLAIN"),
        (
            "kafka_source",
            Direction::Source,
            ("session.timeout.ms", "30000"),
            "kafka.session.timeout.ms=30000",
        ),
        ("kafka_source", Direction::Source, ("value.serializer", "string"), "format=raw"),
        ("kafka_source", Direction::Source, ("schema.key.field", "id"), "key.field=id"),
        ("kafka_source", Direction::Source, ("batch.size", "100"), ""),
        (
            "kafka_source",
            Direction::Source,
            ("watermark.strategy", "ascending_timestamps"),
            "watermark.strategy=ascending",
        ),
        ("kafka_source", Direction::Source, ("on.missing", "UseDefaults"), "on.missing=defaults"),
        (
            "kafka_source",
            Direction::Source,
            ("late.data.strategy", "include_in_next_window"),
            "late.data.strategy=include_in_next",
        ),
        ("kafka_source", Direction::Source, ("failure_strategy", "LogAndContinue"), "on.error=skip"),
        ("kafka_source", Direction::Source, ("failure_strategy", "FailBatch"), "on.error=fail"),
        ("kafka_source", Direction::Source, ("failure_strategy", "SendToDLQ"), "on.error=dead_letter"),
        ("kafka_source", Direction::Source, ("failure_strategy", "RetryWithBackoff"), "on.error=fail"),
        ("kafka_sink", Direction::Sink, ("batch.size", "65536"), "kafka.batch.size=65536"),
        ("kafka_sink", Direction::Sink, ("acks", "all"), "kafka.acks=all"),
        ("kafka_sink", Direction::Sink, ("buffer.memory", "64MiB"), "kafka.queue.buffering.max.kbytes=65536"),
        ("kafka_sink", Direction::Sink, ("producer_config.odd.setting", "x"), "kafka.odd.setting=x"),
        ("kafka", Direction::Both, ("kafka.debug", "all"), "kafka.debug=all"),
        ("file_source", Direction::Source, ("format", "csv_no_header"), "format=csv header=false"),
        ("file_source_mmap", Direction::Source, ("format", "jsonlines"), "format=json"),
        ("file_source", Direction::Source, ("has_headers", "true"), "header=true"),
        ("file_source", Direction::Source, ("watching", "true"), "watch=true"),
        ("file_source", Direction::Source, ("polling_interval", "500"), "incremental.interval=500"),
        ("file_sink", Direction::Sink, ("csv_escape", "\\"), "escape=\\"),
        ("file_sink", Direction::Sink, ("writer_threads", "4"), ""),
        ("file_sink", Direction::Sink, ("gibberish", "4"), "gibberish=4"),
    ] {
        let translated = translate(direction, vec![with("type", kind), with(given.0, given.1)]).unwrap();
        assert_eq!(pairs(&translated.options), expected, "{kind} {given:?}");
        let connector = kind.split('_').next().unwrap();
        assert_eq!(translated.connector, connector);
        assert_eq!(translated.notices.is_empty(), !expected.is_empty() && given.1 != "RetryWithBackoff");
    }
}

#[test]
fn notices_and_faults_say_why() {
    let source = |entries| translate(Direction::Source, entries);
    let read = source(vec![with("connector", "file"), with("cache.enabled", "true")]).unwrap();
    assert_eq!(
        read.notices,
        [
            "`cache.enabled` has no effect here, because a table is held in memory as a whole, so there is nothing to cache"
        ]
    );
    for (entries, expected) in [
        (
            vec![with("type", "s3_source")],
            "connector `s3` (`type` = `s3_source`) is not available yet\n\
             Hint: there are `kafka`, `file`, `generator`, `nexmark`, `memory`, `stdin`, `stdout`, `blackhole`",
        ),
        (
            vec![with("type", "kafka_sorce")],
            "unknown connector `kafka_sorce`\nHint: did you mean `kafka_source`? there are `kafka`, `file`, \
             `generator`, `nexmark`, `memory`, `stdin`, `stdout`, `blackhole`",
        ),
        (
            vec![with("type", "kafka_sink")],
            "`type` = `kafka_sink` can only be written to\n\
             Hint: name a connector that reads, such as `kafka_source` or `file_source`",
        ),
        (
            vec![with("type", "kafka_source"), with("connector", "file")],
            "`type` = `kafka_source` and `connector` = `file` contradict each other\nHint: keep one of them",
        ),
        (
            vec![with("topic", "t")],
            "missing option `connector`\nHint: add `'connector' = '…'` to WITH (…); there are `kafka`, `file`, \
             `generator`, `nexmark`, `memory`, `stdin`, `stdout`, `blackhole`",
        ),
        (
            vec![with("type", "kafka"), with("schema.registry.url", "http://r")],
            "a schema registry (`schema.registry.url`) is not available yet",
        ),
        (
            vec![with("type", "kafka"), with("watermark.strategy", "punctuated")],
            "`watermark.strategy` = `punctuated` is not available yet\n\
             Hint: accepted: `bounded_out_of_orderness`, `ascending`",
        ),
    ] {
        assert_eq!(source(entries).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_options_of_a_query_are_sorted_by_name() {
    let entries = vec![
        with("trades.type", "kafka_source"),
        with("trades.topic.name", "in"),
        with("TRADES_FAST.type", "file_sink"),
        with("source.brokers", "k:1"),
        with("trades.brokers", "k:2"),
        with("sink.batch.size", "10"),
        with("sink_config", "sink.yaml"),
        with("event.time.field", "ts"),
        with("batch.max_rows", "5"),
        with("late.data.strategy", "drop"),
        with("made.up", "x"),
    ];
    let groups = split_by_name(entries, &["trades", "trades_fast", "batch"]).unwrap();
    assert_eq!(
        pairs(&groups.source("trades")),
        "event.time.field=ts type=kafka_source topic.name=in brokers=k:2"
    );
    assert_eq!(pairs(&groups.source("other")), "brokers=k:1 event.time.field=ts");
    assert_eq!(pairs(&groups.sink("trades_fast")), "batch.size=10 config_file=sink.yaml type=file_sink");
    assert_eq!(pairs(&groups.job), "batch.max_rows=5 late.data.strategy=drop made.up=x");
    assert_eq!(groups.source("trades")[1].name(), "trades.type");
    assert!(groups.names("trades") && !groups.names("batch"));

    let error = split_by_name(vec![with("trdaes.type", "kafka_source")], &["trades"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`trdaes.type` is for `trdaes`, which the query neither reads nor writes\n\
         Hint: did you mean `trades`? its sources and sinks are `trades`"
    );
}

#[test]
fn the_canonical_mode_stays() {
    let (options, notices) = translate_job(vec![with("mode", "batch"), with("odd", "1")]).unwrap();
    assert_eq!((pairs(&options).as_str(), notices.len()), ("mode=batch odd=1", 0));
    let annotation = Entry::new("@job_mode", "fast", Origin::Annotation(4..9));
    let error = translate_job(vec![annotation]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`@job_mode`: `fast` is not a job mode\nHint: accepted: `simple`, `transactional`, `adaptive`"
    );
    assert_eq!(error.span(), Some(4..9));
}

#[test]
fn a_uri_is_a_source() {
    let origin = Origin::With(5..9);
    for (uri, expected) in [
        (
            "kafka://a:1,b:2/trades?group_id=g",
            "connector=kafka topic=trades bootstrap.servers=a:1,b:2 group_id=g",
        ),
        ("file:///d/x.csv?format=csv&watch=true", "connector=file path=/d/x.csv format=csv watch=true"),
        ("file://d/x.csv", "connector=file path=d/x.csv"),
        ("s3://bucket/x", "connector=s3"),
    ] {
        assert_eq!(pairs(&uri_entries(uri, &origin).unwrap()), expected);
    }
    let error = uri_entries("kafka://a:1", &origin).unwrap_err();
    assert_eq!(error.message(), "`kafka://a:1` is not a source: it names no topic");
    assert_eq!(error.span(), Some(5..9));
}
