//! The contract of sources, for the two that make their rows: order, seek, pace and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use crate::connect::generator::{GeneratorOptions, GeneratorRules, GeneratorSource};
use crate::connect::nexmark::{NexmarkKind, NexmarkOptions, NexmarkSource};
use crate::connect::{ChunkLimits, Pace, Payload, Polled, Position, Source};
use crate::time::Clock;

/// A clock on which waiting is the only thing that takes time.
#[derive(Debug, Default)]
struct WaitingClock(AtomicI64);

impl Clock for WaitingClock {
    fn now_millis(&self) -> i64 {
        1_000_000 + self.monotonic_micros() / 1_000
    }

    fn monotonic_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn wait(&self, limit: Duration) {
        self.0.fetch_add(i64::try_from(limit.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

fn limits(rows: usize) -> ChunkLimits {
    ChunkLimits { rows, bytes: 1 << 20, linger: Duration::from_millis(5) }
}

fn clock() -> Arc<WaitingClock> {
    Arc::default()
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("price", DataType::Decimal128(18, 4), true),
        Field::new("level", DataType::Float64, true),
        Field::new("symbol", DataType::Utf8View, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ])
}

fn generator(options: &GeneratorOptions, rows: usize, clock: Arc<WaitingClock>) -> GeneratorSource {
    let fields = [
        ("fields.price.kind", "random_walk"),
        ("fields.price.null_ratio", "0.1"),
        ("fields.level.kind", "random_walk"),
        ("fields.symbol.values", "AAPL, MSFT"),
    ];
    let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let rules = GeneratorRules::from_options(&schema(), fields).unwrap();
    GeneratorSource::try_new(&schema(), rules, options, limits(rows), clock, None).unwrap()
}

fn nexmark(options: &NexmarkOptions, rows: usize) -> NexmarkSource {
    NexmarkSource::try_new(options, limits(rows), clock(), None).unwrap()
}

/// What came of a partition: its rows, and where each chunk starts and ends.
#[derive(Default)]
struct Read {
    batches: Vec<RecordBatch>,
    bounds: Vec<(i64, i64)>,
    ends: usize,
}

/// Reads to the end, which has to be said once.
fn read(source: &mut dyn Source) -> Vec<Read> {
    let mut reads: Vec<Read> = source.partitions().iter().map(|_| Read::default()).collect();
    loop {
        match source.poll(Duration::from_millis(1)).unwrap() {
            Polled::Chunk(chunk) => {
                let Payload::Rows(rows) = chunk.payload else { panic!("not rows") };
                assert!(rows.num_rows() > 0);
                let read = &mut reads[chunk.partition];
                assert_eq!(read.ends, 0);
                assert!(read.bounds.last().is_none_or(|(_, end)| *end == chunk.start.0));
                read.bounds.push((chunk.start.0, chunk.end.0));
                read.batches.push(rows.rows().clone());
            }
            Polled::Idle | Polled::Advanced { .. } | Polled::Withdrawn(_) => {}
            Polled::PartitionEnd(partition) => reads[partition].ends += 1,
            Polled::End => break,
        }
    }
    assert!(reads.iter().all(|read| read.ends == 1));
    for _ in 0..3 {
        assert!(matches!(source.poll(Duration::ZERO).unwrap(), Polled::Idle));
    }
    reads
}

fn rows(reads: &[Read]) -> usize {
    reads.iter().flat_map(|read| &read.batches).map(RecordBatch::num_rows).sum()
}

fn whole(reads: &[Read], partition: usize) -> RecordBatch {
    let batches = &reads[partition].batches;
    concat_batches(&batches[0].schema(), batches).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_generator_goes_on_anywhere(cut in 0i64..10_000, piece in 1usize..3_000, partitions in 1usize..4) {
        let options = GeneratorOptions { rows: Some(10_000), seed: 3, partitions, ..Default::default() };
        let straight = read(&mut generator(&options, 5_000, clock()));
        prop_assert_eq!(rows(&straight), 10_000);
        let mut resumed = generator(&options, piece, clock());
        for partition in 0..partitions {
            resumed.seek(partition, Position(cut)).unwrap();
        }
        let rest = read(&mut resumed);
        for partition in 0..partitions {
            let all = whole(&straight, partition);
            let from = all.num_rows() - rest[partition].batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            if from < all.num_rows() {
                prop_assert_eq!(all.slice(from, all.num_rows() - from), whole(&rest, partition));
                prop_assert!(rest[partition].bounds[0].0 - cut < i64::try_from(partitions).unwrap());
            }
        }
    }

    #[test]
    fn nexmark_goes_on_anywhere(cut in 0i64..10_000, piece in 1usize..3_000, partitions in 1usize..4, kind in 0usize..3) {
        let kind = [NexmarkKind::Person, NexmarkKind::Auction, NexmarkKind::Bid][kind];
        let options = NexmarkOptions { events: Some(10_000), seed: 3, partitions, ..NexmarkOptions::new(kind) };
        let straight = read(&mut nexmark(&options, 5_000));
        prop_assert_eq!(rows(&straight) as u64, kind.rows_below(10_000));
        // Stop after a chunk and go on from its end; and seek to any event.
        let mut resumed = nexmark(&options, piece);
        for (partition, read) in straight.iter().enumerate() {
            let position = if cut % 2 == 0 { cut } else { read.bounds[0].1 };
            resumed.seek(partition, Position(position)).unwrap();
        }
        let rest = read(&mut resumed);
        for partition in 0..partitions {
            let all = whole(&straight, partition);
            let from = all.num_rows() - rest[partition].batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            if from < all.num_rows() {
                prop_assert_eq!(all.slice(from, all.num_rows() - from), whole(&rest, partition));
            }
            if cut % 2 == 1 {
                prop_assert_eq!(from, straight[partition].batches[0].num_rows());
            }
        }
    }
}

#[test]
fn partitions_share_the_rows() {
    let one = GeneratorOptions { rows: Some(101), ..Default::default() };
    let four = GeneratorOptions { partitions: 4, ..one.clone() };
    let all = whole(&read(&mut generator(&one, 1_000, clock())), 0);
    let parts = read(&mut generator(&four, 10, clock()));
    assert_eq!(rows(&parts), 101);
    for row in 0..101 {
        assert_eq!(whole(&parts, row % 4).slice(row / 4, 1), all.slice(row, 1));
    }
}

#[test]
fn a_source_without_rows_ends_at_once() {
    let options = GeneratorOptions { rows: Some(1), partitions: 3, ..Default::default() };
    assert_eq!(rows(&read(&mut generator(&options, 10, clock()))), 1);
    let options = NexmarkOptions { events: Some(4), ..NexmarkOptions::new(NexmarkKind::Bid) };
    assert_eq!(rows(&read(&mut nexmark(&options, 10))), 0);
}

#[test]
fn a_slow_row_is_handed_out_when_it_is_due() {
    let clock = clock();
    let options = GeneratorOptions { rows_per_second: Some(1.0), ..Default::default() };
    let mut source = generator(&options, 1_000, Arc::clone(&clock));
    let mut at = Vec::new();
    while at.len() < 4 {
        let before = clock.monotonic_micros();
        if let Polled::Chunk(chunk) = source.poll(Duration::from_millis(30)).unwrap() {
            assert_eq!((chunk.end.0 - chunk.start.0, chunk.start.0), (1, at.len() as i64));
            at.push(clock.monotonic_micros());
        }
        assert!(clock.monotonic_micros() - before <= 30_000);
    }
    assert_eq!(at, [0, 1_000_000, 2_000_000, 3_000_000]);
}

#[test]
fn fast_rows_come_together_but_wait_a_millisecond_at_most() {
    let clock = clock();
    let options =
        GeneratorOptions { rows_per_second: Some(100_000.0), rows: Some(50_000), ..Default::default() };
    let mut source = generator(&options, 8_192, Arc::clone(&clock));
    let mut chunks = 0;
    loop {
        match source.poll(Duration::from_millis(100)).unwrap() {
            Polled::Chunk(chunk) => {
                chunks += 1;
                let due = chunk.start.0 * 10;
                assert!((0..=1_000).contains(&(clock.monotonic_micros() - due)));
            }
            Polled::End => break,
            _ => {}
        }
    }
    assert!((490..=510).contains(&chunks), "{chunks} chunks");
}

#[test]
fn who_falls_behind_catches_up_and_times_follow_the_clock() {
    let clock = clock();
    let options = GeneratorOptions { rows_per_second: Some(10.0), ..Default::default() };
    let mut source = generator(&options, 1_000, Arc::clone(&clock));
    source.seek(0, Position(70)).unwrap();
    let mut count = 0;
    for _ in 0..2 {
        let Polled::Chunk(chunk) = source.poll(Duration::from_millis(1)).unwrap() else { panic!("no rows") };
        let Payload::Rows(rows) = chunk.payload else { panic!("not rows") };
        let times =
            rows.rows().column(4).as_any().downcast_ref::<arrow::array::TimestampMillisecondArray>().unwrap();
        assert_eq!(times.value(0), 1_000_000 + count * 100);
        count += i64::try_from(rows.num_rows()).unwrap();
        clock.wait(Duration::from_secs(5));
    }
    assert_eq!(count, 1 + 50);
}

#[test]
fn wrong_options_and_positions_are_refused() {
    let kind = NexmarkKind::Bid;
    for options in [
        NexmarkOptions { events_per_second: 0, ..NexmarkOptions::new(kind) },
        NexmarkOptions { partitions: 0, ..NexmarkOptions::new(kind) },
        NexmarkOptions { rate: Some(0.0), ..NexmarkOptions::new(kind) },
    ] {
        assert!(NexmarkSource::try_new(&options, limits(10), clock(), None).is_err());
    }
    let mut source = nexmark(&NexmarkOptions::new(kind), 10);
    assert!(source.seek(0, Position(-1)).is_err());
    assert!(source.seek(1, Position(0)).is_err());
    assert!(NexmarkSource::try_new(&NexmarkOptions::new(kind), limits(10), clock(), Some(vec![9])).is_err());
}

#[test]
fn rows_fall_due_one_by_one() {
    let mut pace = Pace::try_new(Some(2.0)).unwrap();
    assert_eq!(pace.due_rows(0), u64::MAX);
    pace.start(1_000, 40);
    assert_eq!(pace.due_micros(40), Some(1_000));
    assert_eq!(pace.due_micros(41), Some(501_000));
    assert_eq!(pace.due_rows(1_000), 41);
    assert_eq!(pace.due_rows(500_999), 41);
    assert_eq!(pace.due_rows(501_000), 42);
}

#[test]
fn both_questions_agree_at_any_rate() {
    for rate in [0.001, 1.0, 3.0, 7.77, 1_000.0, 123_456.7, 1e9] {
        let mut pace = Pace::try_new(Some(rate)).unwrap();
        pace.start(5, 0);
        for row in [1, 2, 3, 10, 1_000, 123_457, 10_000_000] {
            let due = pace.due_micros(row).unwrap();
            assert!(pace.due_rows(due) > row, "row {row} at {rate}/s");
            assert!(pace.due_rows(due - 1) <= row, "row {row} at {rate}/s");
        }
    }
}

#[test]
fn a_rate_is_above_zero() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Pace::try_new(Some(rate)).is_err());
    }
}
