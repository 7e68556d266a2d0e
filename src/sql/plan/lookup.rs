//! Planning joins with tables: each row looks its partners up, in a step.
//!
//! A side that is one table, whatever columns and rows of it the query leaves out, is asked by an index of the table
//! itself. Any other query over tables is kept as a table of its own, which is made anew when what it reads has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, ScalarValue, TableReference};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection, TableScanBuilder, binary_expr, lit,
};

use super::on_missing::table_below;
use super::stream_plan::{LookupPlan, LookupSide, StepPlan};
use super::window_trace::relation_of;
use crate::error::{Error, Result};
use crate::sql::relation::Relation;
use crate::table::ReadPin;

/// The name by which conditions know columns of the table that the query leaves out.
const TABLE: &str = "__table";

/// A join with tables on its right side, as a step.
pub(super) fn plan_lookup(join: &Join, must_find: &BTreeSet<String>) -> Result<StepPlan> {
    if !matches!(
        join.join_type,
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
    ) {
        return Err(Error::not_yet(format!("a {} join of a stream with a table", join.join_type))
            .with_hint("the rows of the stream decide what comes: put the stream on the side that is kept"));
    }
    let join = &as_conditions(join)?;
    let direct = match one_table(&join.right) {
        // What is not there must be known of all rows.
        Some(_) if join.null_aware => None,
        Some(table) => columns_of(join, &table).map(|keys| (table, keys)),
        None => None,
    };
    let plan = match direct {
        Some((table, keys)) => direct_lookup(join, table, keys, must_find)?,
        None => query_lookup(join, must_find)?,
    };
    Ok(StepPlan::Lookup(Box::new(plan)))
}

/// Turns what an index cannot answer into conditions: keys of which NULL equals NULL, and a `NOT IN` that asks only some
/// rows of the table, where the answer is unknown if it is so for one of these.
fn as_conditions(join: &Join) -> Result<Join> {
    let mut join = join.clone();
    let mut conditions: Vec<Expr> = join.filter.take().into_iter().collect();
    if join.null_equality == NullEquality::NullEqualsNull {
        let equal = |(a, b)| binary_expr(a, Operator::IsNotDistinctFrom, b);
        conditions.extend(join.on.drain(..).map(equal));
        join.null_equality = NullEquality::NullEqualsNothing;
    }
    join.filter = conjunction(conditions);
    if join.on.len() > 1 || join.filter.is_some() {
        not_in_as_condition(&mut join);
    }
    Ok(join)
}

