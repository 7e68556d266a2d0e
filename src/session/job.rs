//! [`SessionJob`]: a job of a session, which can be stopped and gone on with.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::job::application::{PlannedJob, Settings};
use crate::job::{Ending, Job, JobReport, Outcome, Snapshot, TakenIn};
use crate::sql::plan::Planner;

/// A job with what it takes to start it again.
pub struct SessionJob {
    planned: PlannedJob,
    running: Option<Job>,
    snapshot: Option<Snapshot>,
    reports: Vec<JobReport>,
}

impl SessionJob {
    /// Starts the job.
    pub(super) fn start(planned: PlannedJob, planner: &Planner, settings: &Settings) -> Result<Self> {
        let mut job = Self { planned, running: None, snapshot: None, reports: vec![] };
        job.run(planner, settings)?;
        Ok(job)
    }

    fn run(&mut self, planner: &Planner, settings: &Settings) -> Result<()> {
        let sink = self.planned.open_sink(settings)?;
        let mut spec = self.planned.stream_spec(sink, planner, settings)?;
        spec.record = true;
        self.running = Some(Job::start(spec, self.snapshot.clone())?);
        Ok(())
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.planned.name
    }

    /// Returns which of all jobs of the session it is.
    pub(super) fn number(&self) -> usize {
        self.planned.number
    }

    /// Returns whether the job has ended.
    pub(super) fn is_over(&self) -> bool {
        self.running.as_ref().is_none_or(Job::is_over)
    }

    /// Stops the job for good; fails as it had failed before.
    pub(super) fn stop(mut self) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        running.stop();
        self.end().map(drop)
    }

    /// Returns the streams that the job reads, in the order of its plan, each with whether it follows a table of that name.
    pub(super) fn reads(&self) -> Vec<(&str, bool)> {
        match &self.planned.work {
            crate::job::application::Work::Stream(plan) => {
                plan.scans.iter().map(|scan| (scan.relation.name.as_str(), scan.relation.of_table)).collect()
            }
            crate::job::application::Work::Batch(_) => vec![],
        }
    }

    /// Returns what each run of the job did: one report more than it was started again, the last so far.
    pub fn reports(&self) -> Vec<JobReport> {
        let running = self.running.as_ref().map(Job::progress);
        self.reports.iter().cloned().chain(running).collect()
    }

    /// Waits until the job's sink has what follows from what is `wanted` of its sources; fails as the job has failed.
    pub(super) fn settle(&mut self, wanted: &[TakenIn], limit: Duration) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        if self.planned.keeps.is_some() {
            running.wait_until_caught_up(limit)?;
        }
        running.wait_until_processed(wanted, limit)?;
        if running.is_ending() { self.end().map(drop) } else { Ok(()) }
    }

    /// Waits until the job has nothing left to do at what the clock shows.
    pub(super) fn rest(&mut self, limit: Duration) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        running.wait_until_at_rest(limit)?;
        if running.is_ending() { self.end().map(drop) } else { Ok(()) }
    }

    /// Waits for the end of the job.
    pub(super) fn finish(&mut self, limit: Duration) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        running.wait_until_ended(limit)?;
        self.end().map(drop)
    }

    /// Stops the job after its running epoch and goes on from there; returns the rows of state that it went on with,
    /// or none if the job had ended.
    pub(super) fn restart(&mut self, planner: &Planner, settings: &Settings) -> Result<Option<u64>> {
        let Some(running) = &self.running else { return Ok(None) };
        running.stop();
        let (ending, later) = self.end()?;
        let (Ending::Stopped, Some(later)) = (ending, later) else { return Ok(None) };
        let snapshot = match self.snapshot.take() {
            Some(earlier) => earlier.follow(later),
            None => later,
        };
        let rows = snapshot.state_rows();
        self.snapshot = Some(snapshot);
        self.run(planner, settings)?;
        Ok(Some(rows))
    }

    fn end(&mut self) -> Result<(Ending, Option<Snapshot>)> {
        let Some(running) = self.running.take() else {
            return Err(Error::internal(format!("job `{}` has ended before", self.name())));
        };
        let Outcome { report, ending, snapshot } = running.wait();
        self.reports.push(report);
        Ok((ending?, snapshot))
    }
}
