//! The environment: the only place that asks the process for it, and `${…}` in option values.

use crate::error::{Error, Result};

use super::{Entry, Origin};

/// Where the values of variables come from.
pub trait Environment {
    /// Returns the value of the variable `name`, if it is set.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "everyone else asks an `Environment`")]
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Variables of the predecessor that give an option of every source or sink of a connector.
const OPTION_VARIABLES: &[(&str, &str, &str)] = &[
    ("kafka", "VELOSTREAM_KAFKA_BROKERS", "bootstrap.servers"),
    ("kafka", "VELOSTREAM_KAFKA_GROUP_ID", "group.id"),
    ("kafka", "VELOSTREAM_BROKER_ADDRESS_FAMILY", "kafka.broker.address.family"),
];

/// Returns the options that the environment gives for a source or sink of `connector`.
pub fn environment_entries(connector: &str, environment: &dyn Environment) -> Vec<Entry> {
    OPTION_VARIABLES
        .iter()
        .filter(|(of, _, _)| *of == connector)
        .filter_map(|(_, name, key)| {
            let value = environment.var(name)?;
            Some(Entry::new(*key, value, Origin::Environment((*name).into())))
        })
        .collect()
}

/// Which spellings of a default are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Spelling {
    /// `${VAR}`, `${VAR:-default}`, `${VAR:?message}`.
    Shell,
    /// Also `${VAR:default}`, as in the predecessor's YAML.
    Yaml,
}

/// Replaces `${VAR}`, `${VAR:-default}` and `${VAR:?message}` in an option value or annotation.
///
/// A variable that is set but empty counts as not set where a default or message is given.
///
/// # Errors
/// Invalid, when a variable without default is not set, or `${` does not begin one of these forms.
pub fn substitute(text: &str, environment: &dyn Environment) -> Result<String> {
    substitute_as(text, environment, Spelling::Shell)
}

/// Replaces variables as [`substitute`] does, in the given spelling.
pub(in crate::config) fn substitute_as(
    text: &str,
    environment: &dyn Environment,
    spelling: Spelling,
) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((variable, tail)) = after.split_once('}') else {
            return Err(Error::invalid("`${` is never closed").with_hint("write `${NAME}`"));
        };
        out.push_str(&resolve(variable, environment, spelling)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns the value for what stands between `${` and `}`.
fn resolve(variable: &str, environment: &dyn Environment, spelling: Spelling) -> Result<String> {
    let (name, rest) = match variable.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (variable, None),
    };
    let mut letters = name.bytes();
    let named = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !named {
        return Err(Error::invalid(format!("`${{{variable}}}` does not name a variable"))
            .with_hint("a name is letters, digits and `_`: `${NAME}`, `${NAME:-default}`"));
    }
    let value = environment.var(name);
    let Some(rest) = rest else {
        return value.ok_or_else(|| not_set(name));
    };
    let value = value.filter(|value| !value.is_empty());
    if let Some(default) = rest.strip_prefix('-') {
        return Ok(value.unwrap_or_else(|| default.to_owned()));
    }
    if let Some(message) = rest.strip_prefix('?') {
        return value.ok_or_else(|| {
            let message = if message.is_empty() { "it is required" } else { message };
            Error::invalid(format!("environment variable `{name}` is not set: {message}"))
        });
    }
    match spelling {
        Spelling::Yaml => Ok(value.unwrap_or_else(|| rest.to_owned())),
        Spelling::Shell => Err(Error::invalid(format!("`${{{variable}}}` is not a form that is read here"))
            .with_hint(format!("for a default write `${{{name}:-{rest}}}`"))),
    }
}

fn not_set(name: &str) -> Error {
    Error::invalid(format!("environment variable `{name}` is not set"))
        .with_hint(format!("set it, or give a default: `${{{name}:-default}}`"))
}
