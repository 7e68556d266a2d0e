//! The parts that a bid goes through, each by itself: decode, event time, partial aggregate, join, encode.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use velostream::config::ProcessEnvironment;
use velostream::connect::console::OutputForm;
use velostream::connect::nexmark::{NexmarkGenerator, NexmarkKind};
use velostream::flow::{ChangeBatch, EpochContext, Operator, Tally};
use velostream::format::{
    CsvDecoder, CsvEncoder, CsvOptions, DecodeOptions, Decoder, Encoder, JsonDecoder, JsonEncoder, Layout,
};
use velostream::job::application::{PlannedApplication, Settings, Work};
use velostream::join::{JoinKind, JoinSpec, Keeping, StreamJoin, Unmatched};
use velostream::sql::plan::{Compiler, Planner, StreamPlan};
use velostream::time::{EventTimeFormat, EventTimeReader, SystemClock, Watermark};

/// Events of all kinds; 46 of 50 are bids.
const EVENTS: u64 = 8_000;
/// The event time of the first event: 2026-01-01 in epoch milliseconds.
const BASE_TIME_MILLIS: i64 = 1_767_225_600_000;
/// The columns that a query with windows uses: auction, price, dateTime.
const USED: [usize; 3] = [0, 2, 5];

/// The rows of a join's left side, those that come in one epoch, and how many there are for each on the right.
const LEFT_ROWS: i64 = 1_966_080;
const EPOCH_ROWS: i64 = 15_360;
const LEFT_PER_RIGHT: i64 = 15;

const TUMBLING: &str = "
    CREATE STREAM bid (auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
        dateTime TIMESTAMP(3), extra VARCHAR, WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND)
        WITH ('connector' = 'nexmark', 'events' = '50');
    CREATE STREAM answer WITH ('connector' = 'blackhole');
    INSERT INTO answer SELECT auction, window_start, COUNT(*) AS bids, SUM(price) AS total, MIN(price) AS low,
        MAX(price) AS high FROM bid GROUP BY auction WINDOW TUMBLING(dateTime, INTERVAL '10' SECOND);";

fn bids() -> RecordBatch {
    let generator = NexmarkGenerator::try_new(1, 10_000, BASE_TIME_MILLIS).unwrap();
    generator.batch(NexmarkKind::Bid, 0, EVENTS, None).unwrap()
}

fn encoded(mut encoder: impl Encoder, rows: &RecordBatch) -> Vec<u8> {
    let mut bytes = vec![];
    encoder.encode(rows, &mut bytes).unwrap();
    bytes
}

fn csv_encoder(schema: SchemaRef) -> CsvEncoder {
    CsvEncoder::new(schema, CsvOptions::default(), false)
}

fn csv_decoder(used: SchemaRef) -> CsvDecoder {
    let names: Vec<String> =
        NexmarkKind::Bid.schema().fields().iter().map(|field| field.name().clone()).collect();
    CsvDecoder::try_new(used, &names, CsvOptions::default(), DecodeOptions::default()).unwrap()
}

fn decode(criterion: &mut Criterion) {
    let rows = bids();
    let all = rows.schema();
    let used = Arc::new(all.project(&USED).unwrap());
    let json = encoded(JsonEncoder::new(Arc::clone(&all)), &rows);
    let csv = encoded(csv_encoder(Arc::clone(&all)), &rows);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    for (name, schema) in [("7 columns", &all), ("3 columns", &used)] {
        let mut decoder = JsonDecoder::try_new(Arc::clone(schema), DecodeOptions::default()).unwrap();
        group.bench_function(format!("json {name}"), |bencher| {
            bencher.iter(|| decoder.decode(black_box(&json), Layout::Lines).unwrap());
        });
        let mut decoder = csv_decoder(Arc::clone(schema));
        group.bench_function(format!("csv {name}"), |bencher| {
            bencher.iter(|| decoder.decode(black_box(&csv), Layout::Lines).unwrap());
        });
    }
    group.finish();
}

fn event_time(criterion: &mut Criterion) {
    let rows = bids();
    let time = &rows.schema().field(USED[2]).data_type().clone();
    let reader = EventTimeReader::try_new(USED[2], "dateTime", time, EventTimeFormat::Detect).unwrap();
    let mut group = criterion.benchmark_group("event time");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    group.bench_function("timestamp column", |bencher| {
        bencher.iter(|| reader.read(black_box(&rows), BASE_TIME_MILLIS, i64::MAX / 2).unwrap());
    });
    group.finish();
}

fn tumbling_plan() -> StreamPlan {
    let settings = Settings {
        parameters: std::collections::BTreeMap::new(),
        options: vec![],
        mode: None,
        output: OutputForm::Ndjson,
        directory: std::path::PathBuf::new(),
        environment: Arc::new(ProcessEnvironment),
        clock: Arc::new(SystemClock::default()),
        parallelism: NonZeroUsize::MIN,
        contact: false,
    };
    let Ok(mut planned) = PlannedApplication::plan(TUMBLING, &settings) else {
        panic!("the query is not planned")
    };
    match planned.jobs.remove(0).work {
        Work::Stream(plan) => *plan,
        Work::Batch(_) => panic!("the query is not a stream"),
    }
}

