//! [`Versions`]: which row of a table held from when on, key by key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int8Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashMap;

use super::as_of_spec::{AsOfMatch, AsOfSpec};
use super::chunks::{Chunks, RowId};
use super::waiting::Waiting;
use crate::error::Result;
use crate::flow::times_of;
use crate::time::Watermark;

/// How many dead rows may stay however few are alive.
const FEW_DEAD: u64 = if cfg!(test) { 4 } else { 64 };
/// How many rows are moved together.
const MOST_MOVED: usize = if cfg!(test) { 7 } else { 65_536 };
/// About how many bytes a key takes beside its own and its versions.
const KEY_BYTES: usize = 56;

/// What holds from a time on.
#[derive(Debug, Clone, Copy)]
struct Version {
    time: i64,
    id: RowId,
    /// Whether there is no row from then on.
    is_end: bool,
}

/// What was found for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The version that holds for it.
    Version(RowId),
    /// None does.
    Nothing,
    /// One may still come that does.
    NotYet,
}

/// The versions of all keys, each key's in the order of time; of equal times the later arrival.
pub(super) struct Versions {
    spec: Arc<AsOfSpec>,
    converter: RowConverter,
    chunks: Chunks,
    timelines: HashMap<Box<[u8]>, Vec<Version>>,
    /// The versions that are not yet known to be out of reach, or to put others there.
    ahead: Waiting,
    /// The versions that the watermark has not passed, where rows wait for that.
    coming: Waiting,
    live: u64,
    key_bytes: usize,
}

/// The keys of rows as bytes.
pub(super) struct Keys {
    /// None where all rows have the same.
    rows: Option<Rows>,
    /// The rows whose key can be found, where not all can.
    findable: Option<NullBuffer>,
}

impl Keys {
    fn get(&self, row: usize) -> Option<&[u8]> {
        let found = self.findable.as_ref().is_none_or(|findable| findable.is_valid(row));
        found.then(|| self.rows.as_ref().map_or(&[] as &[u8], |rows| rows.row(row).data()))
    }
}

impl Versions {
    /// Creates an empty store.
    pub(super) fn try_new(spec: Arc<AsOfSpec>) -> Result<Self> {
        let field = |&column: &usize| SortField::new(spec.inputs[1].field(column).data_type().clone());
        Ok(Self {
            converter: RowConverter::new(spec.keys[1].iter().map(field).collect())?,
            chunks: Chunks::new(Arc::clone(&spec.inputs[1])),
            timelines: HashMap::new(),
            ahead: Waiting::default(),
            coming: Waiting::default(),
            live: 0,
            key_bytes: 0,
            spec,
        })
    }

    /// Reads keys from their columns.
    fn keys(&self, columns: &[ArrayRef]) -> Result<Keys> {
        let findable = match self.spec.nulls_match {
            true => None,
            false => {
                let nulls: Vec<_> = columns.iter().map(|column| column.logical_nulls()).collect();
                NullBuffer::union_many(nulls.iter().map(Option::as_ref))
            }
        };
        let rows = (!columns.is_empty()).then(|| self.converter.convert_columns(columns)).transpose()?;
        Ok(Keys { rows, findable })
    }

    /// Takes in what changes when.
    pub(super) fn insert(&mut self, rows: &RecordBatch, weights: Option<&Int8Array>) -> Result<()> {
        let times = times_of(rows, self.spec.times[1])?.values();
        let (Some(&earliest), Some(&latest)) = (times.iter().min(), times.iter().max()) else {
            return Ok(());
        };
        let columns: Vec<ArrayRef> =
            self.spec.keys[1].iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let keys = self.keys(&columns)?;
        let first = self.chunks.end();
        self.chunks.push(rows, earliest, latest)?;
        let mut ahead = Vec::with_capacity(times.len());
        for (row, &time) in times.iter().enumerate() {
            let Some(key) = keys.get(row) else { continue };
            let is_end = weights.is_some_and(|weights| weights.value(row) < 0);
            let version = Version { time, id: first + row as u64, is_end };
            let timeline = match self.timelines.get_mut(key) {
                Some(timeline) => timeline,
                None => {
                    self.key_bytes += key.len() + KEY_BYTES;
                    self.timelines.entry(key.into()).or_default()
                }
            };
            let at = timeline.partition_point(|other| other.time <= time);
            match at.checked_sub(1).map(|before| &mut timeline[before]) {
                Some(same) if same.time == time => *same = version,
                _ => {
                    timeline.insert(at, version);
                    self.live += 1;
                }
            }
            ahead.push((time, version.id));
        }
        if self.spec.matching.looks_ahead() {
            self.coming.push(ahead.clone());
        }
        self.ahead.push(ahead);
        Ok(())
    }

    /// Returns whether the watermark has passed a version since it was last asked for, or the last of all.
    pub(super) fn have_passed(&mut self, watermark: Watermark) -> bool {
        let passed = self.coming.take_while(|time, _| time < watermark.millis());
        !passed.is_empty() || watermark == Watermark::END
    }

