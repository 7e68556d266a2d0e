//! Tables from files and pipes, how long others wait for them, and what is said meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, sorted};

const USERS: &str = "user_id,tier\n1,gold\n2,silver\n1,bronze\n";
const USERS_TABLE: &str = "CREATE TABLE users (user_id BIGINT PRIMARY KEY, tier VARCHAR) WITH ('connector' = 'file', 'path' = 'users.csv');";

#[test]
fn both_modes_see_the_last_row_of_a_key() {
    let place = Place::new(&[("users.csv", USERS)]);
    let sql = format!("{USERS_TABLE} SELECT user_id, tier FROM users ORDER BY user_id");
    for mode in ["stream", "batch"] {
        let ran = place.velo(&["run", "--mode", mode, "-e", &sql, "--report", "report.json"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout, "{\"user_id\":1,\"tier\":\"bronze\"}\n{\"user_id\":2,\"tier\":\"silver\"}\n");
        let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
        let load = &report["tables"][0];
        assert_eq!((load["table"].as_str(), load["state"].as_str()), (Some("users"), Some("ready")));
        assert_eq!((load["rows"].as_u64(), load["percent"].as_u64()), (Some(3), Some(100)));
        assert_eq!(load["expected"].as_u64(), Some(USERS.len() as u64));
    }
}

#[test]
fn every_format_and_compression_fills_a_table() {
    let place = Place::new(&[("users.csv", USERS)]);
    for path in ["u.json", "u.csv.gz", "u.parquet", "u.json.zst"] {
        let copy = format!(
            "CREATE STREAM x WITH ('connector' = 'file', 'path' = '{path}') AS SELECT * FROM 'users.csv'"
        );
        assert_eq!(place.velo(&["run", "-q", "-e", &copy]).code, 0);
        let sql = format!(
            "CREATE TABLE users (user_id BIGINT PRIMARY KEY, tier VARCHAR) WITH ('connector' = 'file', 'path' = '{path}'); \
             CREATE TABLE tiers AS SELECT tier, count(*) AS n FROM users GROUP BY tier; \
             SELECT tier, n FROM tiers"
        );
        assert_eq!(
            sorted(&place.query(&sql)),
            ["{\"tier\":\"bronze\",\"n\":1}", "{\"tier\":\"silver\",\"n\":1}"],
            "{path}"
        );
    }
}

#[test]
fn a_row_without_its_key_is_a_bad_record_in_every_format() {
    let place = Place::new(&[("users.csv", "user_id,tier\n1,gold\n,silver\n3,bronze\n")]);
    for path in ["u.csv", "u.json", "u.parquet"] {
        let copy = format!(
            "CREATE STREAM x WITH ('connector' = 'file', 'path' = '{path}') AS SELECT * FROM 'users.csv'"
        );
        assert_eq!(place.velo(&["run", "-q", "-e", &copy]).code, 0);
        let table = |on_error: &str| {
            let sql = format!(
                "CREATE TABLE users (user_id BIGINT PRIMARY KEY, tier VARCHAR) \
                 WITH ('connector' = 'file', 'path' = '{path}', 'on.error' = '{on_error}'); \
                 SELECT user_id FROM users ORDER BY user_id"
            );
            place.velo(&["run", "-e", &sql])
        };
        let skipped = table("skip");
        assert_eq!(skipped.stdout, "{\"user_id\":1}\n{\"user_id\":3}\n", "{path}: {}", skipped.stderr);
        let failed = table("fail");
        assert_eq!(failed.code, 3, "{path}: {}", failed.stderr);
        failed.says(&["job `users` failed", path, "user_id"]);
    }
}

/// The table's source is a pipe that the test holds open: until it ends, what reads the table reads nothing else either.
#[test]
fn a_query_does_not_begin_before_its_table_is_ready() {
    let place = Place::new(&[]);
    let sql = "CREATE TABLE users (user_id BIGINT PRIMARY KEY) WITH ('connector' = 'stdin', 'format' = 'json'); \
               CREATE STREAM clicks (user_id BIGINT) WITH ('connector' = 'file', 'path' = 'clicks.json'); \
               SELECT user_id FROM clicks WHERE user_id IN (SELECT user_id FROM users)";
    let arguments = ["run", "--mode", "batch", "--progress", "-e", sql];
    let mut child = place.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{{\"user_id\": 7}}").unwrap();
    input.flush().unwrap();
    // The file that the query reads is only made once the table has said that it loads.
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("table users: loading: 1 rows") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "no progress was shown");
    }
    std::fs::write(place.path("clicks.json"), "{\"user_id\": 7}\n{\"user_id\": 8}\n").unwrap();
    drop(input);
    let mut rows = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rows).unwrap();
    assert_eq!((child.wait().unwrap().code(), rows.as_str()), (Some(0), "{\"user_id\":7}\n"));
}

