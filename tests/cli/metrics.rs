//! `velo run --metrics`: what is served, to whom, and that nobody who asks can do harm.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, Ran};

/// A generator that gives 400 rows and then ends, and standard input that is far behind it.
const TWO_INPUTS: &str = "
    CREATE STREAM g (id BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts)
        WITH ('connector' = 'generator', 'rows' = '400', 'rows.per.second' = '800', 'fields.id.kind' = 'sequence');
    CREATE STREAM s (id BIGINT, ts BIGINT, WATERMARK FOR ts AS ts)
        WITH ('connector' = 'stdin', 'format' = 'json', 'on.error' = 'skip');
    -- @name: both
    INSERT INTO hole SELECT id, count(*) AS n FROM (SELECT id FROM g UNION ALL SELECT id FROM s WHERE id > 1)
        GROUP BY id WITH ('hole.connector' = 'blackhole');";

/// A run that serves its metrics.
struct Served {
    child: Child,
    input: ChildStdin,
    said: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Served {
    fn start(place: &Place, sql: &str) -> Self {
        let arguments = ["run", "-e", sql, "--metrics", "127.0.0.1:0", "--report", "report.json"];
        let mut child = place.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended without saying where it serves");
            if let Some(rest) = line.strip_prefix("metrics: http://") {
                break rest.trim_end().strip_suffix("/metrics").unwrap().to_owned();
            }
        };
        Self { child, input, said, address }
    }

    fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn scrape(&self) -> BTreeMap<String, f64> {
        let (status, text) = self.ask("GET /metrics");
        assert_eq!(status, 200, "{text}");
        series(&text)
    }

    /// Scrapes until what is there is as `wanted`.
    fn scrape_until(&self, wanted: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
        let begun = now();
        loop {
            let series = self.scrape();
            if wanted(&series) {
                return series;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{series:#?}");
        }
    }

    fn end(self) -> Ran {
        drop(self.input);
        let mut stderr = String::new();
        let mut said = self.said;
        said.read_to_string(&mut stderr).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Ran { stderr, ..Ran::of(output) }
    }
}

#[test]
fn metrics_follow_a_run_and_end_as_its_report() {
    let place = Place::new(&[]);
    let mut served = Served::start(&place, TWO_INPUTS);
    let rows = b"{\"id\": 1, \"ts\": 1000000}\n{\"id\": 2, \"ts\": 2000000}\nnonsense\n";
    served.input.write_all(rows).unwrap();
    served.input.flush().unwrap();

    let held =
        "velo_job_watermark_held_back_since_timestamp_seconds{job=\"both\",source=\"s\",partition=\"stdin\"}";
    let input = |series: &BTreeMap<String, f64>| {
        let of = |(name, value): (&String, &f64)| {
            (name.contains("source=\"s\"")).then_some((name.clone(), *value))
        };
        series.iter().filter_map(of).collect::<BTreeMap<_, _>>()
    };
    let first = served.scrape_until(|series| series.contains_key(held));
    let last = served.scrape_until(|series| {
        series["velo_job_read_rows_total{job=\"both\"}"] == 403.0
            && series["velo_operator_input_rows_total{job=\"both\",stage=\"3\",operator=\"changing aggregate\"}"] == 401.0
    });
    for (name, value) in &first {
        let counts = name.split('{').next().unwrap().ends_with("_total") || name.contains("_bucket{");
        assert!(!counts || last[name] >= *value, "{name} went back from {value} to {}", last[name]);
    }
    // The watermark is that of the input that is behind.
    assert_eq!(last["velo_job_watermark_timestamp_seconds{job=\"both\"}"], 2000.0, "{:#?}", input(&last));
    assert!(last["velo_job_watermark_lag_seconds{job=\"both\"}"] > 1e9);
    let now = std::fs::metadata(place.path(".")).unwrap().modified().unwrap();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - last[held]).abs() < 120.0, "{} is not now", last[held]);
    assert_eq!(last["velo_job_running{job=\"both\",mode=\"stream\"}"], 1.0);
    assert!(
        last["velo_operator_state_bytes{job=\"both\",stage=\"3\",operator=\"changing aggregate\"}"] > 400.0
    );

    let groups = last["velo_operator_state_rows{job=\"both\",stage=\"3\",operator=\"changing aggregate\"}"];
    assert_eq!(groups, 400.0);

