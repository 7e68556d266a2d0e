//! [`ChangeEncoding`]: how a sink of plain rows writes changes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::connect::{ChangelogForm, OptionDoc, Options};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;

/// The option of sinks that append rows.
pub const APPENDED_CHANGELOG_DOC: OptionDoc = OptionDoc {
    key: "changelog",
    value: "op | append",
    default: "",
    what: "how changes are written: `op` puts a column `_op` (insert or delete) before each row, `append` writes new rows only",
};

/// The option of sinks of keyed messages.
pub const CHANGELOG_DOC: OptionDoc = OptionDoc {
    key: "changelog",
    value: "op | upsert",
    default: "",
    what: "how changes are written: `op` puts a column `_op` (insert or delete) before each row, `upsert` writes the new row of each key",
};

/// How changes become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeEncoding {
    /// Inserts only; a deleted row is an error of ours, for the planner refuses it.
    Rows,
    /// A leading column `_op`.
    Op,
    /// The new rows; deleted ones are left out.
    NewRows,
}

impl ChangeEncoding {
    /// Reads the option `changelog` of a sink that appends rows.
    pub(super) fn take(options: &mut Options) -> Result<ChangelogForm> {
        let forms = [
            ("op", ChangelogForm::Op),
            ("upsert", ChangelogForm::Upsert),
            ("append", ChangelogForm::NewRows),
        ];
        match options.take_choice("changelog", &forms)? {
            Some(ChangelogForm::Upsert) => {
                Err(Error::not_yet("`changelog` = 'upsert' for files").with_hint("use `'changelog' = 'op'`"))
            }
            Some(form) => Ok(form),
            None => Ok(ChangelogForm::AppendOnly),
        }
    }

    /// Returns the encoding of what is written in a form; a sink of inserts that is given a `changelog` all the same, by
    /// the predecessor's files, appends its new rows.
    pub(super) fn of(form: ChangelogForm, changelog: bool) -> Self {
        match form {
            ChangelogForm::AppendOnly if changelog => Self::NewRows,
            ChangelogForm::AppendOnly => Self::Rows,
            ChangelogForm::Op => Self::Op,
            ChangelogForm::Upsert | ChangelogForm::NewRows => Self::NewRows,
        }
    }

    /// Returns the schema of what is written.
    pub(super) fn schema(self, result: &SchemaRef) -> SchemaRef {
        if self != Self::Op {
            return Arc::clone(result);
        }
        let mut fields = vec![Arc::new(Field::new("_op", DataType::Utf8, false))];
        fields.extend(result.fields().iter().cloned());
        Arc::new(Schema::new(fields))
    }

    /// Returns the rows to write.
    pub fn encode(self, changes: &ChangeBatch) -> Result<RecordBatch> {
        let rows = changes.rows();
        match (self, changes.weights()) {
            (Self::Rows | Self::NewRows, None) => Ok(rows.clone()),
            (Self::Rows, Some(_)) => Err(Error::internal("a sink of inserts got a changelog")),
            (Self::NewRows, Some(weights)) => {
                let new: BooleanArray =
                    weights.iter().map(|weight| weight.map(|weight| weight > 0)).collect();
                Ok(filter_record_batch(rows, &new)?)
            }
            (Self::Op, weights) => {
                let operation = |row: usize| match weights {
                    Some(weights) if weights.value(row) < 0 => "delete",
                    _ => "insert",
                };
                let operations: StringArray = (0..rows.num_rows()).map(|row| Some(operation(row))).collect();
                let mut columns: Vec<ArrayRef> = vec![Arc::new(operations)];
                columns.extend(rows.columns().iter().cloned());
                debug_assert!(columns.iter().all(|column| column.len() == rows.num_rows()));
                Ok(RecordBatch::try_new(self.schema(&rows.schema()), columns)?)
            }
        }
    }
}
