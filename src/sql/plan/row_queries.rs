//! Queries over tables that stand for a value of each row: the rows that belong to a row are joined to it, and aggregated for it.
//!
//! DataFusion wants an aggregate in every such query, and rows that belong to the row outside by equality. A query that asks a
//! table by its whole key has one row at most, and becomes a join that looks it up. For any other the rows outside are numbered,
//! joined to what belongs to them, and grouped by their number. In a stream the number is that in a batch, and so is the
//! grouping: a step of its own, and no operator.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Dependency, JoinConstraint, JoinType, NullEquality};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, LogicalPlan, Projection, Subquery, SubqueryAlias, lit, when,
};

use super::attach_join::reads_only_tables;
use super::counted_subqueries::count_in;
use super::lookup::tables_of;
use super::query_parts::{AGGREGATE, QueryParts};
use super::references::{as_own, columns_read, has_query, query_of, references, references_beyond, renamed};
use super::row_numbers::{numbered, without_ordinal};
use super::window_trace::trace_window;

/// The column that is true beside what was found for a row.
const THERE: &str = "__there";

/// Which queries are looked for, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowQueries {
    /// Those that ask for one row by its key.
    Keyed,
    /// All, in a query that runs as a stream.
    Streamed,
    /// All, in a query that runs once.
    Once,
}

/// Turns queries over tables that stand for values into joins.
pub(super) fn join_row_queries(plan: LogicalPlan, which: RowQueries) -> DataFusionResult<LogicalPlan> {
    let mut rewriting = Rewriting { which, made: 0 };
    let plan = if which == RowQueries::Streamed { narrowed(plan)? } else { plan };
    // From above: a query that is taken apart here takes those within it along.
    Ok(plan.transform_down_with_subqueries(|node| rewriting.node(node))?.data)
}

/// Leaves only those columns of the rows that conditions with queries decide over which anybody reads: all of them will be groups.
fn narrowed(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let narrowed = plan.transform_down(|node| {
        let expressions = match &node {
            LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => node.expressions(),
            _ => return Ok(Transformed::no(node)),
        };
        let input = match node.inputs().as_slice() {
            [LogicalPlan::Filter(filter)] if has_query(&filter.predicate) => {
                let read = expressions.iter().chain([&filter.predicate]);
                let input = reading(Arc::clone(&filter.input), read)?;
                LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), input)?)
            }
            _ => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(node.with_new_exprs(expressions, vec![input])?))
    })?;
    Ok(narrowed.data)
}

/// Leaves only those columns of `input` that `expressions` read.
fn reading<'a>(
    input: Arc<LogicalPlan>,
    expressions: impl Iterator<Item = &'a Expr>,
) -> DataFusionResult<Arc<LogicalPlan>> {
    let mut read = vec![];
    for expression in expressions {
        read.extend(columns_read(expression, input.schema())?);
    }
    let is_read = |column: &Column| {
        read.iter().any(|read| {
            input.schema().index_of_column(read).ok() == input.schema().index_of_column(column).ok()
        })
    };
    let columns: Vec<Column> = input.schema().columns().into_iter().filter(is_read).collect();
    if columns.is_empty() || columns.len() == input.schema().fields().len() {
        return Ok(input);
    }
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?)))
}

struct Rewriting {
    which: RowQueries,
    /// How many queries were joined.
    made: usize,
}

/// Rows with what belongs to them.
struct Pairs {
    plan: LogicalPlan,
    /// The qualifier of what belongs to them.
    alias: String,
    /// What else has to be true of a pair, by queries.
    rest: Vec<Expr>,
}

