//! [`JoinSpec`]: what a join of two streams does, compiled once per job.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::is_null;
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use crate::error::Result;
use crate::flow::times_of;
use crate::time::Watermark;

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and left rows without a partner with NULLs beside them.
    Left,
    /// Pairs, and right rows without a partner with NULLs beside them.
    Right,
    /// Pairs, and the rows of both sides without a partner.
    Full,
    /// Left rows that have a partner, once each.
    LeftSemi,
    /// Left rows that have no partner.
    LeftAnti,
    /// All left rows, and a last column that says whether they have a partner.
    LeftMark,
}

/// How long a row waits for partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// As long as a partner in time can come: `right.time − left.time` is between the bounds, both inclusive.
    Within {
        /// The least difference, in milliseconds.
        lower_ms: i64,
        /// The greatest difference, in milliseconds.
        upper_ms: i64,
    },
    /// Until the watermark is further ahead of it than this. A pair counts if neither row had expired by the running
    /// watermark that the other came with, whichever came first.
    For {
        /// How long, in milliseconds of event time.
        ttl_ms: i64,
    },
    /// Until the input ends.
    Always,
}

/// When rows that have no partner are given, where the kind of join gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// Once no partner can come any more; the result never takes rows back.
    WhenSure,
    /// At the end of the epoch in which they came; the first partner takes them back. The result is a changelog.
    AtOnce,
}

/// A join of two streams.
#[derive(Debug, Clone)]
pub struct JoinSpec {
    /// Which rows it gives.
    pub kind: JoinKind,
    /// The schemas of the left and the right input.
    pub inputs: [SchemaRef; 2],
    /// The columns of each side that are equal in a pair, one for one; the types agree.
    pub keys: [Vec<usize>; 2],
    /// Whether a NULL key finds a NULL key (`IS NOT DISTINCT FROM`).
    pub nulls_match: bool,
    /// The column of each side that is its rows' time, a timestamp in milliseconds; wanted unless rows stay for ever.
    pub times: Option<[usize; 2]>,
    /// The column of each side that is the running watermark of the row's partition; wanted where rows stay for a time.
    pub marks: Option<[usize; 2]>,
    /// How far the time of a side may be behind the watermark when a row comes, in milliseconds: 0 where it is the event
    /// time of the rows, more where these are pairs that have the time of their later half.
    pub lags: [i64; 2],
    /// How long rows wait.
    pub keeping: Keeping,
    /// What else is true of a pair, over the columns of the left side and then those of the right.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of a pair: those of the left side and then those of the right.
    pub pair: SchemaRef,
    /// The result: the columns of a pair, or for `LeftSemi` and `LeftAnti` of the left side, or for `LeftMark` of the
    /// left side and the mark.
    pub output: SchemaRef,
    /// When rows without a partner are given.
    pub unmatched: Unmatched,
}

/// When a row happened, and how far its partition had come by then, in epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) time: i64,
    pub(super) mark: i64,
}

impl JoinKind {
    /// Returns whether rows of the side `port` are given by themselves: because they have no partner, or with what the
    /// other side says of them.
    pub(super) fn shows(self, port: usize) -> bool {
        match self {
            Self::Inner => false,
            Self::Left | Self::LeftSemi | Self::LeftAnti | Self::LeftMark => port == 0,
            Self::Right => port == 1,
            Self::Full => true,
        }
    }

    /// Returns whether pairs are given.
    pub(super) fn gives_pairs(self) -> bool {
        matches!(self, Self::Inner | Self::Left | Self::Right | Self::Full)
    }

    /// Returns whether a row is given for having a partner.
    pub(super) fn shows_matched(self) -> bool {
        matches!(self, Self::LeftSemi | Self::LeftMark)
    }

    /// Returns whether a row is given for having no partner.
    pub(super) fn shows_alone(self) -> bool {
        !matches!(self, Self::Inner | Self::LeftSemi)
    }
}

impl Keeping {
    /// Returns whether a left and a right row can be a pair as far as time goes.
    pub(super) fn brings_together(self, left: Moment, right: Moment) -> bool {
        match self {
            Self::Within { lower_ms, upper_ms } => {
                let apart = right.time.saturating_sub(left.time);
                lower_ms <= apart && apart <= upper_ms
            }
            Self::For { ttl_ms } => {
                left.time.saturating_add(ttl_ms) >= right.mark
                    && right.time.saturating_add(ttl_ms) >= left.mark
            }
            Self::Always => true,
        }
    }
}

