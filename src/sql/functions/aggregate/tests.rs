//! Aggregates in parts: three partial states, merged, must give what one pass gives.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{sort_to_indices, take_record_batch};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::prelude::SessionContext;

use crate::sql::functions::{EpochClock, SessionProfile, session_state};

const ROWS: &str = "CREATE TABLE t AS SELECT column1 AS g, column2 AS x, column3 AS y, column4 AS o, column5 AS s FROM \
    (VALUES (0, 5, 1.5, 3, 'c'), (1, 7, 2.5, 9, 'x'), (0, 1, 2.0, 1, 'a'), (0, 9, 4.5, 4, 'd'), (1, 7, 8.5, 7, 'y'), \
    (0, 3, 1.0, 2, 'b'), (1, 2, 0.5, 8, 'z'), (0, 9, 0.25, 6, 'f'), (0, 4, 3.75, 5, 'e'), (1, 6, 1.25, 0, 'w'))";

const AGGREGATES: [&str; 45] = [
    "COUNT(x)",
    "COUNT(DISTINCT x)",
    "SUM(x)",
    "SUM(DISTINCT x)",
    "SUM(y)",
    "AVG(x)",
    "AVG(y)",
    "MIN(x)",
    "MAX(s)",
    "MEDIAN(x)",
    "MEDIAN(y)",
    "PERCENTILE_DISC(x, 0.4)",
    "PERCENTILE_DISC(0.4) WITHIN GROUP (ORDER BY x DESC)",
    "PERCENTILE_DISC(s, 0.5)",
    "PERCENTILE_CONT(x, 0.4)",
    "PERCENTILE_CONT(0.4) WITHIN GROUP (ORDER BY y)",
    "PERCENTILE_CONT(0.4) WITHIN GROUP (ORDER BY y DESC)",
    "CORR(x, y)",
    "COVAR_POP(x, y)",
    "COVAR_SAMP(x, y)",
    "REGR_SLOPE(x, y)",
    "REGR_INTERCEPT(x, y)",
    "REGR_R2(x, y)",
    "REGR_COUNT(x, y)",
    "REGR_AVGX(x, y)",
    "REGR_SXY(x, y)",
    "STDDEV(x)",
    "STDDEV_POP(x)",
    "VAR_SAMP(x)",
    "VAR_POP(x)",
    "STRING_AGG(s, ',' ORDER BY o)",
    "STRING_AGG(s, ',' ORDER BY o DESC)",
    "ARRAY_AGG(x ORDER BY o)",
    "ARRAY_AGG(DISTINCT s ORDER BY s)",
    "APPROX_DISTINCT(x)",
    "APPROX_MEDIAN(x)",
    "APPROX_PERCENTILE_CONT(x, 0.5)",
    "FIRST_VALUE(x ORDER BY o)",
    "LAST_VALUE(x ORDER BY o)",
    "FIRST_VALUE(s ORDER BY y DESC)",
    "NTH_VALUE(x, 2 ORDER BY o)",
    "NTH_VALUE(x, -2 ORDER BY o)",
    "BIT_XOR(x)",
    "BOOL_AND(x > 1)",
    "DELTA(x ORDER BY o)",
];

/// The rows as they arrive, the aggregates as they are before the planner sorts their input, and DataFusion's answer.
struct Case {
    rows: RecordBatch,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    answer: Vec<Vec<String>>,
}

fn plan(expression: &str) -> Case {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let clock = EpochClock::default();
        let state = session_state(SessionProfile::Stream, &clock);
        let context = SessionContext::new_with_state(state.clone());
        context.sql(ROWS).await.unwrap().collect().await.unwrap();
        let sql = format!("SELECT g, {expression} FROM t GROUP BY g ORDER BY g");
        let answer = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let unsorted = SessionStateBuilder::new_from_existing(context.state())
            .with_physical_optimizer_rules(vec![])
            .build();
        let context = SessionContext::new_with_state(unsorted);
        let mut node = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let mut lowest = None;
        while let Some(child) = node.children().first().map(|child| Arc::clone(child)) {
            lowest = if node.is::<AggregateExec>() { Some(node) } else { lowest };
            node = child;
        }
        let aggregate = lowest.expect(expression);
        let aggregate = aggregate.downcast_ref::<AggregateExec>().unwrap();
        let input = aggregate.input();
        let rows = datafusion::physical_plan::collect(Arc::clone(input), context.task_ctx()).await.unwrap();
        let rows = arrow::compute::concat_batches(&input.schema(), &rows).unwrap();
        let answer = arrow::compute::concat_batches(&answer[0].schema(), &answer).unwrap();
        let answer = answer.columns().iter().skip(1).map(texts).collect();
        Case { rows, aggregates: aggregate.aggr_expr().to_vec(), answer }
    })
}

fn accumulator(aggregate: &Arc<AggregateFunctionExpr>) -> Box<dyn GroupsAccumulator> {
    if aggregate.groups_accumulator_supported() {
        return aggregate.create_groups_accumulator().unwrap();
    }
    let aggregate = Arc::clone(aggregate);
    Box::new(GroupsAccumulatorAdapter::new(move || aggregate.create_accumulator()))
}

