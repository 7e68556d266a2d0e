//! [`split_by_name`]: the options of a query, sorted by the source or sink they are for.

use crate::config::Entry;
use crate::connect::options::{nearest, quoted};
use crate::error::{Error, Result};

use super::names::{Owner, To, lookup};

/// Beginnings of names that are for every source of the query.
const SOURCE_PREFIXES: &[&str] = &["source_config.", "source."];

/// Beginnings of names that are for every sink of the query.
const SINK_PREFIXES: &[&str] = &["sink_config.", "sink."];

/// Names, or their beginnings, that stand by themselves and are for every source of the query.
const OF_SOURCES: &[&str] = &["event.time.", "watermark.", "timestamp.format", "auto.offset.reset", "kafka."];

/// Ends of names that only a source or sink can have.
const OF_CONNECTORS: &[&str] = &[".type", ".connector", ".config_file"];

/// The options of a query, sorted by whom they are for; the names of sources and sinks are cut off.
#[derive(Debug, Default)]
pub struct Groups {
    named: Vec<(String, Vec<Entry>)>,
    every_source: Vec<Entry>,
    every_sink: Vec<Entry>,
    /// The options of the job.
    pub job: Vec<Entry>,
}

impl Groups {
    /// Returns the options of the source `name`: its own, and those for every source that it does not have itself.
    pub fn source(&self, name: &str) -> Vec<Entry> {
        self.of(name, &self.every_source)
    }

    /// Returns the options of the sink `name`: its own, and those for every sink that it does not have itself.
    pub fn sink(&self, name: &str) -> Vec<Entry> {
        self.of(name, &self.every_sink)
    }

    /// Tells whether there are options under `name`.
    pub fn names(&self, name: &str) -> bool {
        self.named.iter().any(|(known, _)| known == name)
    }

    /// Returns the options under `name`.
    pub fn own(&self, name: &str) -> &[Entry] {
        let own = self.named.iter().find(|(known, _)| known == name);
        own.map(|(_, entries)| entries.as_slice()).unwrap_or_default()
    }

    /// Returns the option `key` under `name`, if it is there.
    pub fn option(&self, name: &str, key: &str) -> Option<&Entry> {
        let (_, own) = self.named.iter().find(|(known, _)| known == name)?;
        own.iter().find(|entry| entry.key == key)
    }

    /// Fails if an option for every sink is left over, because no sink has taken options.
    ///
    /// # Errors
    /// Invalid, naming the first.
    pub fn refuse_sink_options(&self) -> Result<()> {
        let Some(entry) = self.every_sink.first() else { return Ok(()) };
        let error =
            Error::invalid(format!("option `sink.{}` is for a sink, and the query names none", entry.key))
                .with_hint("name it: SELECT … INTO sink WITH ('connector' = '…')");
        Err(match entry.origin.span() {
            Some(span) => error.with_span(span),
            None => error.within(&entry.origin),
        })
    }

    fn of(&self, name: &str, every: &[Entry]) -> Vec<Entry> {
        let own = self.named.iter().find(|(known, _)| known == name).map(|(_, entries)| entries.as_slice());
        let own = own.unwrap_or_default();
        let missing = every.iter().filter(|entry| own.iter().all(|known| known.key != entry.key));
        missing.chain(own).cloned().collect()
    }
}

/// Sorts the options of a query: `'<name>.<option>'` goes to the name (the longest that fits, in any case), `source.*`
/// and `sink.*` to every source or sink (`source_config` and `sink_config` name a YAML file for them), event time and watermarks to every source, the rest to the job.
///
/// # Errors
/// Invalid, when an option is for a name that the query does not read or write.
pub fn split_by_name(entries: Vec<Entry>, known_names: &[&str]) -> Result<Groups> {
    let mut groups = Groups::default();
    for entry in entries {
        if matches!(lookup(&entry.key, Owner::Job), Some((To::Same, _))) {
            groups.job.push(entry);
        } else if let Some((name, key)) = owner(&entry.key, known_names) {
            let entry = entry.renamed(key, &entry.value);
            match groups.named.iter_mut().find(|(known, _)| known == name) {
                Some((_, own)) => own.push(entry),
                None => groups.named.push((name.to_owned(), vec![entry])),
            }
        } else if let Some(key) = SOURCE_PREFIXES.iter().find_map(|prefix| entry.key.strip_prefix(prefix)) {
            groups.every_source.push(entry.renamed(key, &entry.value));
        } else if let Some(key) = SINK_PREFIXES.iter().find_map(|prefix| entry.key.strip_prefix(prefix)) {
            groups.every_sink.push(entry.renamed(key, &entry.value));
        } else if entry.key == "source_config" {
            groups.every_source.push(entry.renamed("config_file", &entry.value));
        } else if entry.key == "sink_config" {
            groups.every_sink.push(entry.renamed("config_file", &entry.value));
        } else if OF_SOURCES.iter().any(|begin| entry.key.starts_with(begin)) {
            groups.every_source.push(entry);
        } else if let Some(name) = OF_CONNECTORS.iter().find_map(|end| entry.key.strip_suffix(end)) {
            return Err(nobody(name, &entry, known_names));
        } else {
            groups.job.push(entry);
        }
    }
    Ok(groups)
}

/// Splits `key` into the longest known name that it begins with, and the option.
fn owner<'a, 'k>(key: &'k str, known_names: &[&'a str]) -> Option<(&'a str, &'k str)> {
    let fits = known_names.iter().filter_map(|name| {
        let (begin, rest) = key.split_at_checked(name.len())?;
        let rest = rest.strip_prefix('.').filter(|rest| !rest.is_empty())?;
        begin.eq_ignore_ascii_case(name).then_some((*name, rest))
    });
    fits.max_by_key(|(name, _)| name.len())
}

fn nobody(name: &str, entry: &Entry, known_names: &[&str]) -> Error {
    let list = format!("its sources and sinks are {}", quoted(known_names));
    let hint = match nearest(name, known_names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    };
    let message = format!("`{}` is for `{name}`, which the query neither reads nor writes", entry.key);
    let error = Error::invalid(message).with_hint(hint);
    match entry.origin.span() {
        Some(span) => error.with_span(span),
        None => error.within(&entry.origin),
    }
}
