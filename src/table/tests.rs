//! Tables against a model, and readers beside a writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int8Array, Int64Array, RecordBatch, StringArray, StringViewArray,
    TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use super::{Beside, IndexId, KeyedTable, ReadPin, Retention, Since, Table, TableScan, TableSnapshot};
use crate::flow::{ChangeBatch, EpochContext, Operator};
use crate::time::Watermark;

/// A number, a text and a payload.
type Row = (Option<i64>, Option<String>, Option<i64>);

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(Row, bool)>),
    Publish,
    Hold,
    Index,
}

#[derive(Debug, Clone)]
struct Case {
    number: DataType,
    text: DataType,
    /// What numbers are multiplied with: keys close together, far apart, and very far apart.
    spread: i64,
    key: Vec<usize>,
    wants_changes: bool,
    steps: Vec<Step>,
}

fn row() -> impl Strategy<Value = Row> {
    let text = (0..6u8, any::<bool>()).prop_map(|(text, is_long)| match is_long {
        true => format!("a text that is too long to stand in its view: {text}"),
        false => format!("t{text}"),
    });
    (prop::option::weighted(0.9, -8..8i64), prop::option::weighted(0.9, text), prop::option::of(0..4i64))
}

fn step() -> impl Strategy<Value = Step> {
    let changes = prop::collection::vec((row(), prop::bool::weighted(0.75)), 0..20);
    prop_oneof![
        8 => changes.prop_map(Step::Apply),
        4 => Just(Step::Publish),
        1 => Just(Step::Hold),
        1 => Just(Step::Index),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let shape = prop_oneof![
        Just((DataType::Int64, 1)),
        Just((DataType::Int64, 1_000)),
        Just((DataType::Int64, 1 << 58)),
        Just((DataType::Int16, 7)),
        Just((DataType::Date32, 1)),
        Just((DataType::Float64, 3)),
        Just((DataType::Decimal128(20, 0), 3)),
    ];
    let text = prop_oneof![Just(DataType::Utf8), Just(DataType::Utf8View)];
    let key = prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![1, 0]), Just(vec![])];
    (shape, text, key, any::<bool>(), prop::collection::vec(step(), 1..40)).prop_map(
        |((number, spread), text, key, wants_changes, steps)| Case {
            number,
            text,
            spread,
            key,
            wants_changes,
            steps,
        },
    )
}

impl Case {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("number", self.number.clone(), true),
            Field::new("text", self.text.clone(), true),
            Field::new("payload", DataType::Int64, true),
        ]))
    }

    fn numbers(&self, numbers: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        let numbers: Int64Array = numbers.map(|number| number.map(|number| number * self.spread)).collect();
        match &self.number {
            DataType::Date32 => cast(&cast(&numbers, &DataType::Int32).unwrap(), &DataType::Date32).unwrap(),
            other => cast(&numbers, other).unwrap(),
        }
    }

    fn texts(&self, texts: impl Iterator<Item = Option<String>>) -> ArrayRef {
        cast(&texts.collect::<StringArray>(), &self.text).unwrap()
    }

    fn batch(&self, rows: &[Row]) -> RecordBatch {
        let payload: Int64Array = rows.iter().map(|row| row.2).collect();
        let columns = vec![
            self.numbers(rows.iter().map(|row| row.0)),
            self.texts(rows.iter().map(|row| row.1.clone())),
            Arc::new(payload) as ArrayRef,
        ];
        RecordBatch::try_new(self.schema(), columns).unwrap()
    }

    fn rows(&self, columns: &[ArrayRef]) -> Vec<Row> {
        let numbers = match &self.number {
            DataType::Date32 => {
                cast(&cast(&columns[0], &DataType::Int32).unwrap(), &DataType::Int64).unwrap()
            }
            _ => cast(&columns[0], &DataType::Int64).unwrap(),
        };
        let texts = cast(&columns[1], &DataType::Utf8).unwrap();
        let numbers = numbers.as_primitive::<Int64Type>();
        let (texts, payload) = (texts.as_string::<i32>(), columns[2].as_primitive::<Int64Type>());
        (0..payload.len())
            .map(|row| {
                let number = numbers.is_valid(row).then(|| numbers.value(row) / self.spread);
                let text = texts.is_valid(row).then(|| texts.value(row).to_owned());
                (number, text, payload.is_valid(row).then(|| payload.value(row)))
            })
            .collect()
    }

    fn scanned(&self, snapshot: &TableSnapshot) -> Vec<Row> {
        let mut rows: Vec<Row> =
            snapshot.scan(None).flat_map(|rows| self.rows(rows.unwrap().columns())).collect();
        assert_eq!(rows.len(), snapshot.num_rows());
        rows.sort();
        rows
    }

    /// Adds changes to how often each row is there.
    fn fold(&self, changes: &ChangeBatch, folded: &mut BTreeMap<Row, i64>) {
        for (place, row) in self.rows(changes.rows().columns()).into_iter().enumerate() {
            let weight = changes.weights().map_or(1, |weights| i64::from(weights.value(place)));
            let count = folded.entry(row).or_default();
            assert!(*count + weight >= 0, "a row goes that was not there");
            *count += weight;
        }
    }

    fn key_of(&self, row: &Row) -> Row {
        let has = |column| self.key.contains(&column);
        (row.0.filter(|_| has(0)), row.1.clone().filter(|_| has(1)), None)
    }
}

