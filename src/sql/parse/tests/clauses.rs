//! Clauses in any order, words as names, and options.

use super::{error, one, query, sql};
use crate::sql::{EmitMode, Statement};

#[test]
fn clauses_come_in_any_order() {
    let expected = sql(
        "SELECT k, COUNT(*) AS n FROM s WHERE v > 1 GROUP BY k WINDOW TUMBLING(1m) HAVING n > 2 ORDER BY n LIMIT 5",
    );
    for text in [
        "SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING(1m) HAVING n > 2 LIMIT 5 WHERE v > 1 GROUP BY k ORDER BY n",
        "SELECT k, COUNT(*) AS n FROM s HAVING n > 2 GROUP BY k WINDOW TUMBLING(1m) ORDER BY n LIMIT 5 WHERE v > 1 EMIT FINAL",
        "FROM s SELECT k, COUNT(*) AS n WINDOW TUMBLING(1m) WHERE v > 1 GROUP BY k HAVING n > 2 EMIT CHANGES ORDER BY n LIMIT 5",
    ] {
        assert_eq!(sql(text), expected, "{text}");
    }
    assert_eq!(sql("FROM s"), "SELECT * FROM s");
    assert_eq!(
        sql("SELECT SUM(a) OVER w FROM s WINDOW w AS (PARTITION BY k) WINDOW TUMBLING(1m) GROUP BY a, k"),
        "SELECT SUM(a) OVER w FROM s GROUP BY a, k, __window_start('tumbling;size=60000;offset=0'), __window_end('tumbling;size=60000;offset=0') WINDOW w AS (PARTITION BY k)"
    );
}

