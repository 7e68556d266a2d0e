//! [`Merging`]: `MERGE` and `INSERT … ON CONFLICT` as one query, which joins the table with the rows that come.

use arrow::datatypes::{DataType, Field, Schema};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, SelectItem, SetExpr, TableFactor, VisitMut, VisitorMut};

use super::row_changes::{self, quoted};
use crate::error::{Error, Result};
use crate::sql::functions::type_name;
use crate::sql::{
    Conflict, ConflictAction, Matched, Merge, MergeAction, MergeClause, Name, parse_expression,
};

/// The column that says what becomes of a row of the result: 1 puts it in the table, -1 takes it out, 0 does nothing.
pub(super) const CHANGE: &str = "__change";
/// What tells on which sides a pair is.
const IN_SOURCE: &str = "__in_source";
const IN_TARGET: &str = "__in_target";
/// What the rows of an `INSERT` are called in `ON CONFLICT`.
const EXCLUDED: &str = "excluded";

/// What is done with each pair of rows. As long as the table's columns are not known, the query's select list has the
/// expressions of the arms one after the other: a condition, if there is one, and the values.
#[derive(Debug, Clone)]
pub(super) struct Merging {
    target: String,
    source: String,
    arms: Vec<Arm>,
    /// What an `INSERT` says of its columns and its key.
    conflict: Option<OnConflict>,
}

#[derive(Debug, Clone)]
struct Arm {
    matched: Matched,
    has_condition: bool,
    does: Does,
}

#[derive(Debug, Clone)]
enum Does {
    /// Gives these columns other values.
    Update(Vec<Name>),
    Delete,
    /// Puts in a row of so many values, for these columns or for all.
    Insert(Option<Vec<Name>>, usize),
    Nothing,
}

#[derive(Debug, Clone)]
struct OnConflict {
    columns: Option<Vec<String>>,
    key: Option<Vec<Name>>,
    keeps: bool,
}

/// The table that rows are merged into.
pub(super) struct Into<'a> {
    pub(super) name: &'a str,
    pub(super) columns: &'a Schema,
    pub(super) key: &'a [String],
}

/// Returns the query of a `MERGE` over the rows of `source`.
pub(super) fn merged(merge: Merge, source: TableFactor) -> (ast::Query, Merging) {
    let Merge { target, alias, clauses, on, source_alias, source: from } = merge;
    let own = match from {
        crate::sql::MergeSource::Relation(name) => name.value,
        crate::sql::MergeSource::Query(_) => "source".to_owned(),
    };
    let source_name = source_alias.map_or(own, |name| name.value);
    let target_name = alias.map_or_else(|| target.value.clone(), |name| name.value);
    let (mut items, mut arms) = (vec![], vec![]);
    for MergeClause { matched, condition, action, .. } in clauses {
        let has_condition = condition.is_some();
        items.extend(condition);
        let does = match action {
            MergeAction::Update(assignments) => {
                let (columns, values) = assignments.into_iter().map(|set| (set.column, set.value)).unzip();
                let values: Vec<Expr> = values;
                items.extend(values);
                Does::Update(columns)
            }
            MergeAction::Delete => Does::Delete,
            MergeAction::Insert { columns, values } => {
                let count = values.len();
                items.extend(values);
                Does::Insert(columns, count)
            }
            MergeAction::Nothing => Does::Nothing,
        };
        arms.push(Arm { matched, has_condition, does });
    }
    let merging = Merging { target: target_name, source: source_name, arms, conflict: None };
    (merging.joined(&target.value, source, on, items), merging)
}

/// Returns the query of an `INSERT` of the rows of `query` that does `conflict` where a key is there.
pub(super) fn inserted(
    target: &Name,
    columns: Option<Vec<String>>,
    query: ast::Query,
    conflict: Conflict,
) -> Option<(ast::Query, Merging)> {
    let (keeps, action, condition) = match conflict.action {
        ConflictAction::Replace => return None,
        ConflictAction::Nothing => (true, MergeAction::Nothing, None),
        ConflictAction::Update { assignments, condition } => {
            (false, MergeAction::Update(assignments), condition.map(|condition| *condition))
        }
    };
    let arm = |matched, condition, action| MergeClause { matched, condition, action, span: 0..0 };
    let insert = MergeAction::Insert { columns: None, values: vec![] };
    let merge = Merge {
        target: target.clone(),
        alias: None,
        source: crate::sql::MergeSource::Relation(Name { value: EXCLUDED.to_owned(), ..target.clone() }),
        source_alias: None,
        on: Expr::value(ast::Value::Boolean(true)),
        clauses: vec![arm(Matched::Both, condition, action), arm(Matched::NotInTarget, None, insert)],
    };
    let (query, merging) = merged(merge, derived(query, EXCLUDED, vec![]));
    Some((query, Merging { conflict: Some(OnConflict { columns, key: conflict.columns, keeps }), ..merging }))
}

