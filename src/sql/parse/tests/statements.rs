//! Every statement of the language parses or is named.

use super::{one, parse_application};
use crate::sql::{InsertSource, RelationKind, ShowKind, Statement};

#[test]
fn declarations_carry_columns_watermark_and_key() {
    let Statement::Declare(found) = one(
        "CREATE STREAM IF NOT EXISTS Trades (trade_id BIGINT NOT NULL, symbol VARCHAR, price DECIMAL(18,4), tags ARRAY(VARCHAR),
           attrs MAP(VARCHAR, ARRAY<BIGINT>), who ROW(name VARCHAR, age INT), ts TIMESTAMP(3), w DOUBLE PRECISION,
           WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, PRIMARY KEY (trade_id, symbol) NOT ENFORCED)
         WITH ('connector' = 'kafka', 'topic' = 'trades')",
    ) else {
        panic!()
    };
    assert_eq!(
        (found.kind, found.name.value.as_str(), found.if_not_exists),
        (RelationKind::Stream, "trades", true)
    );
    let columns = found.columns.unwrap();
    let types: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    assert_eq!(
        types,
        [
            "trade_id BIGINT",
            "symbol VARCHAR",
            "price DECIMAL(18,4)",
            "tags ARRAY<VARCHAR>",
            "attrs Map(VARCHAR, ARRAY<BIGINT>)",
            "who STRUCT<name VARCHAR, age INT>",
            "ts TIMESTAMP(3)",
            "w DOUBLE PRECISION"
        ]
    );
    assert!(columns[0].not_null && !columns[1].not_null);
    assert_eq!(found.watermark.map(|w| (w.column, w.delay_ms)), Some(("ts".to_owned(), 5_000)));
    assert_eq!(found.primary_key, ["trade_id", "symbol"]);
    assert_eq!(found.options[1].value, "trades");

    let Statement::Declare(found) = one(
        "CREATE TABLE users (user_id BIGINT PRIMARY KEY, WATERMARK FOR user_id AS user_id) WITH (connector = file)",
    ) else {
        panic!()
    };
    assert_eq!((found.primary_key, found.watermark.unwrap().delay_ms), (vec!["user_id".to_owned()], 0));
    let Statement::Declare(found) = one("CREATE STREAM s WITH ('connector' = 'file')") else { panic!() };
    assert!(found.columns.is_none());
}

