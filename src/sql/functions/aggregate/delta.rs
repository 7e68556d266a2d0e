//! `delta(x)`: the newest value minus the oldest.
//!
//! As an aggregate it is planned as `last_value(x ORDER BY t) - first_value(x ORDER BY t)`, which merges in any order.
//! The function itself is what runs in `OVER`: there the rows of a frame arrive in order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, Operator, Signature, Volatility,
};

use crate::sql::functions::scalar::{Outcome, documentation, wrong_arguments};

/// Plans `delta(x ORDER BY t)` as a difference of two aggregates.
#[derive(Debug)]
pub(in crate::sql::functions) struct DeltaPlanner;

impl ExprPlanner for DeltaPlanner {
    fn plan_aggregate(&self, raw: RawAggregateExpr) -> Outcome<PlannerResult<RawAggregateExpr>> {
        if raw.func.name() != NAME {
            return Ok(PlannerResult::Original(raw));
        }
        let [value] = raw.args.as_slice() else {
            return Err(wrong_arguments(NAME, &[], "delta(x)"));
        };
        let name = format!("{NAME}({})", value.schema_name());
        let one = |function: Arc<AggregateUDF>| {
            let nulls = Some(NullTreatment::IgnoreNulls);
            let (args, filter, order) = (raw.args.clone(), raw.filter.clone(), raw.order_by.clone());
            Expr::AggregateFunction(AggregateFunction::new_udf(function, args, false, filter, order, nulls))
        };
        Ok(PlannerResult::Planned((one(last_value_udaf()) - one(first_value_udaf())).alias(name)))
    }
}

const NAME: &str = "delta";

/// The newest value minus the oldest, of rows that arrive in order.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Delta {
    signature: Signature,
    documentation: Documentation,
}

impl Default for Delta {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: documentation(
                "delta(expression)",
                "Returns the newest value minus the oldest, by event time.",
            ),
        }
    }
}

impl AggregateUDFImpl for Delta {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        match arguments {
            [value] if value.is_numeric() || matches!(value, DataType::Timestamp(..)) => {
                BinaryTypeCoercer::new(value, &Operator::Minus, value).get_result_type()
            }
            _ => Err(wrong_arguments(NAME, arguments, "delta(x)")),
        }
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
        match arguments {
            [number] if number.is_integer() => Ok(vec![DataType::Int64]),
            [number] if number.is_floating() || number.is_null() => Ok(vec![DataType::Float64]),
            _ => Ok(arguments.to_vec()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Outcome<Vec<FieldRef>> {
        let data_type = match args.input_fields {
            [input, ..] => input.data_type(),
            [] => return Err(wrong_arguments(NAME, &[], "delta(x)")),
        };
        let field =
            |part: &str| Arc::new(Field::new(format_state_name(args.name, part), data_type.clone(), true));
        Ok(vec![field("oldest"), field("newest")])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn Accumulator>> {
        let input = match args.expr_fields {
            [input, ..] => ScalarValue::try_from(input.data_type())?,
            [] => return Err(wrong_arguments(NAME, &[], "delta(x)")),
        };
        Ok(Box::new(Ends { oldest: input.clone(), newest: input }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The first and the last value that is not null.
#[derive(Debug)]
struct Ends {
    oldest: ScalarValue,
    newest: ScalarValue,
}

impl Ends {
    fn take_in(&mut self, oldest: &ArrayRef, newest: &ArrayRef) -> Outcome<()> {
        if self.oldest.is_null()
            && let Some(row) = (0..oldest.len()).find(|&row| oldest.is_valid(row))
        {
            self.oldest = ScalarValue::try_from_array(oldest, row)?;
        }
        if let Some(row) = (0..newest.len()).rev().find(|&row| newest.is_valid(row)) {
            self.newest = ScalarValue::try_from_array(newest, row)?;
        }
        Ok(())
    }
}

impl Accumulator for Ends {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        match values {
            [values, ..] => self.take_in(values, values),
            [] => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Outcome<()> {
        match states {
            [oldest, newest] => self.take_in(oldest, newest),
            _ => Ok(()),
        }
    }

    fn state(&mut self) -> Outcome<Vec<ScalarValue>> {
        Ok(vec![self.oldest.clone(), self.newest.clone()])
    }

    fn evaluate(&mut self) -> Outcome<ScalarValue> {
        self.newest.sub_checked(&self.oldest)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
