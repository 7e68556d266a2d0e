//! Columns that both sides of an outer join have by `USING` or `NATURAL`: what their bare name stands for.
//!
//! DataFusion takes the column of one side, whichever: but a row that only the other side has must have its value. So the
//! bare name is written as the column of the side that is kept, or of the first that has one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, Join, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use super::rewrite::relation_name;
use crate::error::{Error, Result};
use crate::sql::relation::Relation;

/// Writes the bare names of columns that outer joins merge as what they stand for.
///
/// # Errors
/// `NotYet` where the columns of a side would have to be known and are not.
pub(super) fn write_merged_columns(
    query: &mut Query,
    relations: &BTreeMap<String, Arc<Relation>>,
) -> Result<()> {
    let mut merging = Merging { relations, named: vec![] };
    match query.visit(&mut merging) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The columns of a query, where they are known.
type Columns = Option<Vec<String>>;

struct Merging<'a> {
    relations: &'a BTreeMap<String, Arc<Relation>>,
    /// For each query around the place the names that its `WITH` gives.
    named: Vec<Vec<(String, Columns)>>,
}

impl VisitorMut for Merging<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.named.push(vec![]);
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = aliased(&cte.alias, self.columns_of(&cte.query));
            if let Some(names) = self.named.last_mut() {
                names.push((name_of(&cte.alias.name), columns));
            }
        }
        let merged = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select).map(|row| order(query, &row)),
            body => self.branches(body),
        };
        match merged {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.named.pop();
        ControlFlow::Continue(())
    }
}

/// A column of the rows that `FROM` gives.
struct Visible {
    /// The name; none of a side whose columns are not known.
    name: Option<String>,
    value: Expr,
    merged: bool,
}

