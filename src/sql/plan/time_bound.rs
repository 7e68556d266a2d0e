//! Finding out how far apart in event time the rows of a pair may be, from the conditions of their join.
//!
//! Each side of a comparison is read as a sum of the left row's time, the right row's time and a constant; a comparison
//! that says something about the difference of the two bounds it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator, TableScan,
};

use super::attach_join::reads_only_tables;
use super::stream_join::Conditions;
use super::window_trace::{below, relation_of, trace_window};
use crate::sql::relation::{SystemColumn, WindowPart};

/// Bounds of `right.time − left.time` in milliseconds, both inclusive; `i64::MIN` and `i64::MAX` stand for none.
#[derive(Debug, Clone)]
pub(super) struct TimeBound {
    pub(super) lower: i64,
    pub(super) upper: i64,
    /// The columns that are compared, left and right.
    pub(super) columns: Option<[Column; 2]>,
}

impl TimeBound {
    /// Returns what the conditions of a join say.
    pub(super) fn of(join: &Join) -> Self {
        let mut bound = Self { lower: i64::MIN, upper: i64::MAX, columns: None };
        let sides = (join.left.as_ref(), join.right.as_ref());
        for condition in join.filter.iter().flat_map(split_conjunction) {
            bound.narrow(condition, sides);
        }
        for (a, b) in &join.on {
            let sums = (Sum::of(a, sides), Sum::of(b, sides));
            if let (Some(a), Some(b)) = sums {
                bound.compare(a.minus(b), Operator::Eq);
            }
        }
        bound
    }

    /// Returns whether both sides wait only for a time.
    pub(super) fn is_bounded(&self) -> bool {
        self.lower != i64::MIN && self.upper != i64::MAX
    }

    fn narrow(&mut self, condition: &Expr, sides: (&LogicalPlan, &LogicalPlan)) {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if let (Some(left), Some(right)) = (Sum::of(left, sides), Sum::of(right, sides)) {
                    self.compare(left.minus(right), *op);
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let sum = |expr| Sum::of(expr, sides);
                if let (Some(value), Some(low)) = (sum(expr), sum(low)) {
                    self.compare(value.minus(low), Operator::GtEq);
                }
                if let (Some(value), Some(high)) = (sum(expr), sum(high)) {
                    self.compare(value.minus(high), Operator::LtEq);
                }
            }
            _ => {}
        }
    }

    /// Takes in that `sum op 0`.
    fn compare(&mut self, sum: Sum, op: Operator) {
        // right − left + constant, or the opposite.
        let (constant, op) = match (sum.left, sum.right) {
            (-1, 1) => (sum.millis, op),
            (1, -1) => (sum.millis.saturating_neg(), op.swap().unwrap_or(op)),
            _ => return,
        };
        let [Some(left), Some(right)] = sum.columns else { return };
        let columns = [left, right];
        if sum.mixed || self.columns.as_ref().is_some_and(|known| *known != columns) {
            return;
        }
        // Times are compared as they are written, and kept in milliseconds: a part of one may be lost on each side.
        let slack = sum.slack;
        let at = constant.saturating_neg();
        let strict = i64::from(slack == 0);
        let (lower, upper) = match op {
            Operator::GtEq => (at - slack, i64::MAX),
            Operator::Gt => (at - slack + strict, i64::MAX),
            Operator::LtEq => (i64::MIN, at + slack),
            Operator::Lt => (i64::MIN, at + slack - strict),
            Operator::Eq => (at - slack, at + slack),
            _ => return,
        };
        self.columns = Some(columns);
        self.lower = self.lower.max(lower);
        self.upper = self.upper.min(upper);
    }
}

/// `left · left.time + right · right.time + millis`.
#[derive(Debug, Clone, Default)]
struct Sum {
    left: i64,
    right: i64,
    millis: i64,
    slack: i64,
    columns: [Option<Column>; 2],
    /// Whether several columns of one side are in it.
    mixed: bool,
}

