//! Options in YAML files: nested mappings become dotted keys, `extends` brings in a base file, `${…}` is replaced in
//! values.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::config::environment::{Spelling, substitute_as};
use crate::config::{Entry, Environment, Origin, parse_bool};
use crate::error::{Error, Result};

use super::node::Node;

/// The key that names a base file.
const EXTENDS: &str = "extends";

/// The key of an option list that names a YAML file.
const CONFIG_FILE: &str = "config_file";

/// The key whose list of mappings describes columns.
const FIELDS: &str = "schema.fields";

/// Outermost names that only say which side the options are for.
const SIDES: &[&str] = &["datasource.", "datasink.", "data_source.", "data_sink."];

/// The options of one YAML file and of the files it extends.
#[derive(Debug, Default)]
pub struct YamlOptions {
    /// The options, each key once, in the order of the files with the base first.
    pub entries: Vec<Entry>,
    /// The columns of `schema.fields`; empty if there is none.
    pub fields: Vec<FieldText>,
}

/// One column as `schema.fields` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldText {
    /// The column's name.
    pub name: String,
    /// The type as written; see [`parse_data_type`](crate::config::parse_data_type).
    pub data_type: String,
    /// Whether the column may be null, if said.
    pub nullable: Option<bool>,
}

/// Reads the options of the YAML file `path`.
///
/// # Errors
/// Invalid, with file, line and column: the file cannot be read or is not a mapping, a key is given twice, a variable
/// is not set, `extends` names no file or comes back to a file that is being read.
pub fn load_yaml_options(path: &Path, environment: &dyn Environment) -> Result<YamlOptions> {
    load_chain(path, environment, &mut Vec::new())
}

/// Replaces `config_file` among `entries` by the options of the file it names, placed before the others.
///
/// The file is looked for in `directory`, then in the working directory.
///
/// # Errors
/// As [`load_yaml_options`].
pub fn with_config_file(
    mut entries: Vec<Entry>,
    directory: &Path,
    environment: &dyn Environment,
) -> Result<YamlOptions> {
    let Some(at) = entries.iter().position(|entry| entry.key == CONFIG_FILE) else {
        return Ok(YamlOptions { entries, fields: Vec::new() });
    };
    let named = entries.remove(at);
    let loaded = find_file(&named.value, directory).and_then(|path| load_yaml_options(&path, environment));
    let mut loaded = loaded.map_err(|error| match named.origin.span() {
        Some(span) => error.with_span(span),
        None => error,
    })?;
    loaded.entries.append(&mut entries);
    Ok(loaded)
}

