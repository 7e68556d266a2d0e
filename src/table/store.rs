//! [`Store`]: the rows of a table as its writer sees them.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, interleave, not};
use arrow::datatypes::SchemaRef;

use super::beside::Beside;
use super::by_time::ByTime;
use super::equality::Pairs;
use super::joined::Joined;
use super::key_index::{Holding, KeyIndex};
use super::keys::{Keys, chosen, row_number};
use super::live_rows::CHUNK_ROWS;
use super::live_run::{LiveRun, find};
use super::matches::Place;
use super::run::{IndexSpec, Run, compacted, has_small_offsets, ranges};
use super::snapshot::TableSnapshot;
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;

/// Changes wait for each other until they are so many, or as many as there are rows: each settling merges.
const SETTLED_TOGETHER: usize = 1 << 20;
/// What waits takes at most so many bytes, so that its columns can be put together.
const MOST_WAITING_BYTES: usize = 1 << 29;
/// Runs are merged into one of so many rows whatever their sizes are: many small ones slow lookups down.
const SMALL_RUN: usize = if cfg!(test) { 4 } else { 1 << 10 };
/// A run is merged with what came after it once that is so many times smaller at most.
const TIER: usize = 2;
/// More bytes do not fit into an array with offsets of 32 bits.
const MOST_SMALL_OFFSETS: usize = i32::MAX as usize;

/// Runs and what is to become of them.
#[derive(Debug)]
pub(super) struct Store {
    /// The columns that readers see, and those of the rows as they are kept, which may have more behind them.
    schema: SchemaRef,
    pub(super) stored: SchemaRef,
    key: Vec<usize>,
    /// The column that says which row of a key is the last, where that is not the one that comes last.
    by_time: Option<usize>,
    indexes: Arc<[IndexSpec]>,
    pub(super) runs: Vec<LiveRun>,
    waiting: Vec<ChangeBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    /// Whether there is something that the last snapshot does not have.
    pub(super) changed: bool,
    /// Whether a row that goes takes only its equal with it, and not any row of its key.
    whole_rows: bool,
    small_offsets: bool,
}

impl Store {
    /// Creates an empty store; without key columns rows are only added and taken out.
    pub(super) fn new(schema: SchemaRef, key: Vec<usize>) -> Self {
        let unique = IndexSpec { columns: key.clone(), unique: true, with_nulls: true };
        Self {
            indexes: if key.is_empty() { Arc::from([]) } else { Arc::from([unique]) },
            stored: Arc::clone(&schema),
            small_offsets: schema.fields().iter().any(|field| has_small_offsets(field.data_type())),
            schema,
            key,
            by_time: None,
            runs: vec![],
            waiting: vec![],
            waiting_rows: 0,
            waiting_bytes: 0,
            changed: false,
            whole_rows: false,
        }
    }

    /// Keeps something beside the rows, of which there are none yet.
    pub(super) fn keep_beside(&mut self, beside: Beside) {
        self.stored = beside.behind(&self.schema);
    }

    /// Returns how many columns readers see.
    fn seen(&self) -> usize {
        self.schema.fields().len()
    }

    pub(super) fn matches_whole_rows(&mut self, whole_rows: bool) {
        self.whole_rows = whole_rows;
    }

    /// Makes the row of a key the last that has the latest time in `column`.
    pub(super) fn order_by(&mut self, column: usize) {
        self.by_time = Some(column);
    }

    /// Takes changes in, to be settled with others.
    pub(super) fn push(&mut self, change: &ChangeBatch) -> Result<()> {
        if change.num_rows() == 0 {
            return Ok(());
        }
        let rows = batch(&self.stored, change.rows().columns().to_vec(), change.num_rows())
            .map_err(|error| Error::internal("a table got rows of another schema").with_cause(error))?;
        self.waiting_rows += rows.num_rows();
        self.waiting_bytes += rows.get_array_memory_size();
        self.waiting.push(change.clone().with_rows(rows)?);
        Ok(())
    }

    /// Returns whether so much waits that it ought to be settled.
    pub(super) fn is_full(&self) -> bool {
        let rows: usize = self.runs.iter().map(|part| part.live.live()).sum();
        self.waiting_rows >= rows.max(SETTLED_TOGETHER) || self.waiting_bytes >= MOST_WAITING_BYTES
    }

    /// Makes what waits part of the table; returns what that changed, if that is wanted.
    pub(super) fn settle(&mut self, wants_changes: bool) -> Result<Option<ChangeBatch>> {
        let Some(joined) = self.joined()? else { return Ok(None) };
        let changes = match self.key.is_empty() {
            true => self.append(&joined, wants_changes)?,
            false => self.upsert(joined, wants_changes)?,
        };
        self.merge()?;
        Ok(changes.filter(|changes| changes.num_rows() > 0))
    }

