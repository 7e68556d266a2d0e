//! Nexmark's proportions, sizes and times, and that rows follow from seed and number alone.

use std::collections::HashMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::json::LineDelimitedWriter;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use super::{NexmarkGenerator, NexmarkKind};

const KINDS: [NexmarkKind; 3] = [NexmarkKind::Person, NexmarkKind::Auction, NexmarkKind::Bid];
const BASE: i64 = 1_767_225_600_000;

fn generator(seed: u64) -> NexmarkGenerator {
    NexmarkGenerator::try_new(seed, 10_000, BASE).unwrap()
}

fn batch(kind: NexmarkKind, events: u64) -> RecordBatch {
    generator(1).batch(kind, 0, events, None).unwrap()
}

fn numbers(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch.column_by_name(column).unwrap().as_primitive::<TimestampMillisecondType>().values().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_are_the_whole(mut cuts in proptest::collection::vec(0u64..10_000, 0..6), seed: u64) {
        cuts.extend([0, 10_000]);
        cuts.sort_unstable();
        for kind in KINDS {
            let all = generator(seed).batch(kind, 0, 10_000, None).unwrap();
            let piece = |cut: &[u64]| generator(seed).batch(kind, cut[0], cut[1] - cut[0], None).unwrap();
            let pieces: Vec<RecordBatch> = cuts.windows(2).map(piece).collect();
            prop_assert_eq!(concat_batches(&all.schema(), &pieces).unwrap(), all.clone());
            let columns = [3, 0];
            let some = generator(seed).batch(kind, 0, 10_000, Some(&columns)).unwrap();
            prop_assert_eq!(some, all.project(&columns).unwrap());
        }
    }
}

#[test]
fn streams_are_one_to_three_to_forty_six() {
    assert_eq!(KINDS.map(|kind| batch(kind, 100_000).num_rows()), [2_000, 6_000, 92_000]);
    for kind in KINDS {
        for row in 0..500 {
            assert_eq!(kind.rows_below(kind.event(row)), row);
            assert_eq!(kind.rows_below(kind.event(row) + 1), row + 1);
        }
    }
}

#[test]
fn rows_without_columns_are_counted() {
    let rows = generator(1).batch(NexmarkKind::Bid, 0, 1_000, Some(&[])).unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (920, 0));
    assert!(generator(1).batch(NexmarkKind::Bid, 0, 1_000, Some(&[7])).is_err());
}

#[test]
fn seeds_differ() {
    for kind in KINDS {
        let rows = |seed| generator(seed).batch(kind, 0, 100, None).unwrap();
        assert_ne!(rows(1), rows(2));
    }
}

#[test]
fn event_times_are_up_to_four_seconds_out_of_order() {
    for kind in KINDS {
        let times = times(&batch(kind, 1_000_000), "dateTime");
        let (mut newest, mut latest) = (i64::MIN, 0);
        for time in &times {
            newest = newest.max(*time);
            latest = latest.max(newest - time);
        }
        assert!((3_800..4_000).contains(&latest), "{latest} ms");
        assert!(times.iter().all(|time| (BASE..BASE + 100_000).contains(time)));
        assert!(newest > BASE + 99_000);
    }
}

#[test]
fn json_rows_have_the_usual_sizes() {
    // The names and times of a bid alone take 100 bytes, so that it cannot be as small as its binary form.
    for (kind, expected) in KINDS.into_iter().zip([200, 500, 190]) {
        let mut json = LineDelimitedWriter::new(Vec::new());
        let rows = batch(kind, 100_000);
        json.write(&rows).unwrap();
        let mean = json.into_inner().len() / rows.num_rows();
        assert!(mean.abs_diff(expected) <= expected / 20, "{kind:?}: {mean} bytes");
    }
}

#[test]
fn references_hold_and_some_are_hot() {
    let bids = batch(NexmarkKind::Bid, 1_000_000);
    let events = (0..).map(|row| NexmarkKind::Bid.event(row));
    let (auctions, bidders) = (numbers(&bids, "auction"), numbers(&bids, "bidder"));
    for ((auction, bidder), event) in auctions.iter().zip(&bidders).zip(events) {
        let newest = |kind: NexmarkKind| 1_000 + i64::try_from(kind.rows_below(event)).unwrap();
        assert!(
            (newest(NexmarkKind::Auction) - 100..newest(NexmarkKind::Auction)).contains(auction)
                || auction % 100 == 0
        );
        assert!((1_000..newest(NexmarkKind::Person)).contains(bidder));
    }
    let share = |hot: usize| hot as f64 / auctions.len() as f64;
    let hot_auctions = share(auctions.iter().filter(|id| **id % 100 == 0).count());
    let hot_bidders = share(bidders.iter().filter(|id| **id % 100 == 1).count());
    assert!((0.48..0.54).contains(&hot_auctions), "{hot_auctions}");
    assert!((0.73..0.79).contains(&hot_bidders), "{hot_bidders}");
    let mut decades: HashMap<u32, usize> = HashMap::new();
    for price in numbers(&bids, "price") {
        *decades.entry(u32::try_from(price.min(99_999_999)).unwrap().ilog10()).or_default() += 1;
    }
    assert_eq!(decades.len(), 6);
    assert!(decades.values().all(|count| (0.15..0.18).contains(&share(*count))), "{decades:?}");
    let people = batch(NexmarkKind::Person, 1_000);
    assert_eq!(numbers(&people, "id"), (1_000..1_020).collect::<Vec<_>>());
}

#[test]
fn auctions_end_after_they_start_and_cost_more_than_the_first_bid() {
    let auctions = batch(NexmarkKind::Auction, 100_000);
    assert!(
        times(&auctions, "dateTime").iter().zip(times(&auctions, "expires")).all(|(start, end)| end > *start)
    );
    assert!(
        numbers(&auctions, "initialBid")
            .iter()
            .zip(numbers(&auctions, "reserve"))
            .all(|(bid, reserve)| reserve > *bid)
    );
    assert!(numbers(&auctions, "category").iter().all(|category| (10..15).contains(category)));
}

#[test]
fn addresses_follow_from_the_channel() {
    let bids = batch(NexmarkKind::Bid, 200_000);
    let text = |column: &str| bids.column_by_name(column).unwrap().as_string::<i32>().clone();
    let mut known = HashMap::new();
    let (channels, urls) = (text("channel"), text("url"));
    for (channel, url) in channels.iter().flatten().zip(urls.iter().flatten()) {
        assert_eq!(*known.entry(channel).or_insert(url), url);
        assert_eq!(url.split('/').count(), 7);
        assert_eq!(channel.strip_prefix("channel-"), url.split_once("channel_id=").map(|(_, id)| id));
    }
}
