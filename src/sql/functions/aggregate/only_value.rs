//! The value of the only row: what a query that stands for a value gives.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::error::Error;
use crate::sql::functions::scalar::{Outcome, external, wrong_arguments};

const NAME: &str = "velo_only_value";

/// Returns the aggregate that has the value of the only row, or NULL where there is none; more rows are an error.
pub fn only_value_function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(OnlyValue { signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OnlyValue {
    signature: Signature,
}

impl AggregateUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        match arguments {
            [value] => Ok(value.clone()),
            _ => Err(wrong_arguments(NAME, arguments, "velo_only_value(x)")),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Outcome<Vec<FieldRef>> {
        let field = |part: &str, data_type: &DataType| {
            Arc::new(Field::new(format_state_name(args.name, part), data_type.clone(), true))
        };
        Ok(vec![field("rows", &DataType::UInt64), field("value", args.return_type())])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn Accumulator>> {
        let nothing = ScalarValue::try_from(args.return_field.data_type())?;
        Ok(Box::new(Only { rows: 0, value: nothing }))
    }
}

/// How many rows there were, and the value of one of them.
#[derive(Debug)]
struct Only {
    rows: u64,
    value: ScalarValue,
}

impl Accumulator for Only {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        if let [values] = values
            && !values.is_empty()
        {
            self.rows += values.len() as u64;
            self.value = ScalarValue::try_from_array(values, 0)?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Outcome<()> {
        let [rows, values] = states else { return Ok(()) };
        for (row, rows) in rows.as_primitive::<UInt64Type>().values().iter().enumerate() {
            if *rows > 0 {
                self.rows += rows;
                self.value = ScalarValue::try_from_array(values, row)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Outcome<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::from(self.rows), self.value.clone()])
    }

    fn evaluate(&mut self) -> Outcome<ScalarValue> {
        match self.rows {
            0 | 1 => Ok(self.value.clone()),
            _ => Err(external(
                Error::invalid("scalar subquery returned more than one row")
                    .with_hint("leave one row by a condition on the key, an aggregate, or LIMIT 1"),
            )),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) - size_of_val(&self.value) + self.value.size()
    }
}
