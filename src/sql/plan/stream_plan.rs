//! [`StreamPlan`]: a query cut at its stateful operators.
//!
//! ```text
//! scan → steps ─┐                      (on the workers)
//! scan → steps ─┴▶ operator → steps ─▶ operator → steps ─▶ sink
//! ```

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, DFSchemaRef, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};
use parking_lot::Mutex;

use crate::aggregate::{AggregateSpec, Retraction, Showing};
use crate::join::{AsOfSpec, JoinSpec};
use crate::over::{BufferedOverSpec, OverSpec, SessionRowsSpec, TopRowsSpec, WindowedOverSpec};
use crate::sql::relation::{Relation, SystemColumn, WindowColumn, WindowPart};
use crate::sql::window_spec::WindowSpec;
use crate::table::{QueryTable, Retention, RetryRule, Table};
use crate::time::AlignedWindow;

/// A query as scans, steps and operators.
#[derive(Debug, Clone)]
pub struct StreamPlan {
    /// What is read.
    pub scans: Vec<ScanPlan>,
    /// The stateful operators, each after those that feed it.
    pub operators: Vec<OperatorPlan>,
    /// The columns of the result; a last column `__time` holds the event time where the sink asked for it.
    pub output: SchemaRef,
    /// The columns of the result that are parts of windows.
    pub windows: Vec<WindowColumn>,
    /// The columns of the result that are its rows' event time.
    pub time_columns: Vec<String>,
    /// Whether the result withdraws rows.
    pub changelog: bool,
    /// The columns of the result by which its aggregate groups, if all of them are there.
    pub group_key: Option<Vec<usize>>,
    /// The function that makes a row of the result another one when it is withdrawn.
    pub volatile: Option<String>,
}

/// Where rows go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To an input of an operator.
    Operator {
        /// The operator's ordinal.
        operator: usize,
        /// The input's ordinal.
        port: usize,
    },
    /// Out of the job.
    Sink,
}

impl Target {
    /// Returns the only input of an operator.
    pub fn of(operator: usize) -> Self {
        Self::Operator { operator, port: 0 }
    }
}

/// A source, and what its rows go through on the workers.
#[derive(Debug, Clone)]
pub struct ScanPlan {
    /// What is read.
    pub relation: Arc<Relation>,
    /// The columns that are used: ordinals of the relation's, ascending, then system columns.
    pub columns: Vec<usize>,
    /// The system columns that are used, after the declared ones.
    pub system: Vec<SystemColumn>,
    /// The columns in the order in which the steps want them: ordinals into `columns` followed by `system`.
    pub order: Vec<usize>,
    /// The key columns, where a message without a value deletes the row of its key.
    pub tombstones: Option<Vec<usize>>,
    /// The schema of what the steps want.
    pub schema: SchemaRef,
    /// The stateless steps.
    pub steps: Vec<StepPlan>,
    /// Where the rows go then.
    pub target: Target,
}

/// A stateless step before it is compiled; each worker compiles its own.
#[derive(Debug, Clone)]
pub enum StepPlan {
    /// Keeps rows.
    Filter {
        /// The condition.
        condition: Expr,
        /// The schema that it is over.
        input: DFSchemaRef,
    },
    /// Keeps the rows that are not late, and counts the others.
    DropLate {
        /// Whether a row is in time.
        condition: Expr,
        /// The windows that a row is late for, where it is late for one.
        windows: Option<AlignedWindow>,
        /// The schema that it is over.
        input: DFSchemaRef,
    },
    /// Computes columns.
    Project {
        /// The columns.
        expressions: Vec<Expr>,
        /// The schema that they are over.
        input: DFSchemaRef,
        /// The result.
        output: SchemaRef,
    },
    /// Makes rows of the elements of lists, or whatever else a bounded plan of DataFusion's can do row by row.
    Plan {
        /// What `EXPLAIN` shows.
        name: String,
        /// The node; its only input stands for the batch.
        node: LogicalPlan,
        /// The schema of the batch.
        input: SchemaRef,
    },
    /// Finds the partners of rows in a table.
    Lookup(Box<LookupPlan>),
    /// Aggregates each batch.
    PartialAggregate(Box<AggregatePlan>),
    /// Makes a change for each window of a row.
    RowWindows {
        /// The time of a row.
        time: Expr,
        /// The windows, which are at fixed places.
        spec: WindowSpec,
        /// The schema that the time is over.
        input: DFSchemaRef,
        /// The rows with the bounds of a window as last columns.
        output: SchemaRef,
    },
    /// Computes what an aggregate over a changelog keeps of each row.
    RetractedRows(Box<AggregatePlan>),
    /// Aggregates for each row what steps find for it.
    RowAggregate(Box<RowAggregatePlan>),
}

