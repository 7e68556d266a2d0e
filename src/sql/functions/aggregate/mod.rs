//! Aggregates that DataFusion lacks, `percentile_disc` and `delta`, and those whose numbers must be exact: `sum` and
//! `avg`.

mod delta;
mod mean;
mod only_value;
mod percentile_disc;
mod sliding_distinct;
mod sum;
mod total;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

pub(super) use delta::DeltaPlanner;
pub use only_value::only_value_function;

/// Returns the aggregates of this family.
pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        Arc::new(AggregateUDF::new_from_impl(percentile_disc::PercentileDisc::default())),
        Arc::new(AggregateUDF::new_from_impl(delta::Delta::default())),
        Arc::new(AggregateUDF::new_from_impl(sum::Sum::default())),
        Arc::new(AggregateUDF::new_from_impl(mean::Mean::default())),
    ]
}
