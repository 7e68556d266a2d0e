//! Generated joins and subqueries over two streams and tables, and the engines that answer them.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use velostream::session::Answer;

use super::{
    Engine, Files, Format, Found, LIMIT, Row, clock, execute, files, folded, relation, session, sorted,
    with_relations,
};

/// What the queries read: streams `s` and `r` in some files each, and one file for each of the tables `u` and `l`.
#[derive(Debug, Clone)]
pub(crate) struct World {
    s: Vec<Vec<Row>>,
    r: Vec<Vec<Row>>,
    /// Has `g` as its key.
    u: Vec<Row>,
    /// Has `k` and `g` as its key.
    l: Vec<Row>,
}

/// Returns what queries read.
pub(crate) fn worlds() -> impl Strategy<Value = World> {
    (files(25), files(25), files(12), files(20)).prop_map(|(s, r, u, l)| World {
        s,
        r,
        u: u.concat(),
        l: l.concat().into_iter().filter(|row| row.k.is_some()).collect(),
    })
}

/// The last row of each key.
fn latest<K: PartialEq>(rows: &[Row], key: impl Fn(&Row) -> K) -> Vec<Row> {
    let is_last = |(place, row): &(usize, &Row)| rows[place + 1..].iter().all(|later| key(later) != key(row));
    rows.iter().enumerate().filter(is_last).map(|(_, row)| row.clone()).collect()
}

/// The folders of a world on disk.
#[derive(Debug)]
pub(crate) struct Places([Files; 4]);

impl World {
    pub(crate) fn write(&self, format: Format) -> Places {
        let one = |rows: &Vec<Row>| Files::write(std::slice::from_ref(rows), format);
        Places([Files::write(&self.s, format), Files::write(&self.r, format), one(&self.u), one(&self.l)])
    }

    /// Asks DataFusion; `uv` has all rows of `u`.
    pub(crate) fn plain(&self, query: &Joined) -> Vec<String> {
        let u = [latest(&self.u, |row| row.g)];
        let l = [latest(&self.l, |row| (row.k, row.g))];
        let all = [self.u.clone()];
        let relations = [("s", &*self.s), ("r", &*self.r), ("u", &u), ("l", &l), ("uv", &all)];
        with_relations(&query.plain, relations.map(|(name, rows)| (name, relation(rows))))
    }
}

const COLUMNS: &str = "k VARCHAR, g BIGINT, v BIGINT, d DECIMAL(12,2), name VARCHAR, ts TIMESTAMP(3)";
const WATERMARK: &str = "WATERMARK FOR ts AS ts - INTERVAL '10000' SECOND";

/// Lets an engine of ours answer.
pub(crate) fn answers(places: &Places, query: &Joined, engine: &Engine) -> Found {
    let mut session = session(engine, clock());
    let declared = [
        ("STREAM s", WATERMARK, 0),
        ("STREAM r", WATERMARK, 1),
        ("TABLE u", "PRIMARY KEY (g)", 2),
        ("TABLE l", "PRIMARY KEY (k, g)", 3),
        ("TABLE uv", &*format!("PRIMARY KEY (g), {WATERMARK}"), 2),
    ];
    for (what, clause, place) in declared {
        let Files { folder, format } = &places.0[place];
        let (path, format) = (folder.path().display(), format.name());
        execute(
            &mut session,
            &format!(
                "CREATE {what} ({COLUMNS}, {clause}) \
                 WITH ('connector' = 'file', 'path' = '{path}/*', 'format' = '{format}')"
            ),
        );
    }
    if matches!(engine, Engine::Stream { .. }) {
        execute(&mut session, &format!("CREATE STREAM out AS {}", query.ours));
        session.end_inputs(LIMIT).unwrap();
        let reports = session.jobs().iter().flat_map(|job| job.reports()).collect::<Vec<_>>();
        for report in &reports {
            assert_eq!(report.unaccounted(), 0, "{report:#?}");
        }
        return Found { rows: folded(&session), late: reports.iter().map(|report| report.late).sum() };
    }
    session.end_inputs(LIMIT).unwrap();
    let Answer::Rows(batches) = execute(&mut session, &query.ours) else { panic!("no rows") };
    Found { rows: sorted(&batches), late: 0 }
}

