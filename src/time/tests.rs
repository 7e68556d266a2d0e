//! Windows against their definition, and days of zones whose clocks change.

use std::num::NonZeroI64;

use chrono::{DateTime, TimeZone};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{AlignedWindow, EventTimeFormat, SessionWindow, WindowShape};

const HOUR: i64 = 3_600_000;

fn ms(ms: i64) -> NonZeroI64 {
    NonZeroI64::new(ms).unwrap()
}

fn shapes() -> impl Strategy<Value = WindowShape> {
    prop_oneof![
        (1..50_i64).prop_map(|size| WindowShape::Tumbling { size: ms(size) }),
        (1..50_i64, 1..50_i64)
            .prop_map(|(a, b)| WindowShape::Hopping { size: ms(a.max(b)), slide: ms(a.min(b)) }),
        (1..10_i64, 1..8_i64)
            .prop_map(|(step, steps)| WindowShape::Cumulate { step: ms(step), size: ms(step * steps) }),
    ]
}

/// Every window that contains `time`, by its definition.
fn windows_by_definition(shape: WindowShape, offset: i64, time: i64) -> Vec<(i64, i64)> {
    let (size, slide) = match shape {
        WindowShape::Tumbling { size } => (size.get(), size.get()),
        WindowShape::Hopping { size, slide } => (size.get(), slide.get()),
        WindowShape::Cumulate { size, .. } => (size.get(), size.get()),
    };
    let mut windows = vec![];
    for ordinal in (time - size - offset).div_euclid(slide) - 1..=(time - offset).div_euclid(slide) + 1 {
        let start = ordinal * slide + offset;
        let ends: Vec<i64> = match shape {
            WindowShape::Cumulate { step, size } => {
                (1..=size.get() / step.get()).map(|n| start + n * step.get()).collect()
            }
            _ => vec![start + size],
        };
        windows.extend(ends.into_iter().filter(|end| (start..*end).contains(&time)).map(|end| (start, end)));
    }
    windows.sort_by_key(|(start, end)| (*end, *start));
    windows
}

