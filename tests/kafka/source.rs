//! `KafkaSource` against a real broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use velostream::connect::kafka::{
    DeliveryProfile, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, StartAt,
};
use velostream::connect::{ChunkLimits, Payload, Polled, Position, Sink, Source};
use velostream::flow::ChangeBatch;
use velostream::format::Encoder;
use velostream::{ErrorKind, Result};

use crate::now;
use crate::server::{KafkaServer, Record, TestHeader};

const LIMITS: ChunkLimits = ChunkLimits { rows: 1000, bytes: 1 << 20, linger: Duration::from_millis(5) };

/// A record that was read, with its offset.
type Read = (i64, Record);

fn settings(server: &KafkaServer, topic: &str) -> KafkaSourceSettings {
    KafkaSourceSettings { with_headers: true, ..KafkaSourceSettings::new(server.bootstrap(), topic) }
}

fn bounded(server: &KafkaServer, topic: &str) -> KafkaSourceSettings {
    KafkaSourceSettings { bounded: true, ..settings(server, topic) }
}

fn open(settings: KafkaSourceSettings) -> KafkaSource {
    KafkaSource::try_new(settings, LIMITS).expect("the source opens")
}

/// Takes one chunk apart, checking what holds for every chunk.
fn unpack(polled: Polled, next: &mut BTreeMap<usize, i64>, into: &mut BTreeMap<usize, Vec<Read>>) {
    let Polled::Chunk(chunk) = polled else { panic!("not a chunk: {polled:?}") };
    let Payload::Messages(messages) = chunk.payload else { panic!("not messages") };
    let count = messages.ends.len();
    assert!((1..=LIMITS.rows).contains(&count), "{count} records");
    if let Some(next) = next.insert(chunk.partition, chunk.end.0) {
        assert_eq!(next, chunk.start.0, "a gap between chunks");
    }
    assert!(chunk.start.0 <= messages.offsets[0]);
    assert_eq!(chunk.end.0, messages.offsets[count - 1] + 1);
    let (mut value_start, mut key_start) = (0, 0);
    for record in 0..count {
        let ordinal = u32::try_from(record).unwrap();
        let value = &messages.values[value_start..messages.ends[record] as usize];
        let (key_end, has_key) = messages.key_ends[record];
        let key = &messages.keys[key_start..key_end as usize];
        (value_start, key_start) = (messages.ends[record] as usize, key_end as usize);
        let headers: Vec<TestHeader> = (messages.headers.iter())
            .filter(|(of, _, _)| *of == ordinal)
            .map(|(_, name, value)| (name.clone(), value.clone()))
            .collect();
        let record_read = Record {
            partition: 0,
            key: has_key.then(|| key.to_vec()),
            value: (!messages.tombstones.contains(&ordinal)).then(|| value.to_vec()),
            timestamp: messages.timestamps[record],
            headers,
        };
        into.entry(chunk.partition).or_default().push((messages.offsets[record], record_read));
    }
}

