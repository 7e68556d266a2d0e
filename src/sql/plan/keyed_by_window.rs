//! Windowed aggregates over rows that may be withdrawn: the windows of a row become keys like others.
//!
//! Which changes of such rows come before a window would close depends on how rows were batched, so no window of them ever
//! closes: it is given as it changes.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;

use super::stream_plan::{AggregatePlan, StepPlan, WindowPlan};
use crate::aggregate::GroupColumn;
use crate::error::{Error, Result};

/// An aggregation whose windows are keys.
pub(super) struct KeyedByWindow {
    pub(super) plan: AggregatePlan,
    /// Gives the rows their windows, unless they have them.
    pub(super) windows: Option<StepPlan>,
}

/// Returns whether the rows are put into windows by a time of which nobody knows how far it is.
pub(super) fn is_timeless(plan: &AggregatePlan) -> bool {
    let unknown = |watermark: &Expr| {
        matches!(watermark, Expr::Literal(ScalarValue::TimestampMillisecond(None, _) | ScalarValue::Null, _))
    };
    matches!(&plan.window, Some(WindowPlan::Placed { watermark, .. }) if unknown(watermark))
}

/// Makes the windows of an aggregation keys.
pub(super) fn keyed_by_window(plan: &AggregatePlan) -> Result<KeyedByWindow> {
    let mut plan = plan.clone();
    let (time, spec) = match plan.window.take() {
        Some(WindowPlan::Placed { time, spec, .. }) => (time, spec),
        // The bound that rows have is among the keys.
        Some(WindowPlan::Given { .. }) | None => return Ok(KeyedByWindow { plan, windows: None }),
    };
    if spec.session().is_some() {
        return Err(Error::not_yet("a SESSION window over rows that may be withdrawn").with_hint(
            "put the SESSION window below the aggregate, use a TUMBLING window, or `--mode batch`",
        ));
    }
    let instant = || DataType::Timestamp(TimeUnit::Millisecond, None);
    let names = ["__window_start", "__window_end"];
    let input = Arc::clone(&plan.input);
    let mut fields: Vec<_> =
        input.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    fields.extend(names.map(|name| (None, Arc::new(Field::new(name, instant(), false)))));
    plan.input = Arc::new(DFSchema::new_with_metadata(fields, input.metadata().clone())?);
    let start = plan.keys.len();
    plan.keys.extend(names.map(|name| Expr::Column(Column::new_unqualified(name))));
    for column in &mut plan.layout {
        match column {
            GroupColumn::WindowStart => *column = GroupColumn::Key(start),
            GroupColumn::WindowEnd => *column = GroupColumn::Key(start + 1),
            GroupColumn::Key(_) | GroupColumn::SessionDuration => {}
        }
    }
    let output = Arc::clone(plan.input.inner());
    Ok(KeyedByWindow { plan, windows: Some(StepPlan::RowWindows { time, spec, input, output }) })
}
