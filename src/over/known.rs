//! Values that are not null, before a row and after it: what `IGNORE NULLS` asks for.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;

use crate::error::Result;

/// The value with a given number of those of a key that are not null.
#[derive(Debug, Default)]
pub(super) struct NthKnown {
    /// How many values were taken.
    seen: u64,
    /// That value, or as many of the last ones as it is from the end.
    values: VecDeque<ScalarValue>,
}

impl NthKnown {
    /// Takes the values of `rows`, of which the one with number `nth` is wanted.
    pub(super) fn take(&mut self, values: &ArrayRef, rows: Range<usize>, nth: i64) -> Result<()> {
        let wanted = nth.unsigned_abs();
        for row in rows.filter(|&row| values.is_valid(row)) {
            self.seen += 1;
            if nth > 0 && self.seen != wanted {
                continue;
            }
            self.values.push_back(ScalarValue::try_from_array(values, row)?.compacted());
            if self.values.len() as u64 > wanted {
                self.values.pop_front();
            }
        }
        Ok(())
    }

    /// Returns the value with number `nth`, if there are that many.
    pub(super) fn value(&self, nth: i64) -> Option<&ScalarValue> {
        self.values.front().filter(|_| self.seen >= nth.unsigned_abs())
    }

    /// Returns about how many bytes the values take.
    pub(super) fn bytes(&self) -> usize {
        self.values.iter().map(ScalarValue::size).sum()
    }
}

/// Adds to `results`, for each of `rows`, the value with number `nth` of those after it that are not null.
pub(super) fn next_known(
    values: &ArrayRef,
    rows: Range<usize>,
    nth: usize,
    nothing: &ScalarValue,
    results: &mut Vec<ScalarValue>,
) -> Result<()> {
    let known: Vec<usize> = (rows.start..values.len()).filter(|&row| values.is_valid(row)).collect();
    for row in rows {
        let after = known.partition_point(|&other| other <= row);
        results.push(match known.get(after + nth - 1) {
            Some(&other) => ScalarValue::try_from_array(values, other)?,
            None => nothing.clone(),
        });
    }
    Ok(())
}

/// Returns the first row at or after `first` that has not `nth` values after it yet which are not null.
pub(super) fn told_until(values: &ArrayRef, first: usize, nth: usize) -> usize {
    (first..values.len()).rev().filter(|&row| values.is_valid(row)).nth(nth - 1).unwrap_or(first)
}