    /// Finds for each of `rows` of the stream the version that holds for it.
    pub(super) fn find(&self, rows: &RecordBatch, watermark: Watermark) -> Result<Vec<Found>> {
        let columns: Vec<ArrayRef> =
            self.spec.keys[0].iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let (keys, times) = (self.keys(&columns)?, times_of(rows, self.spec.times[0])?);
        let find = |(row, &time): (usize, &i64)| {
            let timeline = keys.get(row).and_then(|key| self.timelines.get(key));
            if keys.get(row).is_none() {
                return Found::Nothing;
            }
            self.find_one(timeline.map_or(&[], Vec::as_slice), time, watermark)
        };
        Ok(times.values().iter().enumerate().map(find).collect())
    }

    fn find_one(&self, timeline: &[Version], time: i64, watermark: Watermark) -> Found {
        let matching = self.spec.matching;
        let before = timeline.partition_point(|version| match matching {
            AsOfMatch::AtOrBefore | AsOfMatch::After => version.time <= time,
            AsOfMatch::Before | AsOfMatch::AtOrAfter => version.time < time,
        });
        if !matching.looks_ahead() {
            let version = before.checked_sub(1).map(|last| timeline[last]);
            let version = version.filter(|version| !version.is_end);
            return version.map_or(Found::Nothing, |version| Found::Version(version.id));
        }
        let is_sure = |time: i64| watermark == Watermark::END || time < watermark.millis();
        match timeline[before..].iter().find(|version| !version.is_end) {
            Some(version) if is_sure(version.time) => Found::Version(version.id),
            None if watermark == Watermark::END => Found::Nothing,
            _ => Found::NotYet,
        }
    }

    /// Gathers one column of versions.
    pub(super) fn gather(&self, column: usize, ids: &[RowId]) -> Result<ArrayRef> {
        self.chunks.gather(column, &self.chunks.places(ids))
    }

    /// Forgets what no row at or after `horizon` can reach.
    pub(super) fn forget_before(&mut self, horizon: i64) -> Result<()> {
        let matching = self.spec.matching;
        let passed = |time: i64| match matching {
            AsOfMatch::AtOrBefore | AsOfMatch::After => time <= horizon,
            AsOfMatch::Before | AsOfMatch::AtOrAfter => time < horizon,
        };
        let ids = self.ahead.take_while(|time, _| passed(time));
        for ids in ids.chunks(MOST_MOVED) {
            let columns = self.spec.keys[1].iter().map(|&column| self.gather(column, ids));
            let keys = self.keys(&columns.collect::<Result<Vec<_>>>()?)?;
            for key in (0..ids.len()).filter_map(|row| keys.get(row)) {
                let Some(timeline) = self.timelines.get_mut(key) else { continue };
                let reached = timeline.partition_point(|version| passed(version.time));
                let last = reached.checked_sub(1).map(|last| timeline[last]);
                let unreachable = match last {
                    // The newest of them holds until another comes.
                    Some(last) if !matching.looks_ahead() && !last.is_end => reached - 1,
                    _ => reached,
                };
                timeline.drain(..unreachable);
                self.live -= unreachable as u64;
                if timeline.is_empty() {
                    self.timelines.remove(key);
                    self.key_bytes -= key.len() + KEY_BYTES;
                }
            }
        }
        let all = self.chunks.end() - self.chunks.first();
        if all - self.live > FEW_DEAD && all > 2 * self.live { self.rebuild() } else { Ok(()) }
    }

    /// Keeps the rows only that are versions still, under new numbers.
    fn rebuild(&mut self) -> Result<()> {
        let mut ids: Vec<RowId> = self.timelines.values().flatten().map(|version| version.id).collect();
        ids.sort_unstable();
        let mut chunks = Chunks::new(Arc::clone(&self.spec.inputs[1]));
        for ids in ids.chunks(MOST_MOVED) {
            let columns = (0..self.spec.inputs[1].fields().len()).map(|column| self.gather(column, ids));
            let rows =
                RecordBatch::try_new(Arc::clone(&self.spec.inputs[1]), columns.collect::<Result<Vec<_>>>()?)?;
            let times = times_of(&rows, self.spec.times[1])?.values();
            let (earliest, latest) = (times.iter().min().copied(), times.iter().max().copied());
            chunks.push(&rows, earliest.unwrap_or_default(), latest.unwrap_or_default())?;
        }
        let moved = |id: RowId| ids.binary_search(&id).ok().map(|rank| rank as u64);
        for version in self.timelines.values_mut().flatten() {
            version.id = moved(version.id).unwrap_or_default();
        }
        // A version that another took the place of has nothing ahead of it.
        self.ahead.renumber(moved);
        self.coming.renumber(moved);
        self.chunks = chunks;
        Ok(())
    }

    /// Returns about how many bytes the versions take.
    pub(super) fn bytes(&self) -> usize {
        let versions = usize::try_from(self.live).unwrap_or(usize::MAX) * size_of::<Version>();
        self.chunks.bytes() + self.key_bytes + versions + self.ahead.bytes() + self.coming.bytes()
    }
}