impl JoinSpec {
    /// Returns whether no partner can come any more to a row of the side `port` at `time`.
    ///
    /// A row that still comes is at or after the watermark, and so is its mark.
    pub(super) fn is_over(&self, port: usize, time: i64, watermark: Watermark) -> bool {
        if watermark == Watermark::END {
            return true;
        }
        let last = match self.keeping {
            Keeping::Within { upper_ms, .. } if port == 0 => time.saturating_add(upper_ms),
            Keeping::Within { lower_ms, .. } => time.saturating_sub(lower_ms),
            Keeping::For { ttl_ms } => time.saturating_add(ttl_ms),
            Keeping::Always => return false,
        };
        last.saturating_add(self.lags[1 - port]) < watermark.millis()
    }

    /// Returns the name that `EXPLAIN` and reports show.
    pub fn name(&self) -> &'static str {
        let within = matches!(self.keeping, Keeping::Within { .. });
        match (self.kind, within) {
            (JoinKind::LeftSemi | JoinKind::LeftMark, true) => "interval semi join",
            (JoinKind::LeftSemi | JoinKind::LeftMark, false) => "semi join",
            (JoinKind::LeftAnti, true) => "interval anti join",
            (JoinKind::LeftAnti, false) => "anti join",
            (_, true) => "interval join",
            (_, false) => "join",
        }
    }

    /// Returns what `EXPLAIN` shows: what is compared, what is kept, and when rows without a partner are given.
    pub fn describe(&self) -> String {
        let [left, right] = &self.inputs;
        let mut on: Vec<String> = vec![];
        for (&ours, &theirs) in self.keys[0].iter().zip(&self.keys[1]) {
            on.push(format!("{} = {}", left.field(ours).name(), right.field(theirs).name()));
        }
        on.extend(self.condition.as_ref().map(|condition| condition.to_string()));
        let on = if on.is_empty() { String::new() } else { format!(" on {}", on.join(" AND ")) };
        let kept = match self.keeping {
            Keeping::Within { lower_ms, upper_ms } => {
                format!(
                    "the rows of both sides for which one from {lower_ms} to {upper_ms} ms apart can come"
                )
            }
            Keeping::For { ttl_ms } => format!("the rows of both sides for {ttl_ms} ms of event time"),
            Keeping::Always => "all rows of both sides, kept for ever".to_owned(),
        };
        let alone = match self.unmatched {
            _ if !self.kind.shows_alone() => "",
            Unmatched::WhenSure => "; a row without a partner comes out when none can come any more",
            Unmatched::AtOnce => {
                "; a row without a partner comes out at once and is taken back for its first"
            }
        };
        format!("{}{on}; state: {kept}{alone}", self.name())
    }

    /// Returns whether the result may take back rows that it gave, although none of its inputs does.
    pub fn withdraws(&self) -> bool {
        self.unmatched == Unmatched::AtOnce && self.kind.shows_alone()
    }

    /// Returns whether a left row matters only until its first partner.
    pub(super) fn once(&self) -> bool {
        self.unmatched == Unmatched::WhenSure && !self.kind.gives_pairs()
    }

    /// Returns the column of the side `port` that is its rows' mark, where the join reads it.
    pub(super) fn mark_column(&self, port: usize) -> Option<usize> {
        self.marks.filter(|_| matches!(self.keeping, Keeping::For { .. })).map(|marks| marks[port])
    }

    /// Returns which rows of the side `port` have no time, if any: one within time of them there is not.
    pub(super) fn timeless(&self, port: usize, rows: &RecordBatch) -> Result<Option<BooleanArray>> {
        let Some(times) = self.times.filter(|_| matches!(self.keeping, Keeping::Within { .. })) else {
            return Ok(None);
        };
        let times = rows.column(times[port]);
        Ok(if times.null_count() > 0 { Some(is_null(times)?) } else { None })
    }

    /// Returns what the rows of the side `port` have for time and mark, or zeros where the join does not read them.
    ///
    /// A mark is never before `watermark`, that of the operator when the rows came.
    pub(super) fn moments(
        &self,
        port: usize,
        rows: &RecordBatch,
        watermark: Watermark,
    ) -> Result<Vec<Moment>> {
        let read = |column: Option<usize>| -> Result<_> {
            column.map(|column| Ok(times_of(rows, column)?.values().clone())).transpose()
        };
        let times = read(self.times.map(|times| times[port]))?;
        let marks = read(self.mark_column(port))?;
        let moment = |row: usize| Moment {
            time: times.as_ref().map_or(0, |times| times[row]),
            mark: marks.as_ref().map_or(0, |marks| marks[row].max(watermark.millis())),
        };
        Ok((0..rows.num_rows()).map(moment).collect())
    }
}
