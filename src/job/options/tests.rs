//! Where a job's settings come from, which one wins, and what is refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Delivery, JobOptions};
use crate::config::{Entry, Origin};
use crate::connect::OnError;
use crate::time::LateRule;

fn entry(key: &str, value: &str, origin: Origin) -> Entry {
    Entry::new(key, value, origin)
}

fn with(key: &str, value: &str) -> Entry {
    entry(key, value, Origin::With(3..9))
}

fn read(entries: Vec<Entry>) -> JobOptions {
    JobOptions::read(entries).unwrap().0
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let options = read(vec![]);
    assert_eq!(options.batch_max_rows.get(), 65_536);
    assert_eq!(options.batch_max_bytes, 16 * 1024 * 1024);
    assert_eq!(options.batch_linger, Duration::from_millis(2));
    let shown: Vec<String> =
        options.in_force().iter().map(|(key, value, from)| format!("{key}={value} {from}")).collect();
    assert_eq!(
        shown,
        [
            "mode=stream default",
            "delivery=by_sink default",
            "parallelism=one per core default",
            "batch.max_rows=65536 default",
            "batch.max_bytes=16MiB default",
            "batch.linger=2ms default",
            "on.error=fail default",
            "errors.location=.velo/errors default",
            "errors.max_size=256MiB default",
            "errors.max_age=7d default",
            "late.data.strategy=drop default",
            "allowed.lateness=0s default",
            "table.wait.timeout=60s default",
            "tables.load.max_parallel=4 default",
            "timezone=UTC default",
        ]
    );
}

#[test]
fn each_layer_overrides_the_one_below() {
    let path: Arc<Path> = Arc::from(Path::new("velo.toml"));
    let layers = [
        (entry("batch.max_rows", "1", Origin::Configuration(path)), "configuration `velo.toml`"),
        (entry("batch.max_rows", "2", Origin::Set(0..1)), "SET"),
        (entry("@batch_size", "3", Origin::Annotation(0..1)), "annotation (`@batch_size`)"),
        (entry("max_batch_size", "4", Origin::With(0..1)), "WITH (`max_batch_size`)"),
        (entry("batch.max_rows", "5", Origin::CommandLine), "--set"),
    ];
    for count in 1..=layers.len() {
        let given: Vec<Entry> = layers.iter().take(count).rev().map(|(entry, _)| entry.clone()).collect();
        let options = read(given);
        assert_eq!(options.batch_max_rows.get(), count);
        let shown = options.in_force().iter().find(|(key, _, _)| *key == "batch.max_rows").unwrap();
        assert_eq!((shown.1.as_str(), shown.2.as_str()), (count.to_string().as_str(), layers[count - 1].1));
    }
    let repeated = vec![
        entry("batch.linger", "1s", Origin::Set(0..1)),
        entry("batch.linger", "2000", Origin::Set(5..6)),
    ];
    assert_eq!(read(repeated).batch_linger, Duration::from_secs(2));
}

#[test]
fn the_predecessors_job_options_are_read() {
    let given = vec![
        with("max_batch_size", "500"),
        with("batch_timeout", "100"),
        with("failure_strategy", "LogAndContinue"),
        with("use_transactions", "true"),
        with("max_retries", "3"),
        with("retry_backoff", "1000"),
        with("enable_dlq", "true"),
        with("batch.strategy", "mega_batch"),
        with("circuit.breaker.enabled", "true"),
        entry("@job_mode", "transactional", Origin::Annotation(0..1)),
        entry("@num_partitions", "4", Origin::Annotation(0..1)),
        entry("@partitioning_strategy", "hash", Origin::Annotation(0..1)),
    ];
    let (options, notices) = JobOptions::read(given).unwrap();
    assert_eq!(options.batch_max_rows.get(), 500);
    assert_eq!(options.batch_linger, Duration::from_millis(100));
    assert_eq!(options.on_error, OnError::Skip);
    assert_eq!(options.delivery, Delivery::AtLeastOnce);
    assert_eq!(options.parallelism.map(std::num::NonZeroUsize::get), Some(4));
    assert_eq!(notices.len(), 8, "{notices:#?}");
    assert_eq!(
        notices[0],
        "`use_transactions` = `true` asks for exactly-once delivery, which is not available yet: the job delivers at \
         least once"
    );
    assert_eq!(
        notices[1],
        "`max_retries` has no effect here, because outside systems that are away are tried again with growing pauses \
         by themselves"
    );
}

#[test]
fn dead_letters_are_kept_where_the_options_say() {
    let given = vec![
        with("failure_strategy", "SendToDLQ"),
        with("late.data.strategy", "dead_letter"),
        with("errors.location", "/var/dlq"),
        with("errors.max_size", "1MiB"),
        with("errors.max_age", "1h"),
    ];
    let options = read(given);
    assert_eq!(
        (options.on_error, options.late, options.keeps_late),
        (OnError::DeadLetter, LateRule::Drop, true)
    );
    let table = options.errors;
    assert_eq!((table.location.to_str(), table.max_bytes), (Some("/var/dlq"), 1 << 20));
    assert_eq!(table.max_age, Duration::from_secs(3_600));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (key, value, expected) in [
        (
            "checkpoint.location",
            "/x",
            "option `checkpoint.location` is not available yet\nHint: leave `checkpoint.location` out",
        ),
        (
            "errors.max_size",
            "1KiB",
            "option `errors.max_size` = `1KiB` is too small for an error table\nHint: give it 64KiB or more",
        ),
        (
            "delivery",
            "exactly-once",
            "option `delivery` = `exactly-once` is not available yet\nHint: available: `by_sink`, `at_least_once`",
        ),
        (
            "mode",
            "batsch",
            "option `mode` = `batsch` is not one of the choices\n\
             Hint: did you mean `batch`? accepted: `stream`, `batch`",
        ),
        (
            "timezone",
            "Mars",
            "option `timezone` = `Mars` is not a time zone\n\
             Hint: write it like `UTC`, `Europe/London`, `America/New_York`",
        ),
        (
            "parallelism",
            "0",
            "option `parallelism` = `0` is not a whole number from 1\nHint: write it like `1`, `100`",
        ),
    ] {
        let error = JobOptions::read(vec![with(key, value)]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.span(), Some(3..9));
    }
    let unknown = JobOptions::read(vec![with("batch.lingr", "1s")]).unwrap_err().to_string();
    assert!(
        unknown.starts_with(
            "unknown option `batch.lingr` of the job\nHint: did you mean `batch.linger`? accepted: `allowed.lateness`, "
        ),
        "{unknown}"
    );
}
