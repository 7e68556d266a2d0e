//! Joins against a model that keeps everything and compares each two rows, whatever the epochs and restarts.

mod as_of;
mod model;
mod streams;

use std::sync::Arc;

use proptest::prelude::*;

use self::model::{answer, fold};
use self::streams::{Case, Cuts, EPOCH, Event, Row, arrivals, batch, run};
use super::{JoinKind, Keeping, StreamJoin, Unmatched};
use crate::flow::{ChangeBatch, Operator};
use crate::time::Watermark;

const KINDS: [JoinKind; 7] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::LeftSemi,
    JoinKind::LeftAnti,
    JoinKind::LeftMark,
];

fn keepings() -> impl Strategy<Value = Keeping> {
    prop_oneof![
        3 => (-12_i64..12, 0_i64..12)
            .prop_map(|(lower_ms, span)| Keeping::Within { lower_ms, upper_ms: lower_ms + span }),
        1 => (0_i64..20).prop_map(|ttl_ms| Keeping::For { ttl_ms }),
        1 => Just(Keeping::Always),
    ]
}

fn events(withdrawals: bool) -> impl Strategy<Value = Vec<Event>> {
    let value = || prop::option::weighted(0.9, 0..3_i64);
    let event =
        (0..2_usize, value(), -6_i64..4, 0..9_i64, value()).prop_map(|(port, key, ahead, behind, value)| {
            Event { port, key, ahead, behind, value, withdraws: None }
        });
    let withdrawn =
        prop::option::weighted(0.3, 0..1_000_usize).prop_map(move |which| which.filter(|_| withdrawals));
    prop::collection::vec(
        (event, withdrawn).prop_map(|(event, withdraws)| Event { withdraws, ..event }),
        0..120,
    )
}

fn cuts() -> impl Strategy<Value = Cuts> {
    (1..40_usize, prop::option::of(1..30_usize), prop::collection::vec(1..4_usize, 1..4))
        .prop_map(|(epoch, restart_after, shards)| Cuts { epoch, restart_after, shards })
}

fn cases() -> impl Strategy<Value = Case> {
    let kind = prop::sample::select(KINDS.to_vec());
    let lags = prop_oneof![Just([0, 0]), [0..9_i64, 0..9_i64]];
    (kind, keepings(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.8), lags).prop_map(
        |(kind, keeping, nulls_match, with_condition, keyed, lags)| Case {
            kind,
            keeping,
            unmatched: Unmatched::WhenSure,
            nulls_match,
            with_condition,
            keyed,
            lags: if matches!(keeping, Keeping::Within { .. }) { lags } else { [0, 0] },
        },
    )
}

/// Of a changelog, or kept as a changelog keeps its rows.
fn changing_cases() -> impl Strategy<Value = Case> {
    cases().prop_map(|case| Case { unmatched: Unmatched::AtOnce, ..case })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sure_is_the_join_and_is_never_taken_back(case in cases(), events in events(false), cuts in cuts()) {
        let changes = run(&case.job(), &arrivals(&case, &events), &cuts).concat();
        prop_assert!(changes.iter().all(|(_, weight)| *weight > 0), "something is taken back");
        prop_assert_eq!(fold(changes), answer(&case, &events));
    }

    #[test]
    fn what_is_given_at_once_comes_to_the_join_of_what_is_left(
        case in changing_cases(),
        events in (any::<bool>()).prop_flat_map(events),
        cuts in cuts(),
    ) {
        let events: Vec<Event> = match case.keeping {
            Keeping::Within { .. } => {
                events.into_iter().map(|event| Event { withdraws: None, ..event }).collect()
            }
            _ => events,
        };
        let changes = run(&case.job(), &arrivals(&case, &events), &cuts).concat();
        let mut so_far = fold([]);
        for (row, weight) in &changes {
            *so_far.entry(row.clone()).or_default() += weight;
            prop_assert!(so_far[row] >= 0, "{row:?} is taken back before it was given");
        }
        prop_assert_eq!(fold(changes), answer(&case, &events));
    }
}

#[test]
fn what_can_have_no_partner_any_more_takes_no_room() {
    for (keeping, reach) in [
        (Keeping::Within { lower_ms: -1_000, upper_ms: 2_000 }, 2_000),
        (Keeping::For { ttl_ms: 1_000 }, 1_000),
    ] {
        let case = Case {
            kind: JoinKind::Full,
            keeping,
            unmatched: Unmatched::WhenSure,
            nulls_match: false,
            with_condition: false,
            keyed: true,
            lags: [0, 0],
        };
        let mut join = StreamJoin::try_new("join".to_owned(), Arc::new(case.spec()), false).unwrap();
        let feed = |join: &mut StreamJoin, rows: std::ops::Range<i64>, ahead: i64, watermark: i64| {
            let row = |time: i64| Row { key: Some(time), time: time + ahead, mark: time, value: Some(time) };
            let rows: Vec<Row> = rows.map(row).collect();
            let mut given = 0;
            for port in [0, 1] {
                let change = ChangeBatch::inserts(batch(&rows));
                given += join
                    .apply(port, &change, &EPOCH)
                    .unwrap()
                    .iter()
                    .map(ChangeBatch::num_rows)
                    .sum::<usize>();
            }
            let alone = join.advance(Watermark::from_millis(watermark), &EPOCH).unwrap();
            (given, alone.len(), join.bytes(), join.watermark_behind(Watermark::from_millis(watermark)))
        };
        // A row that is far ahead of its time stands before the others.
        feed(&mut join, -1..0, 1_000_000, 0);
        let (given, alone, much, _) = feed(&mut join, 0..20_000, 0, 0);
        assert_eq!((given, alone), (20_000, 0), "each row has a partner");
        let (_, _, little, behind) = feed(&mut join, 0..0, 0, 20_000 + reach);
        assert!(little < much / 20, "{little} of {much} bytes are left");
        assert_eq!(behind, Watermark::from_millis(20_000 + reach), "no row waits");
        join.advance(Watermark::END, &EPOCH).unwrap();
        let expired = if matches!(keeping, Keeping::For { .. }) { 40_000 } else { 0 };
        assert_eq!(join.expired(), expired, "what the end of the input drops has not expired");
    }
}