/// A question in our words and in DataFusion's.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) ours: String,
    pub(crate) plain: String,
}

/// What is joined, as `s` and `u`; written once where both engines read it alike.
const PAIRS: [(&str, &str); 34] = [
    ("s JOIN u ON s.g = u.g", ""),
    ("s LEFT JOIN u ON s.g = u.g", ""),
    ("u RIGHT JOIN s ON s.g = u.g", ""),
    ("s LEFT JOIN u ON s.g = u.g AND u.v > s.v", ""),
    ("s JOIN u ON s.v = u.g", ""),
    ("s JOIN u ON s.v = u.v", ""),
    ("s LEFT JOIN u ON s.g + 1 = u.g AND s.name = u.name", ""),
    ("s JOIN u ON s.g = u.g AND s.ts >= u.ts", ""),
    ("s JOIN u ON s.v > u.v", ""),
    ("s LEFT JOIN (SELECT * FROM u WHERE v > 1) AS u ON s.g = u.g", ""),
    (
        "s JOIN (SELECT max(k) AS k, g % 2 AS g, sum(v) AS v, min(name) AS name, max(ts) AS ts FROM u GROUP BY g % 2) AS u ON s.g = u.g",
        "",
    ),
    (
        "s CROSS JOIN (SELECT max(k) AS k, count(*) AS g, sum(v) AS v, min(name) AS name, max(ts) AS ts FROM u) AS u",
        "",
    ),
    ("s JOIN u AS w ON s.g = w.g LEFT JOIN l AS u ON s.k = u.k AND w.g = u.g", ""),
    ("s LEFT JOIN l AS u ON s.k = u.k", ""),
    ("s JOIN l AS u ON s.k = u.k AND s.g = u.g", ""),
    ("s LEFT JOIN l AS u ON s.k = u.k AND u.d > s.d", ""),
    ("s JOIN l AS u ON upper(s.k) = upper(u.k) AND s.name <> u.name", ""),
    (
        "s JOIN r AS u ON s.k = u.k AND u.ts BETWEEN s.ts - INTERVAL '10' SECOND AND s.ts + INTERVAL '5' SECOND",
        "",
    ),
    ("s LEFT JOIN r AS u ON s.k = u.k AND u.ts BETWEEN s.ts AND s.ts + INTERVAL '5' SECOND", ""),
    ("s RIGHT JOIN r AS u ON s.g = u.g AND u.ts BETWEEN s.ts - INTERVAL '20' SECOND AND s.ts", ""),
    (
        "s FULL JOIN r AS u ON s.k = u.k AND s.v <> u.v AND u.ts > s.ts - INTERVAL '7' SECOND AND u.ts <= s.ts + INTERVAL '3' SECOND",
        "",
    ),
    ("s JOIN r AS u ON u.ts BETWEEN s.ts AND s.ts + INTERVAL '1' SECOND", ""),
    (
        "s JOIN r AS u ON s.k = u.k WITHIN INTERVAL '5' SECOND",
        "s JOIN r AS u ON s.k = u.k AND u.ts BETWEEN s.ts - INTERVAL '5' SECOND AND s.ts + INTERVAL '5' SECOND",
    ),
    (
        "s FULL JOIN r AS u ON s.g = u.g AND s.k = u.k WITHIN 3s",
        "s FULL JOIN r AS u ON s.g = u.g AND s.k = u.k AND u.ts BETWEEN s.ts - INTERVAL '3' SECOND AND s.ts + INTERVAL '3' SECOND",
    ),
    (
        "s JOIN r AS w ON s.k = w.k AND w.ts BETWEEN s.ts - INTERVAL '5' SECOND AND s.ts + INTERVAL '5' SECOND LEFT JOIN l AS u ON w.g = u.g AND w.k = u.k",
        "",
    ),
    (
        "s JOIN r AS w ON s.k = w.k AND w.ts BETWEEN s.ts - INTERVAL '5' SECOND AND s.ts + INTERVAL '5' SECOND JOIN s AS u ON u.g = w.g AND u.ts BETWEEN w.ts - INTERVAL '4' SECOND AND w.ts + INTERVAL '4' SECOND",
        "",
    ),
    ("s JOIN r AS u ON s.v = u.v", ""),
    ("s LEFT JOIN r AS u ON s.v = u.v AND s.k = u.k", ""),
    ("s FULL JOIN r AS u ON s.v = u.v AND s.name <> u.name", ""),
    (
        "s JOIN uv FOR SYSTEM_TIME AS OF s.ts AS u ON s.g = u.g",
        "s JOIN (SELECT * FROM (SELECT x.p AS sp, x.o AS so, y.*, row_number() OVER (PARTITION BY x.p, x.o ORDER BY y.ts DESC, y.o DESC) AS place FROM s AS x JOIN uv AS y ON x.g = y.g AND y.ts <= x.ts) WHERE place = 1) AS u ON u.sp = s.p AND u.so = s.o",
    ),
    (
        "s LEFT JOIN uv FOR SYSTEM_TIME AS OF s.ts AS u ON s.g = u.g AND u.v > s.v",
        "s LEFT JOIN (SELECT * FROM (SELECT x.p AS sp, x.o AS so, y.*, row_number() OVER (PARTITION BY x.p, x.o ORDER BY y.ts DESC, y.o DESC) AS place FROM s AS x JOIN uv AS y ON x.g = y.g AND y.ts <= x.ts) WHERE place = 1) AS u ON u.sp = s.p AND u.so = s.o AND u.v > s.v",
    ),
    (
        "s LEFT JOIN uv FOR SYSTEM_TIME AS OF s.ts AS u ON s.g = u.g AND u.v > 1",
        "s LEFT JOIN (SELECT * FROM (SELECT x.p AS sp, x.o AS so, y.*, row_number() OVER (PARTITION BY x.p, x.o ORDER BY y.ts DESC, y.o DESC) AS place FROM s AS x JOIN uv AS y ON x.g = y.g AND y.ts <= x.ts) WHERE place = 1) AS u ON u.sp = s.p AND u.so = s.o AND u.v > 1",
    ),
    (
        "s ASOF JOIN uv AS u MATCH_CONDITION (s.ts >= u.ts) ON s.g = u.g",
        "s LEFT JOIN (SELECT * FROM (SELECT x.p AS sp, x.o AS so, y.*, row_number() OVER (PARTITION BY x.p, x.o ORDER BY y.ts DESC, y.o DESC) AS place FROM s AS x JOIN uv AS y ON x.g = y.g AND y.ts <= x.ts) WHERE place = 1) AS u ON u.sp = s.p AND u.so = s.o",
    ),
    (
        "s ASOF JOIN uv AS u MATCH_CONDITION (s.ts < u.ts) ON s.g = u.g",
        "s LEFT JOIN (SELECT * FROM (SELECT x.p AS sp, x.o AS so, y.*, row_number() OVER (PARTITION BY x.p, x.o ORDER BY y.ts, y.o DESC) AS place FROM s AS x JOIN uv AS y ON x.g = y.g AND y.ts > x.ts) WHERE place = 1) AS u ON u.sp = s.p AND u.so = s.o",
    ),
];
const ITEMS: [&str; 14] = [
    "s.k",
    "s.g",
    "s.v",
    "s.name",
    "s.ts",
    "u.k",
    "u.g",
    "u.v",
    "u.name",
    "u.ts",
    "coalesce(u.v, 0) + s.g",
    "s.v - u.v",
    "s.name = u.name",
    "CASE WHEN u.g IS NULL THEN 'none' ELSE u.k END",
];
const CONDITIONS: [&str; 6] =
    ["s.v > 2", "u.v > 0", "u.g IS NULL", "s.g < u.g OR u.name IS NULL", "s.k = 'a'", "s.ts < u.ts"];