#[test]
fn a_table_that_takes_too_long_is_told() {
    let place = Place::new(&[]);
    let sql = "CREATE TABLE slow (id BIGINT PRIMARY KEY) WITH ('connector' = 'generator', 'rows' = '100', \
               'rows.per.second' = '10', 'fields.id.kind' = 'sequence'); \
               SELECT count(*) AS n FROM slow WITH ('slow.wait.timeout' = '700ms')";
    let ran = place.velo(&["run", "-e", sql]);
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.stderr);
    ran.says(&[
        "table `slow` is not ready after 700ms: it has",
        "rows/s, about",
        "Hint: wait longer: 'slow.wait.timeout'",
    ]);
}

#[test]
fn a_table_that_cannot_be_loaded_fails_those_that_read_it() {
    let place = Place::new(&[("users.csv", "user_id,tier\n1,gold\nx,silver\n")]);
    let sql = format!("{USERS_TABLE} CREATE TABLE n AS SELECT count(*) AS n FROM users; SELECT n FROM n");
    let ran = place.velo(&["run", "-e", &sql, "--report", "report.json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    ran.says(&["job `users` failed: `users` users.csv line 3"]);
    let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
    let states: Vec<_> = report["tables"].as_array().unwrap().iter().map(|load| &load["state"]).collect();
    assert_eq!(states, ["failed", "failed"]);
    let last = &report["tables"][1]["error"];
    assert!(last.as_str().unwrap().starts_with("table `users` could not be loaded: "), "{last}");
}

/// A table over files that are not there yet; `options` follow the path.
fn late_users(options: &str) -> String {
    format!(
        "CREATE TABLE users (user_id BIGINT PRIMARY KEY, tier VARCHAR) WITH ('connector' = 'file', \
         'path' = 'users-*.csv'{options}); "
    )
}

#[test]
fn a_file_that_is_not_there_is_an_error_unless_it_is_waited_for() {
    let place = Place::new(&[]);
    let sql = |options: &str| format!("{} SELECT tier FROM users ORDER BY user_id", late_users(options));
    let none = place.velo(&["run", "-e", &sql("")]);
    assert_eq!(none.code, 2, "{}", none.stderr);
    none.says(&["stream `users`: no file matches `users-*.csv`"]);
    let wait = ", 'file.wait.timeout' = '300ms', 'file.retry.interval' = '20ms', 'circuit.failures' = '2'";
    let still_none = place.velo(&["run", "-e", &sql(wait), "--report", "report.json"]);
    assert_eq!(still_none.code, 4, "{}", still_none.stderr);
    still_none.says(&["no file matches `users-*.csv`, after 300ms of trying", "'file.wait.timeout' = '…'"]);
    let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
    let load = &report["tables"][0];
    assert_eq!((load["state"].as_str(), load["circuit"].as_str()), (Some("failed"), Some("open")));
    assert_eq!(report["jobs"][0]["sources"][0]["health"]["failed_tries"].as_u64(), Some(2));
    let useless = place.velo(&["validate", "-e", &sql(", 'file.retry.interval' = '20ms'")]);
    assert_eq!(useless.code, 2, "{}", useless.stdout);
    useless.says(&["option `file.retry.interval` of stream `users`: no use beside the other options"]);
    // Columns that nobody declared wait for the file as well.
    let inferred = "CREATE STREAM s WITH ('connector' = 'file', 'path' = 'none.csv', 'file.wait.timeout' = '50ms'); \
                    SELECT * FROM s";
    let inferred = place.velo(&["run", "-e", inferred]);
    assert_eq!(inferred.code, 4, "{}", inferred.stderr);
}

/// The file of the table comes long after the stream's.
#[test]
fn no_row_is_joined_before_the_files_of_the_table_are_there() {
    let clicks = "{\"user_id\": 1}\n{\"user_id\": 2}\n{\"user_id\": 3}\n";
    let place = Place::new(&[("clicks.json", clicks)]);
    let wait = ", 'file.wait.timeout' = '1m', 'file.retry.interval' = '10ms', \
                'file.retry.strategy' = 'exponential', 'file.retry.max.delay' = '40ms', 'circuit.failures' = '1000', \
                'circuit.failure.rate' = '100', 'circuit.cooldown' = '10ms'";
    let sql = format!(
        "{} CREATE STREAM clicks (user_id BIGINT) WITH ('connector' = 'file', 'path' = 'clicks.json'); \
         SELECT c.user_id, u.tier FROM clicks c LEFT JOIN users u ON u.user_id = c.user_id EMIT CHANGES",
        late_users(wait)
    );
    let arguments = ["run", "--progress", "-e", &sql];
    let mut child = place.command(&arguments).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("no file matches `users-*.csv`") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "no progress was shown");
    }
    assert!(line.starts_with("table users: loading: "), "{line}");
    std::fs::write(place.path("new.csv"), "user_id,tier\n1,gold\n2,silver\n3,bronze\n").unwrap();
    std::fs::rename(place.path("new.csv"), place.path("users-1.csv")).unwrap();
    let mut rows = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rows).unwrap();
    assert_eq!(
        sorted(&rows),
        [
            "{\"user_id\":1,\"tier\":\"gold\"}",
            "{\"user_id\":2,\"tier\":\"silver\"}",
            "{\"user_id\":3,\"tier\":\"bronze\"}"
        ]
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_endless_table_ends_with_those_that_read_it() {
    let place = Place::new(&[]);
    let sql = "CREATE TABLE beats (id BIGINT PRIMARY KEY) WITH ('connector' = 'generator', 'rows.per.second' = '1000', \
               'fields.id.kind' = 'sequence'); SELECT count(*) >= 0 AS counted FROM beats";
    let ran = place.velo(&["run", "-e", sql]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "{\"counted\":true}\n"), "{}", ran.stderr);
}

