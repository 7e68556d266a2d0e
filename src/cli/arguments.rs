//! [`Arguments`]: what can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Streaming SQL in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "velo",
    version,
    about,
    after_help = "Examples:
  velo run app.sql
  velo run app.sql --metrics 127.0.0.1:9464
  velo run -e \"SELECT symbol, count(*) FROM 'trades.csv' GROUP BY symbol\"
  cat bids.json | velo run -e \"SELECT * FROM stdin WHERE price > 100\" --output ndjson
  velo validate app.sql
  velo explain app.sql"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the statements of a file, or of the command line, until their inputs end or Ctrl-C.
    Run(RunArguments),
    /// Find all errors of a file, each with its place; nothing is run and nothing outside is contacted.
    Validate(CheckArguments),
    /// Show how the queries of a file would run.
    Explain(CheckArguments),
    /// Measure.
    Bench(BenchArguments),
}

/// Where statements come from.
#[derive(Debug, Args)]
pub struct TextArguments {
    /// The .sql file.
    #[arg(required_unless_present = "execute")]
    pub file: Option<PathBuf>,
    /// Statements to use instead of a file.
    #[arg(
        short = 'e',
        long = "execute",
        value_name = "SQL",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    pub execute: Option<String>,
    /// Set a job option, over whatever the file says.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The value of a parameter: `--param 1=100` for `$1`, `--param symbol=ACME` for `:symbol`. Whole and decimal
    /// numbers, true, false and null are what they look like; quotes make a value text.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// Follow the inputs, or run once over inputs that end.
    #[arg(long, value_enum)]
    pub mode: Option<ModeArgument>,
}

/// How a query's answer comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArgument {
    /// Row by row as the input comes.
    Stream,
    /// Once, over inputs that end.
    Batch,
}

/// How rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputArgument {
    /// A table with borders.
    Table,
    /// CSV with a header.
    Csv,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// `velo run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The statements.
    #[command(flatten)]
    pub text: TextArguments,
    /// How rows on standard output look: a table on a terminal and NDJSON in a pipe unless said.
    #[arg(long, value_enum)]
    pub output: Option<OutputArgument>,
    /// Write what was done as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Serve metrics for Prometheus at this address of this machine while the statements run, as in 127.0.0.1:9464:
    /// GET /metrics. Port 0 stands for any that is free; which one is said on standard error.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<String>,
    /// Show progress every second, although standard error is no terminal.
    #[arg(long)]
    pub progress: bool,
    /// Neither progress nor summary.
    #[arg(short, long, conflicts_with = "progress")]
    pub quiet: bool,
}

/// `velo validate` and `velo explain`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The statements.
    #[command(flatten)]
    pub text: TextArguments,
    /// Look at data outside to learn columns that are not declared.
    #[arg(long)]
    pub connect: bool,
}

/// `velo bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What to measure.
    #[command(subcommand)]
    pub what: BenchCommand,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Queries of the Nexmark benchmark, side by side with DataFusion's batch run of the same query on the same input.
    Nexmark(NexmarkArguments),
}

/// `velo bench nexmark`.
#[derive(Debug, Args)]
pub struct NexmarkArguments {
    /// The query; all of them if not said.
    #[arg(long, value_name = "NAME")]
    pub query: Option<String>,
    /// How many bids there are; people and auctions, where a query reads them, are those before the last bid.
    #[arg(long, default_value_t = 2_000_000)]
    pub events: u64,
    /// What the input is.
    #[arg(long, value_enum, default_value = "json")]
    pub format: BenchFormat,
    /// How many cores to use.
    #[arg(long)]
    pub parallelism: Option<std::num::NonZeroUsize>,
    /// How many rounds are run; medians count.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Where the input files are kept between runs.
    #[arg(long, value_name = "DIRECTORY")]
    pub data: Option<PathBuf>,
}

/// What a benchmark reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// JSON lines.
    Json,
    /// CSV with a header.
    Csv,
    /// Parquet.
    Parquet,
    /// Rows in memory.
    Memory,
}