/// Windows of both streams, joined where they are the same.
const WINDOWED: [(&str, &str); 4] = [
    ("JOIN", "s.k = u.k AND s.ts = u.ts"),
    ("LEFT JOIN", "s.k = u.k AND s.ts = u.ts AND s.v < u.v"),
    ("FULL JOIN", "u.ts = s.ts AND s.k = u.k"),
    ("JOIN", "s.ts = u.ts"),
];
/// Queries as values of rows of `s`.
const VALUES: [(&str, &str); 23] = [
    ("(SELECT max(v) FROM u)", ""),
    ("(SELECT u.name FROM u WHERE u.g = s.g)", "(SELECT max(u.name) FROM u WHERE u.g = s.g)"),
    (
        "(SELECT u.v FROM u WHERE u.g = s.g AND u.k = 'a')",
        "(SELECT max(u.v) FROM u WHERE u.g = s.g AND u.k = 'a')",
    ),
    ("(SELECT count(*) FROM l WHERE l.k = s.k)", "coalesce((SELECT count(*) FROM l WHERE l.k = s.k), 0)"),
    ("(SELECT sum(l.v) FROM l WHERE l.k = s.k AND l.g > 0)", ""),
    ("(SELECT max(l.name) FROM l WHERE l.k = s.k AND l.g = s.g)", ""),
    ("coalesce((SELECT min(ts) FROM l WHERE l.k = s.k), s.ts)", ""),
    (
        "EXISTS (SELECT 1 FROM u WHERE u.g = s.g AND u.v > 0)",
        "coalesce((SELECT count(*) FROM u WHERE u.g = s.g AND u.v > 0), 0) > 0",
    ),
    (
        "NOT EXISTS (SELECT 1 FROM l WHERE l.k = s.k)",
        "coalesce((SELECT count(*) FROM l WHERE l.k = s.k), 0) = 0",
    ),
    (
        "s.g IN (SELECT g FROM u WHERE v > 0)",
        "coalesce((SELECT count(*) FROM u WHERE v > 0 AND u.g = s.g), 0) > 0",
    ),
    (
        "s.v IN (SELECT v FROM u)",
        "CASE WHEN coalesce((SELECT count(*) FROM u WHERE u.v = s.v), 0) > 0 THEN true WHEN (SELECT count(*) FROM u) = 0 THEN false WHEN s.v IS NULL OR (SELECT count(*) FROM u WHERE v IS NULL) > 0 THEN NULL ELSE false END",
    ),
    (
        "s.v NOT IN (SELECT v FROM l WHERE l.k = s.k)",
        "CASE WHEN coalesce((SELECT count(*) FROM l WHERE l.k = s.k), 0) = 0 THEN true WHEN coalesce((SELECT count(*) FROM l WHERE l.k = s.k AND l.v = s.v), 0) > 0 THEN false WHEN s.v IS NULL OR coalesce((SELECT count(*) FROM l WHERE l.k = s.k AND l.v IS NULL), 0) > 0 THEN NULL ELSE true END",
    ),
    (
        "(SELECT sum(l.v) FROM l WHERE l.g <= s.g)",
        "(SELECT sum(l.v) FROM l JOIN s AS a ON l.g <= a.g WHERE a.p = s.p AND a.o = s.o)",
    ),
    (
        "(SELECT count(*) FROM l WHERE l.k = s.k AND l.v > s.v)",
        "coalesce((SELECT count(*) FROM l JOIN s AS a ON l.k = a.k AND l.v > a.v WHERE a.p = s.p AND a.o = s.o), 0)",
    ),
    (
        "(SELECT max(l.name) FROM l WHERE l.k < s.k OR l.d > s.d)",
        "(SELECT max(l.name) FROM l JOIN s AS a ON l.k < a.k OR l.d > a.d WHERE a.p = s.p AND a.o = s.o)",
    ),
    (
        "(SELECT sum(l.d + s.d) FROM l WHERE l.d <= s.d)",
        "(SELECT sum(l.d + a.d) FROM l JOIN s AS a ON l.d <= a.d WHERE a.p = s.p AND a.o = s.o)",
    ),
    ("(SELECT u.v * 2 + s.g FROM u WHERE u.g = s.g)", "(SELECT max(u.v * 2 + u.g) FROM u WHERE u.g = s.g)"),
    (
        "(SELECT coalesce(u.v, 0) + 1 FROM u WHERE u.g = s.v)",
        "(SELECT max(coalesce(u.v, 0) + 1) FROM u WHERE u.g = s.v)",
    ),
    (
        "(SELECT coalesce(max(l.v), 0) + 1 FROM l WHERE l.k = s.k)",
        "coalesce((SELECT max(l.v) FROM l WHERE l.k = s.k), 0) + 1",
    ),
    (
        "(SELECT l.v FROM l WHERE l.g <= s.g ORDER BY l.g DESC, l.k LIMIT 1)",
        "(SELECT first_value(l.v ORDER BY l.g DESC, l.k) FROM l JOIN s AS a ON l.g <= a.g WHERE a.p = s.p AND a.o = s.o)",
    ),
    (
        "(SELECT max(l.v) FROM l WHERE l.k = s.k HAVING count(*) > 1)",
        "(SELECT CASE WHEN count(*) > 1 THEN max(l.v) END FROM l WHERE l.k = s.k)",
    ),
    (
        "(SELECT count(*) FROM l WHERE l.k = s.k AND EXISTS (SELECT 1 FROM u WHERE u.g = l.g AND u.v < s.v))",
        "coalesce((SELECT count(*) FROM l JOIN u ON u.g = l.g JOIN s AS a ON l.k = a.k AND u.v < a.v WHERE a.p = s.p AND a.o = s.o), 0)",
    ),
    (
        "(SELECT max(l.v) FROM l WHERE l.g <= s.g AND l.v > (SELECT u.v FROM u WHERE u.g = l.g))",
        "(SELECT max(l.v) FROM l JOIN u ON u.g = l.g AND l.v > u.v JOIN s AS a ON l.g <= a.g WHERE a.p = s.p AND a.o = s.o)",
    ),
];
/// Queries that decide over rows of `s`.
const DECIDERS: [(&str, &str); 18] = [
    ("EXISTS (SELECT 1 FROM u WHERE u.g = s.g AND u.v > s.v)", ""),
    ("NOT EXISTS (SELECT 1 FROM l WHERE l.k = s.k)", ""),
    ("NOT EXISTS (SELECT 1 FROM l WHERE l.k = s.k AND l.d < s.d)", ""),
    ("s.g IN (SELECT g FROM u WHERE v > 0)", ""),
    ("s.v NOT IN (SELECT v FROM u)", "NOT EXISTS (SELECT 1 FROM u WHERE (s.v = u.v) IS NOT FALSE)"),
    ("s.v > (SELECT min(v) FROM u)", ""),
    ("s.v > (SELECT max(u.v) FROM u WHERE u.g = s.g)", ""),
    ("s.v > ANY (SELECT v FROM l)", "s.v > (SELECT min(v) FROM l)"),
    ("s.v <= ALL (SELECT v FROM l)", "NOT EXISTS (SELECT 1 FROM l WHERE (s.v <= l.v) IS NOT TRUE)"),
    ("s.v <> ALL (SELECT v FROM u)", "NOT EXISTS (SELECT 1 FROM u WHERE (s.v <> u.v) IS NOT TRUE)"),
    (
        "s.k IN (SELECT k FROM l) OR s.g > 0",
        "coalesce((SELECT count(*) FROM l WHERE l.k = s.k), 0) > 0 OR s.g > 0",
    ),
    ("EXISTS (SELECT 1 FROM r WHERE r.k = s.k AND r.ts BETWEEN s.ts - INTERVAL '5' SECOND AND s.ts)", ""),
    (
        "NOT EXISTS (SELECT 1 FROM r WHERE r.k = s.k AND r.v > s.v AND r.ts BETWEEN s.ts AND s.ts + INTERVAL '9' SECOND)",
        "",
    ),
    (
        "s.k IN (SELECT r.k FROM r WHERE r.g = s.g AND r.ts BETWEEN s.ts - INTERVAL '30' SECOND AND s.ts)",
        "EXISTS (SELECT 1 FROM r WHERE r.k = s.k AND r.g = s.g AND r.ts BETWEEN s.ts - INTERVAL '30' SECOND AND s.ts)",
    ),
    (
        "s.v NOT IN (SELECT l.v FROM l WHERE l.g < s.g)",
        "NOT EXISTS (SELECT 1 FROM l WHERE l.g < s.g AND (l.v = s.v) IS NOT FALSE)",
    ),
    (
        "EXISTS (SELECT 1 FROM l WHERE l.k = s.k AND NOT EXISTS (SELECT 1 FROM u WHERE u.g = l.g AND u.v > s.v))",
        "(SELECT count(*) FROM l JOIN s AS a ON l.k = a.k LEFT JOIN u ON u.g = l.g AND u.v > a.v WHERE u.g IS NULL AND a.p = s.p AND a.o = s.o) > 0",
    ),
    (
        "s.v > (SELECT sum(l.v) FROM l WHERE l.g < s.g)",
        "s.v > (SELECT sum(l.v) FROM l JOIN s AS a ON l.g < a.g WHERE a.p = s.p AND a.o = s.o)",
    ),
    (
        "s.v NOT IN (SELECT r.v FROM r WHERE r.k = s.k AND r.ts BETWEEN s.ts - INTERVAL '5' SECOND AND s.ts)",
        "NOT EXISTS (SELECT 1 FROM r WHERE r.k = s.k AND (r.v = s.v) IS NOT FALSE AND r.ts BETWEEN s.ts - INTERVAL '5' SECOND AND s.ts)",
    ),
];
const TOTALS: [&str; 6] =
    ["count(*)", "sum(s.v)", "max(u.name)", "count(DISTINCT u.v)", "min(s.ts)", "avg(u.g)"];