/// Makes each `NOT IN` of which only some rows count a condition: DataFusion runs those of all rows only.
pub(super) fn not_in_some(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rewritten = plan.transform_up(|node| match node {
        LogicalPlan::Join(mut join) if join.null_aware && (join.on.len() > 1 || join.filter.is_some()) => {
            not_in_as_condition(&mut join);
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// Makes `NOT IN`, if `join` is one, a condition: none of what is there may be equal, or perhaps equal.
pub(super) fn not_in_as_condition(join: &mut Join) {
    if !join.null_aware || join.on.is_empty() {
        return;
    }
    // The key of `IN` comes first, then those of the correlation.
    let (a, b) = join.on.remove(0);
    let unequal = Expr::IsNotFalse(Box::new(a.eq(b)));
    join.filter = conjunction(join.filter.take().into_iter().chain([unequal]));
    join.null_aware = false;
}

/// A table of which the query leaves rows or columns out.
struct OneTable {
    relation: Arc<Relation>,
    /// For each column of the side the column of the table.
    columns: Vec<usize>,
    /// Which rows are left, over columns of [`TABLE`].
    filters: Vec<Expr>,
}

fn one_table(plan: &LogicalPlan) -> Option<OneTable> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let relation = relation_of(scan)?;
            relation.table.as_ref()?;
            let all = || (0..scan.source.schema().fields().len()).collect();
            let columns: Vec<usize> = scan.projection.clone().unwrap_or_else(all);
            let declared = relation.schema.fields().len();
            let plain = scan.filters.is_empty() && columns.iter().all(|&column| column < declared);
            plain.then_some(OneTable { relation, columns, filters: vec![] })
        }
        LogicalPlan::SubqueryAlias(alias) => one_table(&alias.input),
        LogicalPlan::Filter(filter) => {
            let mut table = one_table(&filter.input)?;
            let schema = filter.input.schema();
            for condition in split_conjunction(&filter.predicate) {
                table.filters.push(of_table(condition, schema, &table)?);
            }
            Some(table)
        }
        LogicalPlan::Projection(projection) => {
            let mut table = one_table(&projection.input)?;
            let declared = table.relation.schema.fields().len();
            let columns = projection.expr.iter().map(|expression| match expression.clone().unalias() {
                Expr::Column(column) => {
                    let ordinal = projection.input.schema().index_of_column(&column).ok()?;
                    Some(table.columns[ordinal])
                }
                // A table has a column for it, after its own.
                Expr::Literal(ScalarValue::Boolean(Some(true)), _) => Some(declared),
                _ => None,
            });
            table.columns = columns.collect::<Option<_>>()?;
            Some(table)
        }
        _ => None,
    }
}

/// Rewrites a condition to the table's own columns.
fn of_table(condition: &Expr, schema: &DFSchema, table: &OneTable) -> Option<Expr> {
    let rewritten = condition.clone().transform_up(|part| match part {
        Expr::Column(column) => {
            let ordinal = schema.index_of_column(&column)?;
            let column = match table.relation.schema.fields().get(table.columns[ordinal]) {
                Some(field) => Expr::Column(Column::new(Some(TABLE), field.name())),
                None => lit(true),
            };
            Ok(Transformed::yes(column))
        }
        other => Ok(Transformed::no(other)),
    });
    rewritten.ok().map(|rewritten| rewritten.data)
}

/// Returns what rows look for and in which columns of the table; none where a key is no column of it.
fn columns_of(join: &Join, table: &OneTable) -> Option<Vec<(Expr, usize)>> {
    let schema = join.right.schema();
    let keys = join.on.iter().map(|(wanted, key)| match key {
        Expr::Column(column) => {
            let ordinal = table.columns[schema.index_of_column(column).ok()?];
            (ordinal < table.relation.schema.fields().len()).then(|| (wanted.clone(), ordinal))
        }
        _ => None,
    });
    keys.collect()
}

fn direct_lookup(
    join: &Join,
    table: OneTable,
    keys: Vec<(Expr, usize)>,
    must_find: &BTreeSet<String>,
) -> Result<LookupPlan> {
    let mut columns = table.columns.clone();
    let mut fields: Vec<_> = join
        .right
        .schema()
        .iter()
        .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
        .collect();
    for filter in &table.filters {
        for column in filter.column_refs() {
            let ordinal = table.relation.schema.index_of(&column.name)?;
            let field = Arc::new(table.relation.schema.field(ordinal).clone());
            let qualified = (Some(TableReference::bare(TABLE)), field);
            if !fields.contains(&qualified) {
                columns.push(ordinal);
                fields.push(qualified);
            }
        }
    }
    let side = DFSchema::new_with_metadata(fields, Default::default())?;
    let conditions = join.filter.iter().cloned().chain(table.filters);
    Ok(LookupPlan {
        kind: join.join_type,
        must_find: decides(join) && must_find.contains(&table.relation.name),
        stands_still: table.relation.stands_still(),
        side: LookupSide::Table(table.relation),
        keys,
        given: join.right.schema().fields().len(),
        columns,
        condition: conjunction(conditions),
        input: Arc::clone(join.left.schema()),
        pair: Arc::new(join.left.schema().join(&side)?),
        output: Arc::clone(join.schema.inner()),
        null_aware: false,
    })
}

/// Returns whether a row of the join that finds nothing is one of which `on.missing` says what becomes of it.
fn decides(join: &Join) -> bool {
    matches!(join.join_type, JoinType::Inner | JoinType::Left)
}

fn query_lookup(join: &Join, must_find: &BTreeSet<String>) -> Result<LookupPlan> {
    let mut columns: Vec<Expr> = join.right.schema().columns().into_iter().map(Expr::Column).collect();
    let given = columns.len();
    let mut keys = vec![];
    for (at, (wanted, key)) in join.on.iter().enumerate() {
        keys.push((wanted.clone(), columns.len()));
        columns.push(key.clone().alias(format!("__key{at}")));
    }
    let plan = Projection::try_new(columns, Arc::clone(&join.right))?;
    let plan = LogicalPlan::Projection(plan);
    // Its own columns have names that the table it is kept as can tell apart.
    let names = plan.schema().columns().into_iter().enumerate();
    let named = names.map(|(at, column)| Expr::Column(column).alias(format!("__c{at}")));
    let query = LogicalPlanBuilder::from(plan).project(named.collect::<Vec<_>>())?.build()?;
    Ok(LookupPlan {
        kind: join.join_type,
        side: LookupSide::Query { plan: query, made: Arc::default() },
        keys,
        given,
        columns: (0..given).collect(),
        condition: join.filter.clone(),
        input: Arc::clone(join.left.schema()),
        pair: Arc::new(join.left.schema().join(join.right.schema())?),
        output: Arc::clone(join.schema.inner()),
        null_aware: join.null_aware,
        must_find: decides(join) && table_below(&join.right).is_some_and(|table| must_find.contains(&table)),
        stands_still: tables_of(&join.right).iter().all(|table| table.stands_still()),
    })
}

/// Returns the tables that a query over tables reads.
pub(super) fn tables_of(plan: &LogicalPlan) -> Vec<Arc<Relation>> {
    let mut found = vec![];
    let mut visit = |node: &LogicalPlan| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(relation) = relation_of(scan)
        {
            found.push(relation);
        }
    };
    visit_all(plan, &mut visit);
    found
}

