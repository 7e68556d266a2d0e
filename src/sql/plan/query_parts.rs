//! [`QueryParts`]: a query that stands for a value, taken apart: which rows of tables it is about, which of them belong to a row
//! outside, and what is computed of these.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, JoinType};
use datafusion::error::Result as DataFusionResult;
use datafusion::functions_aggregate::expr_fn::{count, first_value};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, FetchType, Join, Limit, LogicalPlan, Operator, SkipType, SortExpr,
    Subquery, lit,
};

use super::attach_join::reads_only_tables;
use super::references::{has_query, query_of, references, references_beyond, renamed};
use super::row_order::is_sortable;
use super::window_trace::{below, relation_of};
use crate::sql::functions::only_row_function;

/// The qualifier of the values of aggregates, named `0`, `1`, … in their order.
pub(super) const AGGREGATE: &str = "__aggregate";

/// A query that stands for a value.
pub(super) struct QueryParts {
    /// The value: over the aggregates' values where there are aggregates, else over `rows`.
    pub(super) value: Expr,
    /// What must be true of the aggregates' values, or the value is NULL.
    pub(super) having: Vec<Expr>,
    /// The aggregates over `rows`; none where the query gives rows as they are.
    pub(super) aggregates: Option<Vec<Expr>>,
    /// Which of `rows` count.
    pub(super) conditions: Vec<Expr>,
    /// Rows of tables, which do not depend on the row outside.
    pub(super) rows: LogicalPlan,
    /// The order of which the first row is wanted, if not every row is.
    first: Option<Vec<SortExpr>>,
    /// Whether there is nothing in it that the optimizer cannot take apart by itself.
    plain: bool,
}

impl QueryParts {
    /// Takes `query` apart; none if it is of another form, or reads anything but tables.
    pub(super) fn of(query: &Subquery) -> DataFusionResult<Option<Self>> {
        if !asks_only_tables(&query.subquery)? {
            return Ok(None);
        }
        let value = Expr::Column(query.subquery.schema().columns().swap_remove(0));
        let mut parts = Self {
            value,
            having: vec![],
            aggregates: None,
            conditions: vec![],
            rows: query.subquery.as_ref().clone(),
            first: None,
            plain: true,
        };
        while parts.descend()? {}
        Ok(references(&parts.rows)?.is_empty().then_some(parts))
    }