const GROUPS: [&str; 3] = ["s.k", "u.k", "u.g"];
const HAVINGS: [(&str, &str); 5] = [
    ("count(*) > (SELECT min(g) FROM u)", ""),
    ("sum(s.v) > ANY (SELECT v FROM l)", "sum(s.v) > (SELECT min(v) FROM l)"),
    (
        "EXISTS (SELECT 1 FROM l WHERE l.k = s.k AND l.v > 0)",
        "coalesce((SELECT count(*) FROM l WHERE l.k = s.k AND l.v > 0), 0) > 0",
    ),
    ("max(s.v) IN (SELECT v FROM u)", ""),
    (
        "(SELECT count(*) FROM l WHERE l.k <= s.k) > 1",
        "(SELECT count(*) FROM l JOIN (SELECT DISTINCT k FROM s) AS a ON l.k <= a.k WHERE a.k = s.k) > 1",
    ),
];

fn named(items: &[&str]) -> String {
    let items = items.iter().enumerate().map(|(ordinal, item)| format!("{item} AS c{ordinal}"));
    items.collect::<Vec<_>>().join(", ")
}

fn plain<'a>((ours, plain): &(&'a str, &'a str)) -> &'a str {
    if plain.is_empty() { ours } else { plain }
}

fn some(of: &'static [&'static str], least: usize, most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(of.to_vec(), least..=most)
}

