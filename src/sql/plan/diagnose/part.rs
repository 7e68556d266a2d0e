//! Parts of a query, and queries made of them: what is planned to find out whether a part is right.

use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Visit, Visitor, With,
};

use crate::sql::plan::rewrite::unbroken;

/// A part of an expression, one level down.
pub(super) enum Child {
    /// An expression.
    Expr(Box<Expr>),
    /// A subquery.
    Query(Box<Query>),
}

/// Returns the parts of `expr`, one level down.
pub(super) fn children(expr: &Expr) -> Vec<Child> {
    let mut found = Children { depth: 0, queries: 0, parts: vec![] };
    unbroken(expr.visit(&mut found));
    found.parts
}

struct Children {
    depth: usize,
    queries: usize,
    parts: Vec<Child>,
}

impl Visitor for Children {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        if self.queries == 0 && self.depth == 1 {
            self.parts.push(Child::Query(Box::new(query.clone())));
        }
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Infallible> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        if self.depth == 1 && self.queries == 0 {
            self.parts.push(Child::Expr(Box::new(expr.clone())));
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Infallible> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Returns a query that is only `body`, after `with`.
pub(super) fn query_of(with: Option<With>, body: SetExpr) -> Query {
    Query {
        with,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}

/// Returns `SELECT items FROM from`, with what of `like` gives names to expressions.
pub(super) fn select_of(like: &Select, items: Vec<SelectItem>, from: Vec<TableWithJoins>) -> Select {
    Select {
        projection: items,
        from,
        distinct: None,
        selection: None,
        group_by: GroupByExpr::Expressions(vec![], vec![]),
        having: None,
        qualify: None,
        ..like.clone()
    }
}

/// Returns the names of a source.
pub(super) fn factor_name(factor: &TableFactor) -> Option<&Ident> {
    match factor {
        TableFactor::Table { name, .. } => match name.0.last()? {
            ObjectNamePart::Identifier(ident) => Some(ident),
            ObjectNamePart::Function(_) => None,
        },
        _ => None,
    }
}

/// Returns what the columns of a source are qualified with.
pub(super) fn source_name(factor: &TableFactor) -> Option<&Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(&alias.name)
        }
        factor => factor_name(factor),
    }
}

/// Returns an item that no query names: it makes a block one with aggregates.
pub(super) fn counting() -> SelectItem {
    let call = sqlparser::ast::Function {
        name: vec![Ident::new("count")].into(),
        uses_odbc_syntax: false,
        parameters: sqlparser::ast::FunctionArguments::None,
        args: sqlparser::ast::FunctionArguments::List(sqlparser::ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![sqlparser::ast::FunctionArg::Unnamed(sqlparser::ast::FunctionArgExpr::Wildcard)],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    };
    SelectItem::ExprWithAlias { expr: Expr::Function(call), alias: Ident::with_quote('"', "__rows") }
}

/// Returns `EXISTS (query)`.
pub(super) fn exists(query: Query) -> Expr {
    Expr::Exists { subquery: Box::new(query), negated: false }
}

/// Returns the tables of `from`, joined ones among them.
pub(super) fn sources(from: &[TableWithJoins]) -> Vec<&TableFactor> {
    from.iter()
        .flat_map(|item| std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)))
        .collect()
}

/// Returns `factor` as a `FROM` of its own.
pub(super) fn alone(factor: &TableFactor) -> TableWithJoins {
    TableWithJoins { relation: factor.clone(), joins: vec![] }
}
