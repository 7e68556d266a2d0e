//! Each way in which the event time of a record cannot be told is an error of its own, with the record's place.

use crate::support::Place;

/// The error for what the producer has to mend.
const DATA: i32 = 3;
/// The error for what the user has to mend.
const INVALID: i32 = 2;

/// A stream whose event time is `ts`, of type `ts_type`.
fn declare(file: &str, ts_type: &str, options: &str) -> String {
    format!(
        "CREATE STREAM t (id BIGINT, ts {ts_type}) WITH ('connector' = 'file', 'path' = '{file}', \
         'event.time.field' = 'ts'{options}); \
         SELECT id, window_start FROM t WINDOW TUMBLING(1m) GROUP BY id; "
    )
}

/// Runs over three records, of which the second has the event time `bad`, and expects the error with its place.
fn refuses(good: &str, bad: &str, ts_type: &str, options: &str, expected: &str) {
    let record = |id: usize, ts: &str| match ts {
        "" => format!("{{\"id\":{id}}}\n"),
        ts => format!("{{\"id\":{id},\"ts\":{ts}}}\n"),
    };
    let records = [record(1, good), record(2, bad), record(3, good)];
    let place = Place::new(&[("t.json", &records.concat())]);
    let at = format!("t.json line 2 byte {}: event time `ts`: {expected}", records[0].len());
    let ran = place.velo(&["run", "-e", &declare("t.json", ts_type, options)]);
    assert_eq!(ran.code, DATA, "{bad}: {}", ran.stderr);
    ran.says(&[&format!("`t` {at}")]);
    // It never gets the time of its arrival instead.
    let skips = declare("t.json", ts_type, &format!("{options}, 'on.error' = 'skip'"));
    let ran = place.velo(&["run", "--output", "csv", "-e", &skips]);
    assert_eq!(ran.code, 0, "{bad}: {}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 3, "{bad}: {}", ran.stdout);
    ran.says(&["1 rejected", &at]);
}

#[test]
fn a_missing_field_lists_those_that_are_there() {
    refuses("1000", "", "BIGINT", "", "is missing or null; the record has `id`");
    refuses("1000", "null", "BIGINT", "", "is missing or null; the record has `id`");
    // Also those that nobody declared; fields that are null are not there.
    let place = Place::new(&[
        ("t.json", "{\"id\":1,\"timestamp\":7,\"gone\":null,\"o\\u0074her\":{\"ts\":1}}\n"),
        ("t.csv", "id,ts,timestamp,gone\n1,,7,\n"),
    ]);
    let there = [("t.json", "`id`, `timestamp`, `other`"), ("t.csv", "`id`, `timestamp`")];
    for (file, fields) in there {
        let ran = place.velo(&["run", "-e", &declare(file, "BIGINT", "")]);
        assert_eq!(ran.code, DATA, "{}", ran.stderr);
        ran.says(&[&format!("event time `ts`: is missing or null; the record has {fields}\n")]);
    }
    let place = Place::new(&[("t.json", "{\"id\":1}\n")]);
    let sql = "CREATE STREAM t WITH ('connector' = 'file', 'path' = 't.json', 'event.time.field' = 'ts'); SELECT * FROM t";
    let ran = place.velo(&["run", "-e", sql]);
    assert_eq!(ran.code, INVALID, "{}", ran.stderr);
    ran.says(&["event time field `ts` is not a column of `t`", "columns there: id"]);
}

#[test]
fn a_type_that_is_no_time_is_refused_before_the_job_starts() {
    let place = Place::new(&[("t.json", "{\"id\":1,\"ts\":true}\n")]);
    let ran = place.velo(&["run", "-e", &declare("t.json", "BOOLEAN", "")]);
    assert_eq!(ran.code, INVALID, "{}", ran.stderr);
    ran.says(&["event time field `ts` is of type Boolean, which is not a time", "declare it as TIMESTAMP"]);
    // What cannot run is not valid either.
    let double = declare("t.json", "DOUBLE", "");
    for command in ["run", "validate"] {
        let ran = place.velo(&[command, "-e", &double]);
        assert_eq!(ran.code, INVALID, "{command}: {}", ran.stderr);
        ran.says(&["event time field `ts` is of type Float64, which is not a time", "'epoch_seconds'"]);
    }
    let dates = declare("t.json", "DATE", ", 'event.time.format' = 'epoch_seconds'");
    let ran = place.velo(&["run", "-e", &dates]);
    assert_eq!(ran.code, INVALID, "{}", ran.stderr);
    ran.says(&["is of type Date32, which is not a time in this `event.time.format`"]);
    // And a value that is not of the declared type has its record's place.
    let place = Place::new(&[("t.json", "{\"id\":1,\"ts\":1000}\n{\"id\":2,\"ts\":true}\n")]);
    let ran = place.velo(&["run", "-e", &declare("t.json", "BIGINT", "")]);
    assert_eq!(ran.code, DATA, "{}", ran.stderr);
    ran.says(&["`t` t.json line 2 byte 32: field `ts`: true is not a BIGINT"]);
}

#[test]
fn a_number_out_of_range_says_its_unit() {
    let seconds = ", 'event.time.format' = 'epoch_seconds'";
    refuses("1", "9223372036854775807", "BIGINT", seconds, "9223372036854775807 seconds is out of range");
    refuses(
        "\"1\"",
        "\"9223372036854775807\"",
        "VARCHAR",
        seconds,
        "\"9223372036854775807\" seconds is out of range",
    );
    refuses("1", "-9000000000000000", "BIGINT", "", "-9000000000000000 ms is out of range");
    refuses("1.5", "-1e300", "DOUBLE", seconds, "-9223372036854776 ms is out of range");
    refuses("1.5", "1e300", "DOUBLE", seconds, "9223372036854775 ms is out of range");
}

#[test]
fn a_value_that_does_not_parse_is_shown_with_its_format() {
    let format = |format: &str| format!(", 'event.time.format' = '{format}'");
    let (good, bad) = ("\"2024-01-01 00:00:00\"", "\"01/02/2024\"");
    refuses(
        good,
        bad,
        "VARCHAR",
        &format("%Y-%m-%d %H:%M:%S"),
        "\"01/02/2024\" does not match '%Y-%m-%d %H:%M:%S'",
    );
    refuses(good, bad, "VARCHAR", &format("iso8601"), "\"01/02/2024\" is not an ISO 8601 time");
    refuses(
        "\"7.5\"",
        "\"7.5.1\"",
        "VARCHAR",
        &format("epoch_millis"),
        "\"7.5.1\" is not a number of milliseconds",
    );
    let named =
        "names the zone `EST`, which `%Z` does not know: it knows UTC, GMT, names such as Europe/London";
    refuses(
        "\"2024-01-01 10 Europe/Paris\"",
        "\"2024-01-01 10 EST\"",
        "VARCHAR",
        &format("%Y-%m-%d %H %Z"),
        &format!("\"2024-01-01 10 EST\" {named}"),
    );
}

#[test]
fn a_timestamp_that_is_not_written_as_said_is_an_error() {
    let wrong = [
        ("'epoch_seconds'", "\"2024-01-01\"", "\"2024-01-01\" is not a number of seconds"),
        ("'epoch_nanos'", "1e30", "1e30 nanoseconds is out of range"),
        ("'iso8601'", "1700000000", "1700000000 is not an ISO 8601 time"),
        ("'%d/%m/%Y'", "\"2024-01-01\"", "\"2024-01-01\" does not match '%d/%m/%Y'"),
        (
            "'%Y-%m-%d %H:%M', 'event.time.zone' = 'Europe/London'",
            "\"2023-10-29 01:30\"",
            "\"2023-10-29 01:30\" is ambiguous in Europe/London: the clocks go back then",
        ),
    ];
    for (format, value, expected) in wrong {
        let place = Place::new(&[("t.json", &format!("{{\"id\":1,\"ts\":{value}}}\n"))]);
        let format = format!(", 'event.time.format' = {format}");
        let ran = place.velo(&["run", "-e", &declare("t.json", "TIMESTAMP(3)", &format)]);
        assert_eq!(ran.code, DATA, "{value}: {}", ran.stderr);
        ran.says(&[&format!("`t` t.json line 1 byte 13: field `ts`: {expected}\n")]);
    }
}

#[test]
fn what_is_said_of_the_event_time_has_a_meaning() {
    let place = Place::new(&[("t.json", "{\"id\":1,\"ts\":1000}\n")]);
    for (options, expected) in [
        (", 'event.time.zone' = 'UTC'", "`event.time.zone` without a pattern"),
        (
            ", 'event.time.format' = 'epoch_millis', 'event.time.zone' = 'UTC'",
            "`event.time.zone` says nothing beside `event.time.format` = 'epoch_millis'",
        ),
        (", 'event.time.format' = '%Y-%m-%d %I:%M'", "'%Y-%m-%d %I:%M' does not say a whole time"),
        (", 'event.time.format' = '%H:%M'", "'%H:%M' does not say a whole time"),
        (", 'event.time.format' = '%Y-%m-%d %Q'", "'%Y-%m-%d %Q' has a `%` that means nothing"),
    ] {
        let ran = place.velo(&["validate", "-e", &declare("t.json", "VARCHAR", options)]);
        assert_eq!(ran.code, INVALID, "{options}: {}", ran.stderr);
        ran.says(&[expected]);
    }
    let two = "CREATE STREAM t (id BIGINT, ts BIGINT, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = \
               'file', 'path' = 't.json', 'event.time.field' = 'id'); SELECT id FROM t;";
    let ran = place.velo(&["validate", "-e", two]);
    assert_eq!(ran.code, INVALID, "{}", ran.stderr);
    ran.says(&["`WATERMARK FOR ts` and `event.time.field` = 'id' name different event times of `t`"]);
}

#[test]
fn a_local_time_that_comes_twice_or_never_is_an_error() {
    let options = ", 'event.time.format' = '%Y-%m-%d %H:%M', 'event.time.zone' = 'Europe/London'";
    let good = "\"2023-07-01 12:00\"";
    let twice = "\"2023-10-29 01:30\" is ambiguous in Europe/London: the clocks go back then";
    refuses(good, "\"2023-10-29 01:30\"", "VARCHAR", options, twice);
    let never = "\"2023-03-26 01:30\" does not exist in Europe/London: the clocks go forward then";
    refuses(good, "\"2023-03-26 01:30\"", "VARCHAR", options, never);
}

#[test]
fn text_in_no_known_format_asks_for_one() {
    let unknown = "is in no format that is recognised; say it with `event.time.format`";
    refuses("\"2024-01-01\"", "\"01/02/2024\"", "VARCHAR", "", &format!("\"01/02/2024\" {unknown}"));
    refuses(
        "\"2024-01-01T00:00:00Z\"",
        "\"1700000000\"",
        "VARCHAR",
        "",
        &format!("\"1700000000\" {unknown}"),
    );
}

#[test]
fn a_clock_that_is_far_ahead_is_an_error() {
    let ahead = "32503680000000 ms is ";
    refuses("1000", "32503680000000", "BIGINT", "", ahead);
}
