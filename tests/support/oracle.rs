//! What the oracle compares: rows, files of them, queries, and the engines that answer.

#[path = "joined.rs"]
pub(super) mod joined;
#[path = "timeline.rs"]
pub(super) mod timeline;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tempfile::TempDir;
use velostream::config::{Entry, Environment, Origin};
use velostream::connect::console::OutputForm;
use velostream::job::Mode;
use velostream::job::application::Settings;
use velostream::session::{Answer, Session};
use velostream::time::ManualClock;

pub(super) const LIMIT: Duration = Duration::from_secs(60);
const NAMES: [&str; 5] = ["x", "y", "comma, and \"quote\"", "ü 漢", " blank "];

/// A generated row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    k: Option<&'static str>,
    g: i64,
    v: Option<i64>,
    /// In hundredths.
    d: Option<i64>,
    name: Option<&'static str>,
    /// Milliseconds.
    ts: i64,
}

/// Returns rows; their time is the second within a stretch of time, whose ordinal is the last of the three numbers.
fn rows(most: usize) -> impl Strategy<Value = Vec<(Row, i64, i64, usize)>> {
    let row = (
        option::weighted(0.9, select(vec!["a", "b", "c"])),
        -2_i64..3,
        option::weighted(0.85, prop_oneof![-5_i64..10, Just(1_i64 << 40), Just(-7_i64)]),
        option::weighted(0.85, -100_000_i64..100_000),
        option::weighted(0.85, select(NAMES.to_vec())),
        (0_i64..180, select(vec![0_i64, 0, 1, 500]), 0_usize..6),
    );
    let row = row.prop_map(|(k, g, v, d, name, (second, milli, stretch))| {
        (Row { k, g, v, d, name, ts: 0 }, second, milli, stretch)
    });
    vec(row, 1..most)
}

/// When stretches of time begin, in seconds: with gaps of a window or two, of minutes, and of an hour.
const STRETCHES: [i64; 6] = [-60, 0, 30, 200, 600, 4_000];

/// Returns one to three files of rows out of order.
///
/// Each file has its own stretches of time, so one stops long before another, begins after it, or is silent for a long
/// time and comes back. Either all rows have times of their own, or instants come again and again, in a file and in
/// several, and so do whole rows.
pub(super) fn files(most: usize) -> impl Strategy<Value = Vec<Vec<Row>>> {
    let file = (subsequence(STRETCHES.to_vec(), 1..=4), rows(most));
    let wide = select(vec![1_i64, 4, 20, 180]);
    (vec(file, 1..4), wide, any::<bool>(), vec((0_usize..1_000, 0_usize..1_000), 0..6)).prop_map(
        |(files, wide, repeated, copies)| {
            let mut ordinal = 0;
            let files = files.into_iter().map(|(stretches, rows)| {
                let rows = rows.into_iter().map(|(row, second, milli, stretch)| {
                    ordinal += 1;
                    let second = stretches[stretch % stretches.len()] + second % wide;
                    Row { ts: second * 1_000 + if repeated { milli } else { ordinal }, ..row }
                });
                rows.collect()
            });
            let mut files: Vec<Vec<Row>> = files.collect();
            for (from, to) in copies.into_iter().filter(|_| repeated) {
                let source = &files[from % files.len()];
                let copied = source[from / 3 % source.len()].clone();
                let to_file = to % files.len();
                let place = to / 3 % files[to_file].len();
                files[to_file].insert(place, copied);
            }
            files
        },
    )
}

/// Returns whether no two rows are of one instant, so that nothing depends on the order in which rows came.
pub(super) fn have_own_instants(files: &[Vec<Row>]) -> bool {
    let mut times: Vec<i64> = files.iter().flatten().map(|row| row.ts).collect();
    times.sort_unstable();
    times.windows(2).all(|pair| pair[0] < pair[1])
}

/// How rows are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    Json,
    Csv,
}

impl Format {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        select(vec![Self::Json, Self::Csv])
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// Files on disk, one partition each.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) folder: TempDir,
    pub(super) format: Format,
}

impl Files {
    pub(super) fn write(files: &[Vec<Row>], format: Format) -> Self {
        let folder = TempDir::new().unwrap();
        for (ordinal, rows) in files.iter().enumerate() {
            let text = match format {
                Format::Json => json(rows),
                Format::Csv => csv(rows),
            };
            std::fs::write(folder.path().join(format!("{ordinal}.{}", format.name())), text).unwrap();
        }
        Self { folder, format }
    }
}

fn iso(ts: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(ts).unwrap();
    at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

fn decimal(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let digits = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}", digits / 100, digits % 100)
}

fn json(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut fields = vec![format!("\"g\": {}", row.g), format!("\"ts\": \"{}\"", iso(row.ts))];
        fields.extend(row.k.map(|k| format!("\"k\": \"{k}\"")));
        fields.extend(row.v.map(|v| format!("\"v\": {v}")));
        fields.extend(row.d.map(|d| format!("\"d\": {}", decimal(d))));
        // A null is written where the others leave the field out.
        fields.push(format!("\"name\": {}", serde_json::to_string(&row.name).unwrap()));
        writeln!(text, "{{{}}}", fields.join(", ")).unwrap();
    }
    text
}

fn csv(rows: &[Row]) -> String {
    let mut text = "k,g,v,d,name,ts\n".to_owned();
    for row in rows {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let fields = [
            row.k.map(str::to_owned).unwrap_or_default(),
            row.g.to_string(),
            row.v.map(|v| v.to_string()).unwrap_or_default(),
            row.d.map(decimal).unwrap_or_default(),
            row.name.map(quoted).unwrap_or_default(),
            iso(row.ts),
        ];
        writeln!(text, "{}", fields.join(",")).unwrap();
    }
    text
}