impl Merging<'_> {
    fn branches(&self, body: &mut SetExpr) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select).map(drop),
            SetExpr::SetOperation { left, right, .. } => {
                self.branches(left)?;
                self.branches(right)
            }
            _ => Ok(()),
        }
    }

    /// Rewrites a block; returns the columns of its rows if some are merged.
    fn select(&self, select: &mut Select) -> Result<Vec<Visible>> {
        if !select.from.iter().any(merges) {
            return Ok(vec![]);
        }
        let mut from = std::mem::take(&mut select.from);
        let mut row = vec![];
        for tables in &mut from {
            row.extend(self.joined(tables)?);
        }
        let items = std::mem::take(&mut select.projection);
        for item in items {
            match item {
                SelectItem::Wildcard(options) if options.opt_exclude.is_none() => {
                    select.projection.extend(all_of(&row)?);
                }
                SelectItem::UnnamedExpr(Expr::Identifier(name)) if merged(&row, &name).is_some() => {
                    select.projection.push(SelectItem::ExprWithAlias {
                        expr: Expr::Identifier(name.clone()),
                        alias: name,
                    });
                }
                other => select.projection.push(other),
            }
        }
        write(select, &row);
        select.from = from;
        Ok(row)
    }

    fn joined(&self, tables: &mut TableWithJoins) -> Result<Vec<Visible>> {
        let mut row = self.side(&tables.relation);
        for Join { relation, join_operator, .. } in &mut tables.joins {
            let mut right = self.side(relation);
            if let Some(JoinConstraint::On(condition)) = constraint(join_operator) {
                write(condition, &row);
            }
            let names = shared(join_operator, &row, &right)?;
            let (mut equal, mut again) = (vec![], false);
            for name in names.iter().cloned() {
                let (Some(ours), Some(theirs)) = (find(&row, &name), find(&right, &name)) else { continue };
                let (our_value, their_value) = (column(&row[ours], &name), column(&right[theirs], &name));
                equal.push((our_value.clone(), their_value.clone()));
                again |= row[ours].merged;
                let value = match join_operator {
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => their_value,
                    JoinOperator::FullOuter(_) => first_of(our_value, their_value),
                    _ => our_value,
                };
                if right[theirs].name.is_some() {
                    right.remove(theirs);
                }
                let merged = Visible { name: Some(name), value, merged: true };
                match row[ours].name {
                    Some(_) => row[ours] = merged,
                    None => row.insert(ours, merged),
                }
            }
            row.extend(right);
            // A column that is merged already is more than that of one side.
            if again
                && equal.len() == names.len()
                && let Some(constraint) = constraint(join_operator)
            {
                *constraint = all_equal(equal);
            }
        }
        Ok(row)
    }

    /// Returns the columns of a table or a query in `FROM`, or what stands for them all.
    fn side(&self, factor: &TableFactor) -> Vec<Visible> {
        let (name, columns) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let own = self.columns(&relation_name(name));
                match alias {
                    Some(alias) => (Some(alias.name.clone()), aliased(alias, own)),
                    None => (name.0.last().and_then(|part| part.as_ident()).cloned(), own),
                }
            }
            TableFactor::Derived { subquery, alias: Some(alias), .. } => {
                (Some(alias.name.clone()), aliased(alias, self.columns_of(subquery)))
            }
            TableFactor::Table { alias, .. } => (alias.as_ref().map(|alias| alias.name.clone()), None),
            _ => (None, None),
        };
        let Some(name) = name else { return vec![] };
        let Some(columns) = columns else {
            return vec![Visible { name: None, value: Expr::Identifier(name), merged: false }];
        };
        let visible = columns.into_iter().map(|column| {
            let value = Expr::CompoundIdentifier(vec![name.clone(), Ident::with_quote('"', &column)]);
            Visible { name: Some(column), value, merged: false }
        });
        visible.collect()
    }

    fn columns(&self, name: &str) -> Columns {
        let named = self.named.iter().rev().flat_map(|names| names.iter().rev());
        if let Some((_, columns)) = named.into_iter().find(|(known, _)| known == name) {
            return columns.clone();
        }
        let fields = self.relations.get(name)?.schema.fields().iter();
        Some(fields.map(|field| field.name().clone()).collect())
    }

    /// Returns the columns that a query gives, where it names all of them.
    fn columns_of(&self, query: &Query) -> Columns {
        let mut body = query.body.as_ref();
        while let SetExpr::SetOperation { left, .. } = body {
            body = left;
        }
        let SetExpr::Select(select) = body else { return None };
        let mut columns = vec![];
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => columns.push(name_of(alias)),
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => columns.push(name_of(name)),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                    columns.push(name_of(parts.last()?));
                }
                SelectItem::Wildcard(_) if query.with.is_none() => match select.from.as_slice() {
                    [TableWithJoins { relation: TableFactor::Table { name, args: None, .. }, joins }]
                        if joins.is_empty() =>
                    {
                        columns.extend(self.columns(&relation_name(name))?);
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
        Some(columns)
    }
}

fn name_of(ident: &Ident) -> String {
    relation_name(&ObjectName::from(vec![ident.clone()]))
}

fn aliased(alias: &TableAlias, columns: Columns) -> Columns {
    match alias.columns.is_empty() {
        true => columns,
        false => Some(alias.columns.iter().map(|column| name_of(&column.name)).collect()),
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::AsOf { constraint, .. } => Some(constraint),
        _ => None,
    }
}

fn all_equal(pairs: Vec<(Expr, Expr)>) -> JoinConstraint {
    let binary = |left: Expr, op: BinaryOperator, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    };
    let equations = pairs.into_iter().map(|(ours, theirs)| binary(ours, BinaryOperator::Eq, theirs));
    let all = equations.reduce(|all, equation| binary(all, BinaryOperator::And, equation));
    all.map_or(JoinConstraint::None, JoinConstraint::On)
}

fn is_outer(operator: &JoinOperator) -> bool {
    matches!(
        operator,
        JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
            | JoinOperator::Right(_)
            | JoinOperator::RightOuter(_)
            | JoinOperator::FullOuter(_)
    )
}

