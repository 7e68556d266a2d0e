//! [`explain`]: a planned job as text: stages, operators, state, watermark, emission, guarantee.

use std::fmt::Write as _;

use super::advice::advice;
use super::planning::{PlannedJob, Work};
use crate::aggregate::Showing;
use crate::error::Result;
use crate::job::JobReport;
use crate::over::OverSpec;
use crate::sql::functions::EpochClock;
use crate::sql::functions::{SessionProfile, session_state};
use crate::sql::plan::{Compiler, OperatorKind, ScanPlan, StreamPlan, Target};
use crate::sql::relation::SystemColumn;
use crate::sql::{WINDOW_END, WINDOW_START};
use crate::table::{Retention, Since, Table};

/// Returns what a job does, as text for a person.
pub fn explain(job: &PlannedJob) -> Result<String> {
    let mut text = format!("job {}\n", job.name);
    let mut line = |depth: usize, content: &str| {
        writeln!(text, "{}{content}", "  ".repeat(depth)).unwrap_or_default();
    };
    match &job.work {
        Work::Batch(plan) => {
            line(1, "mode: batch (runs once, nothing is late)");
            for row in plan.display_indent().to_string().lines() {
                line(2, row);
            }
        }
        Work::Stream(plan) => {
            line(1, "mode: stream");
            let state = session_state(SessionProfile::Stream, &EpochClock::default());
            let compiler = Compiler::new(&state);
            for (ordinal, scan) in plan.scans.iter().enumerate() {
                line(1, &format!("stage {} (workers)", ordinal + 1));
                for row in scan_lines(scan, plan, &compiler)? {
                    line(2, &row);
                }
            }
            for (ordinal, operator) in plan.operators.iter().enumerate() {
                line(1, &format!("stage {} (shards)", plan.scans.len() + ordinal + 1));
                line(2, &operator_line(&operator.kind));
                if operator.ports.iter().any(|port| port.exchange.is_none()) {
                    line(3, "on one shard");
                }
                for step in compiler.fragment(&operator.steps)?.describe() {
                    line(2, &step);
                }
                line(2, &target_line(operator.target, plan));
            }
        }
    }
    let mut text = readable(&text);
    let mut line = |depth: usize, content: &str| {
        writeln!(text, "{}{content}", "  ".repeat(depth)).unwrap_or_default();
    };
    let emission = if job.changelog { "changes (old rows are withdrawn)" } else { "rows (never withdrawn)" };
    line(1, &format!("emits: {emission}"));
    line(1, &format!("sink: {}, {}", job.sink.describe(), job.sink.guarantee()));
    for warning in advice(job)?.warnings {
        line(1, &format!("warning: {warning}"));
    }
    line(1, "options in force:");
    for (key, value, origin) in job.options.in_force() {
        line(2, &format!("{key} = {value} ({origin})"));
    }
    Ok(text.trim_end().to_owned())
}

/// Writes window bounds as the query calls them, not as the planner does.
fn readable(text: &str) -> String {
    let mut readable = text.to_owned();
    for (placeholder, name) in [(WINDOW_START, "window_start"), (WINDOW_END, "window_end")] {
        while let Some(start) = readable.find(&format!("{placeholder}(")) {
            let length = readable.get(start..).and_then(|rest| rest.find("\"))")).map(|at| at + 3);
            let Some(length) = length else { break };
            readable.replace_range(start..start + length, name);
        }
    }
    readable
}

fn scan_lines(scan: &ScanPlan, plan: &StreamPlan, compiler: &Compiler<'_>) -> Result<Vec<String>> {
    let relation = &scan.relation;
    let columns: Vec<&str> =
        scan.columns.iter().map(|&column| relation.schema.field(column).name().as_str()).collect();
    let columns = columns.join(", ");
    let mut lines = vec![if relation.of_table {
        format!("read the rows of table `{}`, then its changes: {columns}", relation.name)
    } else {
        format!("read `{}` from {}: {columns}", relation.name, relation.source.describe())
    }];
    let time = match &relation.event_time {
        Some(time) => {
            format!("event time `{}`, watermark {} ms behind it", time.column, relation.watermark.bound_ms)
        }
        None => format!(
            "event time: the record's own or its arrival, watermark {} ms behind it",
            relation.watermark.bound_ms
        ),
    };
    if relation.changelog {
        let timed = relation.carried.contains(&SystemColumn::Time);
        let time = if timed { "each row has its own event time" } else { "no event time" };
        lines.push(format!("changes: rows come and are withdrawn; {time}"));
    } else {
        lines.push(format!("{time}, idle after {} ms", relation.watermark.idle_timeout_ms));
    }
    if !relation.source.is_replayable() {
        lines.push("this source cannot be read again: a restart loses what was in flight".to_owned());
    }
    lines.extend(compiler.fragment(&scan.steps)?.describe());
    lines.push(target_line(scan.target, plan));
    Ok(lines)
}

