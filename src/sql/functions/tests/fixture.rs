//! [`Fixture`]: a session with one small table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Decimal128Array, Float64Array, Int64Array, MapBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMillisecondArray,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::functions::{EpochClock, SessionProfile, check_comparisons, session_state};

/// 2024-01-02T03:04:05.678Z.
const NOW: i64 = 1_704_164_645_678;

pub(super) struct Fixture {
    pub(super) context: SessionContext,
    pub(super) clock: EpochClock,
}

impl Fixture {
    pub(super) fn new(profile: SessionProfile) -> Self {
        let clock = EpochClock::default();
        clock.set_millis(NOW);
        let context = SessionContext::new_with_state(session_state(profile, &clock));
        context.register_batch("t", rows()).unwrap();
        context.register_batch("empty", rows().slice(0, 0)).unwrap();
        Self { context, clock }
    }

    pub(super) fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batches = runtime.block_on(async {
            let plan = self.context.state().create_logical_plan(sql).await?;
            check_comparisons(&plan, sql)?;
            Ok::<_, Error>(self.context.execute_logical_plan(plan).await?.collect().await?)
        })?;
        Ok(batches.iter().flat_map(text_rows).collect())
    }

    pub(super) fn check(&self, sql: &str, expected: &[&str]) {
        match self.rows(sql) {
            Ok(rows) => assert_eq!(rows, expected, "{sql}"),
            Err(error) => panic!("{sql}: {}", error.report()),
        }
    }

    pub(super) fn refuses(&self, sql: &str, kind: ErrorKind, part: &str) -> Error {
        let error = self.rows(sql).expect_err(sql);
        assert_eq!(error.kind(), kind, "{sql}: {}", error.report());
        assert!(error.report().contains(part), "{sql}: {}", error.report());
        error
    }
}

pub(super) fn text_rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row =
        |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

/// Three rows: one of 2024, one before 1970, and nulls.
fn rows() -> RecordBatch {
    let mut headers = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
    for (key, value) in [("trace", Some("1")), ("empty", None::<&str>)] {
        headers.keys().append_value(key);
        headers.values().append_option(value.map(str::as_bytes));
    }
    headers.append(true).unwrap();
    headers.append(true).unwrap();
    headers.append(false).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![Some(NOW), Some(-500), None]))),
        ("ts2", Arc::new(TimestampMillisecondArray::from(vec![Some(1_704_164_640_000), Some(0), None]))),
        ("i", Arc::new(Int64Array::from(vec![Some(1), Some(2), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(1.5), Some(2.5), None]))),
        (
            "m",
            Arc::new(
                Decimal128Array::from(vec![Some(25_000), Some(35_000), None])
                    .with_precision_and_scale(18, 4)
                    .unwrap(),
            ),
        ),
        (
            "j",
            Arc::new(StringArray::from(vec![
                Some(r#"{"a": {"b": ["x", 2, null]}, "a b": true, "n": 1.50, "e": "q\"u", "z": null}"#),
                Some("no json"),
                None,
            ])),
        ),
        ("h", Arc::new(headers.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

pub(super) fn stream() -> Fixture {
    Fixture::new(SessionProfile::Stream)
}
