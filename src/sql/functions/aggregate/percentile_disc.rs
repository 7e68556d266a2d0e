//! `percentile_disc`: the value at a fraction of the sorted input; always one that occurs, of any type that sorts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::compute::{SortOptions, concat, filter, is_not_null, sort};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, Documentation, Signature, Volatility,
};

use crate::error::Error;
use crate::sql::functions::scalar::{Outcome, documentation, external, wrong_arguments};

/// `percentile_disc(x, p)` and `percentile_disc(p) WITHIN GROUP (ORDER BY x)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PercentileDisc {
    signature: Signature,
    aliases: Vec<String>,
    documentation: Documentation,
}

impl Default for PercentileDisc {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            aliases: vec!["quantile_disc".to_owned()],
            documentation: documentation(
                "percentile_disc(fraction) WITHIN GROUP (ORDER BY expression)",
                "Returns the first value whose rank among the sorted values reaches a fraction from 0 to 1.",
            ),
        }
    }
}

impl AggregateUDFImpl for PercentileDisc {
    fn name(&self) -> &str {
        "percentile_disc"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        match arguments {
            [value, DataType::Float64] if !value.is_nested() => Ok(value.clone()),
            _ => Err(wrong_arguments(self.name(), arguments, "percentile_disc(x, 0.5)")),
        }
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
        match arguments {
            [value, fraction] if fraction.is_numeric() => Ok(vec![value.clone(), DataType::Float64]),
            _ => Ok(arguments.to_vec()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Outcome<Vec<FieldRef>> {
        let list = DataType::List(Arc::new(Field::new_list_field(args.return_type().clone(), true)));
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, self.name()), list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(external(Error::invalid("`percentile_disc` does not take DISTINCT")));
        }
        let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
        Ok(Box::new(Values {
            chunks: vec![],
            fraction: fraction(&args)?,
            descending,
            data_type: args.return_field.data_type().clone(),
        }))
    }

    /// Its values need not come sorted; but where they may come in any order, plans forget `DESC`.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        _sorted: bool,
    ) -> Outcome<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn fraction(args: &AccumulatorArgs) -> Outcome<f64> {
    let wrong = |what: &str| {
        let error = Error::invalid(format!("`percentile_disc`: the fraction {what}"));
        external(error.with_hint("write a literal from 0 to 1, such as 0.95"))
    };
    let expr = args.exprs.get(1).ok_or_else(|| wrong("is missing"))?;
    let empty = RecordBatch::new_empty(Arc::new(args.schema.clone()));
    match expr.evaluate(&empty)? {
        ColumnarValue::Scalar(ScalarValue::Float64(Some(value))) if (0.0..=1.0).contains(&value) => Ok(value),
        ColumnarValue::Scalar(value) => Err(wrong(&format!("{value} is not from 0 to 1"))),
        ColumnarValue::Array(_) => Err(wrong("is not a literal")),
    }
}

/// The values seen so far, unsorted and without nulls.
#[derive(Debug)]
struct Values {
    chunks: Vec<ArrayRef>,
    fraction: f64,
    descending: bool,
    data_type: DataType,
}

impl Values {
    fn push(&mut self, values: &ArrayRef) -> Outcome<()> {
        let values = match values.null_count() {
            0 => Arc::clone(values),
            _ => filter(values, &is_not_null(values)?)?,
        };
        if !values.is_empty() {
            self.chunks.push(values);
        }
        Ok(())
    }

    fn all(&self) -> Outcome<ArrayRef> {
        if self.chunks.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.data_type));
        }
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        Ok(concat(&chunks)?)
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        match values {
            [values, ..] => self.push(values),
            [] => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Outcome<()> {
        let lists: &ListArray = match states {
            [lists, ..] => lists.as_list(),
            [] => return Ok(()),
        };
        lists.iter().flatten().try_for_each(|values| self.push(&values))
    }

    fn state(&mut self) -> Outcome<Vec<ScalarValue>> {
        Ok(vec![SingleRowListArrayBuilder::new(self.all()?).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Outcome<ScalarValue> {
        let values = self.all()?;
        if values.is_empty() {
            return ScalarValue::try_from(&self.data_type);
        }
        let sorted = sort(&values, Some(SortOptions { descending: self.descending, nulls_first: false }))?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank from 0 to the number of values in memory"
        )]
        let rank = (self.fraction * sorted.len() as f64).ceil() as usize;
        ScalarValue::try_from_array(&sorted, rank.clamp(1, sorted.len()) - 1)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.chunks.iter().map(|chunk| chunk.get_array_memory_size()).sum::<usize>()
    }
}
