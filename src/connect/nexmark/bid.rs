//! The columns of `bid`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::generator::Columns;
use super::model::{Chance, Model};
use crate::connect::text_column::{TextColumn, push_number};
use crate::error::Result;

/// Letters of padding. The names and values of a bid alone take more than 100 bytes of JSON, so there are few.
const EXTRA_CHARS: u64 = 10;
/// Half of the bids come through one of these.
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// The others through one of so many numbered channels.
const CHANNELS: u64 = 10_000;

/// Where a bid came through.
#[derive(Debug, Clone, Copy)]
enum Channel {
    Hot(usize),
    Numbered(u64),
}

impl Columns<'_> {
    /// Makes the column of `bid` with this name.
    pub(super) fn bid(&self, column: &str) -> Result<ArrayRef> {
        match column {
            "auction" => self.numbers(Chance::Auction, Model::auction),
            "bidder" => self.numbers(Chance::Bidder, Model::bidder),
            "price" => Ok(Arc::new(self.prices())),
            "channel" => self.by_channel(9, |channel, out| match channel {
                Channel::Hot(index) => out.extend_from_slice(HOT_CHANNELS[index].as_bytes()),
                Channel::Numbered(number) => {
                    out.extend_from_slice(b"channel-");
                    push_number(out, number);
                }
            }),
            "url" => self.urls(),
            "dateTime" => Ok(Arc::new(self.times())),
            "extra" => self.extra(Chance::BidExtra, EXTRA_CHARS),
            _ => Err(Self::unknown(column)),
        }
    }

    /// Makes the column of addresses: each channel has one of its own, with three folders that differ.
    fn urls(&self) -> Result<ArrayRef> {
        let dice = self.model.dice(Chance::Url);
        self.by_channel(62, |channel, out| {
            let place = match channel {
                Channel::Hot(index) => CHANNELS + index as u64,
                Channel::Numbered(number) => number,
            };
            let mut throws = dice.at(place);
            out.extend_from_slice(b"https://www.nexmark.com/");
            for _ in 0..3 {
                throws.letters(out, 3);
                out.push(b'/');
            }
            out.extend_from_slice(b"item.htm?query=1");
            if let Channel::Numbered(number) = channel {
                out.extend_from_slice(b"&channel_id=");
                push_number(out, number);
            }
        })
    }

    /// Makes a column of text that follows from the channel.
    fn by_channel(&self, row_bytes: usize, write: impl Fn(Channel, &mut Vec<u8>)) -> Result<ArrayRef> {
        let dice = self.model.dice(Chance::Channel);
        let mut column = TextColumn::with_capacity(self.events.len(), row_bytes);
        for event in self.events {
            let mut throws = dice.at(*event);
            let channel = if throws.below(2) == 0 {
                Channel::Hot(throws.pick(&[0, 1, 2, 3]))
            } else {
                Channel::Numbered(throws.below(CHANNELS))
            };
            column.row(|out| write(channel, out))?;
        }
        column.finish(None, &DataType::Utf8)
    }
}
