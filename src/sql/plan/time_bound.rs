//! Finding out how far apart in event time the rows of a pair may be, from the conditions of their join.
//!
//! Each side of a comparison is read as a sum of the left row's time, the right row's time and a constant; a comparison
//! that says something about the difference of the two bounds it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::window_trace::{below, relation_of, trace_window};
use crate::sql::relation::{SystemColumn, WindowPart};

/// Bounds of `right.time − left.time` in milliseconds, both inclusive; `i64::MIN` and `i64::MAX` stand for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeBound {
    pub(super) lower: i64,
    pub(super) upper: i64,
}

impl TimeBound {
    /// No bound.
    pub(super) const NONE: Self = Self { lower: i64::MIN, upper: i64::MAX };

    /// Returns whether both sides wait only for a time.
    pub(super) fn is_bounded(self) -> bool {
        self.lower != i64::MIN && self.upper != i64::MAX
    }

    /// Takes in what a condition of the join of `left` and `right` says.
    pub(super) fn narrow(&mut self, condition: &Expr, left: &LogicalPlan, right: &LogicalPlan) {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::And, right: b }) => {
                self.narrow(a, left, right);
                self.narrow(b, left, right);
            }
            Expr::BinaryExpr(BinaryExpr { left: a, op, right: b }) => {
                let (Some(a), Some(b)) = (Sum::of(a, left, right), Sum::of(b, left, right)) else { return };
                self.compare(a.minus(b), *op);
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let sum = |expr| Sum::of(expr, left, right);
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
            (1, -1) => (-sum.millis, op.swap().unwrap_or(op)),
            _ => return,
        };
        // Times are compared as they are written, and kept in milliseconds: a part of one may be lost on each side.
        let slack = sum.slack;
        let at = constant.saturating_neg();
        match op {
            Operator::GtEq | Operator::Gt => self.lower = self.lower.max(at - slack),
            Operator::LtEq | Operator::Lt => self.upper = self.upper.min(at + slack),
            Operator::Eq => {
                self.lower = self.lower.max(at - slack);
                self.upper = self.upper.min(at + slack);
            }
            _ => {}
        }
    }
}

/// `left · left.time + right · right.time + millis`.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    left: i64,
    right: i64,
    millis: i64,
    slack: i64,
}

impl Sum {
    fn of(expression: &Expr, left: &LogicalPlan, right: &LogicalPlan) -> Option<Self> {
        match expression {
            Expr::Alias(alias) => Self::of(&alias.expr, left, right),
            Expr::Cast(cast) if is_time(cast.field.data_type()) => Self::of(&cast.expr, left, right),
            Expr::Literal(value, _) => Some(Self { millis: millis_of(value)?, ..Self::default() }),
            Expr::Column(column) => {
                let (plan, own) =
                    if left.schema().has_column(column) { (left, (1, 0)) } else { (right, (0, 1)) };
                if !is_event_time(expression, plan) {
                    return None;
                }
                let exact = matches!(
                    expression.get_type(plan.schema()).ok()?,
                    DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Second, _)
                );
                Some(Self { left: own.0, right: own.1, millis: 0, slack: i64::from(!exact) })
            }
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Plus, right: b }) => {
                Some(Self::of(a, left, right)?.plus(Self::of(b, left, right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Minus, right: b }) => {
                Some(Self::of(a, left, right)?.minus(Self::of(b, left, right)?))
            }
            Expr::Negative(inner) => Some(Self::default().minus(Self::of(inner, left, right)?)),
            _ => None,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            left: self.left + other.left,
            right: self.right + other.right,
            millis: self.millis.saturating_add(other.millis),
            slack: self.slack + other.slack,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            left: self.left - other.left,
            right: self.right - other.right,
            millis: self.millis.saturating_sub(other.millis),
            slack: self.slack + other.slack,
        }
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

/// Returns whether `expression` over `plan` is the event time of the rows.
pub(super) fn is_event_time(expression: &Expr, plan: &LogicalPlan) -> bool {
    match expression {
        Expr::Alias(alias) => is_event_time(&alias.expr, plan),
        Expr::Cast(cast) if is_time(cast.field.data_type()) => is_event_time(&cast.expr, plan),
        Expr::Column(column) => {
            if let LogicalPlan::TableScan(scan) = plan {
                let system = [SystemColumn::Time, SystemColumn::EventTime];
                let declared = relation_of(scan).is_some_and(|relation| {
                    relation.event_time.as_ref().is_some_and(|time| time.column == column.name)
                        || relation.time_columns.contains(&column.name)
                });
                return declared || system.iter().any(|system| system.name() == column.name);
            }
            below(column, plan).is_some_and(|(origin, input)| is_event_time(&origin, input))
        }
        _ => false,
    }
}

/// Returns the columns of a plan's result that are its rows' event time.
pub(super) fn event_time_columns(plan: &LogicalPlan) -> Vec<String> {
    let columns = plan.schema().iter().filter_map(|(qualifier, field)| {
        let column = datafusion::common::Column::new(qualifier.cloned(), field.name());
        is_event_time(&Expr::Column(column), plan).then(|| field.name().clone())
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
