//! `FOR SYSTEM_TIME AS OF` and `ASOF JOIN` where all rows and versions are there: of the versions in time each row takes
//! the nearest.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema, JoinConstraint, JoinType, NullEquality, ScalarValue};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, Join, LogicalPlan, Operator, Projection, Window, binary_expr, lit, when,
};

use super::attach_join::other_name;
use super::ties::row_number;
use crate::error::Error;
use crate::sql::relation::SystemColumn;

const ROW: &str = "__row";
const PLACE: &str = "__place";

/// How the times of a row and of its version compare.
pub(super) struct Version {
    /// The comparison.
    pub(super) comparison: Operator,
    /// Both times, or that of the row.
    pub(super) compared: Vec<Expr>,
}

/// Joins each row of `left` with the version that it finds in `right`, whose hidden columns have names of their own.
///
/// As in a stream the version is found by the keys and by time; a version with which another condition is not true
/// counts as none.
pub(super) fn join_versions(
    kind: JoinType,
    left: LogicalPlan,
    right: LogicalPlan,
    conditions: Vec<Expr>,
    version: Version,
) -> DataFusionResult<LogicalPlan> {
    if !matches!(kind, JoinType::Inner | JoinType::Left) {
        return Err(external(
            Error::not_yet(format!("a {kind} join with the versions of a table"))
                .with_hint("use JOIN or LEFT JOIN"),
        ));
    }
    let time = Expr::Column(Column::from_name(other_name(SystemColumn::Time)));
    let of_left = |expression: &Expr| expression.column_refs().iter().all(|c| left.schema().has_column(c));
    let of_right = |expression: &Expr| expression.column_refs().iter().all(|c| right.schema().has_column(c));
    let is_key = |condition: &Expr| match condition {
        Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) => {
            (of_left(a) && of_right(b)) || (of_right(a) && of_left(b))
        }
        _ => false,
    };
    let (mut meeting, rest): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(is_key);
    if meeting.is_empty() {
        return Err(external(
            Error::invalid("a join with the versions of a table needs an equality of keys")
                .with_hint("write it like `ON s.currency = r.currency`"),
        ));
    }
    let mut compared = version.compared.into_iter();
    let first = compared.next().unwrap_or_else(|| time.clone());
    let nearest_is_last = matches!(version.comparison, Operator::Gt | Operator::GtEq) == of_left(&first);
    meeting.push(binary_expr(first, version.comparison, compared.next().unwrap_or_else(|| time.clone())));
    let columns = |plan: &LogicalPlan| plan.schema().columns().into_iter().map(Expr::Column);
    let own: Vec<Expr> = columns(&left).collect();
    let theirs: Vec<Expr> = columns(&right).collect();

    let left =
        LogicalPlan::Window(Window::try_new(vec![row_number(vec![], vec![]).alias(ROW)], Arc::new(left))?);
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        vec![],
        conjunction(meeting),
        kind,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    // Of versions of one time the last that came holds.
    let last = |column| Expr::Column(Column::from_name(other_name(column))).sort(false, false);
    let order = vec![
        time.sort(!nearest_is_last, false),
        last(SystemColumn::TiePartition),
        last(SystemColumn::TieOffset),
    ];
    let place = row_number(vec![Expr::Column(Column::from_name(ROW))], order).alias(PLACE);
    let joined = Arc::new(LogicalPlan::Join(joined));
    let placed = LogicalPlan::Window(Window::try_new(vec![place], joined)?);
    let is_first = Expr::Column(Column::from_name(PLACE)).eq(lit(1_u64));
    let nearest = LogicalPlan::Filter(Filter::try_new(is_first, Arc::new(placed))?);
    with_rest(kind, nearest, own, theirs, rest)
}

/// Keeps the versions for which `rest` holds.
fn with_rest(
    kind: JoinType,
    nearest: LogicalPlan,
    own: Vec<Expr>,
    theirs: Vec<Expr>,
    rest: Vec<Expr>,
) -> DataFusionResult<LogicalPlan> {
    let Some(rest) = conjunction(rest) else {
        let columns = own.into_iter().chain(theirs).collect();
        return Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(nearest))?));
    };
    if kind == JoinType::Inner {
        let kept = LogicalPlan::Filter(Filter::try_new(rest, Arc::new(nearest))?);
        let columns = own.into_iter().chain(theirs).collect();
        return Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(kept))?));
    }
    let mut columns = own;
    for column in theirs {
        let Expr::Column(name) = &column else { continue };
        let data_type = nearest.schema().data_type(name)?;
        let nothing = lit(ScalarValue::try_new_null(data_type)?);
        let (relation, name) = (name.relation.clone(), name.name.clone());
        let held = when(rest.clone(), column).otherwise(nothing)?;
        columns.push(held.alias_qualified(relation, name));
    }
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(nearest))?))
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
