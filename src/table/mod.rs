//! Keyed tables in memory, as Arrow.
//!
//! A [`Table`] is a list of immutable *runs*: the rows of many epochs, and an index for each set of columns that is
//! looked up. An epoch's rows become a small run, small runs are merged into larger ones, and which rows are live stands
//! beside them. So a [`TableSnapshot`] is a handful of shared pointers: readers see the end of an epoch for as long as
//! they like, and the one [`TableWriter`] never waits for them. [`KeyedTable`] is the operator that writes.

mod beside;
mod by_time;
mod equality;
mod joined;
mod key_filter;
mod key_index;
mod keyed_table;
mod keys;
mod leaving;
mod live_rows;
mod live_run;
mod lookup;
mod matches;
mod provider;
mod query_table;
mod read_pin;
mod run;
mod slots;
mod snapshot;
mod store;
#[expect(clippy::module_inception, reason = "the room holds one thing")]
mod table;
mod waiting_lookup;

#[cfg(test)]
mod tests;

pub use beside::Beside;
pub use keyed_table::{KeyedTable, Retention, Since};
pub use lookup::{LookedUp, Lookup, LookupSpec};
pub use matches::Matches;
pub use provider::TableScan;
pub use query_table::QueryTable;
pub use read_pin::ReadPin;
pub use snapshot::{IndexId, TableSnapshot};
pub use table::{Table, TableWriter};
pub use waiting_lookup::{RetryRule, WaitingLookup};
