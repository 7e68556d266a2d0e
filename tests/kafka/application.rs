//! Applications that read and write Kafka, through the real binary.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::server::{KafkaServer, Record};

fn trade(symbol: &str, price: &str, second: i64) -> Record {
    let value = format!(r#"{{"symbol":"{symbol}","price":{price},"ts":"2026-01-01T00:00:{second:02}Z"}}"#);
    Record { key: Some(symbol.as_bytes().to_vec()), value: Some(value.into_bytes()), ..Record::default() }
}

/// Runs an application and returns what it says on standard output; it must end well.
fn velo(sql: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_velo"))
        .args(["run", "-e", sql, "--output", "ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().flush().unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn windows_go_from_topic_to_topic_with_key_and_timestamp() {
    let Some(server) = KafkaServer::shared() else { return };
    let (input, output) = ("application-trades", "application-totals");
    server.create_topic(input, 2);
    let records = [
        trade("A", "10.50", 1),
        trade("B", "1.25", 2),
        trade("A", "0.25", 4),
        trade("A", "99.00", 12),
        trade("B", "7", 25),
    ];
    server.produce(input, records);
    let brokers = server.bootstrap();
    let sql = format!(
        "CREATE STREAM trades (symbol VARCHAR, price DECIMAL(18,2), ts TIMESTAMP(3),
             WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
         WITH ('connector' = 'kafka', 'topic' = '{input}', 'bootstrap.servers' = '{brokers}',
               'auto.offset.reset' = 'earliest', 'scan.end' = 'latest');
         CREATE STREAM totals WITH ('connector' = 'kafka', 'topic' = '{output}', 'bootstrap.servers' = '{brokers}',
               'topic.create' = '1') AS
         SELECT symbol PRIMARY KEY, window_end, SUM(price) AS total FROM trades WINDOW TUMBLING(10s) GROUP BY symbol;
         SHOW PARTITIONS trades;"
    );
    let known = velo(&sql);
    let mut records = 0;
    for (number, line) in known.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[..3], [&format!("{input}/{number}"), "-", "0"], "{known}");
        records += cells[3].parse::<i64>().unwrap();
    }
    assert_eq!((known.lines().count(), records), (3, 5), "{known}");
    let mut rows: Vec<(String, String, Option<i64>)> = server
        .consume(output)
        .into_iter()
        .map(|record| {
            let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
            (text(record.key), text(record.value), record.timestamp)
        })
        .collect();
    rows.sort();
    // 2026-01-01T00:00:10Z less one millisecond, and the windows after it.
    let end = 1_767_225_610_000_i64;
    let row = |key: &str, window: &str, total: &str, time: i64| {
        let value =
            format!(r#"{{"symbol":"{key}","window_end":"2026-01-01T00:00:{window}Z","total":{total}}}"#);
        (key.to_owned(), value, Some(time - 1))
    };
    let expected = vec![
        row("A", "10", "10.75", end),
        row("A", "20", "99.00", end + 10_000),
        row("B", "10", "1.25", end),
        row("B", "30", "7.00", end + 20_000),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn columns_are_inferred_and_system_columns_and_headers_are_read() {
    let Some(server) = KafkaServer::shared() else { return };
    let topic = "application-headers";
    server.create_topic(topic, 1);
    let mut record = trade("A", "10.50", 1);
    record.headers = vec![("trace".to_owned(), Some(b"t-1".to_vec()))];
    server.produce(topic, [record, trade("B", "2", 2)]);
    let sql = format!(
        "SELECT symbol, _key, _partition, _offset, _topic, HEADER('trace') AS trace, HAS_HEADER('trace') AS traced
         FROM 'kafka://{}/{topic}?auto.offset.reset=earliest&scan.end=latest'",
        server.bootstrap()
    );
    let rows = velo(&sql);
    assert_eq!(
        rows,
        format!(
            "{}\n{}\n",
            r#"{"symbol":"A","_key":"A","_partition":0,"_offset":0,"_topic":"application-headers","trace":"t-1","traced":true}"#,
            r#"{"symbol":"B","_key":"B","_partition":0,"_offset":1,"_topic":"application-headers","trace":null,"traced":false}"#
        )
    );
}

/// Key, value and headers of records as text, sorted.
fn shown(records: Vec<Record>) -> Vec<String> {
    let text =
        |bytes: Option<Vec<u8>>| bytes.map_or("-".to_owned(), |bytes| bytes.escape_ascii().to_string());
    let show = |record: Record| {
        let headers = record.headers.into_iter().map(|(name, value)| format!("{name}={}", text(value)));
        let headers: Vec<String> = headers.collect();
        format!("{} {} [{}]", text(record.key), text(record.value), headers.join(" "))
    };
    let mut shown: Vec<String> = records.into_iter().map(show).collect();
    shown.sort();
    shown
}

#[test]
fn headers_go_from_topic_to_topic_and_are_set_and_removed() {
    let Some(server) = KafkaServer::shared() else { return };
    let input = "header-trades";
    server.create_topic(input, 1);
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    let mut first = trade("A", "10.50", 1);
    first.headers = vec![
        header("trace", b"t-1"),
        header("origin", b"x"),
        header("raw", b"\xff\x00"),
        header("origin", b"y"),
    ];
    server.produce(input, [first, trade("B", "2", 2), trade("B", "3", 3)]);
    let brokers = server.bootstrap();
    let declare = |name: &str| {
        format!(
            "CREATE STREAM {name} (symbol VARCHAR, price DECIMAL(18,2)) WITH ('connector' = 'kafka', 'topic' =
             'header-{name}', 'bootstrap.servers' = '{brokers}', 'auto.offset.reset' = 'earliest', 'topic.create' = '1',
             'scan.end' = 'latest');"
        )
    };
    let names = ["trades", "kept", "written", "totals", "keyed"];
    let mut sql: String = names.iter().map(|name| declare(name)).collect();
    sql.push_str(
        "INSERT INTO kept SELECT symbol, price FROM trades;
         INSERT INTO written (price, symbol)
             SELECT SET_HEADER('origin', symbol), price, REMOVE_HEADER('trace'), SET_HEADER('n', price * 2) AS symbol
             FROM trades WHERE HAS_HEADER('trace') OR price = 2;
         INSERT INTO totals SELECT SET_HEADER('count', COUNT(*)), symbol, SUM(price) FROM trades
             GROUP BY 2 EMIT FINAL;",
    );
    sql.push_str(&format!(
        "CREATE STREAM marked WITH ('connector' = 'kafka', 'topic' = 'header-keyed', 'topic.create' = '1', 'bootstrap.servers' = '{brokers}')
             AS SELECT SET_HEADER('k', NULL), symbol PRIMARY KEY FROM trades WHERE price > 10;"
    ));
    velo(&sql);
    let seen = |name: &str| shown(server.consume(&format!("header-{name}")));
    assert_eq!(
        seen("kept"),
        [
            r#"- {\"symbol\":\"A\",\"price\":10.50} [trace=t-1 origin=x raw=\xff\x00 origin=y]"#,
            r#"- {\"symbol\":\"B\",\"price\":2.00} []"#,
            r#"- {\"symbol\":\"B\",\"price\":3.00} []"#,
        ]
    );
    assert_eq!(
        seen("written"),
        [
            r#"- {\"symbol\":\"21.00\",\"price\":10.50} [raw=\xff\x00 origin=A n=21.00]"#,
            r#"- {\"symbol\":\"4.00\",\"price\":2.00} [origin=B n=4.00]"#,
        ]
    );
    assert_eq!(
        seen("totals"),
        [
            r#"- {\"symbol\":\"A\",\"price\":10.50} [count=1]"#,
            r#"- {\"symbol\":\"B\",\"price\":5.00} [count=2]"#,
        ]
    );
    assert_eq!(seen("keyed"), [r#"A {\"symbol\":\"A\"} [trace=t-1 origin=x raw=\xff\x00 origin=y k=-]"#]);
}

#[test]
fn a_bad_message_fails_the_job_with_its_offset_or_is_kept() {
    let Some(server) = KafkaServer::shared() else { return };
    let topic = "application-poison";
    server.create_topic(topic, 1);
    let poison =
        Record { key: Some(b"k1".to_vec()), value: Some(b"{\"symbol\":".to_vec()), ..Record::default() };
    server.produce(topic, [trade("A", "1", 1), poison, trade("B", "2", 2)]);
    let place = tempfile::TempDir::new().unwrap();
    let velo = |sql: &str| {
        Command::new(env!("CARGO_BIN_EXE_velo"))
            .args(["run", "-e", sql, "--output", "csv"])
            .current_dir(place.path())
            .output()
            .unwrap()
    };
    let run = |policy: &str| {
        velo(&format!(
            "CREATE STREAM t (symbol VARCHAR, price DECIMAL(18,2)) WITH ('connector' = 'kafka', 'topic' = '{topic}',
                 'bootstrap.servers' = '{}', 'auto.offset.reset' = 'earliest', 'scan.end' = 'latest'{policy});
             SELECT symbol FROM t",
            server.bootstrap()
        ))
    };
    let failed = run("");
    let errors = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(3), "{errors}");
    assert!(errors.contains("`t` application-poison/0 offset 1:"), "{errors}");
    for policy in [", 'on.error' = 'skip'", ", 'on.error' = 'dead_letter'"] {
        assert_eq!(String::from_utf8(run(policy).stdout).unwrap(), "symbol\nA\nB\n");
    }
    let kept = velo("SELECT topic, partition, offset, line, key, category, record FROM velo_errors");
    assert_eq!(
        String::from_utf8(kept.stdout).unwrap(),
        "topic,partition,offset,line,key,category,record\n\
         application-poison,0,1,,k1,decode,\"{\"\"symbol\"\":\"\n"
    );
    server.create_topic("application-dead", 1);
    let sent = velo(&format!(
        "CREATE STREAM dlq (record VARCHAR, key VARCHAR) WITH ('connector' = 'kafka', \
             'topic' = 'application-dead', 'bootstrap.servers' = '{}');
         INSERT INTO dlq SELECT record, key FROM velo_errors",
        server.bootstrap()
    ));
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let dead = server.consume("application-dead");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].value.as_deref(), Some(br#"{"record":"{\"symbol\":","key":"k1"}"#.as_slice()));
}

/// The alerts of the predecessor's users, as they wrote them.
const PRICE_ALERTS: &str = "CREATE STREAM simple_price_alerts AS
SELECT symbol, price, event_time,
    LAG(price, 1) OVER (PARTITION BY symbol ORDER BY event_time) AS prev_price,
    LEAD(price, 1) OVER (PARTITION BY symbol ORDER BY event_time) AS next_price,
    (price - LAG(price, 1) OVER (PARTITION BY symbol ORDER BY event_time)) /
      NULLIF(LAG(price, 1) OVER (PARTITION BY symbol ORDER BY event_time), 0) * 100 AS price_change_pct,
    RANK() OVER (PARTITION BY symbol ORDER BY price DESC) AS price_rank,
    STDDEV(price) OVER (PARTITION BY symbol ORDER BY event_time
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS price_volatility,
    NTILE(4) OVER (PARTITION BY symbol ORDER BY price) AS price_quartile,
    CUME_DIST() OVER (PARTITION BY symbol ORDER BY price) AS cumulative_dist,
    CASE WHEN ABS(price_change_pct) > 5 THEN 'SIGNIFICANT'
         WHEN ABS(price_change_pct) > 2 THEN 'MODERATE' ELSE 'NORMAL' END AS movement_severity,
    NOW() AS detection_time
FROM market_data_with_event_time
WINDOW TUMBLING(1m)
HAVING COUNT(*) > 3 AND STDDEV(price) > 1
INTO price_alerts_sink
WITH ('price_alerts_sink.type' = 'kafka_sink', 'price_alerts_sink.config_file' = 'configs/price_alerts_sink.yaml');
";

#[test]
fn price_alerts_of_whole_windows_run_as_the_predecessor_wrote_them() {
    let Some(server) = KafkaServer::shared() else { return };
    let topic = "application-price-alerts";
    server.create_topic(topic, 1);
    let place = tempfile::TempDir::new().unwrap();
    let file = |name: &str| place.path().join(name);
    std::fs::create_dir(file("configs")).unwrap();
    let sink = format!("bootstrap.servers: {}\ntopic: {topic}\nformat: json\n", server.bootstrap());
    std::fs::write(file("configs/price_alerts_sink.yaml"), sink).unwrap();
    // The second minute has too few rows, in the third prices stand still.
    let rows = "symbol,price,event_time\nA,100.0,2026-01-01T00:00:01\nB,50.0,2026-01-01T00:00:02\n\
                A,103.0,2026-01-01T00:00:03\nA,97.0,2026-01-01T00:00:04\nB,51.0,2026-01-01T00:00:05\n\
                A,10.0,2026-01-01T00:01:01\nA,90.0,2026-01-01T00:01:02\n\
                A,10.0,2026-01-01T00:02:01\nA,10.0,2026-01-01T00:02:02\nB,10.0,2026-01-01T00:02:03\nB,10.0,2026-01-01T00:02:04\n";
    std::fs::write(file("market.csv"), rows).unwrap();
    let source =
        "CREATE STREAM market_data_with_event_time (symbol VARCHAR, price DOUBLE, event_time TIMESTAMP(3),
             WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND)
         WITH ('connector' = 'file', 'path' = 'market.csv');";
    std::fs::write(file("alerts.sql"), format!("{source}\n{PRICE_ALERTS}")).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_velo"))
        .args(["run", "alerts.sql"])
        .current_dir(place.path())
        .output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut alerts: Vec<serde_json::Value> = server
        .consume(topic)
        .into_iter()
        .map(|record| serde_json::from_slice(&record.value.unwrap()).unwrap())
        .collect();
    alerts.sort_by_key(|alert| alert["event_time"].as_str().map(str::to_owned));
    let text = |alert: &serde_json::Value, key: &str| match &alert[key] {
        serde_json::Value::Number(number) => format!("{:.3}", number.as_f64().unwrap()),
        serde_json::Value::Null => "-".to_owned(),
        other => other.as_str().unwrap().to_owned(),
    };
    let columns = [
        "symbol",
        "price",
        "prev_price",
        "next_price",
        "price_change_pct",
        "price_rank",
        "price_volatility",
        "price_quartile",
        "cumulative_dist",
        "movement_severity",
    ];
    let line = |alert: &serde_json::Value| columns.map(|column| text(alert, column)).join(" ");
    let lines: Vec<String> = alerts.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "A 100.000 - 103.000 - 2.000 - 2.000 0.667 NORMAL",
            "B 50.000 - 51.000 - 2.000 - 1.000 0.500 NORMAL",
            "A 103.000 100.000 97.000 3.000 1.000 2.121 3.000 1.000 MODERATE",
            "A 97.000 103.000 - -5.825 3.000 3.000 1.000 0.333 SIGNIFICANT",
            "B 51.000 50.000 - 2.000 1.000 0.707 2.000 1.000 NORMAL",
        ]
    );
    assert!(alerts.iter().all(|alert| alert["detection_time"].is_string()));
}