impl Rewriting {
    fn node(&mut self, node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
        match node {
            LogicalPlan::Projection(projection) => {
                let Projection { expr, input, .. } = projection.clone();
                let Some((expr, input)) = self.joined(expr, input)? else {
                    return Ok(Transformed::no(LogicalPlan::Projection(projection)));
                };
                Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(expr, input)?)))
            }
            LogicalPlan::Filter(filter) => match self.filter(&filter)? {
                Some(filtered) => Ok(Transformed::yes(filtered)),
                None => Ok(Transformed::no(LogicalPlan::Filter(filter))),
            },
            LogicalPlan::Aggregate(aggregate) if self.which != RowQueries::Keyed => {
                self.below_aggregate(aggregate)
            }
            other => Ok(Transformed::no(other)),
        }
    }

    /// Computes the queries in groups and arguments of an aggregate below it.
    fn below_aggregate(&mut self, aggregate: Aggregate) -> DataFusionResult<Transformed<LogicalPlan>> {
        let mut expressions = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
        if !expressions.any(has_query) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let mut columns: Vec<Expr> =
            aggregate.input.schema().columns().into_iter().map(Expr::Column).collect();
        let mut hoisted = |expression: Expr| -> DataFusionResult<Expr> {
            let name = expression.schema_name().to_string();
            let hoisted = expression.transform_down(|part| match query_of(&part) {
                Some(_) => {
                    let name = format!("__value{}", columns.len());
                    columns.push(count_in(part, &aggregate.input, true)?.data.alias(&name));
                    Ok(Transformed::yes(Expr::Column(Column::from_name(name))))
                }
                None => Ok(Transformed::no(part)),
            })?;
            if hoisted.transformed { hoisted.data.alias_if_changed(name) } else { Ok(hoisted.data) }
        };
        let groups = aggregate.group_expr.iter().cloned().map(&mut hoisted);
        let groups = groups.collect::<DataFusionResult<Vec<_>>>()?;
        let functions = aggregate.aggr_expr.iter().cloned().map(&mut hoisted);
        let functions = functions.collect::<DataFusionResult<Vec<_>>>()?;
        let (columns, input) = match self.joined(columns.clone(), Arc::clone(&aggregate.input))? {
            Some(joined) => joined,
            None => (columns, aggregate.input),
        };
        let input = LogicalPlan::Projection(Projection::try_new(columns, input)?);
        let aggregate = Aggregate::try_new(Arc::new(input), groups, functions)?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    }

    fn filter(&mut self, filter: &Filter) -> DataFusionResult<Option<LogicalPlan>> {
        let conditions = split_conjunction(&filter.predicate).into_iter().cloned();
        let (asking, plain): (Vec<Expr>, Vec<Expr>) = conditions.partition(has_query);
        if asking.is_empty() {
            return Ok(None);
        }
        // What decides by itself comes first, so that nothing is looked for in vain.
        let (outer, own): (Vec<Expr>, Vec<Expr>) = plain.into_iter().partition(Expr::contains_outer);
        let input = match conjunction(own) {
            Some(own) => Arc::new(LogicalPlan::Filter(Filter::try_new(own, Arc::clone(&filter.input))?)),
            None => Arc::clone(&filter.input),
        };
        let mut counted = false;
        let asking = asking.into_iter().map(|condition| {
            if self.which == RowQueries::Keyed || !asks_deep(&condition, &input)? {
                return Ok(condition);
            }
            counted = true;
            Ok(count_in(condition, &input, true)?.data)
        });
        let asking = asking.collect::<DataFusionResult<Vec<_>>>()?;
        let Some((conditions, input)) = self.joined(asking.clone(), Arc::clone(&input))? else {
            return Ok(None);
        };
        let predicate = conjunction(conditions.into_iter().chain(outer)).unwrap_or_else(|| lit(true));
        let filtered = Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, input)?));
        let columns = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
        Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, filtered)?)))
    }

    /// Joins what the queries in `expressions` ask for to `input`; none where there is no such query.
    fn joined(
        &mut self,
        expressions: Vec<Expr>,
        input: Arc<LogicalPlan>,
    ) -> DataFusionResult<Option<(Vec<Expr>, Arc<LogicalPlan>)>> {
        let (mut input, mut expressions, mut found) = (input, expressions, false);
        loop {
            let mut again = false;
            for expression in &mut expressions {
                let name = expression.schema_name().to_string();
                let replaced = expression.clone().transform_up(|part| {
                    let Expr::ScalarSubquery(query) = &part else { return Ok(Transformed::no(part)) };
                    match self.answer(query, &mut input)? {
                        Some(value) => Ok(Transformed::yes(value)),
                        None => Ok(Transformed::no(part)),
                    }
                })?;
                if replaced.transformed {
                    again = true;
                    *expression = replaced.data.alias_if_changed(name)?;
                }
            }
            // A value may have queries in it that now are about the joined rows.
            if !again {
                return Ok(found.then_some((expressions, input)));
            }
            found = true;
        }
    }

    /// Joins what `query` asks for to `input`, and returns its value; none where the query stays.
    fn answer(&mut self, query: &Subquery, input: &mut Arc<LogicalPlan>) -> DataFusionResult<Option<Expr>> {
        let asked = references(&query.subquery)?;
        if asked.iter().any(|asked| !input.schema().has_column(&asked.column)) {
            return Ok(None);
        }
        let Some(parts) = QueryParts::of(query)? else { return Ok(None) };
        let keyed = parts.is_one_row();
        if keyed && !asked.is_empty() {
            return self.row(parts, input).map(Some);
        }
        if self.which == RowQueries::Keyed || parts.is_plain()? {
            return Ok(None);
        }
        if parts.is_correlated()? {
            return self.aggregate(parts.into_aggregated()?, input).map(Some);
        }
        if asked.is_empty() && (keyed || parts.aggregates.is_some()) {
            return Ok(None);
        }
        // What it asked for is nothing that its value depends on.
        one_for_all(parts.into_aggregated()?).map(Some)
    }

    fn next(&mut self) -> String {
        self.made += 1;
        match self.which {
            RowQueries::Keyed => format!("__row{}", self.made),
            _ => format!("__query{}", self.made),
        }
    }

    /// Joins the one row that is asked for.
    fn row(&mut self, parts: QueryParts, input: &mut Arc<LogicalPlan>) -> DataFusionResult<Expr> {
        let value = parts.value.clone();
        let is_column = matches!(value, Expr::Column(_));
        let pairs = self.pairs(&parts, Arc::clone(input))?;
        let value = pairs.own(value, &parts)?;
        let mut there = vec![Expr::Column(Column::new(Some(&pairs.alias), THERE))];
        for condition in pairs.rest {
            there.push(count_in(condition, &pairs.plan, true)?.data);
        }
        *input = Arc::new(pairs.plan);
        match conjunction(there.clone()) {
            // A column of a row that is not there is NULL already.
            Some(_) if is_column && there.len() == 1 => Ok(value),
            Some(there) => when(there, value).end(),
            None => Ok(value),
        }
    }

    /// Joins all rows that belong to each row, and aggregates them for it.
    fn aggregate(&mut self, parts: QueryParts, input: &mut Arc<LogicalPlan>) -> DataFusionResult<Expr> {
        // Rows that may be withdrawn, and a table that changes: both sides are kept, and the rows tell themselves apart.
        let kept = self.which == RowQueries::Streamed && is_running(input) && may_change(&parts.rows);
        // A query over tables runs as a whole wherever it stands.
        let in_batch = self.which == RowQueries::Streamed && !reads_only_tables(input);
        let rows = match kept {
            true => Arc::clone(input),
            false => Arc::new(numbered(Arc::clone(input), self.made, in_batch)?),
        };
        let groups: Vec<Expr> = rows.schema().columns().into_iter().map(Expr::Column).collect();
        let mut pairs = self.pairs(&parts, rows)?;
        let mut functions = vec![];
        for function in parts.aggregates.iter().flatten() {
            functions.push(pairs.own(function.clone(), &parts)?);
        }
        let there = self.decided(&mut pairs, &mut functions)?;
        let alias = pairs.alias;
        let name = |ordinal: &str| format!("{alias}_{ordinal}");
        let functions = functions.into_iter().enumerate().map(|(at, function)| {
            let Expr::AggregateFunction(AggregateFunction { func, mut params }) = function.unalias() else {
                return datafusion::common::internal_err!("an aggregate of a query is none");
            };
            let filter = params.filter.take().map(|filter| *filter);
            params.filter = conjunction(std::iter::once(there.clone()).chain(filter)).map(Box::new);
            let function = Expr::AggregateFunction(AggregateFunction { func, params });
            Ok(function.alias(name(&at.to_string())))
        });
        let functions = functions.collect::<DataFusionResult<Vec<_>>>()?;
        let aggregate = Aggregate::try_new(Arc::new(pairs.plan), groups, functions)?;
        let plan = if kept { LogicalPlan::Aggregate(aggregate) } else { without_ordinal(aggregate)? };
        let value_of = |column: &Column| match &column.relation {
            Some(relation) if relation.table() == AGGREGATE => {
                Some(Expr::Column(Column::from_name(name(&column.name))))
            }
            _ => None,
        };
        let own = |expression: Expr| as_own(renamed(expression, plan.schema(), plan.schema(), &value_of)?);
        let value = own(parts.value)?;
        let having = parts.having.into_iter().map(own).collect::<DataFusionResult<Vec<_>>>()?;
        *input = Arc::new(plan);
        match conjunction(having) {
            Some(having) => when(having, value).end(),
            None => Ok(value),
        }
    }

    /// Joins to `input` the rows that the parts of a query are about.
    fn pairs(&mut self, parts: &QueryParts, input: Arc<LogicalPlan>) -> DataFusionResult<Pairs> {
        let alias = self.next();
        let (mut own, mut on, mut rest) = (vec![], vec![], vec![]);
        for condition in &parts.conditions {
            let outer = !references_beyond(condition, parts.rows.schema())?.is_empty();
            match (outer, has_query(condition)) {
                (false, _) => own.push(condition.clone()),
                (true, false) => on.push(condition.clone()),
                (true, true) => rest.push(condition.clone()),
            }
        }
        let rows = match conjunction(own) {
            Some(own) => LogicalPlan::Filter(Filter::try_new(own, Arc::new(parts.rows.clone()))?),
            None => parts.rows.clone(),
        };
        let columns = rows.schema().columns().into_iter().enumerate();
        let mut columns: Vec<Expr> =
            columns.map(|(at, column)| Expr::Column(column).alias(format!("__c{at}"))).collect();
        columns.push(lit(true).alias(THERE));
        let rows = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(rows))?);
        let rows = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias.as_str())?);
        let mut pairs = Pairs { plan: rows, alias, rest };
        let on = on.into_iter().map(|condition| pairs.own(condition, parts));
        let on = conjunction(on.collect::<DataFusionResult<Vec<_>>>()?);
        pairs.plan = LogicalPlan::Join(Join::try_new(
            input,
            Arc::new(pairs.plan.clone()),
            vec![],
            on,
            JoinType::Left,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?);
        let rest = std::mem::take(&mut pairs.rest);
        pairs.rest =
            rest.into_iter().map(|condition| pairs.own(condition, parts)).collect::<DataFusionResult<_>>()?;
        Ok(pairs)
    }

    /// Computes what conditions and arguments with queries come to for each pair; returns what is true of a pair that counts.
    fn decided(&mut self, pairs: &mut Pairs, functions: &mut [Expr]) -> DataFusionResult<Expr> {
        let mut columns: Vec<Expr> = pairs.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let own = columns.len();
        let mut there = vec![Expr::Column(Column::new(Some(&pairs.alias), THERE))];
        let mut add = |expression: Expr| -> DataFusionResult<Expr> {
            let name = format!("{}_v{}", pairs.alias, columns.len());
            columns.push(count_in(expression, &pairs.plan, true)?.data.alias(&name));
            Ok(Expr::Column(Column::from_name(name)))
        };
        for condition in std::mem::take(&mut pairs.rest) {
            there.push(add(condition)?);
        }
        for function in functions {
            let hoisted = function.clone().transform_down(|part| match query_of(&part) {
                Some(_) => Ok(Transformed::yes(add(part)?)),
                None => Ok(Transformed::no(part)),
            })?;
            *function = hoisted.data;
        }
        if columns.len() > own {
            let plan = Arc::new(pairs.plan.clone());
            let (columns, plan) = match self.joined(columns.clone(), Arc::clone(&plan))? {
                Some(joined) => joined,
                None => (columns, plan),
            };
            pairs.plan = LogicalPlan::Projection(Projection::try_new(columns, plan)?);
        }
        Ok(conjunction(there).unwrap_or_else(|| lit(true)))
    }
}

