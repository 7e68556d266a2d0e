//! [`Site`]: the rows of every [`Dataset`] that queries read, for a number of bids.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::digest::Digest;
use crate::connect::nexmark::{NexmarkGenerator, NexmarkKind};
use crate::error::{Error, Result};

/// The seed of all benchmark data.
pub(super) const SEED: u64 = 1;
/// Events of all kinds in a second of event time.
pub(super) const EVENTS_PER_SECOND: u64 = 10_000;
/// The event time of the first event: 2026-01-01 in epoch milliseconds.
const BASE_TIME_MILLIS: i64 = 1_767_225_600_000;
/// How many rows are made at a time, and a batch in memory has.
const BATCH_ROWS: u64 = 65_536;
/// How many rows the side input has: one for each remainder that its query divides by.
const SIDE_ROWS: u64 = 10_000;
/// How many rows of a stretch stand for the rules by which all are made.
const SAMPLE_ROWS: u64 = 1_000;
/// Where the stretches begin: some rules show only once there are many people and auctions.
const SAMPLES: [u64; 2] = [0, 1_000_000];

/// Something that queries read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dataset {
    /// People who register.
    Person,
    /// What is put up for sale.
    Auction,
    /// Who offers how much for what.
    Bid,
    /// A text for each number below 10,000.
    SideInput,
}

impl Dataset {
    /// Returns the name by which queries read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Auction => "auction",
            Self::Bid => "bid",
            Self::SideInput => "side_input",
        }
    }

    fn kind(self) -> Option<NexmarkKind> {
        match self {
            Self::Person => Some(NexmarkKind::Person),
            Self::Auction => Some(NexmarkKind::Auction),
            Self::Bid => Some(NexmarkKind::Bid),
            Self::SideInput => None,
        }
    }

    /// Returns whether its rows have a time, `dateTime`.
    pub(super) fn has_time(self) -> bool {
        self.kind().is_some()
    }

    /// Returns the columns as both engines declare them. The first is the key, if it is read as a table.
    pub(super) fn schema(self) -> SchemaRef {
        let Some(kind) = self.kind() else {
            let fields = [("key", DataType::Int64), ("value", DataType::Utf8)];
            let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
            return Arc::new(Schema::new(fields.to_vec()));
        };
        let own = kind.schema();
        let nullable = own.fields().iter().map(|field| Field::clone(field).with_nullable(true));
        Arc::new(Schema::new(nullable.collect::<Vec<_>>()))
    }
}

/// An auction site from its first event to a number of bids.
pub(super) struct Site {
    generator: NexmarkGenerator,
    bids: u64,
}

impl Site {
    /// Creates the site with its first `bids` bids, where `events_per_second` of all kinds happen in a second.
    pub(super) fn try_new(bids: u64, events_per_second: u64) -> Result<Self> {
        if bids == 0 {
            return Err(
                Error::invalid("no bids, nothing to measure").with_hint("give `--events` a number above 0")
            );
        }
        Ok(Self { generator: NexmarkGenerator::try_new(SEED, events_per_second, BASE_TIME_MILLIS)?, bids })
    }

    /// Returns how many rows a dataset has: of people and auctions those that come before the last bid.
    pub(super) fn rows(&self, dataset: Dataset) -> u64 {
        let events = NexmarkKind::Bid.event(self.bids - 1).saturating_add(1);
        dataset.kind().map_or(SIDE_ROWS, |kind| kind.rows_below(events))
    }

    /// Makes the rows `from..to` of a dataset.
    fn batch(&self, dataset: Dataset, from: u64, to: u64) -> Result<RecordBatch> {
        let Some(kind) = dataset.kind() else { return side_input(from, to.min(SIDE_ROWS)) };
        let (first, end) = (kind.event(from), kind.event(to));
        let rows = self.generator.batch(kind, first, end - first, None)?;
        Ok(rows.with_schema(dataset.schema())?)
    }

    /// Makes all rows of a dataset, batch by batch.
    pub(super) fn batches(&self, dataset: Dataset) -> impl Iterator<Item = Result<RecordBatch>> {
        let count = self.rows(dataset);
        let starts = (0..count).step_by(usize::try_from(BATCH_ROWS).unwrap_or(usize::MAX));
        starts.map(move |from| self.batch(dataset, from, (from + BATCH_ROWS).min(count)))
    }

    /// Returns a text that changes when other rows are made, so that no stale file is ever used.
    pub(super) fn version(&self, dataset: Dataset) -> Result<String> {
        let mut digest = Digest::default();
        for from in SAMPLES {
            digest.add(&self.batch(dataset, from, from + SAMPLE_ROWS)?, None, &dataset.schema())?;
        }
        Ok(format!("{:08x}", digest.hash >> 32))
    }
}

fn side_input(from: u64, to: u64) -> Result<RecordBatch> {
    let keys: Int64Array = (from..to).map(|key| i64::try_from(key).ok()).collect();
    let values: StringArray = (from..to).map(|key| Some(format!("value {key}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values)];
    Ok(RecordBatch::try_new(Dataset::SideInput.schema(), columns)?)
}
