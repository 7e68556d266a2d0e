//! [`Side`]: the rows that one side of a join keeps.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;

use super::chunks::{Chunk, Chunks, RowId};
use super::key_hashes::KeyHashes;
use super::key_index::KeyIndex;
use super::pairs::Candidates;
use super::spec::{JoinSpec, Keeping, Moment, Unmatched};
use super::waiting::Waiting;
use crate::error::{Error, Result};
use crate::time::Watermark;

/// How many candidates are looked at together.
pub(super) const BLOCK: usize = if cfg!(test) { 7 } else { 8_192 };
/// How many dead rows may stay however few are alive.
const FEW_DEAD: usize = if cfg!(test) { 4 } else { 64 };
/// How many candidates a row is first given that needs one partner only.
const FEW_CANDIDATES: usize = if cfg!(test) { 2 } else { 8 };

/// As what a row was given by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It was not.
    No,
    /// Without a partner.
    Alone,
    /// For having a partner.
    Matched,
}

/// What is known of a row that is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    moment: Moment,
    /// How far back the row before it with the same hash is; 0 where there is none.
    pub(super) back: u32,
    digest: u32,
    partners: u32,
    pub(super) shown: Shown,
    /// Whether it was withdrawn.
    pub(super) gone: bool,
}

impl Kept {
    /// Returns the row before this one, which is `id`, with the same hash, if it is not before `first`.
    fn before(&self, id: RowId, first: RowId) -> Option<RowId> {
        let before = id.saturating_sub(u64::from(self.back));
        (self.back > 0 && before >= first).then_some(before)
    }
}

/// Rows that are to be given by themselves, or to be taken back.
#[derive(Debug, Default)]
pub(super) struct Showing {
    pub(super) withdrawn: Vec<(RowId, Shown)>,
    pub(super) given: Vec<(RowId, Shown)>,
}

/// Rows that look for partners, and how far the search is.
pub(super) struct Search<'a> {
    moments: &'a [Moment],
    paths: Vec<Path>,
    /// The path that is followed.
    at: usize,
    /// How many candidates of a path are looked at before the next path is followed.
    patience: usize,
}

/// Where the search for partners of a row goes on.
struct Path {
    row: u32,
    next: Option<RowId>,
}

/// The rows of one side.
///
/// Rows have numbers in the order in which they came. An index leads to the newest row of each hash, and each row to the
/// one before it with the same hash; a row whose number is before the first that is kept ends the chain, so that old
/// rows can be dropped without touching newer ones.
pub(super) struct Side {
    spec: Arc<JoinSpec>,
    port: usize,
    pub(super) chunks: Chunks,
    pub(super) index: KeyIndex,
    kept: VecDeque<Kept>,
    waiting: Waiting,
    /// Rows whose showing may have changed.
    pub(super) touched: Vec<RowId>,
    /// How many rows were withdrawn.
    pub(super) gone: usize,
    /// How many rows were dropped because their time to live was over.
    pub(super) expired: u64,
    /// The watermark, as it was before the end of the input.
    watermark: Watermark,
}

impl Side {
    /// Creates the empty side `port`.
    pub(super) fn new(spec: Arc<JoinSpec>, port: usize) -> Self {
        Self {
            chunks: Chunks::new(Arc::clone(&spec.inputs[port])),
            index: KeyIndex::default(),
            kept: VecDeque::new(),
            waiting: Waiting::default(),
            touched: vec![],
            gone: 0,
            expired: 0,
            watermark: Watermark::NONE,
            spec,
            port,
        }
    }

    fn ordinal(&self, id: RowId) -> usize {
        usize::try_from(id - self.chunks.first()).unwrap_or(usize::MAX)
    }

    pub(super) fn kept_mut(&mut self, id: RowId) -> &mut Kept {
        let ordinal = self.ordinal(id);
        &mut self.kept[ordinal]
    }

    /// Returns the hash of a whole row but its mark.
    pub(super) fn digest(&self, id: RowId) -> u32 {
        self.kept[self.ordinal(id)].digest
    }

    /// Returns the column that is not compared where rows are withdrawn.
    pub(super) fn mark_column(&self) -> Option<usize> {
        self.spec.mark_column(self.port)
    }

