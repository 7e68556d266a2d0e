//! [`nexmark`]: prepares, checks, measures and reports.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use super::check::check;
use super::data::{Input, InputFormat};
use super::datafusion::Batch;
use super::dataset::{Dataset, EVENTS_PER_SECOND, Site};
use super::measure::measure;
use super::process::environment;
use super::queries::{BenchQuery, queries};
use super::report::{EXPLANATION, table};
use super::velostream::Streaming;
use crate::error::{Error, Result};
use crate::time::Clock;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Request {
    /// The query's name; none means all.
    pub query: Option<String>,
    /// How many bids there are; of people and auctions there are as many as come before the last of them.
    pub bids: u64,
    /// What the input is.
    pub format: InputFormat,
    /// How many cores each engine may use.
    pub parallelism: NonZeroUsize,
    /// How many rounds count.
    pub rounds: usize,
    /// Where input files are kept.
    pub directory: PathBuf,
}

/// A query that has no figure.
#[derive(Debug)]
pub struct Failure {
    /// The query's name.
    pub query: &'static str,
    /// Why.
    pub error: Error,
}

/// Measures queries, and gives each part of the report to `say` as soon as it is known.
///
/// Returns the queries that failed, whose answers differ among them; the others are measured all the same. Errors if
/// nothing can be measured at all: the query is unknown, or the input cannot be made.
pub fn nexmark(request: &Request, clock: &Arc<dyn Clock>, mut say: impl FnMut(&str)) -> Result<Vec<Failure>> {
    let queries = queries(request.query.as_deref())?;
    if request.rounds == 0 {
        return Err(Error::invalid("no rounds, no figures").with_hint("give `--rounds` a number above 0"));
    }
    let inputs = prepare(request, &queries)?;
    let streaming = Streaming::new(&inputs, request.parallelism, Arc::clone(clock))?;
    let batch = Batch::new(&inputs, request.parallelism)?;
    say(&environment());
    say(&format!("parallelism {}, {} rounds", request.parallelism, request.rounds));
    inputs.iter().for_each(|input| say(&input.describe()));
    say(EXPLANATION);
    let mut failures = vec![];
    for query in queries {
        let measured = check(&query, &streaming, &batch).and_then(|checked| {
            let rounds = measure(&query, checked, (&streaming, &batch), request.rounds, clock)?;
            Ok(table(&query, checked, &rounds))
        });
        match measured {
            Ok(table) => say(&format!("\n{table}")),
            Err(error) => failures.push(Failure { query: query.name, error }),
        }
    }
    Ok(failures)
}

/// Makes all that some query reads.
fn prepare(request: &Request, queries: &[BenchQuery]) -> Result<Vec<Input>> {
    let site = Site::try_new(request.bids, EVENTS_PER_SECOND)?;
    let datasets: BTreeSet<Dataset> = queries.iter().flat_map(BenchQuery::reads).collect();
    let prepare = |dataset| Input::prepare(&site, dataset, request.format, &request.directory);
    datasets.into_iter().map(prepare).collect()
}