fn operator_line(kind: &OperatorKind) -> String {
    let (spec, state) = match kind {
        OperatorKind::Aggregate { spec, showing } => {
            let state = match (&spec.window, showing) {
                (Some(key), _) => key.state(),
                (None, Showing::AtClose) => "one row for each key, until the input ends",
                (None, _) => "one row for each key, kept for ever",
            };
            (spec, state.to_owned())
        }
        OperatorKind::RetractingAggregate { spec, retraction, at_end } => {
            let until = if *at_end { ", until the input ends" } else { "" };
            (spec, format!("{}{until}", retraction.state()))
        }
        OperatorKind::Fold => {
            return "fold; state: the rows that are there, until the input ends".to_owned();
        }
        OperatorKind::Over(spec) => return over_line(spec),
        OperatorKind::BufferedOver(spec) => {
            let (count, what) = (spec.count, &spec.description);
            return format!("over {what}; state: the last {count} rows of each key");
        }
        OperatorKind::TopRows(spec) => {
            let (count, what) = (spec.count, &spec.description);
            let until = if spec.at_end { "until the input ends" } else { "kept for ever" };
            return format!("first {count} rows by {what}; state: these rows of each key, {until}");
        }
        OperatorKind::WindowedOver(spec) => {
            return format!("over {}; state: the rows of open windows", spec.description);
        }
        OperatorKind::SessionRows(spec) => {
            return format!("{}; state: the rows of open sessions", spec.description);
        }
        OperatorKind::Join(spec) => return spec.describe(),
        OperatorKind::AsOfJoin(spec) => return spec.describe(),
        OperatorKind::Sort { fetch, .. } => {
            let rows = fetch.map_or("all rows".to_owned(), |fetch| format!("the first {fetch} rows"));
            return format!("{}; state: {rows} until the input ends", kind.name());
        }
        OperatorKind::WaitingLookup { lookup, rule } => {
            return format!(
                "{}; a row that finds nothing waits, and is looked up again up to {} times, every {} ms; state: the rows that wait, at most {}",
                lookup.describe(),
                rule.most_tries,
                rule.delay_ms,
                rule.most_rows
            );
        }
        OperatorKind::KeyedTable { table, retention, .. } => {
            let until = stay_text(table, *retention);
            let key = table.key().iter().map(|&column| table.schema().field(column).name().as_str());
            let key: Vec<&str> = key.collect();
            return match key.as_slice() {
                [] => format!("table `{}`; state: all rows{until}", table.name()),
                key => {
                    format!("table `{}`; state: the last row of each {}{until}", table.name(), key.join(", "))
                }
            };
        }
        OperatorKind::Limit { skip, fetch } => {
            return format!("{}; skip {skip}, fetch {fetch:?}; state: a count", kind.name());
        }
    };
    let keys: Vec<String> = spec.keys.iter().map(|(key, _)| key.to_string()).collect();
    let functions: Vec<&str> = spec.functions.iter().map(|function| function.name()).collect();
    let window = spec.window.as_ref().map_or(String::new(), |key| format!(" in {}", key.describe()));
    format!("{} of {} by {}{window}; state: {state}", kind.name(), functions.join(", "), keys.join(", "))
}

/// Says for how long the rows of a table stay, if not until they are deleted.
fn stay_text(table: &Table, retention: Option<Retention>) -> String {
    let Some(Retention { since, retention_ms, .. }) = retention else { return String::new() };
    match since {
        Since::EventTime(column) => {
            let column = table.schema().field(column).name();
            format!(", for {retention_ms} ms of event time after `{column}`")
        }
        Since::Arrival => format!(", for {retention_ms} ms after they came"),
    }
}

fn over_line(spec: &OverSpec) -> String {
    let waits = match (spec.ahead.rows, spec.ahead.millis) {
        (0, 0) => String::new(),
        (rows, 0) => format!(" and {rows} more of its key are there"),
        (0, millis) => format!(" by {millis} ms"),
        (rows, millis) => format!(" by {millis} ms and {rows} more of its key are there"),
    };
    format!(
        "over {}; state: for each key {}; a row comes out when the watermark is past it{waits}",
        spec.description,
        spec.kept()
    )
}

fn target_line(target: Target, plan: &StreamPlan) -> String {
    match target {
        Target::Sink => "→ sink".to_owned(),
        Target::Operator { operator, .. } => format!("→ stage {}", plan.scans.len() + operator + 1),
    }
}

/// Returns what a job did, for `EXPLAIN ANALYZE`.
pub fn ran(report: &JobReport) -> String {
    let mut lines = vec![format!(
        "  ran: {} after {:.3} s, {} epochs, {} rows in, {} rows out",
        report.state, report.seconds, report.epochs, report.rows_in, report.rows_out
    )];
    for source in &report.sources {
        lines.push(format!(
            "  source `{}`: {} records, {} bytes, {} partitions; {} rejected, {} late, {} filtered",
            source.name,
            source.records,
            source.bytes,
            source.partitions,
            source.rejected,
            source.late,
            source.filtered
        ));
    }
    for missing in &report.missing {
        let given_up = match missing.given_up {
            0 => String::new(),
            given_up => format!(", {given_up} of them after waiting"),
        };
        lines.push(format!("  table `{}`: {} rows found nothing{given_up}", missing.table, missing.rows));
    }
    for (ordinal, operator) in report.operators.iter().enumerate() {
        let expired = match operator.expired {
            0 => String::new(),
            expired => format!(", {expired} expired"),
        };
        lines.push(format!(
            "  stage {}, {}: {} rows in, {} rows out, {} filtered{expired}; {} bytes of state",
            report.sources.len() + ordinal + 1,
            operator.name,
            operator.rows_in,
            operator.rows_out,
            operator.filtered,
            operator.state_bytes
        ));
    }
    lines.push(match &report.held_back_by {
        Some(holder) => format!("  watermark: {}, held back by {holder}", report.watermark),
        None => format!("  watermark: {}", report.watermark),
    });
    lines.join("\n")
}