fn condition(condition: Option<&str>) -> String {
    condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default()
}

/// Rows of a join, or what they come to.
fn pairs() -> impl Strategy<Value = Joined> {
    let pair = select(PAIRS.to_vec());
    let wheres = proptest::option::weighted(0.4, select(CONDITIONS.to_vec()));
    let rows = (pair.clone(), some(&ITEMS, 1, 5), wheres.clone()).prop_map(|(pair, items, filter)| {
        let (items, filter) = (named(&items), condition(filter));
        let query = |from: &str| format!("SELECT {items} FROM {from}{filter}");
        Joined { ours: query(pair.0), plain: query(plain(&pair)) }
    });
    let emit = select(vec!["EMIT FINAL", "EMIT CHANGES"]);
    let totals = (pair, some(&TOTALS, 1, 4), select(GROUPS.to_vec()), wheres, emit).prop_map(
        |(pair, totals, group, filter, emit)| {
            let filter = condition(filter);
            let items = named(&[&[group], &*totals].concat());
            let query = |from: &str| format!("SELECT {items} FROM {from}{filter} GROUP BY {group}");
            Joined { ours: format!("{} {emit}", query(pair.0)), plain: query(plain(&pair)) }
        },
    );
    prop_oneof![3 => rows, 1 => totals]
}