impl Pairs {
    /// Makes an expression over the rows that a query is about, and the row outside, one over pairs of them.
    fn own(&self, expression: Expr, parts: &QueryParts) -> DataFusionResult<Expr> {
        let schema = parts.rows.schema();
        let name = |column: &Column| {
            let ordinal = schema.maybe_index_of_column(column)?;
            Some(Expr::Column(Column::new(Some(&self.alias), format!("__c{ordinal}"))))
        };
        as_own(renamed(expression, schema, self.plan.schema(), &name)?)
    }
}

/// Returns whether rows are those of an aggregate without a window, of which each has a key of its own.
fn is_running(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::Filter(Filter { input, .. })
        | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => {
            let dependencies = plan.schema().functional_dependencies();
            dependencies.iter().any(|dependence| dependence.mode == Dependency::Single) && is_running(input)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let is_window = |group: &Expr| trace_window(group, &aggregate.input).is_some();
            !aggregate.group_expr.is_empty() && !aggregate.group_expr.iter().any(is_window)
        }
        _ => false,
    }
}

/// Returns whether a table that `plan` reads may change while it is read.
fn may_change(plan: &LogicalPlan) -> bool {
    tables_of(plan).iter().any(|table| !table.stands_still())
}

/// Returns whether a query in a condition on `input` asks for the rows of `input` anywhere but in conditions of its own: in
/// what it gives, or in a query within it.
fn asks_deep(condition: &Expr, input: &LogicalPlan) -> DataFusionResult<bool> {
    let mut deep = false;
    condition.apply(|part| {
        if let Some(query) = query_of(part) {
            let own = |column: &Column| input.schema().has_column(column);
            deep |= references(&query.subquery)?.iter().any(|asked| asked.deep && own(&asked.column));
            deep |= query.subquery.exists(|node| Ok(gives_asked(node)))?;
            deep &= reads_only_tables(&query.subquery);
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(deep)
}

fn gives_asked(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Projection(projection) if projection.expr.iter().any(Expr::contains_outer))
}

/// Makes a query that belongs to no row one that has one row.
fn one_for_all(parts: QueryParts) -> DataFusionResult<Expr> {
    let rows = match conjunction(parts.conditions) {
        Some(conditions) => LogicalPlan::Filter(Filter::try_new(conditions, Arc::new(parts.rows))?),
        None => parts.rows,
    };
    let functions = parts.aggregates.into_iter().flatten().enumerate();
    let functions = functions.map(|(at, function)| function.alias(at.to_string())).collect();
    let plan = Arc::new(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(rows), vec![], functions)?));
    let mut plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(plan, AGGREGATE)?);
    if let Some(having) = conjunction(parts.having) {
        plan = LogicalPlan::Filter(Filter::try_new(having, Arc::new(plan))?);
    }
    let plan = LogicalPlan::Projection(Projection::try_new(vec![parts.value], Arc::new(plan))?);
    let spans = datafusion::common::Spans::new();
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns: vec![], spans }))
}
