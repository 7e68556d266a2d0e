//! Joins with versions against a model that looks all of them through.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{AsOfJoin, AsOfMatch, AsOfSpec};
use super::model::{Bag, Given, columns, fold};
use super::streams::{
    Arrival, EPOCH, Event, Job, Row, batch, condition, pair_schema, rows_in_time, run, schema,
};
use super::{cuts, events};
use crate::flow::{ChangeBatch, Operator};
use crate::time::Watermark;

const MATCHES: [AsOfMatch; 4] =
    [AsOfMatch::AtOrBefore, AsOfMatch::Before, AsOfMatch::AtOrAfter, AsOfMatch::After];

#[derive(Debug, Clone)]
struct Case {
    matching: AsOfMatch,
    keeps_unmatched: bool,
    nulls_match: bool,
    with_condition: bool,
    keyed: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let matching = prop::sample::select(MATCHES.to_vec());
    (matching, any::<bool>(), any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.9)).prop_map(
        |(matching, keeps_unmatched, nulls_match, with_condition, keyed)| Case {
            matching,
            keeps_unmatched,
            nulls_match,
            with_condition,
            keyed,
        },
    )
}

impl Case {
    fn spec(&self) -> AsOfSpec {
        AsOfSpec {
            inputs: [schema(), schema()],
            keys: [(); 2].map(|()| if self.keyed { vec![0] } else { vec![] }),
            nulls_match: self.nulls_match,
            times: [1, 1],
            ties: vec![3],
            matching: self.matching,
            keeps_unmatched: self.keeps_unmatched,
            condition: self.with_condition.then(condition),
            output: pair_schema(),
        }
    }

    fn job(&self) -> Job {
        let spec = Arc::new(self.spec());
        Job {
            inputs: spec.inputs.clone(),
            keys: spec.keys.clone(),
            make: Box::new(move || {
                Box::new(AsOfJoin::try_new("as of".to_owned(), Arc::clone(&spec), true).unwrap())
            }),
            time_of: |row| row[1].unwrap(),
        }
    }

    fn version_of(&self, row: &Row, arrivals: &[Arrival]) -> Option<Row> {
        let mut timeline: BTreeMap<i64, Option<Row>> = BTreeMap::new();
        let same_key =
            |other: &Row| !self.keyed || other.key == row.key && (row.key.is_some() || self.nulls_match);
        for version in arrivals.iter().filter(|arrival| arrival.port == 1 && same_key(&arrival.row)) {
            timeline.insert(version.row.time, (!version.withdraws).then_some(version.row));
        }
        let version = match self.matching {
            AsOfMatch::AtOrBefore => timeline.range(..=row.time).next_back().and_then(|(_, row)| *row),
            AsOfMatch::Before => timeline.range(..row.time).next_back().and_then(|(_, row)| *row),
            AsOfMatch::AtOrAfter => timeline.range(row.time..).find_map(|(_, row)| *row),
            AsOfMatch::After => timeline.range(row.time + 1..).find_map(|(_, row)| *row),
        };
        version.filter(|version| match (row.value, version.value) {
            _ if !self.with_condition => true,
            (Some(left), Some(right)) => left <= right,
            _ => false,
        })
    }

    fn answer(&self, arrivals: &[Arrival]) -> Bag {
        let rows = arrivals.iter().filter(|arrival| arrival.port == 0).map(|arrival| arrival.row);
        fold(rows.filter_map(|row| {
            let version = self.version_of(&row, arrivals);
            let right = match &version {
                Some(version) => columns(version),
                None if self.keeps_unmatched => vec![None; 4],
                None => return None,
            };
            Some(([columns(&row), right].concat(), 1))
        }))
    }
}

/// Rows of the stream, and versions that start or, where something is withdrawn, end.
fn arrivals(events: &[Event]) -> Vec<Arrival> {
    let ends = events.iter().map(|event| event.port == 1 && event.withdraws.is_some());
    let rows: Vec<Event> = events.iter().map(|event| Event { withdraws: None, ..event.clone() }).collect();
    let mut ends = ends.collect::<Vec<_>>().into_iter();
    let in_time = rows_in_time(&rows);
    in_time
        .into_iter()
        .filter_map(|arrival| {
            let is_end = ends.next().unwrap_or_default();
            arrival.map(|arrival| Arrival { withdraws: is_end, ..arrival })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn each_row_gets_the_version_of_its_time(case in cases(), events in events(true), cuts in cuts()) {
        let arrivals = arrivals(&events);
        let given = run(&case.job(), &arrivals, &cuts);
        for batch in &given {
            let place = |(row, _): &(Given, i64)| (row[1], row[3]);
            prop_assert!(batch.is_sorted_by_key(place), "not in order: {batch:?}");
        }
        prop_assert_eq!(fold(given.concat()), case.answer(&arrivals));
    }
}

#[test]
fn versions_that_no_row_can_reach_take_no_room() {
    for matching in MATCHES {
        let case =
            Case { matching, keeps_unmatched: true, nulls_match: false, with_condition: false, keyed: true };
        let mut join = AsOfJoin::try_new("as of".to_owned(), Arc::new(case.spec()), false).unwrap();
        let row = |time: i64| Row { key: Some(time % 7), time, mark: 0, value: Some(time) };
        let versions = ChangeBatch::inserts(batch(&(0..20_000).map(row).collect::<Vec<_>>()));
        join.apply(1, &versions, &EPOCH).unwrap();
        assert!(join.advance(Watermark::from_millis(0), &EPOCH).unwrap().is_empty());
        let much = join.bytes();
        join.advance(Watermark::from_millis(20_000), &EPOCH).unwrap();
        let little = join.bytes();
        assert!(little < much / 20, "{matching:?}: {little} of {much} bytes are left");
    }
}
