//! Attaching time to joins: a pair happens when the later of its rows does, and the clauses about time become conditions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::functions::core::greatest;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Join, LogicalPlan, Operator, Projection, TableScanBuilder, cast, lit,
};

use super::attach::{Lateness, TimeRules, attach_time, carried, without_hidden};
use super::whole_versions::{Version, join_versions};
use super::window_trace::relation_of;
use crate::error::Error;
use crate::sql::functions::{JOIN_AS_OF, JOIN_MATCH, JOIN_WITHIN, meets_function, settled_function};
use crate::sql::relation::{RelationTable, SystemColumn};

/// Returns whether all that `plan` reads are tables, which are looked up; a plan that reads nothing is one of them.
pub(super) fn reads_only_tables(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => relation_of(scan).is_some_and(|relation| relation.table.is_some()),
        other => other.inputs().into_iter().all(reads_only_tables),
    }
}

/// Returns whether a condition of `join` is a mark of a clause about time, or its rows need their time to find others.
pub(super) fn join_needs_time(join: &Join) -> bool {
    let marked = conditions(join).iter().any(|condition| mark_of(condition).is_some());
    marked || !(reads_only_tables(&join.left) || reads_only_tables(&join.right))
}

/// Makes the rows of a join carry their time.
pub(super) fn attach_join(join: Join, rules: TimeRules) -> DataFusionResult<LogicalPlan> {
    let (left_looked_up, right_looked_up) = (reads_only_tables(&join.left), reads_only_tables(&join.right));
    let side = |plan: &Arc<LogicalPlan>, looked_up: bool| {
        let plan = plan.as_ref().clone();
        if looked_up { Ok(plan) } else { attach_time(plan, rules) }
    };
    let mut versions = false;
    for mark in conditions(&join).iter().filter_map(mark_of) {
        if [JOIN_AS_OF, JOIN_MATCH].contains(&mark.func.name()) {
            version_of(mark)?;
            versions = true;
        }
    }
    let join = if versions { Join { right: Arc::new(with_versions(&join.right)?), ..join } } else { join };
    let left = side(&join.left, left_looked_up && !right_looked_up)?;
    let right = side(&join.right, right_looked_up && !left_looked_up && !versions)?;
    let one_sided = left_looked_up != right_looked_up && !versions;
    let timed = [&left, &right].map(|side| {
        [SystemColumn::Time, SystemColumn::Watermark].iter().all(|column| carried(side, *column).is_some())
    });
    if one_sided || timed != [true, true] {
        refuse_marks(&join)?;
        // The hidden columns of the one side that has them go along where its rows do.
        let keeps = if timed[0] { keeps_left(join.join_type) } else { keeps_right(join.join_type) };
        let (left, right) = if one_sided && keeps && timed[0] != timed[1] {
            (left, right)
        } else {
            (without_hidden(left)?, without_hidden(right)?)
        };
        return rebuilt(join, left, right, None);
    }
    meeting(join, left, right, rules)
}

