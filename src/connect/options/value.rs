//! [`OptionValue`]: what an option can be read as, with the words for saying that it is not.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{parse_bool, parse_bytes, parse_duration};

/// A type that an option's text can be read as.
pub trait OptionValue: Sized {
    /// What a value is called in an error, with its article: `a whole number`.
    const CALLED: &'static str;

    /// Values that would do, for the hint; empty where the name says it all.
    const EXAMPLES: &'static str;

    /// Reads the text; `None` if it is not such a value.
    fn read(text: &str) -> Option<Self>;
}

/// A number of bytes: `64KB` is 64,000, `64KiB` is 65,536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl OptionValue for ByteSize {
    const CALLED: &'static str = "a size";
    const EXAMPLES: &'static str = "`64KB`, `64KiB`, `1 GB`, `4096`";

    fn read(text: &str) -> Option<Self> {
        parse_bytes(text).map(Self)
    }
}

impl OptionValue for Duration {
    const CALLED: &'static str = "a duration";
    const EXAMPLES: &'static str = "`500ms`, `30s`, `2.5s`, `10 seconds`, `5m`, `1h`, `1d`";

    fn read(text: &str) -> Option<Self> {
        parse_duration(text)
    }
}

impl OptionValue for bool {
    const CALLED: &'static str = "a yes or no";
    const EXAMPLES: &'static str = "`true`, `false`";

    fn read(text: &str) -> Option<Self> {
        parse_bool(text)
    }
}

impl OptionValue for String {
    const CALLED: &'static str = "a text";
    const EXAMPLES: &'static str = "";

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl OptionValue for PathBuf {
    const CALLED: &'static str = "a path";
    const EXAMPLES: &'static str = "`data/trades.csv`";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }
}

impl OptionValue for char {
    const CALLED: &'static str = "a single character";
    const EXAMPLES: &'static str = "`,`, `;`, `\\t`";

    fn read(text: &str) -> Option<Self> {
        match text {
            "\\t" => Some('\t'),
            _ => text.parse().ok(),
        }
    }
}

impl OptionValue for chrono_tz::Tz {
    const CALLED: &'static str = "a time zone";
    const EXAMPLES: &'static str = "`UTC`, `Europe/London`, `America/New_York`";

    fn read(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
}

/// Implements [`OptionValue`] for numbers, which may be written with `_` between digits.
macro_rules! numbers {
    ($called:literal, $examples:literal: $($number:ty),+) => {
        $(impl OptionValue for $number {
            const CALLED: &'static str = $called;
            const EXAMPLES: &'static str = $examples;

            fn read(text: &str) -> Option<Self> {
                text.trim().replace('_', "").parse().ok()
            }
        })+
    };
}

numbers!("a whole number from 0", "`0`, `100`": u8, u16, u32, u64, usize);
numbers!("a whole number from 1", "`1`, `100`": NonZeroU64, NonZeroUsize);
numbers!("a whole number", "`-1`, `100`": i32, i64);
numbers!("a number", "`0.5`, `100`": f64);
