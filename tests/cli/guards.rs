//! Guards of what users notice first: how soon a row is there, and how much memory a long run takes.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Place;

/// How soon nearly every row must be there; a build for development on a busy machine.
const SOON: Duration = Duration::from_millis(100);

#[test]
fn a_row_that_comes_alone_is_written_at_once() {
    let place = Place::new(&[]);
    let through_two_jobs = "CREATE STREAM s (id BIGINT) WITH ('connector' = 'stdin', 'format' = 'json');
        CREATE STREAM odd AS SELECT id FROM s WHERE id % 2 = 1;
        SELECT id + 1 AS next FROM odd";
    let one_job = "SELECT id + 1 AS next FROM stdin WHERE id % 2 = 1";
    for sql in [one_job, through_two_jobs] {
        // The machine may have been busy with something else: one quiet round of three is enough.
        let late: Vec<Duration> =
            (0..3).map(|_| slowest_of_most(&place, sql)).take_while(|late| *late >= SOON).collect();
        assert!(late.len() < 3, "{sql}: nineteen of twenty rows within {late:?}");
    }
}

/// Writes rows one by one, and returns the time within which nineteen of twenty of them came back.
#[expect(clippy::disallowed_methods, reason = "what a user waits for is real time")]
fn slowest_of_most(place: &Place, sql: &str) -> Duration {
    let mut child = place.command(&["run", "-q", "-e", sql]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || output.lines().try_for_each(|line| sender.send(line.unwrap())));
    let mut waited = vec![];
    for id in (1..=121).step_by(2) {
        let start = Instant::now();
        write!(input, "{{\"id\":{id}}}\n{{\"id\":{}}}\n", id + 1).unwrap();
        let line = lines.recv_timeout(Duration::from_secs(20));
        assert_eq!(line, Ok(format!("{{\"next\":{}}}", id + 1)), "{sql}: a row waits for the next one");
        waited.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(15));
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // The first row waits for its columns to be inferred and the job to start.
    let mut waited = waited.split_off(1);
    waited.sort();
    waited[waited.len() * 19 / 20]
}

#[test]
fn memory_does_not_grow_with_the_length_of_the_input() {
    let place = Place::new(&[]);
    let mut text = String::new();
    for id in 0..100_000 {
        writeln!(text, "{{\"id\":{id},\"k\":{},\"pad\":\"{:>64}\",\"ts\":{}}}", id % 1_000, id, id * 10)
            .unwrap();
    }
    std::fs::write(place.path("short.json"), &text).unwrap();
    std::fs::write(place.path("long.json"), text.repeat(5)).unwrap();
    drop(text);
    let queries = [
        ("stream", "SELECT id, pad FROM t WHERE k = 7"),
        ("stream", "SELECT k, count(*) AS n, sum(id) AS s, max(pad) AS p FROM t GROUP BY k EMIT FINAL"),
        (
            "stream",
            "CREATE STREAM a AS SELECT id, k, pad FROM t WHERE k < 900; SELECT k, count(*) AS n FROM a GROUP BY k EMIT FINAL",
        ),
        (
            "batch",
            "CREATE STREAM a AS SELECT id, k, pad FROM t WHERE k < 900; SELECT k, max(pad) AS p FROM a GROUP BY k",
        ),
        ("batch", "SELECT k, count(*) AS n, sum(id) AS s, max(pad) AS p FROM t GROUP BY k"),
    ];
    for (mode, query) in queries {
        let peak = |file: &str| {
            let sql = format!(
                "CREATE STREAM t (id BIGINT, k BIGINT, pad VARCHAR, ts BIGINT, WATERMARK FOR ts AS ts)
                 WITH ('connector' = 'file', 'path' = '{file}', 'format' = 'json'); {query}"
            );
            let set = ["--set", "parallelism=2", "--mode", mode, "--report", "report.json"];
            let ran = place.velo(&[&["run", "-q", "-e", &sql], set.as_slice()].concat());
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
            report["peak_memory_bytes"].as_u64().unwrap()
        };
        let (short, long) = (peak("short.json"), peak("long.json"));
        assert!(
            long < short + short / 4 + (16 << 20),
            "{mode} {query}: {} MiB for the file, {} MiB for five of it",
            short >> 20,
            long >> 20
        );
    }
}

#[test]
fn the_inputs_of_a_join_that_runs_once_do_not_wait_for_each_other() {
    let place = Place::new(&[]);
    let sql = "CREATE STREAM g (id BIGINT) WITH ('connector' = 'generator', 'rows' = '1500000', 'fields.id.kind' = 'sequence');
        CREATE STREAM a AS SELECT id FROM g;
        SELECT count(*) AS n FROM a AS x JOIN a AS y ON x.id = y.id";
    let ran = place.velo(&["run", "-q", "--mode", "batch", "-e", sql]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "{\"n\":1500000}\n"), "{}", ran.stderr);
}
