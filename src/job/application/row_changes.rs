//! `UPDATE`, `DELETE` and `UPSERT INTO` as queries whose rows the table takes in.

use std::sync::Arc;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{self, Expr, Ident, SelectItem, SetExpr};

use super::catalog::DeclaredStream;
use super::merging::{Into, Merging};
use super::planning::{PlannedJob, Planning, Work};
use super::statement_sink::{StatementConnector, StatementDoes};
use super::statements::{Explaining, Query};
use crate::connect::SinkConnector;
use crate::error::{Error, Result};
use crate::sql::plan::{Inputs, Planner};
use crate::sql::{Assignment, Name, mark};

/// What a statement does to rows of a table that are there.
#[derive(Debug, Clone)]
pub(super) enum RowChange {
    /// Gives these columns other values, in the order of the select list.
    Update(Vec<Name>),
    /// Removes them.
    Delete,
    /// Lets others take their place.
    Upsert,
    /// What `MERGE` and `ON CONFLICT` say.
    Merge(Merging),
}

impl RowChange {
    fn verb(&self) -> &'static str {
        match self {
            Self::Update(_) => "UPDATE",
            Self::Delete => "DELETE",
            Self::Upsert => "UPSERT",
            Self::Merge(merging) => merging.verb(),
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
    (select(of_table(target), items, condition), RowChange::Update(names))
}

/// Returns the query for the rows that a `DELETE` removes.
pub(super) fn deleted(target: &Name, condition: Option<Expr>) -> (ast::Query, RowChange) {
    let all = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
    (select(of_table(target), vec![all], condition), RowChange::Delete)
}

pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Returns the relation `name`.
pub(super) fn table(name: &str) -> ast::TableFactor {
    ast::TableFactor::Table {
        name: ast::ObjectName::from(vec![quoted(name)]),
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

fn of_table(name: &Name) -> ast::TableWithJoins {
    ast::TableWithJoins { relation: table(&name.value), joins: vec![] }
}

/// Returns the query `SELECT … FROM … [WHERE …]`.
pub(super) fn select(
    from: ast::TableWithJoins,
    projection: Vec<SelectItem>,
    selection: Option<Expr>,
) -> ast::Query {
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
        from: vec![from],
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

impl DeclaredStream {
    /// Refuses rows for a table that has them from elsewhere.
    pub(super) fn refuse_rows(&self, name: &str) -> Result<()> {
        if self.table.as_ref().is_none_or(|table| table.is_fed) {
            return Ok(());
        }
        let keeper = if self.source.is_some() { "its source" } else { "a query" };
        Err(Error::invalid(format!("`INSERT` cannot change table `{name}`, which {keeper} keeps up to date"))
            .with_hint("write where its source reads, as a stream of its own: CREATE STREAM … WITH (…)"))
    }
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
        let other = |name: &&String| self.catalog.get(name).is_some_and(|known| known.table.is_none());
        if let Some(stream) = query.reads.iter().find(other).filter(|_| change.asks()) {
            return Err(Error::invalid(format!("`{verb}` asks tables only, and `{stream}` is a stream"))
                .with_hint("keep what it asks for in a table: CREATE TABLE … AS SELECT …"));
        }
        let Some(columns) = &declared.columns else { return Ok(query) };
        let into = Into { name: &target, columns, key: &declared.key };
        let names = match change {
            RowChange::Update(names) => names,
            RowChange::Merge(merging) => {
                merging.complete(&mut query.query, &into)?;
                return Ok(query);
            }
            RowChange::Delete | RowChange::Upsert => return Ok(query),
        };
        let places = into.changeable(names)?;
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

    /// Returns the sink of a statement that runs once and changes a table, or writes one of a session: all that it does is
    /// one change.
    pub(super) fn statement_sink(
        &mut self,
        query: &Query,
        work: &Work,
        sink: Arc<dyn SinkConnector>,
    ) -> Result<Arc<dyn SinkConnector>> {
        let Some(name) = self.written_once(query, work) else { return Ok(sink) };
        if !self.catalog.keeps_results && query.change.is_none() {
            return Ok(sink);
        }
        let table = self.catalog.relation(&name, None, self.settings)?;
        let required = table.schema.fields().iter().enumerate();
        let required = required.filter(|(_, field)| !field.is_nullable()).map(|(column, _)| column).collect();
        let does = match &query.change {
            Some(RowChange::Delete) => StatementDoes::Delete,
            Some(RowChange::Merge(merging)) => StatementDoes::Merge { keeps_first: merging.keeps_first() },
            Some(RowChange::Update(_) | RowChange::Upsert) | None => StatementDoes::Put,
        };
        let key = table.table.as_ref().map_or_else(Vec::new, |table| table.key().to_vec());
        Ok(Arc::new(StatementConnector { table: name, input: sink, required, does, key }))
    }

    /// Refuses to change rows of a table that a job goes on to fill: nobody could say which rows are there by then.
    pub(super) fn refuse_changes_beside_streams(&mut self) {
        if self.catalog.keeps_results {
            return;
        }
        let changes = self.jobs.iter().filter(|job| job.changes_rows);
        for (table, place) in changes.filter_map(|job| job.writes_once.clone()) {
            let fills = |job: &&PlannedJob| {
                job.shared_sink.as_ref() == Some(&table) && matches!(job.work, Work::Stream(_))
            };
            let Some(other) = self.jobs.iter().find(fills) else { continue };
            let error = Error::invalid(format!(
                "rows of table `{table}` cannot be changed while `{}` goes on to fill it",
                other.name
            ))
            .with_hint("give the statements to a session one by one; over inputs that end, `--mode batch` runs them in the order of the file");
            self.errors.push(mark(error, self.text, place..place + 1));
        }
    }

    /// Returns the table that a statement writes which runs once.
    pub(super) fn written_once(&self, query: &Query, work: &Work) -> Option<String> {
        let runs = matches!(work, Work::Batch(_)) && query.explain == Explaining::No;
        let name = query.target.name().filter(|_| runs && query.creates.is_none())?;
        let table = self.catalog.get(&name)?.table.as_ref()?;
        table.is_fed.then_some(name)
    }
}
