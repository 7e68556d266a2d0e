//! [`Query`]: the statements that run something, in one form.

use std::collections::BTreeSet;
use std::ops::Range;

use sqlparser::ast;

use super::merging::{Merging, derived, inserted, merged};
use super::row_changes::{RowChange, deleted, table, updated};
use crate::config::Entry;
use crate::sql::plan::relation_names;
use crate::sql::{
    Conflict, EmitMode, InlineOptions, InsertSource, Merge, MergeSource, Name, OptionItem, ParsedStatement,
    RelationKind, Statement, StreamQuery,
};

/// Where a query's rows go, as its statement says it.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// To the user.
    Stdout,
    /// To the stream that the statement creates.
    Created(String),
    /// To a sink with options of its own.
    Options(String, Vec<OptionItem>),
    /// To a declared stream, or a sink of the query's options.
    Named(String),
}

impl Target {
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Stdout => None,
            Self::Created(name) | Self::Options(name, _) | Self::Named(name) => Some(name.clone()),
        }
    }
}

/// What a `CREATE` does if its name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Existing {
    /// It is an error.
    #[default]
    Refused,
    /// What is there stays (`IF NOT EXISTS`).
    Kept,
    /// What is there is to go (`OR REPLACE`).
    Replaced,
}

/// Whether a query is only shown, and what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Explaining {
    /// It runs.
    #[default]
    No,
    /// Its plan is shown; it does not run.
    Plan,
    /// It runs into a black hole; its plan and what it did are shown.
    Analyze,
}

/// A statement that runs a query.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) name: String,
    pub(super) query: ast::Query,
    pub(super) span: Range<usize>,
    /// The relations that it names, its own common table expressions among them.
    pub(super) reads: BTreeSet<String>,
    pub(super) reads_nothing: bool,
    pub(super) target: Target,
    /// The stream that it creates.
    pub(super) creates: Option<String>,
    /// Whether that is a table.
    pub(super) creates_table: bool,
    pub(super) insert_columns: Option<Vec<String>>,
    /// Whether the result is cast to the target's columns.
    pub(super) casts: bool,
    pub(super) options: Vec<OptionItem>,
    pub(super) inline_options: Vec<InlineOptions>,
    pub(super) uris: Vec<String>,
    pub(super) emit: Option<EmitMode>,
    pub(super) grace_ms: Option<i64>,
    pub(super) key: Vec<usize>,
    pub(super) has_window: bool,
    pub(super) is_select: bool,
    pub(super) explain: Explaining,
    /// What it does to rows of a table that are there.
    pub(super) change: Option<RowChange>,
    /// What becomes of it if the stream that it creates is there.
    pub(super) existing: Existing,
    /// What `SET`, the command line and annotations say.
    pub(super) set: Vec<Entry>,
}

impl Query {
    /// Returns the stream that others can read once this query is planned.
    pub(super) fn gives(&self) -> Option<String> {
        self.creates.clone()
    }

    /// Takes the query with its views put in.
    pub(super) fn read_views(&mut self, query: ast::Query) {
        self.reads = relation_names(&query);
        self.has_window = query.to_string().contains(crate::sql::WINDOW_START);
        self.query = query;
    }
}

/// Returns the query of a statement, if it has one; `set` are the options in force where it stands.
pub(super) fn queries(parsed: ParsedStatement, set: &[Entry], ordinal: usize) -> Option<Query> {
    let mut options = set.to_vec();
    for annotation in &parsed.annotations {
        options.push(Entry::new(
            format!("@{}", annotation.name),
            annotation.value.clone(),
            crate::config::Origin::Annotation(annotation.span.clone()),
        ));
    }
    options.retain(|entry| !entry.key.starts_with('@') || is_job_annotation(&entry.key));
    let named =
        parsed.annotations.iter().find(|annotation| ["name", "job_name"].contains(&annotation.name.as_str()));
    let name = named.map(|annotation| annotation.value.clone());
    let mut query = of_statement(parsed.statement, parsed.span, ordinal)?;
    query.name = name.unwrap_or(query.name);
    query.set = options;
    Some(query)
}

fn is_job_annotation(key: &str) -> bool {
    ["@job_mode", "@batch_size", "@num_partitions", "@failure_strategy", "@partitioning_strategy"]
        .contains(&key)
}

fn of_statement(statement: Statement, span: Range<usize>, ordinal: usize) -> Option<Query> {
    match statement {
        Statement::Select(query) => {
            let mut query = query;
            let target = into_target(&mut query).unwrap_or(Target::Stdout);
            let is_select = query.into.is_none();
            Some(Query { is_select, ..of_query(*query, format!("query-{}", ordinal + 1), span, target) })
        }
        Statement::CreateAs(create) => {
            let name = create.name.value.clone();
            let mut query = create.query;
            let target = match into_target(&mut query) {
                Some(target) => target,
                None if create.sink_options.is_empty() => Target::Created(name.clone()),
                None => Target::Options(name.clone(), create.sink_options.clone()),
            };
            let query = of_query(query, name.clone(), span, target);
            let existing = match (create.or_replace, create.if_not_exists) {
                (true, _) => Existing::Replaced,
                (false, true) => Existing::Kept,
                (false, false) => Existing::Refused,
            };
            let creates_table = create.kind == RelationKind::Table;
            Some(Query { creates: Some(name), creates_table, casts: false, existing, ..query })
        }
        Statement::Update { target, assignments, condition } => {
            let name = format!("update-{}", target.value);
            Some(of_row_change(updated(&target, assignments, condition), name, span, &target))
        }
        Statement::Delete { target, condition } => {
            let name = format!("delete-from-{}", target.value);
            Some(of_row_change(deleted(&target, condition), name, span, &target))
        }
        Statement::Insert { target, columns, source, conflict } => {
            Some(of_insert(&target, columns, source, conflict, span))
        }
        Statement::Merge(merge) => Some(of_merge(*merge, span)),
        Statement::Explain { statement, analyze, .. } => {
            let query = of_statement(*statement, span, ordinal)?;
            let explain = if analyze { Explaining::Analyze } else { Explaining::Plan };
            Some(Query { explain, ..query })
        }
        _ => None,
    }
}

