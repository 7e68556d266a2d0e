//! The command line: one file for each command.

mod arguments;
mod bench;
mod check;
mod messages;
mod progress;
mod run;

use std::process::ExitCode;

use clap::Parser;

pub use arguments::Arguments;
use arguments::Command;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.command {
        Command::Run(command) => run::run(&command),
        Command::Validate(command) => check::validate(&command),
        Command::Explain(command) => check::explain(&command),
        Command::Bench(command) => bench::bench(&command),
    };
    ended.unwrap_or_else(|error| {
        messages::error(&error.report());
        ExitCode::from(error.kind().exit_code())
    })
}
