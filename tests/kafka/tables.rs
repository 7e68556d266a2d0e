//! Tables over topics: from the oldest record to where the topic ended at the start, with deletes by key.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::server::{KafkaServer, Record};

fn record(key: &str, value: Option<&str>) -> Record {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Record { key: Some(bytes(key)), value: value.map(bytes), ..Record::default() }
}

/// Runs an application that ends by itself.
fn velo(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_velo")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_table_is_read_from_the_oldest_record_and_null_values_delete() {
    let Some(server) = KafkaServer::shared() else { return };
    let topic = "tables-users";
    server.create_topic(topic, 3);
    server.produce(
        topic,
        [
            record("1", Some(r#"{"id":1,"name":"ann","age":30}"#)),
            record("2", Some(r#"{"id":2,"name":"bob","age":40}"#)),
            record("3", Some(r#"{"id":3,"name":"cid","age":50}"#)),
            record("2", None),
            record("1", Some(r#"{"id":1,"name":"anna","age":31}"#)),
            record("4", None),
            record("3", None),
            record("3", Some(r#"{"id":3,"name":"cyd","age":51}"#)),
        ],
    );
    let brokers = server.bootstrap();
    // The topic has no end: what it held at the start is what a query waits for.
    let sql = |more: &str| {
        format!(
            "CREATE TABLE users (id BIGINT PRIMARY KEY, name VARCHAR NOT NULL, age INT)
             WITH ('connector' = 'kafka', 'topic' = '{topic}', 'bootstrap.servers' = '{brokers}'{more});
             SELECT * FROM users ORDER BY id;"
        )
    };
    let (code, rows, said) = velo(&["run", "-e", &sql("")]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(rows, "{\"id\":1,\"name\":\"anna\",\"age\":31}\n{\"id\":3,\"name\":\"cyd\",\"age\":51}\n");
    assert!(said.contains("8 rows read") && said.contains("0 rejected"), "{said}");
    let (code, rows, said) = velo(&["run", "-e", &sql(", 'auto.offset.reset' = 'latest'")]);
    assert_eq!((code, rows.as_str()), (Some(0), ""), "{said}");
    // A table that a query makes of the topic begins with its oldest record, too.
    let sql = format!(
        "CREATE STREAM changes (id BIGINT, name VARCHAR, age INT)
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'bootstrap.servers' = '{brokers}', 'on.error' = 'skip');
         CREATE TABLE ages AS SELECT id, max(age) AS age FROM changes GROUP BY id;
         SELECT * FROM ages ORDER BY id;"
    );
    let (code, rows, said) = velo(&["run", "-e", &sql]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(rows, "{\"id\":1,\"age\":31}\n{\"id\":2,\"age\":40}\n{\"id\":3,\"age\":51}\n");
}

#[test]
fn keys_of_several_columns_and_keys_that_cannot_be_read() {
    let Some(server) = KafkaServer::shared() else { return };
    let topic = "tables-limits";
    server.create_topic(topic, 1);
    server.produce(
        topic,
        [
            record("1|a", Some(r#"{"account":1,"symbol":"a","most":10}"#)),
            record("1|b", Some(r#"{"account":1,"symbol":"b","most":20}"#)),
            record("2|a", Some(r#"{"account":2,"symbol":"a","most":30}"#)),
            record("1|b", None),
            record(r#"{"symbol":"a","account":2}"#, None),
            record("x|a", None),
            Record::default(),
        ],
    );
    let brokers = server.bootstrap();
    let sql = |on_error: &str| {
        format!(
            "CREATE TABLE limits (account BIGINT, symbol VARCHAR, most BIGINT, PRIMARY KEY (account, symbol))
             WITH ('connector' = 'kafka', 'topic' = '{topic}', 'bootstrap.servers' = '{brokers}', 'on.error' = '{on_error}');
             SELECT * FROM limits;"
        )
    };
    let (code, rows, said) = velo(&["run", "-e", &sql("skip")]);
    assert_eq!((code, rows.as_str()), (Some(0), "{\"account\":1,\"symbol\":\"a\",\"most\":10}\n"), "{said}");
    assert!(said.contains("7 rows read") && said.contains("2 rejected"), "{said}");
    assert!(said.contains("its key `x|a` is not a key of account, symbol"), "{said}");
    assert!(said.contains("neither a value nor a key"), "{said}");
    let (code, _, said) = velo(&["run", "-e", &sql("fail")]);
    assert_eq!(code, Some(3), "{said}");
}

#[test]
fn a_stream_waits_for_its_table_and_sees_what_comes_later() {
    let Some(server) = KafkaServer::shared() else { return };
    let (users, clicks) = ("tables-late-users", "tables-late-clicks");
    server.create_topic(users, 1);
    server.create_topic(clicks, 1);
    let user = |tier: &str| record("1", Some(&format!(r#"{{"id":1,"tier":"{tier}"}}"#)));
    let click = |at: i64| record("1", Some(&format!(r#"{{"id":1,"at":{at}}}"#)));
    server.produce(users, [user("bronze"), user("silver")]);
    server.produce(clicks, [click(1)]);
    let brokers = server.bootstrap();
    let sql = format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, tier VARCHAR)
         WITH ('connector' = 'kafka', 'topic' = '{users}', 'bootstrap.servers' = '{brokers}');
         CREATE STREAM clicks (id BIGINT, at BIGINT)
         WITH ('connector' = 'kafka', 'topic' = '{clicks}', 'bootstrap.servers' = '{brokers}', 'auto.offset.reset' = 'earliest');
         SELECT c.at, u.tier FROM clicks c JOIN users u ON u.id = c.id;"
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_velo"))
        .args(["run", "-q", "-e", &sql])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut next = || {
        line.clear();
        rows.read_line(&mut line).unwrap();
        line.clone()
    };
    assert_eq!(next(), "{\"at\":1,\"tier\":\"silver\"}\n");
    // The table follows its topic; clicks are made until one has seen the change.
    server.produce(users, [user("gold")]);
    let seen = (2..200).any(|at| {
        server.produce(clicks, [click(at)]);
        next().contains("gold")
    });
    child.kill().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(seen, "{said}");
}

#[test]
fn a_topic_that_is_not_there_yet_is_waited_for() {
    let Some(server) = KafkaServer::shared() else { return };
    let topic = "tables-awaited";
    let brokers = server.bootstrap();
    let sql = |wait: &str| {
        format!(
            "CREATE STREAM awaited (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}',
               'bootstrap.servers' = '{brokers}', 'auto.offset.reset' = 'earliest'{wait});
             SELECT id FROM awaited LIMIT 1;"
        )
    };
    let (code, _, said) = velo(&["run", "-e", &sql("")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no Kafka topic `tables-awaited`"), "{said}");
    let wait =
        ", 'topic.wait.timeout' = '2m', 'topic.retry.interval' = '100ms', 'circuit.cooldown' = '200ms'";
    let mut child = Command::new(env!("CARGO_BIN_EXE_velo"))
        .args(["run", "--progress", "-e", &sql(wait)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("there is no Kafka topic `tables-awaited`") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "nothing was said of what is waited for");
    }
    server.create_topic(topic, 2);
    server.produce(topic, [record("7", Some(r#"{"id":7}"#))]);
    let mut rows = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rows).unwrap();
    assert_eq!((child.wait().unwrap().code(), rows.as_str()), (Some(0), "{\"id\":7}\n"));
}
