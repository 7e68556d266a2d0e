//! From a parsed query to what runs: logical plan, time attached, optimised, split into stages.

mod attach;
mod compile;
mod errors;
mod event_time;
mod over;
mod planner;
mod rewrite;
mod row_order;
mod split;
mod stream_plan;
mod suggested;
mod top;

pub use compile::Compiler;
pub use event_time::adopt_event_times;
pub use planner::{Inputs, Planner, Shape};
pub use rewrite::relation_names;
pub use split::{Emission, scan_plan};
pub use stream_plan::{AggregatePlan, OperatorKind, OperatorPlan, ScanPlan, StepPlan, StreamPlan, Target};
pub use suggested::suggested_columns;