impl Sum {
    fn of(expression: &Expr, sides: (&LogicalPlan, &LogicalPlan)) -> Option<Self> {
        match expression {
            Expr::Alias(alias) => Self::of(&alias.expr, sides),
            Expr::Cast(cast) if is_time(cast.field.data_type()) => Self::of(&cast.expr, sides),
            Expr::Literal(value, _) => Some(Self { millis: millis_of(value)?, ..Self::default() }),
            Expr::Column(column) => {
                let is_left = sides.0.schema().has_column(column);
                let plan = if is_left { sides.0 } else { sides.1 };
                time_lag(expression, plan)?;
                let exact = matches!(
                    expression.get_type(plan.schema()).ok()?,
                    DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Second, _)
                );
                let column = Some(column.clone());
                let columns = if is_left { [column, None] } else { [None, column] };
                let slack = i64::from(!exact);
                let (left, right) = (i64::from(is_left), i64::from(!is_left));
                Some(Self { left, right, slack, columns, ..Self::default() })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                Some(Self::of(left, sides)?.plus(Self::of(right, sides)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                Some(Self::of(left, sides)?.minus(Self::of(right, sides)?))
            }
            Expr::Negative(inner) => Some(Self::default().minus(Self::of(inner, sides)?)),
            _ => None,
        }
    }

    fn plus(self, other: Self) -> Self {
        let mut mixed = self.mixed || other.mixed;
        let columns = self.columns.into_iter().zip(other.columns).map(|(own, other)| {
            mixed |= own.is_some() && other.is_some() && own != other;
            own.or(other)
        });
        let columns: Vec<Option<Column>> = columns.collect();
        let [left, right] = columns.try_into().unwrap_or_default();
        Self {
            left: self.left + other.left,
            right: self.right + other.right,
            millis: self.millis.saturating_add(other.millis),
            slack: self.slack + other.slack,
            columns: [left, right],
            mixed,
        }
    }

    fn minus(self, other: Self) -> Self {
        let millis = other.millis.saturating_neg();
        self.plus(Self { left: -other.left, right: -other.right, millis, ..other })
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Duration(_) | DataType::Interval(_))
}

/// Returns a constant length of time in milliseconds, rounded to what covers it.
fn millis_of(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalDayTime(Some(length)) => {
            Some(i64::from(length.days) * 86_400_000 + i64::from(length.milliseconds))
        }
        ScalarValue::IntervalMonthDayNano(Some(length)) if length.months == 0 => {
            Some(i64::from(length.days) * 86_400_000 + length.nanoseconds / 1_000_000)
        }
        ScalarValue::DurationSecond(Some(length)) => length.checked_mul(1_000),
        ScalarValue::DurationMillisecond(Some(length)) => Some(*length),
        ScalarValue::DurationMicrosecond(Some(length)) => Some(length / 1_000),
        ScalarValue::DurationNanosecond(Some(length)) => Some(length / 1_000_000),
        _ => None,
    }
}

/// Returns how far a row's own time may be ahead of `expression` over `plan`, in milliseconds; none where the two have
/// nothing to do with each other.
///
/// It is 0 for the event time itself. A pair has the later of two times, so the other of them lags behind by as much as
/// the two may be apart.
pub(super) fn time_lag(expression: &Expr, plan: &LogicalPlan) -> Option<i64> {
    match expression {
        Expr::Alias(alias) => time_lag(&alias.expr, plan),
        Expr::Cast(cast) if is_time(cast.field.data_type()) => time_lag(&cast.expr, plan),
        Expr::Column(column) => match plan {
            LogicalPlan::TableScan(scan) => is_time_of(column, scan).then_some(0),
            LogicalPlan::Join(join) => pair_lag(column, join),
            LogicalPlan::Union(union) => {
                let ordinal = plan.schema().maybe_index_of_column(column)?;
                let lags = union.inputs.iter().map(|input| {
                    let (qualifier, field) = input.schema().qualified_field(ordinal);
                    time_lag(&Expr::Column(Column::new(qualifier.cloned(), field.name())), input)
                });
                lags.collect::<Option<Vec<i64>>>()?.into_iter().max()
            }
            // A projection that says `expr AS _event_time` gives rows another time.
            LogicalPlan::Projection(projection) if gives_time(&projection.expr) => {
                (column.name == SystemColumn::Time.name()).then_some(0)
            }
            _ => below(column, plan).and_then(|(origin, input)| time_lag(&origin, input)),
        },
        _ => None,
    }
}

