//! Tables against a model, and readers beside a writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use super::{IndexId, Table, TableSnapshot};
use crate::flow::ChangeBatch;

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
