//! Tables in memory: lookups by batches of keys, bulk loads, and epochs of changes.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use velostream::flow::ChangeBatch;
use velostream::table::{Table, TableWriter};

/// How many rows look a key up, or come, together.
const BATCH: u64 = 8_192;
/// Batches of keys that are looked up in turn, so that none is in a cache from the time before.
const PROBES: u64 = 64;

/// What the key of the row with a number is.
#[derive(Clone, Copy)]
enum Key {
    /// The number itself.
    Dense,
    /// Any of 64 bits.
    Sparse,
    /// A text of 20 bytes.
    Text,
}

/// Spreads numbers without meeting one twice.
fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 31)).wrapping_mul(0x7FB5_D329_728E_A185);
    (number ^ (number >> 27)).wrapping_mul(0x81DA_DEF4_BC2D_D44D)
}

impl Key {
    fn column(self, numbers: impl Iterator<Item = u64>) -> ArrayRef {
        match self {
            Self::Dense => Arc::new(Int64Array::from_iter_values(numbers.map(u64::cast_signed))),
            Self::Sparse => {
                Arc::new(Int64Array::from_iter_values(numbers.map(|number| spread(number).cast_signed())))
            }
            Self::Text => Arc::new(StringViewArray::from_iter_values(
                numbers.map(|number| format!("user-{number:015}")),
            )),
        }
    }

    fn schema(self) -> SchemaRef {
        let key = if matches!(self, Self::Text) { DataType::Utf8View } else { DataType::Int64 };
        let payload = Field::new("payload", DataType::Float64, false);
        Arc::new(Schema::new(vec![Field::new("key", key, false), payload]))
    }

    fn rows(self, numbers: impl Iterator<Item = u64> + Clone, payload: f64) -> ChangeBatch {
        let keys = self.column(numbers);
        let payload = Float64Array::from_value(payload, keys.len());
        ChangeBatch::inserts(RecordBatch::try_new(self.schema(), vec![keys, Arc::new(payload)]).unwrap())
    }

    /// Rows in an order that has nothing to do with their keys.
    fn batches(self, rows: u64) -> impl Iterator<Item = ChangeBatch> {
        let starts = (0..rows.div_ceil(BATCH)).map(move |batch| batch * BATCH);
        starts.map(move |start| {
            self.rows((start..(start + BATCH).min(rows)).map(move |n| shuffled(n, rows)), 1.0)
        })
    }
}

/// Returns another number below `rows` for each.
fn shuffled(number: u64, rows: u64) -> u64 {
    // A prime that no number of rows here is a multiple of.
    number * 7_368_787 % rows
}

fn loaded(key: Key, batches: impl Iterator<Item = ChangeBatch>) -> (Arc<Table>, TableWriter) {
    let table = Table::new("rows".into(), key.schema(), vec![0]);
    let mut writer = table.writer().unwrap();
    batches.for_each(|batch| assert!(writer.apply(&batch, false).unwrap().is_none()));
    writer.publish().unwrap();
    (table, writer)
}

fn look_up(criterion: &mut Criterion, name: &str, key: Key, rows: u64, changes: u64) {
    let (table, mut writer) = loaded(key, key.batches(rows));
    for epoch in 0..changes {
        let changed = (0..1_000).map(move |n| spread(epoch * 1_000 + n) % rows);
        writer.apply(&key.rows(changed, 2.0), true).unwrap();
        writer.publish().unwrap();
    }
    let probes: Vec<ArrayRef> = (0..PROBES)
        .map(|probe| key.column((probe * BATCH..(probe + 1) * BATCH).map(|n| spread(n + 1) % rows)))
        .collect();
    let (snapshot, index) = (table.snapshot(), table.require_index(&[0]).unwrap());
    let mut probes = probes.iter().cycle();
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let matches = snapshot.lookup(index, std::slice::from_ref(probes.next().unwrap())).unwrap();
            assert_eq!(matches.len() as u64, BATCH);
            black_box(snapshot.take(&matches, &[1]).unwrap())
        });
    });
    group.finish();
}

fn lookups(criterion: &mut Criterion) {
    look_up(criterion, "10 k sparse integers", Key::Sparse, 10_000, 0);
    look_up(criterion, "1 M dense integers", Key::Dense, 1_000_000, 0);
    look_up(criterion, "1 M sparse integers", Key::Sparse, 1_000_000, 0);
    look_up(criterion, "1 M sparse integers, 300 epochs of 1,000 changes later", Key::Sparse, 1_000_000, 300);
    look_up(criterion, "10 M sparse integers", Key::Sparse, 10_000_000, 0);
    look_up(criterion, "1 M texts", Key::Text, 1_000_000, 0);
}

fn loads(criterion: &mut Criterion) {
    let rows = 1_000_000;
    let mut group = criterion.benchmark_group("bulk load");
    group.throughput(Throughput::Elements(rows));
    for (name, key) in
        [("1 M dense integers", Key::Dense), ("1 M sparse integers", Key::Sparse), ("1 M texts", Key::Text)]
    {
        let batches: Vec<ChangeBatch> = key.batches(rows).collect();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || batches.clone(),
                |batches| loaded(key, batches.into_iter()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn epochs(criterion: &mut Criterion) {
    let rows = 1_000_000;
    let mut group = criterion.benchmark_group("epoch on 1 M sparse integers");
    for changes in [1, 1_000] {
        let (_, mut writer) = loaded(Key::Sparse, Key::Sparse.batches(rows));
        let mut epoch = 0;
        group.throughput(Throughput::Elements(changes));
        group.bench_function(format!("{changes} changes"), |bencher| {
            bencher.iter(|| {
                epoch += 1;
                let changed = (0..changes).map(|n| spread(epoch * changes + n) % rows);
                let changed = writer.apply(&Key::Sparse.rows(changed, epoch as f64), true).unwrap();
                black_box(changed);
                writer.publish().unwrap()
            });
        });
    }
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
    name = tables;
    config = settings();
    targets = lookups, loads, epochs
}
criterion_main!(tables);