/// A window; lengths in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    Tumbling { size: i64, offset: i64 },
    Hopping { size: i64, slide: i64, offset: i64 },
    Cumulate { step: i64, steps: i64, offset: i64 },
    Session { gap: i64, longest: Option<i64> },
}

impl Window {
    fn any() -> impl Strategy<Value = Self> {
        let tumbling =
            (1_i64..50, 0_i64..50).prop_map(|(size, offset)| Self::Tumbling { size, offset: offset % size });
        let hopping = (1_i64..50, 1_i64..50, 0_i64..20).prop_map(|(a, b, offset)| {
            let (size, slide) = (a.max(b), a.min(b));
            Self::Hopping { size, slide, offset: offset % slide }
        });
        let cumulate = (1_i64..10, 1_i64..8, 0_i64..10).prop_map(|(step, steps, offset)| Self::Cumulate {
            step,
            steps,
            offset,
        });
        let session = (1_i64..15, option::weighted(0.4, 5_i64..40))
            .prop_map(|(gap, longest)| Self::Session { gap, longest });
        prop_oneof![2 => tumbling, 3 => hopping, 1 => cumulate, 3 => session]
    }

    /// Windows of which rows can be late.
    pub(super) fn of_late_rows() -> impl Strategy<Value = Self> {
        let tumbling = (1_i64..40).prop_map(|size| Self::Tumbling { size, offset: 0 });
        let hopping = (1_i64..40, 1_i64..40).prop_map(|(a, b)| Self::Hopping {
            size: a.max(b),
            slide: a.min(b),
            offset: 0,
        });
        let session = (1_i64..15).prop_map(|gap| Self::Session { gap, longest: None });
        prop_oneof![tumbling, hopping, session]
    }

    fn clause(self) -> String {
        match self {
            Self::Tumbling { size, offset } => format!("TUMBLING({size}s, OFFSET {offset}s)"),
            Self::Hopping { size, slide, offset } => format!("SLIDING({size}s, {slide}s, OFFSET {offset}s)"),
            Self::Cumulate { step, steps, offset } => {
                format!("CUMULATE({step}s, {}s, OFFSET {offset}s)", step * steps)
            }
            Self::Session { gap, longest: None } => format!("SESSION({gap}s)"),
            Self::Session { gap, longest: Some(longest) } => {
                format!("SESSION(TIMEOUT {gap} SECONDS, MAX_DURATION {longest} SECONDS)")
            }
        }
    }

    /// The clause where sessions are those of a column.
    fn clause_of(self, key: Option<&str>) -> String {
        match (self, key) {
            (Self::Session { .. }, Some(key)) => {
                self.clause().replacen('(', "(ts, ", 1).trim_end_matches(')').to_owned()
                    + &format!(", {key})")
            }
            _ => self.clause(),
        }
    }

    /// The windows of a row at `ts` by their definition, in milliseconds; those of a session depend on other rows.
    fn of_row(self, ts: i64) -> Vec<(i64, i64)> {
        let (size, slide, offset) = match self {
            Self::Tumbling { size, offset } => (size, size, offset),
            Self::Hopping { size, slide, offset } => (size, slide, offset),
            Self::Cumulate { step, steps, offset } => (step * steps, step * steps, offset),
            Self::Session { .. } => return vec![],
        };
        let (size, slide, offset) = (size * 1_000, slide * 1_000, offset * 1_000);
        let last = (ts - offset).div_euclid(slide);
        let starts = (last - size / slide - 1..=last).map(|ordinal| ordinal * slide + offset);
        let ends = |start: i64| match self {
            Self::Cumulate { step, steps, .. } => (1..=steps).map(|n| start + n * step * 1_000).collect(),
            _ => vec![start + size],
        };
        starts
            .flat_map(|start| ends(start).into_iter().map(move |end| (start, end)))
            .filter(|(start, end)| (*start..*end).contains(&ts))
            .collect()
    }

    /// `FROM` for DataFusion alone: the rows that `condition` keeps with their sessions, of each `key`; none where a longest
    /// duration cuts them.
    fn plain_sessions(self, key: Option<&str>, condition: &str) -> Option<String> {
        let Self::Session { gap, longest: None } = self else { return None };
        let by = key.map(|key| format!("PARTITION BY {key}")).unwrap_or_default();
        let within = if by.is_empty() { "PARTITION BY".to_owned() } else { format!("{by},") };
        Some(format!(
            "(SELECT *, min(ts) OVER ({within} island) AS window_start, \
             max(ts) OVER ({within} island) + INTERVAL '{gap} seconds' AS window_end \
             FROM (SELECT *, sum(begins) OVER ({by} ORDER BY ts, p, o ROWS UNBOUNDED PRECEDING) AS island \
             FROM (SELECT *, CASE WHEN ts < lag(ts) OVER ({by} ORDER BY ts, p, o) + INTERVAL '{gap} seconds' \
             THEN 0 ELSE 1 END AS begins FROM s{condition}))) AS w"
        ))
    }

    /// `FROM` for DataFusion alone: the rows with the bounds of their windows; none for sessions, which it has not.
    fn plain_from(self) -> Option<String> {
        let (size, slide, offset) = match self {
            Self::Tumbling { size, offset } => (size, size, offset),
            Self::Hopping { size, slide, offset } => (size, slide, offset),
            _ => return None,
        };
        let origin = iso(offset * 1_000);
        let bin = format!("date_bin(INTERVAL '{slide} seconds', ts, TIMESTAMP '{origin}')");
        let back = (0..=size / slide)
            .map(|n| format!("INTERVAL '{} seconds'", n * slide))
            .collect::<Vec<_>>()
            .join("), (");
        Some(format!(
            "(SELECT s.*, {bin} - back AS window_start, \
             {bin} - back + INTERVAL '{size} seconds' AS window_end \
             FROM s CROSS JOIN (VALUES ({back})) AS b(back)) AS w"
        ))
    }
}

