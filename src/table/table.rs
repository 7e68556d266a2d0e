//! [`Table`]: rows by key that one writes and many read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use parking_lot::{Mutex, RwLock};

use super::beside::Beside;
use super::leaving::Left;
use super::snapshot::{IndexId, TableSnapshot};
use super::store::Store;
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;

/// A table in memory: the latest row of each key, or all rows where there is no key.
///
/// Readers take a [`snapshot`](Self::snapshot) and are done with the table; they neither wait for the writer nor hold it
/// up. NULL is a key like others to the writer, while a lookup of NULL finds nothing.
#[derive(Debug)]
pub struct Table {
    name: String,
    schema: SchemaRef,
    key: Vec<usize>,
    store: Mutex<Store>,
    /// What the store keeps beside the rows; set before there is a writer.
    beside: Mutex<Beside>,
    /// Locked only to read or to replace the pointer.
    published: RwLock<Arc<TableSnapshot>>,
    has_writer: AtomicBool,
}

impl Table {
    /// Creates an empty table; `key` holds the ordinals of the primary key's columns, none for a table to which rows are
    /// only added.
    pub fn new(name: String, schema: SchemaRef, key: Vec<usize>) -> Arc<Self> {
        let store = Store::new(Arc::clone(&schema), key.clone());
        let empty = store.snapshot(0);
        Arc::new(Self {
            name,
            schema,
            key,
            store: Mutex::new(store),
            beside: Mutex::default(),
            published: RwLock::new(Arc::new(empty)),
            has_writer: AtomicBool::new(false),
        })
    }

    /// Makes the row of a key the last that has the latest time in `column`, a timestamp, whichever comes last; of equal
    /// times the one that comes later.
    pub fn order_by(&self, column: usize) {
        self.store.lock().order_by(column);
    }

    /// Makes the table keep something beside its rows that readers do not see; called before there are rows.
    pub fn keep_beside(&self, beside: Beside) {
        self.store.lock().keep_beside(beside);
        *self.beside.lock() = beside;
    }

    /// Returns what is kept beside the rows.
    pub fn beside(&self) -> Beside {
        *self.beside.lock()
    }

    /// Returns the columns of the rows as they are kept: those that readers see, and what is beside them.
    pub(super) fn stored(&self) -> SchemaRef {
        Arc::clone(&self.store.lock().stored)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the ordinals of the primary key's columns.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// Returns the names of the primary key's columns.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|&column| self.schema.field(column).name().as_str())
    }

    /// Returns the rows as they were last published.
    pub fn snapshot(&self) -> Arc<TableSnapshot> {
        Arc::clone(&self.published.read())
    }

    /// Returns the index over `columns`, the primary key being one; what is not there yet is built over all rows, and
    /// is in every snapshot taken from now on.
    pub fn require_index(&self, columns: &[usize]) -> Result<IndexId> {
        if columns.is_empty() || columns.iter().any(|&column| column >= self.schema.fields().len()) {
            return Err(Error::internal(format!(
                "table `{}` has no columns {columns:?} to index",
                self.name
            )));
        }
        let mut store = self.store.lock();
        if let Some(index) = store.index_of(columns) {
            return Ok(IndexId(index));
        }
        let published = store.index_by(columns, &self.snapshot())?;
        let index = published.indexes.len() - 1;
        self.replace(published);
        Ok(IndexId(index))
    }

    /// Returns the one who may change the table; fails as long as somebody else may.
    pub fn writer(self: &Arc<Self>) -> Result<TableWriter> {
        if self.has_writer.swap(true, Ordering::AcqRel) {
            return Err(Error::internal(format!("table `{}` has a writer already", self.name)));
        }
        Ok(TableWriter { table: Arc::clone(self) })
    }

    /// Returns about how many bytes the table takes, snapshots that only their readers hold aside.
    pub fn bytes(&self) -> usize {
        self.store.lock().bytes()
    }

    fn replace(&self, snapshot: TableSnapshot) {
        // The one before may be the last to hold many rows: it is let go of outside the lock.
        let before = std::mem::replace(&mut *self.published.write(), Arc::new(snapshot));
        drop(before);
    }
}

/// Changes a table; what it did not publish is forgotten with it.
#[derive(Debug)]
pub struct TableWriter {
    table: Arc<Table>,
}

impl TableWriter {
    /// Returns the table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Makes the writer take rows of weight −1 for rows that it was given before: one deletes its equal, and not what has
    /// its key by now, whatever the order in which those of one epoch come.
    pub fn of_changelog(self) -> Self {
        self.table.store.lock().matches_whole_rows(true);
        self
    }

    /// Takes changes in, with what is kept beside their rows behind them. With a key, rows of weight +1 replace the row of their key, and those of −1 delete it; the
    /// last one of a key counts. Without one, rows are added, and one equal row that came before is taken out for each of −1.
    ///
    /// With `wants_changes` the answer is what really changed since the last call: the old row with −1 before the new
    /// one with +1, and nothing of a row that was there already. Without, changes are put together with later ones, up
    /// to [`publish`](Self::publish), which costs much less where they are few at a time.
    pub fn apply(&mut self, change: &ChangeBatch, wants_changes: bool) -> Result<Option<ChangeBatch>> {
        self.hold(change)?;
        match wants_changes || self.table.store.lock().is_full() {
            true => self.settle(wants_changes),
            false => Ok(None),
        }
    }

    /// Forgets all rows; readers see those that were published until the next time.
    pub(super) fn clear(&mut self) {
        self.table.store.lock().clear();
    }

    /// Takes changes in, to be settled together with others.
    pub(super) fn hold(&mut self, change: &ChangeBatch) -> Result<()> {
        self.table.store.lock().push(change)
    }

    /// Settles what was taken in; returns what that changed, if that is wanted.
    pub(super) fn settle(&mut self, wants_changes: bool) -> Result<Option<ChangeBatch>> {
        self.table.store.lock().settle(wants_changes)
    }

    /// Deletes the rows whose time in `column` is `until` or before it, in the column's unit.
    pub(super) fn expire(&mut self, column: usize, until: i64, wants_changes: bool) -> Result<Left> {
        self.table.store.lock().expire(column, until, wants_changes)
    }

    /// Deletes the rows that have `value` in `column`, one of numbers.
    pub(super) fn take_back(&mut self, column: usize, value: i64, wants_changes: bool) -> Result<Left> {
        self.table.store.lock().take_back(column, value, wants_changes)
    }

    /// Shows readers all changes so far, and returns what they see.
    pub fn publish(&mut self) -> Result<Arc<TableSnapshot>> {
        let mut store = self.table.store.lock();
        store.settle(false)?;
        let before = self.table.snapshot();
        if let Some(snapshot) = store.snapshot_after(before.version) {
            self.table.replace(snapshot);
        }
        Ok(self.table.snapshot())
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        let mut store = self.table.store.lock();
        store.reset(&self.table.snapshot());
        store.matches_whole_rows(false);
        drop(store);
        self.table.has_writer.store(false, Ordering::Release);
    }
}