/// Returns the bids as the steps want them, with the columns that a worker adds.
fn stamped(rows: &RecordBatch, wanted: &SchemaRef) -> RecordBatch {
    let count = rows.num_rows();
    let columns = wanted.fields().iter().map(|field| -> ArrayRef {
        match (field.name().as_str(), field.data_type()) {
            ("__time" | "_event_time", _) => Arc::clone(rows.column(USED[2])),
            (name, _) if rows.column_by_name(name).is_some() => {
                Arc::clone(rows.column_by_name(name).unwrap())
            }
            // No watermark yet: no row is late.
            (_, DataType::Timestamp(..)) => Arc::new(TimestampMillisecondArray::from_value(i64::MIN, count)),
            (_, DataType::Int32) => Arc::new(Int32Array::from_value(0, count)),
            (_, DataType::Int64) => Arc::new(Int64Array::from_iter_values(0..i64::try_from(count).unwrap())),
            (name, other) => panic!("nothing to put into `{name}`, a {other}"),
        }
    });
    RecordBatch::try_new(Arc::clone(wanted), columns.collect()).unwrap()
}

fn partial_aggregate(criterion: &mut Criterion) {
    let plan = tumbling_plan();
    let planner = Planner::new(NonZeroUsize::MIN);
    let compiler = Compiler::new(planner.stream_state());
    let mut fragment = compiler.fragment(&plan.scans[0].steps).unwrap();
    let rows = stamped(&bids(), &plan.scans[0].schema);
    let mut group = criterion.benchmark_group("tumbling");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    group.bench_function("partial aggregate", |bencher| {
        bencher.iter_batched(
            || ChangeBatch::inserts(rows.clone()),
            |batch| {
                let mut tally = Tally::default();
                let states = fragment.run(batch, &mut tally).unwrap();
                assert_eq!((tally.late, tally.merged), (0, rows.num_rows() as u64));
                states
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let rows = bids();
    let encoders: [(&str, Box<dyn Encoder>); 2] =
        [("json", Box::new(JsonEncoder::new(rows.schema()))), ("csv", Box::new(csv_encoder(rows.schema())))];
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    for (name, mut encoder) in encoders {
        let mut bytes = vec![];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                bytes.clear();
                encoder.encode(black_box(&rows), &mut bytes).unwrap();
            });
        });
    }
    group.finish();
}

/// Two streams in the order of time: 100 left rows for each 10 ms, a right row for each 15 left ones; each left row has one
/// partner, up to 1.5 s older.
fn side(port: usize, rows: std::ops::Range<i64>) -> RecordBatch {
    let apart = if port == 0 { 1 } else { LEFT_PER_RIGHT };
    let key = |row: i64| match port {
        0 => (row / LEFT_PER_RIGHT - row * 7_919 % 1_000).max(0),
        _ => row,
    };
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(key)));
    let times = rows.clone().map(|row| BASE_TIME_MILLIS + row * apart / 10);
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(times));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
    RecordBatch::try_from_iter([("k", keys), ("t", times), ("v", values)]).unwrap()
}

fn interval_join(criterion: &mut Criterion) {
    let input = side(0, 0..0).schema();
    let pair = Arc::new(Schema::new([input.fields().to_vec(), input.fields().to_vec()].concat()));
    let spec = Arc::new(JoinSpec {
        lags: [0, 0],
        kind: JoinKind::Inner,
        inputs: [Arc::clone(&input), input],
        keys: [vec![0], vec![0]],
        nulls_match: false,
        times: Some([1, 1]),
        marks: None,
        keeping: Keeping::Within { lower_ms: -10_000, upper_ms: 0 },
        condition: None,
        output: Arc::clone(&pair),
        pair,
        unmatched: Unmatched::WhenSure,
    });
    let epochs: Vec<[ChangeBatch; 2]> = (0..LEFT_ROWS / EPOCH_ROWS)
        .map(|epoch| [EPOCH_ROWS, EPOCH_ROWS / LEFT_PER_RIGHT].map(|rows| epoch * rows..(epoch + 1) * rows))
        .map(|[left, right]| [ChangeBatch::inserts(side(0, left)), ChangeBatch::inserts(side(1, right))])
        .collect();
    let mut group = criterion.benchmark_group("join");
    group.throughput(Throughput::Elements(LEFT_ROWS.unsigned_abs()));
    group.bench_function("2 M rows with 130 k within 10 s", |bencher| {
        bencher.iter(|| {
            let mut join = StreamJoin::try_new("join".to_owned(), Arc::clone(&spec), false).unwrap();
            let epoch = EpochContext { epoch: 1, now_ms: 0, last: false };
            let mut pairs = 0;
            for (ordinal, [left, right]) in (1..).zip(&epochs) {
                for (port, change) in [(1, right), (0, left)] {
                    let given = join.apply(port, change, &epoch).unwrap();
                    pairs += given.iter().map(ChangeBatch::num_rows).sum::<usize>();
                }
                let time = BASE_TIME_MILLIS + ordinal * EPOCH_ROWS / 10;
                join.advance(Watermark::from_millis(time), &epoch).unwrap();
            }
            assert!(pairs > 1_900_000, "{pairs} pairs");
            pairs
        });
    });
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

criterion_group! {
    name = parts;
    config = settings();
    targets = decode, event_time, partial_aggregate, interval_join, encode
}
criterion_main!(parts);
