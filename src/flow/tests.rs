//! Late rows are traced back through the steps before them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};

use super::{LateFor, LateRow, LateRows, Origin};

fn rows(values: &[i64]) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("v", values)]).unwrap()
}

fn origins(late: LateRows) -> Vec<Origin> {
    late.into_found().into_iter().map(|LateRow { row, .. }| row).collect()
}

#[test]
fn late_rows_are_found_in_the_first_batch() {
    let mut late = LateRows::default();
    late.kept(&BooleanArray::from(vec![false, true, true, false, true, true]));
    late.kept(&BooleanArray::from(vec![true, false, true, true]));
    late.found(&rows(&[11, 14, 15]), &[0, 2], LateFor::Order, |_| None);
    assert_eq!(origins(late), [Origin::First(1), Origin::First(5)]);
}

#[test]
fn a_row_made_of_another_has_no_place_in_the_first_batch() {
    let mut late = LateRows::default();
    late.kept(&BooleanArray::from(vec![false, true]));
    late.remade();
    late.kept(&BooleanArray::from(vec![true, false, true]));
    late.found(&rows(&[7, 9]), &[1], LateFor::Order, |_| None);
    assert_eq!(origins(late), [Origin::Made(rows(&[9]))]);
}
