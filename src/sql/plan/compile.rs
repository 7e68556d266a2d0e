//! Compiling: logical expressions become physical ones, once per worker.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::{DFSchema, JoinType};
use datafusion::execution::SessionState;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{
    PhysicalExpr, PhysicalSortExpr, create_physical_expr, create_physical_sort_exprs,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner, create_window_expr};

use crate::aggregate::{
    AggregateSpec, Closing, PartialAggregate, RetractedRows, Retraction, RowAggregate, RowTime, RowWindows,
    WindowKey,
};
use crate::error::{Error, Result};
use crate::flow::{Filter, Fragment, PlanStep, Project, Slot, Step};
use crate::sql::functions::fail_on_overflow;
use crate::sql::plan::lookup::{over_tables, tables_of};
use crate::sql::plan::on_missing::table_below;
use crate::sql::plan::stream_plan::{
    AggregatePlan, GivenClose, LookupPlan, LookupSide, StepPlan, WindowPlan,
};
use crate::sql::relation::WindowPart;
use crate::table::{LookedUp, Lookup, LookupSpec, QueryTable, ReadPin};

/// Compiles expressions for one worker, whose clock is that of its `state`.
pub struct Compiler<'a> {
    state: &'a SessionState,
    properties: ExecutionProps,
    context: PhysicalPlanningContext,
}

impl<'a> Compiler<'a> {
    /// Creates a compiler.
    pub fn new(state: &'a SessionState) -> Self {
        let mut properties = ExecutionProps::new();
        properties.mark_start_execution(Arc::clone(state.config_options()));
        Self { state, properties, context: PhysicalPlanningContext::default() }
    }

    /// Compiles steps into a fragment.
    pub fn fragment(&self, steps: &[StepPlan]) -> Result<Fragment> {
        let steps = steps.iter().map(|step| self.step(step));
        Ok(Fragment::new(steps.collect::<Result<_>>()?))
    }

    fn step(&self, step: &StepPlan) -> Result<Box<dyn Step>> {
        Ok(match step {
            StepPlan::Filter { condition, input } => {
                Box::new(Filter::new(self.expression(condition, input)?))
            }
            StepPlan::DropLate { condition, windows, input } => {
                Box::new(Filter::of_late_rows(self.expression(condition, input)?, *windows))
            }
            StepPlan::Project { expressions, input, output } => {
                let expressions = expressions.iter().map(|expression| self.expression(expression, input));
                Box::new(Project::new(expressions.collect::<Result<_>>()?, Arc::clone(output)))
            }
            StepPlan::Plan { name, node, input } => Box::new(self.plan_step(name, node, input)?),
            StepPlan::Lookup(plan) => Box::new(self.lookup(plan)?),
            StepPlan::PartialAggregate(plan) => {
                Box::new(PartialAggregate::try_new(Arc::new(self.aggregate(plan)?))?)
            }
            StepPlan::RowWindows { time, spec, input, output } => {
                let windows = spec.aligned()?.ok_or_else(|| Error::internal("a session of no key"))?;
                Box::new(RowWindows::new(self.expression(time, input)?, windows, Arc::clone(output)))
            }
            StepPlan::RowAggregate(plan) => {
                let steps = self.fragment(&plan.steps)?;
                let spec = Arc::new(self.aggregate(&plan.aggregate)?);
                Box::new(RowAggregate::try_new(steps, spec, plan.ordinal.0)?)
            }
            StepPlan::RetractedRows(plan) => {
                Box::new(RetractedRows::new(self.retraction(&self.aggregate(plan)?, plan)?))
            }
        })
    }

    /// Compiles an expression.
    pub(super) fn expression(&self, expression: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        let compiled = create_physical_expr(expression, input, &self.properties, &self.context)?;
        fail_on_overflow(compiled)
    }

    /// Compiles a sort order.
    pub fn order(&self, order: &[SortExpr], input: &DFSchema) -> Result<Vec<PhysicalSortExpr>> {
        Ok(create_physical_sort_exprs(order, input, &self.properties, &self.context)?)
    }

    /// Compiles a function with `OVER`.
    pub(super) fn window_function(&self, call: &Expr, input: &DFSchema) -> Result<Arc<dyn WindowExpr>> {
        Ok(create_window_expr(call, input, &self.properties, &self.context)?)
    }