impl Merging {
    /// Returns the words that a message calls the statement by.
    pub(super) fn verb(&self) -> &'static str {
        if self.conflict.is_some() { "INSERT … ON CONFLICT" } else { "MERGE" }
    }

    /// Returns whether the first of several rows with one key is taken; else they are an error.
    pub(super) fn keeps_first(&self) -> bool {
        self.conflict.as_ref().is_some_and(|conflict| conflict.keeps)
    }

    fn joined(&self, target: &str, source: TableFactor, on: Expr, items: Vec<Expr>) -> ast::Query {
        let any = |side| self.arms.iter().any(|arm| arm.matched == side);
        let on = ast::JoinConstraint::On(on);
        let join_operator = match (any(Matched::NotInTarget), any(Matched::NotInSource)) {
            (true, true) => ast::JoinOperator::FullOuter(on),
            (true, false) => ast::JoinOperator::Left(on),
            (false, true) => ast::JoinOperator::Right(on),
            (false, false) => ast::JoinOperator::Inner(on),
        };
        let target = ast::Join {
            relation: marked(row_changes::table(target), &self.target, IN_TARGET),
            global: false,
            join_operator,
        };
        let from =
            ast::TableWithJoins { relation: marked(source, &self.source, IN_SOURCE), joins: vec![target] };
        row_changes::select(from, items.into_iter().map(SelectItem::UnnamedExpr).collect(), None)
    }

    /// Makes the select list of `query` what becomes of each pair: the columns of the table, then [`CHANGE`].
    ///
    /// # Errors
    /// Invalid: a column that the table does not have, or one of its key that is to change.
    pub(super) fn complete(&self, query: &mut ast::Query, into: &Into<'_>) -> Result<()> {
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(Error::internal("a MERGE is no SELECT"));
        };
        if let Some(conflict) = &self.conflict {
            conflict.complete(&mut select.from, into)?;
        }
        let mut given = std::mem::take(&mut select.projection).into_iter().filter_map(|item| match item {
            SelectItem::UnnamedExpr(expr) => Some(self.qualified(expr, into)),
            _ => None,
        });
        let mut columns: Vec<Vec<ast::CaseWhen>> = vec![vec![]; into.columns.fields().len()];
        let mut changes = vec![];
        for arm in &self.arms {
            let condition = if arm.has_condition { given.next() } else { None };
            let fits = self.fits(arm.matched, condition);
            let values = self.values(&arm.does, &mut given, into)?;
            let change = match arm.does {
                Does::Update(_) | Does::Insert(..) => 1,
                Does::Delete => -1,
                Does::Nothing => 0,
            };
            changes.push(ast::CaseWhen { condition: fits.clone(), result: number(change) });
            for (column, result) in columns.iter_mut().zip(values) {
                column.push(ast::CaseWhen { condition: fits.clone(), result });
            }
        }
        let columns = columns.into_iter().zip(into.columns.fields());
        let mut items: Vec<SelectItem> =
            columns.map(|(arms, field)| named(case(arms, null()), field.name())).collect();
        items.push(named(case(changes, number(0)), CHANGE));
        select.projection = items;
        Ok(())
    }

    /// Returns the condition for pairs that an arm is for.
    fn fits(&self, matched: Matched, condition: Option<Expr>) -> Expr {
        let is_in = |side: &str, flag: &str, is: bool| {
            let flag = Box::new(column(side, flag));
            if is { Expr::IsNotNull(flag) } else { Expr::IsNull(flag) }
        };
        let in_source = is_in(&self.source, IN_SOURCE, matched != Matched::NotInSource);
        let in_target = is_in(&self.target, IN_TARGET, matched != Matched::NotInTarget);
        let conditions = [in_target].into_iter().chain(condition.map(|own| Expr::Nested(Box::new(own))));
        conditions.fold(in_source, |left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: ast::BinaryOperator::And,
            right: Box::new(right),
        })
    }

    /// Returns the values of all columns of the table that an arm gives; `given` are the written ones.
    fn values(
        &self,
        does: &Does,
        given: &mut impl Iterator<Item = Expr>,
        into: &Into<'_>,
    ) -> Result<Vec<Expr>> {
        let fields = into.columns.fields();
        let stays = |field: &Field| column(&self.target, field.name());
        match does {
            Does::Nothing => Ok(fields.iter().map(|_| null()).collect()),
            Does::Delete => Ok(fields.iter().map(|field| stays(field)).collect()),
            Does::Update(names) => {
                let mut values: Vec<Expr> = fields.iter().map(|field| stays(field)).collect();
                for (place, value) in into.changeable(names)?.into_iter().zip(given) {
                    values[place] = cast(value, fields[place].data_type());
                }
                Ok(values)
            }
            Does::Insert(..) if self.conflict.is_some() => {
                Ok(fields.iter().map(|field| column(EXCLUDED, field.name())).collect())
            }
            Does::Insert(names, count) => {
                let places = match names {
                    Some(names) => names.iter().map(|name| into.place(name)).collect::<Result<Vec<_>>>()?,
                    None if *count == fields.len() => (0..*count).collect(),
                    None => {
                        return Err(Error::invalid(format!(
                            "table `{}` has {} columns, and INSERT gives {count}",
                            into.name,
                            fields.len()
                        ))
                        .with_hint("name those that it gives: INSERT (a, b) VALUES (…)"));
                    }
                };
                let mut values: Vec<Expr> = fields.iter().map(|_| null()).collect();
                for (place, value) in places.into_iter().zip(given.take(*count)) {
                    values[place] = cast(value, fields[place].data_type());
                }
                Ok(values)
            }
        }
    }

    /// Says of the bare names in an expression of `ON CONFLICT` that they are the table's.
    fn qualified(&self, mut expr: Expr, into: &Into<'_>) -> Expr {
        if self.conflict.is_some() {
            let mut names = Qualify { table: &self.target, columns: into.columns, depth: 0 };
            let ControlFlow::Continue(()) = expr.visit(&mut names);
        }
        expr
    }
}