/// Queries, and what is said of their joins.
const JOINS: &[(&str, &[&str])] = &[
    (
        "SELECT a.id FROM a JOIN users u ON u.user_id = a.id",
        &["join: x: stream–table: look up in `users` by primary key (user_id)"],
    ),
    (
        "SELECT a.id FROM a JOIN users u ON u.country = a.c",
        &[
            "join: x: stream–table: look up in `users` by secondary index (country)",
            "warning: x: rows are looked up in `users` by country, which is not its key",
        ],
    ),
    (
        "SELECT a.id FROM a JOIN users u ON u.user_id > a.id",
        &[
            "join: x: stream–table: look up in `users`: all rows for each",
            "warning: x: cartesian: no column has to be equal, so that every pair of each row and those of table `users`",
        ],
    ),
    (
        "SELECT a.id FROM a JOIN b ON a.id = b.id WITHIN 1m",
        &["join: x: stream–stream: interval join on id = id; state: the rows of both sides"],
    ),
    (
        "SELECT a.id FROM a JOIN b ON a.t BETWEEN b.t - INTERVAL '1' MINUTE AND b.t",
        &[
            "join: x: stream–stream: interval join on t@1",
            "warning: x: cartesian: no column has to be equal, so that every pair of the rows of both sides",
        ],
    ),
    (
        "SELECT l.id FROM e l JOIN e r ON l.id = r.id",
        &[
            "join: x: stream–stream: join on id = id",
            "warning: x: stream–stream join without a bound on time: all rows of both sides are kept until the inputs end",
        ],
    ),
    (
        "SELECT c, count(*) AS n FROM a GROUP BY c",
        &["warning: x: unbounded state: `changing aggregate` keeps something of every key for ever"],
    ),
    ("SELECT c, count(*) AS n FROM a WINDOW TUMBLING(1m) GROUP BY c", &[]),
    ("SELECT count(*) AS n FROM a", &[]),
    ("SELECT id, count(*) AS n FROM e GROUP BY id EMIT CHANGES", &[]),
];