/// Joins two sides that both have time.
fn meeting(
    join: Join,
    left: LogicalPlan,
    right: LogicalPlan,
    rules: TimeRules,
) -> DataFusionResult<LogicalPlan> {
    let right = renamed(right)?;
    let other = |column: SystemColumn| Expr::Column(Column::from_name(other_name(column)));
    let own = |column: SystemColumn| carried(&left, column).unwrap_or_else(|| lit(ScalarValue::Null));
    let (mut within, mut kept) = (None, vec![]);
    let mut version: Option<(Operator, Vec<Expr>)> = None;
    for condition in conditions(&join) {
        match mark_of(&condition) {
            Some(mark) if mark.func.name() == JOIN_WITHIN => within = bounds_of(mark),
            Some(mark) => version = Some(version_of(mark)?),
            None => kept.push(condition),
        }
    }
    if version.is_some() && within.is_some() {
        return Err(external(
            Error::invalid("a join with two clauses about time")
                .with_hint("leave `WITHIN` or the version out"),
        ));
    }
    let text = match (&version, within) {
        (Some((comparison, _)), _) => format!("version {comparison}"),
        (None, Some((lower, upper))) => format!("{lower}..{upper}"),
        (None, None) => String::new(),
    };
    let has_version = version.is_some();
    if let Some((lower, upper)) = within.filter(|_| rules.lateness == Lateness::Never) {
        let millis = |time: Expr| cast(time, DataType::Int64);
        let apart = millis(other(SystemColumn::Time)) - millis(own(SystemColumn::Time));
        kept.push(apart.clone().gt_eq(lit(lower)));
        kept.push(apart.lt_eq(lit(upper)));
    } else if rules.lateness != Lateness::Never {
        let mut times = vec![
            own(SystemColumn::Time),
            own(SystemColumn::Watermark),
            other(SystemColumn::Time),
            other(SystemColumn::Watermark),
            lit(text),
        ];
        times.extend(version.iter().flat_map(|(_, compared)| compared.iter().cloned()));
        let meets = Expr::ScalarFunction(ScalarFunction::new_udf(meets_function(), times));
        if has_version {
            kept = kept
                .into_iter()
                .map(|rest| of_found(rest, &left, &right))
                .collect::<DataFusionResult<_>>()?;
        }
        kept.push(meets);
    }
    let hidden = hidden_of_pairs(join.join_type, &left, has_version);
    let theirs = right.schema().columns();
    let joined = match version {
        Some((comparison, compared)) if rules.lateness == Lateness::Never => {
            kept.extend(join.on.into_iter().map(|(a, b)| a.eq(b)));
            join_versions(join.join_type, left, right, kept, Version { comparison, compared })?
        }
        _ => rebuilt(join, left, right, Some(kept))?,
    };
    let is_hidden = |name: &str| name.starts_with("__") && is_time_name(name);
    let visible = joined.schema().iter().filter(|(_, field)| !is_hidden(field.name()));
    let visible = visible.map(|(qualifier, field)| {
        let column = Column::new(qualifier.cloned(), field.name());
        if !has_version || theirs.iter().all(|other| *other != column) {
            return Expr::Column(column);
        }
        // What decides over rows that have found their versions must not decide over versions.
        settled(vec![Expr::Column(column)]).alias_qualified(qualifier.cloned(), field.name())
    });
    let columns = visible.chain(hidden).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?))
}

/// Returns the hidden columns of pairs: a pair happens when the later of its rows does, one with a version when its row
/// does.
fn hidden_of_pairs(kind: JoinType, left: &LogicalPlan, has_version: bool) -> Vec<Expr> {
    let kinds = (keeps_left(kind), keeps_right(kind));
    let hidden = SystemColumn::HIDDEN.into_iter().filter_map(|column| {
        let (ours, theirs) = (carried(left, column), Expr::Column(Column::from_name(other_name(column))));
        let both = matches!(column, SystemColumn::Time | SystemColumn::Watermark);
        let value = match (ours, kinds) {
            (Some(ours), (true, true)) if both && !has_version => greatest().call(vec![ours, theirs]),
            (Some(ours), (true, _)) => ours,
            (_, (false, true)) => theirs,
            _ => return None,
        };
        Some(value.alias(column.name()))
    });
    hidden.collect()
}

/// Makes a condition on a version one on the row that has found it, so that nothing moves it to all versions before: it
/// says whether the nearest one counts, and not which is the nearest. Equations of both sides are what finds it.
fn of_found(condition: Expr, left: &LogicalPlan, right: &LogicalPlan) -> DataFusionResult<Expr> {
    let time = carried(left, SystemColumn::Time).unwrap_or_else(|| lit(ScalarValue::Null));
    let reads = |expression: &Expr, side: &LogicalPlan| {
        let columns = expression.column_refs();
        !columns.is_empty() && columns.into_iter().all(|column| side.schema().has_column(column))
    };
    if let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = &condition
        && ((reads(a, left) && reads(b, right)) || (reads(a, right) && reads(b, left)))
    {
        return Ok(condition);
    }
    let found = condition.transform_up(|part| match part {
        Expr::Column(column) if right.schema().has_column(&column) => {
            Ok(Transformed::yes(settled(vec![Expr::Column(column), time.clone()])))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(found.data)
}

fn settled(arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(settled_function(), arguments))
}

/// Makes a plan read all that came for its tables, and not only what is in them now.
fn with_versions(plan: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let read = plan.clone().transform_up(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let Some(relation) = relation_of(scan).filter(|relation| relation.table.is_some()) else {
            return Ok(Transformed::no(node));
        };
        let Some(versions) = relation.versions.clone().filter(|versions| versions.event_time.is_some())
        else {
            return Err(external(
                Error::invalid(format!(
                    "table `{}` has no versions, because it declares no time for them",
                    relation.name
                ))
                .with_hint("declare the time of its versions: WATERMARK FOR ts AS ts - INTERVAL '5' SECOND"),
            ));
        };
        let source = provider_as_source(Arc::new(RelationTable::new(versions, &[])));
        let scan = TableScanBuilder::new(scan.table_name.clone(), source).build()?;
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(read.data)
}

fn rebuilt(
    join: Join,
    left: LogicalPlan,
    right: LogicalPlan,
    conditions: Option<Vec<Expr>>,
) -> DataFusionResult<LogicalPlan> {
    let filter = match conditions {
        Some(conditions) => conjunction(conditions),
        None => join.filter,
    };
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    Ok(LogicalPlan::Join(joined))
}

/// Gives the hidden columns of the right side names of their own.
pub(super) fn renamed(right: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let columns = right.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match SystemColumn::HIDDEN.into_iter().find(|hidden| hidden.name() == field.name()) {
            Some(hidden) => column.alias(other_name(hidden)),
            None => column,
        }
    });
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(right))?))
}

