//! Integer overflow is an error, never a wrapped number.
//!
//! DataFusion's physical operators wrap unless asked, and its planner computes constants with the wrapping ones;
//! [`fail_on_overflow`] mends the first, [`ConstantOverflow`] refuses the second.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::kernels::numeric::neg;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::{BinaryExpr as LogicalBinary, ColumnarValue, Expr, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, NegativeExpr};

use super::scalar::{Outcome, external};
use crate::error::{Error, Result};

/// Returns the same expression, in which `+`, `-`, `*` and unary minus fail on overflow.
///
/// Other operators are untouched. Fails only where an expression cannot be rebuilt.
pub fn fail_on_overflow(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let checked = expr.transform_up(|expr| {
        if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
            let checked = CheckedNegative { arg: Arc::clone(negative.arg()) };
            return Ok(Transformed::yes(Arc::new(checked) as Arc<dyn PhysicalExpr>));
        }
        match expr.downcast_ref::<BinaryExpr>() {
            Some(binary) if may_overflow(binary.op()) => {
                let checked = binary.clone().with_fail_on_overflow(true);
                Ok(Transformed::yes(Arc::new(checked) as Arc<dyn PhysicalExpr>))
            }
            _ => Ok(Transformed::no(expr)),
        }
    });
    Ok(checked.map(|expr| expr.data)?)
}

fn may_overflow(op: &Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
}

/// Unary minus that fails for the smallest integer, whose opposite does not exist.
#[derive(Debug, Eq)]
struct CheckedNegative {
    arg: Arc<dyn PhysicalExpr>,
}

impl PartialEq for CheckedNegative {
    fn eq(&self, other: &Self) -> bool {
        self.arg.eq(&other.arg)
    }
}

impl Hash for CheckedNegative {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.arg.hash(state);
    }
}

impl fmt::Display for CheckedNegative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(- {})", self.arg)
    }
}

impl PhysicalExpr for CheckedNegative {
    fn data_type(&self, input: &Schema) -> Outcome<DataType> {
        self.arg.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Outcome<bool> {
        self.arg.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Outcome<FieldRef> {
        self.arg.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Outcome<ColumnarValue> {
        match self.arg.evaluate(batch)? {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(neg(array.as_ref())?)),
            ColumnarValue::Scalar(scalar) => {
                let negative = neg(scalar.to_array_of_size(1)?.as_ref())?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&negative, 0)?))
            }
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.arg]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Outcome<Arc<dyn PhysicalExpr>> {
        match children.into_iter().next() {
            Some(arg) => Ok(Arc::new(Self { arg })),
            None => Err(DataFusionError::Internal("unary minus lost its operand".to_owned())),
        }
    }

    fn evaluate_bounds(&self, children: &[&Interval]) -> Outcome<Interval> {
        match children {
            [child] => child.arithmetic_negate(),
            _ => Err(DataFusionError::Internal("unary minus takes one operand".to_owned())),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(- ")?;
        self.arg.fmt_sql(f)?;
        write!(f, ")")
    }
}

/// Refuses constants that overflow, before the planner computes them; runs after type coercion.
#[derive(Debug)]
pub(super) struct ConstantOverflow;

impl AnalyzerRule for ConstantOverflow {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Outcome<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                if has_constant_arithmetic(expr)? {
                    expr.clone().transform_up(fold)?;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "constant_overflow"
    }
}

fn has_constant_arithmetic(expr: &Expr) -> Outcome<bool> {
    expr.exists(|expr| match expr {
        Expr::BinaryExpr(LogicalBinary { left, op, right }) if may_overflow(op) => {
            Ok(integer(left).is_some() && integer(right).is_some())
        }
        Expr::Negative(operand) => Ok(integer(operand).is_some()),
        _ => Ok(false),
    })
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(value), _) => *value,
        _ => None,
    }
}

fn fold(expr: Expr) -> Outcome<Transformed<Expr>> {
    let result = match &expr {
        Expr::BinaryExpr(LogicalBinary { left, op, right }) => match (integer(left), op, integer(right)) {
            (Some(left), Operator::Plus, Some(right)) => left.checked_add(right),
            (Some(left), Operator::Minus, Some(right)) => left.checked_sub(right),
            (Some(left), Operator::Multiply, Some(right)) => left.checked_mul(right),
            _ => return Ok(Transformed::no(expr)),
        },
        Expr::Negative(operand) => match integer(operand) {
            Some(operand) => operand.checked_neg(),
            None => return Ok(Transformed::no(expr)),
        },
        _ => return Ok(Transformed::no(expr)),
    };
    match result {
        Some(value) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int64(Some(value)), None))),
        None => Err(external(
            Error::invalid(format!("`{}` is too large for BIGINT", expr.human_display()))
                .with_hint("write one of the numbers as a DECIMAL, such as `1.0`"),
        )),
    }
}
