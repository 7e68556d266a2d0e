//! `DROP` in a session: what depends on a name, and what goes with it.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use super::planning::Planning;
use super::statements::Query;
use crate::error::{Error, Result};
use crate::job::JobReport;
use crate::sql::plan::relation_names;
use crate::sql::{Declare, Name, RelationKind};

/// A job of a session, as far as it depends on what is declared.
#[derive(Debug, Clone)]
pub(super) struct Dependent {
    name: String,
    /// What there is only because of it.
    makes: Option<String>,
    /// What else it writes.
    writes: Option<String>,
    reads: BTreeSet<String>,
}

impl Dependent {
    pub(super) fn of(query: &Query) -> Self {
        let writes = query.target.name().filter(|name| query.creates.as_ref() != Some(name));
        Self { name: query.name.clone(), makes: query.creates.clone(), writes, reads: query.reads.clone() }
    }

    /// Returns the job that keeps the declared table `name`.
    pub(super) fn keeping(name: &str) -> Self {
        Self { name: name.to_owned(), makes: Some(name.to_owned()), writes: None, reads: BTreeSet::new() }
    }

    fn uses(&self, name: &str) -> bool {
        let reads_other = self.reads.contains(name) && self.makes.as_deref() != Some(name);
        reads_other || self.writes.as_deref() == Some(name)
    }
}

/// What goes with a name.
#[derive(Debug, Default)]
struct Going {
    /// Streams, tables and views.
    names: BTreeSet<String>,
    /// The numbers of jobs.
    jobs: BTreeSet<usize>,
}

impl Catalog {
    /// Returns the number of a job that begins.
    pub(super) fn begin_job(&mut self, dependent: Dependent) -> usize {
        self.jobs_so_far += 1;
        self.dependents.insert(self.jobs_so_far, dependent);
        self.jobs_so_far
    }

    /// Says how far the jobs are that run.
    pub fn look_at(&mut self, running: Vec<JobReport>) {
        self.running = running;
    }

    /// Says that the job of that number is over: it uses nothing any more.
    pub fn end_job(&mut self, number: usize) {
        self.dependents.remove(&number);
    }

    /// Forgets streams, tables and views.
    fn remove(&mut self, names: &BTreeSet<String>) {
        for (_, table) in self.tables().filter(|(name, _)| names.contains(*name)) {
            self.loads.remove(&table.load);
        }
        self.streams.retain(|name, _| !names.contains(name));
        self.views.retain(|(name, _)| !names.contains(name));
    }

    fn kind_of(&self, name: &str) -> Option<RelationKind> {
        if self.views.iter().any(|(view, _)| view == name) {
            return Some(RelationKind::View);
        }
        let is_table = self.get(name)?.table.is_some();
        Some(if is_table { RelationKind::Table } else { RelationKind::Stream })
    }

    /// Collects what goes with `name`: what is made from it, and the jobs that read or write it.
    fn going(&self, name: &str, going: &mut Going) {
        if !going.names.insert(name.to_owned()) {
            return;
        }
        for (number, job) in &self.dependents {
            let is_maker = job.makes.as_deref() == Some(name);
            if (is_maker || job.uses(name)) && going.jobs.insert(*number) {
                job.makes.iter().for_each(|made| self.going(made, going));
            }
        }
        let readers = self.views.iter().filter(|(_, query)| relation_names(query).contains(name));
        readers.for_each(|(view, _)| self.going(view, going));
    }

    /// Returns who uses `name`, in words.
    fn users(&self, name: &str) -> Vec<String> {
        let jobs = self.dependents.values().filter(|job| job.uses(name));
        let jobs = jobs.map(|job| format!("job `{}`", job.name));
        let views = self.views.iter().filter(|(_, query)| relation_names(query).contains(name));
        jobs.chain(views.map(|(view, _)| format!("view `{view}`"))).collect()
    }
}

impl Planning<'_> {
    /// Makes room in a session for a relation that is to replace another.
    ///
    /// # Errors
    /// Invalid: somebody uses what is there.
    pub(super) fn make_room(&mut self, declare: &Declare) -> Result<()> {
        let replaces = declare.or_replace && self.catalog.keeps_results;
        match self.catalog.kind_of(&declare.name.value).filter(|_| replaces) {
            Some(kind) => self.drop_relation(kind, &declare.name, false, false),
            None => Ok(()),
        }
    }

    /// Takes what a `DROP` names out of the catalog, and notes the jobs that end with it.
    ///
    /// # Errors
    /// Invalid: there is no such thing, or it is another kind of thing, or somebody uses it and `cascade` does not say
    /// that they go too.
    pub(super) fn drop_relation(
        &mut self,
        kind: RelationKind,
        name: &Name,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let place = name.span.clone();
        let own = &name.value;
        let mut going = Going::default();
        if kind == RelationKind::Job {
            let jobs = self.catalog.dependents.iter().filter(|(_, job)| job.name == *own);
            going.jobs = jobs.map(|(number, _)| *number).collect();
            let made: Vec<String> = going
                .jobs
                .iter()
                .filter_map(|number| self.catalog.dependents[number].makes.clone())
                .collect();
            if let Some(made) = made.first() {
                return Err(Error::invalid(format!("job `{own}` is what makes `{made}`"))
                    .with_hint(format!("drop what it makes: DROP STREAM|TABLE {made}"))
                    .with_span(place));
            }
        }
        let known = self.catalog.kind_of(own).filter(|_| kind != RelationKind::Job);
        match known {
            None if going.jobs.is_empty() && if_exists => {
                self.notices.push(format!("there is no {} `{own}` to drop", kind.keyword().to_lowercase()));
                return Ok(());
            }
            None if going.jobs.is_empty() => {
                return Err(Error::invalid(format!("there is no {} `{own}`", kind.keyword().to_lowercase()))
                    .with_hint(
                        "SHOW STREAMS and SHOW TABLES list what there is; DROP … IF EXISTS takes it as done",
                    )
                    .with_span(place));
            }
            Some(other) if other != kind => {
                let word = other.keyword();
                return Err(Error::invalid(format!("`{own}` is a {}", word.to_lowercase()))
                    .with_hint(format!("DROP {word} {own}"))
                    .with_span(place));
            }
            _ => {}
        }
        if !self.catalog.keeps_results {
            return Err(Error::not_yet("`DROP` in an application")
                .with_hint("what an application declares ends with it; leave the statement out")
                .with_span(place));
        }
        if known.is_some() {
            let users = self.catalog.users(own);
            if !users.is_empty() && !cascade {
                return Err(Error::invalid(format!("`{own}` is in use: {}", users.join(", ")))
                    .with_hint(format!(
                        "drop those first, or all together: DROP {} {own} CASCADE",
                        kind.keyword()
                    ))
                    .with_span(place));
            }
            self.catalog.going(own, &mut going);
        }
        self.catalog.remove(&going.names);
        for number in going.jobs {
            self.catalog.end_job(number);
            self.ended_jobs.push(number);
        }
        Ok(())
    }
}

/// The jobs of a session by their numbers.
pub(super) type Dependents = BTreeMap<usize, Dependent>;
