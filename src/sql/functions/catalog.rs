//! [`function_catalog`]: what `SHOW FUNCTIONS` lists, each with one line of help and a tested example.
//!
//! The examples are the files of `tests/slt/functions`, which the test suite runs: a function without an example there
//! is not listed.

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Documentation;

use crate::error::{Error, Result};

/// What a function works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionKind {
    /// The values of one row.
    Scalar,
    /// The rows of a group.
    Aggregate,
    /// The rows of an `OVER` frame.
    Window,
    /// Part of the language: rewritten before planning, or written without parentheses.
    Syntax,
}

impl FunctionKind {
    /// Returns the word that `SHOW FUNCTIONS` prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Aggregate => "aggregate",
            Self::Window => "window",
            Self::Syntax => "syntax",
        }
    }
}

/// One function as `SHOW FUNCTIONS` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionEntry {
    /// The name, in lower case.
    pub name: String,
    /// What it works on.
    pub kind: FunctionKind,
    /// What it does, in one line.
    pub help: String,
    /// A query that the test suite runs.
    pub example: String,
    /// The result of that query: rows, each with its columns separated by spaces.
    pub result: String,
}

const EXAMPLES: [&str; 9] = [
    include_str!("../../../tests/slt/functions/aggregate.slt"),
    include_str!("../../../tests/slt/functions/array.slt"),
    include_str!("../../../tests/slt/functions/conditional.slt"),
    include_str!("../../../tests/slt/functions/date.slt"),
    include_str!("../../../tests/slt/functions/json.slt"),
    include_str!("../../../tests/slt/functions/math.slt"),
    include_str!("../../../tests/slt/functions/rewritten.slt"),
    include_str!("../../../tests/slt/functions/text.slt"),
    include_str!("../../../tests/slt/functions/window.slt"),
];

/// One example of a function's file.
pub(super) struct Example {
    pub(super) name: String,
    pub(super) help: Option<String>,
    pub(super) sql: String,
    pub(super) result: String,
}

/// Returns every function with an example, by name.
///
/// Fails with an `Internal` error where an example names a function that has neither help of its own nor DataFusion's.
pub fn function_catalog(state: &SessionState) -> Result<Vec<FunctionEntry>> {
    let examples = EXAMPLES.iter().flat_map(|text| read_examples(text));
    let mut entries = examples.map(|example| entry(example, state)).collect::<Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn entry(example: Example, state: &SessionState) -> Result<FunctionEntry> {
    let (kind, documentation) = look_up(&example.name, state);
    let help = example.help.or(documentation).ok_or_else(|| {
        Error::internal(format!(
            "the example of `{}` has no help, and there is no such function",
            example.name
        ))
    })?;
    Ok(FunctionEntry { name: example.name, kind, help, example: example.sql, result: example.result })
}

fn look_up(name: &str, state: &SessionState) -> (FunctionKind, Option<String>) {
    let line =
        |documentation: Option<&Documentation>| documentation.map(|text| first_sentence(&text.description));
    if let Some(function) = state.scalar_functions().get(name) {
        return (FunctionKind::Scalar, line(function.documentation()));
    }
    if let Some(function) = state.aggregate_functions().get(name) {
        return (FunctionKind::Aggregate, line(function.documentation()));
    }
    if let Ok(function) = state.udwf(name) {
        return (FunctionKind::Window, line(Arc::as_ref(&function).documentation()));
    }
    (FunctionKind::Syntax, None)
}

fn first_sentence(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => line,
    }
}

/// Reads the records of a file: `# name` or `# name: help`, `query …`, SQL, `----`, rows, and a blank line.
pub(super) fn read_examples(text: &str) -> Vec<Example> {
    text.split("\n\n").filter_map(read_example).collect()
}

fn read_example(record: &str) -> Option<Example> {
    let lines = record.lines().skip_while(|line| !line.starts_with("# "));
    let mut lines = lines.filter(|line| !line.is_empty());
    let title = lines.next()?.strip_prefix("# ")?;
    let (name, help) = match title.split_once(": ") {
        Some((name, help)) => (name, Some(help.to_owned())),
        None => (title, None),
    };
    let rest: Vec<&str> = lines.collect();
    let (sql, result) = match rest.as_slice() {
        [query, rest @ ..] if query.starts_with("query ") => {
            let end = rest.iter().position(|line| *line == "----")?;
            (rest.get(..end)?.join(" "), rest.get(end + 1..)?.join("\n"))
        }
        _ => return None,
    };
    Some(Example { name: name.to_owned(), help, sql, result })
}
