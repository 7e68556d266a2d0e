//! [`measure`]: timed rounds of both engines in turn.

use std::sync::Arc;

use super::check::{Checked, differ};
use super::datafusion::Batch;
use super::digest::Digest;
use super::process::Usage;
use super::queries::BenchQuery;
use super::sink::AnswerConnector;
use super::velostream::Streaming;
use crate::error::Result;
use crate::time::{Clock, Stopwatch};

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Seconds of the run.
    pub(super) seconds: f64,
    /// Processor seconds, over all threads.
    pub(super) cpu_seconds: Option<f64>,
    /// The highest resident memory of the process in bytes.
    pub(super) peak_bytes: Option<u64>,
}

/// The rounds of both engines; the first of each, which warms up, is not among them.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Of the streaming jobs.
    pub(super) velostream: Vec<Round>,
    /// Of DataFusion's runs.
    pub(super) datafusion: Vec<Round>,
}

/// Runs a checked query `rounds` times on each engine, in turn, so that a drift of the machine harms both alike.
///
/// Errors if a round counts other rows than the check.
pub(super) fn measure(
    query: &BenchQuery,
    checked: Checked,
    (streaming, batch): (&Streaming, &Batch),
    rounds: usize,
    clock: &Arc<dyn Clock>,
) -> Result<Rounds> {
    let expect = |answer: Digest| match answer.rows == checked.rows {
        true => Ok(()),
        false => Err(differ(query, answer, Digest { rows: checked.rows, ..answer })),
    };
    let mut measured = Rounds::default();
    for round in 0..=rounds {
        let sink = AnswerConnector::new(None);
        let usage = Usage::start();
        let run = streaming.run(query, &sink)?;
        let velostream = taken(run.seconds, &usage);
        expect(sink.answer())?;

        let usage = Usage::start();
        let stopwatch = Stopwatch::start(Arc::clone(clock));
        let answer = batch.run(query, None)?;
        let datafusion = taken(stopwatch.seconds(), &usage);
        expect(answer)?;

        if round > 0 {
            measured.velostream.push(velostream);
            measured.datafusion.push(datafusion);
        }
    }
    Ok(measured)
}

fn taken(seconds: f64, usage: &Usage) -> Round {
    Round { seconds, cpu_seconds: usage.cpu_seconds(), peak_bytes: usage.peak_bytes() }
}

/// Returns the middle value, of an even number of them the mean of the middle two; none of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(low)?, *values.get(high)?))
}