fn arguments(aggregate: &AggregateFunctionExpr, rows: &RecordBatch) -> Vec<ArrayRef> {
    let orders = aggregate.order_bys().iter().map(|order| Arc::clone(&order.expr));
    let exprs = aggregate.expressions().into_iter().chain(orders);
    exprs.map(|expr| expr.evaluate(rows).unwrap().into_array(rows.num_rows()).unwrap()).collect()
}

fn groups(rows: &RecordBatch) -> Vec<usize> {
    let keys = arrow::compute::cast(rows.column_by_name("g").unwrap(), &DataType::Int64).unwrap();
    let keys = keys.as_primitive::<arrow::datatypes::Int64Type>();
    keys.values().iter().map(|&key| usize::try_from(key).unwrap()).collect()
}

fn texts(column: &ArrayRef) -> Vec<String> {
    let value = |row| match ScalarValue::try_from_array(column, row).unwrap() {
        ScalarValue::Float64(Some(value)) => format!("{value:.9}"),
        other => other.to_string(),
    };
    (0..column.len()).map(value).collect()
}

#[test]
fn partial_states_merge_to_the_answer_over_all_rows() {
    let mut wrong = vec![];
    for expression in AGGREGATES {
        let case = plan(expression);
        let mut results = vec![];
        for aggregate in &case.aggregates {
            let mut merged = accumulator(aggregate);
            // The parts are merged newest first, so that nothing may lean on the order of arrival.
            for (start, length) in [(7, 3), (0, 4), (4, 3)] {
                let mut part = case.rows.slice(start, length);
                if expression.starts_with("NTH_VALUE") {
                    // Alone among these it trusts that its input is sorted.
                    let order = sort_to_indices(part.column_by_name("o").unwrap(), None, None).unwrap();
                    part = take_record_batch(&part, &order).unwrap();
                }
                let mut partial = accumulator(aggregate);
                partial.update_batch(&arguments(aggregate, &part), &groups(&part), None, 2).unwrap();
                let state = partial.state(EmitTo::All).unwrap();
                merged.merge_batch(&state, &[0, 1], 2).unwrap();
            }
            results.push(texts(&merged.evaluate(EmitTo::All).unwrap()));
        }
        // `DELTA` is two aggregates and a difference above them: its parts are among the cases.
        if results.len() == 1 && results != case.answer {
            wrong.push(format!("{expression}: {results:?} and over all rows {:?}", case.answer));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a query as DataFusion plans it, and returns the rows of its first column, or the error.
fn answer(sql: &str) -> Result<Vec<String>, crate::error::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let parallelism = std::num::NonZeroUsize::new(3).unwrap();
        let state = session_state(SessionProfile::Batch { parallelism }, &EpochClock::default());
        let batches = SessionContext::new_with_state(state).sql(sql).await?.collect().await?;
        Ok(batches.iter().flat_map(|batch| texts(batch.column(0))).collect())
    })
}

#[test]
fn a_total_that_does_not_fit_is_an_error_and_one_that_fits_is_exact() {
    let rows = "FROM (VALUES (1, 9223372036854775807), (2, 1), (3, 1), (4, -1), (5, -1)) AS t (o, v)";
    for (expression, expected) in [
        ("sum(v)", "9223372036854775807"),
        ("sum(DISTINCT v)", "9223372036854775807"),
        ("sum(v) FILTER (WHERE v < 2)", "0"),
        ("avg(v)", "1844674407370955264.000000000"),
        ("sum(arrow_cast(abs(v), 'UInt64'))", "9223372036854775811"),
        ("sum(CAST(v AS DECIMAL(20, 0))) FILTER (WHERE v > 0)", "9223372036854775809"),
    ] {
        let sql = format!("SELECT {expression} {rows}");
        assert_eq!(answer(&sql).unwrap_or_else(|error| panic!("{expression}: {error}")).join(" "), expected);
        assert_eq!(answer(&format!("{sql} GROUP BY o > 0")).unwrap().join(" "), expected, "{expression}");
    }
    let frame = "OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)";
    for (expression, message) in [
        ("sum(v) FILTER (WHERE v > 0)", "`sum(t.v)` is 9223372036854775809, which does not fit BIGINT"),
        ("sum(DISTINCT v) FILTER (WHERE v > 0)", "is 9223372036854775808, which does not fit BIGINT"),
        (&format!("sum(v) {frame}"), "is 9223372036854775808, which does not fit BIGINT"),
        (&format!("sum(DISTINCT v) {frame}"), "is 9223372036854775808, which does not fit BIGINT"),
        (
            "sum(arrow_cast(abs(v), 'UInt64') + arrow_cast(abs(v), 'UInt64'))",
            "is 18446744073709551622, which does not fit UInt64",
        ),
    ] {
        let error = answer(&format!("SELECT {expression} {rows}")).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Data, "{expression}");
        assert!(error.message().contains(message), "{expression}: {error}");
    }
    let large = "CAST('99999999999999999999999999999999999.99' AS DECIMAL(38, 3))";
    let error = answer(&format!("SELECT sum(v) FROM (VALUES ({large}), ({large})) AS t (v)")).unwrap_err();
    assert_eq!(
        error.message(),
        "`sum(t.v)` is 199999999999999999999999999999999999.980, which does not fit DECIMAL(38,3)"
    );
}
