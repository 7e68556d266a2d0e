//! [`Beside`]: what a table keeps of its rows beside the columns that readers see.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// What a table keeps of its rows beside the columns that readers see; it stands behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// The number of the partition that a row is from, which comes with the row.
    pub origin: bool,
    /// When a row came, in epoch milliseconds, which the table notes itself.
    pub arrival: bool,
}

impl Beside {
    /// Returns the columns as they are kept, where readers see those of `seen`.
    pub(super) fn behind(self, seen: &SchemaRef) -> SchemaRef {
        let own = [(self.origin, "__origin"), (self.arrival, "__arrival")];
        let own = own.into_iter().filter(|(kept, _)| *kept);
        let own = own.map(|(_, name)| Arc::new(Field::new(name, DataType::Int64, false)));
        match self == Self::default() {
            true => Arc::clone(seen),
            false => Arc::new(Schema::new(seen.fields().iter().cloned().chain(own).collect::<Vec<_>>())),
        }
    }

    /// Returns the place of the origin behind so many columns.
    pub(super) fn origin_after(self, seen: usize) -> Option<usize> {
        self.origin.then_some(seen)
    }

    /// Returns the place of the arrival behind so many columns.
    pub(super) fn arrival_after(self, seen: usize) -> Option<usize> {
        self.arrival.then_some(seen + usize::from(self.origin))
    }
}