    fn joined(&mut self) -> Result<Option<Joined>> {
        self.waiting_rows = 0;
        self.waiting_bytes = 0;
        Joined::of(take(&mut self.waiting), &self.stored)
    }

    /// The last row of each key replaces that key's row, or deletes it.
    fn upsert(&mut self, mut joined: Joined, wants_changes: bool) -> Result<Option<ChangeBatch>> {
        if self.whole_rows
            && let Some(net) = joined.net(self.seen())?
        {
            joined = net;
        }
        let by_time = self.by_time.map(|column| {
            let by_time = ByTime::of(&joined.rows, joined.weights.as_ref(), &self.key, column)?;
            joined = Joined { rows: by_time.rows.clone(), weights: by_time.weights.clone() };
            Ok::<_, Error>(by_time)
        });
        let (by_time, joined) = (by_time.transpose()?, &joined);
        let rows = joined.rows.num_rows();
        let keys = Keys::try_new(chosen(joined.rows.columns(), &self.key), rows)?;
        let (index, superseded) = KeyIndex::build(&keys, Holding::Latest, true)?;
        let mut kept: Vec<bool> = vec![true; rows];
        superseded.iter().for_each(|&row| kept[row as usize] = false);
        let wanted = joined.ordinals().filter(|&row| kept[row as usize]).collect();
        let mut old = find(&self.runs, 0, &self.indexes[0], &keys, wanted)?.places();
        for row in joined.ordinals().filter(|&row| !joined.inserts(row)) {
            kept[row as usize] = false;
        }
        if self.whole_rows {
            let same = self.equal(&old, joined, |row| !joined.inserts(row))?;
            old.retain(|place| joined.inserts(place.probe) || same[place.probe as usize]);
        }
        if let Some(by_time) = &by_time {
            by_time.keep_latest(&self.runs, &mut old, &mut kept)?;
        }
        let changes = match wants_changes {
            true => Some(self.shown_changes(joined, &mut old, &mut kept)?),
            false => None,
        };
        for place in &old {
            self.kill(place.run, place.row);
        }
        if kept.iter().all(|kept| *kept) {
            self.add_run(joined.rows.clone(), vec![Arc::new(index)])?;
        } else {
            drop(index);
            let rows = filter_record_batch(&joined.rows, &BooleanArray::from(kept))?;
            self.add_run(compacted(&self.stored, &[rows])?, vec![])?;
        }
        Ok(changes)
    }

    /// Returns what readers see of rows that go and rows that come. An equal row replaces nothing, unless something is kept
    /// beside it, which is that of the last one.
    fn shown_changes(
        &self,
        joined: &Joined,
        old: &mut Vec<Place>,
        kept: &mut Vec<bool>,
    ) -> Result<ChangeBatch> {
        let same = self.equal(old, joined, |row| joined.inserts(row))?;
        let (mut shown_old, mut shown) = (old.clone(), kept.clone());
        for place in old.iter().filter(|place| same[place.probe as usize]) {
            shown[place.probe as usize] = false;
        }
        shown_old.retain(|place| !same[place.probe as usize]);
        let changes = self.changes(&shown_old, &joined.rows, &shown)?;
        if self.stored.fields().len() == self.seen() {
            (*old, *kept) = (shown_old, shown);
        }
        Ok(changes)
    }

    /// Returns for each of some rows whether it is the one that its key has; false for others.
    fn equal(&self, old: &[Place], joined: &Joined, wanted: impl Fn(u32) -> bool) -> Result<Vec<bool>> {
        let mut same = vec![false; joined.rows.num_rows()];
        let mut by_run: BTreeMap<usize, Pairs> = BTreeMap::new();
        for place in old.iter().filter(|place| wanted(place.probe)) {
            by_run.entry(place.run).or_default().push(place.probe, place.row);
        }
        let others: Vec<usize> = (0..self.seen()).filter(|column| !self.key.contains(column)).collect();
        for (run, pairs) in by_run {
            let stored = self.runs[run].run.rows();
            let left: Vec<_> = others.iter().map(|&column| joined.rows.column(column)).collect();
            let right: Vec<_> = others.iter().map(|&column| stored.column(column)).collect();
            for (&probe, equal) in pairs.left.iter().zip(pairs.are_equal(&left, &right)?) {
                same[probe as usize] = equal;
            }
        }
        Ok(same)
    }

