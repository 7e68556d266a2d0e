//! `velo validate` and `velo explain`.

use std::process::ExitCode;
use std::sync::Arc;

use super::arguments::CheckArguments;
use super::messages;
use super::run::{read_text, settings};
use crate::connect::console::OutputForm;
use crate::error::Result;
use crate::job::application::{PlannedApplication, advice, explain as explain_job};
use crate::time::SystemClock;

/// Finds all errors of an application.
pub(super) fn validate(arguments: &CheckArguments) -> Result<ExitCode> {
    planned(arguments, |planned| {
        let jobs = planned.jobs.len();
        planned.notices.iter().for_each(|notice| messages::print(&format!("notice: {notice}")));
        for job in &planned.jobs {
            let advice = advice(job)?;
            let say = |what: &str, line: &String| messages::print(&format!("{what}: {}: {line}", job.name));
            advice.joins.iter().for_each(|line| say("join", line));
            advice.warnings.iter().for_each(|line| say("warning", line));
        }
        messages::print(&format!("valid: {jobs} {}", if jobs == 1 { "query" } else { "queries" }));
        Ok(())
    })
}

/// Shows how the queries of an application would run.
pub(super) fn explain(arguments: &CheckArguments) -> Result<ExitCode> {
    planned(arguments, |planned| {
        planned.jobs.iter().try_for_each(|job| {
            messages::print(&explain_job(job)?);
            Ok(())
        })
    })
}

fn planned(
    arguments: &CheckArguments,
    then: impl FnOnce(&PlannedApplication) -> Result<()>,
) -> Result<ExitCode> {
    let (text, file) = read_text(&arguments.text)?;
    let clock = Arc::new(SystemClock::default());
    let settings = settings(&arguments.text, OutputForm::Table, clock, arguments.connect)?;
    match PlannedApplication::plan(&text, &settings) {
        Ok(planned) => {
            then(&planned)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => {
            messages::errors(&errors, &text, file.as_deref());
            messages::say(&format!("{} error{}", errors.len(), if errors.len() == 1 { "" } else { "s" }));
            Ok(ExitCode::from(errors.first().map_or(1, |error| error.kind().exit_code())))
        }
    }
}
