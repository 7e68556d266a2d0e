//! [`AsOfSpec`]: what a join with the versions of a table does, compiled once per job.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

/// Which version of its key a row takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOfMatch {
    /// The latest that is not after it: the one that holds at its time.
    AtOrBefore,
    /// The latest before it.
    Before,
    /// The earliest that is not before it.
    AtOrAfter,
    /// The earliest after it.
    After,
}

impl AsOfMatch {
    /// Returns whether the version comes after the row.
    pub fn looks_ahead(self) -> bool {
        matches!(self, Self::AtOrAfter | Self::After)
    }
}

/// A join of a stream (input 0) with the versions of a table (input 1).
///
/// A version with weight +1 holds for its key from its time on, and one with weight −1 says that the key has no row from
/// its time on; of those with equal times the one that came last counts.
#[derive(Debug, Clone)]
pub struct AsOfSpec {
    /// The schemas of the stream and of the versions.
    pub inputs: [SchemaRef; 2],
    /// The columns of both that are equal, one for one; the types agree.
    pub keys: [Vec<usize>; 2],
    /// Whether a NULL key finds a NULL key (`IS NOT DISTINCT FROM`).
    pub nulls_match: bool,
    /// The column of each that is its rows' time, a timestamp in milliseconds.
    pub times: [usize; 2],
    /// What settles the order of rows of the stream of one instant: ordinals of columns.
    pub ties: Vec<usize>,
    /// Which version a row takes.
    pub matching: AsOfMatch,
    /// Whether a row without a version is given with NULLs beside it (`LEFT`).
    pub keeps_unmatched: bool,
    /// What else is true of a row and its version, over the columns of the stream and then those of the versions; where
    /// it is not, the row has no version.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// The result: the columns of the stream and then those of the versions.
    pub output: SchemaRef,
}

impl AsOfSpec {
    /// Returns what `EXPLAIN` shows: what is compared, and what is kept.
    pub fn describe(&self) -> String {
        let [left, right] = &self.inputs;
        let keys = self.keys[0].iter().zip(&self.keys[1]);
        let mut on: Vec<String> = keys
            .map(|(&ours, &theirs)| format!("{} = {}", left.field(ours).name(), right.field(theirs).name()))
            .collect();
        on.extend(self.condition.as_ref().map(|condition| condition.to_string()));
        let sign = match self.matching {
            AsOfMatch::AtOrBefore => ">=",
            AsOfMatch::Before => ">",
            AsOfMatch::AtOrAfter => "<=",
            AsOfMatch::After => "<",
        };
        let [ours, theirs] = [left.field(self.times[0]).name(), right.field(self.times[1]).name()];
        on.push(format!("{ours} {sign} {theirs}"));
        let kept = match self.matching.looks_ahead() {
            false => {
                "rows until the watermark has passed them, versions until newer ones have taken their place"
            }
            true => "rows until a version is sure, versions until all rows are after them",
        };
        format!("as-of join on {}; state: {kept}", on.join(" AND "))
    }
}
