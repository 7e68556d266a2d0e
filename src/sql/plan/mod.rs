//! From a parsed query to what runs: logical plan, time attached, optimised, split into stages.

mod attach;
mod compile;
mod diagnose;
mod errors;
mod event_time;
mod header_writes;
mod joins;
mod nesting;
mod over;
mod planner;
mod prepared;
mod repeatable;
mod rewrite;
mod row_order;
mod split;
mod stream_plan;
mod suggested;
mod top;
mod views;
mod window_place;
mod window_rows;
mod window_trace;

pub use compile::Compiler;
pub use event_time::adopt_event_times;
pub use header_writes::{HeaderRules, gives_no_column, write_headers};
pub use planner::{Inputs, Planner, Shape};
pub use split::{Emission, scan_plan};
pub use stream_plan::{
    AggregatePlan, OperatorKind, OperatorPlan, ScanPlan, StepPlan, StreamPlan, Target, WindowPlan,
};
pub use suggested::suggested_columns;
pub use views::{inline_views, relation_names};