impl OnConflict {
    /// Gives the rows that come the columns and types of the table, and pairs them with those of the same key.
    fn complete(&self, from: &mut [ast::TableWithJoins], into: &Into<'_>) -> Result<()> {
        if let Some(named) = &self.key {
            let is = |name: &str| named.iter().any(|other| other.value.eq_ignore_ascii_case(name));
            if named.len() != into.key.len() || !into.key.iter().all(|key| is(key)) {
                return Err(Error::invalid(format!(
                    "`ON CONFLICT` names other columns than the key of table `{}`",
                    into.name
                ))
                .with_hint(format!("its key: {}", into.key.join(", ")))
                .with_span(named.first().map_or(0..0, |name| name.span.clone())));
            }
        }
        let fields = into.columns.fields();
        let all = || fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let given = self.columns.clone().unwrap_or_else(all);
        let broken = || Error::internal("the rows of an INSERT are no query");
        let [ast::TableWithJoins { relation: TableFactor::Derived { subquery, .. }, joins }] = from else {
            return Err(broken());
        };
        let SetExpr::Select(rows) = subquery.body.as_mut() else { return Err(broken()) };
        let [ast::TableWithJoins { relation: TableFactor::Derived { alias: Some(alias), .. }, .. }] =
            rows.from.as_mut_slice()
        else {
            return Err(broken());
        };
        let define = |name: &String| ast::TableAliasColumnDef { name: quoted(name), data_type: None };
        alias.columns = given.iter().map(define).collect();
        if let Some(unknown) =
            given.iter().find(|name| fields.iter().all(|field| !field.name().eq_ignore_ascii_case(name)))
        {
            return Err(Error::invalid(format!("the target has no column `{unknown}`"))
                .with_hint(format!("it has: {}", all().join(", "))));
        }
        let typed = fields.iter().map(|field| {
            let own = given.iter().find(|name| name.eq_ignore_ascii_case(field.name()));
            let value = own.map_or_else(null, |name| column(EXCLUDED, name));
            named(cast(value, field.data_type()), field.name())
        });
        rows.projection = typed.chain([flag(IN_SOURCE)]).collect();
        let same = |key: &String| Expr::BinaryOp {
            left: Box::new(column(into.name, key)),
            op: ast::BinaryOperator::Eq,
            right: Box::new(column(EXCLUDED, key)),
        };
        let on = into.key.iter().map(same).reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: ast::BinaryOperator::And,
            right: Box::new(right),
        });
        let join = joins.first_mut().map(|join| &mut join.join_operator);
        if let (Some(on), Some(ast::JoinOperator::Left(pairs))) = (on, join) {
            *pairs = ast::JoinConstraint::On(on);
        }
        Ok(())
    }
}