#[test]
fn every_statement_of_the_language_parses_or_is_named() {
    for (text, expected) in [
        ("CREATE STREAM x AS SELECT a FROM t", "CreateAs"),
        ("CREATE OR REPLACE TABLE x (a, b) WITH ('connector' = 'file') AS SELECT a, b FROM t", "CreateAs"),
        ("CREATE STREAM x AS SELECT a FROM t EMIT CHANGES WITH ('a' = 'b')", "CreateAs"),
        ("CREATE STREAM x AS SELECT a FROM t INTO alerts WITH ('a' = 'b')", "CreateAs"),
        ("INSERT INTO alerts SELECT a FROM t", "Insert"),
        ("INSERT INTO alerts (a, b) SELECT a, b FROM t WITH ('k' = 'v')", "Insert"),
        ("INSERT INTO users VALUES (1, 'a'), (2, IF(true, 'b', 'c'))", "Insert"),
        ("CREATE OR REPLACE VIEW v AS SELECT a FROM t", "CreateView"),
        ("EXPLAIN ANALYZE SELECT 1", "Explain"),
        ("EXPLAIN CREATE STREAM x AS SELECT a FROM t", "Explain"),
        ("LIST STREAMS LIKE 'p%'", "Show"),
        ("SHOW TABLES", "Show"),
        ("SHOW JOBS", "Show"),
        ("SHOW FUNCTIONS", "Show"),
        ("SHOW CONNECTORS", "Show"),
        ("SHOW CREATE STREAM s", "Show"),
        ("SHOW PARTITIONS s", "Show"),
        ("DESCRIBE EXTENDED x", "Describe"),
        ("DESCRIBE TABLE x", "Describe"),
        ("DESCRIBE extended", "Describe"),
        ("DROP STREAM IF EXISTS x CASCADE", "Drop"),
        ("DROP JOB x", "Drop"),
        ("SET 'key' = 'value'", "Set"),
        ("UPDATE users SET a = 1", "Update"),
        ("DELETE FROM users WHERE a = 1", "Delete"),
        ("MERGE INTO t USING s ON a = b WHEN MATCHED THEN DELETE", "Merge"),
        ("UPSERT INTO users VALUES (1, 'a')", "Insert"),
        ("EXPLAIN ANALYZE JOB name", "NotYet EXPLAIN ANALYZE JOB"),
        ("SHOW TOPICS", "NotYet SHOW TOPICS"),
        ("SHOW TABLES WITH SCHEMAS", "NotYet SHOW TABLES WITH SCHEMAS"),
        ("SHOW JOB STATUS 'name'", "NotYet SHOW JOB STATUS"),
        ("SHOW TOPIC DETAILS 't'", "NotYet SHOW TOPIC DETAILS"),
        ("SHOW JOBS ON NODE 'n'", "NotYet SHOW JOBS ON NODE"),
        ("SHOW METRICS", "NotYet SHOW METRICS"),
        ("SHOW METRICS job", "NotYet SHOW METRICS"),
        ("SHOW VERSIONS j", "NotYet SHOW VERSIONS"),
        ("START JOB j AS SELECT a FROM t", "NotYet START JOB"),
        ("STOP JOB j FORCE", "NotYet STOP JOB"),
        ("PAUSE JOB j", "NotYet PAUSE JOB"),
        ("RESUME JOB j", "NotYet RESUME JOB"),
        ("DEPLOY JOB j VERSION '2' AS SELECT a FROM t STRATEGY CANARY(25)", "NotYet DEPLOY JOB"),
        ("ROLLBACK JOB j VERSION '1'", "NotYet ROLLBACK JOB"),
        ("ALTER STREAM s SET ('a' = 'b')", "NotYet ALTER STREAM"),
        ("REPLAY ERRORS FROM job WHERE a = 1", "NotYet REPLAY ERRORS"),
    ] {
        let found = one(text);
        let shown = match &found {
            Statement::NotYet { what } => format!("NotYet {what}"),
            other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }
    let Statement::Show { what: ShowKind::Streams, like } = one("SHOW STREAMS LIKE 'p%'") else { panic!() };
    assert_eq!(like.as_deref(), Some("p%"));
    let Statement::Insert { source: InsertSource::Values(rows), .. } =
        one("INSERT INTO t VALUES (1, -2.5), ($1, NULL)")
    else {
        panic!()
    };
    assert_eq!((rows.len(), rows[0][1].to_string().as_str()), (2, "-2.5"));
}

#[test]
fn the_predecessors_largest_query_parses() {
    let found = super::query(
        "CREATE STREAM simple_price_alerts AS
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
WITH ('price_alerts_sink.type' = 'kafka_sink',
      'price_alerts_sink.config_file' = 'configs/price_alerts_sink.yaml');",
    );
    assert_eq!(found.rows_window.unwrap().to_text(), "tumbling;size=60000;offset=0");
    assert_eq!(found.into.unwrap().value, "price_alerts_sink");
    assert_eq!(found.into_options.len(), 2);
    assert!(found.query.to_string().contains("CASE WHEN ABS(((price - LAG(price, 1)"));
}

#[test]
fn annotations_go_to_the_file_or_to_their_statement() {
    let text = "-- SQL Application: demo\n-- Version: 1.2\n-- @author: me\n-- @deployment.node_id: n1\n\n\
                -- Name: first\n-- @job_mode: simple\n-- @metric latency\nSELECT 1; -- a comment\n\
                /* @nmae: x\n * @velo:workload = trading */ SELECT -- @batch_size: 5\n 2;\n-- @name: lost\n";
    let app = parse_application(text);
    assert!(app.errors.is_empty());
    let pairs = |items: &[crate::sql::Annotation]| {
        items.iter().map(|a| format!("{}={}", a.name, a.value)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(pairs(&app.annotations), "app=demo version=1.2 author=me deployment.node_id=n1");
    assert_eq!(pairs(&app.statements[0].annotations), "name=first job_mode=simple metric=latency");
    assert_eq!(pairs(&app.statements[1].annotations), "nmae=x velo:workload=trading batch_size=5");
    let notices: Vec<_> =
        app.notices.iter().map(|n| (n.message.as_str(), text.get(n.span.clone()).unwrap())).collect();
    assert_eq!(
        notices,
        [
            ("unknown annotation `@nmae` has no effect; did you mean `@name`?", "@nmae: x"),
            ("annotation `@name` stands after the last statement and has no effect", "@name: lost"),
        ]
    );
}
