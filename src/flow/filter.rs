//! [`Filter`]: keeps the rows for which a condition is true.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use datafusion::physical_expr::PhysicalExpr;

use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, LateFor, Step, Tally};
use crate::time::AlignedWindow;

/// Keeps the rows for which a condition is true; a NULL condition counts as false.
#[derive(Debug)]
pub struct Filter {
    condition: Arc<dyn PhysicalExpr>,
    /// What the rows are late for that it leaves out, if they are.
    late: Option<LateFor>,
}

impl Filter {
    /// Creates the filter.
    pub fn new(condition: Arc<dyn PhysicalExpr>) -> Self {
        Self { condition, late: None }
    }

    /// Creates the filter of late rows, which are counted as such; `in_time` says which rows stay, and `windows` which they
    /// are late for.
    pub fn of_late_rows(in_time: Arc<dyn PhysicalExpr>, windows: Option<AlignedWindow>) -> Self {
        Self { condition: in_time, late: Some(windows.map_or(LateFor::Order, LateFor::Aligned)) }
    }
}

impl Step for Filter {
    fn describe(&self) -> String {
        if self.late.is_some() {
            return "drop late rows".to_owned();
        }
        format!("filter {}", self.condition)
    }

    fn run(&mut self, batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch> {
        let mask = self.condition.evaluate(batch.rows())?.into_array(batch.num_rows())?;
        let Some(mask) = mask.as_boolean_opt() else {
            return Err(Error::internal(format!("condition {} is not a boolean", self.condition)));
        };
        let mask: BooleanArray =
            if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
        let kept = mask.true_count();
        if kept == mask.len() {
            return Ok(batch);
        }
        let dropped = (mask.len() - kept) as u64;
        if self.late.is_some() {
            tally.late += dropped;
        } else {
            tally.filtered += dropped;
        }
        if let Some(late_rows) = &mut tally.late_rows {
            if let Some(late_for) = self.late {
                let late: Vec<usize> = (0..mask.len()).filter(|&row| !mask.value(row)).collect();
                late_rows.found(batch.rows(), &late, late_for, |_| None);
            }
            late_rows.kept(&mask);
        }
        batch.filter(&mask)
    }
}
