//! Dead letters: rejected and late records in the error table, each with its place and its bytes.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Place, Ran};

const KEEP: &str = "SET 'on.error' = 'dead_letter'; SET 'late.data.strategy' = 'dead_letter';\n";

/// Runs an application with a report, and returns that of its only job.
fn run(place: &Place, sql: &str) -> (Ran, Value) {
    let ran = place.velo(&["run", "--output", "ndjson", "--report", "report.json", "-e", sql]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
    let job = report["jobs"][0].clone();
    let count = |name: &str| job[name].as_i64().unwrap();
    let outcomes = count("rejected") + count("filtered") + count("late") + count("merged") + count("passed");
    assert_eq!(count("rows_in") + count("expanded"), outcomes, "{job:#}");
    (ran, job)
}

/// Returns some columns of the error table, by place.
fn errors(place: &Place, columns: &str) -> Vec<Value> {
    let text = place.query(&format!("SELECT {columns} FROM velo_errors ORDER BY topic, offset, record"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lines(ran: &Ran) -> Vec<&str> {
    crate::support::sorted(&ran.stdout)
}

#[test]
fn records_that_cannot_be_decoded_are_kept_with_their_place() {
    let place = Place::new(&[("a.csv", "id,note\n1,\"two\nlines\"\nx,\"y\nz\"\n3,c\nfour,d\r\n")]);
    std::fs::write(place.path("b.json"), b"{\"id\":1}\n\n{\"id\":\xff}\nno json\n{\"id\":4}\n").unwrap();
    let stream = |name: &str| {
        format!(
            "CREATE STREAM {name} (id BIGINT, note VARCHAR) WITH ('connector' = 'file', 'path' = '{name}.{}'",
            if name == "a" { "csv" } else { "json" }
        )
    };
    let sql = format!(
        "{}, 'failure_strategy' = 'SendToDLQ');\n{}, 'on.error' = 'dead_letter');\n\
         SELECT id FROM a UNION ALL SELECT id FROM b",
        stream("a"),
        stream("b")
    );
    let (ran, job) = run(&place, &sql);
    assert_eq!(lines(&ran), ["{\"id\":1}", "{\"id\":1}", "{\"id\":3}", "{\"id\":4}"]);
    assert_eq!((&job["rejected"], &job["dead_letters"]), (&json!(4), &json!(4)));
    let kept = errors(
        &place,
        "job, sql_line, operator, category, source, topic, partition, offset, line, record, record_base64",
    );
    let row = |source: &str,
               topic: &str,
               offset: i64,
               line: i64,
               record: Option<&str>,
               bytes: Option<&str>| {
        json!({"job": "query-1", "sql_line": 3, "operator": "source", "category": "decode", "source": source,
            "topic": topic, "partition": 0, "offset": offset, "line": line, "record": record, "record_base64": bytes})
    };
    assert_eq!(
        kept,
        [
            row("a", "a.csv", 22, 4, Some("x,\"y\nz\""), None),
            row("a", "a.csv", 34, 7, Some("four,d"), None),
            row("b", "b.json", 10, 3, None, Some("eyJpZCI6/30=")),
            row("b", "b.json", 19, 4, Some("no json"), None),
        ]
    );
    let messages = errors(&place, "message");
    assert_eq!(messages[0]["message"], "field `id`: \"x\" is not a BIGINT");
    // What runs once keeps them too.
    let location = "SET 'errors.location' = 'once'; SET 'mode' = 'batch';\n";
    run(&place, &format!("{location}{sql}"));
    let once = place.query("SET 'errors.location' = 'once'; SELECT count(*) AS n FROM velo_errors");
    assert_eq!(once, "{\"n\":4}\n");
    // Sent elsewhere as any other rows.
    place.query("CREATE STREAM dlq WITH ('connector' = 'file', 'path' = 'dlq.csv') AS \
        SELECT topic, line, record FROM velo_errors WHERE category = 'decode' AND source = 'b' AND record IS NOT NULL");
    assert_eq!(place.read("dlq.csv"), "topic,line,record\nb.json,4,no json\n");
}

#[test]
fn every_kind_of_bad_event_time_is_kept_and_its_neighbours_go_on() {
    let times =
        ["null", "\"soon\"", "\"2024-03-31 01:30:00\"", "\"2024-02-30 00:00:00\"", "\"9999-01-01 00:00:00\""];
    let records: String = times
        .iter()
        .enumerate()
        .map(|(id, ts)| {
            format!("{{\"id\":{id},\"ts\":{ts}}}\n{{\"id\":1{id},\"ts\":\"2024-01-01 00:00:0{id}\"}}\n")
        })
        .collect();
    let place = Place::new(&[("t.json", &records)]);
    let sql = format!(
        "{KEEP}CREATE STREAM t (id BIGINT, ts VARCHAR) WITH ('connector' = 'file', 'path' = 't.json', \
         'event.time.field' = 'ts', 'event.time.format' = '%Y-%m-%d %H:%M:%S', 'event.time.zone' = 'Europe/London');\n\
         SELECT id FROM t WHERE id + 0 >= 0"
    );
    let (ran, job) = run(&place, &sql);
    assert_eq!(lines(&ran), ["{\"id\":10}", "{\"id\":11}", "{\"id\":12}", "{\"id\":13}", "{\"id\":14}"]);
    assert_eq!((&job["rejected"], &job["dead_letters"]), (&json!(5), &json!(5)));
    let kept = errors(&place, "category, line, record, event_time");
    for (ordinal, (row, ts)) in kept.iter().zip(times).enumerate() {
        let record = format!("{{\"id\":{ordinal},\"ts\":{ts}}}");
        let line = 2 * ordinal + 1;
        assert_eq!(
            *row,
            json!({"category": "event_time", "line": line, "record": record, "event_time": null})
        );
    }
    let message = errors(&place, "message");
    assert!(message[1]["message"].as_str().unwrap().contains("soon"), "{message:?}");
}

#[test]
fn rows_that_cannot_be_evaluated_are_kept_from_text_and_parquet() {
    let place = Place::new(&[("n.csv", "a,b\n1,2\n9223372036854775807,1\n5,0\n7,7\n")]);
    place.query(
        "CREATE STREAM p WITH ('connector' = 'file', 'path' = 'n.parquet') AS SELECT a, b FROM 'n.csv'",
    );
    let text = ["9223372036854775807,1", "5,0"];
    let rows = ["{\"a\":9223372036854775807,\"b\":1}", "{\"a\":5,\"b\":0}"];
    for (path, records) in [("n.csv", text), ("n.parquet", rows)] {
        let location = format!("SET 'errors.location' = 'errors-{path}';\n");
        let sql = format!(
            "{KEEP}{location}CREATE STREAM n (a BIGINT, b BIGINT) WITH ('connector' = 'file', 'path' = '{path}');\n\
             SELECT a + b AS s FROM n WHERE 100 / b > 0"
        );
        let (ran, job) = run(&place, &sql);
        assert_eq!(lines(&ran), ["{\"s\":14}", "{\"s\":3}"], "{path}");
        assert_eq!((&job["rejected"], &job["dead_letters"]), (&json!(2), &json!(2)), "{path}");
        let kept = "SELECT operator, category, record FROM velo_errors ORDER BY offset";
        let kept = place.query(&format!("{location}{kept}"));
        let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: Vec<&str> = kept.iter().map(|row| row["record"].as_str().unwrap()).collect();
        assert_eq!(found, records);
        let is_step = |row: &Value, step: &str| row["operator"].as_str().unwrap().starts_with(step);
        assert!(is_step(&kept[0], "project") && is_step(&kept[1], "filter"), "{kept:#?}");
        assert!(kept.iter().all(|row| row["category"] == "evaluation"));
    }
}

#[test]
fn late_rows_are_kept_with_their_window() {
    let place = Place::new(&[(
        "t.csv",
        "id,k,v,ts\n1,a,1,1000\n2,b,1,30000\n3,a,-1,2000\n4,a,1,3000\n5,a,1,31000\n6,b,1,29000\n",
    )]);
    let stream = "CREATE STREAM t (id BIGINT, k VARCHAR, v BIGINT, ts BIGINT, WATERMARK FOR ts AS ts) \
        WITH ('connector' = 'file', 'path' = 't.csv');\n";
    let columns = "operator, offset, record, event_time, window_start, window_end, lateness_ms";
    let row = |operator: &str, offset: i64, record: &str, window: [Option<&str>; 2], lateness: i64| {
        let at = ["3000", "29000"].iter().find(|ts| record.ends_with(*ts)).unwrap();
        let event_time = format!("1970-01-01T00:00:{:0>2}Z", at.trim_end_matches("000"));
        let [start, end] = window.map(|time| time.map(|time| format!("1970-01-01T00:00:{time}Z")));
        json!({"operator": operator, "offset": offset, "record": record, "event_time": event_time,
            "window_start": start, "window_end": end, "lateness_ms": lateness})
    };
    let four = |operator, lateness| row(operator, 45, "4,a,1,3000", [Some("00"), Some("10")], lateness);
    let six = |operator, window, lateness| row(operator, 68, "6,b,1,29000", window, lateness);
    let aggregate = |window: &str| {
        format!("SELECT k, count(*) AS n FROM t WHERE v > 0 GROUP BY k WINDOW {window} EMIT FINAL")
    };
    let over = "SELECT id, sum(v) OVER (PARTITION BY k ORDER BY ts) AS s FROM t WHERE v > 0";
    let (twenty, thirty) = (Some("20"), Some("30"));
    let table = "SELECT window_end, count(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), \
        INTERVAL '10' SECOND)) WHERE v > 0 GROUP BY window_start, window_end";
    let cases = [
        (table.to_owned(), vec![four("window", 20_000), six("window", [twenty, thirty], 1_000)]),
        (aggregate("TUMBLING(10s)"), vec![four("window", 20_000), six("window", [twenty, thirty], 1_000)]),
        (aggregate("HOPPING(10s, 5s)"), vec![four("window", 20_000)]),
        (
            aggregate("CUMULATE(5s, 10s)"),
            vec![four("window", 20_000), six("window", [twenty, thirty], 1_000)],
        ),
        (
            aggregate("SESSION(5s)"),
            vec![
                row("session", 45, "4,a,1,3000", [Some("03"), Some("08")], 27_000),
                six("session", [Some("29"), Some("34")], 2_000),
            ],
        ),
        (
            over.to_owned(),
            vec![row("over", 45, "4,a,1,3000", [None; 2], 27_000), six("over", [None; 2], 2_000)],
        ),
    ];
    for (ordinal, (query, expected)) in cases.into_iter().enumerate() {
        let location = format!("SET 'errors.location' = 'errors-{ordinal}';\n");
        let (_, job) = run(&place, &format!("{KEEP}{location}{stream}{query}"));
        let late = json!(expected.len());
        assert_eq!(
            (&job["late"], &job["dead_letters"], &job["rejected"]),
            (&late, &late, &json!(0)),
            "{query}"
        );
        let kept = place.query(&format!("{location}SELECT {columns} FROM velo_errors ORDER BY offset"));
        let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(kept, expected, "{query}");
    }
}

#[test]
fn an_empty_error_table_has_no_rows_and_a_full_one_only_the_newest() {
    let place = Place::new(&[]);
    assert_eq!(place.query("SELECT * FROM velo_errors"), "");
    assert_eq!(place.query("SELECT count(*) AS n FROM velo_errors"), "{\"n\":0}\n");
    let bad: String = (0..2_000).map(|id| format!("bad {id:04}\n")).collect();
    std::fs::write(place.path("t.json"), bad).unwrap();
    let sql = "SET 'errors.max_size' = '64KiB'; SET 'batch.max_rows' = '100';\
        CREATE STREAM t (id BIGINT) WITH ('connector' = 'file', 'path' = 't.json', 'on.error' = 'dead_letter'); \
        SELECT id FROM t";
    assert_eq!(run(&place, sql).1["dead_letters"], 2_000);
    let kept = errors(&place, "record");
    assert!((50..500).contains(&kept.len()), "{} rows", kept.len());
    assert_eq!(kept.last().unwrap()["record"], "bad 1999");
    let files = std::fs::read_dir(place.path(".velo/errors")).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 64 << 10, "{bytes} bytes");
}

#[test]
fn what_was_kept_survives_a_kill() {
    let place = Place::new(&[]);
    let sql = "CREATE STREAM s (id BIGINT) WITH ('connector' = 'stdin', 'format' = 'json', 'on.error' = 'dead_letter'); \
        SELECT id FROM s";
    let mut child = place.command(&["run", "-q", "-e", sql]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"bad one\n{\"id\":1}\n").unwrap();
    input.flush().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "{\"id\":1}\n");
    // The row after it is out, so it is there.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(errors(&place, "record, line"), [json!({"record": "bad one", "line": 1})]);
}

#[test]
fn an_error_table_that_cannot_be_written_fails_the_job() {
    let place = Place::new(&[("t.json", "bad\n"), ("taken", "")]);
    let sql = |location: &str| {
        format!(
            "SET 'errors.location' = '{location}'; CREATE STREAM t (id BIGINT) WITH ('connector' = 'file', \
            'path' = 't.json', 'on.error' = 'dead_letter'); SELECT id FROM t"
        )
    };
    let ran = place.velo(&["run", "-e", &sql("taken")]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    ran.says(&["cannot write the error table at `taken`", "Hint: let `errors.location` name a directory"]);
    for (statement, what) in [
        ("INSERT INTO velo_errors SELECT 1 AS a", "which only the engine writes"),
        ("CREATE STREAM velo_errors AS SELECT 1 AS a", "which only the engine writes"),
        ("CREATE STREAM velo_errors (a INT) WITH ('connector' = 'stdin')", "which is there already"),
    ] {
        let ran = place.velo(&["validate", "-e", statement]);
        assert_eq!(ran.code, 2, "{statement}");
        ran.says(&["`velo_errors` is the error table", what]);
    }
}