/// Whether a query says which of two rows of one instant comes first.
///
/// Ours need not: partition and place decide. DataFusion takes rows that an order leaves equal in any order, so for it
/// they are keys of the order, `p` and `o`. Peers are still those of the query's own order: ranks and frames of `RANGE`
/// keep it, and a function over such a frame whose answer depends on the order is taken from the last of the row's
/// peers, where a frame of rows ends as that of `RANGE` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ties {
    Ours,
    Written,
}

/// What functions over all rows before come to at each row; [`PLAINLY`] reads it.
const AT_EACH_ROW: &str = "SELECT *, \
    nth_value(v, 2) OVER (PARTITION BY k ORDER BY ts, p, o ROWS UNBOUNDED PRECEDING) AS second_v, \
    first_value(v) IGNORE NULLS OVER (PARTITION BY g ORDER BY ts, p, o ROWS UNBOUNDED PRECEDING) AS some_v";
const PLAINLY: [(&str, &str); 8] = [
    (
        "max(v) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY k)",
        "max(v) OVER (PARTITION BY k ORDER BY ts, p, o ROWS 2 PRECEDING)",
    ),
    (
        "count(*) FILTER (WHERE g > 0) OVER (ROWS WINDOW BUFFER 2 ROWS PARTITION BY g)",
        "count(*) FILTER (WHERE g > 0) OVER (PARTITION BY g ORDER BY ts, p, o ROWS 1 PRECEDING)",
    ),
    ("lag(v) OVER (ROWS WINDOW BUFFER 1 ROWS PARTITION BY k ORDER BY ts)", "CAST(NULL AS BIGINT)"),
    (
        "rank() OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY k ORDER BY v DESC)",
        "1 + CASE WHEN row_number() OVER (PARTITION BY k ORDER BY ts, p, o) > 1 \
         AND coalesce(lag(v) OVER (PARTITION BY k ORDER BY ts, p, o) > v, v IS NOT NULL) THEN 1 ELSE 0 END \
         + CASE WHEN row_number() OVER (PARTITION BY k ORDER BY ts, p, o) > 2 \
         AND coalesce(lag(v, 2) OVER (PARTITION BY k ORDER BY ts, p, o) > v, v IS NOT NULL) THEN 1 ELSE 0 END",
    ),
    (
        "nth_value(v, 2) OVER (PARTITION BY k ORDER BY ts)",
        "last_value(second_v) OVER (PARTITION BY k, ts ORDER BY p, o ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
    ),
    (
        "first_value(v) IGNORE NULLS OVER (PARTITION BY g ORDER BY ts)",
        "last_value(some_v) OVER (PARTITION BY g, ts ORDER BY p, o ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
    ),
    // DataFusion's own `lead` loses count of the values that are not null.
    (
        "lead(v) IGNORE NULLS OVER (PARTITION BY k ORDER BY ts)",
        "nth_value(v, 1) IGNORE NULLS OVER (PARTITION BY k ORDER BY ts, p, o ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)",
    ),
    (
        "lead(v, 2, -1) IGNORE NULLS OVER (PARTITION BY g ORDER BY ts)",
        "coalesce(nth_value(v, 2) IGNORE NULLS OVER (PARTITION BY g ORDER BY ts, p, o ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), -1)",
    ),
];

/// Writes partition and place as last keys of the order of a function, where its answer depends on them.
fn with_ties(item: &str) -> String {
    if let Some((_, plain)) = PLAINLY.iter().find(|(ours, _)| *ours == item) {
        return (*plain).to_owned();
    }
    let by_place =
        ["row_number", "lag", "lead", "first_value", "ntile"].iter().any(|name| item.starts_with(name));
    match item.rsplit_once(" ROWS ") {
        Some((before, frame)) => format!("{before}, p, o ROWS {frame}"),
        None if !by_place => item.to_owned(),
        None => {
            item.rsplit_once(')').map_or(item.to_owned(), |(before, after)| format!("{before}, p, o){after}"))
        }
    }
}

/// A generated query.
#[derive(Debug, Clone)]
pub(super) struct Query {
    select: Vec<String>,
    condition: Option<String>,
    keys: Vec<String>,
    having: Option<String>,
    /// What gives rows that come and go.
    from: &'static str,
    window: Option<Window>,
    /// Whose the sessions are, where the window says it.
    session_key: Option<&'static str>,
    kind: Kind,
    emit: &'static str,
    grace_s: i64,
    bound_s: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rows,
    Distinct,
    Union,
    Aggregate,
    /// `OVER` in the order of event time.
    Over,
    /// The first rows of each key in another order.
    Top,
    /// `OVER` in any order over the rows of a window.
    OverWindow,
    /// Aggregates or `DISTINCT` over rows that come and go.
    OverChanges,
}