fn visit_all(plan: &LogicalPlan, visit: &mut impl FnMut(&LogicalPlan)) {
    visit(plan);
    plan.inputs().into_iter().for_each(|input| visit_all(input, visit));
}

/// Makes a query over tables read them as they are through `pin`.
pub(super) fn over_tables(plan: LogicalPlan, pin: &Arc<ReadPin>) -> Result<LogicalPlan> {
    let read = plan.transform_up(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let Some(table) = relation_of(scan).and_then(|relation| relation.table.clone()) else {
            return Ok(Transformed::no(node));
        };
        let source = provider_as_source(Arc::new(crate::table::TableScan::new(table, Arc::clone(pin))));
        let mut read = TableScanBuilder::new(scan.table_name.clone(), source)
            .with_filters(scan.filters.clone())
            .with_fetch(scan.fetch);
        if let Some(projection) = &scan.projection {
            read = read.with_projection(Some(projection.clone()));
        }
        Ok(Transformed::yes(LogicalPlan::TableScan(read.build()?)))
    })?;
    Ok(read.data)
}

/// Puts the sides of a join the other way round; gives the same rows and columns.
pub(super) fn flipped(join: &Join) -> Result<LogicalPlan> {
    let columns = join.schema.columns().into_iter().map(Expr::Column).collect();
    let joined = Arc::new(LogicalPlan::Join(turned(join)?));
    Ok(LogicalPlan::Projection(Projection::try_new(columns, joined)?))
}

/// Puts the sides of a join the other way round, and so the columns.
pub(super) fn turned(join: &Join) -> DataFusionResult<Join> {
    Join::try_new(
        Arc::clone(&join.right),
        Arc::clone(&join.left),
        join.on.iter().map(|(a, b)| (b.clone(), a.clone())).collect(),
        join.filter.clone(),
        join.join_type.swap(),
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )
}