impl Into<'_> {
    /// Returns the place of a column.
    ///
    /// # Errors
    /// Invalid: there is none of that name.
    pub(super) fn place(&self, name: &Name) -> Result<usize> {
        let fields = self.columns.fields();
        fields.iter().position(|field| field.name().eq_ignore_ascii_case(&name.value)).ok_or_else(|| {
            let all = fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
            Error::invalid(format!("table `{}` has no column `{}`", self.name, name.value))
                .with_hint(format!("columns there: {}", all.join(", ")))
                .with_span(name.span.clone())
        })
    }

    /// Returns the places of columns that may change.
    ///
    /// # Errors
    /// Invalid: one is not there, or belongs to the key.
    pub(super) fn changeable(&self, names: &[Name]) -> Result<Vec<usize>> {
        let place = |name: &Name| {
            let place = self.place(name)?;
            if self.key.iter().any(|key| key.eq_ignore_ascii_case(&name.value)) {
                return Err(Error::invalid(format!(
                    "`{}` is a key of table `{}`, and the key of a row stays",
                    name.value, self.name
                ))
                .with_hint("delete the row, and insert another")
                .with_span(name.span.clone()));
            }
            Ok(place)
        };
        names.iter().map(place).collect()
    }
}

/// Puts the table's name before the bare names of its columns; those in subqueries have a scope of their own.
struct Qualify<'a> {
    table: &'a str,
    columns: &'a Schema,
    depth: usize,
}

impl VisitorMut for Qualify<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<Infallible> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<Infallible> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if let Expr::Identifier(name) = expr
            && self.depth == 0
            && self.columns.fields().iter().any(|field| field.name().eq_ignore_ascii_case(&name.value))
        {
            *expr = Expr::CompoundIdentifier(vec![quoted(self.table), name.clone()]);
        }
        ControlFlow::Continue(())
    }
}

/// Returns a relation under `name`, its rows with `flag` beside them.
fn marked(relation: TableFactor, name: &str, mark: &str) -> TableFactor {
    let from = ast::TableWithJoins { relation, joins: vec![] };
    let all = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
    derived(row_changes::select(from, vec![all, flag(mark)], None), name, vec![])
}

/// Returns the rows of a query as a relation.
pub(super) fn derived(query: ast::Query, name: &str, columns: Vec<ast::TableAliasColumnDef>) -> TableFactor {
    let alias = ast::TableAlias { explicit: true, name: quoted(name), columns, at: None };
    TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None }
}

fn flag(name: &str) -> SelectItem {
    named(Expr::value(ast::Value::Boolean(true)), name)
}

fn named(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: quoted(name) }
}

fn column(table: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(table), quoted(name)])
}

fn null() -> Expr {
    Expr::value(ast::Value::Null)
}

fn number(value: i8) -> Expr {
    Expr::value(ast::Value::Number(value.to_string(), false))
}

fn case(arms: Vec<ast::CaseWhen>, otherwise: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: arms,
        else_result: Some(Box::new(otherwise)),
    }
}

/// Casts a value to the type of its column, so that the arms agree; those that have no name in SQL stay as they are.
fn cast(value: Expr, to: &DataType) -> Expr {
    match parse_expression(&format!("CAST(NULL AS {})", type_name(to))) {
        Ok(Expr::Cast { kind, data_type, array, format, .. }) => {
            Expr::Cast { kind, expr: Box::new(value), data_type, array, format }
        }
        _ => value,
    }
}
