//! [`Patience`]: for how long a source that is away is tried again, and how often.

use std::time::Duration;

use super::circuit::CircuitRule;
use crate::config::duration_text;
use crate::connect::{OptionDoc, Options};
use crate::error::{Error, Result};

/// The options of a source that can be waited for; `$what` is what their names begin with.
macro_rules! patience_docs {
    ($what:literal, $of:literal) => {
        &[
            OptionDoc {
                key: concat!($what, ".wait.timeout"),
                value: "duration",
                default: "0s",
                what: concat!("how long ", $of, " is waited for; without it that is an error at once"),
            },
            OptionDoc {
                key: concat!($what, ".retry.interval"),
                value: "duration",
                default: "1s",
                what: "the pause before the next try",
            },
            OptionDoc {
                key: concat!($what, ".retry.strategy"),
                value: "fixed | linear | exponential",
                default: "fixed",
                what: "how the pause grows from try to try",
            },
            OptionDoc {
                key: concat!($what, ".retry.increment"),
                value: "duration",
                default: concat!("`", $what, ".retry.interval`"),
                what: "how much longer a `linear` pause gets",
            },
            OptionDoc {
                key: concat!($what, ".retry.multiplier"),
                value: "number",
                default: "2",
                what: "how many times as long an `exponential` pause gets",
            },
            OptionDoc {
                key: concat!($what, ".retry.max.delay"),
                value: "duration",
                default: "2m",
                what: "the longest pause, where it grows",
            },
            OptionDoc {
                key: "circuit.failures",
                value: "number",
                default: "5",
                what: "so many failures in a row open the circuit: the source is left alone",
            },
            OptionDoc {
                key: "circuit.failure.rate",
                value: "percent",
                default: "50",
                what: "so do so many failures of a hundred tries, from ten tries on",
            },
            OptionDoc {
                key: "circuit.window",
                value: "duration",
                default: "1m",
                what: "how far back tries count for the rate",
            },
            OptionDoc {
                key: "circuit.cooldown",
                value: "duration",
                default: "10s",
                what: "how long an open circuit rests before a single try decides",
            },
        ]
    };
}

/// The options of files that are waited for.
pub const FILE_PATIENCE_DOCS: &[OptionDoc] = patience_docs!("file", "a file that is not there");
/// The options of topics that are waited for.
pub const TOPIC_PATIENCE_DOCS: &[OptionDoc] =
    patience_docs!("topic", "a topic that does not exist, or brokers that do not answer,");

const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(1);
const FAILURES: u32 = 5;

/// How a pause grows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Growth {
    Fixed,
    Linear(Duration),
    Exponential(f64),
}

/// For how long a source that is away is tried again, and how often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// What the names of its options begin with.
    what: &'static str,
    /// How long there may be nothing but failures.
    pub(super) limit: Duration,
    interval: Duration,
    growth: Growth,
    most: Duration,
    pub(super) circuit: CircuitRule,
}

impl Patience {
    /// Reads the options that begin with `what`; none if a failure is final at once. Options that have no use then are
    /// left for the strict end of the reading.
    ///
    /// # Errors
    /// Invalid, when an option has a value that it cannot have.
    pub(super) fn read(options: &mut Options, what: &'static str) -> Result<Option<Self>> {
        let limit = options.take_duration(&format!("{what}.wait.timeout"))?.unwrap_or_default();
        if limit.is_zero() {
            return Ok(None);
        }
        let interval = options.take_duration(&format!("{what}.retry.interval"))?;
        let interval = interval.unwrap_or(DEFAULT_INTERVAL).max(SHORTEST);
        let strategies = [
            ("fixed", Growth::Fixed),
            ("linear", Growth::Linear(interval)),
            ("exponential", Growth::Exponential(2.0)),
        ];
        let growth = options.take_choice(&format!("{what}.retry.strategy"), &strategies)?;
        let growth = match growth.unwrap_or(Growth::Fixed) {
            Growth::Fixed => Growth::Fixed,
            Growth::Linear(increment) => {
                let given = options.take_duration(&format!("{what}.retry.increment"))?;
                Growth::Linear(given.unwrap_or(increment))
            }
            Growth::Exponential(factor) => {
                let key = format!("{what}.retry.multiplier");
                let given = options.take_or(&key, factor)?;
                if !(1.0..=1e6).contains(&given) {
                    return Err(refused(options, &key, "must be 1 or more: pauses do not get shorter"));
                }
                Growth::Exponential(given)
            }
        };
        let most = match growth {
            Growth::Fixed => interval,
            _ => options.take_or(&format!("{what}.retry.max.delay"), Duration::from_secs(120))?.max(interval),
        };
        Ok(Some(Self { what, limit, interval, growth, most, circuit: take_circuit(options)? }))
    }

    /// Returns the pause after the `failures`th failure in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let steps = failures.saturating_sub(1);
        let pause = match self.growth {
            Growth::Fixed => self.interval,
            Growth::Linear(increment) => self.interval.saturating_add(increment.saturating_mul(steps)),
            Growth::Exponential(factor) => {
                let steps = i32::try_from(steps).unwrap_or(i32::MAX);
                let seconds = self.interval.as_secs_f64() * factor.powi(steps);
                Duration::try_from_secs_f64(seconds).unwrap_or(self.most)
            }
        };
        pause.min(self.most)
    }

    /// Returns the error for a source that was away for too long; `last` is what went wrong at last.
    pub(super) fn exhausted(&self, last: &Error) -> Error {
        let limit = duration_text(self.limit);
        Error::unavailable(format!("{}, after {limit} of trying", last.message())).with_hint(format!(
            "see whether whoever provides it runs, or wait longer: '{}.wait.timeout' = '…'",
            self.what
        ))
    }
}

fn take_circuit(options: &mut Options) -> Result<CircuitRule> {
    let failures = options.take_or("circuit.failures", FAILURES)?;
    if failures == 0 {
        return Err(refused(options, "circuit.failures", "must be 1 or more"));
    }
    let percent = options.take_or("circuit.failure.rate", 50)?;
    if !(1..=100).contains(&percent) {
        return Err(refused(options, "circuit.failure.rate", "must be from 1 to 100"));
    }
    Ok(CircuitRule {
        failures,
        percent,
        window: options.take_or("circuit.window", Duration::from_secs(60))?,
        cooldown: options.take_or("circuit.cooldown", Duration::from_secs(10))?,
    })
}

/// Returns the error for an option that was taken and cannot have its value.
fn refused(options: &Options, key: &str, why: &str) -> Error {
    let error = Error::invalid(format!("option `{key}` {why}"));
    match options.origin(key).and_then(crate::config::Origin::span) {
        Some(span) => error.with_span(span),
        None => error,
    }
}
