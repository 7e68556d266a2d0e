//! [`Options`]: the settings of one source, sink or job, read strictly.

use std::time::Duration;

use crate::config::{Entry, Origin};
use crate::error::{Error, Result};

use super::value::{ByteSize, OptionValue};

/// What the reference says about one option. The reference is made from these, so they are complete: an option that is
/// not documented cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionDoc {
    /// The option's name; a name that ends in `*` stands for all that begin like it.
    pub key: &'static str,
    /// What it can be: `duration`, `text`, or the choices.
    pub value: &'static str,
    /// The value it has when it is not given; empty if it has none.
    pub default: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
}

impl OptionDoc {
    fn covers(&self, key: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => self.key == key,
        }
    }
}

/// Options that are taken one by one; what nobody took is an error.
///
/// ```
/// use velostream::config::{Entry, Origin};
/// use velostream::connect::{OptionDoc, Options};
///
/// const DOCS: &[OptionDoc] =
///     &[OptionDoc { key: "topic", value: "text", default: "", what: "the topic to read" }];
///
/// let given = vec![
///     Entry::new("topic", "bids", Origin::With(0..5)),
///     Entry::new("tpoic", "asks", Origin::With(7..12)),
/// ];
/// let mut options = Options::new(DOCS, given)?;
/// assert_eq!(options.take::<String>("topic")?, "bids");
/// assert_eq!(
///     options.finish("source `bids`").unwrap_err().to_string(),
///     "unknown option `tpoic` of source `bids`\nHint: did you mean `topic`? accepted: `topic`",
/// );
/// # Ok::<(), velostream::Error>(())
/// ```
#[derive(Debug)]
pub struct Options {
    docs: Vec<&'static [OptionDoc]>,
    /// The entries in force that nobody has taken yet, each key once.
    left: Vec<Entry>,
    /// The entries that were taken.
    taken: Vec<Entry>,
}

impl Options {
    /// Collects `entries`; where a key is there more than once, the origin of the highest rank is in force.
    ///
    /// # Errors
    /// Invalid, when one origin gives a key two different values.
    pub fn new(docs: &'static [OptionDoc], entries: impl IntoIterator<Item = Entry>) -> Result<Self> {
        let mut left: Vec<Entry> = Vec::new();
        for entry in entries {
            let Some(known) = left.iter_mut().find(|known| known.key == entry.key) else {
                left.push(entry);
                continue;
            };
            let (before, now) = (known.origin.rank(), entry.origin.rank());
            if before == now && known.value != entry.value && !overrides(&entry.origin) {
                return Err(contradiction(known, &entry));
            }
            if before <= now {
                *known = entry;
            }
        }
        Ok(Self { docs: vec![docs], left, taken: Vec::new() })
    }

    /// Also accepts the options in `docs`: those of a format, of event time.
    pub fn accept(&mut self, docs: &'static [OptionDoc]) {
        self.docs.push(docs);
    }

    /// Tells whether `key` is given and not yet taken.
    pub fn contains(&self, key: &str) -> bool {
        self.left.iter().any(|entry| entry.key == key)
    }

    /// Takes a required option.
    ///
    /// # Errors
    /// Invalid, when it is missing or not a `T`.
    pub fn take<T: OptionValue>(&mut self, key: &str) -> Result<T> {
        if let Some(value) = self.take_optional(key)? {
            return Ok(value);
        }
        let missing = Error::invalid(format!("missing option `{key}`"));
        let unknown = self.left.iter().filter(|entry| !self.documented(&entry.key));
        Err(match unknown.into_iter().find(|entry| nearest(&entry.key, std::iter::once(key)).is_some()) {
            Some(meant) => {
                missing.with_hint(format!("did you mean `{key}` where it says `{}`?", meant.name()))
            }
            None => missing.with_hint(format!("add `'{key}' = '…'` to WITH (…)")),
        })
    }

    /// Takes an option that may be absent.
    ///
    /// # Errors
    /// Invalid, when it is not a `T`.
    pub fn take_optional<T: OptionValue>(&mut self, key: &str) -> Result<Option<T>> {
        self.take_entry(key)?.map(|entry| read(&entry)).transpose()
    }

    /// Takes an option that is `default` when absent.
    ///
    /// # Errors
    /// Invalid, when it is not a `T`.
    pub fn take_or<T: OptionValue>(&mut self, key: &str, default: T) -> Result<T> {
        Ok(self.take_optional(key)?.unwrap_or(default))
    }

