//! Columns inferred from samples.

use super::{infer_csv, infer_json};
use crate::format::CsvOptions;

fn shown(schema: &arrow::datatypes::Schema) -> String {
    let fields = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
    fields.collect::<Vec<_>>().join(", ")
}

#[test]
fn json_fields_get_the_narrowest_type() {
    let sample =
        br#"{"i":1,"f":1,"b":true,"t":"2024-01-01T00:00:00Z","d":"2024-01-01","s":"x","n":null,"m":1}
not json
{"f":2.50,"t":"2024-01-01T00:00:00.123456Z","m":"x","o":{"a":1},"l":[1,2.5]}
{"o":{"b":"x"},"l":[]}"#;
    let schema = infer_json(sample, false).unwrap();
    assert_eq!(
        shown(&schema),
        "i Int64, f Float64, b Boolean, t Timestamp(µs), d Date32, s Utf8, n Utf8, m Utf8, \
         o Struct(\"a\": Int64, \"b\": Utf8), l List(Float64)"
    );
    assert!(schema.fields().iter().all(|field| field.is_nullable()));
    let schema = infer_json(br#"{"p":12.50,"q":1e3,"r":99999999999999999999}"#, true).unwrap();
    assert_eq!(shown(&schema), "p Decimal128(38, 2), q Float64, r Decimal128(38, 0)");
    assert!(infer_json(b"\n\n", false).is_err());
}

#[test]
fn csv_columns_are_named_by_the_header() {
    let sample = b"id,price,zip,\"when\"\n1,2.5,01234,2024-01-01 10:00:00\n2,,5,\n";
    let schema = infer_csv(sample, &CsvOptions::default(), true).unwrap();
    assert_eq!(shown(&schema), "id Int64, price Decimal128(38, 1), zip Utf8, when Timestamp(ms)");
}
