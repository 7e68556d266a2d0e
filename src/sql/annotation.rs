//! Annotations in comments: `-- @name: value`, and the header lines of the predecessor's files.

use std::ops::Range;

use super::suggest::nearest;
use super::tokens::{Tok, comment, is_blank};
use sqlparser::tokenizer::{Token, Whitespace};

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Its name without `@`, in lower case; header lines have the name of their annotation (`SQL Application:` is `app`).
    pub name: String,
    /// Its value, without spaces around it; empty if there is none.
    pub value: String,
    /// The bytes of name and value in the whole text.
    pub span: Range<usize>,
}

/// Annotations in the order of the text; names may repeat.
pub type Annotations = Vec<Annotation>;

/// Something the user should know that is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What, ready for a person.
    pub message: String,
    /// The bytes in the whole text that it is about.
    pub span: Range<usize>,
}

/// Annotations of the whole application, wherever they stand.
const APP: &[&str] = &["app", "version", "description", "author", "depends_on", "tag", "tags", "phase"];

/// Annotations of one statement.
const STATEMENT: &[&str] = &[
    "name",
    "job_name",
    "job_mode",
    "batch_size",
    "num_partitions",
    "partitioning_strategy",
    "sticky-partition-id",
    "partition-count",
    "failure_strategy",
    "max_retries",
    "retry_backoff_ms",
    "enable_dlq",
    "dlq_max_size",
    "metric",
    "metric_type",
    "metric_help",
    "metric_labels",
    "metric_condition",
    "metric_field",
    "metric_buckets",
    "metric_sample_rate",
    "property",
    "dashboard",
];

/// Annotations of the application when they stand in the file's header, else of their statement.
const EITHER: &[&str] = &[
    "deployment.node_id",
    "deployment.node_name",
    "deployment.region",
    "observability.metrics.enabled",
    "observability.tracing.enabled",
    "observability.profiling.enabled",
    "observability.error_reporting.enabled",
    "observability.metrics",
    "observability.tracing",
    "observability.profiling",
    "observability.error_reporting",
    "sla.latency.p99",
    "sla.availability",
    "data_retention",
    "compliance",
    "velo:workload",
];

/// Families of names that are not listed one by one.
const FAMILIES: &[&str] = &["data.", "sla.", "velo:sla."];

/// Header lines without `@`, their annotations, and whether they count anywhere before a statement or only in the header.
const HEADERS: &[(&str, &str, bool)] = &[
    ("sql application:", "app", false),
    ("version:", "version", false),
    ("description:", "description", false),
    ("author:", "author", false),
    ("dependencies:", "depends_on", false),
    ("tag:", "tag", false),
    ("name:", "name", true),
    ("property:", "property", true),
];

/// What the comments of one statement say.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// For the application.
    pub(crate) app: Annotations,
    /// For the statement.
    pub(crate) own: Annotations,
    /// Unknown names.
    pub(crate) notices: Vec<Notice>,
}

/// Reads the comments among `tokens`, which run from the `;` before a statement to its own end.
///
/// `header` says that nothing stands before them in the file. `text` is the whole text.
pub(crate) fn read(text: &str, tokens: &[Tok], header: bool) -> Found {
    let mut found = Found::default();
    // Comments that a blank line separates from the first statement belong to the file.
    let attached = attached_from(tokens);
    for (index, tok) in tokens.iter().enumerate() {
        if comment(&tok.token).is_none() {
            continue;
        }
        let in_header = header && index < attached;
        for (start, line) in lines(text, tok) {
            let before = header && tokens.iter().take(index).all(|tok| is_blank(&tok.token));
            let Some(annotation) = annotation(line, start, before) else { continue };
            add(&mut found, annotation, in_header);
        }
    }
    found
}

/// Sorts an annotation to where it belongs.
fn add(found: &mut Found, annotation: Annotation, in_header: bool) {
    let name = annotation.name.as_str();
    let is_either = EITHER.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family));
    if APP.contains(&name) || (is_either && in_header) {
        found.app.push(annotation);
        return;
    }
    if !is_either && !STATEMENT.contains(&name) {
        let known = APP.iter().chain(STATEMENT).chain(EITHER).copied();
        let hint = match nearest(name, known) {
            Some(near) => format!("; did you mean `@{near}`?"),
            None => String::new(),
        };
        let message = format!("unknown annotation `@{name}` has no effect{hint}");
        found.notices.push(Notice { message, span: annotation.span.clone() });
    }
    found.own.push(annotation);
}

/// Returns the index from which on comments touch the statement after them, with no blank line between.
fn attached_from(tokens: &[Tok]) -> usize {
    let first = tokens.iter().position(|tok| !is_blank(&tok.token)).unwrap_or(tokens.len());
    let mut newlines = 0;
    for index in (0..first).rev() {
        match tokens.get(index).map(|tok| &tok.token) {
            Some(Token::Whitespace(Whitespace::Newline)) => newlines += 1,
            // A line comment's token has its own newline in it.
            Some(Token::Whitespace(Whitespace::SingleLineComment { .. })) if newlines >= 1 => {
                return index + 1;
            }
            Some(Token::Whitespace(Whitespace::MultiLineComment(_))) if newlines >= 2 => return index + 1,
            Some(Token::Whitespace(Whitespace::Space | Whitespace::Tab)) => {}
            _ => newlines = 0,
        }
    }
    0
}

/// Returns the lines of a comment without its marks, each with the byte it starts at.
fn lines<'a>(text: &'a str, tok: &Tok) -> Vec<(usize, &'a str)> {
    let raw = text.get(tok.span.clone()).unwrap_or_default();
    let mut out = Vec::new();
    let mut start = tok.span.start;
    for line in raw.split_inclusive('\n') {
        let body = line.trim_start().trim_start_matches(['-', '/', '*']).trim_start();
        let body_start = start + (line.len() - body.len());
        let body = body.trim_end();
        out.push((body_start, body.strip_suffix("*/").unwrap_or(body).trim_end()));
        start += line.len();
    }
    out
}

/// Reads one comment line, if it is an annotation.
fn annotation(line: &str, start: usize, before: bool) -> Option<Annotation> {
    let span = start..start + line.len();
    if let Some(rest) = line.strip_prefix('@') {
        if !rest.starts_with(char::is_alphabetic) {
            return None;
        }
        let prefix = if rest.get(..5).is_some_and(|p| p.eq_ignore_ascii_case("velo:")) { 5 } else { 0 };
        let tail = rest.get(prefix..)?;
        let width = tail.find(|c: char| c == ':' || c == '=' || c.is_whitespace()).unwrap_or(tail.len());
        let name = rest.get(..prefix + width)?.to_lowercase();
        let value = rest.get(prefix + width..)?.trim_start();
        let value = value.strip_prefix([':', '=']).unwrap_or(value).trim();
        let name = if name == "application" { "app".to_owned() } else { name };
        return Some(Annotation { name, value: value.to_owned(), span });
    }
    let lower = line.to_ascii_lowercase();
    let (mark, name, anywhere) = HEADERS.iter().find(|(mark, ..)| lower.starts_with(mark))?;
    if !anywhere && !before {
        return None;
    }
    let value = line.get(mark.len()..)?.trim().to_owned();
    Some(Annotation { name: (*name).to_owned(), value, span })
}
