//! [`LastRows`]: functions over the last rows before each row, in an order of their own.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::window::WindowExpr;

use crate::error::Result;

/// Functions of which each sees a row and those before it, up to a number.
#[derive(Debug)]
pub struct LastRows {
    converter: RowConverter,
    order: Vec<PhysicalSortExpr>,
    count: usize,
    functions: Vec<Arc<dyn WindowExpr>>,
}

impl LastRows {
    /// Creates functions over `count` rows of this schema, which they see in `order`.
    ///
    /// # Errors
    /// Invalid: values of the order cannot be put in one.
    pub fn try_new(
        schema: &Schema,
        order: Vec<PhysicalSortExpr>,
        count: usize,
        functions: Vec<Arc<dyn WindowExpr>>,
    ) -> Result<Self> {
        let mut fields = vec![];
        for key in &order {
            fields.push(SortField::new_with_options(key.expr.data_type(schema)?, key.options));
        }
        if fields.is_empty() {
            // Without an order the rows stay as they came.
            fields.push(SortField::new(DataType::Null));
        }
        Ok(Self { converter: RowConverter::new(fields)?, order, count, functions })
    }

    /// Returns the values of each function for the rows of `seen` from `first` on; the rows are of one key, as they came.
    ///
    /// # Errors
    /// Data: a function cannot be computed.
    pub fn evaluate(&self, seen: &RecordBatch, first: usize) -> Result<Vec<Vec<ScalarValue>>> {
        let ranks = self.ranks(seen)?;
        let mut results = vec![Vec::with_capacity(seen.num_rows() - first); self.functions.len()];
        for row in first..seen.num_rows() {
            let start = (row + 1).saturating_sub(self.count);
            let mut order: Vec<u32> =
                (start..=row).map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
            order.sort_by(|&a, &b| ranks.row(a as usize).cmp(&ranks.row(b as usize)));
            let own = order.iter().position(|&other| other as usize == row).unwrap_or_default();
            let rows = match own + start == row && order.is_sorted() {
                true => seen.slice(start, row + 1 - start),
                false => take_record_batch(seen, &UInt32Array::from(order))?,
            };
            for (function, results) in self.functions.iter().zip(&mut results) {
                results.push(ScalarValue::try_from_array(&function.evaluate(&rows)?, own)?);
            }
        }
        Ok(results)
    }

    fn ranks(&self, rows: &RecordBatch) -> Result<Rows> {
        let columns = self.order.iter();
        let columns = columns.map(|key| Ok(key.expr.evaluate(rows)?.into_array(rows.num_rows())?));
        let mut columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        if columns.is_empty() {
            columns.push(new_null_array(&DataType::Null, rows.num_rows()));
        }
        Ok(self.converter.convert_columns(&columns)?)
    }
}