    /// Returns the rows that go, each before the one that comes in its place, and the rows that come.
    pub(super) fn changes(
        &self,
        old: &[Place],
        incoming: &RecordBatch,
        kept: &[bool],
    ) -> Result<ChangeBatch> {
        let (mut places, mut weights) = (Vec::with_capacity(old.len() + kept.len()), vec![]);
        let mut old = old.iter().peekable();
        let go = |place: &Place, places: &mut Vec<_>, weights: &mut Vec<i8>| {
            places.push((place.run + 1, place.row as usize));
            weights.push(-1);
        };
        for (row, &kept) in kept.iter().enumerate() {
            while let Some(place) = old.next_if(|place| place.probe as usize <= row) {
                go(place, &mut places, &mut weights);
            }
            if kept {
                places.push((0, row));
                weights.push(1);
            }
        }
        old.for_each(|place| go(place, &mut places, &mut weights));
        let columns = (0..self.seen()).map(|column| {
            let stored = self.runs.iter().map(|part| part.run.rows().column(column).as_ref());
            let arrays: Vec<&dyn Array> =
                [incoming.column(column).as_ref()].into_iter().chain(stored).collect();
            Ok(interleave(&arrays, &places)?)
        });
        let rows = batch(&self.schema, columns.collect::<Result<_>>()?, places.len())?;
        let only_inserts = weights.iter().all(|&weight| weight > 0);
        ChangeBatch::try_new(rows, (!only_inserts).then(|| Int8Array::from(weights)))
    }

    /// Adds the rows that come, and takes out one equal row that came before for each that goes.
    fn append(&mut self, joined: &Joined, wants_changes: bool) -> Result<Option<ChangeBatch>> {
        let Some(weights) = &joined.weights else {
            self.add_run(joined.rows.clone(), vec![])?;
            let columns = joined.rows.columns()[..self.seen()].to_vec();
            let shown = || Ok(ChangeBatch::inserts(batch(&self.schema, columns, joined.rows.num_rows())?));
            return wants_changes.then(shown).transpose();
        };
        let comes: BooleanArray = weights.values().iter().map(|&weight| Some(weight > 0)).collect();
        let (coming, going): (Vec<u32>, Vec<u32>) = joined.ordinals().partition(|&row| joined.inserts(row));
        let added = compacted(&self.stored, &[filter_record_batch(&joined.rows, &comes)?])?;
        let incoming = self.runs.len();
        self.add_run(added.clone(), vec![])?;
        let goes = filter_record_batch(&joined.rows, &not(&comes)?)?;
        let came_before = |run, row: u32, going_row: u32| {
            run < incoming || coming[row as usize] < going[going_row as usize]
        };
        let mut old = self.take_out(&goes, came_before)?;
        if !wants_changes {
            return Ok(None);
        }
        // What came and went at once was never there.
        old.retain(|place| place.run < incoming);
        old.iter_mut().for_each(|place| place.probe = 0);
        let stays = |row| self.runs[incoming].live.is_live(row);
        let stays: Vec<bool> = (0..row_number(added.num_rows())).map(stays).collect();
        Ok(Some(self.changes(&old, &added, &stays)?))
    }

    /// Ends the life of one row for each of `rows` that has an equal one to which it may come, of the youngest run.
    fn take_out(
        &mut self,
        rows: &RecordBatch,
        may_go: impl Fn(usize, u32, u32) -> bool,
    ) -> Result<Vec<Place>> {
        if rows.num_rows() == 0 {
            return Ok(vec![]);
        }
        let all: Vec<usize> = (0..self.seen()).collect();
        let index = match self.index_of(&all) {
            Some(index) if self.indexes[index].with_nulls => index,
            _ => self.add_index(IndexSpec { columns: all, unique: false, with_nulls: true })?,
        };
        let spec = self.indexes[index].clone();
        let keys = Keys::try_new(chosen(rows.columns(), &spec.columns), rows.num_rows())?;
        let mut wanted: Vec<u32> = (0..row_number(rows.num_rows())).collect();
        let mut gone = vec![];
        for run in (0..self.runs.len()).rev() {
            let LiveRun { run: stored, live, .. } = &mut self.runs[run];
            let Some(places) = stored.index(index) else { continue };
            let first = places.find(&keys, &wanted, &stored.key_columns(&spec))?;
            let mut missing = vec![];
            for (&probe, &first) in wanted.iter().zip(&first) {
                match places.chain(first).find(|&row| live.is_live(row) && may_go(run, row, probe)) {
                    Some(row) => {
                        Arc::make_mut(live).kill(row);
                        gone.push(Place { probe, run, row });
                    }
                    None => missing.push(probe),
                }
            }
            wanted = missing;
        }
        self.changed |= !gone.is_empty();
        Ok(gone)
    }

    fn kill(&mut self, run: usize, row: u32) {
        self.changed |= Arc::make_mut(&mut self.runs[run].live).kill(row);
    }

    fn add_run(&mut self, rows: RecordBatch, indexes: Vec<Arc<KeyIndex>>) -> Result<()> {
        if rows.num_rows() > 0 {
            self.runs.push(LiveRun::new(Run::try_new(rows, indexes, &self.indexes)?));
            self.changed = true;
        }
        Ok(())
    }

