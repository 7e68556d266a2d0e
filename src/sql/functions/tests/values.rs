//! JSON, text, headers, aggregates, and the examples of `SHOW FUNCTIONS`.

use super::fixture::{Fixture, stream};
use crate::error::ErrorKind;
use crate::sql::functions::catalog::read_examples;
use crate::sql::functions::{SessionProfile, function_catalog};

#[test]
fn json_is_read_by_path_and_by_operator() {
    let fixture = stream();
    for (expression, expected) in [
        ("JSON_VALUE(j, '$.a.b[0]')", "x"),
        ("JSON_VALUE(j, 'a.b[1]')", "2"),
        ("JSON_VALUE(j, '$[''a b'']')", "true"),
        ("JSON_VALUE(j, '$.\"a b\"')", "true"),
        ("JSON_VALUE(j, 'a b')", "true"),
        ("JSON_VALUE(j, '$.n')", "1.50"),
        ("JSON_VALUE(j, '$.e')", "q\"u"),
        ("JSON_VALUE(j, '$.a')", "NULL"),
        ("JSON_VALUE(j, '$.z')", "NULL"),
        ("JSON_VALUE(j, '$.a.b[9]')", "NULL"),
        ("JSON_QUERY(j, '$.a')", r#"{"b": ["x", 2, null]}"#),
        ("JSON_QUERY(j, '$.n')", "NULL"),
        ("JSON_EXTRACT(j, '$.a.b')", r#"["x", 2, null]"#),
        ("JSON_EXTRACT(j, '$.e')", "q\"u"),
        ("JSON_EXISTS(j, '$.z')", "true"),
        ("JSON_EXISTS(j, '$.y')", "false"),
        ("arrow_cast(j, 'Utf8View') -> 'a' ->> 'b'", r#"["x", 2, null]"#),
        ("j -> 'a' -> 'b' -> 0", "\"x\""),
        ("j -> 'a' -> 'b' ->> 0", "x"),
        ("j -> 'z'", "null"),
        ("j ->> 'z'", "NULL"),
        ("j -> 'y'", "NULL"),
        ("j -> 'a' -> 'b' -> i", "2"),
        ("(j ->> 'n') = '1.50'", "true"),
        ("CAST(j ->> 'n' AS DOUBLE) > 1", "true"),
    ] {
        fixture.check(&format!("SELECT {expression} FROM t"), &[expected, "NULL", "NULL"]);
    }
    fixture.check("SELECT JSON_VALUE(j, CASE WHEN i = 1 THEN '$.n' END) FROM t", &["1.50", "NULL", "NULL"]);
    fixture.check("SELECT j -> 'a', JSON_EXISTS(j, '$') FROM empty", &[]);
    fixture.refuses("SELECT JSON_VALUE(j, '$.a[') FROM t", ErrorKind::Invalid, "'$.a[' is not a JSON path");
    fixture.refuses("SELECT i -> 'a' FROM t", ErrorKind::Invalid, "its left side is Int64");
}

#[test]
fn delta_is_newest_minus_oldest() {
    let fixture = stream();
    fixture.check("SELECT DELTA(i ORDER BY ts), DELTA(m ORDER BY ts DESC) FROM t", &["-1 1.0000"]);
    fixture.check("SELECT DELTA(i ORDER BY ts) AS change FROM t HAVING DELTA(i ORDER BY ts) < 0", &["-1"]);
    fixture
        .check("SELECT DELTA(m) OVER (ORDER BY ts DESC NULLS FIRST) FROM t", &["NULL", "0.0000", "1.0000"]);
    fixture.check("SELECT DELTA(d ORDER BY ts) FROM empty", &["NULL"]);
}

#[test]
fn percentile_disc_takes_a_value_that_occurs() {
    let fixture = stream();
    for (expression, expected) in [
        ("PERCENTILE_DISC(i, 0.5)", "1"),
        ("PERCENTILE_DISC(i, 0.51)", "2"),
        ("PERCENTILE_DISC(0) WITHIN GROUP (ORDER BY m DESC)", "3.5000"),
        ("PERCENTILE_DISC(1.0) WITHIN GROUP (ORDER BY s)", "b"),
        ("PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY ts)", "1969-12-31T23:59:59.500"),
        ("MEDIAN(i)", "1.5"),
    ] {
        fixture.check(&format!("SELECT {expression} FROM t"), &[expected]);
        fixture.check(&format!("SELECT {expression} FROM empty"), &["NULL"]);
    }
    fixture.refuses("SELECT PERCENTILE_DISC(i, 1.5) FROM t", ErrorKind::Invalid, "1.5 is not from 0 to 1");
}

#[test]
fn position_counts_characters() {
    let fixture = stream();
    for (expression, expected) in [
        ("POSITION('b', 'äb')", "2"),
        ("POSITION('b' IN 'äb')", "2"),
        ("POSITION('b', 'äbb', 3)", "3"),
        ("POSITION('b', 'äb', 9)", "0"),
        ("POSITION('', 'ab', 3)", "3"),
        ("POSITION(s, 'ab') FROM t WHERE i = 2", "2"),
        ("POSITION(NULL, 'ab')", "NULL"),
    ] {
        fixture.check(&format!("SELECT {expression}"), &[expected]);
    }
}

#[test]
fn headers_are_read_from_the_map() {
    let fixture = stream();
    let keys = "'trace'";
    fixture.check(
        &format!("SELECT velo_header(h, {keys}), velo_has_header(h, {keys}) FROM t"),
        &["1 true", "NULL false", "NULL false"],
    );
    fixture.check(
        "SELECT velo_has_header(h, 'empty'), velo_header(h, 'empty') FROM t WHERE i = 1",
        &["true NULL"],
    );
    fixture.check("SELECT velo_header_keys(h) FROM t", &["trace,empty", "", "NULL"]);
    fixture.check(
        "SELECT velo_header_keys(velo_set_header(velo_remove_header(h, 'empty'), 'trace', s)) FROM t",
        &["trace", "trace", "trace"],
    );
    let no_name = "SELECT velo_remove_header(velo_no_headers(), s) FROM t";
    fixture.refuses(no_name, ErrorKind::Data, "the name of a header is NULL");
}

#[test]
fn every_example_of_the_catalog_holds() {
    let fixture = Fixture::new(SessionProfile::Batch { parallelism: std::num::NonZeroUsize::MIN });
    let catalog = function_catalog(&fixture.context.state()).unwrap();
    let rewritten = read_examples(include_str!("../../../../tests/slt/functions/rewritten.slt"));
    let mut wrong = vec![];
    for entry in &catalog {
        assert!(!entry.help.is_empty() && !entry.help.contains('\n'), "{}: {}", entry.name, entry.help);
        if rewritten.iter().any(|example| example.name == entry.name) {
            continue;
        }
        let rows =
            fixture.rows(&entry.example).map(|rows| rows.join("\n")).unwrap_or_else(|error| error.report());
        if rows != entry.result {
            wrong.push(format!("{}: {}\n  {rows}\n  {}", entry.name, entry.example, entry.result));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
