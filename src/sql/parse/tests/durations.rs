//! Every spelling of durations, and what is refused.

use crate::sql::{BareNumber, parse_duration_ms, parse_duration_ms_in};

#[test]
fn durations_in_every_usual_spelling() {
    for (text, expected) in [
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("1w", 604_800_000),
        ("2.5s", 2_500),
        ("0.001 s", 1),
        ("30 seconds", 30_000),
        ("1 minute", 60_000),
        ("INTERVAL '5' MINUTE", 300_000),
        ("interval 5 minutes", 300_000),
        ("INTERVAL '1 hour'", 3_600_000),
        ("'1 hour 30 minutes'", 5_400_000),
        ("1h30m", 5_400_000),
        ("2000us", 2),
    ] {
        assert_eq!(parse_duration_ms(text).unwrap(), expected, "{text}");
    }
    assert_eq!(parse_duration_ms_in("60", BareNumber::Seconds).unwrap(), 60_000);
    assert_eq!(parse_duration_ms_in("60", BareNumber::Millis).unwrap(), 60);
}

#[test]
fn durations_that_are_refused_say_why() {
    for (text, expected) in [
        ("", "empty duration"),
        ("60", "duration `60` has no unit"),
        ("-5s", "duration `-5s` is negative"),
        ("5 minuts", "duration `5 minuts`: unknown unit `minuts`"),
        ("1 month", "duration `1 month`: a month has no fixed length"),
        ("1us", "duration `1us` is not a whole number of milliseconds"),
        ("99999999999999999999w", "duration `99999999999999999999w` is too large"),
        (
            "999999999999999999999999999999999999999999s",
            "duration `999999999999999999999999999999999999999999s` is too large",
        ),
        ("5m 3", "duration `5m 3` has no unit"),
        ("1..5s", "duration `1..5s`: expected a number, found `1..5`"),
        ("soon", "duration `soon`: expected a number, found `soon`"),
        ("é5s", "duration `é5s`: expected a number, found `é5s`"),
    ] {
        assert_eq!(parse_duration_ms(text).unwrap_err().message(), expected, "{text}");
    }
}
