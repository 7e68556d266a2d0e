//! Comparing rows of two arrays pair by pair, with one dispatch on the type for a whole batch.

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray,
    downcast_primitive_array, make_comparator,
};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use crate::error::{Error, Result};

/// Rows of two sets of columns that may be equal.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// The rows on the one side.
    pub(super) left: Vec<u32>,
    /// The rows on the other.
    pub(super) right: Vec<u32>,
}

impl Pairs {
    pub(super) fn push(&mut self, left: u32, right: u32) {
        self.left.push(left);
        self.right.push(right);
    }

    /// Returns for each pair whether the rows are equal in all columns; NULL equals NULL.
    pub(super) fn are_equal(&self, left: &[&ArrayRef], right: &[&ArrayRef]) -> Result<Vec<bool>> {
        let mut equal = vec![true; self.left.len()];
        for (left, right) in left.iter().zip(right) {
            self.compare(left.as_ref(), right.as_ref(), &mut equal)?;
        }
        Ok(equal)
    }

    /// Clears what is not equal in one column.
    fn compare(&self, left: &dyn Array, right: &dyn Array, equal: &mut [bool]) -> Result<()> {
        if left.data_type() != right.data_type() {
            let (left, right) = (left.data_type(), right.data_type());
            return Err(Error::internal(format!("cannot compare {left} with {right} in a table")));
        }
        downcast_primitive_array!(
            (left, right) => self.compare_numbers(left, right, equal),
            (DataType::Boolean, DataType::Boolean) => self.compare_values(left.as_boolean(), right.as_boolean(), equal),
            (DataType::Utf8View, DataType::Utf8View) =>
                self.compare_values(left.as_string_view(), right.as_string_view(), equal),
            (DataType::Utf8, DataType::Utf8) =>
                self.compare_values(left.as_string::<i32>(), right.as_string::<i32>(), equal),
            (DataType::LargeUtf8, DataType::LargeUtf8) =>
                self.compare_values(left.as_string::<i64>(), right.as_string::<i64>(), equal),
            (DataType::BinaryView, DataType::BinaryView) =>
                self.compare_values(left.as_binary_view(), right.as_binary_view(), equal),
            (DataType::Binary, DataType::Binary) =>
                self.compare_values(left.as_binary::<i32>(), right.as_binary::<i32>(), equal),
            (_, _) => {
                let same = make_comparator(left, right, SortOptions::default())?;
                self.judge(equal, |left, right| same(left, right).is_eq());
            },
        );
        Ok(())
    }

    fn compare_numbers<T: ArrowPrimitiveType>(
        &self,
        left: &PrimitiveArray<T>,
        right: &PrimitiveArray<T>,
        equal: &mut [bool],
    ) {
        let (values, others) = (left.values(), right.values());
        // Not a number equals itself, and zero has no sign: as in the hashes.
        let same = |left: usize, right: usize| {
            let (value, other) = (values[left], others[right]);
            value.is_eq(other) || value == other || (is_no_number(value) && is_no_number(other))
        };
        self.judge_valid(left.nulls(), right.nulls(), equal, same);
    }

    fn compare_values<A: ArrayAccessor>(&self, left: A, right: A, equal: &mut [bool])
    where
        A::Item: PartialEq,
    {
        let same = |row: usize, other: usize| left.value(row) == right.value(other);
        self.judge_valid(left.nulls(), right.nulls(), equal, same);
    }

    fn judge_valid(
        &self,
        left: Option<&NullBuffer>,
        right: Option<&NullBuffer>,
        equal: &mut [bool],
        same: impl Fn(usize, usize) -> bool,
    ) {
        if left.is_none() && right.is_none() {
            return self.judge(equal, same);
        }
        let is_valid = |nulls: Option<&NullBuffer>, row| nulls.is_none_or(|nulls| nulls.is_valid(row));
        self.judge(equal, |row, other| match (is_valid(left, row), is_valid(right, other)) {
            (true, true) => same(row, other),
            (row, other) => row == other,
        });
    }

    fn judge(&self, equal: &mut [bool], same: impl Fn(usize, usize) -> bool) {
        for ((equal, &left), &right) in equal.iter_mut().zip(&self.left).zip(&self.right) {
            *equal = *equal && same(left as usize, right as usize);
        }
    }
}

/// Returns whether a value has no place among the others, not even beside itself.
fn is_no_number<T: PartialOrd>(value: T) -> bool {
    value.partial_cmp(&value).is_none()
}
