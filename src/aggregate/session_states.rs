//! [`SessionStates`]: the partial states of open sessions, by key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;
use datafusion::logical_expr::EmitTo;

use super::groups::{Groups, KeyedRows};
use super::spec::AggregateSpec;
use crate::error::Result;
use crate::time::SessionWindow;

/// How many rows may be dead, beside as many as are alive, before the states are written anew.
const SPARE_ROWS: usize = 4_096;

/// The place of a fragment's state: a chunk and a row of it.
pub(super) type Place = (usize, usize);

/// Rows of one key that are in one session whatever else comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fragment {
    first: i64,
    last: i64,
    place: Place,
}

/// A session of a key as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// The time of its first row.
    pub(super) first: i64,
    /// The time of its last row.
    pub(super) last: i64,
    /// Where its states are.
    pub(super) places: Vec<Place>,
}

/// The partial states of open sessions.
///
/// A fragment is what arrived of a session; fragments that touch are merged, vectorised over all keys of an epoch.
/// Where a longest duration cuts sessions the cuts move when an earlier row comes, so that only rows of one time are
/// merged, and sessions are found by a walk over the fragments.
pub(super) struct SessionStates {
    spec: Arc<AggregateSpec>,
    windows: SessionWindow,
    keys: Groups,
    /// By key: its fragments, in the order of time.
    fragments: Vec<Vec<Fragment>>,
    /// Keys and states of fragments, and of fragments that are gone.
    chunks: Vec<KeyedRows>,
    alive: usize,
    key_of_row: Vec<usize>,
}

impl SessionStates {
    /// Creates empty states.
    pub(super) fn try_new(spec: Arc<AggregateSpec>, windows: SessionWindow) -> Result<Self> {
        Ok(Self {
            keys: spec.groups()?,
            windows,
            fragments: vec![],
            chunks: vec![],
            alive: 0,
            key_of_row: vec![],
            spec,
        })
    }

    /// Returns the key of each of these rows.
    pub(super) fn intern(&mut self, rows: &KeyedRows) -> Result<&[usize]> {
        let keys = &rows.columns[..self.spec.keys.len()];
        self.keys.intern(keys, rows.rows, &mut self.key_of_row)?;
        self.fragments.resize(self.keys.len(), vec![]);
        Ok(&self.key_of_row)
    }

    /// Adds fragments with the times of their first and last rows; they are merged by [`settle`](Self::settle).
    pub(super) fn add(&mut self, keys: &[usize], firsts: &[i64], lasts: &[i64], rows: KeyedRows) {
        let chunk = self.chunks.len();
        self.alive += rows.rows;
        for (row, ((&key, &first), &last)) in keys.iter().zip(firsts).zip(lasts).enumerate() {
            self.fragments[key].push(Fragment { first, last, place: (chunk, row) });
        }
        self.chunks.push(rows);
    }

    /// Merges the fragments of `keys` that touch.
    pub(super) fn settle(&mut self, keys: &[usize]) -> Result<()> {
        let mut merged: Vec<(usize, Session)> = vec![];
        for &key in keys {
            let mut fragments = std::mem::take(&mut self.fragments[key]);
            fragments.sort_by_key(|fragment| fragment.first);
            let mut kept: Vec<Fragment> = Vec::with_capacity(fragments.len());
            let mut run: Option<Session> = None;
            for fragment in fragments {
                match &mut run {
                    Some(run) if self.touch(run.last, fragment.first) => {
                        run.last = run.last.max(fragment.last);
                        run.places.push(fragment.place);
                    }
                    _ => {
                        finish_run(key, run.take(), &mut kept, &mut merged);
                        let Fragment { first, last, place } = fragment;
                        run = Some(Session { first, last, places: vec![place] });
                    }
                }
            }
            finish_run(key, run.take(), &mut kept, &mut merged);
            self.fragments[key] = kept;
        }
        if merged.is_empty() {
            return Ok(());
        }
        let sessions: Vec<&Session> = merged.iter().map(|(_, session)| session).collect();
        let mut columns = self.keys_of(&sessions)?;
        columns.extend(self.states_of(&sessions)?);
        let chunk = self.chunks.len();
        self.chunks.push(KeyedRows { columns, rows: merged.len() });
        for (row, (key, session)) in merged.into_iter().enumerate() {
            self.alive = self.alive + 1 - session.places.len();
            let fragment = Fragment { first: session.first, last: session.last, place: (chunk, row) };
            let fragments = &mut self.fragments[key];
            let at = fragments.partition_point(|other| other.first < fragment.first);
            fragments.insert(at, fragment);
        }
        Ok(())
    }

    /// Returns the sessions of a key, in the order of time.
    pub(super) fn sessions_of(&self, key: usize) -> Vec<Session> {
        let mut sessions: Vec<Session> = vec![];
        for fragment in self.fragments.get(key).into_iter().flatten() {
            match sessions.last_mut() {
                Some(session) if self.windows.continues(session.first, session.last, fragment.first) => {
                    session.last = session.last.max(fragment.last);
                    session.places.push(fragment.place);
                }
                _ => sessions.push(Session {
                    first: fragment.first,
                    last: fragment.last,
                    places: vec![fragment.place],
                }),
            }
        }
        sessions
    }