/// The rows in the order in which they came, the slow way.
#[derive(Debug, Clone, Default)]
struct Model {
    rows: Vec<Row>,
}

impl Model {
    fn apply(&mut self, case: &Case, row: &Row, inserts: bool) {
        let is_it = |other: &Row| match case.key.is_empty() {
            true => other == row,
            false => case.key_of(other) == case.key_of(row),
        };
        let goes = self.rows.iter().position(is_it).filter(|_| !case.key.is_empty() || !inserts);
        goes.map(|place| self.rows.remove(place));
        if inserts {
            self.rows.push(row.clone());
        }
    }

    fn sorted(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }

    /// Returns the rows that a lookup by these columns finds, for each looking row.
    fn found(&self, columns: &[usize], looking: &[Row]) -> Vec<(u32, Row)> {
        let equals = |row: &Row, other: &Row| {
            columns.iter().all(|column| match column {
                0 => row.0.is_some() && row.0 == other.0,
                1 => row.1.is_some() && row.1 == other.1,
                _ => row.2.is_some() && row.2 == other.2,
            })
        };
        let of = |(probe, row): (u32, &Row)| {
            let found = self.rows.iter().filter(|other| equals(row, other));
            found.map(|other| (probe, other.clone())).collect::<Vec<_>>()
        };
        (0u32..).zip(looking).flat_map(of).collect()
    }
}

fn check_lookup(case: &Case, snapshot: &TableSnapshot, model: &Model, index: IndexId, columns: &[usize]) {
    let numbers = (-9..9).map(Some).chain([None]);
    let texts = (0..7).map(|text| Some(format!("t{text}"))).chain([None]);
    let looking: Vec<Row> = numbers
        .flat_map(|number| texts.clone().map(move |text| (number, text, Some(number.unwrap_or(0) % 4))))
        .chain(model.rows.iter().cloned())
        .collect();
    let batch = case.batch(&looking);
    let keys: Vec<ArrayRef> = columns.iter().map(|&column| Arc::clone(batch.column(column))).collect();
    let matches = snapshot.lookup(index, &keys).unwrap();
    let rows = case.rows(&snapshot.take(&matches, &[0, 1, 2]).unwrap());
    assert!(matches.probe().values().is_sorted());
    let mut found: Vec<(u32, Row)> = matches.probe().values().iter().copied().zip(rows).collect();
    let mut expected = model.found(columns, &looking);
    // A row that was written again as it was may have stayed where it stood.
    found.sort();
    expected.sort();
    assert!(found == expected, "looked up by {columns:?}");
    let outer = matches.with_missing(looking.len());
    let missing = looking.len()
        - expected.iter().map(|(probe, _)| probe).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(outer.len(), expected.len() + missing);
    assert!(outer.probe().values().is_sorted());
    let payload = snapshot.take(&outer, &[2]).unwrap();
    assert!(payload[0].null_count() >= missing);
}

