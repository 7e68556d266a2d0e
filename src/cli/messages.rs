//! What the commands say on standard error; rows go to standard output and nothing else does.

use std::io::Write;

use crate::error::Error;
use crate::sql::show;

/// Writes a line to standard error. If nobody reads it, nobody misses it.
pub(super) fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Writes a line to standard output, for commands whose result is text.
pub(super) fn print(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Says that something went wrong.
pub(super) fn error(text: &str) {
    say(&format!("error: {text}"));
}

/// Says all that is wrong with a text, each with its place.
pub(super) fn errors(errors: &[Error], text: &str, file: Option<&str>) {
    for error in errors {
        say(&show(text, file, error));
        if let Some(cause) = std::error::Error::source(error) {
            say(&format!("caused by: {cause}"));
        }
    }
}