const EXPRESSIONS: [&str; 9] = [
    "k",
    "g",
    "v",
    "d",
    "name",
    "ts",
    "coalesce(v, 0) + g",
    "CASE WHEN v > 3 THEN 'large' WHEN v IS NULL THEN 'none' ELSE name END",
    "d * 2 - g",
];
const CONDITIONS: [&str; 7] = [
    "v > 2",
    "k = 'a' OR g < 0",
    "name IS NOT NULL AND d BETWEEN -500 AND 500",
    "k IN ('a', 'b')",
    "upper(name) LIKE 'X%'",
    "v IS DISTINCT FROM 3",
    "CASE WHEN g = 1 THEN v > 0 ELSE true END",
];
const KEYS: [&str; 5] = ["k", "g", "name", "upper(k)", "g % 2"];
const AGGREGATES: [&str; 17] = [
    "count(*)",
    "count(v)",
    "sum(v)",
    "min(v)",
    "max(v)",
    "avg(v)",
    "sum(d)",
    "avg(d)",
    "min(name)",
    "max(d)",
    "count(DISTINCT v)",
    "count(DISTINCT name)",
    "first_value(g)",
    "last_value(name)",
    "round(stddev(v % 1000), 2)",
    "sum(v) FILTER (WHERE g > 0)",
    "max(ts)",
];
const OVERS: [&str; 26] = [
    "row_number() OVER (PARTITION BY k ORDER BY ts)",
    "rank() OVER (ORDER BY ts)",
    "dense_rank() OVER (PARTITION BY k, g ORDER BY ts)",
    "lag(v) OVER (PARTITION BY k ORDER BY ts)",
    "lag(v, 2, 7) OVER (PARTITION BY k ORDER BY ts)",
    "lag(v) IGNORE NULLS OVER (PARTITION BY k ORDER BY ts)",
    "lead(v) OVER (PARTITION BY g ORDER BY ts)",
    "lead(name, 2) OVER (PARTITION BY k ORDER BY ts)",
    "first_value(v) OVER (PARTITION BY k ORDER BY ts)",
    "first_value(v) IGNORE NULLS OVER (PARTITION BY g ORDER BY ts)",
    "last_value(name) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)",
    "last_value(v) IGNORE NULLS OVER (PARTITION BY k ORDER BY ts ROWS UNBOUNDED PRECEDING)",
    "nth_value(v, 2) IGNORE NULLS OVER (PARTITION BY g ORDER BY ts ROWS UNBOUNDED PRECEDING)",
    "lead(v) IGNORE NULLS OVER (PARTITION BY k ORDER BY ts)",
    "lead(v, 2, -1) IGNORE NULLS OVER (PARTITION BY g ORDER BY ts)",
    "nth_value(v, 2) OVER (PARTITION BY k ORDER BY ts)",
    "nth_value(g, 3) OVER (ORDER BY ts ROWS 4 PRECEDING)",
    "sum(v) OVER (PARTITION BY k ORDER BY ts)",
    "sum(d) OVER (PARTITION BY g ORDER BY ts ROWS 2 PRECEDING)",
    "avg(d) OVER (PARTITION BY upper(k) ORDER BY ts)",
    "count(*) OVER (PARTITION BY k ORDER BY ts RANGE INTERVAL '20' SECOND PRECEDING)",
    "count(DISTINCT v) OVER (PARTITION BY k ORDER BY ts)",
    "max(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING)",
    "count(v) OVER (PARTITION BY g ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND INTERVAL '15' SECOND FOLLOWING)",
    "min(name) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING)",
    "sum(v) FILTER (WHERE g > 0) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 5 PRECEDING AND 1 PRECEDING)",
];
const BUFFERS: [&str; 9] = [
    "lag(v) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY k ORDER BY v)",
    "lead(name, 2) OVER (ROWS WINDOW BUFFER 5 ROWS PARTITION BY g ORDER BY d DESC NULLS LAST)",
    "rank() OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY k ORDER BY v DESC)",
    "sum(d) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY upper(k) ORDER BY g ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
    "first_value(v) IGNORE NULLS OVER (ROWS WINDOW BUFFER 6 ROWS ORDER BY name)",
    "count(*) FILTER (WHERE g > 0) OVER (ROWS WINDOW BUFFER 2 ROWS PARTITION BY g)",
    "max(v) OVER (ROWS WINDOW BUFFER 3 ROWS PARTITION BY k)",
    "avg(d) OVER (ROWS WINDOW BUFFER 4 ROWS PARTITION BY k, g ORDER BY ts)",
    "lag(v) OVER (ROWS WINDOW BUFFER 1 ROWS PARTITION BY k ORDER BY ts)",
];
const QUALIFIED: [&str; 2] = [
    "row_number() OVER (PARTITION BY k ORDER BY ts) <= 2",
    "lag(g) OVER (PARTITION BY k ORDER BY ts) IS DISTINCT FROM g",
];
const TOPS: [&str; 6] = [
    "row_number() OVER (PARTITION BY k ORDER BY v DESC, ts) <= 2",
    "row_number() OVER (PARTITION BY k, g ORDER BY ts DESC) = 1",
    "row_number() OVER (ORDER BY d, ts DESC) < 4",
    "rank() OVER (PARTITION BY k ORDER BY v DESC) <= 3",
    "dense_rank() OVER (PARTITION BY g ORDER BY name NULLS LAST) < 3",
    "row_number() OVER (PARTITION BY upper(k) ORDER BY name NULLS FIRST, ts) = 2",
];
const WITHIN_WINDOWS: [&str; 9] = [
    "row_number() OVER (PARTITION BY k ORDER BY d DESC, ts)",
    "rank() OVER (PARTITION BY g ORDER BY v)",
    "dense_rank() OVER (PARTITION BY k ORDER BY name DESC)",
    "ntile(3) OVER (PARTITION BY k ORDER BY ts DESC)",
    "percent_rank() OVER (PARTITION BY k ORDER BY g)",
    "sum(v) OVER (PARTITION BY g)",
    "lead(v) OVER (PARTITION BY k ORDER BY v DESC, ts)",
    "first_value(name) OVER (PARTITION BY k ORDER BY ts DESC)",
    "count(v) OVER (PARTITION BY k ORDER BY g, ts ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
];
/// What gives rows that come and go, with the columns `k`, `g`, `n`, `s`, `m` and `lo`.
const CHANGES: [&str; 4] = [
    "SELECT k, g, count(*) AS n, sum(v) AS s, max(name) AS m, min(d) AS lo FROM s{} GROUP BY k, g",
    "SELECT k, g, g AS n, v AS s, name AS m, d AS lo FROM s{} QUALIFY row_number() OVER (PARTITION BY k, g ORDER BY ts DESC) <= 2",
    "SELECT upper(k) AS k, n AS g, count(DISTINCT s) AS n, sum(s) AS s, min(m) AS m, max(lo) AS lo \
     FROM (SELECT k, g, count(*) AS n, sum(v) AS s, max(name) AS m, sum(d) AS lo FROM s{} GROUP BY k, g) \
     WHERE n > 1 OR s > 0 GROUP BY upper(k), n HAVING count(*) < 3",
    "SELECT k, g, 1 AS n, v AS s, name AS m, d AS lo FROM s WHERE g > 0 \
     UNION ALL SELECT k, 0 AS g, count(v) AS n, max(v) AS s, min(name) AS m, min(d) AS lo FROM s{} GROUP BY k",
];
/// The same with the time of a row as `seen`, for windows.
const TIMED_CHANGES: [&str; 3] = [
    "SELECT k, g, count(*) AS n, sum(v) AS s, max(name) AS m, min(d) AS lo, max(ts) AS seen FROM s{} GROUP BY k, g",
    "SELECT k, g, g AS n, v AS s, name AS m, d AS lo, ts AS seen FROM s{} QUALIFY row_number() OVER (PARTITION BY k, g ORDER BY ts DESC) <= 2",
    "SELECT DISTINCT k, g, g AS n, v AS s, name AS m, d AS lo, date_trunc('second', ts) AS seen FROM s{}",
];
const OVER_CHANGES: [&str; 19] = [
    "count(*)",
    "count(s)",
    "sum(n)",
    "sum(s)",
    "avg(s)",
    "avg(lo)",
    "sum(lo)",
    "min(s)",
    "max(m)",
    "max(n) FILTER (WHERE g > 0)",
    "count(DISTINCT n)",
    "count(DISTINCT m)",
    "sum(DISTINCT s)",
    "median(n)",
    "round(stddev(n), 2)",
    "string_agg(m, '; ' ORDER BY m)",
    "array_agg(DISTINCT n ORDER BY n)",
    "first_value(k ORDER BY s DESC, lo, k, m, n, g)",
    "bool_or(s > 3)",
];
const CHANGES_KEYS: [&str; 4] = ["n", "k", "s % 3", "m"];
const HAVINGS_OVER_CHANGES: [&str; 2] = ["count(*) > 1", "max(s) > 5 OR min(m) IS NULL"];
const HAVINGS: [&str; 3] = ["count(*) > 1", "sum(v) * 2 > 10", "min(g) < 0 OR max(k) IS NULL"];

