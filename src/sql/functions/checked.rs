//! Arithmetic of queries that DataFusion runs as a whole: functions that fail where its operators wrap.

use std::sync::Arc;

use arrow::array::{ArrayRef, Datum};
use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, lit,
};
use datafusion::physical_expr_common::datum::apply;

use super::scalar::{Outcome, Scalar, external};
use crate::error::Error;

/// Returns the same plan, in which `+`, `-`, `*` and unary minus of integers and decimals fail on overflow; for plans
/// that are optimised already, since nothing else knows these functions.
pub fn with_checked_arithmetic(plan: LogicalPlan) -> Outcome<LogicalPlan> {
    let checked = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let checked = expression.transform_up(|expression| checked_operator(expression, &schema))?;
            Ok(checked.update_data(|expression| name.restore(expression)))
        })
    })?;
    Ok(checked.data)
}

fn checked_operator(expression: Expr, schema: &DFSchema) -> Outcome<Transformed<Expr>> {
    let call = |function: Arc<ScalarUDF>, args| {
        Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, args)))
    };
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let function = match op {
                Operator::Plus => plus(),
                Operator::Minus => minus(),
                Operator::Multiply => times(),
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            let exact = |side: &Expr| side.get_type(schema).is_ok_and(|side| is_exact(&side));
            if exact(&left) && exact(&right) {
                return Ok(call(function, vec![*left, *right]));
            }
            Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        Expr::Negative(operand) => match operand.get_type(schema) {
            Ok(data_type) if data_type.is_signed_integer() => {
                Ok(call(minus(), vec![lit(ScalarValue::new_zero(&data_type)?), *operand]))
            }
            _ => Ok(Transformed::no(Expr::Negative(operand))),
        },
        other => Ok(Transformed::no(other)),
    }
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_decimal()
}

fn plus() -> Arc<ScalarUDF> {
    let returns = |sides: &[DataType]| result_of(sides, Operator::Plus);
    Scalar::new("velo_plus", as_given, returns, |args| both(args, add)).strict().into_udf()
}

fn minus() -> Arc<ScalarUDF> {
    let returns = |sides: &[DataType]| result_of(sides, Operator::Minus);
    Scalar::new("velo_minus", as_given, returns, |args| both(args, sub)).strict().into_udf()
}

fn times() -> Arc<ScalarUDF> {
    let returns = |sides: &[DataType]| result_of(sides, Operator::Multiply);
    Scalar::new("velo_times", as_given, returns, |args| both(args, mul)).strict().into_udf()
}

fn as_given(_name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    Ok(arguments.to_vec())
}

fn result_of(sides: &[DataType], operator: Operator) -> DataType {
    let [left, right] = sides else { return DataType::Null };
    BinaryTypeCoercer::new(left, &operator, right).get_result_type().unwrap_or_else(|_| left.clone())
}

fn both(
    args: &ScalarFunctionArgs,
    kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>,
) -> Outcome<ColumnarValue> {
    match args.args.as_slice() {
        [left, right] => apply(left, right, kernel),
        _ => Err(external(Error::internal("arithmetic takes two sides"))),
    }
}