    /// Forgets sessions of a key that nothing can change any more.
    pub(super) fn forget(&mut self, key: usize, sessions: &[Session]) {
        let before = self.fragments[key].len();
        self.fragments[key]
            .retain(|fragment| !sessions.iter().any(|session| session.places.contains(&fragment.place)));
        self.alive -= before - self.fragments[key].len();
    }

    /// Returns the keys of sessions, one a row.
    pub(super) fn keys_of(&self, sessions: &[&Session]) -> Result<Vec<ArrayRef>> {
        let places: Vec<Place> = sessions.iter().map(|session| session.places[0]).collect();
        self.gather(0..self.spec.keys.len(), &places)
    }

    /// Returns the values of the functions for sessions, one a row.
    pub(super) fn values_of(&self, sessions: &[&Session]) -> Result<Vec<ArrayRef>> {
        let mut accumulators = self.merge(sessions)?;
        accumulators.iter_mut().map(|accumulator| Ok(accumulator.evaluate(EmitTo::All)?)).collect()
    }

    fn states_of(&self, sessions: &[&Session]) -> Result<Vec<ArrayRef>> {
        let mut states = vec![];
        for accumulator in &mut self.merge(sessions)? {
            states.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(states)
    }

    fn merge(
        &self,
        sessions: &[&Session],
    ) -> Result<Vec<Box<dyn datafusion::logical_expr::GroupsAccumulator>>> {
        let places: Vec<Place> = sessions.iter().flat_map(|session| session.places.iter().copied()).collect();
        let groups: Vec<usize> = sessions
            .iter()
            .enumerate()
            .flat_map(|(group, session)| std::iter::repeat_n(group, session.places.len()))
            .collect();
        let mut accumulators = self.spec.accumulators()?;
        let mut column = self.spec.keys.len();
        for (accumulator, width) in accumulators.iter_mut().zip(self.spec.state_widths()?) {
            let states = self.gather(column..column + width, &places)?;
            accumulator.merge_batch(&states, &groups, sessions.len())?;
            column += width;
        }
        Ok(accumulators)
    }

    fn gather(&self, columns: std::ops::Range<usize>, places: &[Place]) -> Result<Vec<ArrayRef>> {
        let gathered = columns.map(|column| {
            let arrays: Vec<&dyn Array> =
                self.chunks.iter().map(|chunk| chunk.columns[column].as_ref()).collect();
            Ok(interleave(&arrays, places)?)
        });
        gathered.collect()
    }

    /// Writes the states anew where most of what is kept is dead; returns whether keys have other numbers now.
    pub(super) fn compact(&mut self) -> Result<bool> {
        let rows: usize = self.chunks.iter().map(|chunk| chunk.rows).sum();
        let many_chunks = self.chunks.len() > 64;
        if rows <= 2 * self.alive + SPARE_ROWS
            && self.keys.len() <= 2 * self.alive + SPARE_ROWS
            && !many_chunks
        {
            return Ok(false);
        }
        let fragments: Vec<Fragment> = self.fragments.iter().flatten().copied().collect();
        let places: Vec<Place> = fragments.iter().map(|fragment| fragment.place).collect();
        let width = self.chunks.first().map_or(0, |chunk| chunk.columns.len());
        let rows = KeyedRows { columns: self.gather(0..width, &places)?, rows: places.len() };
        self.chunks.clear();
        self.fragments.clear();
        self.keys = self.spec.groups()?;
        self.alive = 0;
        if rows.rows > 0 {
            let keys = self.intern(&rows)?.to_vec();
            let firsts: Vec<i64> = fragments.iter().map(|fragment| fragment.first).collect();
            let lasts: Vec<i64> = fragments.iter().map(|fragment| fragment.last).collect();
            self.add(&keys, &firsts, &lasts, rows);
        }
        Ok(true)
    }

    /// Returns how many keys have had numbers.
    pub(super) fn key_count(&self) -> usize {
        self.fragments.len()
    }

    /// Returns the number of fragments of sessions.
    pub(super) fn len(&self) -> usize {
        self.alive
    }

    /// Returns about how many bytes the states take.
    pub(super) fn bytes(&self) -> usize {
        let fragments: usize =
            self.fragments.iter().map(|fragments| fragments.capacity() * size_of::<Fragment>() + 24).sum();
        self.keys.bytes() + fragments + self.chunks.iter().map(KeyedRows::bytes).sum::<usize>()
    }

    fn touch(&self, last: i64, next: i64) -> bool {
        if self.windows.max_ms.is_some() { next == last } else { next < self.windows.end(last) }
    }
}

/// Ends a run: alone, it stays as it is; several fragments are to be merged.
fn finish_run(
    key: usize,
    run: Option<Session>,
    kept: &mut Vec<Fragment>,
    merged: &mut Vec<(usize, Session)>,
) {
    match run {
        Some(Session { first, last, places }) if places.len() == 1 => {
            kept.push(Fragment { first, last, place: places[0] });
        }
        Some(session) => merged.push((key, session)),
        None => {}
    }
}
