//! What is refused: text compared with numbers, overflow, wrong arguments.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};

use super::fixture::{stream, text_rows};
use crate::error::{Error, ErrorKind};
use crate::sql::functions::fail_on_overflow;

#[test]
fn wrong_arguments_are_named_with_the_right_form() {
    let fixture = stream();
    for (expression, message) in [
        ("JSON_VALUE(i, '$')", "`json_value` does not take (Int64, Utf8)"),
        ("DATEDIFF('day', ts)", "`datediff` does not take (Utf8, Timestamp(ms))"),
        ("UNIX_TIMESTAMP(d)", "`unix_timestamp` does not take (Float64)"),
        ("FROM_UNIXTIME(s)", "`from_unixtime` does not take (Utf8)"),
        ("PERCENTILE_DISC(i)", "`percentile_disc` does not take (Int64)"),
        ("DELTA(s) OVER (ORDER BY ts)", "`delta` does not take (Utf8)"),
        ("NOW(1)", "`now` does not take (Int64)"),
    ] {
        let error = fixture.refuses(&format!("SELECT {expression} FROM t"), ErrorKind::Invalid, message);
        assert!(error.message() == message && error.hint().is_some(), "{}", error.report());
    }
}

#[test]
fn text_is_never_compared_with_a_number() {
    let fixture = stream();
    for (condition, part) in [
        ("s = 1", "`s` (VARCHAR) is compared with 1 (BIGINT)"),
        ("i <> '1'", "write 1 without quotes"),
        ("s < i", "CAST(s AS BIGINT)"),
        ("s >= d", "CAST(s AS DOUBLE)"),
        ("m = s", "CAST(s AS DECIMAL(18, 4))"),
        ("s IN ('a', 1)", "is compared with 1"),
        ("s BETWEEN 1 AND 2", "is compared with 1"),
        ("CASE s WHEN 1 THEN true END", "is compared with 1"),
        ("s IN (SELECT i FROM t)", "`s` (VARCHAR) is compared with `i` (BIGINT)"),
        ("EXISTS (SELECT 1 FROM t AS u WHERE u.s = t.i)", "text with a number"),
    ] {
        let sql = format!("SELECT i FROM t WHERE {condition}");
        fixture.refuses(&sql, ErrorKind::Invalid, part);
    }
    fixture.refuses("SELECT 1 FROM t JOIN t AS u ON t.i = u.s", ErrorKind::Invalid, "text with a number");
    let sql = "SELECT i\nFROM t WHERE i > 0 AND s = 1";
    let span = fixture.refuses(sql, ErrorKind::Invalid, "compared").span().unwrap();
    assert_eq!(sql.get(span), Some("s"));
    fixture
        .check("SELECT i FROM t WHERE s <> NULL OR s = 'a' AND i IN (1, NULL) AND ts > '2024-01-01'", &["1"]);
}

#[test]
fn overflow_of_constants_is_refused() {
    let fixture = stream();
    for expression in
        ["9223372036854775807 + 1", "1 + (9223372036854775807 * 2)", "-9223372036854775807 - 2 > i"]
    {
        fixture.refuses(&format!("SELECT {expression} FROM t"), ErrorKind::Invalid, "too large for BIGINT");
    }
    fixture.check("SELECT -9223372036854775807 - 1, 2 * 3 + 1", &["-9223372036854775808 7"]);
    fixture.check("SELECT -9223372036854775808", &["-9223372036854775808"]);
}

#[test]
fn overflow_of_rows_is_an_error_and_nothing_else_changes() {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::DFSchema;
    let fixture = stream();
    let fields = vec![Field::new("x", DataType::Int64, true), Field::new("f", DataType::Float64, true)];
    let schema = Arc::new(Schema::new(fields));
    let largest: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(i64::MAX)]));
    let smallest: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(i64::MIN)]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, f64::MAX]));
    let evaluate = |sql: &str, column: &ArrayRef| {
        let state = fixture.context.state();
        let rows =
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(column), Arc::clone(&floats)]).unwrap();
        let names = DFSchema::try_from(Arc::clone(&schema)).unwrap();
        let expr =
            state.create_physical_expr(state.create_logical_expr(sql, &names).unwrap(), &names).unwrap();
        let values = fail_on_overflow(expr).unwrap().evaluate(&rows).map_err(Error::from)?;
        Ok::<_, Error>(text_rows(
            &RecordBatch::try_from_iter([("r", values.into_array(3).unwrap())]).unwrap(),
        ))
    };
    for (sql, column) in
        [("x + 1", &largest), ("x * 2 > 0", &largest), ("x - 1", &smallest), ("-x", &smallest)]
    {
        let error = evaluate(sql, column).expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::Data, "{sql}: {}", error.report());
    }
    assert_eq!(evaluate("-x", &largest).unwrap(), ["-2", "NULL", "-9223372036854775807"]);
    assert_eq!(evaluate("CASE WHEN x < 5 THEN x * 3 ELSE 0 END", &largest).unwrap(), ["6", "0", "0"]);
    assert_eq!(evaluate("f * 2 > f", &largest).unwrap(), ["true", "true", "true"]);
}

#[test]
fn a_stream_has_no_rule_that_would_count_per_epoch() {
    let rules =
        stream().context.state().optimizers().iter().map(|rule| rule.name().to_owned()).collect::<Vec<_>>();
    let all = datafusion::optimizer::Optimizer::new().rules;
    assert_eq!(rules.len() + 4, all.len());
    assert!(!rules.iter().any(|rule| rule == "push_down_limit"), "{rules:?}");
}
