//! From a parsed query to what runs: logical plan, time attached, optimised, split into stages.

mod attach;
mod attach_join;
mod attach_queries;
mod bounded;
mod buffered;
mod changes;
mod compile;
mod counted_subqueries;
mod diagnose;
mod errors;
mod event_time;
mod group_key;
mod header_writes;
mod join;
mod keyed_by_window;
mod known_values;
mod lookup;
mod named_subqueries;
mod nesting;
mod on_missing;
mod only_row;
mod over;
mod planner;
mod prepared;
mod query_parts;
mod references;
mod repeatable;
mod rewrite;
mod row_numbers;
mod row_order;
mod row_queries;
mod row_steps;
mod session_rows;
mod split;
mod stream_join;
mod stream_plan;
mod subqueries;
mod suggested;
mod ties;
mod time_bound;
mod top;
mod typed_casts;
mod using;
mod version_join;
mod views;
mod whole_versions;
mod window_place;
mod window_rows;
mod window_trace;

pub use compile::Compiler;
pub use event_time::adopt_event_times;
pub use group_key::group_key;
pub use header_writes::{HeaderRules, gives_no_column, write_headers};
pub use on_missing::OnMissing;
pub use planner::{Inputs, Planner, Shape};
pub use split::{Emission, scan_plan};
pub use stream_plan::{
    AggregatePlan, LookupPlan, LookupSide, OperatorKind, OperatorPlan, PortPlan, RowAggregatePlan, ScanPlan,
    StepPlan, StreamPlan, Target, WindowPlan,
};
pub use suggested::suggested_columns;
pub use views::{inline_views, relation_names};
pub use window_trace::window_columns;
