//! Column rules: what they read, what they refuse, and what they make.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int8Type, Int64Type, Schema, TimeUnit,
    TimestampMillisecondType,
};

use super::GeneratorRules;
use super::column::DueTimes;
use crate::error::Result;

const DUE: DueTimes = DueTimes { start_nanos: 1_000_000_000, row: 0, step_nanos: 1e9 / 3.0 };
const MILLIS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

fn try_make(fields: Vec<Field>, options: &[(&str, &str)], rows: u64) -> Result<RecordBatch> {
    let schema = Schema::new(fields);
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut rules = GeneratorRules::from_options(&schema, options)?;
    rules.make(&Arc::new(schema), 42, &DUE, &(0..rows).collect::<Vec<_>>())
}

/// Makes the column `x` of a type by options without their prefix.
fn make(data_type: DataType, options: &[(&str, &str)], rows: u64) -> Result<ArrayRef> {
    let options: Vec<_> = options.iter().map(|(key, value)| (format!("fields.x.{key}"), *value)).collect();
    let options: Vec<_> = options.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    try_make(vec![Field::new("x", data_type, true)], &options, rows).map(|batch| Arc::clone(batch.column(0)))
}

#[test]
fn each_type_has_a_rule_of_its_own() {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    let fields = vec![
        field("id", DataType::Int64),
        field("n", DataType::Int64),
        field("tiny", DataType::Int8),
        field("price", DataType::Decimal128(18, 4)),
        field("small", DataType::Decimal128(38, 38)),
        field("ratio", DataType::Float64),
        field("name", DataType::Utf8),
        field("flag", DataType::Boolean),
        field("ts", MILLIS),
        field("day", DataType::Date32),
    ];
    let rows = try_make(fields, &[], 2_000).unwrap();
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values()[..3], [1, 2, 3]);
    let n = rows.column(1).as_primitive::<Int64Type>().values();
    assert_eq!((n.iter().min(), n.iter().max()), (Some(&0), Some(&1_000)));
    assert!(rows.column(2).as_primitive::<Int8Type>().values().iter().all(|tiny| *tiny >= 0));
    let prices = rows.column(3).as_primitive::<Decimal128Type>();
    assert!(prices.values().iter().all(|price| (0..=10_000_000).contains(price)));
    assert!(prices.values().iter().any(|price| price % 10 != 0));
    assert!(rows.column(5).as_primitive::<Float64Type>().values().iter().all(|x| (0.0..1.0).contains(x)));
    assert!(rows.column(6).as_string::<i32>().iter().all(|name| name.unwrap().len() == 8));
    assert!((900..1_100).contains(&rows.column(7).as_boolean().true_count()));
    let times = rows.column(8).as_primitive::<TimestampMillisecondType>().values();
    assert_eq!(times[..4], [1_000, 1_333, 1_666, 2_000]);
    assert!(rows.column(9).as_primitive::<Date32Type>().values().iter().all(|day| (0..=1_000).contains(day)));
}

#[test]
fn weights_are_roughly_honoured() {
    let column =
        make(DataType::Utf8, &[("values", "[AAPL, 'a, b', \"c\"]"), ("weights", "7, 2, 1")], 10_000).unwrap();
    let count = |name: &str| column.as_string::<i32>().iter().filter(|text| *text == Some(name)).count();
    assert!((6_800..7_200).contains(&count("AAPL")));
    assert!((1_850..2_150).contains(&count("a, b")));
    assert!((880..1_120).contains(&count("c")));
}

#[test]
fn ranges_reach_their_bounds_exactly() {
    let range = [("min", "-0.03"), ("max", "0.02")];
    let column = make(DataType::Decimal128(10, 2), &range, 1_000).unwrap();
    let values = column.as_primitive::<Decimal128Type>().values();
    assert_eq!((values.iter().min(), values.iter().max()), (Some(&-3), Some(&2)));
    let column = make(MILLIS, &[("min", "2026-01-01T00:00:00Z"), ("max", "1767225600009")], 1_000).unwrap();
    let values = column.as_primitive::<TimestampMillisecondType>().values();
    assert_eq!(
        (values.iter().min(), values.iter().max()),
        (Some(&1_767_225_600_000), Some(&1_767_225_600_009))
    );
}

