//! [`JoinSpec`]: what a join of two streams does, compiled once per job.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

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
