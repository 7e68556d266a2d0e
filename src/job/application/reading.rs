//! What a job says about the tables that it reads: how long it waits for them, and what becomes of rows that find nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::connect::predecessor::Groups;
use crate::connect::{OptionDoc, Options};
use crate::error::{Error, Result};
use crate::sql::plan::OnMissing;

/// The options of a table that a job reads, each behind the table's name.
const READ_DOCS: &[OptionDoc] = &[
    OptionDoc {
        key: "wait.timeout",
        value: "duration",
        default: "the job's `table.wait.timeout`",
        what: "how long the job waits for this table",
    },
    OptionDoc {
        key: "on.missing",
        value: "skip, null, defaults, fail",
        default: "skip for JOIN, null for LEFT JOIN",
        what: "what becomes of a row that finds nothing in this table",
    },
    OptionDoc {
        key: "default.*",
        value: "text",
        default: "",
        what: "with `on.missing` = `defaults`: the value of a column, such as `default.tier`",
    },
];

/// What a job says about one table.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) wait: Option<Duration>,
    pub(super) missing: Option<OnMissing>,
}

impl Reading {
    /// Takes all options under `table`.
    pub(super) fn of(table: &str, groups: &Groups) -> Result<Self> {
        let mut options = Options::new(READ_DOCS, groups.own(table).iter().cloned())?;
        let wait = options.take_duration("wait.timeout")?;
        let defaults: BTreeMap<String, String> = options.take_prefixed("default.")?.into_iter().collect();
        let choices = [
            ("null", OnMissing::Null),
            ("EmitWithNulls", OnMissing::Null),
            ("skip", OnMissing::Skip),
            ("SkipRecord", OnMissing::Skip),
            ("fail", OnMissing::Fail),
            ("FailFast", OnMissing::Fail),
            ("defaults", OnMissing::Defaults(defaults.clone())),
            ("UseDefaults", OnMissing::Defaults(defaults.clone())),
        ];
        let place = options.origin("on.missing").cloned();
        let later = groups.option(table, "on.missing").filter(|entry| {
            ["retry", "WaitAndRetry"].iter().any(|name| entry.value.eq_ignore_ascii_case(name))
        });
        if let Some(entry) = later {
            let error = Error::not_yet(format!("`{table}.on.missing` = `retry`"))
                .with_hint("use skip, null, defaults or fail");
            return Err(match entry.origin.span() {
                Some(span) => error.with_span(span),
                None => error.within(&entry.origin),
            });
        }
        let missing = options.take_choice("on.missing", &choices)?;
        options.finish(&format!("table `{table}`, as a job reads it"))?;
        if !defaults.is_empty() && !matches!(missing, Some(OnMissing::Defaults(_))) {
            let error =
                Error::invalid(format!("`{table}.default.*` without `{table}.on.missing` = `defaults`"))
                    .with_hint(format!("add '{table}.on.missing' = 'defaults'"));
            return Err(match place.and_then(|place| place.span()) {
                Some(span) => error.with_span(span),
                None => error,
            });
        }
        Ok(Self { wait, missing })
    }
}
