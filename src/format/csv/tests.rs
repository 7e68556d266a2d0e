//! CSV records, good and bad.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::{CsvDecoder, CsvOptions, csv_header, csv_last_record_end};
use crate::format::{DecodeOptions, Decoded, Decoder, Layout};

fn decode(bytes: &[u8]) -> Decoded {
    let schema =
        Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
    let names = ["name", "other", "ID"].map(str::to_owned);
    CsvDecoder::try_new(Arc::new(schema), &names, CsvOptions::default(), DecodeOptions::default())
        .unwrap()
        .decode(bytes, Layout::Lines)
        .unwrap()
}

#[test]
fn quotes_line_ends_and_empty_fields_are_told_apart() {
    let decoded =
        decode(b"\xEF\xBB\xBFa,,1\r\n\r\n\n\"b,\"\"x\"\"\r\ny\",z, 2 \n,q,3\n\"\",q,4\nc\"d,,\"5\"");
    assert_eq!(decoded.rejected, vec![]);
    assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3, 4, 5]);
    let names: Vec<_> = decoded.rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("a"), Some("b,\"x\"\r\ny"), None, Some(""), Some("c\"d")]);
    assert_eq!(decoded.lines, 8);
}

#[test]
fn bad_records_leave_their_neighbours_alone() {
    let bytes = b"a,,1\na,1\na,,x\na,,\n\"a\"b,,1\n\xFF,,1\na,,99999999999999999999\nb,,2\n\"c,,3\nd,,4\n";
    let decoded = decode(bytes);
    let messages: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "the record has 2 fields, but 3 are expected",
            "field `id`: \"x\" is not a BIGINT",
            "field `id`: NULL in a column declared NOT NULL",
            "text follows the closing quote of a field: \"a\"b,,1",
            "the record is not UTF-8 text",
            "field `id`: \"99999999999999999999\" is out of range for BIGINT",
            "a quoted field is not closed: \"c,,3",
        ]
    );
    assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 4]);
    assert_eq!(&bytes[decoded.rejected[1].bytes.clone()], b"a,,x");
}

#[test]
fn a_buffer_is_cut_outside_quotes() {
    let options = CsvOptions::default();
    let end = |text: &str| csv_last_record_end(text.as_bytes(), &options);
    assert_eq!(end("a,b\nc"), Some(4));
    assert_eq!(end("a,\"b\n"), None);
    assert_eq!(end("a\n\"b\nc"), Some(2));
    assert_eq!(end("a\n\"b\nc\"\nd"), Some(8));
    assert_eq!(end("a\"b\nc"), Some(4));
    assert_eq!(end("a,\"b\"\"\n\",c\nd"), Some(11));
    assert_eq!(end("\"a\"x\nb\nc"), Some(7));
}

#[test]
fn headers_and_dialects() {
    let options =
        CsvOptions { delimiter: b';', quote: b'\'', escape: Some(b'\\'), null_text: Some("NULL".to_owned()) };
    assert_eq!(
        csv_header(b"\xEF\xBB\xBFid; 'na;me' \r\n", &CsvOptions { delimiter: b';', ..options.clone() }).ok(),
        Some(vec!["id".to_owned(), "'na".to_owned(), "me'".to_owned()])
    );
    assert!(csv_header(b"a;a", &options).is_err());
    let schema = Arc::new(Schema::new(vec![
        Field::new("t", DataType::Utf8, true),
        Field::new("u", DataType::Utf8, true),
    ]));
    let names = ["t".to_owned(), "u".to_owned()];
    let mut decoder = CsvDecoder::try_new(schema, &names, options, DecodeOptions::default()).unwrap();
    let decoded = decoder.decode(b"'a\\'b;';NULL\n'NULL';\n", Layout::Lines).unwrap();
    let column = |at: usize| {
        decoded.rows.column(at).as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(column(0), [Some("a'b;".to_owned()), Some("NULL".to_owned())]);
    assert_eq!(column(1), [None, Some(String::new())]);
}
