//! What `SHOW` and `DESCRIBE` say.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use super::catalog::Catalog;
use super::planning::Planning;
use super::settings::Settings;
use super::tables::DeclaredTable;
use crate::connect::CONNECTORS;
use crate::connect::error_table::{ERROR_TABLE, ErrorTableSettings};
use crate::error::{Error, Result};
use crate::job::LoadState;
use crate::sql::functions::function_catalog;
use crate::sql::plan::Planner;
use crate::sql::{RelationKind, ShowKind, Statement, mark};

impl Planning<'_> {
    /// Answers what was asked, once everything is declared; nothing if it could not be.
    pub(super) fn answer(&mut self, asked: Vec<(Statement, Range<usize>)>) {
        for (statement, span) in asked {
            if subject(&statement).is_some_and(|name| self.failed.contains(name)) {
                continue;
            }
            match answer(&statement, &mut self.catalog, self.settings, &self.planner) {
                Ok(answer) => self.answers.push(answer),
                Err(error) => self.errors.push(mark(error, self.text, span)),
            }
        }
    }
}

/// Returns the stream or table that is asked about.
fn subject(statement: &Statement) -> Option<&String> {
    match statement {
        Statement::Describe { name, .. }
        | Statement::Show { what: ShowKind::Create(_, name) | ShowKind::Partitions(name), .. } => {
            Some(&name.value)
        }
        _ => None,
    }
}

/// Returns what a `SHOW` or `DESCRIBE` says.
fn answer(
    statement: &Statement,
    catalog: &mut Catalog,
    settings: &Settings,
    planner: &Planner,
) -> Result<String> {
    match statement {
        Statement::Describe { name, .. } => describe(&name.value, catalog, settings),
        Statement::Show { what: ShowKind::Create(_, name), .. } => {
            let columns = describe(&name.value, catalog, settings)?;
            let columns: Vec<String> = columns.lines().map(|line| format!("  {line}")).collect();
            let is_table = catalog.get(&name.value).is_some_and(|declared| declared.table.is_some());
            let kind = if is_table { RelationKind::Table } else { RelationKind::Stream }.keyword();
            Ok(format!("CREATE {kind} {} (\n{}\n)", name.value, columns.join(",\n")))
        }
        Statement::Show { what: ShowKind::Partitions(name), .. } => {
            super::partitions::show(&name.value, catalog, settings)
        }
        Statement::Show { what, like } => {
            let names: Vec<String> = match what {
                ShowKind::Streams => {
                    let is_table = |name: &String| catalog.tables().any(|(table, _)| table == name);
                    catalog.names().into_iter().filter(|name| !is_table(name)).collect()
                }
                ShowKind::Tables => table_lines(catalog, settings),
                ShowKind::Connectors => {
                    CONNECTORS.iter().map(|doc| format!("{} ({})", doc.name, doc.directions)).collect()
                }
                ShowKind::Functions => function_catalog(planner.stream_state())?
                    .into_iter()
                    .map(|entry| format!("{}: {}", entry.name, entry.help))
                    .collect(),
                ShowKind::Jobs | ShowKind::Create(..) | ShowKind::Partitions(_) => {
                    return Err(Error::not_yet("`SHOW` of jobs in an application")
                        .with_hint("`SHOW STREAMS` lists what the file declares"));
                }
            };
            let own = |line: &str| line.split([':', ' ']).next().unwrap_or_default().to_owned();
            let names =
                names.into_iter().filter(|line| like.as_ref().is_none_or(|like| is_like(&own(line), like)));
            Ok(names.collect::<Vec<_>>().join("\n"))
        }
        _ => Err(Error::internal("not a question")),
    }
}

/// Sees that `name` is declared.
pub(super) fn find(name: &str, catalog: &mut Catalog) -> Result<()> {
    if name == ERROR_TABLE {
        catalog.declare_errors(Path::new(ErrorTableSettings::LOCATION));
    }
    if catalog.get(name).is_none() {
        let inputs = crate::sql::plan::Inputs { names: catalog.names(), ..Default::default() };
        return Err(Planner::unknown_relation(name, &inputs));
    }
    Ok(())
}

fn describe(name: &str, catalog: &mut Catalog, settings: &Settings) -> Result<String> {
    find(name, catalog)?;
    let relation = catalog.relation(name, None, settings)?;
    let mut text = String::new();
    for field in relation.schema.fields() {
        let null = if field.is_nullable() { "" } else { " NOT NULL" };
        let data_type = crate::sql::functions::type_name(field.data_type());
        writeln!(text, "{} {data_type}{null}", field.name()).unwrap_or_default();
    }
    let key = key_of(name, catalog);
    if !key.is_empty() {
        writeln!(text, "PRIMARY KEY ({})", key.join(", ")).unwrap_or_default();
    }
    Ok(text.trim_end().to_owned())
}

/// Returns the key of a table, in the names of its columns; nothing for a stream, whose key is that of its messages.
fn key_of(name: &str, catalog: &Catalog) -> Vec<String> {
    let declared = catalog.get(name).filter(|declared| declared.table.is_some());
    declared.map(|declared| declared.key.clone()).unwrap_or_default()
}

/// Returns a line for each table: its key, and how far its load is.
fn table_lines(catalog: &Catalog, settings: &Settings) -> Vec<String> {
    let micros = settings.clock.monotonic_micros();
    let line = |(name, table): (&str, &DeclaredTable)| {
        let key = match key_of(name, catalog).join(", ") {
            key if key.is_empty() => "no key".to_owned(),
            key => format!("key {key}"),
        };
        let load = table.load.progress(micros);
        match &table.table {
            Some(table)
                if table.snapshot().version() > 0 || load.state != LoadState::WaitingForDependencies =>
            {
                let rows = table.snapshot().num_rows();
                format!("{name} ({key}): {}, {rows} rows{}", load.state, load.trouble_text())
            }
            _ => format!("{name} ({key}): {}", load.how_far()),
        }
    };
    catalog.tables().map(line).collect()
}

/// `LIKE` with `%` and `_`, in any case.
fn is_like(name: &str, pattern: &str) -> bool {
    fn matches(name: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('%', rest)) => (0..=name.len()).any(|skip| matches(&name[skip..], rest)),
            Some(('_', rest)) => !name.is_empty() && matches(&name[1..], rest),
            Some((character, rest)) => name.first() == Some(character) && matches(&name[1..], rest),
        }
    }
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    matches(&lower(name), &lower(pattern))
}