/// What is found for each row, and aggregated for it, before it is compiled.
#[derive(Debug, Clone)]
pub struct RowAggregatePlan {
    /// The aggregation: its groups are the columns of the row.
    pub aggregate: AggregatePlan,
    /// Which of the groups is the number of the row in its batch, and its name.
    pub ordinal: (usize, String),
    /// What finds: the first step numbers the rows. Empty until all of them are known.
    pub steps: Vec<StepPlan>,
}

/// A join of rows with a table before it is compiled.
#[derive(Debug, Clone)]
pub struct LookupPlan {
    /// Which rows come; the left side is the rows that look.
    pub kind: JoinType,
    /// What they look in.
    pub side: LookupSide,
    /// What a row looks for, and the column that has it.
    pub keys: Vec<(Expr, usize)>,
    /// The columns of the side that follow the row's own in a pair.
    pub columns: Vec<usize>,
    /// How many of them are in the result.
    pub given: usize,
    /// What else is true of a pair.
    pub condition: Option<Expr>,
    /// The schema of the rows.
    pub input: DFSchemaRef,
    /// The schema of a pair.
    pub pair: DFSchemaRef,
    /// The result.
    pub output: SchemaRef,
    /// Whether it is `NOT IN`.
    pub null_aware: bool,
    /// Whether a row that finds nothing is an error.
    pub must_find: bool,
    /// Whether what a row finds stays the same once the job reads: then rows that are withdrawn can look too.
    pub stands_still: bool,
}

