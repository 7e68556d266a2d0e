//! The report of a measured query as text.

use super::check::Checked;
use super::measure::{Round, Rounds, median};
use super::queries::BenchQuery;

/// What the seconds of the table are.
pub(super) const EXPLANATION: &str = "\
seconds: velostream from the start of its jobs to the last row, tables loaded, without planning; datafusion planning \
and execution. Events: the rows of all inputs of the query.
Medians of rounds in turn, after one of each that is not counted. Peak memory is of the whole process, with what \
earlier rounds and the input in memory hold.";

/// Returns the table of one query, its ratio and its check.
pub(super) fn table(query: &BenchQuery, checked: Checked, rounds: &Rounds) -> String {
    let header = ["engine", "median s", "min s", "max s", "M events/s", "CPU s", "peak MB"];
    let mut lines = vec![format!("{}: {}", query.name, query.asks), row(&header.map(str::to_owned))];
    lines.push(row(&engine("velostream", checked, &rounds.velostream)));
    lines.push(row(&engine("datafusion", checked, &rounds.datafusion)));
    let seconds = |rounds: &[Round]| median(rounds.iter().map(|round| round.seconds));
    if let (Some(velostream), Some(datafusion)) = (seconds(&rounds.velostream), seconds(&rounds.datafusion)) {
        let ratio = datafusion / velostream.max(f64::MIN_POSITIVE);
        lines.push(format!("  velostream / datafusion = {ratio:.2} × (speed)"));
    }
    let changes = match i64::try_from(checked.changes) {
        Ok(changes) if changes == checked.rows => String::new(),
        _ => format!(", velostream wrote {} changes", checked.changes),
    };
    lines.push(format!("  results equal ({} rows of {} read{changes})", checked.rows, checked.read));
    lines.join("\n")
}

fn row(cells: &[String; 7]) -> String {
    let [engine, rest @ ..] = cells;
    rest.iter().fold(format!("  {engine:<12}"), |line, cell| format!("{line}{cell:>12}"))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn engine(name: &str, checked: Checked, rounds: &[Round]) -> [String; 7] {
    let seconds = || rounds.iter().map(|round| round.seconds);
    let shown = |value: Option<f64>| value.map_or("not available".to_owned(), |value| format!("{value:.3}"));
    let middle = median(seconds());
    [
        name.to_owned(),
        shown(middle),
        shown(seconds().reduce(f64::min)),
        shown(seconds().reduce(f64::max)),
        shown(middle.map(|seconds| checked.read as f64 / 1e6 / seconds.max(f64::MIN_POSITIVE))),
        shown(median(rounds.iter().filter_map(|round| round.cpu_seconds))),
        shown(median(rounds.iter().filter_map(|round| round.peak_bytes.map(|bytes| bytes as f64 / 1e6)))),
    ]
}
