//! [`Matches`]: which rows of a snapshot were found, and for which of the looking rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array, new_empty_array, new_null_array};
use arrow::compute::{filter, interleave, take};
use arrow::datatypes::UInt32Type;

use super::snapshot::TableSnapshot;
use crate::error::Result;

/// The rows that a lookup found; they belong to the snapshot that was asked.
#[derive(Debug)]
pub struct Matches {
    probe: UInt32Array,
    places: Places,
}

#[derive(Debug)]
enum Places {
    /// All in one run; NULL where nothing was found.
    OneRun { run: usize, rows: UInt32Array },
    /// The run and the row of each; nothing was found where the run is none of the snapshot's.
    Many(Vec<(usize, usize)>),
}

impl Matches {
    /// Returns for each match the row that looked, in ascending order.
    pub fn probe(&self) -> &UInt32Array {
        &self.probe
    }

    /// Returns the number of matches.
    pub fn len(&self) -> usize {
        self.probe.len()
    }

    /// Returns whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.probe.is_empty()
    }

    /// Adds, for each of `looking` rows that found nothing, a match whose columns are NULL: what an outer join wants.
    #[must_use]
    pub fn with_missing(self, looking: usize) -> Self {
        let looking = u32::try_from(looking).unwrap_or(u32::MAX);
        let mut found = self.probe.values().iter().copied().enumerate().peekable();
        let (mut probe, mut sources) = (vec![], vec![]);
        for row in 0..looking {
            let before = sources.len();
            while let Some((place, _)) = found.next_if(|(_, found)| *found == row) {
                sources.push(Some(place));
            }
            if sources.len() == before {
                sources.push(None);
            }
            probe.resize(sources.len(), row);
        }
        let places = match &self.places {
            Places::OneRun { run, rows } => {
                let rows = sources.iter().map(|source| source.map(|place| rows.value(place))).collect();
                Places::OneRun { run: *run, rows }
            }
            Places::Many(places) => {
                let place = |source: &Option<usize>| source.map_or((usize::MAX, 0), |place| places[place]);
                Places::Many(sources.iter().map(place).collect())
            }
        };
        Self { probe: probe.into(), places }
    }

    /// Leaves the matches for which `mask` is true.
    pub(super) fn filter(self, mask: &BooleanArray) -> Result<Self> {
        let probe = filter(&self.probe, mask)?.as_primitive::<UInt32Type>().clone();
        let places = match self.places {
            Places::OneRun { run, rows } => {
                let rows = filter(&rows, mask)?.as_primitive::<UInt32Type>().clone();
                Places::OneRun { run, rows }
            }
            Places::Many(places) => {
                let kept = places.into_iter().zip(mask.values().iter()).filter(|(_, keep)| *keep);
                Places::Many(kept.map(|(place, _)| place).collect())
            }
        };
        Ok(Self { probe, places })
    }

    /// Pairs each of `looking` rows with each of the places `rows`.
    pub(super) fn of_all(looking: u32, rows: &[(usize, usize)]) -> Self {
        let probe = (0..looking).flat_map(|row| std::iter::repeat_n(row, rows.len())).collect::<Vec<_>>();
        let places = (0..looking).flat_map(|_| rows.iter().copied()).collect();
        Self { probe: probe.into(), places: Places::Many(places) }
    }

    /// Puts what was found by slices of the looking rows together; each comes with the row that it begins at.
    pub(super) fn together(slices: Vec<(usize, Self)>) -> Self {
        let (mut probe, mut places) = (vec![], vec![]);
        for (start, found) in slices {
            let start = u32::try_from(start).unwrap_or(u32::MAX);
            probe.extend(found.probe.values().iter().map(|row| row.saturating_add(start)));
            match found.places {
                Places::OneRun { run, rows } => {
                    let place = |row: Option<u32>| row.map_or((usize::MAX, 0), |row| (run, row as usize));
                    places.extend(rows.iter().map(place));
                }
                Places::Many(found) => places.extend(found),
            }
        }
        Self { probe: probe.into(), places: Places::Many(places) }
    }

    /// Returns columns of the rows that were found in the runs of `snapshot`; the one after the last is true.
    pub(super) fn take(&self, snapshot: &TableSnapshot, columns: &[usize]) -> Result<Vec<ArrayRef>> {
        columns.iter().map(|&column| self.take_column(snapshot, column)).collect()
    }

    /// Returns true for each match, and NULL where nothing was found in the `runs` runs.
    fn there(&self, runs: usize) -> BooleanArray {
        match &self.places {
            Places::OneRun { run, rows } => {
                rows.iter().map(|row| row.filter(|_| *run < runs).map(|_| true)).collect()
            }
            Places::Many(places) => places.iter().map(|(run, _)| (*run < runs).then_some(true)).collect(),
        }
    }

    fn take_column(&self, snapshot: &TableSnapshot, column: usize) -> Result<ArrayRef> {
        let runs = snapshot.runs();
        let Some(field) = snapshot.schema().fields().get(column) else {
            return Ok(Arc::new(self.there(runs.len())));
        };
        let data_type = field.data_type();
        let null = new_null_array(data_type, 1);
        match &self.places {
            _ if self.is_empty() => Ok(new_empty_array(data_type)),
            Places::OneRun { run, rows } => match runs.get(*run) {
                Some(part) => Ok(take(part.run.rows().column(column), rows, None)?),
                None => Ok(new_null_array(data_type, rows.len())),
            },
            Places::Many(places) => {
                let mut arrays: Vec<&dyn Array> =
                    runs.iter().map(|part| part.run.rows().column(column).as_ref()).collect();
                arrays.push(&null);
                let places: Vec<_> =
                    places.iter().map(|&(run, row)| (run.min(arrays.len() - 1), row)).collect();
                Ok(interleave(&arrays, &places)?)
            }
        }
    }
}

/// Gathers what is found run by run.
#[derive(Debug, Default)]
pub(super) struct Finding {
    probe: Vec<u32>,
    rows: Vec<u32>,
    /// Each run that something was found in, with where its part ends.
    parts: Vec<(usize, usize)>,
}

impl Finding {
    pub(super) fn push(&mut self, probe: u32, row: u32) {
        self.probe.push(probe);
        self.rows.push(row);
    }

    /// Says that what came since the last call was found in `run`.
    pub(super) fn end_run(&mut self, run: usize) {
        if self.parts.last().map_or(0, |(_, end)| *end) < self.rows.len() {
            self.parts.push((run, self.rows.len()));
        }
    }

    /// Returns what was found by looking row, in the order of runs where one row found several.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.rows.len());
        let mut start = 0;
        for &(run, end) in &self.parts {
            let found = self.probe[start..end].iter().zip(&self.rows[start..end]);
            places.extend(found.map(|(&probe, &row)| Place { probe, run, row }));
            start = end;
        }
        if self.parts.len() > 1 {
            places.sort_by_key(|place| (place.probe, place.run));
        }
        places
    }

    pub(super) fn into_matches(self) -> Matches {
        if let [(run, _)] = *self.parts {
            return Matches {
                probe: self.probe.into(),
                places: Places::OneRun { run, rows: self.rows.into() },
            };
        }
        let places = self.places();
        let probe: Vec<u32> = places.iter().map(|place| place.probe).collect();
        let places = places.iter().map(|place| (place.run, place.row as usize));
        Matches { probe: probe.into(), places: Places::Many(places.collect()) }
    }
}

/// Where the row is that was found for a looking row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) probe: u32,
    pub(super) run: usize,
    pub(super) row: u32,
}