    /// Merges young runs of like size, as a log-structured merge tree does, and drops rows that are not live where they
    /// are the most.
    pub(super) fn merge(&mut self) -> Result<()> {
        self.runs.retain(|part| part.live.live() > 0);
        let (mut first, mut rows, mut bytes) = (self.runs.len(), 0, 0);
        for (place, part) in self.runs.iter().enumerate().rev() {
            let live = part.live.live();
            bytes += part.run.rows().get_array_memory_size();
            let is_alike = rows == 0 || live <= TIER * rows || rows + live <= SMALL_RUN;
            if !is_alike || self.small_offsets && bytes > MOST_SMALL_OFFSETS {
                break;
            }
            first = place;
            rows += live;
        }
        if first + 1 < self.runs.len() {
            self.merge_runs(first, self.runs.len())?;
        }
        for place in 0..self.runs.len() {
            let live = &self.runs[place].live;
            if live.dead() > live.live() {
                self.merge_runs(place, place + 1)?;
            }
        }
        Ok(())
    }

    fn merge_runs(&mut self, first: usize, end: usize) -> Result<()> {
        let batches = self.runs[first..end].iter().flat_map(|part| {
            let chunks = ranges(part.run.num_rows(), CHUNK_ROWS);
            chunks.filter_map(|rows| part.run.live_batch(&part.live, None, rows).transpose())
        });
        let rows = compacted(&self.stored, &batches.collect::<Result<Vec<_>>>()?)?;
        let merged = LiveRun::new(Run::try_new(rows, vec![], &self.indexes)?);
        self.runs.splice(first..end, [merged]);
        Ok(())
    }

    /// Returns the index over these columns.
    pub(super) fn index_of(&self, columns: &[usize]) -> Option<usize> {
        self.indexes.iter().position(|spec| spec.columns == columns)
    }

    /// Indexes all rows by further columns, and those of the snapshot that is published, which it returns.
    pub(super) fn index_by(&mut self, columns: &[usize], published: &TableSnapshot) -> Result<TableSnapshot> {
        let before: Vec<Arc<Run>> = self.runs.iter().map(|part| Arc::clone(&part.run)).collect();
        self.add_index(IndexSpec { columns: columns.to_vec(), unique: false, with_nulls: false })?;
        let runs = published.runs.iter().map(|part| {
            let run = match before.iter().position(|run| Arc::ptr_eq(run, &part.run)) {
                Some(same) => Arc::clone(&self.runs[same].run),
                None => Arc::new(part.run.indexed(&self.indexes)?),
            };
            Ok(part.with_run(run))
        });
        Ok(TableSnapshot {
            schema: Arc::clone(&self.schema),
            indexes: Arc::clone(&self.indexes),
            runs: runs.collect::<Result<_>>()?,
            version: published.version,
        })
    }

    fn add_index(&mut self, spec: IndexSpec) -> Result<usize> {
        let indexes: Arc<[IndexSpec]> = self.indexes.iter().cloned().chain([spec]).collect();
        let runs = self.runs.iter().map(|part| Ok(Arc::new(part.run.indexed(&indexes)?)));
        let runs: Vec<Arc<Run>> = runs.collect::<Result<_>>()?;
        for (part, run) in self.runs.iter_mut().zip(runs) {
            part.run = run;
        }
        self.indexes = indexes;
        Ok(self.indexes.len() - 1)
    }

    /// Returns the rows as they are.
    pub(super) fn snapshot(&self, version: u64) -> TableSnapshot {
        TableSnapshot {
            schema: Arc::clone(&self.schema),
            indexes: Arc::clone(&self.indexes),
            runs: self.runs.clone(),
            version,
        }
    }

    /// Returns the rows as they are, if something changed since the last call.
    pub(super) fn snapshot_after(&mut self, version: u64) -> Option<TableSnapshot> {
        take(&mut self.changed).then(|| self.snapshot(version + 1))
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.runs = vec![];
        self.waiting = vec![];
        self.waiting_rows = 0;
        self.waiting_bytes = 0;
        self.changed = true;
    }

    /// Goes back to a snapshot.
    pub(super) fn reset(&mut self, snapshot: &TableSnapshot) {
        self.runs = snapshot.runs.clone();
        self.indexes = Arc::clone(&snapshot.indexes);
        self.waiting = vec![];
        self.waiting_rows = 0;
        self.waiting_bytes = 0;
        self.changed = false;
    }

    /// Returns about how many bytes all of it takes.
    pub(super) fn bytes(&self) -> usize {
        self.waiting_bytes + self.runs.iter().map(LiveRun::bytes).sum::<usize>()
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
