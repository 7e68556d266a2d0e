//! Planning `IGNORE NULLS` in a stream where DataFusion's evaluator would need all rows of the key.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, WindowFrame};
use datafusion::physical_expr::window::WindowExpr;

use crate::error::{Error, Result};
use crate::over::Evaluation;

/// Returns how a function that ignores nulls is evaluated by the values that are not null; none where DataFusion does it
/// row by row.
pub(super) fn known_values(
    call: &WindowFunction,
    compiled: &Arc<dyn WindowExpr>,
    frame: &WindowFrame,
) -> Result<Option<Evaluation>> {
    let data_type = compiled.field()?.data_type().clone();
    let nothing = ScalarValue::try_new_null(&data_type)?;
    let from_start = frame.start_bound.is_unbounded();
    Ok(match call.fun.name() {
        "lead" => {
            let nothing = match literal(call, 2)? {
                None => nothing,
                Some(default) => default.cast_to(&data_type)?,
            };
            let nth = usize::try_from(number(call)?).map_err(|_| {
                Error::not_yet("`LEAD … IGNORE NULLS` by a negative number in a stream").with_hint("use LAG")
            })?;
            Some(Evaluation::NextKnown { nth, nothing })
        }
        "last_value" if from_start => Some(Evaluation::NthKnown { nth: -1, nothing }),
        "nth_value" if from_start => Some(Evaluation::NthKnown { nth: number(call)?, nothing }),
        _ => None,
    })
}

/// Returns the number that a function takes as its second argument.
fn number(call: &WindowFunction) -> Result<i64> {
    let number = match literal(call, 1)?.map(|number| number.cast_to(&DataType::Int64)).transpose()? {
        None => Some(1),
        Some(ScalarValue::Int64(number)) => number,
        Some(_) => None,
    };
    number.filter(|number| *number != 0 && *number != i64::MIN).ok_or_else(|| {
        let name = call.fun.name().to_uppercase();
        Error::not_yet(format!("`{name} … IGNORE NULLS` by 0 or NULL in a stream"))
            .with_hint("over bounded inputs, `--mode batch` runs it")
    })
}

fn literal(call: &WindowFunction, argument: usize) -> Result<Option<ScalarValue>> {
    match call.params.args.get(argument).map(|argument| argument.clone().unalias()) {
        None => Ok(None),
        Some(Expr::Literal(value, _)) => Ok(Some(value)),
        Some(other) => {
            let name = call.fun.name().to_uppercase();
            Err(Error::invalid(format!("`{name}` takes literals after its first argument, not `{other}`")))
        }
    }
}
