//! The lines that show how far an application is while it runs.

use crate::job::{JobReport, LoadProgress, LoadState};

/// Returns the lines for the tables that are not ready, or not kept up to date any more, and for every job.
pub(super) fn progress_lines(jobs: &[JobReport], tables: &[LoadProgress]) -> Vec<String> {
    let shown = |load: &&LoadProgress| load.state != LoadState::Ready;
    let open = tables.iter().filter(|load| shown(load) && load.state != LoadState::Stale).count();
    let mut lines: Vec<String> = tables.iter().filter(shown).map(table_line).collect();
    if open > 1 {
        lines.push(table_line(&LoadProgress::total(tables)));
    }
    lines.extend(jobs.iter().map(job_line));
    lines
}

fn table_line(load: &LoadProgress) -> String {
    let rows = match load.state {
        LoadState::Loading => format!(", {} rows", load.rows),
        _ => String::new(),
    };
    format!("table {}: {}: {}{rows}", load.table, load.state, load.how_far())
}

fn job_line(report: &JobReport) -> String {
    if let Some(tables) = &report.waiting_for {
        return format!("{}: waiting for tables: {tables}", report.name);
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for a person"
    )]
    let rate = (report.rows_in as f64 / report.seconds.max(0.001)) as u64;
    let trouble = report.sources.iter().find_map(|source| source.health.as_ref()?.trouble.clone());
    format!(
        "{}: {} rows in ({rate}/s), {} late, {} rejected, watermark {}{}{}",
        report.name,
        report.rows_in,
        report.late,
        report.rejected,
        report.watermark,
        report.held_back_by.as_ref().map(|holder| format!(" held back by {holder}")).unwrap_or_default(),
        trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default()
    )
}
