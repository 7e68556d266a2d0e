//! [`Model`]: what all three streams have to agree on: event times, ids, and who is in fashion.

use crate::connect::dice::{Dice, Throws};
use crate::connect::nexmark::kind::{NexmarkKind, ROUND};
use crate::error::{Error, Result};

/// The id of the first person and of the first auction.
const FIRST_ID: u64 = 1_000;
/// How late an event may be, in milliseconds: event times are less than this out of order.
pub(super) const LATENESS_MILLIS: u64 = 4_000;
/// How many of the newest auctions get bids.
const OPEN_AUCTIONS: u64 = 100;
/// How many of the newest people bid and sell.
const ACTIVE_PEOPLE: u64 = 1_000;
/// One auction, and one person, out of so many is hot until the next one takes over.
const HOT_STEP: u64 = 100;

/// A column's own stream of chance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chance {
    Lateness = 1,
    Auction,
    Bidder,
    Price,
    Channel,
    Url,
    Seller,
    Category,
    Item,
    Description,
    Reserve,
    Expiry,
    Name,
    Email,
    CreditCard,
    City,
    State,
    PersonExtra,
    AuctionExtra,
    BidExtra,
}

/// The rules of the auction site under one seed.
#[derive(Debug, Clone)]
pub(super) struct Model {
    seed: u64,
    events_per_second: u64,
    base_time_millis: i64,
}

impl Model {
    pub(super) fn try_new(seed: u64, events_per_second: u64, base_time_millis: i64) -> Result<Self> {
        if events_per_second == 0 {
            return Err(Error::invalid("0 events per second of event time is not a rate")
                .with_hint("give `events.per.second` a whole number above 0"));
        }
        Ok(Self { seed, events_per_second, base_time_millis })
    }

    pub(super) fn dice(&self, chance: Chance) -> Dice {
        Dice::new(self.seed, chance as u64)
    }

    /// Returns the event time of `event` in epoch milliseconds, given its lateness throws.
    pub(super) fn time(&self, throws: &mut Throws, event: u64) -> i64 {
        let after = self.millis_of(event).saturating_sub(throws.below(LATENESS_MILLIS));
        self.base_time_millis.saturating_add(i64::try_from(after).unwrap_or(i64::MAX))
    }

    /// Returns the milliseconds after the base time at which `event` would be if none were late.
    pub(super) fn millis_of(&self, event: u64) -> u64 {
        let seconds = event / self.events_per_second;
        let rest = u128::from(event % self.events_per_second) * 1_000 / u128::from(self.events_per_second);
        seconds.saturating_mul(1_000).saturating_add(u64::try_from(rest).unwrap_or(0))
    }

    /// Returns the milliseconds of event time in which as many auctions start as are open at once, at least 1.
    pub(super) fn open_millis(&self) -> u64 {
        let events = OPEN_AUCTIONS * ROUND / NexmarkKind::Auction.per_round();
        self.millis_of(events).max(1)
    }

    /// Returns the id of the `row`-th person or auction.
    pub(super) fn id(row: u64) -> u64 {
        FIRST_ID.saturating_add(row)
    }

    /// Returns the auction that the bid `event` is for: half of the bids go to the hot one.
    pub(super) fn auction(throws: &mut Throws, event: u64) -> u64 {
        let newest = NexmarkKind::Auction.rows_below(event) - 1;
        Self::id(chosen(throws, newest, 2, OPEN_AUCTIONS, 0))
    }

    /// Returns who bids: three of four bids come from the hot person.
    pub(super) fn bidder(throws: &mut Throws, event: u64) -> u64 {
        let newest = NexmarkKind::Person.rows_below(event) - 1;
        Self::id(chosen(throws, newest, 4, ACTIVE_PEOPLE, 1))
    }

    /// Returns who sells: three of four auctions come from the hot person, another one than the hot bidder.
    pub(super) fn seller(throws: &mut Throws, event: u64) -> u64 {
        let newest = NexmarkKind::Person.rows_below(event) - 1;
        Self::id(chosen(throws, newest, 4, ACTIVE_PEOPLE, 0))
    }

    /// Returns a price in cents: from 1 to 1,000,000 dollars, every order of magnitude as likely as the others.
    pub(super) fn price(throws: &mut Throws) -> i64 {
        let dollars = 10f64.powf(throws.unit() * 6.0);
        #[expect(clippy::cast_possible_truncation, reason = "at most 1e8")]
        let cents = (dollars * 100.0).round() as i64;
        cents
    }
}

/// Picks one of the `recent` newest of 0..=`newest`; all but one of `ratio` times the hot one, in step with `offset`.
fn chosen(throws: &mut Throws, newest: u64, ratio: u64, recent: u64, offset: u64) -> u64 {
    if throws.below(ratio) > 0 {
        return (newest / HOT_STEP * HOT_STEP + offset).min(newest);
    }
    newest - throws.below(recent.min(newest + 1))
}
