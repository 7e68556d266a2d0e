//! [`Turns`]: statements that change one table, one after the other.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::load::TableLoad;
use crate::connect::memory::MemoryStream;
use crate::error::{Error, Result};
use crate::job::progress::{Progress, TakenIn};
use crate::time::Watermark;

/// The statements that change one table, in the order in which they stand.
#[derive(Debug)]
pub struct Turns {
    load: Arc<TableLoad>,
    /// What they write, and how much of it the table has.
    input: Arc<MemoryStream>,
    progress: Arc<Progress>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: usize,
    failure: Option<Error>,
}

/// The place of one of them.
#[derive(Debug, Clone)]
pub struct Turn {
    /// All of them.
    pub turns: Arc<Turns>,
    /// How many come before it.
    pub place: usize,
}

impl Turns {
    /// Creates the turns of statements that write to `input`, which the job of `progress` puts in the table of `load`.
    pub(in crate::job) fn new(
        load: Arc<TableLoad>,
        input: Arc<MemoryStream>,
        progress: Arc<Progress>,
    ) -> Arc<Self> {
        Arc::new(Self { load, input, progress, state: Mutex::default() })
    }
}

impl Turn {
    /// Returns whether the table has all that the statements before this one do.
    ///
    /// # Errors
    /// As one of them failed, or the table itself.
    pub(super) fn has_come(&self) -> Result<bool> {
        let Turns { load, input, progress, state } = &*self.turns;
        load.check()?;
        let state = state.lock();
        if let Some(failure) = &state.failure {
            let table = load.table();
            return Err(failure
                .copied()
                .within(format!("a statement before it that changes table `{table}`")));
        }
        if state.ended < self.place {
            return Ok(false);
        }
        let records = u64::try_from(input.rows()).unwrap_or(0);
        let wanted = TakenIn { records, promised: Watermark::NONE };
        Ok(progress.wait_for(&[wanted], Duration::ZERO).is_ok())
    }

    /// Says that the statement has written all of its rows, or why not.
    pub(in crate::job) fn end<T>(&self, ending: &Result<T>) {
        let mut state = self.turns.state.lock();
        state.ended += 1;
        if let (Err(error), None) = (ending, &state.failure) {
            state.failure = Some(error.copied());
        }
    }
}
