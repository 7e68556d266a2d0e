//! [`TableOptions`]: what a declaration says of the rows of a table.

use std::time::Duration;

use arrow::datatypes::DataType;

use crate::config::Entry;
use crate::connect::{OptionDoc, Options};
use crate::error::{Error, Result};
use crate::sql::plan::{ScanPlan, StreamPlan};
use crate::table::{Retention, Since, Table};

/// What a declaration says of the rows of a table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TableOptions {
    /// For how long they stay.
    pub(super) retention: Option<Duration>,
    /// Whether event time says which row of a key is the last.
    pub(super) by_time: bool,
}

/// Returns for how long the rows of a table stay: after their event time `time`, or where they have none after they came;
/// `behind_ms` is how far the watermark is behind the latest of these times, where it follows from them.
pub(super) fn retention(
    table: &Table,
    time: Option<&str>,
    behind_ms: Option<i64>,
    stay: Option<Duration>,
) -> Result<Option<Retention>> {
    let Some(stay) = stay else { return Ok(None) };
    let since = match time.filter(|time| table.schema().column_with_name(time).is_some()) {
        Some(time) => Since::EventTime(time_column(table, Some(time), "retention")?),
        None => Since::Arrival,
    };
    let retention_ms = i64::try_from(stay.as_millis()).unwrap_or(i64::MAX);
    Ok(Some(Retention { since, retention_ms, behind_ms }))
}

/// Returns the column of a table that is its rows' event time, for the option that needs it.
pub(super) fn time_column(table: &Table, time: Option<&str>, option: &str) -> Result<usize> {
    let name = table.name();
    let Some((column, field)) = time.and_then(|time| table.schema().column_with_name(time)) else {
        return Err(Error::invalid(format!("`{option}` of table `{name}`, whose rows have no event time"))
            .with_hint(
                "declare it with WATERMARK FOR, or let the query select the event time of its stream",
            ));
    };
    if !matches!(field.data_type(), DataType::Timestamp(..)) {
        let shown = crate::sql::functions::type_name(field.data_type());
        return Err(Error::not_yet(format!("`{option}` by `{}`, which is a {shown},", field.name()))
            .with_hint("declare the column as TIMESTAMP(3)"));
    }
    Ok(column)
}

/// Takes the options of a declaration that only a table has.
pub(super) fn take_table_options(entries: &mut Vec<Entry>) -> Result<TableOptions> {
    let own = entries.extract_if(.., |entry| TABLE_OPTION_DOCS.iter().any(|doc| doc.key == entry.key));
    let mut options = Options::new(TABLE_OPTION_DOCS, own)?;
    let by = options.take_choice("last.by", &[("arrival", false), ("event_time", true)])?;
    Ok(TableOptions { retention: options.take_duration("retention")?, by_time: by.unwrap_or(false) })
}

/// The options of a declaration that only a table has.
const TABLE_OPTION_DOCS: &[OptionDoc] = &[
    OptionDoc {
        key: "retention",
        value: "duration",
        default: "",
        what: "for how long rows stay after their event time, or where they have none after they came",
    },
    OptionDoc {
        key: "last.by",
        value: "arrival | event_time",
        default: "arrival",
        what: "which row of a key is the last: the one that comes last, or the one with the latest event time",
    },
];

/// Returns whether it counts when the rows of a table came.
pub(super) fn comes_by_arrival(retention: Option<Retention>) -> bool {
    retention.is_some_and(|retention| retention.since == Since::Arrival)
}

/// Returns how far the watermark is behind the latest time of a plan's rows, where these are the rows of sources.
pub(super) fn behind_ms(plan: &StreamPlan) -> Option<i64> {
    let declared =
        |scan: &ScanPlan| scan.relation.event_time.is_some().then_some(scan.relation.watermark.bound_ms);
    let bounds = plan.scans.iter().map(declared).collect::<Option<Vec<i64>>>()?;
    bounds.into_iter().max().filter(|_| plan.operators.is_empty())
}