proptest! {
    #[test]
    fn a_row_is_in_the_windows_of_its_pane(shape in shapes(), offset in -60..60_i64, time in -500..500_i64) {
        let mut windows = AlignedWindow::new(shape);
        windows.offset_ms = offset;
        let pane = windows.pane_at(time);
        prop_assert!(windows.pane_bounds(pane).contains(&time));
        let found: Vec<(i64, i64)> = windows
            .windows_of(pane)
            .map(|window| (windows.bounds(window).start, windows.bounds(window).end))
            .collect();
        prop_assert_eq!(found, windows_by_definition(shape, offset, time));
        for window in windows.windows_of(pane) {
            prop_assert!(windows.panes_of(window).contains(&pane));
        }
        for mark in [time - 70, time, time + 20, time + 100] {
            let open = windows.windows_of(pane).find(|window| windows.closes_at(*window) > mark);
            prop_assert_eq!(windows.first_open(pane, mark), open);
        }
    }

    #[test]
    fn panes_of_a_zone_have_no_gap_and_contain_their_rows(
        zone in prop_oneof![
            Just("Europe/London"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Pacific/Apia"),
            Just("America/Sao_Paulo"), Just("Asia/Kathmandu"), Just("Africa/Casablanca"), Just("America/St_Johns"),
        ],
        time in 1_293_000_000_000..1_600_000_000_000_i64,
        hours in 2..49_i64,
        slide in 1..24_i64,
    ) {
        let zone: Tz = zone.parse().unwrap();
        let slide = slide.min(hours);
        let shape = WindowShape::Hopping { size: ms(hours * HOUR), slide: ms(slide * HOUR) };
        let windows = AlignedWindow::new(shape).in_zone(zone);
        let pane = windows.pane_at(time);
        prop_assert!(windows.pane_bounds(pane).contains(&time));
        prop_assert_eq!(windows.pane_bounds(pane).end, windows.pane_bounds(pane + 1).start);
        for window in windows.windows_of(pane) {
            prop_assert!(windows.bounds(window).contains(&time));
        }
    }
}

#[test]
fn days_follow_the_local_clock() {
    let days = |zone: &str, instant: &str| {
        let zone: Tz = zone.parse().unwrap();
        let windows = AlignedWindow::new(WindowShape::Tumbling { size: ms(24 * HOUR) }).in_zone(zone);
        let time = DateTime::parse_from_rfc3339(instant).unwrap().timestamp_millis();
        let bounds = windows.bounds(windows.pane_at(time));
        let local = |instant| zone.timestamp_millis_opt(instant).unwrap().format("%m-%d %H:%M").to_string();
        (local(bounds.start), local(bounds.end), (bounds.end - bounds.start) / HOUR)
    };
    let day = |from: &str, to: &str, hours| (from.to_owned(), to.to_owned(), hours);
    assert_eq!(days("Europe/London", "2024-03-31T12:00:00Z"), day("03-31 00:00", "04-01 00:00", 23));
    assert_eq!(days("Europe/London", "2024-10-27T12:00:00Z"), day("10-27 00:00", "10-28 00:00", 25));
    assert_eq!(days("America/New_York", "2024-03-10T12:00:00Z"), day("03-10 00:00", "03-11 00:00", 23));
    // Midnight is skipped: the day begins at the leap.
    assert_eq!(days("America/Sao_Paulo", "2018-11-04T12:00:00Z"), day("11-04 01:00", "11-05 00:00", 23));
    // A whole day is skipped.
    assert_eq!(days("Pacific/Apia", "2011-12-30T12:00:00Z"), day("12-31 00:00", "01-01 00:00", 24));
}

#[test]
fn a_row_one_gap_later_starts_another_session() {
    let windows = SessionWindow { gap_ms: 10, max_ms: Some(25), grace_ms: 0, late: super::LateRule::Drop };
    assert!(windows.continues(0, 5, 14));
    assert!(!windows.continues(0, 5, 15));
    assert!(windows.continues(0, 20, 24) && !windows.continues(0, 20, 25));
}

#[test]
fn text_is_read_as_the_format_says() {
    let read = |format: &str, zone: Option<&str>, text: &str| {
        let zone = zone.map(|zone| zone.parse().unwrap());
        let nanos = EventTimeFormat::parse(format, zone).unwrap().read_text(text)?;
        let instant = DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap());
        Ok::<_, String>(instant.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
    };
    let (london, york) = (Some("Europe/London"), Some("America/New_York"));
    for (format, zone, text, expected) in [
        ("epoch_seconds", None, "1700000000.5", "2023-11-14T22:13:20.500"),
        ("epoch_seconds", None, " +1700000000.123456789123 ", "2023-11-14T22:13:20.123456789"),
        ("epoch_seconds", None, "-.25", "1969-12-31T23:59:59.750"),
        ("epoch_seconds", None, "1.7e9", "2023-11-14T22:13:20"),
        ("epoch_millis", None, "1700000000000.5", "2023-11-14T22:13:20.000500"),
        ("epoch_micros", None, "1700000000000001", "2023-11-14T22:13:20.000001"),
        ("epoch_nanos", None, "1700000000000000001", "2023-11-14T22:13:20.000000001"),
        ("%Y-%m-%d %H", None, "2023-11-14 22", "2023-11-14T22:00:00"),
        ("%Y-%m-%d %I %p", london, "2023-07-14 10 PM", "2023-07-14T21:00:00"),
        ("%Y-%m-%d", london, "2023-07-14", "2023-07-13T23:00:00"),
        ("%Y-%m-%d %H%z", london, "2023-07-14 10+0200", "2023-07-14T08:00:00"),
        ("%Y-%m-%d %z", None, "2023-07-14 +0200", "2023-07-13T22:00:00"),
        ("%s%.f", None, "1700000000.25", "2023-11-14T22:13:20.250"),
        ("%b %e %H:%M:%S %Z %Y", None, "Jul  4 10:11:12 GMT 2023", "2023-07-04T10:11:12"),
        ("%Y-%m-%d %H:%M %Z", None, "2023-07-14 10:00 Asia/Tokyo", "2023-07-14T01:00:00"),
        // The name tells the first of two like hours from the second.
        ("%Y-%m-%d %H:%M %Z", york, "2023-11-05 01:30 EDT", "2023-11-05T05:30:00"),
        ("%Y-%m-%d %H:%M %Z", york, "2023-11-05 01:30 EST", "2023-11-05T06:30:00"),
        ("%Y-%m-%d %H:%M:%S%#z", None, "2023-07-14 10:00:00+02", "2023-07-14T08:00:00"),
    ] {
        assert_eq!(read(format, zone, text).as_deref(), Ok(expected), "{text} as {format}");
    }
    for (format, text) in [
        ("epoch_seconds", "nan"),
        ("epoch_seconds", "inf"),
        ("epoch_seconds", ""),
        ("epoch_seconds", "."),
        ("epoch_seconds", "1_000"),
        ("%Y-%m-%d %H", "2023-11-14 22:13"),
        ("%Y-%m-%d %H", "2023-11-14"),
        ("%Y-%m-%d %H:%M %Z", "2023-11-14 22:13 EST"),
    ] {
        assert!(read(format, None, text).is_err(), "{text} as {format}");
    }
}