/// Returns whether an outer join is among joins that merge columns.
fn merges(tables: &TableWithJoins) -> bool {
    let by_name = |join: &Join| {
        let mut operator = join.join_operator.clone();
        matches!(constraint(&mut operator), Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
    };
    tables.joins.iter().any(|join| is_outer(&join.join_operator)) && tables.joins.iter().any(by_name)
}

/// Returns the names of the columns that a join merges.
fn shared(operator: &mut JoinOperator, left: &[Visible], right: &[Visible]) -> Result<Vec<String>> {
    match constraint(operator) {
        Some(JoinConstraint::Using(names)) => Ok(names.iter().map(relation_name).collect()),
        Some(JoinConstraint::Natural) => {
            if left.iter().chain(right).any(|visible| visible.name.is_none()) {
                return Err(Error::not_yet("`NATURAL` of a query whose columns are not all named")
                    .with_hint("say what is equal: `USING (…)`, and name the columns of the query"));
            }
            let names = left.iter().filter_map(|visible| visible.name.clone());
            Ok(names.filter(|name| right.iter().any(|other| other.name.as_ref() == Some(name))).collect())
        }
        _ => Ok(vec![]),
    }
}

/// Returns the place of the column with a name, or of the one side that may have it; none where it is not clear.
fn find(row: &[Visible], name: &str) -> Option<usize> {
    let places = |wanted: Option<&str>| {
        let mut found = (0..row.len()).filter(move |&at| row[at].name.as_deref() == wanted);
        (found.next(), found.next())
    };
    match places(Some(name)) {
        (Some(only), None) => Some(only),
        (None, _) => match places(None) {
            (Some(only), None) => Some(only),
            _ => None,
        },
        _ => None,
    }
}

fn column(visible: &Visible, name: &str) -> Expr {
    match (&visible.name, &visible.value) {
        (None, Expr::Identifier(side)) => {
            Expr::CompoundIdentifier(vec![side.clone(), Ident::with_quote('"', name)])
        }
        (_, value) => value.clone(),
    }
}

fn first_of(ours: Expr, theirs: Expr) -> Expr {
    let arguments = [ours, theirs].map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.to_vec(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Returns what a bare name stands for, if that is a merged column.
fn merged<'r>(row: &'r [Visible], name: &Ident) -> Option<&'r Expr> {
    let wanted = name_of(name);
    let mut found = row.iter().filter(|visible| visible.name.as_ref() == Some(&wanted));
    match (found.next(), found.next()) {
        (Some(visible), None) if visible.merged => Some(&visible.value),
        _ => None,
    }
}

/// Returns what `*` stands for.
fn all_of(row: &[Visible]) -> Result<Vec<SelectItem>> {
    let items = row.iter().map(|visible| match &visible.name {
        Some(name) if visible.merged => {
            Ok(SelectItem::ExprWithAlias { expr: visible.value.clone(), alias: Ident::with_quote('"', name) })
        }
        Some(_) => Ok(SelectItem::UnnamedExpr(visible.value.clone())),
        None => Err(Error::not_yet(
            "`*` over an outer join with `USING` of a query whose columns are not all named",
        )
        .with_hint("name the columns in the query, or in place of `*`")),
    });
    items.collect()
}

/// Writes merged columns as what they stand for, but not in the queries inside.
fn write(part: &mut impl VisitMut, row: &[Visible]) {
    struct Names<'r> {
        row: &'r [Visible],
        depth: usize,
    }
    impl VisitorMut for Names<'_> {
        type Break = Infallible;

        fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Infallible> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Infallible> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Infallible> {
            if self.depth == 0
                && let Expr::Identifier(name) = expression
                && let Some(value) = merged(self.row, name)
            {
                *expression = value.clone();
            }
            ControlFlow::Continue(())
        }
    }
    if row.iter().any(|visible| visible.merged) {
        super::rewrite::unbroken(part.visit(&mut Names { row, depth: 0 }));
    }
}

/// Writes merged columns in `ORDER BY`, where no column of the result has the name.
fn order(query: &mut Query, row: &[Visible]) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let given: Vec<String> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(name_of(alias)),
            _ => None,
        })
        .collect();
    let Some(order) = &mut query.order_by else { return };
    let OrderByKind::Expressions(terms) = &mut order.kind else { return };
    for term in terms {
        if !matches!(&term.expr, Expr::Identifier(name) if given.contains(&name_of(name))) {
            write(&mut term.expr, row);
        }
    }
}
