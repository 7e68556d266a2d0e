//! [`EpochClock`] and the functions that read it: `now`, `current_date`, `current_time`, `unix_timestamp()`.
//!
//! DataFusion replaces its own `now()` by a constant while planning; a job is planned once and runs for months, so
//! ours are volatile and read the clock of the epoch that is being computed.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::logical_expr::{simplify::ExprSimplifyResult, simplify::SimplifyContext};

use super::date::{is_time_or_text, to_unix_seconds, unix_seconds_udf};
use super::scalar::{Outcome, Scalar, external, wrong_arguments};
use crate::error::Error;

const DAY_MS: i64 = 86_400_000;

/// The time of the chunk or epoch that a thread computes, in milliseconds since 1970; clones share it.
///
/// Put into the options of a session, it is what `now()` returns in every plan made there.
///
/// ```
/// use velostream::sql::functions::EpochClock;
///
/// let clock = EpochClock::default();
/// clock.clone().set_millis(1_000);
/// assert_eq!(clock.millis(), 1_000);
/// ```
#[derive(Debug, Clone, Default)]
pub struct EpochClock {
    millis: Arc<AtomicI64>,
}

impl EpochClock {
    /// Returns the milliseconds since the Unix epoch.
    pub fn millis(&self) -> i64 {
        self.millis.load(Ordering::Relaxed)
    }

    /// Moves the clock to `millis` since the Unix epoch, for all clones.
    pub fn set_millis(&self, millis: i64) {
        self.millis.store(millis, Ordering::Relaxed);
    }
}

impl ConfigExtension for EpochClock {
    const PREFIX: &'static str = "velo_clock";
}

impl ExtensionOptions for EpochClock {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Outcome<()> {
        Err(DataFusionError::Configuration(format!("`velo_clock.{key}` cannot be set")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        vec![]
    }
}

/// Returns the functions that read the clock.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("now", no_arguments, |_| instant(), |args| Ok(millis_scalar(read(args)?)))
            .volatile()
            .alias("current_timestamp")
            .help("now()", "Returns the current time, the same for all rows that are processed together.")
            .into_udf(),
        Scalar::new("current_date", no_arguments, |_| DataType::Date32, current_date)
            .volatile()
            .alias("today")
            .help("current_date()", "Returns the current date in UTC.")
            .into_udf(),
        Scalar::new("current_time", no_arguments, |_| DataType::Time64(TimeUnit::Nanosecond), current_time)
            .volatile()
            .help("current_time()", "Returns the current time of day in UTC.")
            .into_udf(),
        Arc::new(ScalarUDF::new_from_impl(UnixTimestamp::default())),
    ]
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn no_arguments(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [] => Ok(vec![]),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}()"))),
    }
}

fn read(args: &ScalarFunctionArgs) -> Outcome<i64> {
    match args.config_options.extensions.get::<EpochClock>() {
        Some(clock) => Ok(clock.millis()),
        None => Err(external(Error::internal("the session has no `EpochClock`"))),
    }
}

fn millis_scalar(millis: i64) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::TimestampMillisecond(Some(millis), None))
}

fn current_date(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let days = i32::try_from(read(args)?.div_euclid(DAY_MS)).ok();
    Ok(ColumnarValue::Scalar(ScalarValue::Date32(days)))
}

fn current_time(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let nanos = read(args)?.rem_euclid(DAY_MS) * 1_000_000;
    Ok(ColumnarValue::Scalar(ScalarValue::Time64Nanosecond(Some(nanos))))
}

/// `unix_timestamp()` is the clock in seconds; `unix_timestamp(time)` is that time in seconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct UnixTimestamp {
    signature: Signature,
    documentation: Documentation,
}

impl Default for UnixTimestamp {
    fn default() -> Self {
        let documentation = super::scalar::documentation(
            "unix_timestamp([time])",
            "Returns the whole seconds since 1970 of a time, or of now.",
        );
        Self { signature: Signature::user_defined(Volatility::Volatile), documentation }
    }
}

impl ScalarUDFImpl for UnixTimestamp {
    fn name(&self) -> &str {
        "unix_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        match arguments {
            [] | [DataType::Timestamp(..)] => Ok(DataType::Int64),
            _ => Err(wrong_arguments(self.name(), arguments, "unix_timestamp(time)")),
        }
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
        match arguments {
            [one] if is_time_or_text(one) => Ok(vec![instant()]),
            _ => Ok(arguments.to_vec()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Outcome<ColumnarValue> {
        if args.args.is_empty() {
            return Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(read(&args)?.div_euclid(1_000)))));
        }
        to_unix_seconds(&args)
    }

    /// With an argument it does not depend on the clock, and may be computed and moved like any other function.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Outcome<ExprSimplifyResult> {
        if args.is_empty() {
            return Ok(ExprSimplifyResult::Original(args));
        }
        Ok(ExprSimplifyResult::Simplified(unix_seconds_udf().call(args)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