/// Drops hidden columns, those with names of their own too.
pub(super) fn visible(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let shown = plan.schema().columns().into_iter().filter(|column| !is_time_name(&column.name));
    let shown = shown.map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(plan))?))
}

/// The name of a hidden column of the right side of a join.
pub(super) fn other_name(column: SystemColumn) -> String {
    format!("__right{}", column.name().trim_start_matches('_'))
}

fn is_time_name(name: &str) -> bool {
    SystemColumn::HIDDEN.into_iter().any(|column| column.name() == name || other_name(column) == name)
}

fn conditions(join: &Join) -> Vec<Expr> {
    join.filter.clone().map(split_conjunction_owned).unwrap_or_default()
}

/// Returns the mark of a clause about time.
pub(super) fn mark_of(condition: &Expr) -> Option<&ScalarFunction> {
    match condition {
        Expr::ScalarFunction(call) => {
            [JOIN_WITHIN, JOIN_AS_OF, JOIN_MATCH].contains(&call.func.name()).then_some(call)
        }
        _ => None,
    }
}

/// Returns the bounds that a text `lower..upper` says.
pub(super) fn read_bounds(text: &str) -> Option<(i64, i64)> {
    let (lower, upper) = text.split_once("..")?;
    Some((lower.parse().ok()?, upper.parse().ok()?))
}

fn bounds_of(mark: &ScalarFunction) -> Option<(i64, i64)> {
    let Some(Expr::Literal(text, _)) = mark.args.first() else { return None };
    read_bounds(text.try_as_str().flatten()?)
}

/// Returns how the times of a row and of its version compare, and what is compared, as far as the query says it.
fn version_of(mark: &ScalarFunction) -> DataFusionResult<(Operator, Vec<Expr>)> {
    match mark.args.as_slice() {
        [time] if mark.func.name() == JOIN_AS_OF => Ok((Operator::GtEq, vec![time.clone()])),
        [Expr::BinaryExpr(BinaryExpr { left, op, right })]
            if matches!(op, Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq) =>
        {
            Ok((*op, vec![left.as_ref().clone(), right.as_ref().clone()]))
        }
        _ => Err(external(
            Error::invalid("`MATCH_CONDITION` compares the times of both sides by >=, >, <= or <")
                .with_hint("write it like `MATCH_CONDITION (l.ts >= r.ts)`"),
        )),
    }
}

fn refuse_marks(join: &Join) -> DataFusionResult<()> {
    let Some(mark) = conditions(join).iter().find_map(|condition| mark_of(condition).cloned()) else {
        return Ok(());
    };
    let what = if mark.func.name() == JOIN_WITHIN { "`WITHIN`" } else { "a join with the version of a row" };
    Err(external(
        Error::invalid(format!("{what} needs event time on both sides, and one side has none"))
            .with_hint("join streams, or tables that declare a WATERMARK; a table without one is looked up by a plain JOIN"),
    ))
}

/// Returns whether the left rows of a join are in its result.
fn keeps_left(kind: JoinType) -> bool {
    !matches!(kind, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark)
}

fn keeps_right(kind: JoinType) -> bool {
    !matches!(kind, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