fn check(case: &Case) {
    let table = Table::new("t".into(), case.schema(), case.key.clone());
    let mut writer = table.writer().unwrap();
    assert!(table.writer().is_err());
    let (mut model, mut published) = (Model::default(), Model::default());
    let mut folded: BTreeMap<Row, i64> = BTreeMap::new();
    let mut held = vec![];
    let mut indexes: Vec<(IndexId, Vec<usize>)> = vec![];
    if !case.key.is_empty() {
        indexes.push((table.require_index(&case.key).unwrap(), case.key.clone()));
    }
    for step in &case.steps {
        match step {
            Step::Apply(changes) => {
                changes.iter().for_each(|(row, inserts)| model.apply(case, row, *inserts));
                let (rows, weights): (Vec<Row>, Vec<i8>) =
                    changes.iter().map(|(row, inserts)| (row.clone(), if *inserts { 1 } else { -1 })).unzip();
                let has_deletes = weights.contains(&-1);
                let weights = has_deletes.then(|| Int8Array::from(weights));
                let change = ChangeBatch::try_new(case.batch(&rows), weights).unwrap();
                let changes = writer.apply(&change, case.wants_changes).unwrap();
                changes.iter().for_each(|changes| case.fold(changes, &mut folded));
            }
            Step::Publish => {
                let snapshot = writer.publish().unwrap();
                published = model.clone();
                assert_eq!(case.scanned(&snapshot), model.sorted());
                for (index, columns) in &indexes {
                    check_lookup(case, &snapshot, &model, *index, columns);
                }
            }
            Step::Hold => held.push((table.snapshot(), published.clone(), indexes.clone())),
            Step::Index => {
                let columns = [vec![2], vec![1], vec![0, 2]][indexes.len() % 3].clone();
                let index = table.require_index(&columns).unwrap();
                assert_eq!(index, table.require_index(&columns).unwrap());
                indexes.push((index, columns.clone()));
                check_lookup(case, &table.snapshot(), &published, index, &columns);
            }
        }
        if case.wants_changes {
            let folded: Vec<Row> = folded
                .iter()
                .flat_map(|(row, &count)| std::iter::repeat_n(row.clone(), usize::try_from(count).unwrap()))
                .collect();
            assert_eq!(folded, model.sorted());
        }
        assert_eq!(case.scanned(&table.snapshot()), published.sorted());
    }
    for (snapshot, model, indexes) in held {
        assert_eq!(case.scanned(&snapshot), model.sorted());
        for (index, columns) in indexes {
            check_lookup(case, &snapshot, &model, index, &columns);
        }
    }
    drop(writer);
    let mut writer = table.writer().unwrap();
    assert_eq!(case.scanned(&writer.publish().unwrap()), published.sorted());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_what_its_changes_say(case in case()) {
        check(&case);
    }
}

/// How many rows each of the tables below has: more than share their liveness bits.
const ROWS: i64 = 70_000;
/// What the values of rows 2n and 2n + 1 add up to.
const PAIR: i64 = 1_000;

fn pairs_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("value", DataType::Int64, false),
        Field::new("kind", DataType::Utf8View, false),
    ]))
}

/// Values of rows, of which the first and the second one of a pair stand in batches of their own.
fn half_pairs(pairs: &[(i64, i64)], second: bool) -> ChangeBatch {
    let side = i64::from(second);
    let ids = Int64Array::from_iter_values(pairs.iter().map(|(pair, _)| 2 * pair + side));
    let values = pairs.iter().map(|(_, value)| if second { PAIR - value } else { *value });
    let kinds = StringViewArray::from_iter_values(pairs.iter().map(|(pair, _)| format!("kind {}", pair % 7)));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(ids), Arc::new(Int64Array::from_iter_values(values)), Arc::new(kinds)];
    ChangeBatch::inserts(RecordBatch::try_new(pairs_schema(), columns).unwrap())
}

/// Returns the next of a row of numbers without a pattern.
fn next(seed: &mut i64) -> i64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) & 0x7FFF_FFFF
}

