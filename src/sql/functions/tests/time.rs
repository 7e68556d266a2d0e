//! Clock, dates, differences and intervals.

use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::fixture::{stream, text_rows};
use crate::error::ErrorKind;

#[test]
fn the_clock_is_read_when_rows_are_computed() {
    let fixture = stream();
    fixture.check("SELECT NOW(), CURRENT_TIMESTAMP", &["2024-01-02T03:04:05.678 2024-01-02T03:04:05.678"]);
    fixture.check("SELECT CURRENT_DATE, CURRENT_TIME, TODAY()", &["2024-01-02 03:04:05.678 2024-01-02"]);
    fixture.check("SELECT UNIX_TIMESTAMP(), arrow_typeof(NOW())", &["1704164645 Timestamp(ms)"]);
    fixture.check("SELECT NOW() - ts FROM t WHERE ts <= NOW() AND i = 1", &["P0D"]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let later = runtime.block_on(async {
        let frame =
            fixture.context.sql("SELECT NOW() + INTERVAL '1' SECOND FROM t WHERE i = 1").await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        fixture.clock.set_millis(-1_500);
        collect(plan, fixture.context.task_ctx()).await.unwrap()
    });
    assert_eq!(later.iter().flat_map(text_rows).collect::<Vec<_>>(), ["1969-12-31T23:59:59.500"]);
    fixture.check("SELECT CURRENT_DATE, CURRENT_TIME, UNIX_TIMESTAMP()", &["1969-12-31 23:59:58.500 -2"]);
}

#[test]
fn a_session_without_a_clock_is_an_internal_error() {
    let mut fixture = stream();
    let state = datafusion::execution::SessionStateBuilder::new_from_existing(fixture.context.state())
        .with_config(SessionConfig::new())
        .build();
    fixture.context = SessionContext::new_with_state(state);
    fixture.refuses("SELECT NOW()", ErrorKind::Internal, "`EpochClock`");
}

#[test]
fn dates_round_down_before_1970_and_keep_nulls() {
    let fixture = stream();
    fixture.check("SELECT UNIX_TIMESTAMP(ts) FROM t", &["1704164645", "-1", "NULL"]);
    fixture.check(
        "SELECT DATE_FORMAT(ts, '%Y-%m-%d %H:%M:%S%.3f') FROM t",
        &["2024-01-02 03:04:05.678", "1969-12-31 23:59:59.500", "NULL"],
    );
    fixture.check(
        "SELECT DATE_FORMAT(ts, CASE WHEN i = 1 THEN '%Y' ELSE '%m' END) FROM t",
        &["2024", "12", "NULL"],
    );
    fixture.check(
        "SELECT DATE_TRUNC('minute', ts) FROM t",
        &["2024-01-02T03:04:00", "1969-12-31T23:59:00", "NULL"],
    );
    fixture.check(
        "SELECT FROM_UNIXTIME(-1), FROM_UNIXTIME(1.5), FROM_UNIXTIME(NULL)",
        &["1969-12-31T23:59:59 1970-01-01T00:00:01.500 NULL"],
    );
    fixture.check(
        "SELECT DATE(ts), TIMESTAMP(i), DATE(0) FROM t WHERE i = 2",
        &["1969-12-31 1970-01-01T00:00:00.002 1970-01-01"],
    );
    fixture.check(
        "SELECT EXTRACT(DOW FROM ts), EXTRACT(DOY FROM ts), EXTRACT(WEEK FROM ts) FROM t",
        &["2 2 1", "3 365 1", "NULL NULL NULL"],
    );
    fixture.check(
        "SELECT EXTRACT(QUARTER FROM ts), EXTRACT(MILLISECOND FROM ts), EXTRACT('microsecond' FROM ts), \
         EXTRACT(NANOSECOND FROM ts), EXTRACT(EPOCH FROM ts) FROM t",
        &[
            "1 5678 5678000 5678000000 1704164645.678",
            "4 59500 59500000 59500000000 -0.5",
            "NULL NULL NULL NULL NULL",
        ],
    );
    fixture.refuses("SELECT FROM_UNIXTIME(9223372036854775807)", ErrorKind::Data, "out of range");
    fixture
        .check("SELECT UNIX_TIMESTAMP(ts), DATEDIFF('day', ts, ts2), DATE_FORMAT(ts, '%Y') FROM empty", &[]);
}

#[test]
fn datediff_counts_whole_units_of_b_minus_a() {
    let fixture = stream();
    for (unit, from, to, expected) in [
        ("day", "2024-01-01 00:00:00", "2024-01-02 23:59:59", "1"),
        ("DAYS", "2024-01-02 23:59:59", "2024-01-01 00:00:00", "-1"),
        ("hour", "1969-12-31 22:30:00", "1970-01-01 00:29:59", "1"),
        ("ms", "1970-01-01 00:00:00", "1969-12-31 23:59:59.5", "-500"),
        ("microsecond", "2024-01-01", "2024-01-01 00:00:01", "1000000"),
        ("week", "2024-01-01", "2024-01-15", "2"),
        ("month", "2024-01-31", "2024-02-29", "0"),
        ("month", "2024-01-31", "2024-03-31", "2"),
        ("month", "2024-03-31", "2024-01-31", "-2"),
        ("quarter", "2023-11-15", "2024-05-15", "2"),
        ("year", "1968-02-29", "2024-02-28", "55"),
    ] {
        fixture.check(&format!("SELECT DATEDIFF('{unit}', TIMESTAMP '{from}', '{to}')"), &[expected]);
    }
    fixture.check("SELECT DATEDIFF('millisecond', ts, ts2) FROM t", &["-5678", "500", "NULL"]);
    fixture.refuses(
        "SELECT DATEDIFF('fortnight', ts, ts2) FROM t",
        ErrorKind::Invalid,
        "'fortnight' is not a unit",
    );
}

#[test]
fn times_are_numbers_of_milliseconds_where_a_number_is_needed() {
    let fixture = stream();
    for (expression, expected) in [
        ("ts2 - ts", ["-PT5.678S", "PT0.5S", "NULL"]),
        ("EXTRACT(EPOCH FROM ts2 - ts)", ["-5.678", "0.5", "NULL"]),
        ("EXTRACT(SECOND FROM ts - ts2)", ["5", "0", "NULL"]),
        ("EXTRACT(HOUR FROM ts2 + INTERVAL '26' HOUR - ts2)", ["2", "2", "NULL"]),
        ("EXTRACT(DAY FROM ts2 + INTERVAL '26' HOUR - ts2)", ["1", "1", "NULL"]),
        ("ts2 - ts > 499", ["false", "true", "NULL"]),
        ("(ts2 - ts) * 2", ["-11356", "1000", "NULL"]),
        ("(ts2 - ts) / 1000.0 < 0.4", ["true", "false", "NULL"]),
        ("ABS(ts2 - ts)", ["5678", "500", "NULL"]),
        ("ROUND((ts2 - ts) / 1000.0, 1)", ["-5.7", "0.5", "NULL"]),
        ("ts2 - ts BETWEEN 0 AND 500", ["false", "true", "NULL"]),
        ("CASE WHEN i = 1 THEN ts2 - ts WHEN i = 2 THEN 7 END", ["-5678", "7", "NULL"]),
        ("CASE WHEN i = 1 THEN 0.5 ELSE ts2 - ts END", ["0.5", "500.0", "NULL"]),
        ("CASE WHEN i = 1 THEN ts2 - ts END", ["-PT5.678S", "NULL", "NULL"]),
        ("ts2 - ts IN (500, 1)", ["false", "true", "NULL"]),
        ("ts BETWEEN -1000 AND 0", ["false", "true", "NULL"]),
        ("ts - ts2 > INTERVAL '5' SECOND", ["true", "false", "NULL"]),
        ("ts2 + INTERVAL '25' HOUR - ts2 > INTERVAL '1' DAY", ["true", "true", "NULL"]),
        ("NOW() - ts > 5000", ["false", "true", "NULL"]),
        ("NOW() - 1704164645000", ["678", "678", "678"]),
        ("ts > 0", ["true", "false", "NULL"]),
        ("ts % 1000", ["678", "-500", "NULL"]),
        ("CAST(ts AS BIGINT)", ["1704164645678", "-500", "NULL"]),
        ("CAST(ts2 - ts AS BIGINT)", ["-5678", "500", "NULL"]),
        ("ts > '2024-01-01'", ["true", "false", "NULL"]),
        ("ts BETWEEN '2024-01-01' AND '2025-01-01'", ["true", "false", "NULL"]),
    ] {
        fixture.check(&format!("SELECT {expression} FROM t"), &expected);
    }
    fixture.check("SELECT i FROM t WHERE ts2 - ts > 0 AND NOW() > 5", &["2"]);
    fixture.check("SELECT AVG(ts2 - ts) FROM t HAVING MAX(ts2 - ts) >= 500", &["-PT2.589S"]);
}

#[test]
fn numbers_times_intervals_are_intervals() {
    let fixture = stream();
    let base = "TIMESTAMP '2024-01-31 00:00:00'";
    for (expression, expected) in [
        ("2 * INTERVAL '1' MINUTE", "2024-01-31T00:02:00"),
        ("INTERVAL '1' MINUTE * 2", "2024-01-31T00:02:00"),
        ("-1 * INTERVAL '1' DAY", "2024-01-30T00:00:00"),
        ("INTERVAL '1' HOUR / 2", "2024-01-31T00:30:00"),
        ("1.5 * INTERVAL '1' DAY", "2024-02-01T12:00:00"),
        ("0.5 * INTERVAL '1' MONTH", "2024-02-15T00:00:00"),
    ] {
        fixture.check(&format!("SELECT {base} + {expression}"), &[expected]);
    }
    fixture.check(
        "SELECT ts + i * INTERVAL '1' SECOND FROM t",
        &["2024-01-02T03:04:06.678", "1970-01-01T00:00:01.500", "NULL"],
    );
    fixture.refuses("SELECT 9223372036854775807 * INTERVAL '1' DAY", ErrorKind::Data, "out of range");
}

#[test]
fn rows_get_the_window_they_are_in_unless_they_are_late() {
    let fixture = stream();
    let spec = "'tumbling;size=60000;offset=0;grace=5000'";
    fixture.check(
        &format!("SELECT velo_window_start(ts, NULL, {spec}), velo_window_end(ts, NULL, {spec}) FROM t"),
        &["2024-01-02T03:04:00 2024-01-02T03:05:00", "1969-12-31T23:59:00 1970-01-01T00:00:00", "NULL NULL"],
    );
    for (watermark, expected) in [(4_999, "1969-12-31T23:59:00"), (5_000, "NULL")] {
        let sql = format!("SELECT velo_window_start(ts, TIMESTAMP({watermark}), {spec}) FROM t");
        fixture.check(&sql, &["2024-01-02T03:04:00", expected, "NULL"]);
    }
    let own = "CASE WHEN i = 1 THEN TIMESTAMP(1704164704999) WHEN i = 2 THEN TIMESTAMP(5000) END";
    let sql = format!("SELECT velo_window_start(ts, {own}, {spec}) FROM t");
    fixture.check(&sql, &["2024-01-02T03:04:00", "NULL", "NULL"]);
    fixture.refuses("SELECT __window_start('x')", ErrorKind::Internal, "placeholder");
    let grouped =
        "SELECT __window_start('x') AS w, COUNT(*) FROM t GROUP BY __window_start('x') HAVING COUNT(*) > 1";
    let state = fixture.context.state();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan =
        runtime.block_on(state.create_logical_plan(grouped)).and_then(|plan| state.optimize(&plan)).unwrap();
    assert!(plan.display_indent().to_string().contains("groupBy=[[__window_start(Utf8(\"x\"))]]"), "{plan}");
    fixture.refuses("SELECT velo_window_end(ts, NULL, 'hop') FROM t", ErrorKind::Internal, "`hop`");
}
