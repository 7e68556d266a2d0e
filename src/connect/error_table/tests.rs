//! The error table's files: bounds, what a killed writer leaves, several writers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use tempfile::TempDir;

use super::{ErrorLog, ErrorTableSettings, written_columns};
use crate::error::ErrorKind;
use crate::time::{Clock, ManualClock};

fn settings(place: &Path) -> ErrorTableSettings {
    ErrorTableSettings {
        location: place.join("errors"),
        max_bytes: ErrorTableSettings::LEAST_BYTES,
        max_age: Duration::from_secs(800),
    }
}

fn open(place: &Path, clock: &Arc<ManualClock>) -> ErrorLog {
    ErrorLog::open(settings(place), Arc::clone(clock) as Arc<dyn Clock>).unwrap()
}

/// Rows whose messages are given, everything else NULL.
fn rows(messages: &[String]) -> RecordBatch {
    let schema = written_columns();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        if field.name() == "message" {
            return Arc::new(StringArray::from(messages.to_vec()));
        }
        new_null_array(field.data_type(), messages.len())
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn files(place: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(place.join("errors"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn messages(place: &Path) -> Vec<String> {
    let text: String = files(place).into_iter().map(|(_, text)| text).collect();
    let message = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["message"].as_str().unwrap().to_owned()
    };
    text.lines().map(message).collect()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("error {number:05}")).collect()
}

#[test]
fn the_oldest_rows_go_when_the_table_is_full() {
    let place = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at_millis(1_000));
    let mut log = open(place.path(), &clock);
    for batch in 0..100 {
        clock.advance_millis(1);
        log.append(&rows(&numbered(batch * 10..batch * 10 + 10))).unwrap();
        let bytes: usize = files(place.path()).iter().map(|(_, text)| text.len()).sum();
        assert!(bytes as u64 <= ErrorTableSettings::LEAST_BYTES, "{bytes} bytes");
    }
    let kept = messages(place.path());
    assert!(kept.len() > 100, "{} rows kept", kept.len());
    assert_eq!(kept, numbered(1_000 - kept.len()..1_000));
}

#[test]
fn rows_that_are_too_old_go() {
    let place = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at_millis(1_000));
    let mut log = open(place.path(), &clock);
    for ordinal in 0..20 {
        log.append(&rows(&numbered(ordinal..ordinal + 1))).unwrap();
        clock.advance_millis(101_000);
    }
    assert_eq!(messages(place.path()), numbered(12..20));
    drop(log);
    clock.advance_millis(900_000);
    drop(open(place.path(), &clock));
    assert_eq!(files(place.path()), []);
}

#[test]
fn a_line_that_a_killed_writer_left_is_cut_off() {
    let place = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at_millis(1_000));
    let mut log = open(place.path(), &clock);
    log.append(&rows(&numbered(0..2))).unwrap();
    drop(log);
    let (name, text) = files(place.path()).remove(0);
    std::fs::write(place.path().join("errors").join(name), format!("{text}{{\"time\":")).unwrap();
    let mut log = open(place.path(), &clock);
    log.append(&rows(&numbered(2..3))).unwrap();
    assert_eq!(messages(place.path()), numbered(0..3));
    assert_eq!(files(place.path()).len(), 1, "the newest file is gone on with");
}

#[test]
fn writers_do_not_disturb_each_other() {
    let place = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at_millis(1_000));
    let (mut one, mut other) = (open(place.path(), &clock), open(place.path(), &clock));
    one.append(&rows(&numbered(0..1))).unwrap();
    other.append(&rows(&numbered(1..2))).unwrap();
    assert_eq!(files(place.path()).len(), 2);
    // Whoever needs room takes the oldest file, even one that somebody writes to.
    let first = files(place.path()).remove(0).0;
    std::fs::remove_file(place.path().join("errors").join(first)).unwrap();
    clock.advance_millis(1);
    one.append(&rows(&numbered(2..3))).unwrap();
    assert_eq!(messages(place.path()), numbered(1..3));
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let place = TempDir::new().unwrap();
    std::fs::write(place.path().join("errors"), "a file").unwrap();
    let clock = Arc::new(ManualClock::at_millis(0));
    let error = ErrorLog::open(settings(place.path()), clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("cannot write the error table at"), "{error}");
    assert!(error.to_string().contains("errors.location"), "{error}");
}
