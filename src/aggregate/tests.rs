//! Aggregates over changelogs, without SQL around them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::col;

use super::retracting_states::RetractingStates;
use super::{AggregateSpec, GroupColumn, Retraction};
use crate::error::{ErrorKind, Result};

/// A key and a value.
type Row = (i64, Option<i64>);

fn states() -> RetractingStates {
    let input = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("v", DataType::Int64, true),
    ]));
    let function = |function: Arc<AggregateUDF>| {
        let builder = AggregateExprBuilder::new(function, vec![col("v", &input).unwrap()]);
        Arc::new(builder.schema(SchemaRef::clone(&input)).alias("f").build().unwrap())
    };
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let spec = AggregateSpec {
        keys: vec![(col("k", &input).unwrap(), Arc::new(input.field(0).clone()))],
        window: None,
        functions: vec![function(count_udaf()), function(min_udaf()), function(max_udaf())],
        filters: vec![None, None, None],
        layout: vec![GroupColumn::Key(0)],
        output: Arc::new(Schema::new(vec![number("k"), number("n"), number("lo"), number("hi")])),
    };
    let retraction = Retraction::try_new(&spec, &input).unwrap();
    assert_eq!(retraction.bags.len(), 1, "functions over the same values share them");
    RetractingStates::try_new(Arc::new(spec), Arc::new(retraction)).unwrap()
}

fn apply(states: &mut RetractingStates, rows: &[(Row, i8)]) {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|((k, _), _)| *k)));
    let values: ArrayRef = Arc::new(rows.iter().map(|((_, v), _)| *v).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("key_0", keys), ("value_0", values)]).unwrap();
    let weights: Vec<i8> = rows.iter().map(|(_, weight)| *weight).collect();
    states.apply(&batch, &weights).unwrap();
}

/// Folds what changed into `shown`.
fn settle(states: &mut RetractingStates, shown: &mut BTreeMap<Vec<Option<i64>>, i8>) -> Result<()> {
    let (mut columns, values, weights) = states.settle()?.into_rows()?;
    columns.extend(values);
    for (row, weight) in weights.into_iter().enumerate() {
        let number = |column: &ArrayRef| column.as_primitive::<Int64Type>().iter().nth(row).flatten();
        *shown.entry(columns.iter().map(number).collect()).or_default() += weight;
    }
    shown.retain(|_, weight| *weight != 0);
    Ok(())
}

#[test]
fn the_fold_is_the_answer_over_the_rows_that_are_left() {
    let mut states = states();
    let mut shown = BTreeMap::new();
    let mut left: Vec<Row> = vec![];
    let mut dice = 1_u64;
    for round in 0..400 {
        let mut changes = vec![];
        for _ in 0..round % 7 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let roll = i64::from(u16::try_from(dice >> 48).unwrap());
            if roll % 2 == 0 && !left.is_empty() {
                let place = usize::try_from(roll).unwrap() / 2 % left.len();
                changes.push((left.swap_remove(place), -1));
            } else {
                let row = (roll % 11, (roll % 5 > 0).then_some(roll % 13));
                left.push(row);
                changes.push((row, 1));
            }
        }
        apply(&mut states, &changes);
        settle(&mut states, &mut shown).unwrap();
        let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (key, value) in &left {
            groups.entry(*key).or_default().extend(value);
        }
        let answer = groups.into_iter().map(|(key, values)| {
            let count = i64::try_from(values.len()).unwrap();
            let row =
                vec![Some(key), Some(count), values.iter().min().copied(), values.iter().max().copied()];
            (row, 1)
        });
        assert_eq!(shown, answer.collect(), "round {round}");
    }
}

#[test]
fn groups_without_rows_leave_nothing_behind() {
    let mut states = states();
    let mut shown = BTreeMap::new();
    let mut after_first = 0;
    for key in 0..6_000 {
        apply(&mut states, &[((key, Some(key)), 1)]);
        settle(&mut states, &mut shown).unwrap();
        apply(&mut states, &[((key, Some(key)), -1)]);
        settle(&mut states, &mut shown).unwrap();
        assert!(shown.is_empty());
        if key == 0 {
            after_first = states.bytes();
        }
    }
    let bytes = states.bytes();
    assert!(bytes < after_first + 300_000, "{bytes} bytes for no rows, {after_first} at first");
}

#[test]
fn what_never_came_is_not_withdrawn() {
    let mut states = states();
    let mut shown = BTreeMap::new();
    apply(&mut states, &[((1, Some(2)), 1), ((1, Some(3)), -1), ((1, Some(4)), 1)]);
    let error = settle(&mut states, &mut shown).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}
