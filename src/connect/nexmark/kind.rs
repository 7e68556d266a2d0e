//! [`NexmarkKind`]: which events are people, auctions and bids, and what columns they have.

use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::{Error, Result};

/// The events of one round: 1 person, then 3 auctions, then 46 bids.
pub(super) const ROUND: u64 = 50;

/// One of the three streams of Nexmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NexmarkKind {
    /// Somebody registers: 1 of 50 events.
    Person,
    /// Something is put up for sale: 3 of 50 events.
    Auction,
    /// Somebody bids: 46 of 50 events.
    Bid,
}

impl NexmarkKind {
    /// Returns the names that options use.
    pub const NAMES: [&'static str; 3] = ["person", "auction", "bid"];

    /// Returns how many events of a round are of this kind.
    pub(super) fn per_round(self) -> u64 {
        match self {
            Self::Person => 1,
            Self::Auction => 3,
            Self::Bid => 46,
        }
    }

    /// Returns the place in a round of the first event of this kind.
    fn first_in_round(self) -> u64 {
        match self {
            Self::Person => 0,
            Self::Auction => 1,
            Self::Bid => 4,
        }
    }

    /// Returns the event number of the `row`-th event of this kind.
    ///
    /// ```
    /// use velostream::connect::nexmark::NexmarkKind;
    ///
    /// assert_eq!(NexmarkKind::Auction.event(3), 51);
    /// assert_eq!(NexmarkKind::Auction.rows_below(51), 3);
    /// ```
    pub fn event(self, row: u64) -> u64 {
        let round = row / self.per_round();
        round.saturating_mul(ROUND).saturating_add(self.first_in_round() + row % self.per_round())
    }

    /// Returns how many events of this kind have a number below `event`.
    pub fn rows_below(self, event: u64) -> u64 {
        let in_round = (event % ROUND).saturating_sub(self.first_in_round()).min(self.per_round());
        event / ROUND * self.per_round() + in_round
    }

    /// Returns the columns, in the order and with the names of Nexmark's SQL.
    pub fn schema(self) -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let columns: &[(&str, DataType)] = match self {
            Self::Person => &[
                ("id", DataType::Int64),
                ("name", DataType::Utf8),
                ("emailAddress", DataType::Utf8),
                ("creditCard", DataType::Utf8),
                ("city", DataType::Utf8),
                ("state", DataType::Utf8),
                ("dateTime", time),
                ("extra", DataType::Utf8),
            ],
            Self::Auction => &[
                ("id", DataType::Int64),
                ("itemName", DataType::Utf8),
                ("description", DataType::Utf8),
                ("initialBid", DataType::Int64),
                ("reserve", DataType::Int64),
                ("dateTime", time.clone()),
                ("expires", time),
                ("seller", DataType::Int64),
                ("category", DataType::Int64),
                ("extra", DataType::Utf8),
            ],
            Self::Bid => &[
                ("auction", DataType::Int64),
                ("bidder", DataType::Int64),
                ("price", DataType::Int64),
                ("channel", DataType::Utf8),
                ("url", DataType::Utf8),
                ("dateTime", time),
                ("extra", DataType::Utf8),
            ],
        };
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), false);
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    }
}

impl FromStr for NexmarkKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "person" => Ok(Self::Person),
            "auction" => Ok(Self::Auction),
            "bid" => Ok(Self::Bid),
            _ => Err(Error::invalid(format!("`{text}` is not a Nexmark stream"))
                .with_hint("accepted: `person`, `auction`, `bid`")),
        }
    }
}
