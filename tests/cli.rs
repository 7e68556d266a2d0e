//! The real binary: what goes in by pipes, files and signals, and what comes out.

#[cfg(test)]
#[path = "support/cli.rs"]
mod support;

#[cfg(test)]
#[path = "cli/damaged.rs"]
mod damaged;

#[cfg(test)]
#[path = "cli/event_time.rs"]
mod event_time;

#[cfg(test)]
#[path = "cli/guards.rs"]
mod guards;

#[cfg(test)]
#[path = "cli/dead_letters.rs"]
mod dead_letters;

#[cfg(test)]
#[path = "cli/joins.rs"]
mod joins;

#[cfg(test)]
#[path = "cli/metrics.rs"]
mod metrics;

#[cfg(test)]
#[path = "cli/tables.rs"]
mod tables;

#[cfg(test)]
mod cli {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Child, Command, Stdio};

    use serde_json::Value;

    use crate::support::{Place, Ran, sorted};

    const TRADES: &str = "symbol,price,ts\nA,1.5,1000\nB,2.5,2000\nA,3.0,61000\n";
    const TRADES_STREAM: &str = "CREATE STREAM trades (symbol VARCHAR, price DECIMAL(10,2), ts BIGINT, \
        WATERMARK FOR ts AS ts) WITH ('connector' = 'file', 'path' = 'trades.csv', 'format' = 'csv');";

    #[test]
    fn a_file_is_queried_by_its_name() {
        let place = Place::new(&[("trades.csv", TRADES)]);
        let rows = place
            .query("SELECT symbol, sum(price) AS total FROM 'trades.csv' GROUP BY symbol ORDER BY symbol");
        assert_eq!(rows, "{\"symbol\":\"A\",\"total\":4.5}\n{\"symbol\":\"B\",\"total\":2.5}\n");
    }

    #[test]
    fn standard_input_is_a_stream() {
        let place = Place::new(&[]);
        let input = "{\"price\": 99, \"id\": 1}\n{\"price\": 101, \"id\": 2}\n{\"price\": 150, \"id\": 3}\n";
        let ran = place.velo_with_input(
            &["run", "-e", "SELECT id FROM stdin WHERE price > 100", "--output", "ndjson"],
            input,
        );
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(sorted(&ran.stdout), ["{\"id\":2}", "{\"id\":3}"]);
        ran.says(&["finished: 3 rows read, 2 out, 0 late, 0 rejected, 1 filtered"]);
    }

    #[test]
    fn standard_input_gives_rows_before_it_ends() {
        let place = Place::new(&[]);
        let declared = [
            "run",
            "-e",
            "CREATE STREAM s (id BIGINT) WITH ('connector' = 'stdin', 'format' = 'json'); SELECT id + 1 AS next FROM s",
        ];
        let mut child = place.command(&declared).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        for id in [1, 5] {
            writeln!(input, "{{\"id\": {id}}}").unwrap();
            input.flush().unwrap();
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, format!("{{\"next\":{}}}\n", id + 1));
        }
        drop(input);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    #[test]
    fn rows_are_shown_in_each_form() {
        let place = Place::new(&[("a.csv", "id,name\n1,x\n2,\"a,\"\"b\"\n")]);
        let shown = |form: &str| {
            let ran = place.velo(&[
                "run",
                "-q",
                "-e",
                "SELECT id, name FROM 'a.csv' ORDER BY id",
                "--output",
                form,
            ]);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
            ran.stdout
        };
        assert_eq!(shown("csv"), "id,name\n1,x\n2,\"a,\"\"b\"\n");
        assert_eq!(shown("ndjson"), "{\"id\":1,\"name\":\"x\"}\n{\"id\":2,\"name\":\"a,\\\"b\"}\n");
        let array: Value = serde_json::from_str(&shown("json")).unwrap();
        assert_eq!(array, serde_json::json!([{"id": 1, "name": "x"}, {"id": 2, "name": "a,\"b"}]));
        let table = shown("table");
        assert!(table.contains("id") && table.contains("a,\"b") && table.lines().count() >= 4, "{table}");
        let empty =
            place.velo(&["run", "-q", "-e", "SELECT id FROM 'a.csv' WHERE id > 9", "--output", "json"]);
        assert_eq!(serde_json::from_str::<Value>(&empty.stdout).unwrap(), serde_json::json!([]));
    }

    #[test]
    fn the_report_accounts_for_every_row() {
        let place = Place::new(&[("trades.csv", TRADES)]);
        let sql = format!(
            "{TRADES_STREAM} CREATE STREAM w WITH ('connector' = 'file', 'path' = 'out.csv', 'format' = 'csv') AS \
             SELECT symbol, count(*) AS n FROM trades WHERE price > 2 WINDOW TUMBLING(1m) GROUP BY symbol;"
        );
        let ran = place.velo(&["run", "-e", &sql, "--report", "report.json"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
        let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"));
        assert_eq!(report["state"], "finished");
        assert_eq!((number("rows_in"), number("rows_out"), number("filtered")), (3, 2, 1));
        assert_eq!((number("late"), number("rejected")), (0, 0));
        assert_eq!(number("bytes_in"), TRADES.len() as u64 - "symbol,price,ts\n".len() as u64);
        assert_eq!(number("bytes_out"), place.read("out.csv").len() as u64);
        assert!(report["seconds"].as_f64().unwrap() > 0.0 && number("peak_memory_bytes") > 1 << 20);
        assert_eq!(report["error"], Value::Null);
        let job = &report["jobs"][0];
        assert_eq!((job["name"].as_str(), job["mode"].as_str()), (Some("w"), Some("stream")));
        assert_eq!(job["merged"], 2);
        assert_eq!(job["sources"][0]["name"], "trades");
        assert_eq!(job["operators"][0]["name"], "window aggregate");
    }

    #[test]
    fn validate_finds_all_errors_with_their_places() {
        let text = "CREATE STREAM trades (symbol VARCHAR, price DOUBLE) WITH ('connector' = 'file', 'path' = 'x.csv', 'format' = 'csv');\n\
            SELECT symbl FROM trades;\n\
            SELECT price FROM trade;\n\
            SELEC 1;\n\
            SELECT symbol FROM trades WHERE symbol > 5;\n";
        let place = Place::new(&[("app.sql", text)]);
        let ran = place.velo(&["validate", "app.sql"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        ran.says(&[
            "unknown column `symbl`",
            "app.sql:2:8",
            "2 | SELECT symbl FROM trades;\n  |        ^^^^^",
            "did you mean `symbol`?",
            "unknown stream or table `trade`",
            "app.sql:3:",
            "app.sql:4:1",
            "app.sql:5:",
            "4 errors",
        ]);
    }

    #[test]
    fn validate_contacts_nothing_and_runs_nothing() {
        let text = "CREATE STREAM a (id BIGINT) WITH ('connector' = 'file', 'path' = 'nowhere/a.json', 'format' = 'json');\n\
            CREATE STREAM b WITH ('connector' = 'file', 'path' = 'b.json', 'format' = 'json') AS SELECT id FROM a;\n";
        let place = Place::new(&[("app.sql", text)]);
        let ran = place.velo(&["validate", "app.sql"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("valid: 1 query"), "{}", ran.stdout);
        assert!(!place.path("b.json").exists());
    }

    #[test]
    fn explain_shows_the_plan_and_runs_nothing() {
        let place = Place::new(&[("trades.csv", TRADES)]);
        let sql = format!(
            "{TRADES_STREAM} SELECT symbol, count(*) FROM trades WINDOW TUMBLING(1m) GROUP BY symbol;"
        );
        let ran = place.velo(&["explain", "-e", &sql]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(
            ran.stdout.contains("read `trades`") && ran.stdout.contains("window aggregate"),
            "{}",
            ran.stdout
        );
    }

    #[test]
    fn explain_says_what_over_keeps_and_when_its_rows_come() {
        let place = Place::new(&[]);
        let over = "CREATE STREAM s (k VARCHAR, v BIGINT, t TIMESTAMP(3), WATERMARK FOR t AS t) WITH ('connector' = 'generator'); \
            CREATE STREAM a AS SELECT sum(v) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '10' SECOND PRECEDING) AS x, \
                lead(v) OVER (PARTITION BY k ORDER BY t) AS y FROM s; \
            CREATE STREAM b AS SELECT k, v FROM s QUALIFY row_number() OVER (PARTITION BY k ORDER BY v DESC) <= 3; \
            CREATE STREAM c AS SELECT rank() OVER (ORDER BY v) AS r FROM s WINDOW TUMBLING(1m); \
            CREATE STREAM d AS SELECT lag(v) OVER (ROWS WINDOW BUFFER 9 ROWS PARTITION BY k ORDER BY v) AS l FROM s;";
        let ran = place.velo(&["explain", "-e", over]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        for line in [
            "over sum(v) by k in the order of t, range from 10000 ms before to the current row; lead(v) by k in the order of t; \
             state: for each key the rows of the last 10000 ms, what the functions have come to; \
             a row comes out when the watermark is past it and 1 more of its key are there",
            "first 3 rows by row_number() by k in the order of v desc; state: these rows of each key, kept for ever",
            "over rank() by window_start in the order of v; state: the rows of open windows",
            "over lag(v) by k in the order of v; state: the last 9 rows of each key",
        ] {
            assert!(ran.stdout.contains(line), "{line}\n{}", ran.stdout);
        }
    }

    #[test]
    fn partitions_are_listed_without_reading_them() {
        let place = Place::new(&[
            ("day-1.json", "{\"id\": 1}\n"),
            ("day-2.json", "not read\n"),
            ("day-3.csv", "x\n"),
        ]);
        let show = |more: &str| {
            format!(
                "CREATE STREAM days (id BIGINT) WITH ('connector' = 'file', 'path' = 'day-*.json', 'format' = 'json'{more});
                SHOW PARTITIONS days"
            )
        };
        let ran = place.velo(&["run", "-e", &show("")]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let cells: Vec<Vec<&str>> =
            ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            cells,
            [
                ["partition", "bytes", "first_offset", "next_offset", "rows"],
                ["day-1.json", "10", "-", "-", "-"],
                ["day-2.json", "9", "-", "-", "-"],
            ]
        );
        let ran = place.velo(&["run", "-e", &show(", 'file.sequence' = 'name'")]);
        assert!(ran.stdout.lines().nth(1).unwrap().starts_with("day-1.json…"), "{}", ran.stdout);
        assert_eq!(ran.stdout.lines().nth(1).unwrap().split_whitespace().nth(1), Some("19"));

        std::fs::remove_file(place.path("day-1.json")).unwrap();
        std::fs::remove_file(place.path("day-2.json")).unwrap();
        let ran = place.velo(&["run", "-e", &show("")]);
        assert_eq!(ran.code, 2);
        ran.says(&["stream `days`: no file matches `day-*.json`"]);
        // Validation looks at nothing outside.
        assert_eq!(place.velo(&["validate", "-e", &show("")]).code, 0);
        let ran = place.velo(&["validate", "-e", "SHOW PARTITIONS days"]);
        assert_eq!(ran.code, 2);
        ran.says(&["days"]);
    }

    #[test]
    fn a_malformed_record_is_named_by_file_line_and_byte() {
        let text = "{\"id\": 1, \"n\": 5}\n{\"id\": 2, \"n\": }\n{\"id\": 3, \"n\": 7}\n";
        let place = Place::new(&[("in.json", text)]);
        let declare = "CREATE STREAM s (id BIGINT, n BIGINT) WITH ('connector' = 'file', 'path' = 'in.json', 'format' = 'json');";
        let ran = place.velo(&["run", "-e", &format!("{declare} SELECT id, n FROM s")]);
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        ran.says(&["in.json", "line 2", "byte 33", "on.error"]);

        let ran = place.velo(&[
            "run",
            "-e",
            &format!("{declare} SELECT id, n FROM s"),
            "--set",
            "on.error=skip",
            "--report",
            "r.json",
        ]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(sorted(&ran.stdout), ["{\"id\":1,\"n\":5}", "{\"id\":3,\"n\":7}"]);
        ran.says(&["1 rejected", "line 2"]);
        let report: Value = serde_json::from_str(&place.read("r.json")).unwrap();
        assert_eq!(
            (&report["rows_in"], &report["rejected"], &report["rows_out"]),
            (&3.into(), &1.into(), &2.into())
        );
    }

    #[test]
    fn a_skipped_record_leaves_its_neighbours_unharmed() {
        let mut text = String::new();
        for id in 0..10_000 {
            let line = match id % 1_000 {
                500 => "{\"id\": 1, \"v\": \"not a number\"}\n".to_owned(),
                700 => "{\"id\": 1, \"v\":\n".to_owned(),
                900 => "\u{0}\u{1}garbage\n".to_owned(),
                _ => format!("{{\"id\": {id}, \"v\": 1}}\n"),
            };
            text.push_str(&line);
        }
        let place = Place::new(&[("in.json", &text)]);
        let sql = "CREATE STREAM s (id BIGINT, v BIGINT) WITH ('connector' = 'file', 'path' = 'in.json', 'format' = 'json', 'on.error' = 'skip'); \
            SELECT count(*) AS n, sum(v) AS v, count(DISTINCT id) AS ids FROM s";
        for more in [&[][..], &["--set", "batch.max_bytes=1KiB"], &["--mode", "batch"]] {
            let mut arguments = vec!["run", "-e", sql];
            arguments.extend(more);
            let ran = place.velo(&arguments);
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            assert_eq!(ran.stdout, "{\"n\":9970,\"v\":9970,\"ids\":9970}\n", "{more:?}");
            ran.says(&["30 rejected"]);
        }
    }

    #[test]
    fn ctrl_c_ends_an_endless_run_with_its_summary() {
        let place = Place::new(&[]);
        let sql = "CREATE STREAM g (n BIGINT) WITH ('connector' = 'generator', 'rows.per.second' = '1000'); SELECT n FROM g";
        let mut child = place.command(&["run", "-e", sql]).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        interrupt(&child);
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 130, "{}", ran.stderr);
        ran.says(&["stopped: ", " rows read, "]);
        let lines = (line + &rest).lines().count();
        ran.says(&[&format!(" {lines} out, ")]);
    }

    fn interrupt(child: &Child) {
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    #[test]
    fn a_reader_that_has_enough_ends_the_run_well() {
        let place = Place::new(&[]);
        let sql = "CREATE STREAM g (n BIGINT) WITH ('connector' = 'generator'); SELECT n FROM g";
        let mut child = place.command(&["run", "-e", sql]).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        drop(output);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(!ran.stderr.contains("error") && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    }

    #[test]
    fn a_closed_output_is_noticed_without_further_rows() {
        let place = Place::new(&[]);
        let sql =
            "CREATE STREAM s (id BIGINT) WITH ('connector' = 'stdin', 'format' = 'json'); SELECT id FROM s";
        let mut child = place.command(&["run", "-e", sql]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        drop(child.stdout.take());
        // The input stays open: the run must end because nobody reads it, not because nothing comes.
        input.write_all(b"{\"id\": 1}\n").unwrap();
        input.flush().unwrap();
        let ran = Ran::of(child.wait_with_output().unwrap());
        drop(input);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }

    #[test]
    fn compressed_files_are_read() {
        let place = Place::new(&[]);
        let rows: String = (0..5_000).map(|id| format!("{{\"id\": {id}}}\n")).collect();
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
        gzip.write_all(rows.as_bytes()).unwrap();
        std::fs::write(place.path("a.json.gz"), gzip.finish().unwrap()).unwrap();
        std::fs::write(place.path("a.json.zst"), zstd::encode_all(rows.as_bytes(), 3).unwrap()).unwrap();
        for name in ["a.json.gz", "a.json.zst"] {
            let rows = place.query(&format!("SELECT count(*) AS n, sum(id) AS s FROM '{name}'"));
            assert_eq!(rows, "{\"n\":5000,\"s\":12497500}\n", "{name}");
        }
        let whole = std::fs::read(place.path("a.json.gz")).unwrap();
        std::fs::write(place.path("cut.json.gz"), &whole[..whole.len() / 2]).unwrap();
        let declare = "CREATE STREAM s (id BIGINT) WITH ('connector' = 'file', 'path' = 'cut.json.gz', 'format' = 'json');";
        let ran = place.velo(&["run", "-e", &format!("{declare} SELECT count(*) AS n FROM s")]);
        assert_ne!(ran.code, 0, "half a file is not a whole one: {}", ran.stdout);
        ran.says(&["cut.json.gz"]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let rows = "{\"id\":1,\"name\":\"a,\\\"b\\\"\",\"price\":0.10,\"at\":\"2024-01-02T03:04:05.678\",\"ok\":true}\n\
            {\"id\":2,\"name\":\"\",\"price\":99999999999999.99,\"at\":\"1969-12-31T23:59:59.999\",\"ok\":false}\n\
            {\"id\":3,\"name\":null,\"price\":null,\"at\":null,\"ok\":null}\n\
            {\"id\":-4,\"name\":\"line\\nbreak é 漢\",\"price\":-0.01,\"at\":\"2024-02-29T00:00:00\",\"ok\":true}\n";
        let place = Place::new(&[("in.json", rows)]);
        let columns = "(id BIGINT, name VARCHAR, price DECIMAL(18,2), at TIMESTAMP(3), ok BOOLEAN)";
        let stream = |name: &str, path: &str, format: &str| {
            format!(
                "CREATE STREAM {name} {columns} WITH ('connector' = 'file', 'path' = '{path}', 'format' = '{format}'); "
            )
        };
        let first = place.query(&(stream("a", "in.json", "json") + "SELECT * FROM a ORDER BY id"));
        assert_eq!(first.lines().count(), 4);
        for format in ["parquet", "csv", "json"] {
            let file = format!("out.{format}");
            let write = stream("a", "in.json", "json")
                + &stream("b", &file, format)
                + "INSERT INTO b SELECT * FROM a";
            let ran = place.velo(&["run", "-e", &write]);
            assert_eq!(ran.code, 0, "{format}: {}", ran.stderr);
            let again = place.query(&(stream("b", &file, format) + "SELECT * FROM b ORDER BY id"));
            assert_eq!(again, first, "{format}");
        }
        let undeclared = place.query("SELECT * FROM 'out.parquet' ORDER BY id");
        assert_eq!(undeclared, first, "Parquet knows its own columns");
    }

    #[test]
    fn options_of_the_predecessor_run_unchanged() {
        let place = Place::new(&[
            ("trades.csv", TRADES),
            ("base.yaml", "datasource:\n  format: csv\n  has_headers: true\n"),
            ("trades.yaml", "extends: base.yaml\ndatasource:\n  path: trades.csv\n"),
            (
                "app.sql",
                "CREATE STREAM out AS SELECT symbol, price FROM trades WHERE price > 2 EMIT CHANGES WITH (\n\
                'trades.type' = 'file_source', 'trades.path' = 'trades.csv', 'trades.format' = 'csv',\n\
                'out.type' = 'file_sink', 'out.path' = 'out.json', 'out.format' = 'json');\n",
            ),
            (
                "yaml.sql",
                "CREATE STREAM out AS SELECT symbol, price FROM trades WHERE price > 2 EMIT CHANGES WITH (\n\
                'trades.type' = 'file_source', 'trades.config_file' = 'trades.yaml',\n\
                'out.type' = 'file_sink', 'out.path' = 'out2.json', 'out.format' = 'json');\n",
            ),
        ]);
        for (file, out) in [("app.sql", "out.json"), ("yaml.sql", "out2.json")] {
            let ran = place.velo(&["run", file]);
            assert_eq!(ran.code, 0, "{file}: {}", ran.stderr);
            let rows = place.read(out);
            assert_eq!(
                sorted(&rows),
                ["{\"symbol\":\"A\",\"price\":3.0}", "{\"symbol\":\"B\",\"price\":2.5}"],
                "{file}"
            );
        }
    }

    #[test]
    fn exit_codes_say_who_has_to_act() {
        let place = Place::new(&[("trades.csv", TRADES)]);
        let code = |arguments: &[&str]| place.velo(arguments).code;
        assert_eq!(code(&["run", "-e", "SELECT 1 AS one"]), 0);
        assert_eq!(code(&["run", "-e", "SELECT nothing"]), 2);
        assert_eq!(code(&["run"]), 2);
        assert_eq!(code(&["run", "-e", "SELECT 1", "--set", "batch.max_row=5"]), 2);
        assert_eq!(code(&["run", "-e", "SELECT 1", "--set", "nonsense"]), 2);
        let bad = format!("{TRADES_STREAM} SELECT CAST(symbol AS BIGINT) AS n FROM trades");
        assert_eq!(code(&["run", "-e", &bad]), 3);
    }

    #[test]
    fn a_job_that_fails_harms_no_other() {
        let place = Place::new(&[("good.json", "{\"id\":1}\n{\"id\":2}\n"), ("bad.json", "{\"id\":\n")]);
        let source = |name: &str| {
            format!(
                "CREATE STREAM {name} (id BIGINT) WITH ('connector' = 'file', 'path' = '{name}.json', 'format' = 'json');\n"
            )
        };
        let job = |from: &str| {
            format!(
                "CREATE STREAM {from}_out WITH ('connector' = 'file', 'path' = '{from}.csv', 'format' = 'csv') AS SELECT id FROM {from};\n"
            )
        };
        let text = source("good") + &source("bad") + &job("bad") + &job("good");
        let ran = place.velo(&["run", "-e", &text]);
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        ran.says(&["job `bad_out` failed", "bad.json"]);
        assert_eq!(place.read("good.csv"), "id\n1\n2\n");
    }

    #[test]
    fn deep_and_long_expressions_are_errors_and_abort_nothing() {
        let place = Place::new(&[]);
        let chain = format!("SELECT {} AS n", vec!["1"; 2_000].join("+"));
        let nest = format!("SELECT {}1{} AS n", "(".repeat(5_000), ")".repeat(5_000));
        for sql in [chain, nest] {
            std::fs::write(place.path("deep.sql"), &sql).unwrap();
            let ran = place.velo(&["run", "deep.sql"]);
            assert!([0, 2].contains(&ran.code), "{ran:?}");
        }
    }

    #[test]
    fn durations_and_plans_that_ran_are_written() {
        let place = Place::new(&[("trades.csv", TRADES)]);
        let sql = format!(
            "{TRADES_STREAM} SELECT symbol, session_duration, count(*) AS n FROM trades WINDOW SESSION(90s) GROUP BY symbol"
        );
        for mode in ["stream", "batch"] {
            let ran = place.velo(&["run", "-q", "--mode", mode, "-e", &sql]);
            let expected = [
                "{\"symbol\":\"A\",\"session_duration\":\"PT60S\",\"n\":2}",
                "{\"symbol\":\"B\",\"session_duration\":\"P0D\",\"n\":1}",
            ];
            assert_eq!(sorted(&ran.stdout), expected, "{}", ran.stderr);
        }
        let analyzed =
            format!("{TRADES_STREAM} EXPLAIN ANALYZE SELECT count(*) FROM trades WINDOW TUMBLING(1m)");
        let ran = place.velo(&["run", "-q", "-e", &analyzed]);
        for part in ["window aggregate", "3 rows in, 2 rows out", "watermark: end of input"] {
            assert!(ran.stdout.contains(part), "no `{part}` in {}{}", ran.stdout, ran.stderr);
        }
    }

    #[test]
    fn parameters_are_bound_by_name_and_by_number() {
        let place = Place::new(&[("t.csv", "s,n,p\nA,1,0.50\nB,2,1.25\nA,3,2.00\n")]);
        let sql = "SELECT s, n FROM 't.csv' WHERE s = :symbol AND n > $1";
        let ran = place.velo(&["run", "-q", "-e", sql, "--param", "symbol=A", "--param", "1=1"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "{\"s\":\"A\",\"n\":3}\n"), "{}", ran.stderr);
        let injected =
            place.velo(&["run", "-q", "-e", sql, "--param", "symbol=A' OR 'a'='a", "--param", "1=0"]);
        assert_eq!((injected.code, injected.stdout.as_str()), (0, ""), "{}", injected.stderr);
        let missing = place.velo(&["run", "-q", "-e", sql, "--param", "symbol=A"]);
        missing.says(&["parameter `$1` has no value", "--param 1="]);
    }
}
