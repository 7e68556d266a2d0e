//! Numeric functions of times: `abs(b - a)` is a number of milliseconds.
//!
//! Each function named here is DataFusion's own, given durations as milliseconds and timestamps as epoch milliseconds.

use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::scalar::Outcome;

const NAMES: [&str; 10] = ["abs", "ceil", "exp", "floor", "ln", "log", "power", "round", "sqrt", "trunc"];

/// Returns the functions; `of` finds DataFusion's by its name.
pub(super) fn functions<'a>(of: impl Fn(&str) -> Option<&'a Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let found = NAMES.iter().filter_map(|name| of(name));
    found.map(|inner| Arc::new(ScalarUDF::new_from_impl(TimeArgument::new(inner)))).collect()
}

/// A numeric function that also takes times.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeArgument {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl TimeArgument {
    fn new(inner: &Arc<ScalarUDF>) -> Self {
        Self { signature: Signature::user_defined(inner.signature().volatility), inner: Arc::clone(inner) }
    }
}

fn millis(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Duration(_) => Some(DataType::Duration(TimeUnit::Millisecond)),
        DataType::Timestamp(..) => Some(DataType::Timestamp(TimeUnit::Millisecond, None)),
        _ => None,
    }
}

fn as_number(data_type: &DataType) -> DataType {
    if millis(data_type).is_some() { DataType::Int64 } else { data_type.clone() }
}

/// Returns the types that a function casts its arguments to.
fn coerced(inner: &ScalarUDF, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    let fields: Vec<FieldRef> =
        arguments.iter().map(|argument| Arc::new(Field::new("argument", argument.clone(), true))).collect();
    let fields = fields_with_udf(&fields, inner)?;
    Ok(fields.iter().map(|field| field.data_type().clone()).collect())
}

impl ScalarUDFImpl for TimeArgument {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
        if arguments.iter().all(|argument| millis(argument).is_none()) {
            return coerced(&self.inner, arguments);
        }
        let numbers: Vec<DataType> = arguments.iter().map(as_number).collect();
        let targets = coerced(&self.inner, &numbers)?;
        Ok(arguments
            .iter()
            .zip(targets)
            .map(|(argument, target)| millis(argument).unwrap_or(target))
            .collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        let numbers: Vec<DataType> = arguments.iter().map(as_number).collect();
        self.inner.return_type(&coerced(&self.inner, &numbers)?)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Outcome<FieldRef> {
        if args.arg_fields.iter().all(|field| millis(field.data_type()).is_none()) {
            return self.inner.return_field_from_args(args);
        }
        let numbers: Vec<FieldRef> = args
            .arg_fields
            .iter()
            .map(|field| Arc::new(field.as_ref().clone().with_data_type(as_number(field.data_type()))))
            .collect();
        let fields = fields_with_udf(&numbers, self.inner.as_ref())?;
        let nothing: Vec<Option<&ScalarValue>> = vec![None; fields.len()];
        self.inner.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &nothing })
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Outcome<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        if types.iter().all(|argument| millis(argument).is_none()) {
            return self.inner.invoke_with_args(args);
        }
        let numbers: Vec<DataType> = types.iter().map(as_number).collect();
        let targets = coerced(&self.inner, &numbers)?;
        for ((argument, field), target) in args.args.iter_mut().zip(&mut args.arg_fields).zip(targets) {
            *argument = match &*argument {
                ColumnarValue::Array(array) => {
                    ColumnarValue::Array(cast(&cast(array, &as_number(array.data_type()))?, &target)?)
                }
                ColumnarValue::Scalar(scalar) => {
                    let number = scalar.cast_to(&as_number(&scalar.data_type()))?;
                    ColumnarValue::Scalar(number.cast_to(&target)?)
                }
            };
            *field = Arc::new(field.as_ref().clone().with_data_type(target));
        }
        self.inner.invoke_with_args(args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Outcome<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
