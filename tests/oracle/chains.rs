//! Generated chains of jobs that read each other's changes: what they come to is the answer of one nested query.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use velostream::session::Answer;

use super::support::{Engine, Files, Format, LIMIT, clock, execute, files, session, sorted, texts};

/// What the first job of a chain gives of `s`: three columns each, and changes but for the last.
const FIRST: [&str; 6] = [
    "SELECT k, g, count(*) AS n FROM s GROUP BY k, g",
    "SELECT k, max(v) AS g, count(v) AS n FROM s GROUP BY k",
    "SELECT min(k) AS k, g, sum(v) AS n FROM s WHERE v < 1000 GROUP BY g HAVING count(*) > 1",
    "SELECT k, g, v AS n FROM s QUALIFY row_number() OVER (PARTITION BY k ORDER BY v, g) <= 2",
    "SELECT max(k) AS k, min(g) AS g, count(*) AS n FROM s",
    "SELECT DISTINCT k, g, v AS n FROM s",
];

/// What each further job makes of the one before, `{from}`.
const NEXT: [&str; 10] = [
    "SELECT k, g, n + 1 AS n FROM {from} WHERE n > 1",
    "SELECT k, max(n) AS g, count(*) AS n FROM {from} GROUP BY k",
    "SELECT min(k) AS k, g, count(n) AS n FROM {from} GROUP BY g HAVING count(*) > 1",
    "SELECT string_agg(k, ',' ORDER BY k) AS k, n AS g, count(DISTINCT g) AS n FROM {from} GROUP BY n",
    "SELECT DISTINCT k, g % 2 AS g, n FROM {from}",
    "SELECT k, g, n FROM {from} UNION ALL SELECT k, g, v AS n FROM s WHERE v > 3",
    "SELECT k, g, n FROM {from} UNION ALL SELECT k, n AS g, g AS n FROM {from} WHERE g IS NOT NULL",
    "SELECT max(k) AS k, count(DISTINCT g) AS g, count(n) FILTER (WHERE g > 0) AS n FROM {from}",
    "SELECT k, count(*) AS g, sum(w) AS n FROM (SELECT k, n AS w FROM {from} WHERE n < 1000 \
     UNION ALL SELECT k, g AS w FROM s) GROUP BY k",
    "SELECT upper(k) AS k, CASE WHEN n > 2 THEN g ELSE n END AS g, n FROM {from}",
];

/// The queries of a chain, the first of them over `s`.
fn chains() -> impl Strategy<Value = Vec<&'static str>> {
    (select(FIRST.to_vec()), vec(select(NEXT.to_vec()), 1..4))
        .prop_map(|(first, next)| [first].into_iter().chain(next).collect())
}

fn name(job: usize) -> String {
    format!("job_{job}")
}

fn query(chain: &[&str], job: usize) -> String {
    chain[job].replace("{from}", &name(job.wrapping_sub(1)))
}

/// The whole chain as one query.
fn nested(chain: &[&str]) -> String {
    let last = chain.len() - 1;
    let before = (0..last).map(|job| format!("{} AS ({})", name(job), query(chain, job)));
    format!("WITH {} {}", before.collect::<Vec<_>>().join(", "), query(chain, last))
}

fn declare(place: &Files) -> String {
    format!(
        "CREATE STREAM s (k VARCHAR, g BIGINT, v BIGINT, d DECIMAL(12,2), name VARCHAR, ts TIMESTAMP(3), \
         WATERMARK FOR ts AS ts - INTERVAL '10000' SECOND) \
         WITH ('connector' = 'file', 'path' = '{}/*', 'format' = '{}')",
        place.folder.path().display(),
        place.format.name()
    )
}

/// Returns what the nested query gives at once.
fn at_once(place: &Files, chain: &[&str]) -> Vec<String> {
    let mut session = session(&Engine::Batch, clock());
    execute(&mut session, &declare(place));
    session.end_inputs(LIMIT).unwrap();
    let Answer::Rows(batches) = execute(&mut session, &nested(chain)) else { panic!("no rows") };
    sorted(&batches)
}

/// Returns what the changes of the last job come to, and what a SELECT over that job gives.
fn by_jobs(place: &Files, chain: &[&str], engine: &Engine) -> (Vec<String>, Vec<String>) {
    let mut session = session(engine, clock());
    execute(&mut session, &declare(place));
    for job in 0..chain.len() {
        execute(&mut session, &format!("CREATE STREAM {} AS {}", name(job), query(chain, job)));
    }
    session.end_inputs(LIMIT).unwrap();
    for job in session.jobs() {
        let report = job.reports().pop().unwrap();
        assert_eq!(report.unaccounted(), 0, "{report:#?}");
    }
    let last = name(chain.len() - 1);
    let mut net: BTreeMap<String, i64> = BTreeMap::new();
    for changes in session.changes(&last, 0).unwrap() {
        for (row, text) in texts(changes.rows()).into_iter().enumerate() {
            let weight = changes.weights().map_or(1, |weights| i64::from(weights.value(row)));
            let there = net.entry(text).or_default();
            *there += weight;
            assert!(*there >= 0, "a row was withdrawn that was not there");
        }
    }
    let rows = net.into_iter().flat_map(|(row, times)| vec![row; usize::try_from(times).unwrap()]);
    let selected = execute(&mut session, &format!("SELECT * FROM {last}"));
    let Answer::Rows(batches) = selected else { panic!("no rows") };
    (rows.collect(), sorted(&batches))
}

proptest! {
    #![proptest_config(super::oracle::cases(40))]

    #[test]
    fn a_chain_of_jobs_gives_the_answer_of_the_nested_query(
        chain in chains(), files in files(30), format in Format::any(),
        rows in 1_usize..20, workers in 1_usize..8,
    ) {
        let place = Files::write(&files, format);
        let expected = at_once(&place, &chain);
        for (rows, workers) in [(65_536, 2), (rows, workers)] {
            let (folded, selected) = by_jobs(&place, &chain, &Engine::Stream { rows, workers });
            prop_assert_eq!(&folded, &expected, "batches of {} on {} workers: {}", rows, workers, nested(&chain));
            prop_assert_eq!(&selected, &expected, "SELECT over the last job: {}", nested(&chain));
        }
    }
}
