//! Planning joins of streams: how long rows wait for partners, and which columns say so.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, Projection};

use super::attach_join::read_bounds;
use super::compile::Compiler;
use super::stream_plan::{OperatorKind, StepPlan};
use super::time_bound::{TimeBound, same_window, time_lag};
use crate::error::{Error, Result};
use crate::join::{JoinKind, JoinSpec, Keeping, Unmatched};
use crate::sql::functions::meets_function;

/// What the rows of a join know of time.
pub(super) struct Meeting {
    /// Time and watermark of each side's rows.
    pub(super) times: [[Expr; 2]; 2],
    /// What the clause about time says, and what else it compares.
    pub(super) text: String,
    pub(super) compared: Vec<Expr>,
}

/// The conditions of a join that are left, and what its rows know of time.
pub(super) struct Conditions {
    pub(super) meeting: Option<Meeting>,
    pub(super) rest: Vec<Expr>,
}

impl Conditions {
    /// Takes the conditions of `join` apart.
    pub(super) fn of(join: &Join) -> Result<Self> {
        let (mut meeting, mut rest) = (None, vec![]);
        for condition in join.filter.iter().flat_map(split_conjunction) {
            match condition {
                Expr::ScalarFunction(call) if call.func.name() == meets_function().name() => {
                    meeting = Some(Meeting::read(call)?);
                }
                other => rest.push(other.clone()),
            }
        }
        Ok(Self { meeting, rest })
    }

    /// Returns whether the join is with the version of a row that held at a time.
    pub(super) fn version(&self) -> Option<&Meeting> {
        self.meeting.as_ref().filter(|meeting| meeting.text.starts_with("version"))
    }
}

impl Meeting {
    fn read(call: &ScalarFunction) -> Result<Self> {
        let [left, left_mark, right, right_mark, Expr::Literal(text, _), compared @ ..] =
            call.args.as_slice()
        else {
            return Err(Error::internal("a join in time without its times"));
        };
        Ok(Self {
            times: [[left.clone(), left_mark.clone()], [right.clone(), right_mark.clone()]],
            text: text.try_as_str().flatten().unwrap_or_default().to_owned(),
            compared: compared.to_vec(),
        })
    }

    /// Returns the ordinals of one of the columns (0: time, 1: watermark) in both sides.
    pub(super) fn ordinals(&self, which: usize, join: &Join) -> Result<[usize; 2]> {
        Ok([ordinal(&self.times[0][which], &join.left)?, ordinal(&self.times[1][which], &join.right)?])
    }
}

/// A join of streams, planned.
pub(super) struct PlannedJoin {
    pub(super) kind: OperatorKind,
    /// Whether the result takes rows back although no input does.
    pub(super) withdraws: bool,
    /// What the rows of each side go through first.
    pub(super) before: [Vec<StepPlan>; 2],
}

/// What a join's inputs are like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    /// Whether both end, or are tables.
    pub(super) end: bool,
    /// Whether one withdraws rows.
    pub(super) change: bool,
    /// `state.ttl`.
    pub(super) ttl_ms: Option<i64>,
    /// Whether rows without a partner are wanted at once.
    pub(super) at_once: bool,
}

/// Makes all keys of a join columns of its sides, where they are not; returns what gives the same rows.
pub(super) fn with_plain_keys(join: &Join) -> Result<Option<LogicalPlan>> {
    let is_column = |key: &Expr| matches!(key, Expr::Column(_));
    if join.on.iter().all(|(a, b)| is_column(a) && is_column(b)) {
        return Ok(None);
    }
    let side = |input: &Arc<LogicalPlan>, keys: Vec<&Expr>, name: &str| -> Result<_> {
        let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let mut named = vec![];
        for (at, key) in keys.into_iter().enumerate() {
            if is_column(key) {
                named.push(key.clone());
                continue;
            }
            let name = format!("__{name}_key{at}");
            columns.push(key.clone().alias(&name));
            named.push(Expr::Column(Column::from_name(name)));
        }
        let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::clone(input))?);
        Ok((Arc::new(plan), named))
    };
    let (left, left_keys) = side(&join.left, join.on.iter().map(|(key, _)| key).collect(), "left")?;
    let (right, right_keys) = side(&join.right, join.on.iter().map(|(_, key)| key).collect(), "right")?;
    let joined = Join::try_new(
        left,
        right,
        left_keys.into_iter().zip(right_keys).collect(),
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    let columns = join.schema.columns().into_iter().map(Expr::Column).collect();
    let joined = Arc::new(LogicalPlan::Join(joined));
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, joined)?)))
}