fn check_epoch(snapshot: &TableSnapshot, by_id: IndexId, by_kind: IndexId, seed: &mut i64) {
    let values = snapshot.scan(Some(&[1])).map(|rows| {
        let rows = rows.unwrap();
        rows.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>()
    });
    assert_eq!((values.sum::<i64>(), snapshot.num_rows()), (ROWS / 2 * PAIR, usize::try_from(ROWS).unwrap()));
    let pairs: Vec<i64> = (0..200).map(|_| next(seed) % (ROWS / 2)).collect();
    let ids: ArrayRef =
        Arc::new(Int64Array::from_iter_values(pairs.iter().flat_map(|pair| [2 * pair, 2 * pair + 1])));
    let matches = snapshot.lookup(by_id, &[ids]).unwrap();
    assert_eq!(matches.len(), 2 * pairs.len());
    let values = snapshot.take(&matches, &[1]).unwrap();
    let values = values[0].as_primitive::<Int64Type>().values();
    assert!(values.chunks(2).all(|pair| pair[0] + pair[1] == PAIR));
    let kind: ArrayRef = Arc::new(StringViewArray::from(vec![format!("kind {}", next(seed) % 7)]));
    let matches = snapshot.lookup(by_kind, &[kind]).unwrap();
    let values = snapshot.take(&matches, &[1]).unwrap();
    let values = values[0].as_primitive::<Int64Type>().values();
    assert_eq!((matches.len() % 2, values.iter().sum::<i64>()), (0, values.len() as i64 / 2 * PAIR));
}

#[test]
fn readers_see_whole_epochs_while_a_million_rows_change() {
    let table = Table::new("pairs".into(), pairs_schema(), vec![0]);
    let mut writer = table.writer().unwrap();
    let all: Vec<(i64, i64)> = (0..ROWS / 2).map(|pair| (pair, pair % PAIR)).collect();
    writer.apply(&half_pairs(&all, false), false).unwrap();
    writer.apply(&half_pairs(&all, true), false).unwrap();
    let first = writer.publish().unwrap();
    let by_id = table.require_index(&[0]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let by_kind = table.require_index(&[2]).unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (1..3)
            .map(|mut seed| {
                let (table, done) = (&table, &done);
                scope.spawn(move || {
                    let mut seen = vec![];
                    while !done.load(std::sync::atomic::Ordering::Acquire) {
                        let snapshot = table.snapshot();
                        check_epoch(&snapshot, by_id, by_kind, &mut seed);
                        seen.push(snapshot.version());
                    }
                    seen
                })
            })
            .collect();
        let mut seed = 7;
        for _ in 0..100 {
            let pairs: Vec<(i64, i64)> =
                (0..5_000).map(|_| (next(&mut seed) % (ROWS / 2), next(&mut seed) % PAIR)).collect();
            // The last change of a row counts; both halves come in the same order.
            writer.apply(&half_pairs(&pairs, false), next(&mut seed) % 2 == 0).unwrap();
            writer.apply(&half_pairs(&pairs, true), false).unwrap();
            writer.publish().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        for reader in readers {
            let seen = reader.join().unwrap();
            assert!(seen.is_sorted());
        }
    });
    assert_eq!(table.snapshot().version(), 101);
    let mut seed = 3;
    check_epoch(&table.snapshot(), by_id, by_kind, &mut seed);
    assert_eq!(first.num_rows(), usize::try_from(ROWS).unwrap());
    let values = first.scan(Some(&[1])).map(|rows| rows.unwrap().num_rows()).sum::<usize>();
    assert_eq!(values, first.num_rows());
}

/// Rows of a key, a time and a payload; −1 where the payload is missing.
fn timed(rows: &[(i64, i64, Option<i64>)]) -> ChangeBatch {
    let schema = timed_schema();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
    ];
    let weights = rows.iter().map(|row| if row.2.is_some() { 1 } else { -1 });
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    ChangeBatch::try_new(rows, Some(Int8Array::from_iter_values(weights))).unwrap()
}

fn timed_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("payload", DataType::Int64, true),
    ]))
}

fn timed_table() -> KeyedTable {
    let table = Table::new("timed".into(), timed_schema(), vec![0]);
    let retention = Some(Retention { since: Since::EventTime(1), retention_ms: 100, behind_ms: None });
    KeyedTable::try_new("table timed".into(), table.writer().unwrap(), retention, true, true).unwrap()
}

