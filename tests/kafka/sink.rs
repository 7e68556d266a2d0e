//! `KafkaSink` against a real broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use velostream::connect::kafka::{Changelog, DeliveryProfile, KafkaSink, KafkaSinkSettings, KeyFormat};
use velostream::connect::{Sink, Written};
use velostream::flow::ChangeBatch;
use velostream::format::Encoder;
use velostream::{ErrorKind, Result};

use crate::now;
use crate::server::{KafkaServer, Record};

/// Rows as JSON objects in which every value is a text.
struct TextJson;

impl Encoder for TextJson {
    fn header(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..rows.num_rows() {
            self.encode_each(&rows.slice(row, 1), out, &mut Vec::new())?;
            out.push(b'\n');
        }
        Ok(())
    }

    fn encode_each(&mut self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let options = FormatOptions::default();
        for row in 0..rows.num_rows() {
            let mut fields = Vec::new();
            for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
                let text = ArrayFormatter::try_new(column, &options)?.value(row).to_string();
                fields.push(format!("{:?}:{text:?}", field.name()));
            }
            out.extend_from_slice(format!("{{{}}}", fields.join(",")).as_bytes());
            ends.push(out.len());
        }
        Ok(())
    }
}

const BASE: i64 = 1_600_000_000_000;

/// Rows of (id, name, at), with weights.
fn changes(rows: &[(i64, Option<&str>, i8)]) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>());
    let times: ArrayRef =
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| BASE + row.0)));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", ids, true),
        ("name", names, true),
        ("at", times, true),
    ]);
    let weights = rows.iter().any(|row| row.2 < 0);
    let weights = weights.then(|| Int8Array::from_iter_values(rows.iter().map(|row| row.2)));
    ChangeBatch::try_new(batch.unwrap(), weights).unwrap()
}

fn settings(server: &KafkaServer, topic: &str) -> KafkaSinkSettings {
    KafkaSinkSettings {
        brokers: server.bootstrap().to_owned(),
        topic: topic.to_owned(),
        create_topic: Some(1),
        event_time: Some(2),
        key_columns: vec![0],
        ..KafkaSinkSettings::default()
    }
}