fn windowed() -> impl Strategy<Value = Joined> {
    let items = some(&["s.k", "s.n", "s.v", "s.ts", "u.k", "u.n", "u.v", "u.ts", "s.n + u.n"], 1, 5);
    (select(WINDOWED.to_vec()), 1_i64..40, items).prop_map(|((kind, on), size, items)| {
        let items = named(&items);
        let totals = "k, count(*) AS n, sum(v) AS v";
        let ours = |stream: &str| {
            format!("(SELECT window_start AS ts, {totals} FROM {stream} WINDOW TUMBLING({size}s) GROUP BY k)")
        };
        let bin = format!("date_bin(INTERVAL '{size} seconds', ts, TIMESTAMP '1970-01-01T00:00:00')");
        let plain = |stream: &str| format!("(SELECT {bin} AS ts, {totals} FROM {stream} GROUP BY k, {bin})");
        let query = |s: String, u: String| format!("SELECT {items} FROM {s} AS s {kind} {u} AS u ON {on}");
        Joined { ours: query(ours("s"), ours("r")), plain: query(plain("s"), plain("r")) }
    })
}

fn subqueries() -> impl Strategy<Value = Joined> {
    let values = subsequence(VALUES.to_vec(), 0..=3);
    let decider = proptest::option::weighted(0.6, select(DECIDERS.to_vec()));
    let rows =
        (values, some(&["s.k", "s.g", "s.v", "s.ts"], 1, 3), decider).prop_map(|(values, items, decider)| {
            let query = |values: Vec<&str>, decider: Option<&str>| {
                let items = named(&[&*items, &*values].concat());
                format!("SELECT {items} FROM s{}", condition(decider))
            };
            let ours = query(values.iter().map(|value| value.0).collect(), decider.map(|decider| decider.0));
            let plain = query(values.iter().map(plain).collect(), decider.as_ref().map(plain));
            Joined { ours, plain }
        });
    let totals = (some(&["count(*)", "sum(s.v)", "max(s.name)"], 1, 3), select(HAVINGS.to_vec())).prop_map(
        |(totals, having)| {
            let items = named(&[&["s.k"], &*totals].concat());
            let query = |having: &str| format!("SELECT {items} FROM s GROUP BY s.k HAVING {having}");
            Joined { ours: format!("{} EMIT FINAL", query(having.0)), plain: query(plain(&having)) }
        },
    );
    prop_oneof![3 => rows, 1 => totals]
}

/// Returns joins and queries with subqueries of all kinds.
pub(crate) fn joins() -> impl Strategy<Value = Joined> {
    prop_oneof![4 => pairs(), 1 => windowed(), 3 => subqueries()]
}