fn some_of(
    choices: &'static [&'static str],
    least: usize,
    most: usize,
) -> impl Strategy<Value = Vec<String>> {
    subsequence(choices.to_vec(), least..=most)
        .prop_shuffle()
        .prop_map(|chosen| chosen.into_iter().map(str::to_owned).collect())
}

fn one_of(choices: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    option::of(select(choices.to_vec()).prop_map(str::to_owned))
}

/// Returns queries over rows that come and go.
fn over_changes() -> impl Strategy<Value = Query> {
    (
        some_of(&OVER_CHANGES, 0, 6),
        one_of(&CONDITIONS),
        some_of(&CHANGES_KEYS, 0, 2),
        one_of(&HAVINGS_OVER_CHANGES),
        select(CHANGES.to_vec()),
        option::weighted(0.4, (select(TIMED_CHANGES.to_vec()), Window::any())),
    )
        .prop_map(|(mut select, condition, keys, having, from, timed)| {
            if timed.is_some() && select.is_empty() {
                select.push("count(*)".to_owned());
            }
            let (from, window) = timed.map_or((from, None), |(from, window)| match window {
                Window::Session { gap, .. } => (from, Some(Window::Tumbling { size: gap, offset: 0 })),
                other => (from, Some(other)),
            });
            let kind = Kind::OverChanges;
            Query { select, condition, keys, having, from, window, kind, ..Query::nothing() }
        })
}

/// Returns queries with `OVER`, in the order of time or another.
fn with_over() -> impl Strategy<Value = Query> {
    let overs = (some_of(&OVERS, 1, 5), some_of(&EXPRESSIONS, 1, 2), one_of(&CONDITIONS), one_of(&QUALIFIED));
    let overs = overs.prop_map(|(mut select, columns, condition, having)| {
        select.extend(columns);
        Query { select, condition, having, kind: Kind::Over, ..Query::nothing() }
    });
    let tops = (some_of(&EXPRESSIONS, 1, 4), one_of(&CONDITIONS), select(TOPS.to_vec()), any::<bool>());
    let tops = tops.prop_map(|(mut select, condition, top, numbered)| {
        if numbered && let Some((number, _)) = top.rsplit_once([')']) {
            select.push(format!("{number})"));
        }
        Query { select, condition, having: Some(top.to_owned()), kind: Kind::Top, ..Query::nothing() }
    });
    let within =
        (some_of(&WITHIN_WINDOWS, 1, 4), some_of(&EXPRESSIONS, 1, 2), one_of(&CONDITIONS), Window::any());
    let within =
        (within, select(vec!["k", "g"])).prop_map(|((mut select, columns, condition, window), key)| {
            select.extend(columns);
            let session_key = Some(key);
            let window = Some(window);
            Query { select, condition, window, session_key, kind: Kind::OverWindow, ..Query::nothing() }
        });
    let buffers = (some_of(&BUFFERS, 1, 4), some_of(&EXPRESSIONS, 1, 2), one_of(&CONDITIONS));
    let buffers = buffers.prop_map(|(mut select, columns, condition)| {
        select.extend(columns);
        Query { select, condition, kind: Kind::Over, ..Query::nothing() }
    });
    prop_oneof![3 => within, 1 => buffers, 4 => overs, 2 => tops]
}