fn timed_rows(changes: &ChangeBatch) -> Vec<(i64, i64, i64, i64)> {
    let columns = changes.rows().columns();
    let times = columns[1].as_primitive::<TimestampMillisecondType>();
    let (ids, payload) = (columns[0].as_primitive::<Int64Type>(), columns[2].as_primitive::<Int64Type>());
    let weight = |row| changes.weights().map_or(1, |weights| i64::from(weights.value(row)));
    (0..ids.len()).map(|row| (ids.value(row), times.value(row), payload.value(row), weight(row))).collect()
}

fn timed_content(operator: &KeyedTable) -> Vec<(i64, i64, i64, i64)> {
    let snapshot = operator.table().snapshot();
    let mut rows: Vec<_> =
        snapshot.scan(None).flat_map(|rows| timed_rows(&ChangeBatch::inserts(rows.unwrap()))).collect();
    rows.sort_unstable();
    rows
}

fn run_epoch(operator: &mut KeyedTable, epoch: i64) -> Vec<(i64, i64, i64, i64)> {
    let context = EpochContext { epoch: epoch.unsigned_abs(), now_ms: 0, last: false };
    let mut seed = epoch * 31;
    for _ in 0..2 {
        let rows: Vec<_> = (0..10)
            .map(|_| {
                let key = next(&mut seed) % 30;
                (
                    key,
                    epoch * 10 - next(&mut seed) % 40,
                    Some(next(&mut seed) % 5).filter(|payload| *payload > 0),
                )
            })
            .collect();
        assert!(operator.apply(0, &timed(&rows), &context).unwrap().is_empty());
    }
    let changes = operator.advance(Watermark::from_millis(epoch * 10 - 40), &context).unwrap();
    changes.iter().flat_map(timed_rows).collect()
}

#[test]
fn a_table_goes_on_from_its_deltas_and_forgets_what_is_too_old() {
    let mut operator = timed_table();
    let (mut deltas, mut folded): (Vec<_>, BTreeMap<_, i64>) = (vec![], BTreeMap::new());
    for epoch in 1..60 {
        for (id, at, payload, weight) in run_epoch(&mut operator, epoch) {
            *folded.entry((id, at, payload, 1)).or_default() += weight;
        }
        folded.retain(|_, count| *count != 0);
        assert!(folded.values().all(|count| *count == 1));
        let content = timed_content(&operator);
        assert!(content.iter().eq(folded.keys()), "what goes on is what changed");
        let cutoff = epoch * 10 - 140;
        assert!(content.iter().all(|row| row.1 > cutoff), "nothing is older than the retention");
        assert!(epoch < 20 || content.len() > 10);
        deltas.extend(operator.take_delta().unwrap());
        if epoch % 19 == 0 {
            let mut other = timed_table();
            deltas.iter().for_each(|delta| other.restore(delta).unwrap());
            assert_eq!(timed_content(&other), content);
            let (mut here, mut there) =
                (run_epoch(&mut operator, epoch + 1), run_epoch(&mut other, epoch + 1));
            here.sort_unstable();
            there.sort_unstable();
            assert_eq!(here, there);
            assert_eq!(timed_content(&other), timed_content(&operator));
            for (id, at, payload, weight) in here {
                *folded.entry((id, at, payload, 1)).or_default() += weight;
            }
            deltas.extend(operator.take_delta().unwrap());
        }
    }
}

fn plain(rows: &[(i64, i64)], origin: Option<i64>) -> ChangeBatch {
    let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let mut columns = vec![
        ("id", column(rows.iter().map(|row| row.0).collect())),
        ("payload", column(rows.iter().map(|row| row.1).collect())),
    ];
    columns.extend(origin.map(|origin| ("__origin", column(vec![origin; rows.len()]))));
    ChangeBatch::inserts(RecordBatch::try_from_iter(columns).unwrap())
}

