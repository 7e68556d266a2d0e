//! The order of planning: each query after those that it reads, and nothing that depends on what failed.

use std::collections::BTreeSet;
use std::ops::Range;

use sqlparser::ast;

use super::graph::{Maker, circle, circle_text};
use super::planning::Planning;
use super::statements::{Existing, Explaining, Query};
use crate::config::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::job::JobOptions;
use crate::sql::mark;
use crate::sql::plan::{Inputs, inline_views, relation_names};

impl Planning<'_> {
    /// Plans queries as soon as all that they read is known.
    ///
    /// One that depends on something that failed is left out: the failure is told once, where it is.
    pub(super) fn plan_queries(&mut self, waiting: Vec<Query>) {
        self.fail_views();
        let mut waiting = self.follow_views(waiting);
        tell_apart(&mut waiting);
        while !waiting.is_empty() {
            let gives: BTreeSet<String> = waiting.iter().filter_map(Query::gives).collect();
            let next = waiting.iter().position(|query| {
                let own = query.gives();
                query.reads.iter().all(|name| !gives.contains(name) || own.as_ref() == Some(name))
            });
            let Some(next) = next else {
                let makers = waiting.iter().filter_map(|query| {
                    Some(Maker { made: query.gives()?, reads: query.reads.clone(), span: query.span.clone() })
                });
                let makers: Vec<Maker> = makers.collect();
                let circle = circle(&makers).unwrap_or_default();
                let span = circle.first().map_or_else(|| waiting[0].span.clone(), |first| first.span.clone());
                let circle = circle_text(&circle, self.text);
                let error = Error::invalid(format!("queries read each other in a circle: {circle}"))
                    .with_hint("take one of them out of the circle: no row could ever be the first");
                self.errors.push(mark(error, self.text, span));
                break;
            };
            let query = waiting.remove(next);
            let created = query.gives();
            if let Some(name) = created.as_deref().filter(|_| query.explain == Explaining::No)
                && !self.is_free(name)
            {
                match taken(name, query.existing) {
                    Ok(notice) => self.notices.push(notice),
                    Err(error) => self.errors.push(mark(error, self.text, query.span)),
                }
                continue;
            }
            let read_by_others = created
                .as_ref()
                .map_or(0, |name| waiting.iter().filter(|query| query.reads.contains(name)).count());
            let fails =
                if self.depends_on_failed(&query) { true } else { self.errors_of(query, read_by_others) };
            if fails {
                self.failed.extend(created);
            }
        }
        self.check_views();
    }

    /// Checks options that no query takes, because there is none.
    pub(super) fn check_options(&mut self, queries: &[Query], set: Vec<Entry>) {
        if queries.is_empty() {
            self.errors.extend(JobOptions::read(set).err());
        }
    }

    /// Finds views that read each other in a circle, and those that read what failed.
    fn fail_views(&mut self) {
        let mut views = std::mem::take(&mut self.own_views);
        loop {
            let before = views.len();
            views.retain(|(name, span)| {
                let Some((_, view)) = self.catalog.views.iter().find(|(own, _)| own == name) else {
                    return false;
                };
                let depends = relation_names(view).iter().any(|read| self.failed.contains(read));
                let circle = if depends { None } else { inline_views(view, &self.catalog.views).err() };
                if depends || circle.is_some() {
                    self.failed.insert(name.clone());
                }
                self.errors.extend(circle.map(|error| mark(error, self.text, span.clone())));
                !self.failed.contains(name)
            });
            if views.len() == before {
                break;
            }
        }
        self.own_views = views;
    }

    /// Puts views into the queries that read them.
    fn follow_views(&mut self, queries: Vec<Query>) -> Vec<Query> {
        let mut followed = vec![];
        for mut query in queries {
            if self.depends_on_failed(&query) {
                self.failed.extend(query.gives());
                continue;
            }
            match inline_views(&query.query, &self.catalog.views) {
                Ok(inlined) => {
                    query.read_views(inlined);
                    followed.push(query);
                }
                Err(error) => {
                    self.failed.extend(query.gives());
                    self.errors.push(mark(error, self.text, query.span));
                }
            }
        }
        followed
    }

    /// Takes a name for what a query creates; returns whether nothing has it.
    fn is_free(&mut self, name: &str) -> bool {
        let known = self.catalog.names().iter().any(|known| known == name);
        !known && self.created.insert(name.to_owned())
    }

    fn depends_on_failed(&self, query: &Query) -> bool {
        let target = query.target.name();
        query.reads.iter().chain(&target).any(|name| self.failed.contains(name))
    }

    /// Plans a query; returns whether it has errors.
    fn errors_of(&mut self, query: Query, read_by_others: usize) -> bool {
        let span = query.span.clone();
        match self.plan_query(query, read_by_others) {
            Ok(()) => false,
            Err(error) => {
                self.errors.push(mark(error, self.text, span));
                true
            }
        }
    }

    /// Plans the views for their errors, which may have no reader that tells them.
    fn check_views(&mut self) {
        let views = std::mem::take(&mut self.own_views);
        for (name, span) in views {
            let Some((_, view)) = self.catalog.views.iter().find(|(own, _)| *own == name) else { continue };
            let Ok(inlined) = inline_views(view, &self.catalog.views) else { continue };
            let reads = relation_names(&inlined);
            if reads.iter().any(|read| self.failed.contains(read)) {
                continue;
            }
            let checked = self.inputs(&inlined, &reads).and_then(|inputs| {
                let checked = self.planner.check(&inlined, self.text, &inputs);
                checked.map_err(|error| self.all_errors((&inlined, &span), &inputs, error))
            });
            if let Err(error) = checked {
                self.errors.push(mark(error, self.text, span));
            }
        }
    }

    /// Tells all errors of a query that `error` is the first of: returns one and keeps the others.
    pub(super) fn all_errors(
        &mut self,
        (query, place): (&ast::Query, &Range<usize>),
        inputs: &Inputs,
        error: Error,
    ) -> Error {
        if error.kind() != ErrorKind::Invalid {
            return error;
        }
        let mut found = self.planner.diagnose(query, self.text, inputs);
        match found.pop() {
            Some(last) => {
                let marked = found.into_iter().map(|error| mark(error, self.text, place.clone()));
                self.errors.extend(marked);
                last
            }
            None => error,
        }
    }
}

/// Gives each job a name of its own: the second `insert-into-x` is `insert-into-x-2`.
fn tell_apart(queries: &mut [Query]) {
    let mut taken = BTreeSet::new();
    for query in queries {
        let name = query.name.clone();
        let mut times = 1;
        while !taken.insert(query.name.clone()) {
            times += 1;
            query.name = format!("{name}-{times}");
        }
    }
}

/// Returns what to say of a `CREATE … AS` whose name is taken.
fn taken(name: &str, existing: Existing) -> Result<String> {
    match existing {
        Existing::Kept => Ok(format!("`{name}` is there already and stays as it is")),
        Existing::Replaced => {
            Err(Error::not_yet(format!("replacing the stream `{name}`")).with_hint("use another name"))
        }
        Existing::Refused => Err(Error::invalid(format!("`{name}` is declared already"))
            .with_hint(format!("use another name, or write into it: INSERT INTO {name} SELECT …"))),
    }
}

/// Leaves each error out that is told already: a view's error comes up wherever the view is read.
pub(super) fn dedup(errors: &mut Vec<Error>) {
    errors.dedup_by(|later, earlier| later.span() == earlier.span() && later.message() == earlier.message());
}
