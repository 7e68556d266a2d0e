//! [`StreamJoin`]: finds pairs among the rows of two streams as they come.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int8Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{filter_record_batch, not};

use super::chunks::RowId;
use super::key_hashes::KeyHashes;
use super::pairs::{Condition, Pairs};
use super::side::{Shown, Side};
use super::spec::{JoinKind, JoinSpec, Keeping, Moment, Unmatched};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// How many rows are given together.
const MOST_GIVEN: usize = 65_536;

/// Joins two streams, which come on the inputs 0 (left) and 1 (right).
///
/// A row meets what the other side keeps when it comes, and is then kept itself: so each two rows meet once. What a row
/// is given as by itself is settled when the epoch ends.
pub struct StreamJoin {
    name: String,
    spec: Arc<JoinSpec>,
    condition: Option<Condition>,
    sides: [Side; 2],
    watermark: Watermark,
    /// The pairs of the epoch, where rows that were given by themselves are to be taken back before them.
    pairs: Vec<ChangeBatch>,
    /// Whether deltas are being restored: nothing is given, and nothing is dropped before all of them are in.
    restoring: bool,
    recorded: DeltaLog,
}

impl StreamJoin {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<JoinSpec>, record: bool) -> Result<Self> {
        let wanted = match spec.keeping {
            Keeping::Always => true,
            Keeping::Within { .. } => spec.times.is_some(),
            Keeping::For { .. } => spec.times.is_some() && spec.marks.is_some(),
        };
        if !wanted {
            return Err(Error::internal("a join within time has no column of the time"));
        }
        let condition = spec.condition.as_ref().map(|condition| Condition::try_new(condition, &spec.pair));
        Ok(Self {
            name,
            condition: condition.transpose()?,
            sides: [0, 1].map(|port| Side::new(Arc::clone(&spec), port)),
            watermark: Watermark::NONE,
            pairs: vec![],
            restoring: false,
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    /// Takes in what changed on the input `port` when the watermark was `watermark`; returns the pairs that come and go.
    fn take_in(
        &mut self,
        port: usize,
        change: &ChangeBatch,
        watermark: Watermark,
    ) -> Result<Vec<ChangeBatch>> {
        let withdrawn = change.weights().filter(|weights| weights.values().iter().any(|&weight| weight < 0));
        let Some(weights) = withdrawn else { return self.insert(port, change.rows(), watermark) };
        let never = self.spec.unmatched == Unmatched::WhenSure && self.spec.kind != JoinKind::Inner;
        if never || matches!(self.spec.keeping, Keeping::Within { .. }) {
            return Err(Error::internal("a join that takes nothing back got a changelog"));
        }
        let is_withdrawn = BooleanArray::from_unary(weights, |weight| weight < 0);
        let inserted = filter_record_batch(change.rows(), &not(&is_withdrawn)?)?;
        let withdrawn = filter_record_batch(change.rows(), &is_withdrawn)?;
        let (mut pairs, not_yet) = self.withdraw(port, &withdrawn, watermark)?;
        pairs.extend(self.insert(port, &inserted, watermark)?);
        if not_yet.num_rows() > 0 {
            // What came and goes in one batch.
            let (more, unknown) = self.withdraw(port, &not_yet, watermark)?;
            pairs.extend(more);
            if unknown.num_rows() > 0 && self.spec.keeping == Keeping::Always {
                return Err(Error::internal("a join was to take back a row that it does not have"));
            }
        }
        Ok(pairs)
    }

    fn insert(&mut self, port: usize, rows: &RecordBatch, watermark: Watermark) -> Result<Vec<ChangeBatch>> {
        let Some(timeless) = self.spec.timeless(port, rows)? else {
            return self.insert_timed(port, rows, watermark);
        };
        let alone = self.without_partner(port, &filter_record_batch(rows, &timeless)?)?;
        let timed = filter_record_batch(rows, &not(&timeless)?)?;
        let mut given = self.insert_timed(port, &timed, watermark)?;
        given.extend(alone);
        Ok(given)
    }

    /// Returns rows that nothing can ever meet as the result has them: with nothing beside them, or not at all.
    fn without_partner(&self, port: usize, rows: &RecordBatch) -> Result<Option<ChangeBatch>> {
        let comes_out = self.spec.kind.shows(port) && self.spec.kind.shows_alone() && !self.restoring;
        if !comes_out {
            return Ok(None);
        }
        let unmatched = vec![false; rows.num_rows()];
        Ok(Some(weighted(self.by_itself(port, rows.columns().to_vec(), unmatched)?, 1)?))
    }

    fn insert_timed(
        &mut self,
        port: usize,
        rows: &RecordBatch,
        watermark: Watermark,
    ) -> Result<Vec<ChangeBatch>> {
        let moments = self.spec.moments(port, rows, watermark)?;
        let hashes = KeyHashes::try_new(&self.spec, port, rows)?;
        let (partners, pairs) = self.meet(port, rows, &moments, &hashes, 1)?;
        self.sides[port].insert(rows, &moments, &hashes, &partners)?;
        Ok(pairs)
    }

    /// Lets go of rows, and returns the pairs that go with them and the rows that are not there. A row that had expired
    /// when its withdrawal came stays in what came of it.
    fn withdraw(
        &mut self,
        port: usize,
        rows: &RecordBatch,
        watermark: Watermark,
    ) -> Result<(Vec<ChangeBatch>, RecordBatch)> {
        let moments = self.spec.moments(port, rows, watermark)?;
        let hashes = KeyHashes::try_new(&self.spec, port, rows)?;
        let found = self.sides[port].find(rows, &hashes)?;
        let (mut ids, mut found_moments, mut unknown) = (vec![], vec![], vec![]);
        for (&moment, found) in moments.iter().zip(found) {
            let had_expired = self.spec.is_over(port, moment.time, Watermark::from_millis(moment.mark));
            unknown.push(found.is_none() && !had_expired);
            if let Some(id) = found.filter(|_| !had_expired) {
                ids.push(id);
                found_moments.push(moment);
            }
        }
        let kept = self.sides[port].rows(&ids)?;
        let hashes = KeyHashes::try_new(&self.spec, port, &kept)?;
        for (row, &id) in ids.iter().enumerate() {
            if let Some(hash) = hashes.place(row) {
                self.sides[port].withdraw(hash, id);
            }
        }
        let (_, pairs) = self.meet(port, &kept, &found_moments, &hashes, -1)?;
        Ok((pairs, filter_record_batch(rows, &BooleanArray::from(unknown))?))
    }

    /// Lets rows of the input `port` meet the other side's; returns how many partners each has, and the pairs, with
    /// `weight`.
    fn meet(
        &mut self,
        port: usize,
        rows: &RecordBatch,
        moments: &[Moment],
        hashes: &KeyHashes,
        weight: i8,
    ) -> Result<(Vec<u32>, Vec<ChangeBatch>)> {
        let mut partners = vec![0_u32; rows.num_rows()];
        let mut given = vec![];
        let once = self.spec.once() && port == 0;
        let other = &mut self.sides[1 - port];
        let mut search = other.search(hashes, moments);
        loop {
            let found = other.candidates(&mut search, |row| once && partners[row] > 0);
            if found.ids.is_empty() {
                return Ok((partners, given));
            }
            let mut pairs = Pairs::new(&self.spec, port, rows, &other.chunks, found);
            pairs.test(self.condition.as_ref())?;
            if !self.restoring && self.spec.kind.gives_pairs() && !pairs.is_empty() {
                given.push(weighted(pairs.gather()?, weight)?);
            }
            let found = pairs.into_candidates();
            for &row in &found.rows {
                partners[row as usize] += 1;
            }
            other.meet(&found.ids, weight);
        }
    }

    /// Ends the restoring of deltas: what follows from them came out before they were taken.
    fn resume(&mut self) -> Result<()> {
        if std::mem::take(&mut self.restoring) {
            for side in &mut self.sides {
                side.settle();
                if self.spec.unmatched == Unmatched::WhenSure {
                    side.take_alone(self.watermark);
                }
                side.drop_before(self.watermark)?;
                side.expired = 0;
            }
        }
        Ok(())
    }

    /// Returns rows of the side `port` as the result has them by themselves.
    fn shown(&self, port: usize, rows: &[(RowId, Shown)], weight: i8) -> Result<Vec<ChangeBatch>> {
        let batch = |rows: &[(RowId, Shown)]| {
            let ids: Vec<RowId> = rows.iter().map(|(id, _)| *id).collect();
            let matched = rows.iter().map(|(_, shown)| *shown == Shown::Matched).collect();
            let columns = self.sides[port].rows(&ids)?.columns().to_vec();
            weighted(self.by_itself(port, columns, matched)?, weight)
        };
        rows.chunks(MOST_GIVEN).map(batch).collect()
    }

    /// Returns the result of rows of the side `port` by themselves, of which `matched` says whether they have a partner.
    fn by_itself(&self, port: usize, mut columns: Vec<ArrayRef>, matched: Vec<bool>) -> Result<RecordBatch> {
        let count = matched.len();
        match self.spec.kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti => {}
            JoinKind::LeftMark => columns.push(Arc::new(BooleanArray::from(matched))),
            _ => {
                let others = self.spec.inputs[1 - port].fields().iter();
                let mut nulls: Vec<ArrayRef> =
                    others.map(|field| new_null_array(field.data_type(), count)).collect();
                match port {
                    0 => columns.append(&mut nulls),
                    _ => columns.splice(0..0, nulls).for_each(drop),
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }
}

fn weighted(rows: RecordBatch, weight: i8) -> Result<ChangeBatch> {
    let weights = (weight < 0).then(|| Int8Array::from_value(weight, rows.num_rows()));
    ChangeBatch::try_new(rows, weights)
}

impl Operator for StreamJoin {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        self.resume()?;
        if change.num_rows() == 0 {
            return Ok(vec![]);
        }
        self.recorded.keep_changes_of(port, change, self.watermark)?;
        let pairs = self.take_in(port, change, self.watermark)?;
        if self.spec.unmatched == Unmatched::WhenSure || self.spec.kind == JoinKind::Inner {
            return Ok(pairs);
        }
        self.pairs.extend(pairs);
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        self.resume()?;
        self.watermark.advance_to(watermark);
        let showings = [self.sides[0].settle(), self.sides[1].settle()];
        let mut out = vec![];
        for (port, showing) in showings.iter().enumerate() {
            out.extend(self.shown(port, &showing.withdrawn, -1)?);
        }
        out.append(&mut self.pairs);
        for (port, showing) in showings.iter().enumerate() {
            out.extend(self.shown(port, &showing.given, 1)?);
        }
        for port in [0, 1] {
            let alone = self.sides[port].take_alone(self.watermark);
            out.extend(self.shown(port, &alone, 1)?);
            self.sides[port].drop_before(self.watermark)?;
        }
        Ok(out)
    }

    /// The event time of a pair is the later of its rows', so a pair that comes later is not before the watermark. That
    /// of a row that is given by itself is its own: the earliest that still waits for a partner holds the watermark
    /// back, and where rows are taken back, the earliest that is kept.
    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        let earliest = match self.spec.unmatched {
            Unmatched::WhenSure => Side::earliest_waiting,
            Unmatched::AtOnce => Side::earliest,
        };
        match self.sides.iter().filter_map(earliest).min() {
            None => watermark,
            Some(_) if self.spec.times.is_none() => Watermark::NONE,
            Some(time) => watermark.min(Watermark::from_millis(time)),
        }
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || Ok(Arc::clone(&self.spec.inputs[0])))
    }

    /// Lets the rows meet again, in silence. They were recorded in the order in which they came, and time decides about
    /// pairs, not what was dropped when: so each finds the partners that it had found.
    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.restoring = true;
        self.watermark.advance_to(delta.watermark);
        if delta.rows.num_rows() > 0 {
            let change = ChangeBatch::of_weighted_rows(&delta.rows)?;
            self.take_in(delta.port, &change, delta.watermark)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sides.iter().map(Side::bytes).sum()
    }

    fn expired(&self) -> u64 {
        self.sides.iter().map(|side| side.expired).sum()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.sides.iter().map(Side::len).sum())
    }
}
