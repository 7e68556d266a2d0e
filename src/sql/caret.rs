//! Shows an error in its text: message, place, the line with a caret under it, and the hint.

use crate::error::Error;

/// Columns that a tab is wide when a line is shown.
const TAB: &str = "    ";

/// Returns the error for a person to read: message, causes, `--> file:line:column`, the line with `^^^^` under the place, hint.
///
/// Lines and columns count from 1, columns in characters. Spans beyond the text are shown at its end.
pub fn show(text: &str, file: Option<&str>, error: &Error) -> String {
    let report = error.report();
    let message = match report.rsplit_once("\nHint: ") {
        Some((message, _)) => message.to_owned(),
        None => report,
    };
    let mut out = format!("error: {message}\n");
    if let Some(span) = error.span() {
        out.push_str(&place(text, file.unwrap_or("<sql>"), span.start, span.end));
    }
    if let Some(hint) = error.hint() {
        out.push_str(&format!("Hint: {hint}\n"));
    }
    out
}

/// Returns the line and column, from 1, of a byte of `text`; columns count characters.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = start_of(text, offset);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Returns the text before `offset`, moved back to a whole character.
fn start_of(text: &str, offset: usize) -> &str {
    let end = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn place(text: &str, file: &str, start: usize, end: usize) -> String {
    let before = start_of(text, start);
    let marked = start_of(text, end.max(start)).get(before.len()..).unwrap_or_default();
    let (line, column) = line_and_column(text, start);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let source = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
    let lead = before.get(line_start..).unwrap_or_default();
    // Only the first line of a longer place is marked.
    let marked = marked.lines().next().unwrap_or_default();
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let spaces = " ".repeat(width(lead));
    let carets = "^".repeat(width(marked).max(1));
    format!(
        "{gutter}--> {file}:{line}:{column}\n{gutter} |\n{number} | {}\n{gutter} | {spaces}{carets}\n",
        source.replace('\t', TAB)
    )
}

/// Returns how many columns `text` takes, wide characters counted as two.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            '\t' => TAB.len(),
            '\u{1100}'..='\u{115F}'
            | '\u{2E80}'..='\u{A4CF}'
            | '\u{AC00}'..='\u{D7A3}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{FE30}'..='\u{FE4F}'
            | '\u{FF00}'..='\u{FF60}'
            | '\u{1F300}'..='\u{1FAFF}' => 2,
            '\u{0300}'..='\u{036F}' | '\u{200B}'..='\u{200F}' | '\r' => 0,
            _ => 1,
        })
        .sum()
}
