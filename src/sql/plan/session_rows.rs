//! Planning the session of each row in a stream: whose it is, when a row counts, and which rows are late.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, Window, cast, lit, when};

use super::compile::Compiler;
use super::over::{Calls, PlannedOver, Prepared, bare, ordinal, prepare};
use super::stream_plan::{OperatorKind, StepPlan};
use crate::error::{Error, Result};
use crate::over::SessionRowsSpec;
use crate::sql::functions::session_function;
use crate::sql::window_spec::WindowSpec;
use crate::time::{LateRule, SessionWindow};

/// Returns whether a call gives each row its session.
pub(super) fn is_session(call: &WindowFunction) -> bool {
    call.fun.name() == session_function().name()
}

/// Plans the session of each row.
pub(super) fn plan_sessions(window: &Window, calls: &Calls, _compiler: &Compiler<'_>) -> Result<PlannedOver> {
    let [call] = calls.calls.as_slice() else {
        return Err(Error::internal("the session of a row beside other functions"));
    };
    let schema = window.input.schema();
    let [own_time, watermark, ..] = calls.hidden.as_slice() else {
        return Err(Error::internal("a session without a time"));
    };
    let (Some(time), Some(windows)) = (call.params.args.first(), sessions_of(call)) else {
        return Err(Error::internal("a session without its arguments"));
    };
    let (late, counted) = lateness(&windows, time, watermark)?;
    let late =
        late.map(|condition| StepPlan::DropLate { condition, windows: None, input: Arc::clone(schema) });
    let Prepared { keys, further, project, input } = prepare(&call.params.partition_by, &[counted], schema)?;
    let longest = windows.max_ms.map_or(String::new(), |max| format!(", cut at {max} ms"));
    let by = match call.params.partition_by.as_slice() {
        [] => " of all rows".to_owned(),
        keys => format!(" by {}", keys.iter().map(bare).collect::<Vec<_>>().join(", ")),
    };
    let spec = SessionRowsSpec {
        input: Arc::clone(&input),
        output: Arc::clone(window.schema.inner()),
        keys: keys.clone(),
        counted: further[0],
        time: ordinal(own_time, schema)?,
        windows,
        description: format!("sessions{by} with a gap of {} ms{longest}", windows.gap_ms),
    };
    let steps = late.into_iter().chain(project).collect();
    Ok(PlannedOver { kind: OperatorKind::SessionRows(Arc::new(spec)), input, keys, steps })
}

fn sessions_of(call: &WindowFunction) -> Option<SessionWindow> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = call.params.args.last()? else { return None };
    text.parse::<WindowSpec>().ok()?.session()
}

/// Returns which rows are not late, if some may be, and the instant at which a row counts.
fn lateness(windows: &SessionWindow, time: &Expr, watermark: &Expr) -> Result<(Option<Expr>, Expr)> {
    let millis = |instant: &Expr| cast(instant.clone(), DataType::Int64);
    Ok(match windows.late {
        LateRule::Drop => (Some(time.clone().gt_eq(watermark.clone())), time.clone()),
        LateRule::Correct => {
            let until = millis(time) + lit(windows.gap_ms.saturating_add(windows.grace_ms));
            (Some(until.gt(millis(watermark))), time.clone())
        }
        LateRule::NextOpen => {
            let later =
                when(time.clone().lt(watermark.clone()), watermark.clone()).otherwise(time.clone())?;
            (None, cast(later, DataType::Timestamp(TimeUnit::Millisecond, None)))
        }
    })
}