/// Returns where `INTO` sends the rows. Options after it that name the sink, `'sink.type' = …`, are the query's.
fn into_target(query: &mut StreamQuery) -> Option<Target> {
    let into = query.into.as_ref()?.value.clone();
    let prefix = format!("{into}.");
    if query.into_options.iter().any(|item| item.key.starts_with(&prefix)) {
        query.options.append(&mut query.into_options);
    }
    Some(if query.into_options.is_empty() {
        Target::Named(into)
    } else {
        Target::Options(into, query.into_options.clone())
    })
}

fn of_query(query: StreamQuery, name: String, span: Range<usize>, target: Target) -> Query {
    let text = query.query.to_string();
    let reads = relation_names(&query.query);
    let mut inline_options = query.inline_options;
    let mut options = query.options;
    // `FROM s WITH ('connector' = …)` at the very end declares the source.
    if let Some(source) = query.options_follow
        && options.iter().any(|item| ["connector", "type"].contains(&item.key.as_str()))
    {
        inline_options.push(InlineOptions { source, options: std::mem::take(&mut options) });
    }
    Query {
        name,
        reads_nothing: reads.is_empty(),
        reads,
        span,
        target,
        creates: None,
        creates_table: false,
        insert_columns: None,
        casts: false,
        options,
        inline_options,
        uris: query.uris.into_iter().map(|(uri, _)| uri).collect(),
        emit: query.emit.map(|emit| emit.mode),
        grace_ms: query.grace_ms,
        key: query.primary_key,
        has_window: text.contains(crate::sql::WINDOW_START),
        is_select: false,
        explain: Explaining::No,
        existing: Existing::Refused,
        change: None,
        set: vec![],
        query: query.query,
    }
}

fn of_values(rows: Vec<Vec<ast::Expr>>, name: String, span: Range<usize>, target: Target) -> Query {
    let rows = rows.into_iter().map(ast::Parens::with_empty_span).collect();
    let body = ast::SetExpr::Values(ast::Values { explicit_row: false, value_keyword: false, rows });
    let query = query_of(body);
    Query {
        name,
        query,
        span,
        reads: BTreeSet::new(),
        reads_nothing: true,
        target,
        creates: None,
        creates_table: false,
        insert_columns: None,
        casts: true,
        options: vec![],
        inline_options: vec![],
        uris: vec![],
        emit: None,
        grace_ms: None,
        key: vec![],
        has_window: false,
        is_select: false,
        explain: Explaining::No,
        existing: Existing::Refused,
        change: None,
        set: vec![],
    }
}

/// Returns a query that is `body` alone.
pub(super) fn query_of(body: ast::SetExpr) -> ast::Query {
    ast::Query {
        with: None,
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

fn of_row_change(
    (query, change): (ast::Query, RowChange),
    name: String,
    span: Range<usize>,
    target: &Name,
) -> Query {
    let target = Target::Named(target.value.clone());
    let reads = relation_names(&query);
    Query {
        query,
        reads,
        reads_nothing: false,
        change: Some(change),
        ..of_values(vec![], name, span, target)
    }
}

fn of_insert(
    target: &Name,
    columns: Option<Vec<Name>>,
    source: InsertSource,
    conflict: Option<Conflict>,
    span: Range<usize>,
) -> Query {
    let named = Target::Named(target.value.clone());
    let name = format!("insert-into-{}", target.value);
    let query = match source {
        InsertSource::Query(query) => of_query(*query, name, span, named),
        InsertSource::Values(rows) => of_values(rows, name, span, named),
    };
    let columns: Option<Vec<String>> =
        columns.map(|columns| columns.into_iter().map(|column| column.value).collect());
    let Some(conflict) = conflict else {
        return Query { insert_columns: columns, casts: true, ..query };
    };
    match inserted(target, columns.clone(), query.query.clone(), conflict) {
        None => Query { insert_columns: columns, casts: true, change: Some(RowChange::Upsert), ..query },
        Some((merged, merging)) => merging_into(query, merged, merging),
    }
}

fn of_merge(merge: Merge, span: Range<usize>) -> Query {
    let named = Target::Named(merge.target.value.clone());
    let name = format!("merge-into-{}", merge.target.value);
    let (base, source) = match &merge.source {
        MergeSource::Relation(source) => (of_values(vec![], name, span, named), table(&source.value)),
        MergeSource::Query(query) => {
            let base = of_query(StreamQuery::clone(query), name, span, named);
            let source = derived(base.query.clone(), "source", vec![]);
            (base, source)
        }
    };
    let (query, merging) = merged(merge, source);
    merging_into(base, query, merging)
}

/// Returns `base` as the statement that merges what `query` gives.
fn merging_into(base: Query, query: ast::Query, merging: Merging) -> Query {
    let reads = relation_names(&query);
    let change = Some(RowChange::Merge(merging));
    Query { query, reads, reads_nothing: false, casts: true, change, ..base }
}