fn gives_time(expressions: &[Expr]) -> bool {
    expressions.iter().any(|expression| match expression {
        Expr::Alias(alias) => {
            alias.name == SystemColumn::Time.name()
                && !matches!(alias.expr.as_ref(), Expr::Column(_))
                && !matches!(alias.expr.as_ref(), Expr::ScalarFunction(call) if call.func.name() == "greatest")
        }
        _ => false,
    })
}

fn is_time_of(column: &Column, scan: &TableScan) -> bool {
    let system = [SystemColumn::Time, SystemColumn::EventTime];
    let declared = relation_of(scan).is_some_and(|relation| {
        relation.event_time.as_ref().is_some_and(|time| time.column == column.name)
            || relation.time_columns.contains(&column.name)
    });
    declared || system.iter().any(|system| system.name() == column.name)
}

fn pair_lag(column: &Column, join: &Join) -> Option<i64> {
    let is_left = join.left.schema().has_column(column);
    let (own, other) = if is_left { (&join.left, &join.right) } else { (&join.right, &join.left) };
    let lag = time_lag(&Expr::Column(column.clone()), own)?;
    // What is looked up, and what version a row takes, changes nothing of its time.
    let has_version = Conditions::of(join).is_ok_and(|conditions| conditions.version().is_some());
    if reads_only_tables(other) || (has_version && is_left) {
        return Some(lag);
    }
    let bound = TimeBound::of(join);
    let [left, right] = bound.columns.clone().filter(|_| bound.is_bounded())?;
    let of_left = time_lag(&Expr::Column(left), &join.left)?;
    let of_right = time_lag(&Expr::Column(right), &join.right)?;
    let further =
        if is_left { bound.upper.saturating_add(of_right) } else { of_left.saturating_sub(bound.lower) };
    Some(lag.saturating_add(further.max(0)))
}

/// Returns the columns of a plan's result that are its rows' event time.
pub(super) fn event_time_columns(plan: &LogicalPlan) -> Vec<String> {
    let columns = plan.schema().iter().filter_map(|(qualifier, field)| {
        let column = Column::new(qualifier.cloned(), field.name());
        (time_lag(&Expr::Column(column), plan) == Some(0)).then(|| field.name().clone())
    });
    columns.filter(|name| !name.starts_with("__")).collect()
}

/// Two columns that are the same bound of the windows of both sides.
pub(super) struct SameWindow {
    /// The column of each side that is the bound.
    pub(super) bounds: [Expr; 2],
    /// How long after that bound rows of a window may still come, in milliseconds.
    pub(super) slack_ms: i64,
}

/// Returns the windows that rows of a pair share, where a condition of the join says so.
pub(super) fn same_window(
    on: &[(Expr, Expr)],
    left: &LogicalPlan,
    right: &LogicalPlan,
) -> Option<SameWindow> {
    let shared = on.iter().filter_map(|(a, b)| {
        let (traced, other) = (trace_window(a, left)?, trace_window(b, right)?);
        if traced.part != other.part || traced.part == WindowPart::Duration {
            return None;
        }
        let waits = |spec: &crate::sql::window_spec::WindowSpec| {
            let size = match traced.part {
                WindowPart::Start => spec.longest_ms()?,
                _ => 0,
            };
            Some(size + spec.grace_ms.unwrap_or(0))
        };
        let slack_ms = waits(&traced.spec)?.max(waits(&other.spec)?);
        Some((traced.part, SameWindow { bounds: [a.clone(), b.clone()], slack_ms }))
    });
    let mut shared: Vec<_> = shared.collect();
    shared.sort_by_key(|(part, _)| *part != WindowPart::End);
    shared.into_iter().next().map(|(_, shared)| shared)
}
