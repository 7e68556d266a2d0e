//! What the formats do together: round trips and bad input.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use proptest::prelude::*;

use super::*;

type Sample = (
    (Option<bool>, Option<i8>, Option<i64>, Option<u64>),
    (Option<f32>, Option<f64>, Option<i128>, Option<String>),
    (Option<i32>, Option<i64>, Option<i64>, Option<i64>),
    Option<Vec<Option<String>>>,
);

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[ -~]{0,40}", "[\"',;\\\\\r\n a]{0,12}"]
}

fn sample() -> impl Strategy<Value = Sample> {
    let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
    let finite32 = any::<f32>().prop_filter("finite", |value| value.is_finite());
    let decimal = -(10_i128.pow(20) - 1)..10_i128.pow(20);
    (
        any::<(Option<bool>, Option<i8>, Option<i64>, Option<u64>)>(),
        (
            prop::option::of(finite32),
            prop::option::of(finite),
            prop::option::of(decimal),
            prop::option::of(text()),
        ),
        (
            any::<Option<i32>>(),
            any::<Option<i64>>(),
            any::<Option<i64>>(),
            prop::option::of(0..86_400_000_000_i64),
        ),
        prop::option::of(prop::collection::vec(prop::option::of(text()), 0..4)),
    )
}

/// Makes a batch of every type; `nested` adds lists, structs and maps.
fn batch(samples: &[Sample], nested: bool) -> RecordBatch {
    fn all<A: FromIterator<T> + Array + 'static, T>(values: impl Iterator<Item = T>) -> ArrayRef {
        Arc::new(values.collect::<A>())
    }
    let texts = |s: &Sample| s.1.3.clone();
    let rows = || samples.iter();
    let decimal: Decimal128Array = rows().map(|s| s.1.2).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("b", all::<BooleanArray, _>(rows().map(|s| s.0.0))),
        ("i8", all::<Int8Array, _>(rows().map(|s| s.0.1))),
        ("i64", all::<Int64Array, _>(rows().map(|s| s.0.2))),
        ("u64", all::<UInt64Array, _>(rows().map(|s| s.0.3))),
        ("f32", all::<Float32Array, _>(rows().map(|s| s.1.0))),
        ("f64", all::<Float64Array, _>(rows().map(|s| s.1.1))),
        ("dec", Arc::new(decimal.with_precision_and_scale(20, 4).unwrap())),
        ("utf8", all::<StringArray, _>(rows().map(texts))),
        ("large", all::<LargeStringArray, _>(rows().map(texts))),
        ("view", all::<StringViewArray, _>(rows().map(texts))),
        ("date", all::<Date32Array, _>(rows().map(|s| s.2.0))),
        ("ts_s", all::<TimestampSecondArray, _>(rows().map(|s| s.2.1.map(|t| t / 1_000)))),
        ("ts_ms", all::<TimestampMillisecondArray, _>(rows().map(|s| s.2.1))),
        ("ts_us", all::<TimestampMicrosecondArray, _>(rows().map(|s| s.2.2))),
        ("ts_ns", all::<TimestampNanosecondArray, _>(rows().map(|s| s.2.2))),
        ("time", all::<Time64MicrosecondArray, _>(rows().map(|s| s.2.3))),
    ];
    if nested {
        let mut list = ListBuilder::new(StringBuilder::new());
        rows().for_each(|s| list.append_option(s.3.clone()));
        columns.push(("list", Arc::new(list.finish())));
        let field = |name: &str, t| Arc::new(Field::new(name, t, true));
        let inner: Vec<(FieldRef, ArrayRef)> = vec![
            (field("x", DataType::Int64), Arc::clone(&columns[2].1)),
            (field("y", DataType::Utf8), Arc::clone(&columns[7].1)),
        ];
        columns.push(("struct", Arc::new(StructArray::from(inner))));
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for s in samples {
            for (place, key) in s.3.iter().flatten().enumerate() {
                map.keys().append_value(format!("{place}{}", key.clone().unwrap_or_default()));
                map.values().append_option(s.0.2);
            }
            map.append(s.3.is_some()).unwrap();
        }
        columns.push(("map", Arc::new(map.finish())));
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// The total of rows and rejected records, after the bytes were changed at will.
fn count(decoder: &mut dyn Decoder, bytes: &[u8], layout: Layout<'_>) -> (usize, usize) {
    let decoded = decoder.decode(bytes, layout).unwrap();
    for rejected in &decoded.rejected {
        assert!(bytes.get(rejected.bytes.clone()).is_some());
        assert!(rejected.at.is_none_or(|at| at <= bytes.len()));
    }
    (decoded.rows.num_rows(), decoded.rejected.len())
}

fn mutate(bytes: &mut Vec<u8>, changes: &[(usize, u8, u8)]) {
    for (place, byte, how) in changes {
        if bytes.is_empty() {
            return;
        }
        let place = place % bytes.len();
        match how % 3 {
            0 => bytes[place] = *byte,
            1 => bytes.insert(place, *byte),
            _ => drop(bytes.remove(place)),
        }
    }
}

fn csv_decoder(schema: &SchemaRef, options: &CsvOptions) -> CsvDecoder {
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
    CsvDecoder::try_new(SchemaRef::clone(schema), &names, options.clone(), DecodeOptions::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn json_comes_back(samples in prop::collection::vec(sample(), 0..12)) {
        let rows = batch(&samples, true);
        let (mut out, mut each, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut encoder = JsonEncoder::new(rows.schema());
        encoder.encode(&rows, &mut out).unwrap();
        encoder.encode_each(&rows, &mut each, &mut ends).unwrap();
        let mut decoder = JsonDecoder::try_new(rows.schema(), DecodeOptions::default()).unwrap();
        let decoded = decoder.decode(&out, Layout::Lines).unwrap();
        prop_assert_eq!(decoded.rejected, vec![]);
        prop_assert_eq!(&decoded.rows, &rows);
        let ends: Vec<u32> = ends.into_iter().map(|end| u32::try_from(end).unwrap()).collect();
        prop_assert_eq!(&decoder.decode(&each, Layout::Ends(&ends)).unwrap().rows, &rows);
        for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok());
        }
    }

    #[test]
    fn csv_comes_back(samples in prop::collection::vec(sample(), 0..12), dialect in 0..3) {
        let rows = batch(&samples, false);
        let options = match dialect {
            0 => CsvOptions::default(),
            1 => CsvOptions { null_text: Some("a".to_owned()), ..CsvOptions::default() },
            _ => CsvOptions { delimiter: b';', quote: b'\'', escape: Some(b'\\'), null_text: None },
        };
        let mut encoder = CsvEncoder::new(rows.schema(), options.clone(), true);
        let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        prop_assert_eq!(csv_header(&encoder.header().unwrap(), &options).unwrap(), names);
        let mut out = Vec::new();
        encoder.encode(&rows, &mut out).unwrap();
        let decoded = csv_decoder(&rows.schema(), &options).decode(&out, Layout::Lines).unwrap();
        prop_assert_eq!(decoded.rejected, vec![]);
        prop_assert_eq!(&decoded.rows, &rows);
        prop_assert_eq!(csv_last_record_end(&out, &options).unwrap_or(0), out.len());
    }

    #[test]
    fn changed_bytes_never_panic_and_every_record_is_accounted_for(
        samples in prop::collection::vec(sample(), 1..6),
        changes in prop::collection::vec((any::<usize>(), prop_oneof![any::<u8>(), prop::sample::select(b"{}[],:\"\\\n\r0".to_vec())], any::<u8>()), 1..12),
    ) {
        let rows = batch(&samples, true);
        let mut json = Vec::new();
        JsonEncoder::new(rows.schema()).encode(&rows, &mut json).unwrap();
        mutate(&mut json, &changes);
        let body = json.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&json);
        let blank = |line: &&[u8]| line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let records = body.split(|byte| *byte == b'\n').filter(|line| !blank(line)).count();
        let mut decoder = JsonDecoder::try_new(rows.schema(), DecodeOptions::default()).unwrap();
        let (good, bad) = count(&mut decoder, &json, Layout::Lines);
        prop_assert_eq!(good + bad, records);
        let end = u32::try_from(json.len()).unwrap();
        let (good, bad) = count(&mut decoder, &json, Layout::Ends(&[end / 2, end]));
        prop_assert_eq!(good + bad, 2);
        infer_json(&json, true).unwrap_or_else(|_| Schema::empty());

        let rows = batch(&samples, false);
        let mut csv = Vec::new();
        CsvEncoder::new(rows.schema(), CsvOptions::default(), false).encode(&rows, &mut csv).unwrap();
        mutate(&mut csv, &changes);
        let mut decoder = csv_decoder(&rows.schema(), &CsvOptions::default());
        let (good, bad) = count(&mut decoder, &csv, Layout::Lines);
        prop_assert!(good + bad <= csv.split(|byte| *byte == b'\n').count());
        if let Some(cut) = csv_last_record_end(&csv, &CsvOptions::default()) {
            // What is cut off begins with a record: nothing changes when it is decoded apart.
            let (head_good, head_bad) = count(&mut decoder, &csv[..cut], Layout::Lines);
            let (tail_good, tail_bad) = count(&mut decoder, &csv[cut..], Layout::Lines);
            prop_assert_eq!((good, bad), (head_good + tail_good, head_bad + tail_bad));
        }
        infer_csv(&csv, &CsvOptions::default(), true).unwrap_or_else(|_| Schema::empty());
    }
}
