//! Text, arrays and plain numbers: `position(substring, text)`, and the names under which users know DataFusion's
//! functions.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Builder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, is_text_or_null, wrong_arguments};
use super::text_column::{TextColumn, rows_of, shaped};
use crate::error::Error;

/// The names users bring, with DataFusion's for the same function.
const ALIASES: [(&str, &str); 6] = [
    ("array", "make_array"),
    ("ceiling", "ceil"),
    ("join", "array_to_string"),
    ("regexp", "regexp_like"),
    ("sign", "signum"),
    ("split", "string_to_array"),
];

/// Returns DataFusion's functions with the further names that users bring; `of` finds one by its name.
pub(super) fn aliased<'a>(of: impl Fn(&str) -> Option<&'a Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let renamed = ALIASES.iter().filter_map(|(alias, name)| Some((alias, of(name)?)));
    renamed.map(|(alias, function)| Arc::new(function.as_ref().clone().with_aliases([*alias]))).collect()
}

/// Returns the functions of this family that DataFusion lacks.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let position = Scalar::new("position", coerce_position, |_| DataType::Int64, position).help(
        "position(substring, text [, start])",
        "Returns where a text first contains another, from 1; 0 if nowhere.",
    );
    vec![position.into_udf()]
}

fn coerce_position(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [part, text] if is_text_or_null(part) && is_text_or_null(text) => Ok(arguments.to_vec()),
        [part, text, start] if is_text_or_null(part) && is_text_or_null(text) && start.is_integer() => {
            Ok(vec![part.clone(), text.clone(), DataType::Int64])
        }
        _ => Err(wrong_arguments(name, arguments, "position(substring, text)")),
    }
}

fn position(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let [part, text, start @ ..] = args.args.as_slice() else {
        return Err(external(Error::internal("`position` takes two arguments")));
    };
    let rows = rows_of(&args.args, args.number_rows);
    let (parts, texts) = (TextColumn::try_new(part)?, TextColumn::try_new(text)?);
    let starts = start.first().map(|start| start.to_array(rows)).transpose()?;
    let starts = starts.as_ref().map(|starts| starts.as_primitive::<Int64Type>());
    let mut result = Int64Builder::with_capacity(rows);
    for row in 0..rows {
        let start = match starts {
            Some(starts) => starts.is_valid(row).then(|| starts.value(row)),
            None => Some(1),
        };
        let found = parts.get(row).zip(texts.get(row)).zip(start);
        result.append_option(found.map(|((part, text), start)| find(part, text, start)));
    }
    shaped(Arc::new(result.finish()), &args.args)
}

/// Returns the position in characters, from 1, at or after `start`; 0 if there is none.
fn find(part: &str, text: &str, start: i64) -> i64 {
    let skipped = usize::try_from(start - 1).unwrap_or(0);
    let from = match text.char_indices().nth(skipped) {
        Some((from, _)) => from,
        None if skipped == text.chars().count() => text.len(),
        None => return 0,
    };
    let (before, rest) = text.split_at(from);
    let Some(at) = rest.find(part) else { return 0 };
    let characters = before.chars().count() + rest.split_at(at).0.chars().count() + 1;
    i64::try_from(characters).unwrap_or(i64::MAX)
}