/// Reads a bounded source to its end, or an unbounded one until `enough` records are there.
fn read(source: &mut KafkaSource, enough: Option<usize>) -> BTreeMap<usize, Vec<Read>> {
    let (mut next, mut reads) = (BTreeMap::new(), BTreeMap::new());
    let mut ended = Vec::new();
    let begun = now();
    loop {
        if enough.is_some_and(|enough| reads.values().map(Vec::len).sum::<usize>() >= enough) {
            return reads;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing more comes: {:?}", source.stalled());
        match source.poll(Duration::from_secs(1)).expect("a poll") {
            Polled::Idle | Polled::Advanced { .. } => {}
            Polled::PartitionEnd(partition) => {
                assert!(!ended.contains(&partition), "an end is told once");
                ended.push(partition);
            }
            Polled::End => {
                assert_eq!(ended.len(), source.partitions().len());
                assert!(matches!(source.poll(Duration::ZERO), Ok(Polled::Idle)), "the end is told once");
                return reads;
            }
            chunk => {
                unpack(chunk, &mut next, &mut reads);
            }
        }
    }
}

fn numbered(partition: i32, numbers: impl Iterator<Item = usize>) -> impl Iterator<Item = Record> {
    numbers.map(move |number| Record {
        partition,
        key: Some(format!("k{}", number % 7).into_bytes()),
        value: Some(format!("value {number}").into_bytes()),
        timestamp: Some(1_600_000_000_000 + i64::try_from(number).unwrap() * 1000),
        headers: Vec::new(),
    })
}

fn values(reads: &[Read]) -> Vec<String> {
    reads.iter().map(|(_, read)| String::from_utf8(read.value.clone().unwrap()).unwrap()).collect()
}

#[test]
fn what_was_produced_is_read_exactly_and_in_order() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("exact", 3);
    let records: Vec<Record> = (0..100_000)
        .map(|number: usize| Record {
            partition: i32::try_from(number % 3).unwrap(),
            key: (!number.is_multiple_of(5)).then(|| format!("key {number}").into_bytes()),
            value: (!number.is_multiple_of(11)).then(|| "x".repeat(number % 200).into_bytes()),
            timestamp: Some(1_500_000_000_000 + i64::try_from(number).unwrap()),
            headers: match number % 4 {
                0 => vec![
                    ("trace".to_owned(), Some(number.to_string().into_bytes())),
                    ("trace".to_owned(), None),
                ],
                _ => Vec::new(),
            },
        })
        .collect();
    server.produce("exact", records.clone());
    let mut source = open(bounded(&server, "exact"));
    let names: Vec<String> = source.partitions().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["exact/0", "exact/1", "exact/2"]);
    let reads = read(&mut source, None);
    for partition in 0..3 {
        let expected: Vec<Read> = (records.iter())
            .filter(|record| usize::try_from(record.partition).unwrap() == partition)
            .enumerate()
            .map(|(offset, record)| {
                (i64::try_from(offset).unwrap(), Record { partition: 0, ..record.clone() })
            })
            .collect();
        assert!(reads[&partition] == expected, "partition {partition} differs");
    }
}

#[test]
fn a_seek_goes_on_exactly_there() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("seek", 2);
    for partition in 0..2 {
        server.produce("seek", numbered(partition, 0..5000));
    }
    let mut random = 42_u64;
    for _ in 0..6 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = [(random >> 33) % 5001, (random >> 13) % 5001].map(|at| i64::try_from(at).unwrap());
        let mut source = open(bounded(&server, "seek"));
        source.seek(0, Position(at[0])).unwrap();
        source.seek(1, Position(at[1])).unwrap();
        let reads = read(&mut source, None);
        for (partition, at) in at.into_iter().enumerate() {
            let offsets: Vec<i64> =
                reads.get(&partition).into_iter().flatten().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, (at..5000).collect::<Vec<_>>());
        }
        assert_eq!(source.seek(0, Position(0)).unwrap_err().kind(), ErrorKind::Internal);
    }
}

#[test]
fn reading_starts_where_the_settings_say() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("start", 1);
    server.produce("start", numbered(0, 0..100));
    let start = |start| KafkaSourceSettings { start, ..settings(&server, "start") };
    let mut latest = open(start(StartAt::Latest));
    let mut past = open(start(StartAt::Timestamp(1_600_000_090_001)));
    let mut future = open(start(StartAt::Timestamp(1_700_000_000_000)));
    let mut before = open(start(StartAt::Timestamp(-5)));
    server.produce("start", numbered(0, 100..103));
    let expected =
        |numbers: std::ops::Range<usize>| numbers.map(|n| format!("value {n}")).collect::<Vec<_>>();
    assert_eq!(values(&read(&mut latest, Some(3))[&0]), expected(100..103));
    assert_eq!(values(&read(&mut future, Some(3))[&0]), expected(100..103));
    assert_eq!(values(&read(&mut past, Some(12))[&0]), expected(91..103));
    assert_eq!(values(&read(&mut before, Some(103))[&0]), expected(0..103));
    // What comes after the opening does not belong to a bounded source.
    let mut end = open(bounded(&server, "start"));
    server.produce("start", numbered(0, 103..200));
    assert_eq!(values(&read(&mut end, None)[&0]), expected(0..103));
}

