//! JSON records, good and bad.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};

use super::JsonDecoder;
use crate::format::{DecodeOptions, Decoded, Decoder, Layout};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(18, 4), true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn decode(bytes: &[u8]) -> Decoded {
    JsonDecoder::try_new(schema(), DecodeOptions::default()).unwrap().decode(bytes, Layout::Lines).unwrap()
}

/// Decodes `bad` between two good lines and returns its message.
fn rejection(bad: &[u8]) -> String {
    let good = b"{\"id\":1,\"name\":\"a\"}\n".as_slice();
    let bytes = [good, bad, b"\n", good].concat();
    let decoded = decode(&bytes);
    let shown = String::from_utf8_lossy(bad).chars().take(60).collect::<String>();
    assert_eq!(decoded.rows.num_rows(), 2, "{shown}");
    assert_eq!(decoded.rows.column(1).as_string::<i32>().value(1), "a", "{shown}");
    assert_eq!(decoded.lines, 3);
    let [rejected] = decoded.rejected.as_slice() else { panic!("{shown}: {:?}", decoded.rejected) };
    assert_eq!((rejected.record, rejected.line), (1, 1));
    assert_eq!(&bytes[rejected.bytes.clone()], bad, "{shown}");
    rejected.message.clone()
}

#[test]
fn bad_records_leave_their_neighbours_alone() {
    let deep = format!("{{\"id\":1,\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    for (bad, message) in [
        (r#"{"id":"abc"}"#, "field `id`: \"abc\" is not a BIGINT"),
        (r#"{"id":1.5}"#, "field `id`: 1.5 has a fraction and is not a BIGINT"),
        (r#"{"id":99999999999999999999}"#, "field `id`: 99999999999999999999 is out of range for BIGINT"),
        (r#"{"id":null}"#, "field `id`: NULL in a column declared NOT NULL"),
        (r#"{"name":"x"}"#, "field `id`: the field is missing"),
        (
            r#"{"id":1,"price":1.00001}"#,
            "field `price`: 1.00001 has more decimal places than DECIMAL(18, 4) keeps",
        ),
        (r#"{"id":1,"price":"abc"}"#, "field `price`: \"abc\" is not a DECIMAL(18, 4)"),
        (r#"{"id":1,"ts":true}"#, "field `ts`: true is not a TIMESTAMP(3)"),
        (r#"{"id":1,"ts":[1,2]}"#, "field `ts`: [1,2] is not a TIMESTAMP(3)"),
        (r#"{"id":1,"name":"\ud800"}"#, "field `name`: \"\\ud800\" has half of a surrogate pair"),
        (
            r#"{"id":1} {"id":2}"#,
            "a second record follows in the same line; every record needs a line of its own",
        ),
        (r#"{"id":1} x"#, "text follows the end of the record"),
        ("[1,2]", "the record is not a JSON object: [1,2]"),
        ("{\"id\":1", "invalid JSON: expected `,` or `}`, the line ends"),
        ("{\"id\":1,\"name\":\"abc", "field `name`: invalid JSON: a string is not closed"),
        ("{\"id\":1,\"x\":\"abc", "invalid JSON: a string is not closed"),
        (deep.as_str(), "objects and arrays are nested deeper than 128"),
    ] {
        assert_eq!(rejection(bad.as_bytes()), message);
    }
    assert_eq!(rejection(b"{\"id\":1,\"name\":\"\xFF\"}"), "the record is not UTF-8 text");
    assert_eq!(rejection(b"{\"id\":1,\"skipped\":\"\xFF\"}"), "the record is not UTF-8 text");
}

#[test]
fn what_is_skipped_is_checked_too() {
    for bad in [
        "{\"x\":01}",
        "{\"x\":1.}",
        "{\"x\":.5}",
        "{\"x\":1e}",
        "{\"x\":tru}",
        "{\"x\":nul}",
        "{\"x\":[1,]}",
        "{\"x\":[1 2]}",
        "{\"x\":{\"a\" 1}}",
        "{\"x\":{1:2}}",
        "{\"x\":{\"a\":1,}}",
        "{\"x\":[}",
        "{\"x\":[}]",
        "{\"x\":\"\\x\"}",
        "{\"x\":\"\\u12g4\"}",
        "{\"x\":\"a\tb\"}",
        "{\"x\"}",
        "{\"x\":}",
        "{,}",
        "{\"x\":1,}",
        "{\"x\":-}",
        "{\"x\":+1}",
        "{\"x\":NaN}",
        "}",
        "{",
        "\"",
        "{\"x\":[[[",
        "{\"x\":{\"a\":[1}}",
    ] {
        rejection(format!("{{\"id\":1,{}", bad.strip_prefix('{').unwrap_or(bad)).as_bytes());
        rejection(bad.as_bytes());
    }
}

#[test]
fn fields_are_found_by_name_in_any_order_and_case() {
    let decoded = decode(
        b"\xEF\xBB\xBF{\"id\":1,\"name\":\"a\"}\r\n\n  \n{ \"NAME\" : \"b\\u00e4\\n\" , \"id\" : \"2\" }\r\n\
          {\"Id\":9,\"id\":3,\"ID\":8,\"name\":\"x\",\"name\":\"c\",\"ts\":1}\n\
          {\"id\":1.0,\"name\":{\"a\": [1]},\"ts\":\"1970-01-01T00:00:01Z\"}\n{\"id\":1e3,\"na\\u006de\":12}",
    );
    assert_eq!(decoded.rejected, vec![]);
    assert_eq!(decoded.lines, 7);
    assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3, 1, 1_000]);
    let names: Vec<_> = decoded.rows.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(names, ["a", "b\u{e4}\n", "c", "{\"a\": [1]}", "12"]);
    let times = decoded.rows.column(3).as_primitive::<TimestampMillisecondType>();
    assert_eq!((times.is_null(0), times.value(2), times.value(3)), (true, 1, 1_000));
}

#[test]
fn strictness_and_empty_schemas() {
    let strict =
        DecodeOptions { missing_field_fails: true, unknown_field_fails: true, ..DecodeOptions::default() };
    let one = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let mut decoder = JsonDecoder::with_unused(one, &["name".to_owned()], strict).unwrap();
    let decoded = decoder
        .decode(b"{\"id\":1,\"name\":2}\n{\"id\":1}\n{\"id\":1,\"name\":1,\"nmae\":3}\n", Layout::Lines)
        .unwrap();
    let messages: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.message.as_str()).collect();
    assert_eq!(messages, ["field `name`: the field is missing", "field `nmae` is not declared"]);

    let options = DecodeOptions { starts: true, ..DecodeOptions::default() };
    let mut counter = JsonDecoder::try_new(Arc::new(Schema::empty()), options).unwrap();
    let decoded = counter.decode(b"{\"a\":1}\n{\"a\":}\n{}", Layout::Lines).unwrap();
    assert_eq!((decoded.rows.num_rows(), decoded.rejected.len()), (2, 1));
    assert_eq!(decoded.starts, [0, 15]);
    assert_eq!(counter.decode(b"", Layout::Lines).unwrap().rows.num_rows(), 0);

    // Messages may span lines; an empty one is a bad record.
    let decoded = counter.decode(b"{\n}{}", Layout::Ends(&[3, 3, 5])).unwrap();
    assert_eq!((decoded.rows.num_rows(), decoded.rejected[0].record, decoded.lines), (2, 1, 3));
    assert!(counter.decode(b"{}", Layout::Ends(&[9])).is_err());
}

#[test]
fn a_huge_record_is_one_row() {
    let bytes = format!("{{\"id\":1,\"name\":\"{}\"}}\n{{\"id\":2}}", "\u{e4}".repeat(5 << 20));
    let decoded = decode(bytes.as_bytes());
    assert_eq!(decoded.rows.num_rows(), 2);
    assert_eq!(decoded.rows.column(1).as_string::<i32>().value(0).len(), 10 << 20);
}
