//! The relations that a query reads, and views put before it as common table expressions.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{Cte, Ident, ObjectName, Query, TableAlias, Visit, Visitor, With};

use super::rewrite::{relation_name, unbroken};
use crate::error::{Error, Result};

/// Returns the names of the relations that a query reads; its common table expressions are none.
pub fn relation_names(query: &Query) -> BTreeSet<String> {
    let mut reads = Reads::default();
    unbroken(query.visit(&mut reads));
    reads.names
}

/// Returns `query` with the views that it reads, and those that they read, before it.
///
/// # Errors
/// `Invalid` if a view reads itself.
pub fn inline_views(query: &Query, views: &[(String, Query)]) -> Result<Query> {
    let mut order = vec![];
    for name in relation_names(query) {
        follow(&name, views, &mut vec![], &mut order)?;
    }
    let ctes: Vec<Cte> = order.into_iter().map(|(name, view)| common_table(name, view)).collect();
    let mut query = query.clone();
    if ctes.is_empty() {
        return Ok(query);
    }
    match &mut query.with {
        Some(with) => with.cte_tables.splice(0..0, ctes).for_each(drop),
        None => {
            query.with = Some(With {
                with_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
                recursive: false,
                cte_tables: ctes,
            });
        }
    }
    Ok(query)
}

/// Adds the view `name` to `order`, after those that it reads.
fn follow<'a>(
    name: &str,
    views: &'a [(String, Query)],
    path: &mut Vec<&'a str>,
    order: &mut Vec<(&'a str, &'a Query)>,
) -> Result<()> {
    let Some((name, view)) = views.iter().find(|(own, _)| own == name) else { return Ok(()) };
    if order.iter().any(|(known, _)| known == name) {
        return Ok(());
    }
    if let Some(start) = path.iter().position(|on_path| on_path == name) {
        let circle = path[start..].iter().copied().chain([name.as_str()]).collect::<Vec<_>>().join("` → `");
        return Err(Error::invalid(format!("views read each other in a circle: `{circle}`"))
            .with_hint("a view is put in where it is read, so it cannot read itself"));
    }
    path.push(name);
    for inner in relation_names(view) {
        follow(&inner, views, path, order)?;
    }
    path.pop();
    order.push((name, view));
    Ok(())
}

fn common_table(name: &str, view: &Query) -> Cte {
    Cte {
        alias: TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: vec![], at: None },
        query: Box::new(view.clone()),
        from: None,
        materialized: None,
        closing_paren_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
    }
}

/// Finds names that no common table expression in scope has.
#[derive(Default)]
struct Reads {
    names: BTreeSet<String>,
    /// The queries around the place of the visit, outermost first.
    scopes: Vec<Scope>,
}

/// The common table expressions of a query: those to come, and those that can be named.
struct Scope {
    to_come: Vec<(*const Query, String)>,
    visible: BTreeSet<String>,
}

impl Scope {
    fn of(query: &Query) -> Self {
        let mut scope = Self { to_come: vec![], visible: BTreeSet::new() };
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = relation_name(&ObjectName::from(vec![cte.alias.name.clone()]));
            if query.with.as_ref().is_some_and(|with| with.recursive) {
                scope.visible.insert(name.clone());
            }
            scope.to_come.push((std::ptr::from_ref(&*cte.query), name));
        }
        scope
    }
}

impl Visitor for Reads {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        self.scopes.push(Scope::of(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        self.scopes.pop();
        // A common table expression can be named behind its own query, not in it.
        if let Some(scope) = self.scopes.last_mut()
            && let Some((_, name)) = scope.to_come.iter().find(|(cte, _)| std::ptr::eq(*cte, query))
        {
            scope.visible.insert(name.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Infallible> {
        let name = relation_name(relation);
        if !self.scopes.iter().any(|scope| scope.visible.contains(&name)) {
            self.names.insert(name);
        }
        ControlFlow::Continue(())
    }
}
