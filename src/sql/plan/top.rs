//! Planning `ROW_NUMBER() OVER (…) <= n`, or `RANK` or `DENSE_RANK`, in an order other than that of event time: the first
//! rows of each key.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator, Projection, Window};

use super::compile::Compiler;
use super::over::{Prepared, calls_of, description, prepare, ties};
use super::row_order::{bound_of, is_time_order};
use super::split::project;
use super::stream_plan::{OperatorKind, StepPlan};
use crate::error::Result;
use crate::over::{Numbering, TopRowsSpec};

/// The first rows of each key: what a condition on the number of a row comes to.
pub(super) struct FirstRows<'a> {
    window: &'a Window,
    /// What leaves columns out between the condition and the numbers.
    projection: Option<&'a Projection>,
    /// The column of the numbers, as the condition calls it.
    number: Column,
    numbering: Numbering,
    /// The highest number of a row.
    count: usize,
    /// What else the condition says.
    rest: Option<Expr>,
}

/// The first rows of each key as an operator, and the steps before and after it.
pub(super) struct PlannedTop {
    pub(super) kind: OperatorKind,
    pub(super) input: arrow::datatypes::SchemaRef,
    pub(super) keys: Vec<usize>,
    pub(super) before: Option<StepPlan>,
    pub(super) after: Vec<StepPlan>,
}

/// Returns the first rows that `filter` asks for, unless event time or a window orders them.
pub(super) fn first_rows(filter: &Filter) -> Result<Option<FirstRows<'_>>> {
    let (window, projection) = match filter.input.as_ref() {
        LogicalPlan::Window(window) => (window, None),
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::Window(window) => (window, Some(projection)),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let calls = calls_of(window)?.calls;
    let [call] = calls.as_slice() else { return Ok(None) };
    let order = &call.params.order_by;
    let ordered = order.first().is_some_and(|first| !matches!(first.expr, Expr::Literal(..)));
    let in_window = call.params.partition_by.iter().any(|key| bound_of(key, &window.input).is_some());
    let numbering = match call.fun.name() {
        "row_number" => Numbering::Rows,
        "rank" => Numbering::Rank,
        "dense_rank" => Numbering::DenseRank,
        _ => return Ok(None),
    };
    if !ordered || in_window || is_time_order(order, &window.input)? {
        return Ok(None);
    }
    let Some(number) = number_of(window, projection) else { return Ok(None) };
    let (mut count, mut rest) = (None::<usize>, vec![]);
    for condition in split_conjunction(&filter.predicate) {
        match most(condition, &number) {
            Some((most, says_it_all)) => {
                count = Some(count.map_or(most, |count| count.min(most)));
                if !says_it_all {
                    rest.push(condition.clone());
                }
            }
            None => rest.push(condition.clone()),
        }
    }
    Ok(count.map(|count| FirstRows { window, projection, number, numbering, count, rest: conjunction(rest) }))
}

/// Returns the column that holds the rows' numbers, after the projection if there is one.
fn number_of(window: &Window, projection: Option<&Projection>) -> Option<Column> {
    let column = |schema: &DFSchema, ordinal: usize| {
        let (qualifier, field) = schema.qualified_field(ordinal);
        Column::new(qualifier.cloned(), field.name())
    };
    let number = column(&window.schema, window.input.schema().fields().len());
    let Some(projection) = projection else { return Some(number) };
    let number = Expr::Column(number);
    let ordinal = projection.expr.iter().position(|expression| expression.clone().unalias() == number)?;
    Some(column(&projection.schema, ordinal))
}

/// Returns the highest number that `condition` lets through, and whether it lets all up to it through.
fn most(condition: &Expr, number: &Column) -> Option<(usize, bool)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (op, limit) = if is_number(left, number) {
        (*op, literal(right)?)
    } else if is_number(right, number) {
        (op.swap()?, literal(left)?)
    } else {
        return None;
    };
    match op {
        Operator::LtEq => Some((limit, true)),
        Operator::Lt => Some((limit.saturating_sub(1), true)),
        Operator::Eq => Some((limit, limit <= 1)),
        _ => None,
    }
}

fn is_number(expression: &Expr, number: &Column) -> bool {
    match expression {
        Expr::Cast(cast) => is_number(&cast.expr, number),
        Expr::Column(column) => column == number,
        _ => false,
    }
}

fn literal(expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Literal(ScalarValue::UInt64(Some(number)), _) => usize::try_from(*number).ok(),
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => usize::try_from(*number).ok(),
        _ => None,
    }
}

impl FirstRows<'_> {
    /// Returns what is read.
    pub(super) fn input(&self) -> &LogicalPlan {
        &self.window.input
    }

    /// Plans the operator; `after` is what its rows go through then.
    pub(super) fn plan(
        &self,
        after: &[StepPlan],
        at_end: bool,
        compiler: &Compiler<'_>,
    ) -> Result<PlannedTop> {
        let calls = calls_of(self.window)?;
        let params = &calls.calls[0].params;
        let schema = self.window.input.schema();
        let Prepared { keys, project: before, input, .. } = prepare(&params.partition_by, &[], schema)?;
        let reads_number = |expression: &Expr| expression.column_refs().contains(&self.number);
        let numbered = self.rest.as_ref().is_some_and(reads_number)
            || match after.first() {
                Some(StepPlan::Project { expressions, .. }) => expressions.iter().any(reads_number),
                _ => true,
            };
        let spec = TopRowsSpec {
            input: Arc::clone(&input),
            output: Arc::clone(self.window.schema.inner()),
            keys: keys.clone(),
            order: compiler.order(&params.order_by, schema)?,
            ties: match self.numbering {
                Numbering::Rows => ties(&self.window.input, &calls.hidden)?,
                Numbering::Rank | Numbering::DenseRank => vec![],
            },
            numbering: self.numbering,
            count: self.count,
            numbered,
            at_end,
            description: description(&calls.calls),
        };
        let mut after = vec![];
        let mut schema = &self.window.schema;
        if let Some(projection) = self.projection {
            after.push(project(projection));
            schema = &projection.schema;
        }
        if let Some(condition) = self.rest.clone() {
            after.push(StepPlan::Filter { condition, input: Arc::clone(schema) });
        }
        let kind = OperatorKind::TopRows(Arc::new(spec));
        Ok(PlannedTop { kind, input, keys, before, after })
    }
}