#[test]
fn joins_are_reported_and_warned_of_before_they_run() {
    let place = Place::new(&[]);
    let declared = "CREATE TABLE users (user_id BIGINT PRIMARY KEY, country VARCHAR) WITH ('connector' = 'memory'); \
        CREATE STREAM a (id BIGINT, c VARCHAR, t TIMESTAMP(3), WATERMARK FOR t AS t) WITH ('connector' = 'generator'); \
        CREATE STREAM b (id BIGINT, t TIMESTAMP(3), WATERMARK FOR t AS t) WITH ('connector' = 'generator'); \
        CREATE STREAM e (id BIGINT) WITH ('connector' = 'file', 'path' = 'e.json'); ";
    let sink = "CREATE STREAM x WITH ('connector' = 'blackhole') AS ";
    for (query, lines) in JOINS {
        let sql = format!("{declared}{sink}{query}");
        let ran = place.velo(&["validate", "-e", &sql]);
        assert_eq!(ran.code, 0, "{query}\n{}", ran.stderr);
        let told: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| line.starts_with("join: ") || line.starts_with("warning: "))
            .collect();
        assert_eq!(told.len(), lines.len(), "{query}\n{}", ran.stdout);
        for (told, line) in told.iter().zip(*lines) {
            assert!(told.starts_with(line), "{query}\n{told}\n{line}");
        }
        let explained = place.velo(&["explain", "-e", &sql]);
        for line in lines.iter().filter(|line| line.starts_with("warning")) {
            let line = line.replace("x: ", "");
            assert!(explained.stdout.contains(&line), "{line}\n{}", explained.stdout);
        }
    }
    let ttl = format!("{declared}SET 'state.ttl' = '1h'; {sink}SELECT a.id FROM a JOIN b ON a.id = b.id");
    let ran = place.velo(&["validate", "-e", &ttl]);
    assert!(ran.stdout.contains("`state.ttl` keeps all rows of both sides for 3600000 ms"), "{}", ran.stdout);
    let once = format!("{USERS_TABLE} SELECT l.user_id FROM users l CROSS JOIN users r");
    let place = Place::new(&[("users.csv", USERS)]);
    let ran = place.velo(&["validate", "-e", &once]);
    ran.says(&[]);
    assert!(ran.stdout.contains("once, of every row with every row"), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("warning: query-1: cartesian"), "{}", ran.stdout);
}

#[test]
fn many_files_of_one_window_are_worth_a_warning() {
    let row = "t,v\n1970-01-01T00:00:01,1\n";
    let names: Vec<String> = (0..8).map(|hour| format!("hour-{hour}.csv")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), row)).collect();
    let place = Place::new(&files);
    let explained = |options: &str, window: &str| {
        let sql = format!(
            "CREATE STREAM s (t TIMESTAMP(3), v BIGINT, WATERMARK FOR t AS t) WITH ('connector' = 'file', \
             'path' = 'hour-*.csv', 'format' = 'csv'{options}); SELECT sum(v) FROM s {window}"
        );
        place.velo(&["explain", "-e", &sql]).stdout
    };
    let warns = "warning: `s` has 8 files, each with a watermark of its own";
    assert!(explained("", "WINDOW TUMBLING(1s)").contains(warns));
    assert!(!explained("", "EMIT FINAL").contains("warning"));
    assert!(!explained(", 'file.sequence' = 'name'", "WINDOW TUMBLING(1s)").contains("warning"));
}

