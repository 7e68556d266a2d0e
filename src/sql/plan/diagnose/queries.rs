//! [`Diagnosis`]: the walk over queries, their blocks and their clauses.

use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::execution::SessionState;
use sqlparser::ast::{
    Expr, GroupByExpr, JoinConstraint, JoinOperator, OrderByKind, Query, Select, SelectItem, SetExpr,
    Spanned, TableFactor, TableWithJoins, WildcardAdditionalOptions,
};

use super::expressions::Over;
use super::part::{alone, factor_name, query_of, select_of, source_name, sources};
use super::words::{self, Failure};
use crate::error::Error;
use crate::sql::functions::check_comparisons;
use crate::sql::mark;
use crate::sql::plan::prepared::Prepared;

/// The most parts that are planned for one query.
const PROBES_MAX: usize = 1_000;

/// What is known of a query's errors so far.
pub(super) struct Diagnosis<'a> {
    pub(super) state: &'a SessionState,
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) errors: Vec<Error>,
    probes: usize,
}

impl<'a> Diagnosis<'a> {
    pub(super) fn new(state: &'a SessionState, prepared: &'a Prepared<'a>) -> Self {
        Self { state, prepared, errors: vec![], probes: 0 }
    }

    /// Plans a query and returns its columns; one too many has none.
    pub(super) fn probe(&mut self, query: Query) -> Result<Option<DFSchemaRef>, Failure> {
        self.probes += 1;
        if self.probes > PROBES_MAX {
            return Ok(None);
        }
        let failed = |error| Failure::of_planner(error, self.prepared.text, &self.prepared.known);
        let plan = self.prepared.raw_plan(self.state, query).map_err(failed)?;
        check_comparisons(&plan, self.prepared.text).map_err(Failure::ours)?;
        let options = self.state.config_options();
        let plan = self.state.analyzer().execute_and_check(plan, options, |_, _| {}).map_err(failed)?;
        Ok(Some(Arc::clone(plan.schema())))
    }

    /// Finds the errors of a query; `wrap` makes a whole query of one in its place.
    pub(super) fn query(&mut self, query: &Query, wrap: &dyn Fn(Query) -> Query) {
        let Err(failure) = self.probe(wrap(query.clone())) else { return };
        let before = self.errors.len();
        if let Some(with) = query.with.as_ref().filter(|with| !with.recursive) {
            for (ordinal, cte) in with.cte_tables.iter().enumerate() {
                let mut earlier = with.clone();
                earlier.cte_tables.truncate(ordinal);
                let earlier = (ordinal > 0).then_some(earlier);
                let alone = |inner| query_of(earlier.clone(), SetExpr::Query(Box::new(inner)));
                self.query(&cte.query, &|inner| wrap(alone(inner)));
            }
        }
        if self.errors.len() == before {
            self.body(&query.body, &|body| wrap(query_of(query.with.clone(), body)));
        }
        if self.errors.len() == before {
            self.order(query, wrap);
        }
        if self.errors.len() == before {
            let place = words::place(self.prepared.text, query.span());
            let error = failure.at(None);
            self.errors.push(match place {
                Some(place) => mark(error, self.prepared.text, place),
                None => error,
            });
        }
    }

    fn body(&mut self, body: &SetExpr, wrap: &dyn Fn(SetExpr) -> Query) {
        match body {
            SetExpr::Select(select) => self.block(select, &|select| wrap(SetExpr::Select(Box::new(select)))),
            SetExpr::Query(query) => self.query(query, &|query| wrap(SetExpr::Query(Box::new(query)))),
            SetExpr::SetOperation { left, right, op, .. } => {
                let before = self.errors.len();
                self.body(left, wrap);
                self.body(right, wrap);
                if self.errors.len() > before {
                    return;
                }
                let sides = [left, right].map(|side| self.probe(wrap(side.as_ref().clone())));
                if let [Ok(Some(left)), Ok(Some(columns))] = sides {
                    let place = words::place(self.prepared.text, right.span());
                    self.errors.extend(words::arms(&op.to_string(), &left, &columns, place));
                }
            }
            _ => {}
        }
    }