/// Returns queries of all kinds.
pub(super) fn queries() -> impl Strategy<Value = Query> {
    let rows = (
        some_of(&EXPRESSIONS, 1, 4),
        one_of(&CONDITIONS),
        select(vec![Kind::Rows, Kind::Distinct, Kind::Union]),
    )
        .prop_map(|(select, condition, kind)| Query { select, condition, kind, ..Query::nothing() });
    let windows = (
        some_of(&AGGREGATES, 1, 5),
        one_of(&CONDITIONS),
        some_of(&KEYS, 0, 2),
        one_of(&HAVINGS),
        Window::any(),
        select(vec!["", "EMIT FINAL", "EMIT CHANGES"]),
    );
    let windows = (windows, option::weighted(0.3, select(vec!["k", "g"])));
    let windows = windows.prop_map(|((select, condition, keys, having, window, emit), session_key)| Query {
        select,
        condition,
        keys,
        having,
        window: Some(window),
        session_key,
        kind: Kind::Aggregate,
        emit,
        ..Query::nothing()
    });
    let groups = (
        some_of(&AGGREGATES, 1, 5),
        one_of(&CONDITIONS),
        some_of(&KEYS, 1, 2),
        one_of(&HAVINGS),
        select(vec!["", "EMIT FINAL", "EMIT CHANGES"]),
    );
    let groups = groups.prop_map(|(select, condition, keys, having, emit)| Query {
        select,
        condition,
        keys,
        having,
        kind: Kind::Aggregate,
        emit,
        ..Query::nothing()
    });
    let totals = (some_of(&AGGREGATES, 1, 5), one_of(&CONDITIONS)).prop_map(|(select, condition)| Query {
        select,
        condition,
        kind: Kind::Aggregate,
        emit: "EMIT FINAL",
        ..Query::nothing()
    });
    prop_oneof![2 => rows, 4 => windows, 3 => groups, 1 => totals, 10 => with_over(), 4 => over_changes()]
}

impl Query {
    fn nothing() -> Self {
        Self {
            select: vec![],
            condition: None,
            keys: vec![],
            having: None,
            from: "",
            window: None,
            session_key: None,
            kind: Kind::Rows,
            emit: "",
            grace_s: 0,
            bound_s: 10_000,
        }
    }

    /// The query whose late rows are counted.
    pub(super) fn late(window: Window, grace_s: i64, bound_s: i64) -> Self {
        Self {
            select: vec!["count(*)".to_owned(), "sum(v)".to_owned()],
            window: Some(window),
            kind: Kind::Aggregate,
            grace_s,
            bound_s,
            ..Self::nothing()
        }
    }

    fn condition(&self) -> String {
        self.condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default()
    }

    fn items(&self, first: &[String]) -> String {
        let items = first.iter().chain(&self.select).enumerate();
        items.map(|(ordinal, item)| format!("{item} AS c{ordinal}")).collect::<Vec<_>>().join(", ")
    }

    /// The query where no state is kept by window or group, with the order of ties written out or not.
    fn stateless(&self, ties: Ties) -> Option<String> {
        let (mut query, condition) = (self.clone(), self.condition());
        let mut source = "s".to_owned();
        if ties == Ties::Written {
            query.select = query.select.iter().map(|item| with_ties(item)).collect();
            query.having = query.having.as_ref().map(|having| with_ties(having));
            source = format!("({AT_EACH_ROW} FROM s{condition}) AS s");
        }
        let items = query.items(&[]);
        match self.kind {
            Kind::Rows => Some(format!("SELECT {items} FROM s{condition}")),
            Kind::Distinct => Some(format!("SELECT DISTINCT {items} FROM s{condition}")),
            Kind::Union => {
                Some(format!("SELECT {items} FROM s{condition} UNION ALL SELECT {items} FROM s WHERE g > 0"))
            }
            Kind::Over | Kind::Top => {
                let qualify = query.having.as_ref();
                let qualify = qualify.map(|having| format!(" QUALIFY {having}")).unwrap_or_default();
                let condition = if ties == Ties::Written { "" } else { &condition };
                Some(format!("SELECT {items} FROM {source}{condition}{qualify}"))
            }
            Kind::OverChanges => {
                let mut from = self.from.replace("{}", &condition);
                if ties == Ties::Written {
                    from = from.replace("ORDER BY ts DESC", "ORDER BY ts DESC, p, o");
                }
                if self.select.is_empty() {
                    return Some(format!("SELECT DISTINCT n, s % 3 AS rest FROM ({from})"));
                }
                let items = self.items(&self.keys);
                let group = match self.keys.is_empty() {
                    true => String::new(),
                    false => format!(" GROUP BY {}", self.keys.join(", ")),
                };
                match self.window {
                    Some(window) => Some(self.over_timed_changes(window, &from, &group, ties)),
                    None => Some(format!("SELECT {items} FROM ({from}){group}{}", self.having())),
                }
            }
            Kind::Aggregate | Kind::OverWindow => None,
        }
    }

    /// The query over rows that come and go, in windows by their column `seen`.
    fn over_timed_changes(&self, window: Window, from: &str, group: &str, ties: Ties) -> String {
        let mut keys = vec!["window_start".to_owned(), "window_end".to_owned()];
        if ties == Ties::Ours {
            keys.extend(self.keys.clone());
            let clause = window.clause().replacen('(', "(seen, ", 1);
            return format!(
                "SELECT {} FROM ({from}) WINDOW {clause}{group}{}",
                self.items(&keys),
                self.having()
            );
        }
        let windows = window.plain_from().unwrap_or_default().replace("ts", "seen");
        let windows = windows.replace("FROM s ", &format!("FROM ({from}) AS s "));
        keys.extend(self.keys.clone());
        format!(
            "SELECT {} FROM {windows} WHERE seen >= window_start AND seen < window_end GROUP BY {}{}",
            self.items(&keys),
            keys.join(", "),
            self.having()
        )
    }

    fn having(&self) -> String {
        self.having.as_ref().map(|having| format!(" HAVING {having}")).unwrap_or_default()
    }

    /// Returns whether each row of the answer belongs to a window that ends.
    fn is_windowed(&self) -> bool {
        self.window.is_some()
    }