#[test]
fn the_end_is_found_behind_transactions_and_in_topics_with_the_same_partition_numbers() {
    let Some(server) = KafkaServer::shared() else { return };
    for topic in ["end.a", "end.b"] {
        server.create_topic(topic, 2);
        server.produce(topic, numbered(0, 0..50));
        // The marker of the transaction is the last offset, and no record.
        server.produce_with(topic, numbered(0, 50..60), &[("transactional.id", topic)]);
    }
    let topics = vec!["end.a".to_owned(), "end.b".to_owned()];
    let mut source = open(KafkaSourceSettings { topics, ..bounded(&server, "end.a") });
    let reads = read(&mut source, None);
    assert_eq!(reads.keys().copied().collect::<Vec<_>>(), [0, 2], "the others are empty");
    assert!(reads.values().all(|reads| reads.len() == 60));
}

#[test]
fn only_the_chosen_partitions_are_read() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("chosen", 4);
    (0..4).for_each(|partition| server.produce("chosen", numbered(partition, 0..10)));
    let chosen =
        |partitions| KafkaSourceSettings { partitions: Some(partitions), ..bounded(&server, "chosen") };
    let mut source = open(chosen(vec![3, 1]));
    assert_eq!(
        source.partitions().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["chosen/1", "chosen/3"]
    );
    assert_eq!(read(&mut source, None).values().map(Vec::len).collect::<Vec<_>>(), [10, 10]);
    let error = KafkaSource::try_new(chosen(vec![4]), LIMITS).unwrap_err();
    assert_eq!(error.to_string(), "topic `chosen` has no partition 4\nHint: its partitions are 0 to 3");
}

#[test]
fn a_single_record_is_polled_at_once() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("latency", 3);
    let mut source = open(settings(&server, "latency"));
    for _ in 0..20 {
        source.poll(Duration::from_millis(50)).unwrap();
    }
    let mut took = Vec::new();
    let mut sink = one_row_sink(&server, "latency");
    let row: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let row = ChangeBatch::inserts(RecordBatch::try_from_iter([("n", row)]).unwrap());
    for _ in 0..15 {
        let row = row.clone();
        let writing = std::thread::spawn(move || {
            // By then the source waits inside a poll.
            std::thread::park_timeout(Duration::from_millis(60));
            let begun = now();
            sink.write(&row).unwrap();
            sink.flush().unwrap();
            (sink, begun)
        });
        let read = read(&mut source, Some(1));
        let read_at = now();
        assert_eq!(read.values().map(Vec::len).sum::<usize>(), 1);
        let (back, begun) = writing.join().unwrap();
        sink = back;
        took.push(read_at.duration_since(begun));
    }
    took.sort_unstable();
    eprintln!("from written to polled: median {:?}, worst {:?}", took[7], took[14]);
    assert!(took[12] < Duration::from_millis(50), "{took:?}");
}

/// Writes each row as the value `row`.
struct Fixed;

impl Encoder for Fixed {
    fn header(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn encode(&mut self, _: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn encode_each(&mut self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        for _ in 0..rows.num_rows() {
            out.extend_from_slice(b"row");
            ends.push(out.len());
        }
        Ok(())
    }
}

fn one_row_sink(server: &KafkaServer, topic: &str) -> KafkaSink {
    let settings = KafkaSinkSettings {
        brokers: server.bootstrap().to_owned(),
        topic: topic.to_owned(),
        profile: DeliveryProfile::LowLatency,
        ..KafkaSinkSettings::default()
    };
    KafkaSink::try_new(settings, Box::new(Fixed)).unwrap()
}

#[test]
fn compressed_records_are_read() {
    let Some(server) = KafkaServer::shared() else { return };
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("compressed.{codec}");
        server.create_topic(&topic, 1);
        server.produce_with(
            &topic,
            numbered(0, 0..2000),
            &[("compression.type", codec), ("linger.ms", "20")],
        );
        let mut source = open(bounded(&server, &topic));
        let expected: Vec<String> = (0..2000).map(|number| format!("value {number}")).collect();
        assert_eq!(values(&read(&mut source, None)[&0]), expected, "{codec}");
    }
}

#[test]
fn chunks_keep_to_the_bytes_limit() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("bytes", 1);
    let large = |size| Record { value: Some(vec![7; size]), ..Record::default() };
    server.produce("bytes", [10, 500_000, 10, 10].map(large));
    let limits = ChunkLimits { bytes: 100, ..LIMITS };
    let mut source = KafkaSource::try_new(bounded(&server, "bytes"), limits).unwrap();
    let (mut next, mut reads) = (BTreeMap::new(), BTreeMap::new());
    let mut sizes = Vec::new();
    loop {
        match source.poll(Duration::from_millis(200)).unwrap() {
            Polled::End => break,
            Polled::Idle | Polled::Advanced { .. } | Polled::PartitionEnd(_) => {}
            chunk => {
                unpack(chunk, &mut next, &mut reads);
                sizes.push(reads[&0].len());
            }
        }
    }
    assert_eq!(sizes.last(), Some(&4));
    assert!(sizes.contains(&2), "the large record ends a chunk: {sizes:?}");
}