    /// Returns the row before `id` with the same hash.
    pub(super) fn before(&self, id: RowId) -> Option<RowId> {
        self.kept[self.ordinal(id)].before(id, self.chunks.first())
    }

    /// Returns the newest row with a hash.
    pub(super) fn newest(&self, hash: u64) -> Option<RowId> {
        self.index.newest(hash).filter(|&id| id >= self.chunks.first())
    }

    /// Starts the search for partners among the rows of this side.
    pub(super) fn search<'a>(&self, hashes: &KeyHashes, moments: &'a [Moment]) -> Search<'a> {
        let mut paths = Vec::with_capacity(moments.len());
        for (row, ordinal) in (0..).zip(0..moments.len()) {
            let newest = hashes.of_partners(ordinal).filter_map(|hash| self.newest(hash));
            paths.extend(newest.map(|newest| Path { row, next: Some(newest) }));
        }
        let patience = if self.spec.once() && self.port == 1 { FEW_CANDIDATES } else { usize::MAX };
        Search { moments, paths, at: 0, patience }
    }

    /// Returns the next candidates: rows with the same hash that are near enough in time; none at the end of the search.
    /// A row is not looked for any further once `is_done` says so.
    pub(super) fn candidates(&self, search: &mut Search<'_>, is_done: impl Fn(usize) -> bool) -> Candidates {
        let mut found = Candidates::default();
        while found.ids.is_empty() && !search.paths.is_empty() {
            self.follow(search, &is_done, &mut found);
            if search.at == search.paths.len() {
                search.paths.retain(|path| path.next.is_some());
                search.at = 0;
                search.patience = search.patience.saturating_mul(FEW_CANDIDATES);
            }
        }
        found
    }

    /// Follows the paths of a search until there are enough candidates.
    fn follow(&self, search: &mut Search<'_>, is_done: &impl Fn(usize) -> bool, found: &mut Candidates) {
        let (keeping, first) = (self.spec.keeping, self.chunks.first());
        let alone_only = self.spec.once() && self.port == 0;
        while let Some(Path { row, next }) = search.paths.get_mut(search.at) {
            let moment = search.moments[*row as usize];
            if is_done(*row as usize) {
                *next = None;
            }
            let before = found.ids.len();
            while let Some(id) = *next
                && found.ids.len() - before < search.patience
            {
                if found.ids.len() == BLOCK {
                    return;
                }
                let kept = &self.kept[usize::try_from(id - first).unwrap_or(usize::MAX)];
                let meets = match self.port {
                    0 => keeping.brings_together(kept.moment, moment),
                    _ => keeping.brings_together(moment, kept.moment),
                };
                if meets && !(alone_only && kept.partners > 0) {
                    found.rows.push(*row);
                    found.ids.push(id);
                }
                *next = kept.before(id, first);
            }
            search.at += 1;
        }
    }

    /// Takes rows in that have so many `partners` already.
    pub(super) fn insert(
        &mut self,
        rows: &RecordBatch,
        moments: &[Moment],
        hashes: &KeyHashes,
        partners: &[u32],
    ) -> Result<()> {
        let times = moments.iter().map(|moment| moment.time);
        let (Some(earliest), Some(latest)) = (times.clone().min(), times.max()) else { return Ok(()) };
        if self.chunks.end() - self.chunks.first() + rows.num_rows() as u64 > u64::from(u32::MAX) {
            return Err(Error::exhausted(format!("a side of a join has more than {} rows", u32::MAX))
                .with_hint("give the join a time bound, or a shorter `state.ttl`"));
        }
        let first = self.chunks.end();
        self.chunks.push(rows, earliest, latest)?;
        for (row, (&moment, &partners)) in moments.iter().zip(partners).enumerate() {
            let id = first + row as u64;
            let before = hashes.place(row).and_then(|hash| self.index.put(hash, id));
            let before = before.filter(|&before| before >= self.chunks.first());
            let back = before.and_then(|before| u32::try_from(id - before).ok()).unwrap_or(0);
            let digest = hashes.digest(row);
            self.kept.push_back(Kept { moment, back, digest, partners, shown: Shown::No, gone: false });
        }
        self.find_middle();
        self.track(first);
        Ok(())
    }

    /// Finds the middle of the times of the last chunk, which is new.
    fn find_middle(&mut self) {
        let from = self.chunks.first();
        if let Some(last) = self.chunks.last_mut() {
            let start = usize::try_from(last.first - from).unwrap_or(usize::MAX);
            let mut times: Vec<i64> = self.kept.range(start..).map(|kept| kept.moment.time).collect();
            let middle = times.len() / 2;
            last.middle = *times.select_nth_unstable(middle).1;
        }
    }

    /// Notes what is to be shown of the rows from `first` on.
    fn track(&mut self, first: RowId) {
        let (kind, at_once) = (self.spec.kind, self.spec.unmatched == Unmatched::AtOnce);
        if !kind.shows(self.port) {
            return;
        }
        let fresh = (first..self.chunks.end()).zip(self.kept.range(self.ordinal(first)..));
        let mut waiting = vec![];
        for (id, kept) in fresh {
            if at_once || (kept.partners > 0 && kind.shows_matched()) {
                self.touched.push(id);
            } else if kept.partners == 0 {
                waiting.push((kept.moment.time, id));
            }
        }
        self.waiting.push(waiting);
    }

    /// Takes in that rows of this side found a partner, or lost one.
    pub(super) fn meet(&mut self, ids: &[RowId], weight: i8) {
        let (kind, at_once) = (self.spec.kind, self.spec.unmatched == Unmatched::AtOnce);
        let tells = kind.shows(self.port) && (at_once || kind.shows_matched());
        for &id in ids {
            let kept = self.kept_mut(id);
            let before = kept.partners;
            kept.partners = before.saturating_add_signed(i32::from(weight));
            if tells && (before == 0) != (kept.partners == 0) {
                self.touched.push(id);
            }
        }
    }

    /// Returns what changed of the rows that are given by themselves.
    pub(super) fn settle(&mut self) -> Showing {
        let mut showing = Showing::default();
        for id in std::mem::take(&mut self.touched) {
            let ordinal = self.ordinal(id);
            let kept = &mut self.kept[ordinal];
            let wanted = match kept.partners {
                _ if kept.gone => Shown::No,
                0 if self.spec.kind.shows_alone() => Shown::Alone,
                0 => Shown::No,
                _ if self.spec.kind.shows_matched() => Shown::Matched,
                _ => Shown::No,
            };
            let shown = std::mem::replace(&mut kept.shown, wanted);
            if shown != wanted {
                showing.withdrawn.extend((shown != Shown::No).then_some((id, shown)));
                showing.given.extend((wanted != Shown::No).then_some((id, wanted)));
            }
        }
        showing
    }

    /// Takes the rows out to which no partner came, and none can come any more.
    pub(super) fn take_alone(&mut self, watermark: Watermark) -> Vec<(RowId, Shown)> {
        let (spec, port, first) = (Arc::clone(&self.spec), self.port, self.chunks.first());
        let Self { waiting, kept, .. } = self;
        let is_alone = |id: RowId| {
            let kept = usize::try_from(id - first).ok().and_then(|ordinal| kept.get(ordinal));
            kept.is_some_and(|kept| kept.partners == 0)
        };
        let mut alone = waiting.take_while(|time, _| spec.is_over(port, time, watermark));
        // Of the rows that wait on, the earliest is to be one that may come out.
        waiting.take_while(|_, id| !is_alone(id));
        let comes_out = spec.kind.shows_alone();
        alone.retain(|&id| comes_out && is_alone(id));
        alone.into_iter().map(|id| (id, Shown::Alone)).collect()
    }

    /// Returns rows of this side, each as it is kept.
    pub(super) fn rows(&self, ids: &[RowId]) -> Result<RecordBatch> {
        let places = self.chunks.places(ids);
        let columns = (0..self.spec.inputs[self.port].fields().len())
            .map(|column| self.chunks.gather(column, &places))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        let schema = Arc::clone(&self.spec.inputs[self.port]);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// Drops the rows that can have no partner any more.
    pub(super) fn drop_before(&mut self, watermark: Watermark) -> Result<()> {
        if watermark != Watermark::END {
            self.watermark = watermark;
        }
        let (spec, port) = (Arc::clone(&self.spec), self.port);
        let is_over = |chunk: &Chunk| spec.is_over(port, chunk.latest, watermark);
        while self.chunks.iter().next().is_some_and(is_over) {
            let Some(chunk) = self.chunks.pop_front() else { break };
            let dropped: Vec<Kept> = self.kept.drain(..chunk.rows.num_rows()).collect();
            self.gone -= dropped.iter().filter(|kept| kept.gone).count();
            self.count_expired(dropped.iter());
            let (first, hashes) = (self.chunks.first(), KeyHashes::try_new(&self.spec, port, &chunk.rows)?);
            for hash in (0..chunk.rows.num_rows()).filter_map(|row| hashes.place(row)) {
                self.index.forget_before(hash, first);
            }
            self.index.shrink();
        }
        // Rows that are far ahead of the others may stand before them, and keep them.
        let dead = self.chunks.iter().map(|chunk| match chunk.rows.num_rows() {
            all if is_over(chunk) => all,
            all if spec.is_over(port, chunk.middle, watermark) => all.div_ceil(2),
            _ => 0,
        });
        let dead = self.gone + dead.sum::<usize>();
        if dead > FEW_DEAD && 2 * dead >= self.kept.len() {
            self.rebuild(watermark)?;
        }
        Ok(())
    }

    /// Counts what was dropped before the end of the input made it needless.
    fn count_expired<'a>(&mut self, dropped: impl Iterator<Item = &'a Kept>) {
        if let Keeping::For { .. } = self.spec.keeping {
            let expired =
                |kept: &&Kept| !kept.gone && self.spec.is_over(self.port, kept.moment.time, self.watermark);
            self.expired += dropped.filter(expired).count() as u64;
        }
    }

    /// Keeps the rows only that are alive, under new numbers.
    fn rebuild(&mut self, watermark: Watermark) -> Result<()> {
        let empty = Self::new(Arc::clone(&self.spec), self.port);
        let old = std::mem::replace(self, empty);
        (self.expired, self.watermark) = (old.expired, old.watermark);
        self.count_expired(old.kept.iter());
        let mut kept = old.kept.iter();
        for chunk in old.chunks.iter() {
            let own: Vec<&Kept> = kept.by_ref().take(chunk.rows.num_rows()).collect();
            let is_alive =
                |kept: &Kept| !kept.gone && !self.spec.is_over(self.port, kept.moment.time, watermark);
            let alive = BooleanArray::from(own.iter().map(|kept| is_alive(kept)).collect::<Vec<bool>>());
            let rows = filter_record_batch(&chunk.rows, &alive)?;
            let own: Vec<&Kept> = own.into_iter().filter(|kept| is_alive(kept)).collect();
            let moments: Vec<Moment> = own.iter().map(|kept| kept.moment).collect();
            let partners: Vec<u32> = own.iter().map(|kept| kept.partners).collect();
            let first = self.kept.len();
            self.insert(&rows, &moments, &KeyHashes::try_new(&self.spec, self.port, &rows)?, &partners)?;
            for (kept, old) in self.kept.range_mut(first..).zip(own) {
                kept.shown = old.shown;
            }
        }
        // What is shown of them is as it was.
        self.touched.clear();
        Ok(())
    }

    /// Returns the earliest time of a row that may still be given by itself.
    pub(super) fn earliest_waiting(&self) -> Option<i64> {
        self.waiting.earliest()
    }

    /// Returns the earliest time of a row.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.chunks.iter().map(|chunk| chunk.earliest).min()
    }

    /// Returns the number of rows that were not withdrawn.
    pub(super) fn len(&self) -> usize {
        self.kept.len().saturating_sub(self.gone)
    }

    /// Returns about how many bytes the side takes.
    pub(super) fn bytes(&self) -> usize {
        let kept = self.kept.capacity() * size_of::<Kept>();
        self.chunks.bytes() + self.index.bytes() + kept + self.waiting.bytes()
    }
}
