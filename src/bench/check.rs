//! [`check`]: both engines give the same rows, or there is no figure.

use super::datafusion::Batch;
use super::digest::{Digest, meeting_schema};
use super::queries::BenchQuery;
use super::sink::AnswerConnector;
use super::velostream::Streaming;
use crate::error::{Error, Result};

/// What a checked query answers, and over how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    /// The rows of the answer; of a changelog, those that are left in the end.
    pub(super) rows: i64,
    /// The rows of all that it reads.
    pub(super) read: u64,
    /// The changes that velostream wrote, deletes included.
    pub(super) changes: u64,
}

/// Runs a query on both engines and compares all rows of their answers.
///
/// Errors if they differ, and if a job did not read all there is, lost a row or found one late.
pub(super) fn check(query: &BenchQuery, streaming: &Streaming, batch: &Batch) -> Result<Checked> {
    let schema = meeting_schema(&*streaming.schema(query)?, &*batch.schema(query)?)?;
    let expected = batch.run(query, Some(&schema))?;
    let sink = AnswerConnector::new(Some(schema));
    let run = streaming.run(query, &sink)?;
    let found = sink.answer();
    if found != expected {
        return Err(differ(query, found, expected));
    }
    Ok(Checked { rows: found.rows, read: run.read, changes: run.changes })
}

/// Returns the error for answers that are not the same.
pub(super) fn differ(query: &BenchQuery, found: Digest, expected: Digest) -> Error {
    let what = match found.rows - expected.rows {
        0 => "the values of some differ".to_owned(),
        difference => format!("{difference:+}"),
    };
    Error::internal(format!(
        "the answers of `{}` differ: velostream {} rows, datafusion {} rows ({what})",
        query.name, found.rows, expected.rows
    ))
}