/// A table of numbers that keeps something beside its rows.
fn keeping(key: &[usize], beside: Beside, retention_ms: Option<i64>, emits: bool) -> KeyedTable {
    let schema = plain(&[], None).rows().schema();
    let table = Table::new("kept".into(), schema, key.to_vec());
    table.keep_beside(beside);
    let retention =
        retention_ms.map(|retention_ms| Retention { since: Since::Arrival, retention_ms, behind_ms: None });
    KeyedTable::try_new("table kept".into(), table.writer().unwrap(), retention, emits, true).unwrap()
}

fn of_plain(changes: &ChangeBatch) -> Vec<(i64, i64, i64)> {
    assert_eq!(changes.rows().num_columns(), 2, "nothing else is seen");
    let columns = changes.rows().columns().iter().map(|column| column.as_primitive::<Int64Type>());
    let columns: Vec<_> = columns.collect();
    let weight = |row| changes.weights().map_or(1, |weights| i64::from(weights.value(row)));
    (0..changes.num_rows()).map(|row| (columns[0].value(row), columns[1].value(row), weight(row))).collect()
}

fn plain_content(operator: &KeyedTable) -> Vec<(i64, i64)> {
    let snapshot = operator.table().snapshot();
    let rows = snapshot.scan(None).flat_map(|rows| of_plain(&ChangeBatch::inserts(rows.unwrap())));
    let mut rows: Vec<_> = rows.map(|(id, payload, _)| (id, payload)).collect();
    rows.sort_unstable();
    rows
}

/// Runs an epoch in which the clock shows `now_ms`; returns what changed.
fn plain_epoch(operator: &mut KeyedTable, now_ms: i64, change: &ChangeBatch) -> Vec<(i64, i64, i64)> {
    let context = EpochContext { epoch: 1, now_ms, last: false };
    assert!(operator.apply(0, change, &context).unwrap().is_empty());
    let changes = operator.advance(Watermark::NONE, &context).unwrap();
    changes.iter().flat_map(of_plain).collect()
}

#[test]
fn rows_leave_with_the_origin_that_gave_them_last() {
    let beside = Beside { origin: true, arrival: false };
    let mut tables = [true, false].map(|emits| keeping(&[0], beside, None, emits));
    let (mut deltas, mut told) = (vec![], vec![]);
    type Given<'a> = (&'a [(i64, i64)], i64, &'a [i64]);
    let given: [Given<'_>; 4] = [
        (&[(1, 10), (2, 20), (3, 30), (4, 40)], 7, &[]),
        // Another gives two of the keys, one of them as it is, and then the first is gone.
        (&[(2, 20), (3, 33)], 8, &[7]),
        (&[(5, 50), (2, 22)], 9, &[7]),
        (&[], 9, &[9, 8]),
    ];
    let contents = [
        vec![(1, 10), (2, 20), (3, 30), (4, 40)],
        vec![(2, 20), (3, 33)],
        vec![(2, 22), (3, 33), (5, 50)],
        vec![],
    ];
    for ((rows, origin, withdrawn), content) in given.into_iter().zip(contents) {
        for table in &mut tables {
            withdrawn.iter().for_each(|&origin| table.withdraw(origin));
            told.push(plain_epoch(table, 0, &plain(rows, Some(origin))));
            assert_eq!(plain_content(table), content);
        }
        deltas.extend(tables[0].take_delta().unwrap());
        let mut other = keeping(&[0], beside, None, true);
        deltas.iter().for_each(|delta| other.restore(delta).unwrap());
        assert_eq!(plain_content(&other), content);
        if content.len() == 4 {
            other.withdraw(7);
            assert_eq!(plain_epoch(&mut other, 0, &plain(&[], Some(7))).len(), 4);
        }
    }
    let told: Vec<_> = told.into_iter().step_by(2).collect();
    assert_eq!(told[1], [(3, 30, -1), (3, 33, 1), (1, 10, -1), (4, 40, -1)]);
    assert_eq!(told[2], [(5, 50, 1), (2, 20, -1), (2, 22, 1)]);
    assert_eq!(told[3].len(), 3);
}