#[test]
fn clauses_of_the_statement_are_taken_out() {
    let found = query(
        "CREATE STREAM x AS SELECT region PRIMARY KEY, sku AS s PRIMARY KEY, COUNT(*) FROM s WITH ('a.b' = 'c', d = 5m) JOIN u ON s.k = u.k
         GROUP BY region, sku EMIT ON WINDOW CLOSE INTO sink WITH (\"sink.type\" = 'kafka_sink') WITH ('batch.linger' = '2ms', z = true) GRACE PERIOD 10 SECONDS",
    );
    assert_eq!(found.emit.unwrap().mode, EmitMode::Final);
    assert_eq!(found.primary_key, [0, 1]);
    assert_eq!(found.into.unwrap().value, "sink");
    assert_eq!(found.grace_ms, Some(10_000));
    let pairs = |items: &[crate::sql::OptionItem]| {
        items.iter().map(|item| format!("{}={}", item.key, item.value)).collect::<Vec<_>>().join(",")
    };
    assert_eq!(pairs(&found.into_options), "sink.type=kafka_sink");
    assert_eq!(pairs(&found.options), "batch.linger=2ms,z=true");
    assert_eq!(found.inline_options[0].source, "s");
    assert_eq!(pairs(&found.inline_options[0].options), "a.b=c,d=5m");
    assert_eq!(
        found.query.to_string(),
        "SELECT region, sku AS s, COUNT(*) FROM s JOIN u ON s.k = u.k GROUP BY region, sku"
    );

    let found = query("SELECT * INTO sink FROM a UNION ALL SELECT * FROM b EMIT CHANGES WITH ('k' = 'v')");
    assert_eq!(found.emit.unwrap().mode, EmitMode::Changes);
    assert_eq!(found.options_follow, None);
    assert_eq!(found.into.map(|name| name.value).as_deref(), Some("sink"));
}

#[test]
fn options_right_after_the_last_source_belong_to_the_statement_and_say_so() {
    let found = query("CREATE TABLE p AS SELECT * FROM users WITH (\"auto.offset.reset\"=\"latest\")");
    assert_eq!(found.options[0].value, "latest");
    assert_eq!(found.options_follow.as_deref(), Some("users"));
    let found = query("SELECT * FROM 'file:///d/x.csv?format=csv' WITH ('a' = 'b')");
    assert_eq!(found.inline_options[0].source, "file:///d/x.csv?format=csv");
    assert_eq!(found.uris[0].0, "file:///d/x.csv?format=csv");
    assert_eq!(found.query.to_string(), "SELECT * FROM 'file:///d/x.csv?format=csv'");
}

/// Words of streaming SQL, and keywords of other products, that people use as column names.
const WORDS: &str = "window emit key job status metrics properties tables timestamp stream changes final grace period offset format
    sample settings start stop pause resume deploy version topic topics partition size session hop tumble sliding connector value
    name type data date time open close row rows watermark view top sort output event source sink within buffer list show jobs
    primary table_name qualify limit day minute into_x count first last year month";

#[test]
fn none_of_the_new_words_is_reserved() {
    for word in WORDS.split_whitespace() {
        for text in [
            format!("SELECT {word} FROM t"),
            format!("SELECT a, {word} + 1 AS b, t.{word} FROM t WHERE {word} > 1"),
            format!("SELECT SUM({word}) FROM t GROUP BY {word} ORDER BY {word}"),
            format!("SELECT a AS {word} FROM t"),
            format!("CREATE STREAM s ({word} BIGINT) WITH ('connector' = 'file')"),
        ] {
            one(&text);
        }
    }
    for word in "window emit key job status final changes stream format timestamp start qualify".split(' ') {
        assert_eq!(sql(&format!("SELECT a {word} FROM t")), format!("SELECT a AS {word} FROM t"), "{word}");
        assert_eq!(
            sql(&format!("SELECT * FROM t {word} WHERE a = 1")).replace(" AS ", " "),
            format!("SELECT * FROM t {word} WHERE a = 1"),
            "{word}"
        );
    }
    assert_eq!(sql("SELECT window, emit FROM t EMIT CHANGES"), "SELECT window, emit FROM t");
    assert_eq!(sql("SELECT emit final FROM t"), "SELECT emit AS final FROM t");
    assert_eq!(sql("SELECT primary key FROM t"), "SELECT primary AS key FROM t");
    assert_eq!(sql("SELECT * EXCEPT (a) FROM t"), "SELECT * EXCEPT (a) FROM t");
}

#[test]
fn misplaced_clauses_are_errors() {
    for (text, message, place) in [
        ("SELECT a FROM t WHERE a = 1 WHERE b = 2", "`WHERE` stands twice", "WHERE"),
        ("SELECT a FROM t EMIT CHANGES EMIT FINAL", "`EMIT` stands twice", "EMIT"),
        ("SELECT * FROM (SELECT a FROM t EMIT CHANGES)", "`EMIT` inside a subquery", "EMIT CHANGES"),
        ("SELECT * FROM t WHERE a IN (SELECT a FROM u INTO x)", "`INTO` inside a subquery", "INTO x"),
        (
            "SELECT a FROM t EMIT CHANGES UNION SELECT a FROM u",
            "`EMIT` before a set operation",
            "EMIT CHANGES",
        ),
        ("SELECT * FROM (SELECT a PRIMARY KEY FROM t)", "`PRIMARY KEY` inside a subquery", "PRIMARY KEY"),
        ("SELECT a FROM t WITH ('k' = 'v', 'k' = 'w') EMIT CHANGES", "option `k` stands twice", "'k' = 'w'"),
        ("SELECT a FROM t WHERE a > 1 WITH (k)", "expected `=`, found the end of the statement", ""),
        ("SELECT a FROM t WHERE", "nothing after `WHERE`", "WHERE"),
        ("SELECT a FROM t EMIT CHANGES now", "unexpected `now`", "now"),
        (
            "SELECT SUM(v) OVER (ROWS WINDOW BUFFER 5 PARTITION BY k) FROM t",
            "`ROWS WINDOW BUFFER` needs a number of rows above zero",
            "ROWS WINDOW BUFFER",
        ),
        (
            "SELECT SUM(v) OVER (ROWS WINDOW BUFFER 5 ROWS PARTITION BY k EMIT ON BUFFER FULL) FROM t",
            "`EMIT` in `ROWS WINDOW BUFFER` is not available yet",
            "EMIT",
        ),
        (
            "SELECT * FROM a JOIN b USING (k) WITHIN INTERVAL '5' MINUTE",
            "a join in time needs a condition",
            "WITHIN INTERVAL '5' MINUTE",
        ),
        (
            "SELECT * FROM a JOIN b WITHIN (1s, 2s, 3s) ON a.k = b.k",
            "`WITHIN` takes one duration, or two: before and after",
            "WITHIN (1s, 2s, 3s)",
        ),
        (
            "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts WITHIN 5s ON a.k = b.k",
            "a join with two clauses about time",
            "WITHIN 5s",
        ),
    ] {
        assert_eq!(error(text), (message.to_owned(), place.to_owned()), "{text}");
    }
}

#[test]
fn set_takes_every_spelling() {
    for text in [
        "SET 'parallelism' = '4'",
        "SET parallelism = 4",
        "SET parallelism TO 4",
        "set \"parallelism\" = \"4\"",
    ] {
        let Statement::Set { key, value } = one(text) else { panic!("{text}") };
        assert_eq!((key.as_str(), value.as_str()), ("parallelism", "4"), "{text}");
    }
    let Statement::Set { key, value } = one("SET checkpoint.interval = 2.5s") else { panic!() };
    assert_eq!((key.as_str(), value.as_str()), ("checkpoint.interval", "2.5s"));
}

#[test]
fn clauses_of_joins_about_time_go_into_the_condition() {
    for (text, rewritten) in [
        (
            "SELECT * FROM a JOIN b ON a.k = b.k OR a.v = b.v WITHIN 5m",
            "SELECT * FROM a JOIN b ON __join_within('-300000..300000') AND (a.k = b.k OR a.v = b.v)",
        ),
        (
            "SELECT * FROM a LEFT JOIN b WITHIN (1s, 2s) ON left(a.k, 2) = b.k JOIN c ON c.k = b.k",
            "SELECT * FROM a LEFT JOIN b ON __join_within('-1000..2000') AND (left(a.k, 2) = b.k) JOIN c ON c.k = b.k",
        ),
        (
            "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts AS v ON a.k = v.k",
            "SELECT * FROM a JOIN b AS v ON __join_as_of(a.ts) AND (a.k = v.k)",
        ),
        (
            "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF PROCTIME() ON a.k = b.k",
            "SELECT * FROM a JOIN b ON a.k = b.k",
        ),
        (
            "SELECT * FROM a ASOF JOIN b MATCH_CONDITION (a.ts >= b.ts) ON a.k = b.k",
            "SELECT * FROM a LEFT JOIN b ON __join_match(a.ts >= b.ts) AND (a.k = b.k)",
        ),
    ] {
        assert_eq!(query(text).query.to_string(), rewritten, "{text}");
    }
}
