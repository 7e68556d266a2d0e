//! [`SlidingDistinct`]: the sum of the distinct integers of a frame that moves.

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Accumulator;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::total::{Total, broken};
use crate::error::Error;
use crate::sql::functions::scalar::{Outcome, external};

/// How often each value is in the frame, and the sum of those that are.
#[derive(Debug)]
pub(super) struct SlidingDistinct {
    counts: HashMap<i128, usize>,
    sum: i128,
    total: Total,
}

impl SlidingDistinct {
    /// Creates the sum of an empty frame; other numbers than integers are refused.
    pub(super) fn try_new(total: Total) -> Outcome<Self> {
        match total.wide() {
            DataType::Decimal128(_, 0) => Ok(Self { counts: HashMap::new(), sum: 0, total }),
            _ => Err(external(Error::not_yet("`SUM(DISTINCT …) OVER` of large decimals"))),
        }
    }

    fn values(&self, values: &[ArrayRef]) -> Outcome<PrimitiveArray<Decimal128Type>> {
        Ok(self.total.widen(values)?.as_primitive::<Decimal128Type>().clone())
    }
}

impl Accumulator for SlidingDistinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        for value in self.values(values)?.iter().flatten() {
            let count = self.counts.entry(value).or_insert(0);
            if *count == 0 {
                self.sum += value;
            }
            *count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        for value in self.values(values)?.iter().flatten() {
            if let Entry::Occupied(mut count) = self.counts.entry(value) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                    self.sum -= value;
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Outcome<()> {
        // A frame is computed in one place.
        Err(broken("the states of a frame"))
    }

    fn state(&mut self) -> Outcome<Vec<ScalarValue>> {
        Err(broken("the states of a frame"))
    }

    fn evaluate(&mut self) -> Outcome<ScalarValue> {
        let sum = (!self.counts.is_empty()).then_some(self.sum);
        let sum = PrimitiveArray::<Decimal128Type>::from(vec![sum]).with_data_type(self.total.wide().clone());
        let sum: ArrayRef = std::sync::Arc::new(sum);
        ScalarValue::try_from_array(&self.total.narrow(&sum)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(i128, usize)>()
    }
}