/// Plans a join whose keys are columns.
pub(super) fn plan_stream_join(join: &Join, sides: Sides, compiler: &Compiler<'_>) -> Result<PlannedJoin> {
    let kind = kind_of(join)?;
    let Conditions { meeting, rest } = Conditions::of(join)?;
    let window = same_window(&join.on, &join.left, &join.right).filter(|_| !sides.change);
    let within = within(join, meeting.as_ref())?.filter(|_| !sides.change);
    let mut before = [vec![], vec![]];
    let (mut times, mut marks, mut lags) = (None, None, [0, 0]);
    let keeping = if let Some(window) = &window {
        times = Some([ordinal(&window.bounds[0], &join.left)?, ordinal(&window.bounds[1], &join.right)?]);
        Keeping::Within { lower_ms: -window.slack_ms, upper_ms: window.slack_ms }
    } else if let (Some(within), Some(meeting)) = (within, &meeting) {
        let Within { bound, .. } = within;
        (times, lags) = (Some(within.times), within.lags);
        for ((steps, side), [time, mark]) in
            before.iter_mut().zip([&join.left, &join.right]).zip(&meeting.times)
        {
            let condition = time.clone().gt_eq(mark.clone());
            steps.push(StepPlan::DropLate { condition, windows: None, input: Arc::clone(side.schema()) });
        }
        Keeping::Within { lower_ms: bound.lower, upper_ms: bound.upper }
    } else if let (Some(ttl_ms), Some(meeting)) = (sides.ttl_ms, &meeting) {
        times = Some(meeting.ordinals(0, join)?);
        marks = Some(meeting.ordinals(1, join)?);
        Keeping::For { ttl_ms }
    } else if sides.end {
        Keeping::Always
    } else {
        return Err(without_bound(sides, meeting.is_some()));
    };
    let at_once = sides.change || sides.at_once || matches!(keeping, Keeping::For { .. });
    let pair = join.left.schema().join(join.right.schema())?;
    let spec = JoinSpec {
        kind,
        inputs: [&join.left, &join.right].map(|side| Arc::clone(side.schema().inner())),
        keys: keys_of(join)?,
        nulls_match: join.null_equality == NullEquality::NullEqualsNull,
        times,
        marks,
        lags,
        keeping,
        condition: conjunction(rest).map(|rest| compiler.expression(&rest, &pair)).transpose()?,
        pair: Arc::clone(pair.inner()),
        output: Arc::clone(join.schema.inner()),
        unmatched: if at_once && !is_within(keeping) { Unmatched::AtOnce } else { Unmatched::WhenSure },
    };
    let withdraws = spec.withdraws();
    Ok(PlannedJoin { kind: OperatorKind::Join(Arc::new(spec)), withdraws, before })
}

fn is_within(keeping: Keeping) -> bool {
    matches!(keeping, Keeping::Within { .. })
}

/// How far apart rows may be, by which columns, and how far these lag behind the time of their rows.
struct Within {
    bound: TimeBound,
    times: [usize; 2],
    lags: [i64; 2],
}

/// Returns how far apart rows may be, if that is bounded.
fn within(join: &Join, meeting: Option<&Meeting>) -> Result<Option<Within>> {
    let Some(meeting) = meeting else { return Ok(None) };
    if let Some((lower, upper)) = read_bounds(&meeting.text) {
        let bound = TimeBound { lower, upper, columns: None };
        return Ok(Some(Within { bound, times: meeting.ordinals(0, join)?, lags: [0, 0] }));
    }
    let bound = TimeBound::of(join);
    let Some(columns) = bound.columns.clone().filter(|_| bound.is_bounded()) else { return Ok(None) };
    let (mut times, mut lags) = (meeting.ordinals(0, join)?, [0, 0]);
    for (port, (column, side)) in columns.into_iter().zip([&join.left, &join.right]).enumerate() {
        let column = Expr::Column(column);
        match time_lag(&column, side) {
            Some(0) => {}
            Some(lag)
                if column.get_type(side.schema())? == DataType::Timestamp(TimeUnit::Millisecond, None) =>
            {
                times[port] = ordinal(&column, side)?;
                lags[port] = lag;
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(Within { bound, times, lags }))
}

fn kind_of(join: &Join) -> Result<JoinKind> {
    Ok(match join.join_type {
        JoinType::Inner => JoinKind::Inner,
        JoinType::Left => JoinKind::Left,
        JoinType::Right => JoinKind::Right,
        JoinType::Full => JoinKind::Full,
        JoinType::LeftSemi => JoinKind::LeftSemi,
        JoinType::LeftAnti => JoinKind::LeftAnti,
        JoinType::LeftMark => JoinKind::LeftMark,
        other => return Err(Error::not_yet(format!("a {other} join of streams"))),
    })
}

/// Returns the columns of the keys of both sides.
pub(super) fn keys_of(join: &Join) -> Result<[Vec<usize>; 2]> {
    let left = join.on.iter().map(|(key, _)| ordinal(key, &join.left));
    let right = join.on.iter().map(|(_, key)| ordinal(key, &join.right));
    Ok([left.collect::<Result<_>>()?, right.collect::<Result<_>>()?])
}

fn ordinal(column: &Expr, plan: &LogicalPlan) -> Result<usize> {
    let schema: &DFSchema = plan.schema();
    match column {
        Expr::Column(column) => Ok(schema.index_of_column(column)?),
        other => Err(Error::internal(format!("`{other}` of a join is no column"))),
    }
}

fn without_bound(sides: Sides, has_time: bool) -> Error {
    if sides.ttl_ms.is_some() && !has_time {
        return Error::invalid("`state.ttl` of a join needs rows with an event time, and one side has none")
            .with_hint("give the inner aggregate a WINDOW");
    }
    let what = if sides.change {
        "a join of changes that do not end keeps rows for ever"
    } else {
        "a join of two streams without a time bound keeps rows for ever"
    };
    Error::invalid(what).with_hint(
        "say how far apart rows may be: `JOIN … ON … WITHIN 5m`, or `b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' MINUTE` on the event times; join windows; or set 'state.ttl'",
    )
}