/// A table over files that change while a stream, which is followed too, looks rows up in it.
#[test]
fn files_are_followed_by_tables_and_streams() {
    let place = Place::new(&[("users-1.csv", USERS), ("clicks.json", "{\"user_id\": 1}\n")]);
    let sql = "CREATE TABLE users (user_id BIGINT PRIMARY KEY, tier VARCHAR) WITH ('connector' = 'file', \
               'path' = 'users-*.csv', 'watch' = 'true', 'incremental.interval' = '10ms'); \
               CREATE STREAM clicks (user_id BIGINT) WITH ('connector' = 'file', 'path' = 'clicks.json', \
               'watch' = 'true', 'incremental.interval' = '10ms'); \
               SELECT c.user_id, u.tier FROM clicks c JOIN users u ON u.user_id = c.user_id \
               WITH ('users.on.missing' = 'retry', 'users.retry.delay' = '20ms', 'users.retry.max_attempts' = '1000')";
    let mut child = place.command(&["run", "-q", "-e", sql]).spawn().unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        rows.read_line(&mut line).unwrap();
        line
    };
    let append = |name: &str, text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(place.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    assert_eq!(next(), "{\"user_id\":1,\"tier\":\"bronze\"}\n");
    append("clicks.json", "{\"user_id\": 2}\n{\"user_id\": 3}\n");
    assert_eq!(next(), "{\"user_id\":2,\"tier\":\"silver\"}\n");
    append("users-1.csv", "3,gold\n");
    assert_eq!(next(), "{\"user_id\":3,\"tier\":\"gold\"}\n");
    append("clicks.json", "{\"user_id\": 4}\n");
    std::fs::write(place.path("users-2.csv"), "user_id,tier\n4,new\n").unwrap();
    assert_eq!(next(), "{\"user_id\":4,\"tier\":\"new\"}\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Who follows a table over files is told of the rows that leave with a file.
#[test]
fn rows_leave_with_their_file_and_those_who_follow_see_it() {
    let place = Place::new(&[("users-1.csv", USERS), ("users-2.csv", "user_id,tier\n3,gold\n4,gold\n")]);
    let sql = "CREATE TABLE users (user_id BIGINT PRIMARY KEY, tier VARCHAR) WITH ('connector' = 'file', \
               'path' = 'users-*.csv', 'watch' = 'true', 'incremental.interval' = '10ms'); \
               SELECT count(*) AS users FROM users EMIT CHANGES";
    let mut child = place.command(&["run", "-q", "-e", sql]).spawn().unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut until = |wanted: &str| {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert!(rows.read_line(&mut line).unwrap() > 0, "no {wanted}");
        }
    };
    until("insert\",\"users\":4}");
    std::fs::remove_file(place.path("users-2.csv")).unwrap();
    until("insert\",\"users\":2}");
    std::fs::write(place.path("users-3.csv"), "user_id,tier\n1,gold\n5,gold\n").unwrap();
    until("insert\",\"users\":3}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn rows_that_find_nothing_are_counted_by_table() {
    let clicks = "{\"user_id\": 1}\n{\"user_id\": 7}\n{\"user_id\": 8}\n";
    let place = Place::new(&[("users.csv", USERS), ("clicks.json", clicks)]);
    let query = "CREATE TABLE tiers (tier VARCHAR PRIMARY KEY) WITH ('connector' = 'file', 'path' = 'users.csv'); \
                 CREATE STREAM clicks (user_id BIGINT) WITH ('connector' = 'file', 'path' = 'clicks.json'); \
                 SELECT c.user_id FROM clicks c LEFT JOIN users u ON u.user_id = c.user_id \
                 JOIN tiers t ON t.tier = u.tier";
    // A third would wait for ever, were the input not to end.
    let waits = " WITH ('users.on.missing' = 'retry', 'users.retry.delay' = '1h')";
    for (options, given_up) in [("", 0), (waits, 2)] {
        let sql = format!("{USERS_TABLE} {query}{options}");
        let ran = place.velo(&["run", "-e", &sql, "--report", "report.json"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "{\"user_id\":1}\n"), "{}", ran.stderr);
        let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
        let jobs = report["jobs"].as_array().unwrap();
        let job = jobs.iter().find(|job| job["name"] == "query-1").unwrap();
        let missing = serde_json::json!([
            {"table": "tiers", "rows": 2, "given_up": 0},
            {"table": "users", "rows": 2, "given_up": given_up},
        ]);
        assert_eq!(job["missing"], missing);
        let ran = place.velo(&["run", "-e", &sql.replace("SELECT c", "EXPLAIN ANALYZE SELECT c")]);
        assert!(ran.stdout.contains("table `users`: 2 rows found nothing"), "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn statements_that_change_a_table_run_in_the_order_of_the_file() {
    let place = Place::new(&[]);
    let stock = "CREATE TABLE stock (item VARCHAR PRIMARY KEY, n BIGINT); \
                 CREATE TABLE less (item VARCHAR PRIMARY KEY); INSERT INTO less VALUES ('cog'); \
                 INSERT INTO stock VALUES ('nut', 1), ('cog', 2); UPDATE stock SET n = n * 10; \
                 INSERT INTO stock VALUES ('nut', 5), ('pin', 0) ON CONFLICT (item) DO UPDATE SET n = n + excluded.n; \
                 UPSERT INTO stock VALUES ('pin', 7); DELETE FROM stock WHERE item IN (SELECT item FROM less); ";
    let sql = format!("{stock} SELECT item, n FROM stock ORDER BY item");
    let expected = "{\"item\":\"nut\",\"n\":15}\n{\"item\":\"pin\",\"n\":7}\n";
    for mode in ["stream", "batch"] {
        let ran = place.velo(&["run", "-q", "--mode", mode, "-e", &sql]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "{}", ran.stderr);
    }
    let broken =
        format!("{stock} UPDATE stock SET n = n / 0; UPDATE stock SET n = 1; SELECT item FROM stock");
    let ran = place.velo(&["run", "-q", "-e", &broken]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("update-stock-2"), "{}", ran.stderr);
    let circle =
        format!("{stock} INSERT INTO less SELECT item FROM stock; SELECT item FROM stock ORDER BY item");
    let ran = place.velo(&["run", "-q", "-e", &circle]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("tables are made from each other"), "{}", ran.stderr);
}

#[test]
fn a_run_ends_when_nobody_is_left_who_waits_for_a_table() {
    let place = Place::new(&[("s.csv", "k\n1\n")]);
    let sql = "CREATE TABLE late (k BIGINT PRIMARY KEY) WITH ('connector' = 'file', 'path' = 'never.csv', 'format' = 'csv', \
               'file.wait.timeout' = '1m'); \
               CREATE STREAM s (k BIGINT) WITH ('connector' = 'file', 'path' = 's.csv'); \
               SET 'late.wait.timeout' = '200ms'; SELECT s.k FROM s JOIN late ON late.k = s.k";
    let ran = place.velo(&["run", "-q", "-e", sql]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("table `late` is not ready after 200ms"), "{}", ran.stderr);
}

#[test]
fn the_end_of_a_file_leaves_what_its_latest_row_leaves() {
    let rows =
        "id,ts\n1,2024-01-01T00:00:00\n2,2024-01-01T00:57:00\n3,2024-01-01T00:58:30\n4,2024-01-01T01:00:00\n";
    let place = Place::new(&[("rows.csv", rows)]);
    let columns = "ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE";
    let source = "'connector' = 'file', 'path' = 'rows.csv'";
    let declared = format!(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, {columns}) WITH ({source}, 'retention' = '1 minute'); "
    );
    for mode in ["stream", "batch"] {
        for cut in ["1", "1000"] {
            let sql = format!("SET 'batch.max_rows' = '{cut}'; {declared} SELECT id FROM t");
            let ran = place.velo(&["run", "-q", "--mode", mode, "-e", &sql]);
            let expected = ["{\"id\":3}", "{\"id\":4}"];
            assert_eq!(sorted(&ran.stdout), expected, "{mode} {cut}: {}", ran.stderr);
        }
    }
    let made = format!(
        "CREATE STREAM s (id BIGINT, {columns}) WITH ({source}); \
         CREATE TABLE t AS SELECT id PRIMARY KEY, ts FROM s WITH ('retention' = '1 minute'); SELECT id FROM t"
    );
    assert_eq!(sorted(&place.query(&made)), ["{\"id\":3}", "{\"id\":4}"]);
}