fn open(settings: KafkaSinkSettings) -> KafkaSink {
    KafkaSink::try_new(settings, Box::new(TextJson)).expect("the sink opens")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Key and value of a record as text.
fn pair(record: &Record) -> (Option<String>, Option<String>) {
    (record.key.as_deref().map(text), record.value.as_deref().map(text))
}

#[test]
fn rows_become_messages_with_key_and_time() {
    let Some(server) = KafkaServer::shared() else { return };
    let mut sink = open(KafkaSinkSettings { key_columns: vec![1, 0], ..settings(&server, "rows") });
    sink.write(&changes(&[(1, Some("ada"), 1), (2, None, 1)])).unwrap();
    sink.flush().unwrap();
    let records = server.consume("rows");
    assert_eq!(records.len(), 2);
    let first = Record {
        partition: 0,
        key: Some(b"ada|1".to_vec()),
        value: Some(br#"{"id":"1","name":"ada","at":"2020-09-13T12:26:40.001"}"#.to_vec()),
        timestamp: Some(BASE + 1),
        headers: vec![],
    };
    assert_eq!(records[0], first);
    assert_eq!(records[1].key.as_deref(), Some(&b"|2"[..]));
    let bytes = records
        .iter()
        .map(|r| r.key.as_ref().unwrap().len() + r.value.as_ref().unwrap().len())
        .sum::<usize>();
    assert_eq!(sink.written(), Written { rows: 2, bytes: u64::try_from(bytes).unwrap() });
    // Without key columns there is no key; a format of its own gives the key columns as an object.
    open(KafkaSinkSettings { key_columns: Vec::new(), ..settings(&server, "no.key") })
        .write_and_finish(&changes(&[(1, None, 1)]));
    assert_eq!(server.consume("no.key")[0].key, None);
    let key_format = KeyFormat::Encoded(Box::new(TextJson));
    open(KafkaSinkSettings { key_format, ..settings(&server, "json.key") })
        .write_and_finish(&changes(&[(7, None, 1)]));
    assert_eq!(server.consume("json.key")[0].key, Some(br#"{"id":"7"}"#.to_vec()));
}

#[test]
fn the_new_rows_of_a_changelog_can_stand_for_themselves() {
    let Some(server) = KafkaServer::shared() else { return };
    let mut sink = open(KafkaSinkSettings { changelog: Changelog::NewRows, ..settings(&server, "new.rows") });
    sink.write(&changes(&[(1, Some("ada"), 1), (1, Some("ada"), -1), (2, None, 1)])).unwrap();
    sink.finish().unwrap();
    let keys: Vec<Option<String>> = server.consume("new.rows").iter().map(|record| pair(record).0).collect();
    assert_eq!(keys, [Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(sink.written().rows, 2);
}

trait WriteAndFinish {
    fn write_and_finish(self, changes: &ChangeBatch);
}

impl WriteAndFinish for KafkaSink {
    fn write_and_finish(mut self, changes: &ChangeBatch) {
        self.write(changes).unwrap();
        self.finish().unwrap();
    }
}

#[test]
fn an_upsert_changelog_deletes_with_tombstones() {
    let Some(server) = KafkaServer::shared() else { return };
    let mut sink = open(KafkaSinkSettings { changelog: Changelog::Upsert, ..settings(&server, "upsert") });
    sink.write(&changes(&[(1, Some("a"), 1), (2, Some("b"), 1)])).unwrap();
    sink.flush().unwrap();
    // 1 is updated over two batches, 2 is deleted, 3 comes and goes.
    sink.write(&changes(&[(1, Some("a"), -1), (2, Some("b"), -1), (3, Some("c"), 1)])).unwrap();
    sink.write(&changes(&[(1, Some("z"), 1), (3, Some("c"), -1)])).unwrap();
    sink.flush().unwrap();
    let value = |id: i64, name: &str| {
        Some(format!("{{\"id\":\"{id}\",\"name\":\"{name}\",\"at\":\"2020-09-13T12:26:40.00{id}\"}}"))
    };
    let key = |id: i64| Some(id.to_string());
    let expected = [
        (key(1), value(1, "a")),
        (key(2), value(2, "b")),
        (key(3), value(3, "c")),
        (key(1), value(1, "z")),
        (key(2), None),
        (key(3), None),
    ];
    assert_eq!(server.consume("upsert").iter().map(pair).collect::<Vec<_>>(), expected);
    assert_eq!(sink.written().rows, 7);
    let keyless = KafkaSinkSettings {
        changelog: Changelog::Upsert,
        key_columns: Vec::new(),
        ..settings(&server, "upsert")
    };
    let error = KafkaSink::try_new(keyless, Box::new(TextJson)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let null = KafkaSinkSettings {
        key_columns: vec![1],
        changelog: Changelog::Upsert,
        ..settings(&server, "upsert")
    };
    assert_eq!(open(null).write(&changes(&[(1, None, 1)])).unwrap_err().kind(), ErrorKind::Data);
}

#[test]
fn an_op_changelog_names_every_change_and_an_append_only_one_refuses_deletes() {
    let Some(server) = KafkaServer::shared() else { return };
    let rows = changes(&[(1, Some("a"), -1), (1, Some("b"), 1)]);
    open(KafkaSinkSettings { changelog: Changelog::Op, ..settings(&server, "op") }).write_and_finish(&rows);
    let values: Vec<String> = server.consume("op").iter().map(|record| pair(record).1.unwrap()).collect();
    assert!(values[0].starts_with(r#"{"_op":"delete","id":"1","name":"a""#), "{values:?}");
    assert!(values[1].starts_with(r#"{"_op":"insert","id":"1","name":"b""#), "{values:?}");
    let error = open(settings(&server, "op")).write(&rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn what_the_broker_refuses_is_the_error_of_the_flush() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("refused", 1);
    let mut sink = open(settings(&server, "refused"));
    let year_2100 = 4_102_444_800_000 - BASE;
    sink.write(&changes(&[(1, Some("good"), 1), (year_2100, Some("far ahead"), 1)])).unwrap();
    let error = sink.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.message().starts_with("cannot write to topic `refused`: "), "{error}");
    assert!(error.message().contains("timestamp"), "{error}");
    assert!(sink.write(&changes(&[(1, None, 1)])).is_err(), "it stays failed");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("orders", 1);
    let fails = |settings: KafkaSinkSettings| KafkaSink::try_new(settings, Box::new(TextJson)).unwrap_err();
    let missing = fails(KafkaSinkSettings { create_topic: None, ..settings(&server, "order") });
    let expected = "there is no Kafka topic `order`\nHint: did you mean `orders`? \
                    Else create it, or set `topic.create` to a number of partitions";
    assert_eq!((missing.kind(), missing.to_string().as_str()), (ErrorKind::Invalid, expected));
    let with = |name: &str, value: &str| KafkaSinkSettings {
        client: vec![(name.to_owned(), value.to_owned())],
        ..settings(&server, "orders")
    };
    let unknown = fails(with("linger.mss", "1")).to_string();
    assert_eq!(
        unknown,
        "the Kafka client setting `linger.mss` cannot be changed\nHint: did you mean `linger.ms`?"
    );
    let wrong = fails(with("linger.ms", "soon"));
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
    assert!(wrong.message().contains("`linger.ms`"), "{wrong}");
    let away = KafkaSinkSettings { brokers: "127.0.0.1:1".to_owned(), ..settings(&server, "orders") };
    assert_eq!(fails(away).kind(), ErrorKind::Unavailable);
}

#[test]
fn flushes_are_quick_and_a_full_queue_waits() {
    let Some(server) = KafkaServer::shared() else { return };
    let client = vec![("queue.buffering.max.messages".to_owned(), "100".to_owned())];
    let profile = DeliveryProfile::LowLatency;
    let mut sink = open(KafkaSinkSettings { client, profile, ..settings(&server, "full") });
    let rows: Vec<(i64, Option<&str>, i8)> = (0..5000).map(|id| (id, Some("x"), 1)).collect();
    sink.write(&changes(&rows)).unwrap();
    sink.flush().unwrap();
    let keys: Vec<String> = server.consume("full").iter().map(|record| pair(record).0.unwrap()).collect();
    assert_eq!(keys, (0..5000).map(|id: i64| id.to_string()).collect::<Vec<_>>());
    let begun = now();
    for id in 0..20 {
        sink.write(&changes(&[(id, None, 1)])).unwrap();
        sink.flush().unwrap();
    }
    let each = begun.elapsed() / 20;
    eprintln!("a flush of one row takes {each:?}");
    assert!(each < Duration::from_millis(50));
}

/// Writes 50,000 rows while the broker is killed and restarted twice; returns how often each key is there.
fn write_over_kills(profile: DeliveryProfile, event_time: Option<usize>) -> Option<BTreeMap<i64, usize>> {
    let server = KafkaServer::start()?;
    server.create_topic("survive", 3);
    let mut sink = open(KafkaSinkSettings { profile, event_time, ..settings(&server, "survive") });
    let (told, hear) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        for epoch in 0..100_i64 {
            let rows: Vec<(i64, Option<&str>, i8)> =
                (epoch * 500..(epoch + 1) * 500).map(|id| (id, Some("x"), 1)).collect();
            sink.write(&changes(&rows)).unwrap();
            // Rows stay in flight over every other epoch's end.
            if epoch % 2 == 0 {
                sink.flush().unwrap();
            }
            told.send(epoch).ok();
        }
        sink.finish().unwrap();
        sink.written().rows
    });
    for until in [10, 40] {
        while hear.recv_timeout(Duration::from_secs(60)).expect("the writer goes on") < until {}
        server.kill();
        assert!(!writer.is_finished(), "the broker was killed too late");
        server.restart();
    }
    assert_eq!(writer.join().unwrap(), 50_000);
    let mut counts = BTreeMap::new();
    for record in server.consume("survive") {
        *counts.entry(pair(&record).0.unwrap().parse().unwrap()).or_default() += 1;
    }
    Some(counts)
}

#[test]
fn a_broker_that_comes_back_gets_every_row_once() {
    let Some(counts) = write_over_kills(DeliveryProfile::Balanced, None) else { return };
    assert_eq!(counts.len(), 50_000);
    assert!(counts.values().all(|count| *count == 1));
}

/// A broker that recovers forgets producers whose last message is a day old by its timestamp, so that a retry over its
/// crash may arrive twice.
#[test]
fn a_broker_that_comes_back_gets_every_row_with_an_old_event_time_too() {
    let Some(counts) = write_over_kills(DeliveryProfile::Durable, Some(2)) else { return };
    assert_eq!(counts.len(), 50_000);
    eprintln!("duplicates of old event times: {}", counts.values().sum::<usize>() - 50_000);
}