    /// Takes a duration: `500ms`, `10 seconds`; a bare number is milliseconds.
    ///
    /// # Errors
    /// Invalid, when it is not one.
    pub fn take_duration(&mut self, key: &str) -> Result<Option<Duration>> {
        self.take_optional(key)
    }

    /// Takes a size in bytes: `64KB`, `64KiB`, `4096`.
    ///
    /// # Errors
    /// Invalid, when it is not one.
    pub fn take_bytes(&mut self, key: &str) -> Result<Option<u64>> {
        Ok(self.take_optional(key)?.map(|ByteSize(bytes)| bytes))
    }

    /// Takes a yes or no: `true`, `yes`, `1`, `on` and their opposites.
    ///
    /// # Errors
    /// Invalid, when it is none of them.
    pub fn take_bool(&mut self, key: &str) -> Result<Option<bool>> {
        self.take_optional(key)
    }

    /// Takes one of several named values; case does not count, and `-` is the same as `_`.
    ///
    /// # Errors
    /// Invalid, with the accepted names, when it is none of them.
    pub fn take_choice<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(entry) = self.take_entry(key)? else {
            return Ok(None);
        };
        let plain = |text: &str| text.trim().to_lowercase().replace('-', "_");
        let given = plain(&entry.value);
        if let Some((_, value)) = choices.iter().find(|(name, _)| plain(name) == given) {
            return Ok(Some(value.clone()));
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let hint = match nearest(&given, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`? accepted: {}", quoted(&names)),
            None => format!("accepted: {}", quoted(&names)),
        };
        Err(refused(&entry, "one of the choices").with_hint(hint))
    }

    /// Takes one option that has several names; the first is the canonical one.
    ///
    /// # Errors
    /// Invalid, when it is not a `T` or two names are given with different values.
    pub fn take_any<T: OptionValue>(&mut self, keys: &[&str]) -> Result<Option<T>> {
        if let Some(canonical) = keys.first() {
            self.check_documented(canonical)?;
        }
        let mut best: Option<Entry> = None;
        for key in keys {
            let Some(entry) = self.pull(key) else {
                continue;
            };
            match &best {
                Some(known) if known.origin.rank() > entry.origin.rank() => {}
                Some(known) if known.origin.rank() == entry.origin.rank() && known.value != entry.value => {
                    return Err(contradiction(known, &entry));
                }
                _ => best = Some(entry),
            }
        }
        best.map(|entry| read(&entry)).transpose()
    }

    /// Takes all options that begin with `prefix`, which is cut off: `kafka.acks` as `acks`.
    ///
    /// # Errors
    /// Internal, when no documented name covers the prefix.
    pub fn take_prefixed(&mut self, prefix: &str) -> Result<Vec<(String, String)>> {
        self.check_documented(prefix)?;
        let taken: Vec<Entry> = self.left.extract_if(.., |entry| entry.key.starts_with(prefix)).collect();
        let pairs = taken.iter().map(|entry| {
            let rest = entry.key.strip_prefix(prefix).unwrap_or(&entry.key);
            (rest.to_owned(), entry.value.clone())
        });
        let pairs = pairs.collect();
        self.taken.extend(taken);
        Ok(pairs)
    }

    /// Counts an option as taken that another reader of the same options took.
    pub fn set_aside(&mut self, key: &str) {
        self.taken.extend(self.left.extract_if(.., |entry| entry.key == key));
    }

    /// Returns the value of an option, whether it was taken or not; `None` if it was not given.
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.taken.iter().chain(&self.left).find(|entry| entry.key == key);
        found.map(|entry| entry.value.as_str())
    }

    /// Returns where the value of an option that was taken came from; `None` if it was not given.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.taken.iter().find(|entry| entry.key == key).map(|entry| &entry.origin)
    }

    /// Returns the options that were taken, in that order.
    pub fn taken(&self) -> &[Entry] {
        &self.taken
    }

    /// Rejects what is left, all of it in one error; `what` says whose options these are: ``source `bids` ``.
    ///
    /// # Errors
    /// Invalid, when an option is left: one that does not exist, or one that has no use beside the others.
    pub fn finish(self, what: &str) -> Result<()> {
        let Some(first) = self.left.first() else {
            return Ok(());
        };
        let (unused, unknown): (Vec<&Entry>, Vec<&Entry>) =
            self.left.iter().partition(|entry| self.documented(&entry.key));
        let faults = [
            fault(&unknown, "unknown option", &format!(" of {what}")),
            fault(&unused, "option", &format!(" of {what}: no use beside the other options")),
        ];
        let message: Vec<String> = faults.into_iter().flatten().collect();
        let error = Error::invalid(message.join("; ")).with_hint(self.advice(&unknown));
        let first = unknown.first().copied().unwrap_or(first);
        Err(match first.origin.span() {
            Some(span) => error.with_span(span),
            None => error,
        })
    }

    /// Returns the hint for unknown options: the nearest name of each, then all names.
    fn advice(&self, unknown: &[&Entry]) -> String {
        let mut accepted: Vec<&str> = self.docs.iter().copied().flatten().map(|doc| doc.key).collect();
        accepted.sort_unstable();
        accepted.dedup();
        let near: Vec<String> = unknown
            .iter()
            .filter_map(|entry| {
                let name = nearest(&entry.key, accepted.iter().copied())?;
                Some(match unknown.len() {
                    1 => format!("`{name}`"),
                    _ => format!("`{name}` for `{}`", entry.name()),
                })
            })
            .collect();
        let list = format!("accepted: {}", quoted(&accepted));
        if near.is_empty() { list } else { format!("did you mean {}? {list}", near.join(", ")) }
    }

    fn take_entry(&mut self, key: &str) -> Result<Option<Entry>> {
        self.check_documented(key)?;
        Ok(self.pull(key))
    }

    /// Moves the option from those left to those taken.
    fn pull(&mut self, key: &str) -> Option<Entry> {
        let at = self.left.iter().position(|entry| entry.key == key)?;
        let entry = self.left.remove(at);
        self.taken.push(entry.clone());
        Some(entry)
    }

    fn documented(&self, key: &str) -> bool {
        self.docs.iter().copied().flatten().any(|doc| doc.covers(key))
    }

    fn check_documented(&self, key: &str) -> Result<()> {
        if self.documented(key) {
            return Ok(());
        }
        Err(Error::internal(format!("option `{key}` is read but not documented")))
    }
}

fn read<T: OptionValue>(entry: &Entry) -> Result<T> {
    T::read(&entry.value).ok_or_else(|| {
        let error = refused(entry, T::CALLED);
        if T::EXAMPLES.is_empty() { error } else { error.with_hint(format!("write it like {}", T::EXAMPLES)) }
    })
}

/// Tells whether a later entry of the same rank simply replaces an earlier one.
fn overrides(origin: &Origin) -> bool {
    matches!(origin, Origin::Set(_) | Origin::CommandLine)
}

fn contradiction(first: &Entry, second: &Entry) -> Error {
    let message = if first.name() == second.name() {
        let (one, other) = (first.shown(), second.shown());
        format!("option `{}` is given twice: `{one}` and `{other}`{}", first.name(), second.place())
    } else {
        format!(
            "options `{}` = `{}` and `{}` = `{}` mean the same and contradict each other{}",
            first.name(),
            first.shown(),
            second.name(),
            second.shown(),
            second.place()
        )
    };
    let error = Error::invalid(message).with_hint("keep one of them");
    match second.origin.span() {
        Some(span) => error.with_span(span),
        None => error,
    }
}

fn refused(entry: &Entry, called: &str) -> Error {
    let error = Error::invalid(format!(
        "option `{}` = `{}` is not {called}{}",
        entry.name(),
        entry.shown(),
        entry.place()
    ));
    match entry.origin.span() {
        Some(span) => error.with_span(span),
        None => error,
    }
}

/// Returns ``unknown options `a`, `b` in `x.yaml` line 3 of source `s` `` for the entries, if there are any.
fn fault(entries: &[&Entry], label: &str, of: &str) -> Option<String> {
    let names: Vec<String> =
        entries.iter().map(|entry| format!("`{}`{}", entry.name(), entry.place())).collect();
    let plural = if names.len() > 1 { "s" } else { "" };
    (!names.is_empty()).then(|| format!("{label}{plural} {}{of}", names.join(", ")))
}

/// Returns the name nearest to `given`, if one is near enough to be meant.
pub(in crate::connect) fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names
        .filter(|name| !name.ends_with('*'))
        .map(|name| (strsim::damerau_levenshtein(given, name), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2.max(given.chars().count() / 4)).then_some(name)
}

/// Returns the names in backticks, separated by commas.
pub(in crate::connect) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