#[test]
fn walks_stay_in_bounds_and_take_small_steps() {
    let walk =
        [("kind", "random_walk"), ("start", "100"), ("min", "90"), ("max", "120"), ("volatility", "0.002")];
    let column = make(DataType::Float64, &walk, 20_000).unwrap();
    let values = column.as_primitive::<Float64Type>().values();
    assert_eq!(values[0].to_bits(), 100f64.to_bits());
    assert!(values.iter().all(|value| (90.0..=120.0).contains(value)));
    let largest = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
    // Also across the anchors at every 4,096th row.
    assert!((0.3..1.0).contains(&largest), "{largest}");
    let spread =
        values.iter().copied().fold(f64::MIN, f64::max) - values.iter().copied().fold(f64::MAX, f64::min);
    assert!(spread > 10.0, "{spread}");
    let column = make(DataType::Decimal128(10, 2), &walk, 20_000).unwrap();
    assert!(
        column.as_primitive::<Decimal128Type>().values().iter().all(|value| (9_000..=12_000).contains(value))
    );
}

#[test]
fn other_kinds_do_what_they_say() {
    let column = make(DataType::Int64, &[("start", "5"), ("step", "5"), ("max", "15")], 5).unwrap();
    assert_eq!(column.as_primitive::<Int64Type>().values()[..], [5, 10, 15, 5, 10]);
    let column = make(MILLIS, &[("kind", "timestamp"), ("start", "0"), ("step", "250")], 3).unwrap();
    assert_eq!(column.as_primitive::<TimestampMillisecondType>().values()[..], [0, 250, 500]);
    let column = make(DataType::Utf8, &[("value", "same")], 2).unwrap();
    assert_eq!(column.as_string::<i32>().value(1), "same");
    let column = make(DataType::Utf8, &[("kind", "uuid")], 100).unwrap();
    for uuid in column.as_string::<i32>().iter().flatten() {
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!((parts, uuid.as_bytes()[14]), (vec![8, 4, 4, 4, 12], b'4'));
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
    }
    let column = make(DataType::Utf8View, &[("length", "20"), ("null_ratio", "0.25")], 10_000).unwrap();
    assert!((2_300..2_700).contains(&column.null_count()));
    assert!(column.as_string_view().iter().flatten().all(|text| text.len() == 20));
}

#[test]
fn wrong_options_say_what_is_accepted() {
    let check = |data_type: DataType, options: &[(&str, &str)], expected: &str| {
        let message = make(data_type, options, 1).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(DataType::Int64, &[("mim", "1")], "did you mean `min`?");
    check(DataType::Int64, &[("kind", "rnage")], "did you mean `range`?");
    check(DataType::Int64, &[("kind", "uuid")], "column `x`: kind `uuid` makes no values of type Int64");
    check(
        DataType::Int64,
        &[("min", "1"), ("step", "2"), ("kind", "range")],
        "`step` means nothing for kind `range`",
    );
    check(DataType::Int64, &[("min", "a")], "column `x`: `min`: `a` is not a Int64");
    check(DataType::Int8, &[("max", "128")], "`128` is not a Int8");
    check(DataType::Int64, &[("min", "2"), ("max", "1")], "`max` is below `min`");
    check(DataType::Utf8, &[("kind", "enum")], "needs `values`");
    check(DataType::Utf8, &[("values", "a,b"), ("weights", "1")], "1 weights do not fit 2 values");
    check(DataType::Float64, &[("max", "inf")], "not a finite number");
    check(DataType::Float64, &[("null_ratio", "2")], "not between 0 and 1");
    check(DataType::Binary, &[], "a generator makes no values of type Binary");
    let not_null = Field::new("Price", DataType::Int64, false);
    let one = |key| try_make(vec![not_null.clone()], &[(key, "0.5")], 1).unwrap_err().to_string();
    assert!(one("fields.prise.min").contains("unknown column `prise`\nHint: did you mean `Price`?"));
    assert!(one("fields.price.null_ratio").contains("NOT NULL"));
    assert!(one("rowz").contains("unknown option `rowz`"));
}

#[test]
fn a_sequence_that_leaves_its_type_is_an_error() {
    let error = make(DataType::Int8, &[("kind", "sequence"), ("start", "126")], 3).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Exhausted);
}
