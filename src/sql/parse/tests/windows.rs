//! Every window spelling becomes the same text, and its references become calls.

use super::{error, query, sql};

/// Returns the text of the only window in a statement.
fn window(text: &str) -> String {
    let text = sql(text);
    let from = text.split_once("__window_start('").expect("a window").1;
    from.split_once("')").expect("an end").0.to_owned()
}

#[test]
fn every_spelling_of_a_window_becomes_one_text() {
    let minute = "tumbling;size=60000;offset=0";
    let minute_ts = "tumbling;size=60000;offset=0;time=ts";
    let hopping = "hopping;size=300000;slide=60000;offset=0";
    let hopping_ts = "hopping;size=300000;slide=60000;offset=0;time=ts";
    for (clause, expected) in [
        ("TUMBLING(1m)", minute),
        ("TUMBLING(60)", minute),
        ("TUMBLING('1m')", minute),
        ("tumble(1 minute)", minute),
        ("TUMBLING(INTERVAL '1' MINUTE)", minute),
        ("TUMBLING(INTERVAL 1 MINUTES)", minute),
        ("TUMBLING (SIZE 1 MINUTE)", minute),
        ("TUMBLING(ts, INTERVAL '1' MINUTE)", minute_ts),
        ("TUMBLING(ts, 1m)", minute_ts),
        ("TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 10 SECONDS)", "tumbling;size=60000;offset=0;grace=10000"),
        ("TUMBLING(e.ts, 1m)", "tumbling;size=60000;offset=0;time=e.ts"),
        ("TUMBLING(\"Ts\", 1m)", "tumbling;size=60000;offset=0;time=\"Ts\""),
        ("TUMBLING(1d, TIMEZONE 'Europe/London')", "tumbling;size=86400000;offset=0;zone=Europe/London"),
        ("TUMBLING(1d, OFFSET -8h)", "tumbling;size=86400000;offset=-28800000"),
        ("SLIDING(5m, 1m)", hopping),
        ("HOPPING(SIZE 5 MINUTES, ADVANCE BY 1 MINUTE)", hopping),
        ("SLIDING(INTERVAL 5 MINUTES, ADVANCE BY INTERVAL 1 MINUTE)", hopping),
        ("HOP(1m, 5m)", hopping),
        ("SLIDING(ts, 5m, 1m)", hopping_ts),
        ("SLIDING(ts, INTERVAL '5' MINUTE, INTERVAL '1' MINUTE)", hopping_ts),
        ("SESSION(30s)", "session;gap=30000;offset=0"),
        ("SESSION(ts, 30s)", "session;gap=30000;offset=0;time=ts"),
        ("SESSION(p.ts, INTERVAL '4' HOUR, p.trader)", "session;gap=14400000;offset=0;time=p.ts;by=p.trader"),
        (
            "SESSION WINDOW (TIMEOUT 30 MINUTES, MAX_DURATION 4 HOURS)",
            "session;gap=1800000;max=14400000;offset=0",
        ),
        ("CUMULATE(1h, 1d)", "cumulate;step=3600000;size=86400000;offset=0"),
    ] {
        let text = format!("SELECT k, COUNT(*) FROM s WINDOW {clause} GROUP BY k");
        let found = window(&text);
        assert_eq!(found, expected, "{clause}");
        let spec: crate::sql::WindowSpec = found.parse().unwrap();
        assert_eq!(spec.to_text(), found, "{clause}");
    }
    for (text, expected) in [
        ("SELECT COUNT(*) FROM s GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)", minute_ts),
        ("SELECT COUNT(*) FROM s GROUP BY k, TUMBLING(ts, INTERVAL '1' MINUTE)", minute_ts),
        ("SELECT COUNT(*) FROM s GROUP BY HOP(ts, 1m, 5m), k", hopping_ts),
        ("SELECT COUNT(*) FROM s GROUP BY SESSION(ts, 30s)", "session;gap=30000;offset=0;time=ts"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", minute_ts),
        ("SELECT * FROM TUMBLE(s, ts, INTERVAL '1' MINUTE)", minute_ts),
        ("SELECT * FROM HOP(s, ts, 1m, 5m) AS w", hopping_ts),
        (
            "SELECT * FROM TABLE(HOP(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE))",
            hopping_ts,
        ),
        ("SELECT * FROM CUMULATE(s, ts, 1h, 1d) w", "cumulate;step=3600000;size=86400000;offset=0;time=ts"),
        ("SELECT * FROM SESSION((SELECT * FROM s), ts, 30s) w", "session;gap=30000;offset=0;time=ts"),
    ] {
        assert_eq!(window(text), expected, "{text}");
    }
}

#[test]
fn windows_stand_in_the_tree_as_calls() {
    let t = "'tumbling;size=60000;offset=0'";
    for (text, expected) in [
        (
            "SELECT COUNT(*) FROM s WINDOW TUMBLING(1m)",
            format!("SELECT COUNT(*) FROM s GROUP BY __window_start({t}), __window_end({t})"),
        ),
        (
            "SELECT _window_start, k, SUM(v) AS v, window_end AS e FROM s GROUP BY k WINDOW TUMBLING(1m) HAVING window_end > 0 ORDER BY TUMBLE_START(ts, INTERVAL '1' MINUTE)",
            format!(
                "SELECT __window_start({t}) AS \"_window_start\", k, SUM(v) AS v, __window_end({t}) AS e FROM s GROUP BY k, __window_start({t}), __window_end({t}) HAVING __window_end({t}) > 0 ORDER BY __window_start({t})"
            ),
        ),
        (
            "SELECT window_start, window_end, COUNT(*) FROM s WINDOW TUMBLING(1m) GROUP BY window_start, window_end",
            format!(
                "SELECT __window_start({t}) AS \"window_start\", __window_end({t}) AS \"window_end\", COUNT(*) FROM s GROUP BY __window_start({t}), __window_end({t})"
            ),
        ),
        (
            "SELECT tumble_end() , window_end - window_start, COUNT(*) window_start FROM s WINDOW TUMBLING(1m)",
            format!(
                "SELECT __window_end({t}) AS \"tumble_end\", __window_end({t}) - __window_start({t}) AS \"window_end - window_start\", COUNT(*) AS window_start FROM s GROUP BY __window_start({t}), __window_end({t})"
            ),
        ),
        (
            "SELECT COUNT(*) FROM TUMBLE(s, 1m) JOIN u ON s.id = u.id GROUP BY s.window_start",
            format!(
                "SELECT COUNT(*) FROM (SELECT *, __window_start({t}) AS window_start, __window_end({t}) AS window_end FROM s) AS s JOIN u ON s.id = u.id GROUP BY s.window_start"
            ),
        ),
        (
            "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM s WINDOW TUMBLING(1m)) WINDOW TUMBLING(1h)",
            format!(
                "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM s GROUP BY __window_start({t}), __window_end({t})) GROUP BY __window_start('tumbling;size=3600000;offset=0'), __window_end('tumbling;size=3600000;offset=0')"
            ),
        ),
    ] {
        assert_eq!(sql(text), expected, "{text}");
    }
}

#[test]
fn a_window_without_aggregates_keeps_its_rows() {
    let found = query("SELECT a, RANK() OVER (ORDER BY a) FROM s WINDOW TUMBLING(1m) HAVING COUNT(*) > 3");
    assert_eq!(found.rows_window.unwrap().to_text(), "tumbling;size=60000;offset=0");
    assert_eq!(
        found.query.to_string(),
        "SELECT a, RANK() OVER (PARTITION BY __window_start('tumbling;size=60000;offset=0') ORDER BY a) FROM s QUALIFY COUNT(*) OVER (PARTITION BY __window_start('tumbling;size=60000;offset=0')) > 3"
    );
    let (message, place) = error("SELECT * FROM (SELECT a FROM s WINDOW TUMBLING(1m)) WHERE a > 1");
    assert!(message.contains("has no effect"), "{message}");
    assert_eq!(place, "TUMBLING");
}

#[test]
fn broken_windows_say_what_is_wrong() {
    for (text, message, place) in [
        (
            "SELECT COUNT(*) FROM s WINDOW TUMBLING(1 mnute)",
            "duration `1 mnute`: unknown unit `mnute`",
            "1 mnute",
        ),
        ("SELECT COUNT(*) FROM s WINDOW TUMBLING()", "`TUMBLING` needs a size", "TUMBLING()"),
        (
            "SELECT COUNT(*) FROM s WINDOW TUMBLING(1m, 2m)",
            "`TUMBLING` has an argument too many",
            "TUMBLING(1m, 2m)",
        ),
        (
            "SELECT COUNT(*) FROM s WINDOW TUMBLING(0)",
            "the size of `TUMBLING` must be above zero",
            "TUMBLING(0)",
        ),
        ("SELECT COUNT(*) FROM s WINDOW SLIDING(5m)", "`SLIDING` needs a slide", "SLIDING(5m)"),
        (
            "SELECT COUNT(*) FROM s WINDOW SLIDING(1m, 5m)",
            "the slide of `SLIDING` is longer than its size: rows between windows would be in none",
            "SLIDING(1m, 5m)",
        ),
        (
            "SELECT COUNT(*) FROM s WINDOW CUMULATE(7m, 1h)",
            "the size of `CUMULATE` must be a multiple of its step",
            "CUMULATE(7m, 1h)",
        ),
        (
            "SELECT COUNT(*) FROM s WINDOW TUMBLING(1m) GROUP BY TUMBLE(ts, 1m)",
            "a query has one window",
            "TUMBLE(ts, 1m)",
        ),
        ("SELECT COUNT(*) FROM s WINDOW TUMBLING(ts, 1m, k)", "unexpected argument `k` of a window", "k"),
        (
            "SELECT TUMBLE_START(ts, INTERVAL '5' MINUTE), COUNT(*) FROM s WINDOW TUMBLING(1m)",
            "`tumble_start` describes another window than the query's",
            "TUMBLE_START(ts, INTERVAL '5' MINUTE)",
        ),
    ] {
        assert_eq!(error(text), (message.to_owned(), place.to_owned()), "{text}");
    }
}
