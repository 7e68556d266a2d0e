//! [`Project`]: computes the columns of a result row by row.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use crate::error::Result;
use crate::flow::{ChangeBatch, Step, Tally};

/// Computes one column for each expression.
#[derive(Debug)]
pub struct Project {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Project {
    /// Creates a projection; `schema` has a field for each expression.
    pub fn new(expressions: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Self {
        Self { expressions, schema }
    }
}

impl Step for Project {
    fn describe(&self) -> String {
        let columns = self.expressions.iter().zip(self.schema.fields());
        let columns = columns.map(|(expression, field)| {
            let text = expression.to_string();
            match text.rsplit_once('@') {
                Some((name, ordinal)) if name == field.name() && ordinal.parse::<usize>().is_ok() => {
                    name.to_owned()
                }
                _ => format!("{text} as {}", field.name()),
            }
        });
        format!("project {}", columns.collect::<Vec<_>>().join(", "))
    }

    fn run(&mut self, batch: ChangeBatch, _tally: &mut Tally) -> Result<ChangeBatch> {
        let count = batch.num_rows();
        let mut columns = Vec::with_capacity(self.expressions.len());
        for expression in &self.expressions {
            columns.push(expression.evaluate(batch.rows())?.into_array(count)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        batch.with_rows(rows)
    }
}