impl LookupPlan {
    /// Returns what `EXPLAIN` shows.
    pub fn describe(&self) -> String {
        let kind = match self.kind {
            JoinType::Inner => "look up",
            JoinType::Left => "look up, keeping all,",
            JoinType::LeftSemi => "keep what is found",
            JoinType::LeftAnti => "keep what is not found",
            _ => "mark what is found",
        };
        match &self.side {
            LookupSide::Table(relation) => {
                let key = self.keys.iter().map(|(_, column)| relation.schema.field(*column).name().as_str());
                let key = key.collect::<Vec<_>>();
                if key.is_empty() {
                    return format!("{kind} in `{}`: all rows for each", relation.name);
                }
                let own: Vec<&str> = relation.table.iter().flat_map(|table| table.key_names()).collect();
                let index = if own == key { "primary key" } else { "secondary index" };
                format!("{kind} in `{}` by {index} ({})", relation.name, key.join(", "))
            }
            LookupSide::Query { plan, .. } => {
                let names = super::lookup::tables_of(plan);
                let names = names.iter().map(|relation| format!("`{}`", relation.name));
                format!("{kind} in a query over {}", names.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What rows are looked up in.
#[derive(Debug, Clone)]
pub enum LookupSide {
    /// A table.
    Table(Arc<Relation>),
    /// The result of a query over tables.
    Query {
        /// The query.
        plan: LogicalPlan,
        /// The result, once a worker has made it.
        made: Arc<Mutex<Option<Arc<QueryTable>>>>,
    },
}

/// An aggregation before it is compiled.
#[derive(Debug, Clone)]
pub struct AggregatePlan {
    /// The group expressions that are not window bounds.
    pub keys: Vec<Expr>,
    /// The windows, if rows are grouped by them.
    pub window: Option<WindowPlan>,
    /// The functions.
    pub functions: Vec<Expr>,
    /// What each group column of the result is.
    pub layout: Vec<crate::aggregate::GroupColumn>,
    /// The schema of the rows.
    pub input: Arc<DFSchema>,
    /// The result.
    pub output: SchemaRef,
}

/// How windows come into the groups of an aggregation.
#[derive(Debug, Clone)]
pub enum WindowPlan {
    /// By the time of rows.
    Placed {
        /// The time.
        time: Expr,
        /// The running watermark of the row's partition.
        watermark: Expr,
        /// The windows.
        spec: WindowSpec,
    },
    /// Rows have them already.
    Given {
        /// A bound of a row's window.
        bound: Expr,
        /// Which bound it is.
        part: WindowPart,
        /// The windows.
        spec: WindowSpec,
        /// When no more rows of a window come.
        closes: GivenClose,
    },
}

/// When no more rows of a window come that rows have already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenClose {
    /// At its end: what comes out of an aggregate holds the watermark back for as long as it waits.
    AtEnd,
    /// When its time of grace is over too.
    AfterGrace,
    /// With the first ones: they come together.
    OnArrival,
}

/// A stateful operator, and what its output goes through.
#[derive(Debug, Clone)]
pub struct OperatorPlan {
    /// What it does.
    pub kind: OperatorKind,
    /// Its inputs.
    pub ports: Vec<PortPlan>,
    /// The stateless steps after it.
    pub steps: Vec<StepPlan>,
    /// Where its output goes then.
    pub target: Target,
}

/// An input of an operator.
#[derive(Debug, Clone)]
pub struct PortPlan {
    /// The schema of what it takes.
    pub schema: SchemaRef,
    /// The columns by which rows are spread over shards; none where one shard does it all.
    pub exchange: Option<Vec<usize>>,
}

/// What a stateful operator does.
#[derive(Debug, Clone)]
pub enum OperatorKind {
    /// Aggregates by window and key.
    Aggregate {
        /// What is computed.
        spec: Arc<AggregateSpec>,
        /// When its rows are given.
        showing: Showing,
    },
    /// Aggregates a changelog by key.
    RetractingAggregate {
        /// What is computed.
        spec: Arc<AggregateSpec>,
        /// How withdrawn rows are taken back.
        retraction: Arc<Retraction>,
        /// Whether its rows are given once, at the end of the input.
        at_end: bool,
    },
    /// Functions over the rows around each row, in the order of event time.
    Over(Arc<OverSpec>),
    /// Functions over the rows of a window, when it closes.
    WindowedOver(Arc<WindowedOverSpec>),
    /// Functions over the last rows of each key.
    BufferedOver(Arc<BufferedOverSpec>),
    /// Each row with its session, when the session closes.
    SessionRows(Arc<SessionRowsSpec>),
    /// The first rows of each key.
    TopRows(Arc<TopRowsSpec>),
    /// Pairs of rows of two inputs.
    Join(Arc<JoinSpec>),
    /// The rows of input 0, each with the version of input 1 that holds at its time.
    AsOfJoin(Arc<AsOfSpec>),
    /// All rows in order, at the end of the input.
    Sort {
        /// The order.
        order: Vec<datafusion::logical_expr::SortExpr>,
        /// The schema that it is over.
        input: DFSchemaRef,
        /// How many rows of the front are wanted.
        fetch: Option<usize>,
    },
    /// What changes have come to at the end of the input.
    Fold,
    /// Rows with their partners in a table; those without one wait for a while.
    WaitingLookup {
        /// How a row finds its partners, and what becomes of one that has waited in vain.
        lookup: Box<LookupPlan>,
        /// For how long rows wait.
        rule: RetryRule,
    },
    /// A table that keeps the rows.
    KeyedTable {
        /// The table.
        table: Arc<Table>,
        /// Whether somebody wants what really changed.
        emits: bool,
        /// For how long its rows stay, if not until they are deleted.
        retention: Option<Retention>,
        /// Whether a row that goes is one that came, and not only one of its key.
        exact: bool,
    },
    /// Some rows of the front.
    Limit {
        /// How many are left out first.
        skip: usize,
        /// How many are let through then.
        fetch: Option<usize>,
    },
}

impl OperatorKind {
    /// Returns the name that `EXPLAIN` and reports show.
    pub fn name(&self) -> String {
        match self {
            Self::Aggregate { spec, showing } => {
                let changing = if *showing == Showing::AtClose { "" } else { "changing " };
                match &spec.window {
                    None if *showing == Showing::Always && spec.functions.is_empty() => "distinct".to_owned(),
                    None => format!("{changing}aggregate"),
                    Some(key) => format!("{changing}{} aggregate", key.name()),
                }
            }
            Self::RetractingAggregate { spec, .. } if spec.functions.is_empty() => {
                "retracting distinct".to_owned()
            }
            Self::RetractingAggregate { .. } => "retracting aggregate".to_owned(),
            Self::Over(_) => "over".to_owned(),
            Self::BufferedOver(_) => "over last rows".to_owned(),
            Self::WindowedOver(_) => "over windows".to_owned(),
            Self::SessionRows(_) => "session rows".to_owned(),
            Self::TopRows(_) => "first rows".to_owned(),
            Self::Join(spec) => spec.name().to_owned(),
            Self::AsOfJoin(_) => "as-of join".to_owned(),
            Self::Sort { .. } => "sort".to_owned(),
            Self::Fold => "fold".to_owned(),
            Self::WaitingLookup { .. } => "waiting lookup".to_owned(),
            Self::KeyedTable { .. } => "table".to_owned(),
            Self::Limit { .. } => "limit".to_owned(),
        }
    }
}