    /// The query in our SQL.
    pub(super) fn ours(&self) -> String {
        let (condition, having) = (self.condition(), self.having());
        if let Some(sql) = self.stateless(Ties::Ours) {
            return sql;
        }
        let mut first = self.keys.clone();
        let mut window = String::new();
        if let Some(spec) = self.window {
            first.splice(0..0, ["window_start".to_owned(), "window_end".to_owned()]);
            window = format!(" WINDOW {}", spec.clause_of(self.session_key));
            if self.grace_s > 0 {
                write!(window, " GRACE PERIOD INTERVAL '{}' SECOND", self.grace_s).unwrap();
            }
        }
        let group =
            if self.keys.is_empty() { String::new() } else { format!(" GROUP BY {}", self.keys.join(", ")) };
        format!("SELECT {} FROM s{condition}{window}{group}{having} {}", self.items(&first), self.emit)
    }

    /// The same query for DataFusion alone.
    pub(super) fn plain(&self) -> Option<String> {
        let is_ours =
            |item: &String| item.contains("BUFFER") && !PLAINLY.iter().any(|(ours, _)| ours == item);
        let has_no_plain_form = |window: &Window| window.plain_from().is_none();
        if self.select.iter().any(is_ours)
            || self.kind == Kind::OverChanges && self.window.as_ref().is_some_and(has_no_plain_form)
        {
            return None;
        }
        if let Some(sql) = self.stateless(Ties::Written) {
            return Some(sql);
        }
        let mut keys = self.keys.clone();
        let mut query = self.clone();
        let (mut from, mut condition) = ("s".to_owned(), self.condition());
        if let Some(window @ Window::Session { .. }) = self.window {
            let group = match self.keys.as_slice() {
                [] => None,
                keys => Some(keys.join(", ")),
            };
            from = window.plain_sessions(self.session_key.or(group.as_deref()), &condition)?;
            condition = String::new();
            keys.splice(0..0, ["window_start".to_owned(), "window_end".to_owned()]);
        } else if let Some(window) = self.window {
            from = window.plain_from()?;
            keys.splice(0..0, ["window_start".to_owned(), "window_end".to_owned()]);
            let inside = "ts >= window_start AND ts < window_end";
            let own = self.condition.as_ref();
            condition = own.map_or(format!(" WHERE {inside}"), |own| format!(" WHERE ({own}) AND {inside}"));
        }
        if self.kind == Kind::OverWindow {
            let session_key =
                self.session_key.filter(|_| matches!(self.window, Some(Window::Session { .. })));
            let more = session_key.map(|key| format!(" {key},")).unwrap_or_default();
            let within = format!("PARTITION BY window_start, window_end,{more}");
            let by_window = |item: &String| with_ties(item).replace("PARTITION BY", &within);
            query.select = self.select.iter().map(by_window).collect();
            return Some(format!("SELECT {} FROM {from}{condition}", query.items(&keys)));
        }
        for item in &mut query.select {
            *item = match item.as_str() {
                "first_value(g)" => "first_value(g ORDER BY ts, p, o)".to_owned(),
                "last_value(name)" => "last_value(name ORDER BY ts, p, o)".to_owned(),
                _ => continue,
            };
        }
        let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
        Some(format!("SELECT {} FROM {from}{condition}{group}{}", query.items(&keys), self.having()))
    }
}

/// Who answers.
pub(super) enum Engine {
    Stream { rows: usize, workers: usize },
    Batch,
    DataFusion(String, Vec<Vec<Row>>),
}

/// An answer: its rows as text, sorted, and how many rows were late.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) rows: Vec<String>,
    pub(super) late: u64,
}

/// Returns a clock that only the test moves.
pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at_millis(1_704_153_600_000))
}

struct NoEnvironment;

impl Environment for NoEnvironment {
    fn var(&self, _name: &str) -> Option<String> {
        None
    }
}

pub(super) fn session(engine: &Engine, clock: Arc<ManualClock>) -> Session {
    let (rows, workers, mode) = match engine {
        Engine::Stream { rows, workers } => (*rows, *workers, None),
        _ => (65_536, 2, Some(Mode::Batch)),
    };
    // Files are cut by bytes; some bytes for each row stand for the rows of a batch.
    let options = vec![
        Entry::new("batch.max_rows", rows.to_string(), Origin::CommandLine),
        Entry::new("batch.max_bytes", (rows * 40).to_string(), Origin::CommandLine),
    ];
    Session::new(Settings {
        parameters: BTreeMap::new(),
        options,
        mode,
        output: OutputForm::Ndjson,
        directory: PathBuf::new(),
        environment: Arc::new(NoEnvironment),
        clock,
        parallelism: NonZeroUsize::new(workers).unwrap(),
        contact: true,
    })
}

/// Lets an engine answer.
pub(super) fn answers(files: &Files, query: &Query, engine: Engine) -> Found {
    if let Engine::DataFusion(sql, rows) = &engine {
        return Found { rows: with_datafusion(sql, rows), late: 0 };
    }
    let mut session = session(&engine, clock());
    let declare = format!(
        "CREATE STREAM s (k VARCHAR, g BIGINT, v BIGINT, d DECIMAL(12,2), name VARCHAR, ts TIMESTAMP(3), \
         WATERMARK FOR ts AS ts - INTERVAL '{}' SECOND) \
         WITH ('connector' = 'file', 'path' = '{}/*', 'format' = '{}')",
        query.bound_s,
        files.folder.path().display(),
        files.format.name()
    );
    execute(&mut session, &declare);
    match engine {
        Engine::Stream { .. } => {
            execute(&mut session, &format!("CREATE STREAM out AS {}", query.ours()));
            session.end_inputs(LIMIT).unwrap();
            let report = session.jobs()[0].reports().pop().unwrap();
            assert_eq!(report.unaccounted(), 0, "{report:#?}");
            Found { rows: folded(&session), late: report.late }
        }
        _ => {
            session.end_inputs(LIMIT).unwrap();
            let Answer::Rows(batches) = execute(&mut session, &query.ours()) else { panic!("no rows") };
            Found { rows: sorted(&batches), late: 0 }
        }
    }
}