    fn plan_step(&self, name: &str, node: &LogicalPlan, input: &SchemaRef) -> Result<PlanStep> {
        let slot = Slot::new(Arc::clone(input));
        let source = provider_as_source(Arc::new(slot.table()?));
        let scan = LogicalPlanBuilder::scan("__batch", source, None)?.build()?;
        let names = node.inputs()[0].schema().iter();
        let columns = scan.schema().columns().into_iter().zip(names).map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        });
        let batch = LogicalPlanBuilder::from(scan).project(columns.collect::<Vec<_>>())?.build()?;
        let node = node.with_new_exprs(node.expressions(), vec![batch])?;
        let planner = DefaultPhysicalPlanner::default();
        let plan = futures::executor::block_on(planner.create_physical_plan(&node, self.state))?;
        Ok(PlanStep::new(name.to_owned(), plan, slot, self.state.task_ctx()))
    }

    /// Compiles a join of rows with a table.
    pub fn lookup(&self, plan: &LookupPlan) -> Result<Lookup> {
        let wanted: Vec<usize> = plan.keys.iter().map(|(_, column)| *column).collect();
        let (side, index): (Arc<dyn LookedUp>, _) = match &plan.side {
            LookupSide::Table(relation) => {
                let Some(table) = &relation.table else {
                    return Err(Error::internal(format!("`{}` is no table", relation.name)));
                };
                let index = (!wanted.is_empty()).then(|| table.require_index(&wanted)).transpose()?;
                (Arc::clone(table) as Arc<dyn LookedUp>, index)
            }
            LookupSide::Query { plan, made } => {
                let mut made = made.lock();
                let query = match made.as_ref() {
                    Some(query) => Arc::clone(query),
                    None => Arc::new(self.query_table(plan, wanted)?),
                };
                *made = Some(Arc::clone(&query));
                let index = query.index()?;
                (query as Arc<dyn LookedUp>, index)
            }
        };
        let keys = plan.keys.iter().map(|(key, _)| self.expression(key, &plan.input));
        let condition = plan.condition.as_ref().map(|condition| self.expression(condition, &plan.pair));
        let table = match &plan.side {
            LookupSide::Table(relation) => Some(Arc::from(relation.name.as_str())),
            LookupSide::Query { plan: query, .. } => {
                let table =
                    table_below(query).filter(|_| matches!(plan.kind, JoinType::Inner | JoinType::Left));
                table.map(Arc::from)
            }
        };
        Ok(Lookup::new(LookupSpec {
            name: plan.describe(),
            kind: plan.kind,
            side,
            index,
            keys: keys.collect::<Result<_>>()?,
            columns: plan.columns.clone(),
            given: plan.given,
            condition: condition.transpose()?,
            pair: Arc::clone(plan.pair.inner()),
            output: Arc::clone(&plan.output),
            null_aware: plan.keys.first().map(|(_, column)| *column).filter(|_| plan.null_aware),
            table,
            must_find: plan.must_find,
        }))
    }

    fn query_table(&self, plan: &LogicalPlan, key: Vec<usize>) -> Result<QueryTable> {
        let reads = tables_of(plan).into_iter().filter_map(|relation| relation.table.clone()).collect();
        let pin = ReadPin::new();
        let plan = over_tables(plan.clone(), &pin)?;
        let planner = DefaultPhysicalPlanner::default();
        let plan = futures::executor::block_on(planner.create_physical_plan(&plan, self.state))?;
        Ok(QueryTable::new(plan, self.state.task_ctx(), (reads, pin), key))
    }

    fn window(&self, plan: &WindowPlan, input: &DFSchema) -> Result<WindowKey> {
        match plan {
            WindowPlan::Placed { time, watermark, spec } => {
                let time = RowTime {
                    time: self.expression(time, input)?,
                    watermark: self.expression(watermark, input)?,
                };
                if let Some(windows) = spec.session() {
                    return Ok(WindowKey::Session { time, windows });
                }
                let windows = spec.aligned()?.ok_or_else(|| Error::internal("a window of no kind"))?;
                Ok(WindowKey::Aligned { time, windows })
            }
            WindowPlan::Given { bound, part, spec, closes } => {
                let mut windows = spec.aligned()?;
                let sessions = spec.session().map(|sessions| sessions.closes_at(0) - sessions.end(0));
                let mut grace_ms = sessions.or(spec.grace_ms).unwrap_or(0);
                if *closes == GivenClose::AtEnd {
                    grace_ms = 0;
                    windows.iter_mut().for_each(|windows| windows.grace_ms = 0);
                }
                let closes = match (part, windows) {
                    _ if *closes == GivenClose::OnArrival => Closing::OnArrival,
                    (WindowPart::Start, Some(windows)) => Closing::AfterStart(windows),
                    _ => Closing::AfterEnd(grace_ms),
                };
                Ok(WindowKey::Given { bound: self.expression(bound, input)?, closes, windows })
            }
        }
    }

    /// Plans how an aggregation takes rows back.
    pub(super) fn retraction(&self, spec: &AggregateSpec, plan: &AggregatePlan) -> Result<Retraction> {
        Retraction::try_new(spec, plan.input.as_arrow())
    }

    /// Compiles an aggregation.
    pub fn aggregate(&self, plan: &AggregatePlan) -> Result<AggregateSpec> {
        let arrow_schema = plan.input.as_arrow();
        let mut keys = vec![];
        for key in &plan.keys {
            let expression = self.expression(key, &plan.input)?;
            let field = expression.return_field(arrow_schema)?;
            keys.push((expression, field));
        }
        let window = plan.window.as_ref().map(|window| self.window(window, &plan.input)).transpose()?;
        let (mut functions, mut filters) = (vec![], vec![]);
        for function in &plan.functions {
            let lowered = LoweredAggregateBuilder::new(
                function,
                &plan.input,
                arrow_schema,
                &self.properties,
                &self.context,
            );
            let lowered = lowered.build()?;
            functions.push(checked_arguments(lowered.aggregate)?);
            filters.push(lowered.filter.map(fail_on_overflow).transpose()?);
        }
        if plan.layout.len() + functions.len() != plan.output.fields().len() {
            return Err(Error::internal("an aggregation's columns do not add up"));
        }
        Ok(AggregateSpec {
            keys,
            window,
            functions,
            filters,
            layout: plan.layout.clone(),
            output: Arc::clone(&plan.output),
        })
    }
}

/// Makes the arithmetic in a function's arguments fail on overflow.
fn checked_arguments(function: Arc<AggregateFunctionExpr>) -> Result<Arc<AggregateFunctionExpr>> {
    let arguments = function.expressions().into_iter().map(fail_on_overflow).collect::<Result<_>>()?;
    let orders = function.order_bys().iter().map(|order| fail_on_overflow(Arc::clone(&order.expr)));
    match function.with_new_expressions(arguments, orders.collect::<Result<_>>()?) {
        Some(checked) => Ok(Arc::new(checked)),
        None => Err(Error::internal(format!("the arguments of `{}` cannot be checked", function.name()))),
    }
}