#[test]
fn rows_grow_old_from_when_they_came() {
    let beside = Beside { origin: false, arrival: true };
    for (key, emits) in [(&[0][..], true), (&[0], false), (&[], true)] {
        let mut table = keeping(key, beside, Some(100), emits);
        let mut deltas = vec![];
        let mut epoch = |table: &mut KeyedTable, now_ms, rows: &[(i64, i64)]| {
            let told = plain_epoch(table, now_ms, &plain(rows, None));
            deltas.extend(table.take_delta().unwrap());
            let mut other = keeping(key, beside, Some(100), emits);
            deltas.iter().for_each(|delta| other.restore(delta).unwrap());
            assert_eq!(plain_content(&other), plain_content(table));
            (told, other)
        };
        epoch(&mut table, 1_000, &[(1, 10), (2, 20)]);
        // A row that comes again as it is has come now, which nobody is told.
        let (told, _) = epoch(&mut table, 1_050, &[(1, 10), (3, 30)]);
        assert!(!emits || key.is_empty() || told == [(3, 30, 1)], "{told:?}");
        assert!(!table.is_due(Some(1_099)) && table.is_due(Some(1_100)) && !table.is_due(None));
        let (told, mut other) = epoch(&mut table, 1_100, &[]);
        let old = if key.is_empty() { vec![(1, 10, -1), (2, 20, -1)] } else { vec![(2, 20, -1)] };
        assert_eq!(told, if emits { old.clone() } else { vec![] });
        assert_eq!(table.expired(), old.len() as u64);
        assert_eq!(plain_content(&table), [(1, 10), (3, 30)]);
        assert!(!table.is_due(Some(1_149)) && table.is_due(Some(1_150)));
        // What goes on elsewhere finds what grew old while nobody looked.
        assert!(other.is_due(Some(1_150)));
        assert_eq!(plain_epoch(&mut other, 1_150, &plain(&[], None)).len(), if emits { 2 } else { 0 });
        assert!(plain_content(&other).is_empty());
        assert!(!other.is_due(Some(i64::MAX)), "nothing is left");
    }
}

