//! [`Entry`]: one setting as it was written, with its [`Origin`]; secrets are never shown.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What a secret prints as.
const MASK: &str = "***";

/// Parts of a key, `_` and `-` read as `.`, that make its value a secret.
const SECRET_PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "api.key",
    "access.key",
    "account.key",
    "private.key",
    "key.pem",
    "jaas.config",
    "oauthbearer.config",
];

/// Where a setting was written. A later variant has precedence over an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file of the process.
    Configuration(Arc<Path>),
    /// An environment variable, by name.
    Environment(Arc<str>),
    /// A YAML file that a statement names.
    Yaml {
        /// The file.
        path: Arc<Path>,
        /// The line of the value, from 1.
        line: u64,
    },
    /// A `SET` statement; the byte range of the setting in the SQL text.
    Set(Range<usize>),
    /// An annotation in a comment; its byte range in the SQL text.
    Annotation(Range<usize>),
    /// A `WITH (…)` clause; the byte range of the setting in the SQL text.
    With(Range<usize>),
    /// `--set` on the command line.
    CommandLine,
}

impl Origin {
    /// Returns the precedence: where one key is given more than once, the highest rank wins.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Configuration(_) => 0,
            Self::Environment(_) => 1,
            Self::Yaml { .. } => 2,
            Self::Set(_) => 3,
            Self::Annotation(_) => 4,
            Self::With(_) => 5,
            Self::CommandLine => 6,
        }
    }

    /// Returns the byte range of the setting in the SQL text, if it stands there.
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Set(span) | Self::Annotation(span) | Self::With(span) => Some(span.clone()),
            Self::Configuration(_) | Self::Environment(_) | Self::Yaml { .. } | Self::CommandLine => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(path) => write!(f, "configuration `{}`", path.display()),
            Self::Environment(name) => write!(f, "environment variable `{name}`"),
            Self::Yaml { path, line } => write!(f, "`{}` line {line}", path.display()),
            Self::Set(_) => f.write_str("SET"),
            Self::Annotation(_) => f.write_str("annotation"),
            Self::With(_) => f.write_str("WITH"),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// One setting: key, value and where it was written.
///
/// `Debug` and `Display` show `***` for the value of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of the setting, dotted.
    pub key: String,
    /// The value as written, after `${…}` was replaced.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
    /// The name the user wrote, where it was another one than `key`.
    pub written: Option<String>,
}

impl Entry {
    /// Creates an entry under the name the user wrote.
    pub fn new(key: impl Into<String>, value: impl Into<String>, origin: Origin) -> Self {
        Self { key: key.into(), value: value.into(), origin, written: None }
    }

    /// Returns the same setting under another name and value; the name the user wrote stays known.
    #[must_use]
    pub fn renamed(&self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        let written = self.written.as_ref().unwrap_or(&self.key);
        let written = (*written != key).then(|| written.clone());
        Self { key, value: value.into(), origin: self.origin.clone(), written }
    }

    /// Returns the name the user wrote.
    pub fn name(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.key)
    }

    /// Returns the value as it may be shown.
    pub fn shown(&self) -> Cow<'_, str> {
        if is_secret(self.name()) { Cow::Borrowed(MASK) } else { shown_value(&self.key, &self.value) }
    }

    /// Returns `" in …"` for a setting that no span of the SQL text can point at, else nothing.
    pub fn place(&self) -> String {
        match self.origin.span() {
            Some(_) => String::new(),
            None => format!(" in {}", self.origin),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.origin)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name(), self.shown())
    }
}

/// Tells whether the value of `key` must never be shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace(['_', '-'], ".");
    SECRET_PARTS.iter().any(|part| key.contains(part))
}

/// Returns `value` as it may be shown: `***` for a secret, and without user and password inside a URL.
pub fn shown_value<'a>(key: &str, value: &'a str) -> Cow<'a, str> {
    if is_secret(key) {
        return Cow::Borrowed(MASK);
    }
    let Some((scheme, rest)) = value.split_once("://") else {
        return Cow::Borrowed(value);
    };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}://{MASK}@{host}{path}")),
        None => Cow::Borrowed(value),
    }
}
