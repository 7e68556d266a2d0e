//! What a job says about the tables that it reads: how long it waits for them, and what becomes of rows that find nothing.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::connect::predecessor::Groups;
use crate::connect::{OptionDoc, Options};
use crate::error::{Error, Result};
use crate::sql::plan::OnMissing;
use crate::table::RetryRule;

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
        value: "skip, null, defaults, fail, retry",
        default: "skip for JOIN, null for LEFT JOIN",
        what: "what becomes of a row that finds nothing in this table",
    },
    OptionDoc {
        key: "default.*",
        value: "text",
        default: "",
        what: "with `on.missing` = `defaults`: the value of a column, such as `default.tier`",
    },
    OptionDoc {
        key: "retry.max_attempts",
        value: "number",
        default: "3",
        what: "with `on.missing` = `retry`: how often a row is looked up again",
    },
    OptionDoc {
        key: "retry.delay",
        value: "duration",
        default: "1s",
        what: "with `on.missing` = `retry`: the pause before each try",
    },
    OptionDoc {
        key: "retry.then",
        value: "skip, null, defaults, fail",
        default: "skip for JOIN, null for LEFT JOIN",
        what: "with `on.missing` = `retry`: what becomes of a row that still finds nothing",
    },
    OptionDoc {
        key: "retry.max_rows",
        value: "number",
        default: "10000",
        what: "with `on.missing` = `retry`: how many rows may wait",
    },
];

const MOST_TRIES: u32 = 3;
const MOST_ROWS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

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
        let plain = |defaults: &BTreeMap<String, String>| {
            [
                ("null", OnMissing::Null),
                ("skip", OnMissing::Skip),
                ("fail", OnMissing::Fail),
                ("defaults", OnMissing::Defaults(defaults.clone())),
                ("EmitWithNulls", OnMissing::Null),
                ("SkipRecord", OnMissing::Skip),
                ("FailFast", OnMissing::Fail),
                ("UseDefaults", OnMissing::Defaults(defaults.clone())),
            ]
        };
        let choices = plain(&defaults).map(|(name, rule)| (name, Some(rule)));
        let choices = [choices.as_slice(), &[("retry", None), ("WaitAndRetry", None)]].concat();
        let missing = match options.take_choice("on.missing", &choices)? {
            Some(None) => Some(take_retry(&mut options, &plain(&defaults))?),
            other => other.flatten(),
        };
        let place = options.origin("on.missing").cloned();
        options.finish(&format!("table `{table}`, as a job reads it"))?;
        let last = match &missing {
            Some(OnMissing::Retry { then, .. }) => then.as_deref(),
            other => other.as_ref(),
        };
        if !defaults.is_empty() && !matches!(last, Some(OnMissing::Defaults(_))) {
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

/// Reads for how long rows wait that find nothing, and what becomes of them then.
fn take_retry(options: &mut Options, choices: &[(&str, OnMissing)]) -> Result<OnMissing> {
    let delay = options.take_or("retry.delay", Duration::from_secs(1))?.max(Duration::from_millis(1));
    let rule = RetryRule {
        most_tries: options.take_or("retry.max_attempts", MOST_TRIES)?,
        delay_ms: i64::try_from(delay.as_millis()).unwrap_or(i64::MAX),
        most_rows: options.take_or("retry.max_rows", MOST_ROWS)?.get(),
    };
    let then = options.take_choice("retry.then", choices)?.map(Box::new);
    Ok(OnMissing::Retry { rule, then })
}