    let ran = served.end();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
    let job = &report["jobs"][0];
    let equal = |metric: &str, value: &Value| {
        let found = last.get(metric).copied();
        assert!(found.is_some(), "no {metric} in {:#?}", last.keys().collect::<Vec<_>>());
        assert_eq!(found, value.as_f64(), "{metric}");
    };
    for (metric, name) in [
        ("read_rows", "rows_in"),
        ("read_bytes", "bytes_in"),
        ("written_rows", "rows_out"),
        ("written_bytes", "bytes_out"),
        ("rejected_rows", "rejected"),
        ("late_rows", "late"),
        ("filtered_rows", "filtered"),
        ("merged_rows", "merged"),
    ] {
        equal(&format!("velo_job_{metric}_total{{job=\"both\"}}"), &job[name]);
    }
    for (stage, source) in job["sources"].as_array().unwrap().iter().enumerate() {
        let name = source["name"].as_str().unwrap();
        let labels = format!("{{job=\"both\",stage=\"{}\",source=\"{name}\"}}", stage + 1);
        for (metric, name) in [
            ("read_rows", "records"),
            ("read_bytes", "bytes"),
            ("rejected_rows", "rejected"),
            ("late_rows", "late"),
            ("filtered_rows", "filtered"),
        ] {
            equal(&format!("velo_source_{metric}_total{labels}"), &source[name]);
        }
    }
    let sink = "{job=\"both\",sink=\"blackhole\"}";
    equal(&format!("velo_sink_written_rows_total{sink}"), &job["sinks"][0]["rows"]);
    assert_eq!((job["rejected"].as_u64(), job["filtered"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn clients_that_are_slow_large_or_wrong_harm_nobody() {
    let place = Place::new(&[]);
    let served = Served::start(&place, TWO_INPUTS);
    let silent: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(&served.address).unwrap()).collect();
    let mut halfway = TcpStream::connect(&served.address).unwrap();
    halfway.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").unwrap();
    let mut large = TcpStream::connect(&served.address).unwrap();
    // It may be cut off while it still writes.
    drop(large.write_all(format!("GET /metrics HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes()));
    let mut refused = vec![];
    drop(large.read_to_end(&mut refused));
    assert!(!String::from_utf8_lossy(&refused).contains("200 OK"));

    for (request, status) in [
        ("GET /metrics", 200),
        ("GET /", 404),
        ("GET /metrics/x", 404),
        ("POST /metrics", 404),
        ("DELETE /metrics", 404),
        ("GET /../etc/passwd", 404),
    ] {
        assert_eq!(served.ask(request).0, status, "{request}");
    }
    let begun = now();
    assert_eq!(served.end().code, 0);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "the clients held the end up for {:?}",
        begun.elapsed()
    );
    drop((silent, halfway));
}

#[test]
fn metrics_say_how_tables_are_and_which_rows_found_nothing() {
    let place = Place::new(&[("users.csv", "id,tier\n1,gold\n")]);
    let mut served = Served::start(
        &place,
        "CREATE TABLE users (id BIGINT PRIMARY KEY, tier VARCHAR) WITH ('connector' = 'file', 'path' = 'users.csv',
             'watch' = 'true', 'incremental.interval' = '10ms');
         CREATE STREAM s (id BIGINT) WITH ('connector' = 'stdin', 'format' = 'json');
         -- @name: tiers
         INSERT INTO hole SELECT s.id, u.tier FROM s JOIN users u ON s.id = u.id WITH ('hole.connector' = 'blackhole');",
    );
    served.input.write_all(b"{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}\n").unwrap();
    served.input.flush().unwrap();
    let labels = |job: &str| format!("{{job=\"{job}\",table=\"users\"}}");
    let is = |name: &str, job: &str, value: f64| {
        let name = format!("{name}{}", labels(job));
        move |series: &BTreeMap<String, f64>| series.get(&name) == Some(&value)
    };
    let missing = served.scrape_until(is("velo_job_missing_rows_total", "tiers", 2.0));
    assert_eq!(missing[&format!("velo_job_given_up_rows_total{}", labels("tiers"))], 0.0);
    served.scrape_until(is("velo_table_state", "users", 2.0));
    // A record that cannot be read ends the job that keeps the table.
    std::fs::write(place.path("users.csv"), "id,tier\n1,gold\nx,gold\n").unwrap();
    served.scrape_until(is("velo_table_state", "users", 4.0));
    served.end();
}

#[test]
fn metrics_are_served_on_this_machine_only() {
    let place = Place::new(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, code, says) in [
        ("0.0.0.0:9464", 2, "others could reach `0.0.0.0:9464`, and there is no login yet"),
        ("[::]:9464", 2, "`127.0.0.1:9464` or `[::1]:9464`"),
        ("192.0.2.1:1", 2, "through a proxy with TLS"),
        ("9464", 2, "as in --metrics 127.0.0.1:9464"),
        (taken.as_str(), 4, "use another port, or port 0"),
    ] {
        let ran = place.velo(&["run", "-e", "SELECT 1 AS one", "--metrics", address]);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{address}: {}", ran.stderr);
        ran.says(&[says]);
    }
}

#[test]
fn a_run_that_is_interrupted_ends_its_metrics_with_it() {
    let place = Place::new(&[]);
    let sql = "CREATE STREAM a (id BIGINT) WITH ('connector' = 'generator', 'rows.per.second' = '10'); \
        INSERT INTO x SELECT id FROM a WITH ('x.connector' = 'blackhole'); \
        INSERT INTO x SELECT id + 1 AS id FROM a WITH ('x.connector' = 'blackhole')";
    let served = Served::start(&place, sql);
    let series = served.scrape();
    // Two jobs of the same statement are told apart.
    for job in ["insert-into-x", "insert-into-x-2"] {
        assert!(
            series.contains_key(&format!("velo_job_running{{job=\"{job}\",mode=\"stream\"}}")),
            "{series:#?}"
        );
    }
    let address = served.address.clone();
    assert!(Command::new("kill").args(["-INT", &served.child.id().to_string()]).status().unwrap().success());
    assert_eq!(served.end().code, 130);
    assert!(TcpStream::connect(address).is_err());
}

#[expect(clippy::disallowed_methods, reason = "what a user waits for is real time")]
fn now() -> Instant {
    Instant::now()
}

/// Reads the text of OpenMetrics as strictly as its grammar; returns the value of each series.
fn series(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end:\n{text}"));
    let mut values = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut helped = None;
    let mut family: Option<(&str, &str)> = None;
    let mut bucket: (f64, f64) = (0.0, 0.0);
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(families.insert(name) && is_name(name) && !help.is_empty(), "{line}");
            (helped, family) = (Some(name), None);
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(helped == Some(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            family = Some((name, kind));
            continue;
        }
        let (family, kind) = family.unwrap_or_else(|| panic!("a sample before its TYPE: {line}"));
        let (key, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let (name, labels) = match key.split_once('{') {
            Some((name, labels)) => (name, read_labels(labels)),
            None => (key, vec![]),
        };
        let ending = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        match (kind, ending) {
            ("counter", "_total") => assert!(value >= 0.0, "{line}"),
            ("gauge", "") => {}
            ("histogram", "_sum" | "_count") => bucket = (f64::NEG_INFINITY, 0.0),
            ("histogram", "_bucket") => {
                let bound = labels.iter().find(|(label, _)| label == "le").unwrap().1.replace("+Inf", "inf");
                let next: (f64, f64) = (bound.parse().unwrap(), value);
                assert!(next.0 > bucket.0 && next.1 >= bucket.1, "{line}");
                bucket = next;
                if bound == "inf" {
                    let count = key.replace("_bucket{le=\"+Inf\",", "_count{");
                    assert_eq!(values.get(&count), Some(&value), "{line}");
                }
            }
            _ => panic!("{line} is not a {kind}"),
        }
        assert!(values.insert(key.to_owned(), value).is_none(), "twice: {line}");
    }
    values
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|next| next.is_ascii_alphanumeric() || next == '_')
}

/// Reads `a="b",c="d"}`.
fn read_labels(text: &str) -> Vec<(String, String)> {
    let mut labels = vec![];
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("labels {text}"));
        assert!(is_name(name), "label {name}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match characters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    escaped @ ('\\' | '"') => value.push(escaped),
                    other => panic!("escape \\{other} in {text}"),
                },
                (_, character) => value.push(character),
            }
        };
        labels.push((name.to_owned(), value));
        match after.get(end + 1..).unwrap_or_default() {
            "}" => break,
            more => rest = more.strip_prefix(',').unwrap_or_else(|| panic!("labels {text}")),
        }
    }
    let names: BTreeSet<&String> = labels.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), labels.len(), "a label twice: {text}");
    labels
}
