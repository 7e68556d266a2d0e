//! Values of every type, from text and back.

use arrow::datatypes::TimeUnit;

use super::instant::timestamp;
use super::number::decimal;
use super::{Fault, civil_from_days, parse_date, parse_timestamp};

#[test]
fn decimals_are_exact_up_to_the_precision() {
    let nines = "9".repeat(38);
    assert_eq!(decimal(nines.as_bytes(), 38, 0), Ok(10_i128.pow(38) - 1));
    assert_eq!(decimal(format!("-{nines}").as_bytes(), 38, 0), Ok(1 - 10_i128.pow(38)));
    assert_eq!(decimal(format!("1{}", "0".repeat(38)).as_bytes(), 38, 0), Err(Fault::OutOfRange));
    assert_eq!(
        decimal(b"0.1234567890123456789012345678901234567", 38, 37),
        Ok(1234567890123456789012345678901234567)
    );
    assert_eq!(decimal(b"12345678901234.5678", 18, 4), Ok(123_456_789_012_345_678));
    assert_eq!(decimal(b"99999999999999.9999", 18, 4), Ok(999_999_999_999_999_999));
    assert_eq!(decimal(b"100000000000000", 18, 4), Err(Fault::OutOfRange));
    assert_eq!(decimal(b"1.00001", 18, 4), Err(Fault::TooFine));
    assert_eq!(decimal(b"1.50000000000000000000000000000000000000000000", 18, 4), Ok(15_000));
    assert_eq!(decimal(b"1e3", 18, 4), Ok(10_000_000));
    assert_eq!(decimal(b"-12.5E-1", 18, 4), Ok(-12_500));
    assert_eq!(decimal(b"1e-5", 18, 4), Err(Fault::TooFine));
    assert_eq!(decimal(b"1e999999999999", 18, 4), Err(Fault::OutOfRange));
    assert_eq!(decimal(b"0e999999999999", 18, 4), Ok(0));
    assert_eq!(decimal(b"0", 38, 38), Ok(0));
    assert_eq!(decimal(b"1", 38, 38), Err(Fault::OutOfRange));
    for bad in ["", "-", ".", "1..2", "1e", "e5", "1x", "--1", "0x10", "1e+", " 1"] {
        assert_eq!(decimal(bad.as_bytes(), 18, 4), Err(Fault::Mismatch), "{bad}");
    }
}

#[test]
fn timestamps_come_from_every_iso_form() {
    let base = (1_700_000_000, 0);
    for text in [
        "2023-11-14T22:13:20Z",
        "2023-11-14 22:13:20",
        "2023-11-14t22:13:20z",
        "2023-11-15T00:13:20+02:00",
        "2023-11-14T17:13:20-0500",
        "2023-11-14T22:13:20.000+00",
        "2023-11-14 22:13:20 UTC",
    ] {
        assert_eq!(parse_timestamp(text.as_bytes()), Some(base), "{text}");
    }
    assert_eq!(parse_timestamp(b"2023-11-14T22:13:20.123456789Z"), Some((1_700_000_000, 123_456_789)));
    assert_eq!(parse_timestamp(b"1969-12-31"), Some((-86_400, 0)));
    for bad in [
        "2023-13-01",
        "2023-02-29",
        "2023-11-14T24:00:00",
        "2023-11-14T22:13:20.",
        "2023-11-14T",
        "23-1-1",
        "x",
    ] {
        assert_eq!(parse_timestamp(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(timestamp(b"1969-12-31T23:59:59.9999Z", TimeUnit::Millisecond), Ok(-1));
    assert_eq!(timestamp(b"2300-01-01", TimeUnit::Nanosecond), Err(Fault::OutOfRange));
}

#[test]
fn every_day_comes_back() {
    for days in (-800_000..800_000).step_by(7) {
        let (year, month, day) = civil_from_days(days);
        let sign = if (0..=9_999).contains(&year) {
            ""
        } else if year < 0 {
            "-"
        } else {
            "+"
        };
        let text = format!("{sign}{:04}-{month:02}-{day:02}", year.abs());
        assert_eq!(parse_date(text.as_bytes()).map(i64::from), Some(days), "{text}");
    }
}
