//! [`TableSnapshot`]: a table as it was at the end of an epoch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::keys::{Keys, check_row_count};
use super::live_run::{LiveRun, find};
use super::matches::Matches;
use super::run::{IndexSpec, ranges};
use crate::error::{Error, Result};

/// How many rows a scan gives at a time.
pub(super) const SCAN_ROWS: usize = 8_192;

/// Stands for an index of a table: the columns that rows are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(pub(super) usize);

/// Rows that a scan gives together.
#[derive(Debug)]
pub(super) struct Part {
    run: usize,
    rows: Range<usize>,
}

/// The rows of a table at the end of an epoch; they stay as they are for as long as somebody holds the snapshot.
#[derive(Debug)]
pub struct TableSnapshot {
    pub(super) schema: SchemaRef,
    pub(super) indexes: Arc<[IndexSpec]>,
    /// In the order in which their rows came.
    pub(super) runs: Vec<LiveRun>,
    pub(super) version: u64,
}

impl TableSnapshot {
    /// Returns the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns how often something changed before this snapshot was published.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the number of rows.
    pub fn num_rows(&self) -> usize {
        self.runs.iter().map(|part| part.live.live()).sum()
    }

    /// Returns about how many bytes rows and indexes take.
    pub fn bytes(&self) -> usize {
        self.runs.iter().map(LiveRun::bytes).sum()
    }

    /// Finds the rows whose columns of `index` equal `keys`, one array for each column; NULL equals nothing.
    ///
    /// The arrays must be of the columns' types. Matches come by looking row, and those of one row in the order of a
    /// [`scan`](Self::scan).
    pub fn lookup(&self, index: IndexId, keys: &[ArrayRef]) -> Result<Matches> {
        let Some(spec) = self.indexes.get(index.0) else {
            return Err(Error::internal("a snapshot of a table is older than the index that is asked for"));
        };
        let wanted = spec.columns.iter().map(|&column| self.schema.field(column).data_type());
        if !wanted.eq(keys.iter().map(|key| key.data_type())) {
            return Err(Error::internal(
                "the keys to look up in a table are of other types than its columns",
            ));
        }
        let looking = keys.first().map_or(0, |key| key.len());
        check_row_count(looking)?;
        let keys = Keys::try_new(keys.to_vec(), looking)?;
        let wanted = keys.valid_rows();
        Ok(find(&self.runs, index.0, spec, &keys, wanted)?.into_matches())
    }

    /// Finds all rows for each of `looking` rows.
    pub(super) fn all_for(&self, looking: usize) -> Result<Matches> {
        check_row_count(looking.saturating_mul(self.num_rows()))?;
        let mut rows = vec![];
        for (run, part) in self.runs.iter().enumerate() {
            rows.extend(part.live.rows().map(|row| (run, row)));
        }
        Ok(Matches::of_all(u32::try_from(looking).unwrap_or(u32::MAX), &rows))
    }

    /// Returns columns of the rows that a [`lookup`](Self::lookup) in this snapshot found, by ordinal; the column
    /// after the last is true, and NULL beside nothing.
    pub fn take(&self, matches: &Matches, columns: &[usize]) -> Result<Vec<ArrayRef>> {
        matches.take(self, columns)
    }

    /// Returns all rows, or those columns of them, in the order in which they stand.
    pub fn scan<'a>(
        &'a self,
        columns: Option<&'a [usize]>,
    ) -> impl Iterator<Item = Result<RecordBatch>> + 'a {
        self.parts().filter_map(move |part| self.part(&part, columns).transpose())
    }

    /// Returns how a scan cuts the rows.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let runs: Vec<usize> = self.runs.iter().map(|part| part.run.num_rows()).collect();
        let parts = |(run, rows)| ranges(rows, SCAN_ROWS).map(move |rows| Part { run, rows });
        runs.into_iter().enumerate().flat_map(parts)
    }

    /// Returns the live rows of a part; none where there are none.
    pub(super) fn part(&self, part: &Part, columns: Option<&[usize]>) -> Result<Option<RecordBatch>> {
        let LiveRun { run, live, .. } = &self.runs[part.run];
        let seen = self.schema.fields().len();
        // What is kept beside the rows is behind what readers see.
        let seen: Option<Vec<usize>> = (run.rows().num_columns() > seen).then(|| (0..seen).collect());
        run.live_batch(live, columns.or(seen.as_deref()), part.rows.clone())
    }

    pub(super) fn runs(&self) -> &[LiveRun] {
        &self.runs
    }
}
