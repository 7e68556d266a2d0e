//! `EXTRACT(part FROM duration)`: DataFusion's `date_part`, corrected for the difference of two timestamps.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, DurationMicrosecondType, FieldRef, TimeUnit};
use datafusion::functions::datetime::date_part;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

use super::scalar::{Outcome, external};
use super::text_column::{rows_of, shaped};
use crate::error::Error;

/// Returns `date_part`.
pub(super) fn date_part_udf() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(DatePart { inner: date_part() }))
}

/// Plans `EXTRACT` as our `date_part`.
#[derive(Debug)]
pub(super) struct ExtractPlanner;

impl ExprPlanner for ExtractPlanner {
    fn plan_extract(&self, args: Vec<Expr>) -> Outcome<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(date_part_udf().call(args)))
    }
}

/// DataFusion's function, except for durations: there the epoch loses the fraction of a second.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Outcome<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Outcome<ColumnarValue> {
        let [ColumnarValue::Scalar(part), value] = args.args.as_slice() else {
            return self.inner.invoke_with_args(args);
        };
        if !matches!(value.data_type(), DataType::Duration(_)) {
            return self.inner.invoke_with_args(args);
        }
        let part = part.try_as_str().flatten().unwrap_or_default().to_ascii_lowercase();
        let rows = rows_of(&args.args, args.number_rows);
        let column = of_duration(&part, &value.to_array(rows)?)?;
        shaped(cast(&column, args.return_field.data_type())?, &args.args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Returns a part of durations, as PostgreSQL does for intervals of days and smaller units: signs follow the duration.
fn of_duration(part: &str, durations: &ArrayRef) -> Outcome<ArrayRef> {
    let micros = cast(durations, &DataType::Duration(TimeUnit::Microsecond))?;
    let micros = micros.as_primitive::<DurationMicrosecondType>();
    let whole = |size: i64, modulus: i64| -> ArrayRef {
        let column: Int64Array = micros.unary(|micros| micros / size % modulus);
        Arc::new(column)
    };
    Ok(match part {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a difference of more than 285 years may lose microseconds"
        )]
        "epoch" => Arc::new(micros.unary::<_, arrow::datatypes::Float64Type>(|micros| micros as f64 / 1e6))
            as ArrayRef,
        "week" | "weeks" => whole(7 * 86_400_000_000, i64::MAX),
        "day" | "days" | "d" => whole(86_400_000_000, i64::MAX),
        "hour" | "hours" => whole(3_600_000_000, 24),
        "minute" | "minutes" => whole(60_000_000, 60),
        "second" | "seconds" => whole(1_000_000, 60),
        "millisecond" | "milliseconds" | "ms" => whole(1_000, 60_000),
        "microsecond" | "microseconds" | "us" => whole(1, 60_000_000),
        "nanosecond" | "nanoseconds" | "ns" => {
            let column: Int64Array = micros.unary(|micros| micros % 60_000_000 * 1_000);
            Arc::new(column)
        }
        _ => {
            let error = Error::invalid(format!("a difference of two times has no part `{part}`"));
            return Err(external(error.with_hint("use EPOCH, DAY, HOUR, MINUTE, SECOND or MILLISECOND")));
        }
    })
}
