//! Taking an expression apart until its parts can be planned.

use std::convert::Infallible;
use std::ops::{ControlFlow, Range};

use arrow::datatypes::DataType;
use sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, Query, Select, SelectItem, TableWithJoins, Visit, Visitor,
};

use super::part::{Child, children, counting, exists, select_of};
use super::queries::Diagnosis;
use super::words;
use crate::sql::plan::rewrite::unbroken;

/// What an expression is planned over.
#[derive(Clone, Copy)]
pub(super) struct Over<'a> {
    /// The block that it stands in.
    pub(super) select: &'a Select,
    /// The sources that it can name.
    pub(super) from: &'a [TableWithJoins],
    /// What the rows are grouped by, if it is known.
    pub(super) groups: Option<&'a [Expr]>,
    /// Whether the block aggregates.
    pub(super) counts: bool,
    /// Makes a whole query of a block in its place.
    pub(super) wrap: &'a dyn Fn(Select) -> Query,
}

impl Over<'_> {
    /// Returns the block that gives `exprs`.
    pub(super) fn select_of(&self, exprs: Vec<&Expr>) -> Select {
        let item = |(ordinal, expr): (usize, &Expr)| SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::with_quote('"', format!("__{ordinal}")),
        };
        let mut items: Vec<SelectItem> = exprs.into_iter().enumerate().map(item).collect();
        if self.counts {
            items.push(counting());
        }
        let mut select = select_of(self.select, items, self.from.to_vec());
        if let Some(groups) = self.groups {
            select.group_by = GroupByExpr::Expressions(groups.to_vec(), vec![]);
        }
        select
    }

    /// Returns the whole query that gives `exprs`.
    pub(super) fn query_of(&self, exprs: Vec<&Expr>) -> Query {
        (self.wrap)(self.select_of(exprs))
    }
}

impl Diagnosis<'_> {
    /// Finds the errors of an expression; returns whether there are any.
    pub(super) fn expr(&mut self, expr: &Expr, over: &Over<'_>) -> bool {
        let Err(failure) = self.probe(over.query_of(vec![expr])) else { return false };
        if failure.is_grouping() && over.groups.is_none() {
            // What the rows are grouped by is wrong itself, so nothing is known of this.
            return false;
        }
        let before = self.errors.len();
        let below_aggregate = Over { groups: None, counts: false, ..*over };
        let inner = if self.is_aggregate(expr) { &below_aggregate } else { over };
        for child in children(expr) {
            match child {
                Child::Expr(child) => {
                    self.expr(&child, inner);
                }
                Child::Query(query) => {
                    self.query(&query, &|query| inner.query_of(vec![&exists(query)]));
                }
            }
        }
        if self.errors.len() == before {
            let error = words::explain(self, expr, failure, inner);
            self.errors.push(error);
        }
        true
    }

    /// Returns the types of expressions that can be planned.
    pub(super) fn types(&mut self, exprs: &[&Expr], over: &Over<'_>) -> Option<Vec<DataType>> {
        let schema = self.probe(over.query_of(exprs.to_vec())).ok()??;
        Some(schema.fields().iter().take(exprs.len()).map(|field| field.data_type().clone()).collect())
    }

    fn is_aggregate(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Function(call @ Function { over: None, .. }) if self.names_aggregate(call))
    }

    fn names_aggregate(&self, call: &Function) -> bool {
        self.state.aggregate_functions().contains_key(&call.name.to_string().to_lowercase())
    }

    /// Returns the aggregates of an expression, those of its subqueries not among them, with their places.
    pub(super) fn aggregates(&self, expr: &Expr) -> Vec<(String, Option<Range<usize>>)> {
        let mut found = Aggregates { diagnosis: self, queries: 0, found: vec![] };
        unbroken(expr.visit(&mut found));
        found.found
    }
}

struct Aggregates<'a, 'b> {
    diagnosis: &'a Diagnosis<'b>,
    queries: usize,
    found: Vec<(String, Option<Range<usize>>)>,
}

impl Visitor for Aggregates<'_, '_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Infallible> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Infallible> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        if let Expr::Function(call) = expr
            && self.queries == 0
            && self.diagnosis.is_aggregate(expr)
        {
            let place = words::place_of(self.diagnosis.prepared.text, expr);
            self.found.push((call.name.to_string().to_lowercase(), place));
        }
        ControlFlow::Continue(())
    }
}