fn answer(context: &SessionContext, query: &str) -> Vec<String> {
    let run = async {
        let batches = context.sql(query).await?.collect().await?;
        arrow::util::pretty::pretty_format_batches(&batches).map_err(Into::into)
    };
    let text = futures::executor::block_on(run).map_err(|error: DataFusionError| error.to_string());
    let text = text.map_or_else(|error| error, |table| table.to_string());
    let mut lines: Vec<String> =
        text.lines().filter(|line| line.starts_with('|')).skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_plan_reads_a_table_through_its_indexes_and_as_it_is_when_the_plan_runs() {
    let table = Table::new("pairs".into(), pairs_schema(), vec![0]);
    let mut writer = table.writer().unwrap();
    table.require_index(&[2]).unwrap();
    table.require_index(&[2, 1]).unwrap();
    let pin = ReadPin::new();
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().execution.collect_statistics = false;
    let context = SessionContext::new_with_config(config);
    context.register_table("looked", Arc::new(TableScan::new(Arc::clone(&table), Arc::clone(&pin)))).unwrap();
    // The same rows where no filter is pushed down.
    let plain = |context: &SessionContext| {
        let batches = table.snapshot().scan(None).collect::<crate::error::Result<Vec<_>>>().unwrap();
        let rows = MemTable::try_new(pairs_schema(), vec![batches]).unwrap();
        context.deregister_table("plain").unwrap();
        context.register_table("plain", Arc::new(rows)).unwrap();
    };
    for (epoch, value) in [(1, 5), (2, 6), (3, 7)] {
        let pairs: Vec<(i64, i64)> = (0..40).map(|pair| (pair * epoch, value + pair % 3)).collect();
        writer.apply(&half_pairs(&pairs, false), false).unwrap();
        writer.apply(&half_pairs(&pairs, true), false).unwrap();
        writer.publish().unwrap();
        pin.release();
        plain(&context);
        let mut answered = 0;
        for condition in [
            "id = 4",
            "4 = id AND value > 3",
            "id IN (2, 4, 4, 6, 8, 10, 999)",
            "id = 2 OR id = 4",
            "id = 2 OR value = 4",
            "id NOT IN (2, 4)",
            "id = 4 AND id = 6",
            "id = NULL",
            "kind = 'kind 3'",
            "kind = 'kind 3' AND value IN (6, 7, 994) AND id > 3",
            "kind IN ('kind 1', 'kind 2') AND id IN (2, 30, 32, 46)",
            "value = 6",
            "true",
        ] {
            for columns in ["*", "value", "count(*)", "kind, id"] {
                let query = |table| format!("SELECT {columns} FROM {table} WHERE {condition}");
                let found = answer(&context, &query("looked"));
                assert_eq!(found, answer(&context, &query("plain")), "{columns} {condition}");
                answered += found.len();
            }
        }
        assert!(answered > 100);
    }
    // One query sees one epoch, whatever is published between its scans.
    let before = answer(&context, "SELECT sum(value) FROM looked");
    writer.apply(&half_pairs(&[(0, 900)], false), false).unwrap();
    writer.publish().unwrap();
    assert_eq!(answer(&context, "SELECT sum(value) FROM looked"), before);
    pin.release();
    assert_ne!(answer(&context, "SELECT sum(value) FROM looked"), before);
    let plan = answer(&context, "EXPLAIN SELECT value FROM looked WHERE id = 4 AND value = 3");
    assert!(plan.iter().any(|line| line.contains("FilterExec: value")), "{plan:?}");
    assert!(!plan.iter().any(|line| line.contains("FilterExec: id")), "{plan:?}");
}

#[test]
fn a_table_takes_at_most_twice_the_memory_of_its_rows() {
    let payload = || Arc::new(Int64Array::from_iter_values(0..100_000)) as ArrayRef;
    let numbers =
        |spread: i64| Arc::new(Int64Array::from_iter_values((0..100_000).map(|id| id * spread))) as ArrayRef;
    let texts = StringViewArray::from_iter_values((0..100_000).map(|id| format!("user {id}")));
    let long = StringArray::from_iter_values((0..100_000).map(|id| format!("somebody whose name is {id}")));
    for key in [numbers(1), numbers(1_000), numbers(1 << 40), Arc::new(texts) as ArrayRef, Arc::new(long)] {
        let schema = Arc::new(Schema::new(vec![
            Field::new("key", key.data_type().clone(), false),
            Field::new("payload", DataType::Int64, false),
        ]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![key, payload()]).unwrap();
        let table = Table::new("t".into(), schema, vec![0]);
        let mut writer = table.writer().unwrap();
        for start in (0..100_000).step_by(1_000) {
            writer.apply(&ChangeBatch::inserts(rows.slice(start, 1_000)), false).unwrap();
        }
        let snapshot = writer.publish().unwrap();
        let (taken, of_rows) = (snapshot.bytes(), rows.get_array_memory_size());
        assert!(taken <= 2 * of_rows, "{taken} bytes for {of_rows} of {}", rows.column(0).data_type());
    }
}

#[test]
fn the_latest_row_of_a_key_is_the_last_and_a_delete_is_of_no_time() {
    let table = Table::new("timed".into(), timed_schema(), vec![0]);
    table.order_by(1);
    let mut writer = table.writer().unwrap();
    let mut seed = 7;
    // For each key its time and payload, as one row at a time would leave them.
    let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for round in 0..200 {
        let mut rows = vec![];
        for _ in 0..next(&mut seed) % 12 + 1 {
            let (id, at) = (next(&mut seed) % 6, next(&mut seed) % 20);
            let payload = Some(round * 100 + next(&mut seed) % 90).filter(|payload| payload % 5 > 0);
            rows.push((id, at, payload));
            match payload {
                None => drop(expected.remove(&id)),
                Some(_) if expected.get(&id).is_some_and(|(time, _)| *time > at) => {}
                Some(payload) => drop(expected.insert(id, (at, payload))),
            }
        }
        writer.apply(&timed(&rows), round % 2 == 0).unwrap();
        let snapshot = writer.publish().unwrap();
        let mut found: Vec<_> =
            snapshot.scan(None).flat_map(|rows| timed_rows(&ChangeBatch::inserts(rows.unwrap()))).collect();
        found.sort_unstable();
        let wanted: Vec<_> = expected.iter().map(|(id, (at, payload))| (*id, *at, *payload, 1)).collect();
        assert_eq!(found, wanted, "round {round}");
    }
}
