//! [`ReadPin`]: one moment of several tables, for all that one query reads.

use std::sync::Arc;

use parking_lot::Mutex;

use super::snapshot::TableSnapshot;
use super::table::Table;

/// How often tables are asked again whether they all stayed as they are, before what they say is taken.
const ROUNDS: usize = 64;

/// The snapshots that a query reads: however often it scans a table, and whatever happens to it meanwhile, it sees the
/// same rows; and those of several tables as they stood beside each other.
///
/// Nothing is taken before the first scan runs, at which all tables of the query are known.
#[derive(Debug, Default)]
pub struct ReadPin {
    pinned: Mutex<Pinned>,
}

#[derive(Debug, Default)]
struct Pinned {
    tables: Vec<Arc<Table>>,
    /// In the order of the tables; fewer as long as some were not asked for.
    snapshots: Vec<Arc<TableSnapshot>>,
}

impl ReadPin {
    /// Creates a pin without tables.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Says that the query reads a table too.
    pub fn add(&self, table: &Arc<Table>) {
        let mut pinned = self.pinned.lock();
        if !pinned.tables.iter().any(|other| Arc::ptr_eq(other, table)) {
            pinned.tables.push(Arc::clone(table));
        }
    }

    /// Returns the table as the query sees it.
    pub fn snapshot(&self, table: &Arc<Table>) -> Arc<TableSnapshot> {
        let mut pinned = self.pinned.lock();
        let Some(place) = pinned.tables.iter().position(|other| Arc::ptr_eq(other, table)) else {
            return table.snapshot();
        };
        if place >= pinned.snapshots.len() {
            let later = snapshots(&pinned.tables[pinned.snapshots.len()..]);
            pinned.snapshots.extend(later);
        }
        Arc::clone(&pinned.snapshots[place])
    }

    /// Lets go of the snapshots: the next scan is of another query, or of another run of it.
    pub fn release(&self) {
        self.pinned.lock().snapshots.clear();
    }
}

/// Returns the tables as they all were at one moment, unless they change faster than they can be asked.
fn snapshots(tables: &[Arc<Table>]) -> Vec<Arc<TableSnapshot>> {
    let ask = || tables.iter().map(|table| table.snapshot()).collect::<Vec<_>>();
    let mut seen = ask();
    for _ in 0..ROUNDS {
        let again = ask();
        if again.iter().zip(&seen).all(|(now, before)| Arc::ptr_eq(now, before)) {
            break;
        }
        seen = again;
    }
    seen
}