#[test]
fn offsets_that_are_gone_are_an_error() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("gone", 1);
    server.produce("gone", numbered(0, 0..100));
    // Deleted after the source has looked where the partition begins.
    let mut late = open(settings(&server, "gone"));
    server.delete_records("gone", 0, 40);
    let begun = now();
    let error = loop {
        assert!(begun.elapsed() < Duration::from_secs(10), "no error came");
        match late.poll(Duration::from_millis(100)) {
            Ok(polled) => assert!(matches!(polled, Polled::Idle), "{polled:?}"),
            Err(error) => break error,
        }
    };
    let message = "offset 0 of partition `gone/0` is not there: the partition has offsets 40 to 100";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, message));
    for (at, hint) in [(39, "retention"), (101, "made anew")] {
        let mut source = open(settings(&server, "gone"));
        source.seek(0, Position(at)).unwrap();
        let error = source.poll(Duration::ZERO).unwrap_err();
        assert!(error.hint().unwrap().contains(hint), "{error}");
    }
}

#[test]
fn topics_that_are_missing_are_named() {
    let Some(server) = KafkaServer::shared() else { return };
    server.create_topic("trades_2024", 1);
    let error = KafkaSource::try_new(settings(&server, "trades_2042"), LIMITS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let expected = "there is no Kafka topic `trades_2042`\nHint: did you mean `trades_2024`? \
                    Else create it, or set `topic.wait.timeout` to wait for it";
    assert_eq!(error.to_string(), expected);
    assert!(error.may_pass());
}

#[test]
fn brokers_out_of_reach_are_an_error_within_seconds() {
    let begun = now();
    let error = KafkaSource::try_new(KafkaSourceSettings::new("127.0.0.1:1", "t"), LIMITS).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(12));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().starts_with("cannot reach the Kafka brokers `127.0.0.1:1`: "), "{error}");
    assert!(error.message().contains("Connection refused"), "{error}");
}

#[test]
fn a_broker_that_comes_back_is_read_on_without_loss() {
    let Some(server) = KafkaServer::start() else { return };
    server.create_topic("back", 2);
    for partition in 0..2 {
        server.produce_with("back", numbered(partition, 0..20_000), &[("batch.num.messages", "200")]);
    }
    // The client may not have fetched everything when the broker goes.
    let small = [("queued.min.messages", "500"), ("fetch.message.max.bytes", "10000")];
    let client = small.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut source = open(KafkaSourceSettings { client, ..settings(&server, "back") });
    let mut reads = read(&mut source, Some(10_000));
    server.kill();
    // What the client had fetched still comes; then it stands still, and says why.
    let begun = now();
    let (mut next, mut idle) = (BTreeMap::new(), 0);
    while idle < 5 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        match source.poll(Duration::from_millis(100)).unwrap() {
            Polled::Idle | Polled::Advanced { .. } => idle += 1,
            chunk => unpack(chunk, &mut next, &mut reads),
        }
    }
    assert!(reads.values().map(Vec::len).sum::<usize>() < 30_000, "the broker went too late");
    let stalled = source.stalled().expect("the broker is away");
    assert!(stalled.contains(server.bootstrap()), "{stalled}");
    server.restart();
    let begun = now();
    while source.stalled().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        match source.poll(Duration::from_millis(100)).unwrap() {
            Polled::Idle => {}
            chunk => unpack(chunk, &mut next, &mut reads),
        }
    }
    (0..2).for_each(|partition| server.produce("back", numbered(partition, 20_000..20_100)));
    let missing = 40_200 - reads.values().map(Vec::len).sum::<usize>();
    for (partition, rest) in read(&mut source, Some(missing)) {
        reads.entry(partition).or_default().extend(rest);
    }
    for reads in reads.values() {
        let offsets: Vec<i64> = reads.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (0..20_100).collect::<Vec<_>>());
    }
}