    /// Finds the errors of one block.
    fn block(&mut self, select: &Select, wrap: &dyn Fn(Select) -> Query) {
        let before = self.errors.len();
        self.sources(select, wrap);
        if self.errors.len() == before {
            self.join_conditions(select, wrap);
        }
        if self.errors.len() > before {
            // What the sources give is not known.
            return;
        }
        let plain = Over { select, from: &select.from, groups: None, counts: false, wrap };
        if let Some(condition) = &select.selection {
            self.condition(condition, &plain, "WHERE");
        }
        let groups = self.groups(select, &plain);
        let grouped = Over { groups: groups.as_deref(), counts: self.is_grouped(select), ..plain };
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    self.expr(expr, &grouped);
                }
                other => self.wildcard(other, &grouped),
            }
        }
        for expr in [&select.having, &select.qualify].into_iter().flatten() {
            self.expr(expr, &grouped);
        }
        if self.errors.len() == before {
            self.result_names(select, wrap);
        }
    }

    /// Finds two items of a block with one name.
    fn result_names(&mut self, select: &Select, wrap: &dyn Fn(Select) -> Query) {
        let Err(failure) = self.probe(wrap(select.clone())) else { return };
        let Some(second) = failure.second_of_a_name() else { return };
        let (name, place) = match select.projection.get(second) {
            Some(SelectItem::ExprWithAlias { alias, .. }) => (alias.value.clone(), Some(alias.span)),
            Some(item) => (item.to_string(), Some(item.span())),
            None => return,
        };
        let place = place.and_then(|span| words::place(self.prepared.text, span));
        self.errors.push(words::twice(&name, place));
    }

    fn is_grouped(&self, select: &Select) -> bool {
        let grouped = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(groups, _) => !groups.is_empty(),
        };
        let items = select.projection.iter().filter_map(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
            _ => None,
        });
        grouped || items.chain(&select.having).any(|expr| !self.aggregates(expr).is_empty())
    }

    fn sources(&mut self, select: &Select, wrap: &dyn Fn(Select) -> Query) {
        let mut names: Vec<String> = vec![];
        for factor in sources(&select.from) {
            let Some(name) = source_name(factor) else { continue };
            if names.contains(&name.value) {
                let place = words::place(self.prepared.text, name.span);
                self.errors.push(words::source_twice(&name.value, place));
            }
            names.push(name.value.clone());
        }
        let star = || vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        for factor in sources(&select.from) {
            match factor {
                TableFactor::Derived { lateral: false, subquery, alias, sample } => {
                    let whole = |query| {
                        let (subquery, alias, sample) = (Box::new(query), alias.clone(), sample.clone());
                        let factor = TableFactor::Derived { lateral: false, subquery, alias, sample };
                        wrap(select_of(select, star(), vec![alone(&factor)]))
                    };
                    self.query(subquery, &whole);
                }
                TableFactor::Table { args: None, .. } => {
                    if let Err(failure) = self.probe(wrap(select_of(select, star(), vec![alone(factor)]))) {
                        let place =
                            factor_name(factor).and_then(|name| words::place(self.prepared.text, name.span));
                        self.errors.push(failure.at(place));
                    }
                }
                _ => {}
            }
        }
    }

    fn join_conditions(&mut self, select: &Select, wrap: &dyn Fn(Select) -> Query) {
        let mut seen: Vec<TableWithJoins> = vec![];
        for item in &select.from {
            seen.push(alone(&item.relation));
            for join in &item.joins {
                seen.push(alone(&join.relation));
                if let Some(JoinConstraint::On(condition)) = constraint(&join.join_operator) {
                    let over = Over { select, from: &seen, groups: None, counts: false, wrap };
                    self.condition(condition, &over, "ON");
                }
            }
        }
    }

    /// Checks an expression that decides over rows.
    fn condition(&mut self, condition: &Expr, over: &Over<'_>, clause: &str) {
        let aggregates = self.aggregates(condition);
        if !aggregates.is_empty() {
            self.errors.extend(
                aggregates.into_iter().map(|(name, place)| words::aggregate_in(&name, clause, place)),
            );
            return;
        }
        if self.expr(condition, over) {
            return;
        }
        let mut filtered = over.select_of(vec![&Expr::value(sqlparser::ast::Value::Null)]);
        filtered.selection = Some(condition.clone());
        if let Err(failure) = self.probe((over.wrap)(filtered)) {
            let types = self.types(&[condition], over);
            let place = words::place_of(self.prepared.text, condition);
            self.errors.push(words::no_condition(condition, types.as_deref(), clause, failure, place));
        }
    }

    /// Checks what rows are grouped by, and returns it with positions and aliases resolved; nothing if it is wrong.
    fn groups(&mut self, select: &Select, plain: &Over<'_>) -> Option<Vec<Expr>> {
        let GroupByExpr::Expressions(groups, _) = &select.group_by else { return None };
        let before = self.errors.len();
        let mut resolved = vec![];
        for group in groups {
            if let Some(position) = position(group)
                && !(1..=select.projection.len()).contains(&position)
            {
                let place = words::place_of(self.prepared.text, group);
                self.errors.push(words::no_position(position, select.projection.len(), place));
                continue;
            }
            let group = self.group(group, select, plain);
            let aggregates = self.aggregates(&group);
            let misplaced = !aggregates.is_empty();
            let told =
                aggregates.into_iter().map(|(name, place)| words::aggregate_in(&name, "GROUP BY", place));
            self.errors.extend(told);
            if !misplaced && !matches!(group, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)) {
                self.expr(&group, plain);
            }
            resolved.push(group);
        }
        (self.errors.len() == before).then_some(resolved)
    }

    /// Returns what a position or an alias in `GROUP BY` stands for.
    fn group(&mut self, group: &Expr, select: &Select, plain: &Over<'_>) -> Expr {
        let item = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
            _ => None,
        };
        let found = match group {
            Expr::Value(_) => {
                position(group).and_then(|at| select.projection.get(at.checked_sub(1)?)).and_then(item)
            }
            Expr::Identifier(name) if self.probe(plain.query_of(vec![group])).is_err() => {
                let alias = |own: &&SelectItem| match own {
                    SelectItem::ExprWithAlias { alias, .. } => alias.value.eq_ignore_ascii_case(&name.value),
                    _ => false,
                };
                select.projection.iter().find(alias).and_then(item)
            }
            _ => None,
        };
        found.unwrap_or_else(|| group.clone())
    }

    /// Checks `*` and `t.*`.
    fn wildcard(&mut self, item: &SelectItem, over: &Over<'_>) {
        let mut select = over.select_of(vec![]);
        select.projection.push(item.clone());
        if let Err(failure) = self.probe((over.wrap)(select))
            && !(failure.is_grouping() && over.groups.is_none())
        {
            let place = words::place(self.prepared.text, item.span());
            self.errors.push(failure.at(place));
        }
    }

    fn order(&mut self, query: &Query, wrap: &dyn Fn(Query) -> Query) {
        let mut rest = query.clone();
        let Some(order) = rest.order_by.take() else { return };
        if self.probe(wrap(rest.clone())).is_err() {
            return;
        }
        let OrderByKind::Expressions(items) = &order.kind else { return };
        for item in items {
            let mut only = rest.clone();
            let kind = OrderByKind::Expressions(vec![item.clone()]);
            only.order_by = Some(sqlparser::ast::OrderBy { kind, interpolate: None });
            if let Err(failure) = self.probe(wrap(only)) {
                let place = words::place_of(self.prepared.text, &item.expr);
                self.errors.push(failure.at(place));
            }
        }
    }
}

/// Returns the position that an item of `GROUP BY` is.
fn position(group: &Expr) -> Option<usize> {
    let Expr::Value(value) = group else { return None };
    match &value.value {
        sqlparser::ast::Value::Number(number, _) => number.parse().ok(),
        _ => None,
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}
