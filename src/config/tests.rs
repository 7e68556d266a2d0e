//! Secrets stay hidden; quantities, variables and types are read in every spelling, and faults are named.

use std::collections::HashMap;
use std::time::Duration;

use arrow::datatypes::{DataType, TimeUnit};

use super::{
    Entry, Environment, FieldText, Origin, duration_text, environment_entries, is_secret, parse_bool,
    parse_bytes, parse_data_type, parse_duration, parse_fields, shown_value, substitute,
};

#[test]
fn secrets_are_known_by_their_keys() {
    for key in [
        "sasl.password",
        "kafka.sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "client.secret",
        "aws_secret_access_key",
        "api-key",
        "ssl.key.pem",
        "auth.token",
        "sasl.oauthbearer.config",
    ] {
        assert!(is_secret(key), "{key}");
    }
    for key in
        ["key.field", "key.serializer", "primary.key", "schema.key.field", "message.key.field", "topic"]
    {
        assert!(!is_secret(key), "{key}");
    }
}

#[test]
fn printing_an_entry_hides_the_secret_even_under_its_new_name() {
    let entry = Entry::new("sasl.password", "hunter2", Origin::With(0..4));
    assert_eq!(format!("{entry:?}"), "sasl.password = *** (WITH)");
    let renamed = entry.renamed("plain", "hunter2");
    assert_eq!(format!("{renamed:?} {renamed}"), "sasl.password = *** (WITH) sasl.password = ***");
    assert_eq!(shown_value("schema.registry.url", "https://u:p@host/x@y"), "https://***@host/x@y");
    assert_eq!(shown_value("url", "https://host/x@y"), "https://host/x@y");
}

