//! `UPDATE`, `DELETE` and `UPSERT INTO` as queries whose rows the table takes in.

use std::sync::Arc;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{self, Expr, Ident, SelectItem, SetExpr};

use super::planning::{Planning, Work};
use super::statement_sink::StatementConnector;
use super::statements::{Explaining, Query};
use crate::connect::SinkConnector;
use crate::error::{Error, Result};
use crate::sql::plan::{Inputs, Planner};
use crate::sql::{Assignment, Name};

/// What a statement does to rows of a table that are there.
#[derive(Debug, Clone)]
pub(super) enum RowChange {
    /// Gives these columns other values, in the order of the select list.
    Update(Vec<Name>),
    /// Removes them.
    Delete,
    /// Lets others take their place.
    Upsert,
}

impl RowChange {
    fn verb(&self) -> &'static str {
        match self {
            Self::Update(_) => "UPDATE",
            Self::Delete => "DELETE",
            Self::Upsert => "UPSERT",
        }
    }

    /// Returns whether the statement asks for the rows that are there.
    pub(super) fn asks(&self) -> bool {
        !matches!(self, Self::Upsert)
    }
}

/// Returns the query for the rows that an `UPDATE` changes: the new values alone, as long as nobody knows the columns.
pub(super) fn updated(
    target: &Name,
    assignments: Vec<Assignment>,
    condition: Option<Expr>,
) -> (ast::Query, RowChange) {
    let (mut items, mut names) = (vec![], vec![]);
    for Assignment { column, value } in assignments {
        items.push(SelectItem::ExprWithAlias { expr: value, alias: quoted(&column.value) });
        names.push(column);
    }
    (select(target, items, condition), RowChange::Update(names))
}

/// Returns the query for the rows that a `DELETE` removes.
pub(super) fn deleted(target: &Name, condition: Option<Expr>) -> (ast::Query, RowChange) {
    (
        select(target, vec![SelectItem::Wildcard(ast::WildcardAdditionalOptions::default())], condition),
        RowChange::Delete,
    )
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn select(table: &Name, projection: Vec<SelectItem>, selection: Option<Expr>) -> ast::Query {
    let relation = ast::TableFactor::Table {
        name: ast::ObjectName::from(vec![quoted(&table.value)]),
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    };
    let select = ast::Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: vec![],
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from: vec![ast::TableWithJoins { relation, joins: vec![] }],
        lateral_views: vec![],
        prewhere: None,
        selection,
        connect_by: vec![],
        group_by: ast::GroupByExpr::Expressions(vec![], vec![]),
        cluster_by: vec![],
        distribute_by: vec![],
        sort_by: vec![],
        having: None,
        named_window: vec![],
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    };
    super::statements::query_of(SetExpr::Select(Box::new(select)))
}

impl Planning<'_> {
    /// Completes a query that changes the rows of a table; others stay as they are.
    ///
    /// # Errors
    /// Invalid: the target is no table that statements fill, or has no such column, or it is one of the key.
    pub(super) fn complete_row_change(&mut self, mut query: Query) -> Result<Query> {
        let (Some(change), Some(target)) = (&query.change, query.target.name()) else { return Ok(query) };
        let verb = change.verb();
        let Some(declared) = self.catalog.get(&target) else {
            let inputs = Inputs { names: self.catalog.names(), ..Inputs::default() };
            return Err(Planner::unknown_relation(&target, &inputs));
        };
        match &declared.table {
            None => {
                return Err(Error::invalid(format!("`{verb}` changes tables, and `{target}` is a stream"))
                    .with_hint("the rows of a stream stay as they are; INSERT INTO adds others"));
            }
            Some(table) if !table.is_fed => {
                return Err(Error::invalid(format!("`{verb}` cannot change table `{target}`, which {} keeps up to date",
                    if declared.source.is_some() { "its source" } else { "a query" }))
                .with_hint("change what it is made from; statements change tables that are declared without a connector"));
            }
            Some(_) => {}
        }
        if !self.catalog.keeps_results {
            return Err(Error::not_yet(format!(
                "`{verb}` in an application, whose statements run side by side,"
            ))
            .with_hint("give the statements to a session one by one"));
        }
        let other = |name: &&String| self.catalog.get(name).is_some_and(|known| known.table.is_none());
        if let Some(stream) = query.reads.iter().find(other).filter(|_| change.asks()) {
            return Err(Error::invalid(format!("`{verb}` asks tables only, and `{stream}` is a stream"))
                .with_hint("keep what it asks for in a table: CREATE TABLE … AS SELECT …"));
        }
        let (Some(columns), key) = (&declared.columns, &declared.key) else { return Ok(query) };
        let RowChange::Update(names) = change else { return Ok(query) };
        let mut places = vec![];
        for name in names {
            let found =
                columns.fields().iter().position(|field| field.name().eq_ignore_ascii_case(&name.value));
            let Some(place) = found else {
                let all = columns.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
                return Err(Error::invalid(format!("table `{target}` has no column `{}`", name.value))
                    .with_hint(format!("columns there: {}", all.join(", ")))
                    .with_span(name.span.clone()));
            };
            if key.iter().any(|key| key.eq_ignore_ascii_case(&name.value)) {
                return Err(Error::invalid(format!(
                    "`{}` is a key of table `{target}`, and the key of a row stays",
                    name.value
                ))
                .with_hint("delete the row, and insert another")
                .with_span(name.span.clone()));
            }
            places.push(place);
        }
        if let SetExpr::Select(select) = query.query.body.as_mut() {
            let values = std::mem::take(&mut select.projection);
            let column = |field: &Arc<arrow::datatypes::Field>| {
                SelectItem::UnnamedExpr(Expr::Identifier(quoted(field.name())))
            };
            select.projection = columns.fields().iter().map(column).collect();
            for (place, value) in places.into_iter().zip(values) {
                select.projection[place] = value;
            }
        }
        Ok(query)
    }

    /// Returns the sink of a statement that runs once and writes a table of a session: all that it does is one change.
    pub(super) fn statement_sink(
        &mut self,
        query: &Query,
        work: &Work,
        sink: Arc<dyn SinkConnector>,
    ) -> Result<Arc<dyn SinkConnector>> {
        let target = query.target.name().filter(|_| self.catalog.keeps_results);
        let Some(name) = target.filter(|_| matches!(work, Work::Batch(_)) && query.explain == Explaining::No)
        else {
            return Ok(sink);
        };
        let is_fed = |name: &str| {
            self.catalog.get(name).and_then(|known| known.table.as_ref()).is_some_and(|table| table.is_fed)
        };
        if !is_fed(&name) {
            return Ok(sink);
        }
        let table = self.catalog.relation(&name, None, self.settings)?;
        let required = table.schema.fields().iter().enumerate();
        let required = required.filter(|(_, field)| !field.is_nullable()).map(|(column, _)| column).collect();
        let deletes = matches!(query.change, Some(RowChange::Delete));
        Ok(Arc::new(StatementConnector { table: name, input: sink, required, deletes }))
    }
}
