//! The columns of `auction`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};

use super::generator::Columns;
use super::model::{Chance, LATENESS_MILLIS, Model};
use crate::connect::dice::Throws;
use crate::error::Result;

/// Letters of padding that bring an auction, as a line of JSON, to about 500 bytes.
const EXTRA_CHARS: u64 = 240;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

impl Columns<'_> {
    /// Makes the column of `auction` with this name.
    pub(super) fn auction(&self, column: &str) -> Result<ArrayRef> {
        match column {
            "id" => self.ids(),
            "itemName" => self.text(Chance::Item, 20, |throws, out| words(throws, out, 20)),
            "description" => self.text(Chance::Description, 100, |throws, out| words(throws, out, 100)),
            "initialBid" => Ok(Arc::new(self.prices())),
            "reserve" => Ok(Arc::new(self.reserves())),
            "dateTime" => Ok(Arc::new(self.times())),
            "expires" => Ok(Arc::new(self.expiries())),
            "seller" => self.numbers(Chance::Seller, Model::seller),
            "category" => {
                self.numbers(Chance::Category, |throws, _| FIRST_CATEGORY + throws.below(CATEGORIES))
            }
            "extra" => self.extra(Chance::AuctionExtra, EXTRA_CHARS),
            _ => Err(Self::unknown(column)),
        }
    }

    /// Makes reserve prices: above the initial bid by a price of their own.
    fn reserves(&self) -> Int64Array {
        let dice = self.model.dice(Chance::Reserve);
        let above = self.events.iter().map(|event| Model::price(&mut dice.at(*event)));
        self.prices().values().iter().zip(above).map(|(initial, above)| initial + above).collect()
    }

    /// Makes expiry times, after the event time of the auction.
    ///
    /// Auctions last about as long as they get bids, and as bids may be late, so that many bids come in time.
    fn expiries(&self) -> TimestampMillisecondArray {
        let dice = self.model.dice(Chance::Expiry);
        let longest = 2 * (self.model.open_millis() + LATENESS_MILLIS);
        let length = |event: &u64| i64::try_from(1 + dice.at(*event).below(longest)).unwrap_or(i64::MAX);
        let times = self.times();
        let expiries = times.values().iter().zip(self.events).map(|(time, event)| time + length(event));
        TimestampMillisecondArray::from_iter_values(expiries)
    }
}

/// Writes words of small letters, 3 to `longest` characters in all.
fn words(throws: &mut Throws, out: &mut Vec<u8>, longest: u64) {
    let count = usize::try_from(3 + throws.below(longest - 2)).unwrap_or(3);
    let start = out.len();
    throws.letters(out, count);
    let mut gap = start + 2;
    loop {
        gap += usize::try_from(2 + throws.below(8)).unwrap_or(2);
        // The last character stays a letter, so that no trailing space is there to be lost.
        match out.get_mut(gap) {
            Some(letter) if gap + 1 < start + count => *letter = b' ',
            _ => break,
        }
    }
}
