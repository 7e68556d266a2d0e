//! What a join has to give, found by comparing each row with each other.

use std::collections::BTreeMap;

use super::super::{JoinKind, Keeping};
use super::streams::{Case, Event, Row, arrivals};

/// A row of a result: a value for each column.
pub(super) type Given = Vec<Option<i64>>;

/// How often each row is there.
pub(super) type Bag = BTreeMap<Given, i64>;

struct Seen {
    row: Row,
    partners: usize,
    gone: bool,
}

pub(super) fn fold(changes: impl IntoIterator<Item = (Given, i64)>) -> Bag {
    let mut bag = Bag::new();
    for (row, weight) in changes {
        *bag.entry(row).or_default() += weight;
    }
    bag.retain(|_, times| *times != 0);
    bag
}

/// Returns the answer to `case` over `events`.
pub(super) fn answer(case: &Case, events: &[Event]) -> Bag {
    let mut seen: [Vec<Seen>; 2] = [vec![], vec![]];
    let mut given = vec![];
    for arrival in arrivals(case, events) {
        let (port, row) = (arrival.port, arrival.row);
        let weight = if arrival.withdraws { -1 } else { 1 };
        // What goes is given as it came.
        let mut shown = row;
        if arrival.withdraws {
            let by_mark = matches!(case.keeping, Keeping::For { .. });
            let equal = |seen: &&mut Seen| {
                let other = Row { mark: if by_mark { row.mark } else { seen.row.mark }, ..seen.row };
                !seen.gone && other == row && is_alive(case, &row)
            };
            let Some(found) = seen[port].iter_mut().find(equal) else { continue };
            found.gone = true;
            shown = found.row;
        }
        let mut partners = 0;
        for other in seen[1 - port].iter_mut().filter(|other| !other.gone) {
            let (left, right) = if port == 0 { (&row, &other.row) } else { (&other.row, &row) };
            if is_pair(case, left, right) {
                let (left, right) = if port == 0 { (&shown, &other.row) } else { (&other.row, &shown) };
                given.push((pair_of(left, right), weight));
                partners += 1;
                other.partners = if weight > 0 { other.partners + 1 } else { other.partners - 1 };
            }
        }
        if weight > 0 {
            seen[port].push(Seen { row, partners, gone: false });
        }
    }
    let gives_pairs =
        matches!(case.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full);
    given.retain(|_| gives_pairs);
    for (port, rows) in seen.iter().enumerate() {
        let left_behind = rows.iter().filter(|seen| !seen.gone);
        given.extend(left_behind.filter_map(|seen| Some((alone(case.kind, port, seen)?, 1))));
    }
    fold(given)
}

/// Returns whether a row that is withdrawn is still known when that comes.
fn is_alive(case: &Case, withdrawal: &Row) -> bool {
    match case.keeping {
        Keeping::For { ttl_ms } => withdrawal.time + ttl_ms >= withdrawal.mark,
        _ => true,
    }
}

fn is_pair(case: &Case, left: &Row, right: &Row) -> bool {
    let same_key = match (left.key, right.key) {
        _ if !case.keyed => true,
        (None, None) => case.nulls_match,
        (left, right) => left == right && left.is_some(),
    };
    let in_time = match case.keeping {
        Keeping::Within { lower_ms, upper_ms } => (lower_ms..=upper_ms).contains(&(right.time - left.time)),
        Keeping::For { ttl_ms } => left.time + ttl_ms >= right.mark && right.time + ttl_ms >= left.mark,
        Keeping::Always => true,
    };
    let holds = match (left.value, right.value) {
        _ if !case.with_condition => true,
        (Some(left), Some(right)) => left <= right,
        _ => false,
    };
    same_key && in_time && holds
}

pub(super) fn columns(row: &Row) -> Given {
    vec![row.key, Some(row.time), Some(row.mark), row.value]
}

fn pair_of(left: &Row, right: &Row) -> Given {
    [columns(left), columns(right)].concat()
}

fn alone(kind: JoinKind, port: usize, seen: &Seen) -> Option<Given> {
    let (own, matched) = (columns(&seen.row), seen.partners > 0);
    let nulls = vec![None; own.len()];
    match (kind, port) {
        (JoinKind::Left | JoinKind::Full, 0) if !matched => Some([own, nulls].concat()),
        (JoinKind::Right | JoinKind::Full, 1) if !matched => Some([nulls, own].concat()),
        (JoinKind::LeftSemi, 0) if matched => Some(own),
        (JoinKind::LeftAnti, 0) if !matched => Some(own),
        (JoinKind::LeftMark, 0) => Some([own, vec![Some(i64::from(matched))]].concat()),
        _ => None,
    }
}