#[test]
fn durations_in_every_spelling() {
    for (text, millis) in [
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("1w", 604_800_000),
        ("2.5s", 2_500),
        ("10 seconds", 10_000),
        ("1 minute 30 seconds", 90_000),
        ("1m30s", 90_000),
        ("1 HOUR", 3_600_000),
        ("250", 250),
        (" 0 ", 0),
        ("7 days", 604_800_000),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    assert_eq!(parse_duration("1us"), Some(Duration::from_micros(1)));
    for text in ["", "s", "2 parsecs", "-1s", "1.5", "1s 2", "1.2.3s", "99999999999999999999d", "5s;"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn sizes_in_every_spelling() {
    for (text, bytes) in [
        ("4096", 4_096),
        ("64KB", 64_000),
        ("64KiB", 65_536),
        ("64k", 65_536),
        ("1 GB", 1_000_000_000),
        ("1.5 MiB", 1_572_864),
        ("16 bytes", 16),
        ("1_000", 1_000),
    ] {
        assert_eq!(parse_bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "KB", "-1", "1 XB", "64 K B", "99999999999999 TB"] {
        assert_eq!(parse_bytes(text), None, "{text}");
    }
}

#[test]
fn yes_and_no() {
    for (text, value) in
        [("true", true), ("YES", true), ("1", true), ("on", true), ("off", false), ("0", false)]
    {
        assert_eq!(parse_bool(text), Some(value), "{text}");
    }
    assert_eq!(parse_bool("ja"), None);
}

#[test]
fn a_written_duration_reads_back() {
    for (text, nanos) in [
        ("0s", 0),
        ("2ms", 2_000_000),
        ("90s", 90_000_000_000),
        ("1d", 86_400_000_000_000),
        ("1500ns", 1_500),
    ] {
        let duration = Duration::from_nanos(nanos);
        assert_eq!(duration_text(duration), text);
        assert_eq!(parse_duration(text), Some(duration));
    }
}

/// Variables of a test.
pub(in crate::config) struct Fixed(HashMap<&'static str, &'static str>);

impl Fixed {
    pub(in crate::config) fn new<const N: usize>(pairs: [(&'static str, &'static str); N]) -> Self {
        Self(HashMap::from(pairs))
    }
}

impl Environment for Fixed {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }
}

#[test]
fn variables_are_replaced() {
    let env = Fixed::new([("HOST", "db"), ("EMPTY", "")]);
    for (text, expected) in [
        ("plain $HOST {x}", "plain $HOST {x}"),
        ("${HOST}:${PORT:-5432}/x", "db:5432/x"),
        ("${EMPTY}|${EMPTY:-full}", "|full"),
        ("${HOST:?needed}", "db"),
        ("${PORT:-}", ""),
    ] {
        assert_eq!(substitute(text, &env).unwrap(), expected, "{text}");
    }
}

#[test]
fn faults_in_variables_are_named() {
    let env = Fixed::new([]);
    for (text, expected) in [
        (
            "${PORT}",
            "environment variable `PORT` is not set\nHint: set it, or give a default: `${PORT:-default}`",
        ),
        ("${PORT:?where is it}", "environment variable `PORT` is not set: where is it"),
        (
            "${PORT:80}",
            "`${PORT:80}` is not a form that is read here\nHint: for a default write `${PORT:-80}`",
        ),
        ("${PORT", "`${` is never closed\nHint: write `${NAME}`"),
        (
            "${1x}",
            "`${1x}` does not name a variable\nHint: a name is letters, digits and `_`: `${NAME}`, `${NAME:-default}`",
        ),
    ] {
        assert_eq!(substitute(text, &env).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_brokers_may_come_from_the_environment() {
    let env = Fixed::new([("VELOSTREAM_KAFKA_BROKERS", "k:9092")]);
    let entries = environment_entries("kafka", &env);
    assert_eq!(
        format!("{entries:?}"),
        "[bootstrap.servers = k:9092 (environment variable `VELOSTREAM_KAFKA_BROKERS`)]"
    );
    assert!(environment_entries("file", &env).is_empty());
}

#[test]
fn types_in_every_spelling() {
    let timestamp = |unit| DataType::Timestamp(unit, None);
    let list = |item| DataType::new_list(item, true);
    for (text, expected) in [
        ("BIGINT", DataType::Int64),
        ("long", DataType::Int64),
        ("INT", DataType::Int32),
        ("Integer", DataType::Int32),
        ("FLOAT", DataType::Float32),
        ("REAL", DataType::Float32),
        ("DOUBLE PRECISION", DataType::Float64),
        ("string", DataType::Utf8),
        ("VARCHAR(3000)", DataType::Utf8),
        ("character varying(3)", DataType::Utf8),
        ("BOOL", DataType::Boolean),
        ("DATE", DataType::Date32),
        ("TIME", DataType::Time64(TimeUnit::Microsecond)),
        ("BYTEA", DataType::Binary),
        ("DECIMAL", DataType::Decimal128(38, 10)),
        ("DECIMAL(18,4)", DataType::Decimal128(18, 4)),
        ("numeric ( 12 )", DataType::Decimal128(12, 0)),
        ("TIMESTAMP", timestamp(TimeUnit::Microsecond)),
        ("TIMESTAMP(0)", timestamp(TimeUnit::Second)),
        ("timestamp(3)", timestamp(TimeUnit::Millisecond)),
        ("TIMESTAMP(5) WITHOUT TIME ZONE", timestamp(TimeUnit::Microsecond)),
        ("TIMESTAMP(9)", timestamp(TimeUnit::Nanosecond)),
        ("TIMESTAMP(3) WITH TIME ZONE", DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()))),
        ("array<bigint>", list(DataType::Int64)),
        ("ARRAY(ARRAY(STRING))", list(list(DataType::Utf8))),
        ("INT[]", list(DataType::Int32)),
    ] {
        assert_eq!(parse_data_type(text).unwrap(), expected, "{text}");
    }
    let map = parse_data_type("MAP<VARCHAR, STRUCT<a INT, b: DECIMAL(4,2)>>").unwrap();
    let DataType::Map(entries, false) = map else { panic!("{map}") };
    let DataType::Struct(entries) = entries.data_type() else { panic!("{entries}") };
    let DataType::Struct(value) = entries[1].data_type() else { panic!("{entries:?}") };
    assert_eq!(value[1].data_type(), &DataType::Decimal128(4, 2));
}

#[test]
fn what_is_no_type_is_named() {
    for text in ["", "bigintt", "DECIMAL(", "INT)", "TIMESTAMP(12)", "array<int", "map<int>", "DECIMAL(a)"] {
        let error = parse_data_type(text).unwrap_err();
        assert_eq!(error.message(), format!("`{text}` is not a type"));
    }
    assert_eq!(
        parse_data_type("DECIMAL(4,5)").unwrap_err().message(),
        "`DECIMAL(4,5)` is not a DECIMAL that exists"
    );
    assert_eq!(
        parse_data_type(&"array<".repeat(10_000)).unwrap_err().message(),
        "type is nested more than 32 deep"
    );
    let field = |name: &str, data_type: &str| FieldText {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable: None,
    };
    assert_eq!(
        parse_fields(&[field("a", "INT"), field("b", "nope")]).unwrap_err().message(),
        "column `b`: `nope` is not a type"
    );
    assert_eq!(
        parse_fields(&[field("a", "INT"), field("a", "INT")]).unwrap_err().message(),
        "column `a` is described twice"
    );
}
