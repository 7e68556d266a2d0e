//! How far jobs are with the partitions of a stream.

use super::show::{aligned, readers};
use crate::job::{HeldBack, JobReport, PartitionReport, PartitionState, SourceReport};
use crate::time::Watermark;

#[test]
fn each_partition_says_how_far_it_is_and_the_slowest_since_when() {
    let partition = |name: &str, records, millis, state| PartitionReport {
        name: name.to_owned(),
        records,
        watermark: Watermark::from_millis(millis),
        state,
    };
    let slow = partition("t-0", 3, 1_000, PartitionState::Active);
    let quiet = partition("t-1", 9, 9_000, PartitionState::Idle);
    let source = |name: &str| SourceReport {
        name: name.to_owned(),
        by_partition: vec![slow.clone(), quiet.clone()],
        ..SourceReport::default()
    };
    let held = HeldBack { source: "s".to_owned(), partition: "t-0".to_owned(), since_ms: 60_000 };
    let job = JobReport {
        name: "counted".to_owned(),
        sources: vec![source("s"), source("other")],
        held_back_by: Some(held),
        ..JobReport::default()
    };
    let header = ["job", "partition", "records", "watermark", "state", "holds_back_since"];
    let shown = aligned(&header, readers(&job, "s").into_iter());
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], header);
    assert_eq!(lines[1], ["counted", "t-0", "3", "1970-01-01T00:00:01Z", "active", "1970-01-01T00:01:00Z"]);
    assert_eq!(lines[2], ["counted", "t-1", "9", "1970-01-01T00:00:09Z", "idle", "-"]);
    assert_eq!(lines.len(), 3);
    assert!(readers(&job, "nobody").is_empty());
}
