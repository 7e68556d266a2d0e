//! Every query gives the same rows as DataFusion, whatever the input; and the digest sees what differs.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{Float64Array, Int8Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::check::check;
use super::data::{Input, InputFormat};
use super::datafusion::Batch;
use super::dataset::{Dataset, Site};
use super::digest::{Digest, meeting_schema};
use super::measure::median;
use super::nexmark::{Request, nexmark};
use super::queries::{BenchQuery, QUERIES};
use super::velostream::Streaming;
use crate::time::{Clock, SystemClock};

const BIDS: u64 = 20_000;
/// Few, so that the bids are in several windows.
const EVENTS_PER_SECOND: u64 = 1_000;
const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn answers_equal(format: InputFormat) {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let site = Site::try_new(BIDS, EVENTS_PER_SECOND).unwrap();
    let datasets = [Dataset::Person, Dataset::Auction, Dataset::Bid, Dataset::SideInput];
    let inputs = datasets.map(|dataset| Input::prepare(&site, dataset, format, directory.path()).unwrap());
    let streaming = Streaming::new(&inputs, TWO, clock).unwrap().in_small_batches();
    let batch = Batch::new(&inputs, TWO).unwrap();
    let all = |query: &BenchQuery| query.reads().map(|dataset| site.rows(dataset)).sum::<u64>();
    let failed: Vec<String> = QUERIES
        .iter()
        .filter_map(|query| match check(query, &streaming, &batch) {
            Ok(checked) if checked.rows > 0 && checked.read == all(query) => None,
            Ok(checked) => Some(format!("{}: {checked:?}", query.name)),
            Err(error) => Some(format!("{}: {}", query.name, error.report())),
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn answers_over_json_equal_datafusions() {
    answers_equal(InputFormat::Json);
}

#[test]
fn answers_over_csv_equal_datafusions() {
    answers_equal(InputFormat::Csv);
}

#[test]
fn answers_over_parquet_equal_datafusions() {
    answers_equal(InputFormat::Parquet);
}

#[test]
fn answers_over_memory_equal_datafusions() {
    answers_equal(InputFormat::Memory);
}

#[test]
fn people_and_auctions_are_those_before_the_last_bid() {
    let site = Site::try_new(47, EVENTS_PER_SECOND).unwrap();
    let rows = [Dataset::Person, Dataset::Auction, Dataset::Bid].map(|dataset| site.rows(dataset));
    assert_eq!(rows, [2, 6, 47]);
    let side_input: usize = site.batches(Dataset::SideInput).map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(side_input, 10_000);
    let other = Site::try_new(47, 2 * EVENTS_PER_SECOND).unwrap();
    assert_ne!(site.version(Dataset::Person).unwrap(), other.version(Dataset::Person).unwrap());
}

#[test]
fn a_file_is_made_once_and_a_report_has_both_engines() {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let request = Request {
        query: Some("T1".to_owned()),
        bids: 5_000,
        format: InputFormat::Csv,
        parallelism: TWO,
        rounds: 1,
        directory: directory.path().to_owned(),
    };
    let mut said = vec![];
    assert!(nexmark(&request, &clock, |text| said.push(text.to_owned())).unwrap().is_empty());
    let said = said.join("\n");
    for part in ["velostream  ", "datafusion  ", "velostream / datafusion = ", "of 5000 read)"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let made = |path: &std::path::Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let file = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let first = made(&file);
    nexmark(&request, &clock, |_| {}).unwrap();
    assert_eq!((made(&file), std::fs::read_dir(directory.path()).unwrap().count()), (first, 1));

    let unknown = Request { query: Some("q99".to_owned()), ..request };
    let error = nexmark(&unknown, &clock, |_| {}).unwrap_err();
    assert_eq!(error.message(), "unknown benchmark query `q99`");
}

#[test]
fn a_digest_folds_changes_ignores_order_and_sees_values() {
    let schema =
        |number| Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", number, true)]);
    let floats = Arc::new(schema(DataType::Float64));
    let meeting = meeting_schema(&floats, &schema(DataType::Decimal128(20, 3))).unwrap();
    let digest = |keys: Vec<i64>, values: Vec<f64>, weights: Option<Vec<i8>>| {
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int64Array::from(keys)), Arc::new(Float64Array::from(values))];
        let rows = RecordBatch::try_new(Arc::clone(&floats), columns).unwrap();
        let mut digest = Digest::default();
        digest.add(&rows, weights.map(Int8Array::from).as_ref(), &meeting).unwrap();
        digest
    };
    let plain = digest(vec![1, 2], vec![0.3, -0.0], None);
    assert_eq!(digest(vec![2, 1], vec![0.0, 0.1 + 0.2], None), plain);
    assert_eq!(digest(vec![1, 1, 2, 1], vec![7.0, 7.0, 0.0, 0.3], Some(vec![1, -1, 1, 1])), plain);
    assert_ne!(digest(vec![1, 2], vec![0.300_000_01, 0.0], None), plain);
    assert_eq!(plain.rows, 2);
    assert!(meeting_schema(&schema(DataType::Utf8), &floats).is_err());
}

#[test]
fn a_median_is_the_middle() {
    assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    assert_eq!(median([].into_iter()), None);
}
