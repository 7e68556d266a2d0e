//! Planning `FOR SYSTEM_TIME AS OF` and `ASOF JOIN`: each row takes the version of a row that belongs to its time.

use std::sync::Arc;

use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::compile::Compiler;
use super::stream_join::{Conditions, PlannedJoin, keys_of};
use super::stream_plan::{OperatorKind, StepPlan};
use super::time_bound::time_lag;
use crate::error::{Error, Result};
use crate::join::{AsOfMatch, AsOfSpec};

/// Plans a join with versions whose keys are columns.
pub(super) fn plan_version_join(join: &Join, compiler: &Compiler<'_>) -> Result<PlannedJoin> {
    let Conditions { meeting: Some(meeting), rest } = Conditions::of(join)? else {
        return Err(Error::internal("a join with versions without their times"));
    };
    let keeps_unmatched = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        other => {
            return Err(Error::not_yet(format!("a {other} join with the versions of a table"))
                .with_hint("use JOIN or LEFT JOIN"));
        }
    };
    if join.on.is_empty() {
        return Err(Error::invalid("a join with the versions of a table needs an equality of keys")
            .with_hint("write it like `ON s.currency = r.currency`"));
    }
    let pair = join.left.schema().join(join.right.schema())?;
    let condition = conjunction(rest).map(|rest| compiler.expression(&rest, &pair)).transpose()?;
    let [time, mark] = &meeting.times[0];
    let in_time = StepPlan::DropLate {
        condition: time.clone().gt_eq(mark.clone()),
        windows: None,
        input: Arc::clone(join.left.schema()),
    };
    let spec = AsOfSpec {
        inputs: [&join.left, &join.right].map(|side| Arc::clone(side.schema().inner())),
        keys: keys_of(join)?,
        nulls_match: join.null_equality == NullEquality::NullEqualsNull,
        times: meeting.ordinals(0, join)?,
        ties: vec![],
        matching: matching(&meeting.text, &meeting.compared, join)?,
        keeps_unmatched,
        condition,
        output: Arc::clone(join.schema.inner()),
    };
    let kind = OperatorKind::AsOfJoin(Arc::new(spec));
    Ok(PlannedJoin { kind, withdraws: false, before: [vec![in_time], vec![]] })
}

fn matching(text: &str, compared: &[Expr], join: &Join) -> Result<AsOfMatch> {
    let is_time = |expression: &Expr, side: &LogicalPlan| time_lag(expression, side) == Some(0);
    let sign = text.trim_start_matches("version").trim();
    let found = match compared {
        [time] if is_time(time, &join.left) => Some(AsOfMatch::AtOrBefore),
        [a, b] if is_time(a, &join.left) && is_time(b, &join.right) => match sign {
            ">=" => Some(AsOfMatch::AtOrBefore),
            ">" => Some(AsOfMatch::Before),
            "<=" => Some(AsOfMatch::AtOrAfter),
            _ => Some(AsOfMatch::After),
        },
        [a, b] if is_time(a, &join.right) && is_time(b, &join.left) => match sign {
            "<=" => Some(AsOfMatch::AtOrBefore),
            "<" => Some(AsOfMatch::Before),
            ">=" => Some(AsOfMatch::AtOrAfter),
            _ => Some(AsOfMatch::After),
        },
        _ => None,
    };
    found.ok_or_else(|| {
        Error::invalid("a version is found by the event times of both sides, and something else is compared")
            .with_hint("name the columns of `WATERMARK FOR`: FOR SYSTEM_TIME AS OF s.ts, MATCH_CONDITION (s.ts >= t.ts)")
    })
}