/// Returns what the changes of the job `out` come to so far.
fn folded(session: &Session) -> Vec<String> {
    let mut net: BTreeMap<String, i64> = BTreeMap::new();
    for changes in session.changes("out", 0).unwrap() {
        for (row, text) in texts(changes.rows()).into_iter().enumerate() {
            *net.entry(text).or_default() +=
                changes.weights().map_or(1, |weights| i64::from(weights.value(row)));
        }
    }
    assert!(net.values().all(|&weight| weight >= 0), "a row was withdrawn that was not there: {net:?}");
    let times = |weight: i64| usize::try_from(weight).unwrap();
    net.into_iter().flat_map(|(row, weight)| vec![row; times(weight)]).collect()
}

pub(super) fn execute(session: &mut Session, sql: &str) -> Answer {
    session.execute(sql).unwrap_or_else(|errors| panic!("{sql}\n{}", errors[0].report()))
}

fn with_datafusion(sql: &str, files: &[Vec<Row>]) -> Vec<String> {
    with_relations(sql, [("s", relation(files))])
}

/// The rows of files, each with its file `p` and its place `o` there.
fn relation(files: &[Vec<Row>]) -> RecordBatch {
    let rows: Vec<&Row> = files.iter().flatten().collect();
    let text = |of: fn(&Row) -> Option<&'static str>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row)).collect::<StringArray>())
    };
    let whole = |of: fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row)).collect::<Int64Array>())
    };
    let decimals: Decimal128Array = rows.iter().map(|row| row.d.map(i128::from)).collect();
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.ts));
    let places: Vec<(i64, i64)> = (0_i64..)
        .zip(files)
        .flat_map(|(file, rows)| (0_i64..).zip(rows).map(move |(row, _)| (file, row)))
        .collect();
    let place = |of: fn(&(i64, i64)) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(places.iter().map(of)))
    };
    let batch = [
        ("k", text(|row| row.k), true),
        ("g", whole(|row| Some(row.g)), true),
        ("v", whole(|row| row.v), true),
        ("d", Arc::new(decimals.with_precision_and_scale(12, 2).unwrap()), true),
        ("name", text(|row| row.name), true),
        ("ts", Arc::new(times), true),
        ("p", place(|place| place.0), false),
        ("o", place(|place| place.1), false),
    ];
    RecordBatch::try_from_iter_with_nullable(batch).unwrap()
}

fn with_relations<const N: usize>(sql: &str, relations: [(&str, RecordBatch); N]) -> Vec<String> {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let context = SessionContext::new_with_config(config);
    for (name, rows) in relations {
        context.register_batch(name, rows).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let batches = runtime.block_on(async { context.sql(sql).await.unwrap().collect().await.unwrap() });
    sorted(&batches)
}

pub(super) fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let schema = batch.schema();
    let visible = (0..batch.num_columns()).filter(|&column| !schema.field(column).name().starts_with("__"));
    let columns: Vec<_> = visible
        .map(|column| ArrayFormatter::try_new(batch.column(column).as_ref() as &dyn Array, &options).unwrap())
        .collect();
    let row =
        |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(row).collect()
}

pub(super) fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows: Vec<String> = batches.iter().flat_map(texts).collect();
    rows.sort();
    rows
}

/// What the rules of lateness say, row by row.
pub(super) fn late_answer(files: &[Vec<Row>], window: Window, bound_s: i64, grace_s: i64) -> Found {
    let mut late = 0;
    let mut windows = Totals::new();
    let mut in_sessions: Vec<&Row> = vec![];
    for rows in files {
        let mut watermark = i64::MIN;
        for row in rows {
            let is_session = matches!(window, Window::Session { .. });
            let mut open = window.of_row(row.ts);
            open.retain(|(_, end)| end + grace_s * 1_000 > watermark);
            for bounds in &open {
                let (count, sum) = windows.entry(*bounds).or_default();
                *count += 1;
                *sum = added(*sum, row.v);
            }
            if is_session && row.ts >= watermark {
                in_sessions.push(row);
            } else if open.is_empty() {
                late += 1;
            }
            watermark = watermark.max(row.ts - bound_s * 1_000);
        }
    }
    if let Window::Session { gap, .. } = window {
        windows = sessions(in_sessions, gap * 1_000);
    }
    let at = |ts: i64| {
        let at = chrono::DateTime::from_timestamp_millis(ts).unwrap();
        at.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
    };
    let row = |((start, end), (count, sum)): ((i64, i64), (i64, Option<i64>))| {
        let sum = sum.map_or("NULL".to_owned(), |sum| sum.to_string());
        format!("{} | {} | {count} | {sum}", at(start), at(end))
    };
    let mut rows: Vec<String> = windows.into_iter().map(row).collect();
    rows.sort();
    Found { rows, late }
}

/// By the bounds of a window: how many rows it has, and the sum of `v`.
type Totals = BTreeMap<(i64, i64), (i64, Option<i64>)>;

fn sessions(mut rows: Vec<&Row>, gap: i64) -> Totals {
    rows.sort_by_key(|row| row.ts);
    let mut found: Vec<(i64, i64, i64, Option<i64>)> = vec![];
    for row in rows {
        match found.last_mut() {
            Some((_, end, count, sum)) if row.ts < *end => {
                *end = row.ts + gap;
                *count += 1;
                *sum = added(*sum, row.v);
            }
            _ => found.push((row.ts, row.ts + gap, 1, row.v)),
        }
    }
    found.into_iter().map(|(start, end, count, sum)| ((start, end), (count, sum))).collect()
}

fn added(sum: Option<i64>, value: Option<i64>) -> Option<i64> {
    value.map_or(sum, |value| Some(sum.unwrap_or(0) + value))
}
