//! `velo bench`.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;

use super::arguments::{BenchArguments, BenchCommand, BenchFormat, NexmarkArguments};
use super::messages;
use crate::bench::{InputFormat, Request};
use crate::error::Result;
use crate::time::{Clock, SystemClock};

/// The directory for input files under the system's own for temporary ones.
const DATA_DIRECTORY: &str = "velostream-bench";

/// Measures.
pub(super) fn bench(arguments: &BenchArguments) -> Result<ExitCode> {
    match &arguments.what {
        BenchCommand::Nexmark(arguments) => nexmark(arguments),
    }
}

fn nexmark(arguments: &NexmarkArguments) -> Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let request = Request {
        query: arguments.query.clone(),
        bids: arguments.events,
        format: match arguments.format {
            BenchFormat::Json => InputFormat::Json,
            BenchFormat::Csv => InputFormat::Csv,
            BenchFormat::Parquet => InputFormat::Parquet,
            BenchFormat::Memory => InputFormat::Memory,
        },
        parallelism: arguments.parallelism.unwrap_or_else(cores),
        rounds: arguments.rounds,
        directory: arguments.data.clone().unwrap_or_else(|| std::env::temp_dir().join(DATA_DIRECTORY)),
    };
    let failures = crate::bench::nexmark(&request, &clock, messages::print)?;
    for failure in &failures {
        messages::error(&format!("`{}` has no figure: {}", failure.query, failure.error.report()));
    }
    Ok(failures.first().map_or(ExitCode::SUCCESS, |failure| ExitCode::from(failure.error.kind().exit_code())))
}