    /// Goes one node down; returns whether there was one to leave behind.
    fn descend(&mut self) -> DataFusionResult<bool> {
        let aggregated = self.aggregates.is_some();
        match self.rows.clone() {
            LogicalPlan::Projection(projection) => {
                let schema = &projection.schema;
                self.plain &= !projection.expr.iter().any(Expr::contains_outer);
                let below = |column: &Column| {
                    let ordinal = schema.maybe_index_of_column(column)?;
                    Some(projection.expr[ordinal].clone().unalias())
                };
                self.rename(schema, &projection.input, &below)?;
            }
            LogicalPlan::SubqueryAlias(alias) if !self.is_bare() => {
                let below = |column: &Column| {
                    let ordinal = alias.schema.maybe_index_of_column(column)?;
                    let (qualifier, field) = alias.input.schema().qualified_field(ordinal);
                    Some(Expr::Column(Column::new(qualifier.cloned(), field.name())))
                };
                self.rename(&alias.schema, &alias.input, &below)?;
            }
            LogicalPlan::Filter(filter) => {
                self.conditions.extend(split_conjunction_owned(filter.predicate));
                self.rows = Arc::unwrap_or_clone(filter.input);
            }
            LogicalPlan::Limit(limit)
                if !aggregated && self.first.is_none() && self.conditions.is_empty() =>
            {
                self.plain = false;
                match taken(&limit)? {
                    Some(1) => self.first = Some(vec![]),
                    Some(_) => {}
                    None => return Ok(false),
                }
                self.rows = Arc::unwrap_or_clone(limit.input);
            }
            LogicalPlan::Sort(sort) if !aggregated && self.conditions.is_empty() && sort.fetch.is_none() => {
                if let Some(order) = self.first.as_mut().filter(|order| order.is_empty()) {
                    *order = sort.expr;
                }
                self.rows = Arc::unwrap_or_clone(sort.input);
            }
            LogicalPlan::Aggregate(aggregate) if !aggregated && aggregate.group_expr.is_empty() => {
                let schema = &aggregate.schema;
                let value = |column: &Column| {
                    let ordinal = schema.maybe_index_of_column(column)?;
                    Some(Expr::Column(Column::new(Some(AGGREGATE), ordinal.to_string())))
                };
                self.rename(schema, &self.rows.clone(), &value)?;
                self.having = std::mem::take(&mut self.conditions);
                // There is one row, whatever its place.
                self.first = None;
                self.aggregates = Some(aggregate.aggr_expr);
                self.rows = Arc::unwrap_or_clone(aggregate.input);
            }
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => return self.split_join(join),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns whether the rows are those of a table, and a name for them is all that is above.
    fn is_bare(&self) -> bool {
        match &self.rows {
            LogicalPlan::SubqueryAlias(alias) => matches!(*alias.input, LogicalPlan::TableScan(_)),
            _ => false,
        }
    }

    /// Makes what depends on the row outside a condition on the pairs of a join, and not one of the join.
    fn split_join(&mut self, mut join: Join) -> DataFusionResult<bool> {
        let Some(filter) = join.filter.take() else { return Ok(false) };
        let (mut own, mut outer) = (vec![], vec![]);
        for condition in split_conjunction_owned(filter) {
            let asks = !references_beyond(&condition, &join.schema)?.is_empty();
            if asks { outer.push(condition) } else { own.push(condition) }
        }
        if outer.is_empty() {
            return Ok(false);
        }
        join.filter = datafusion::logical_expr::utils::conjunction(own);
        self.conditions.extend(outer);
        self.rows = LogicalPlan::Join(join);
        Ok(true)
    }

    /// Rewrites what is above a node, with rows of `schema`, to its input `below`.
    fn rename(
        &mut self,
        schema: &DFSchemaRef,
        below: &LogicalPlan,
        renaming: &dyn Fn(&Column) -> Option<Expr>,
    ) -> DataFusionResult<()> {
        let input = Arc::clone(below.schema());
        let rename = |expression: Expr| renamed(expression, schema, &input, renaming);
        let all =
            |expressions: Vec<Expr>| expressions.into_iter().map(rename).collect::<DataFusionResult<_>>();
        match self.aggregates.take() {
            Some(aggregates) => self.aggregates = Some(all(aggregates)?),
            None => self.value = rename(self.value.clone())?,
        }
        self.conditions = all(std::mem::take(&mut self.conditions))?;
        for key in self.first.iter_mut().flatten() {
            key.expr = rename(key.expr.clone())?;
        }
        self.rows = below.clone();
        Ok(())
    }

    /// Returns whether one row at most is there for a row outside: the whole key of a table is asked for.
    pub(super) fn is_one_row(&self) -> bool {
        if self.aggregates.is_some() {
            return false;
        }
        if self.rows.max_rows() == Some(1) {
            return true;
        }
        let Some(key) = key_of(&self.rows) else { return false };
        let mut asked = BTreeSet::new();
        for condition in &self.conditions {
            let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { continue };
            for (column, other) in [(left, right), (right, left)] {
                if let Expr::Column(column) = column.as_ref()
                    && other.column_refs().is_empty()
                    && !has_query(other)
                {
                    asked.extend(table_column(column, &self.rows));
                }
            }
        }
        key.iter().all(|column| asked.contains(column))
    }

    /// Returns whether the value depends on the row outside.
    pub(super) fn is_correlated(&self) -> DataFusionResult<bool> {
        let order = self.first.iter().flatten().map(|key| &key.expr);
        let all = [&self.value].into_iter().chain(&self.having).chain(&self.conditions).chain(order);
        for expression in all.chain(self.aggregates.iter().flatten()) {
            if !references_beyond(expression, self.rows.schema())?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether the optimizer takes the query apart by itself: an aggregate of rows that belong to the row outside by
    /// equality.
    pub(super) fn is_plain(&self) -> DataFusionResult<bool> {
        let schema = self.rows.schema();
        let is_own = |expression: &Expr| -> DataFusionResult<bool> {
            Ok(references_beyond(expression, schema)?.is_empty())
        };
        let mut plain = self.plain && self.having.is_empty() && is_own(&self.value)?;
        for aggregate in self.aggregates.as_deref().unwrap_or_default() {
            plain &= is_own(aggregate)?;
        }
        for condition in &self.conditions {
            plain &= is_own(condition)? || is_equation(condition);
        }
        Ok(plain && self.aggregates.is_some())
    }

    /// Makes rows aggregates: the first of them, or the only one.
    pub(super) fn into_aggregated(mut self) -> DataFusionResult<Self> {
        if self.aggregates.is_some() {
            return Ok(self);
        }
        let of = |ordinal: usize| Expr::Column(Column::new(Some(AGGREGATE), ordinal.to_string()));
        let sortable = self.value.get_type(self.rows.schema().as_ref()).is_ok_and(|kind| is_sortable(&kind));
        // Any row will do where no order is said, and it should be the same one each time.
        let by_value = if sortable { vec![self.value.clone().sort(true, false)] } else { vec![] };
        let order = self.first.take();
        let only = order.is_none();
        let order = order.filter(|order| !order.is_empty()).unwrap_or(by_value);
        let value = first_value(self.value, order);
        self.aggregates = Some(vec![value, count(lit(1_i64))]);
        self.value = if only { only_row_function().call(vec![of(0), of(1)]) } else { of(0) };
        Ok(self)
    }
}

/// Returns how many rows a limit takes from the front; none where it leaves some out before, or takes none.
fn taken(limit: &Limit) -> DataFusionResult<Option<usize>> {
    Ok(match (limit.get_skip_type()?, limit.get_fetch_type()?) {
        (SkipType::Literal(0), FetchType::Literal(Some(count))) if count > 0 => Some(count),
        _ => None,
    })
}

/// Returns whether a condition says that something of the rows equals something outside.
fn is_equation(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let sides = [(left, right), (right, left)];
    sides.into_iter().any(|(own, outer)| {
        !own.contains_outer() && outer.column_refs().is_empty() && !has_query(own) && !has_query(outer)
    })
}

/// Returns whether all that `plan` and the queries in it read are tables.
fn asks_only_tables(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut only = reads_only_tables(plan);
    plan.apply(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Some(query) = query_of(part) {
                    only &= asks_only_tables(&query.subquery)?;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(only)
}

/// Returns the names of the key of the one table that `plan` reads, if it is one.
fn key_of(plan: &LogicalPlan) -> Option<Vec<String>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let relation = relation_of(scan)?;
            let key: Vec<String> = relation.table.as_ref()?.key_names().map(str::to_owned).collect();
            (!key.is_empty()).then_some(key)
        }
        LogicalPlan::SubqueryAlias(alias) => key_of(&alias.input),
        _ => None,
    }
}

fn table_column(column: &Column, plan: &LogicalPlan) -> Option<String> {
    if matches!(plan, LogicalPlan::TableScan(_)) {
        return plan.schema().has_column(column).then(|| column.name.clone());
    }
    match below(column, plan)? {
        (Expr::Column(origin), input) => table_column(&origin, input),
        _ => None,
    }
}