/// Loads `path` on top of its base; `chain` holds the files that are being read.
fn load_chain(
    path: &Path,
    environment: &dyn Environment,
    chain: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<YamlOptions> {
    let identity = fs::canonicalize(path).map_err(|error| unreadable(path, error))?;
    let cyclic = chain.iter().any(|(_, known)| *known == identity);
    chain.push((path.to_owned(), identity));
    if cyclic {
        let names: Vec<String> = chain.iter().map(|(name, _)| format!("`{}`", name.display())).collect();
        return Err(Error::invalid(format!("`extends` goes in a circle: {}", names.join(" → ")))
            .with_hint("remove one `extends`"));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
    let mut file = File { path: Arc::from(path), text: &text, environment, options: YamlOptions::default() };
    file.read()?;
    let mut own = file.options;
    let Some(at) = own.entries.iter().position(|entry| entry.key == EXTENDS) else {
        chain.pop();
        return Ok(own);
    };
    let extends = own.entries.remove(at);
    let directory = path.parent().unwrap_or(Path::new(""));
    let base =
        find_file(&extends.value, directory).map_err(|error| error.within(format!("{}", extends.origin)))?;
    let mut merged = load_chain(&base, environment, chain)?;
    chain.pop();
    merged.entries.retain(|entry| own.entries.iter().all(|other| other.key != entry.key));
    merged.entries.append(&mut own.entries);
    if !own.fields.is_empty() {
        merged.fields = own.fields;
    }
    Ok(merged)
}

/// Finds the file `name` in `directory`, else in the working directory.
fn find_file(name: &str, directory: &Path) -> Result<PathBuf> {
    let candidates = [directory.join(name), PathBuf::from(name)];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        Error::invalid(format!("there is no file `{name}`"))
            .with_hint(format!("it was looked for in `{}` and in the working directory", directory.display()))
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::invalid(format!("cannot read `{}`", path.display())).with_cause(error)
}

/// One file while it is read.
struct File<'a> {
    path: Arc<Path>,
    text: &'a str,
    environment: &'a dyn Environment,
    options: YamlOptions,
}

impl File<'_> {
    /// Reads the whole document into `options`.
    fn read(&mut self) -> Result<()> {
        // Keys that are given twice are found below, where both places are known.
        let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
        let root: Spanned<Node> =
            serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
                let plain = error.without_snippet();
                let message = plain.to_string();
                match plain.location() {
                    // The parser repeats the place at the end of its message.
                    Some(place) => {
                        let message = message.split(" at line ").next().unwrap_or_default();
                        self.fault((place.line(), place.column()), message)
                    }
                    None => Error::invalid(format!("`{}`: {message}", self.path.display())),
                }
            })?;
        match &root.value {
            Node::Null => Ok(()),
            Node::Mapping(_) => self.flatten("", &root),
            Node::Text(_) | Node::Plain | Node::List(_) => {
                Err(self.fault(place(&root), "options are `key: value` lines, not a bare value or list"))
            }
        }
    }

    /// Adds the values below `node` under dotted keys that begin with `key`.
    fn flatten(&mut self, key: &str, node: &Spanned<Node>) -> Result<()> {
        match &node.value {
            Node::Mapping(entries) => {
                self.check_unique(entries)?;
                for (name, value) in entries {
                    let name = &name.value;
                    let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    self.flatten(&below, value)?;
                }
                Ok(())
            }
            Node::List(items) if without_side(key) == FIELDS => {
                let fields = items.iter().map(|item| self.field(item)).collect::<Result<_>>()?;
                self.options.fields = fields;
                Ok(())
            }
            Node::List(items) => {
                let texts = items.iter().map(|item| self.scalar(key, item)).collect::<Result<Vec<_>>>()?;
                self.add(key, texts.join(","), node)
            }
            Node::Null | Node::Text(_) | Node::Plain => {
                let text = self.scalar(key, node)?;
                self.add(key, text, node)
            }
        }
    }

    /// Adds one option; its key must be new.
    fn add(&mut self, key: &str, value: String, node: &Spanned<Node>) -> Result<()> {
        let key = without_side(key);
        if let Some(earlier) = self.options.entries.iter().find(|entry| entry.key == key) {
            let message = format!("`{key}` is given twice, first in {}", earlier.origin);
            return Err(self.fault(place(node), &message));
        }
        let origin = Origin::Yaml { path: Arc::clone(&self.path), line: place(node).0 };
        self.options.entries.push(Entry::new(key, value, origin));
        Ok(())
    }

    /// Checks that no key of a mapping is there twice.
    fn check_unique(&self, entries: &[(Spanned<String>, Spanned<Node>)]) -> Result<()> {
        for (index, (key, _)) in entries.iter().enumerate() {
            if let Some((first, _)) = entries.iter().take(index).find(|(first, _)| first.value == key.value) {
                let line = first.referenced.line();
                let message = format!("`{}` is given twice, first in line {line}", key.value);
                return Err(self.fault((key.referenced.line(), key.referenced.column()), &message));
            }
        }
        Ok(())
    }

    /// Returns the text of a single value, with variables replaced.
    fn scalar(&self, key: &str, node: &Spanned<Node>) -> Result<String> {
        let text = match &node.value {
            Node::Null => return Ok(String::new()),
            Node::Text(text) => text.as_str(),
            Node::Plain => self.source(node).ok_or_else(|| {
                Error::internal(format!("`{}`: the text of `{key}` has no place", self.path.display()))
            })?,
            Node::List(_) | Node::Mapping(_) => {
                let message = format!("the items of `{key}` must be single values");
                return Err(self.fault(place(node), &message));
            }
        };
        substitute_as(text, self.environment, Spelling::Yaml).map_err(|error| {
            let (line, column) = place(node);
            error.within(format!("`{}` line {line} column {column}: `{key}`", self.path.display()))
        })
    }

    /// Returns the text of the document that a plain value was read from.
    fn source(&self, node: &Spanned<Node>) -> Option<&str> {
        let span = node.defined.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let length = usize::try_from(span.byte_len()?).ok()?;
        self.text.get(start..start.checked_add(length)?).map(str::trim)
    }

    /// Reads one item of `schema.fields`.
    fn field(&self, item: &Spanned<Node>) -> Result<FieldText> {
        let Node::Mapping(entries) = &item.value else {
            return Err(self.fault(place(item), "a column is written as `{name: …, type: …}`"));
        };
        self.check_unique(entries)?;
        let (mut name, mut data_type, mut nullable) = (None, None, None);
        for (key, value) in entries {
            let text = self.scalar(&key.value, value)?;
            match key.value.as_str() {
                "name" => name = Some(text),
                "type" | "data_type" => data_type = Some(text),
                "nullable" => nullable = Some(self.yes_or_no("nullable", &text, value)?),
                "required" => nullable = Some(!self.yes_or_no("required", &text, value)?),
                "description" | "doc" => {}
                other => {
                    let message = format!("unknown key `{other}` of a column");
                    let hint = "accepted: `name`, `type`, `nullable`, `required`, `description`";
                    return Err(self.fault(place(value), &message).with_hint(hint));
                }
            }
        }
        match (name, data_type) {
            (Some(name), Some(data_type)) => Ok(FieldText { name, data_type, nullable }),
            _ => Err(self.fault(place(item), "a column needs `name` and `type`")),
        }
    }

    fn yes_or_no(&self, key: &str, text: &str, node: &Spanned<Node>) -> Result<bool> {
        parse_bool(text).ok_or_else(|| self.fault(place(node), &format!("`{key}` is true or false")))
    }

    fn fault(&self, (line, column): (u64, u64), message: &str) -> Error {
        Error::invalid(format!("`{}` line {line} column {column}: {message}", self.path.display()))
    }
}

/// Returns line and column, from 1.
fn place(node: &Spanned<Node>) -> (u64, u64) {
    (node.referenced.line(), node.referenced.column())
}

/// Returns `key` without the name of the side it is for.
fn without_side(key: &str) -> &str {
    SIDES.iter().find_map(|side| key.strip_prefix(side)).unwrap_or(key)
}
