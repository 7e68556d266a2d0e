//! Streams in memory that fall silent and come back, on a clock that only the test moves.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use velostream::session::{Answer, Session};

use super::{
    Engine, Found, LIMIT, Query, Row, clock, execute, folded, iso, rows, session, sorted, with_datafusion,
};

/// How much event time the rows of a phase span, which is also how far out of order they may be, in seconds.
const SPAN: i64 = 20;
/// After how many seconds a quiet stream is idle.
const IDLE: i64 = 30;

/// What comes at one reading of the clock, and how long nothing comes then.
#[derive(Debug, Clone)]
struct Phase {
    /// Each with the ordinal of its stream.
    rows: Vec<(usize, Row)>,
    pause_s: i64,
    /// Whether the job stops in the pause, and goes on from its snapshot.
    restart: bool,
}

/// What comes into one to three streams in the course of time.
///
/// Event time goes with the clock: a row of a phase is at most [`SPAN`] after the time that has gone by. So no row is
/// late, however far a quiet stream's watermark follows the clock.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    streams: usize,
    phases: Vec<Phase>,
}

/// Returns timelines with pauses shorter and longer than the idle timeout, in which streams are silent, come back, begin
/// late, stop early or have no row at all, and instants and whole rows come again.
pub(crate) fn timelines() -> impl Strategy<Value = Timeline> {
    let pause = select(vec![0_i64, 1, 12, IDLE - 1, IDLE, IDLE + 25, 200]);
    let wide = select(vec![1_i64, 5, SPAN]);
    let phase = (rows(12), vec(0_usize..3, 1..3), wide, any::<bool>(), pause, proptest::bool::weighted(0.3));
    (1_usize..4, vec(phase, 1..6)).prop_map(|(streams, phases)| {
        let mut gone_by = 0;
        let phases = phases.into_iter().map(|(rows, active, wide, again, pause_s, restart)| {
            let rows = rows.into_iter().map(|(row, second, milli, ordinal)| {
                let ts = gone_by * 1_000 + second % wide * 1_000 + milli;
                (active[ordinal % active.len()] % streams, Row { ts, ..row })
            });
            let mut rows: Vec<(usize, Row)> = rows.collect();
            if again {
                rows.extend(rows.clone().into_iter().step_by(3));
            }
            gone_by += pause_s;
            Phase { rows, pause_s, restart }
        });
        let phases = phases.collect();
        Timeline { streams, phases }
    })
}

impl Timeline {
    /// Returns the rows of each stream, in the order in which they come.
    fn by_stream(&self) -> Vec<Vec<Row>> {
        let of = |stream: usize| {
            let all = self.phases.iter().flat_map(|phase| &phase.rows);
            all.filter(|(own, _)| *own == stream).map(|(_, row)| row.clone()).collect()
        };
        (0..self.streams).map(of).collect()
    }

    fn declare(&self, session: &mut Session) {
        let mut all = vec![];
        for stream in 0..self.streams {
            execute(
                session,
                &format!(
                    "CREATE STREAM s{stream} (k VARCHAR, g BIGINT, v BIGINT, d DECIMAL(12,2), name VARCHAR, \
                     ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '{SPAN}' SECOND) \
                     WITH ('connector' = 'memory', 'watermark.idle_timeout' = '{IDLE}s')"
                ),
            );
            all.push(format!("SELECT * FROM s{stream}"));
        }
        execute(session, &format!("CREATE VIEW s AS {}", all.join(" UNION ALL ")));
    }
}

fn insert(session: &mut Session, rows: &[(usize, Row)], streams: usize) {
    for stream in 0..streams {
        let own = rows.iter().filter(|(own, _)| *own == stream).map(|(_, row)| literals(row));
        let own: Vec<String> = own.collect();
        if !own.is_empty() {
            execute(session, &format!("INSERT INTO s{stream} VALUES {}", own.join(", ")));
        }
    }
}

fn literals(row: &Row) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    format!(
        "({}, {}, {}, {}, {}, '{}')",
        or_null(row.k.map(quoted)),
        row.g,
        or_null(row.v.map(|v| v.to_string())),
        or_null(row.d.map(super::decimal)),
        or_null(row.name.map(quoted)),
        iso(row.ts)
    )
}

/// What a stream gave when its inputs had been silent for long, and when they had ended.
pub(crate) struct Lived {
    /// What was there before the end; of queries whose windows the clock alone closes.
    pub(crate) before_the_end: Option<Vec<String>>,
    pub(crate) at_the_end: Found,
}

/// Lets a job live through `timeline`, in batches of `rows` rows.
pub(crate) fn live(timeline: &Timeline, query: &Query, rows: usize, workers: usize) -> Lived {
    let clock = clock();
    let mut session = session(
        &Engine::Stream { rows, workers },
        std::sync::Arc::<velostream::time::ManualClock>::clone(&clock),
    );
    timeline.declare(&mut session);
    execute(&mut session, &format!("CREATE STREAM out AS {}", query.ours()));
    for phase in &timeline.phases {
        insert(&mut session, &phase.rows, timeline.streams);
        session.rest(LIMIT).unwrap();
        clock.advance_millis(phase.pause_s * 1_000);
        session.rest(LIMIT).unwrap();
        if phase.restart {
            session.restart().unwrap();
        }
    }
    // Longer than any window and any pause: nothing is left that could hold a window open.
    for _ in 0..2 {
        clock.advance_millis(Duration::from_secs(1_000).as_millis().try_into().unwrap());
        session.rest(LIMIT).unwrap();
    }
    let before_the_end = query.is_windowed().then(|| folded(&session));
    session.end_inputs(LIMIT).unwrap();
    let reports = session.jobs()[0].reports();
    for report in &reports {
        assert_eq!(report.unaccounted(), 0, "{report:#?}");
    }
    let late = reports.iter().map(|report| report.late).sum();
    Lived { before_the_end, at_the_end: Found { rows: folded(&session), late } }
}

/// Answers over all rows of `timeline` at once: in batch mode, and with DataFusion alone where it has the words.
pub(crate) fn at_once(timeline: &Timeline, query: &Query) -> (Vec<String>, Option<Vec<String>>) {
    let mut session = session(&Engine::Batch, clock());
    timeline.declare(&mut session);
    for phase in &timeline.phases {
        insert(&mut session, &phase.rows, timeline.streams);
    }
    session.end_inputs(LIMIT).unwrap();
    let Answer::Rows(batches) = execute(&mut session, &query.ours()) else { panic!("no rows") };
    let plain = query.plain().map(|sql| with_datafusion(&sql, &timeline.by_stream()));
    (sorted(&batches), plain)
}
