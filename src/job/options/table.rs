//! The options that a job has, and those that this version does not honour yet.

use crate::connect::OptionDoc;

/// The options of a job, as the reference shows them.
pub const DOCS: &[OptionDoc] = &[
    doc("mode", "stream | batch", "stream", "follow the inputs, or read inputs that end once"),
    doc("delivery", "by_sink | at_least_once | exactly_once", "by_sink", "what the sinks must guarantee"),
    doc("parallelism", "number", "one per core", "worker threads of the job"),
    doc("batch.max_rows", "number", "65536", "most rows that are processed together"),
    doc("batch.max_bytes", "size", "16MiB", "about the most bytes that are processed together"),
    doc("batch.linger", "duration", "2ms", "how long rows that are there wait for more"),
    doc("emit.interval", "duration", "", "how long a change of a group waits for others of it"),
    doc("state.ttl", "duration", "", "how long state that nobody touches is kept, in event time"),
    doc("memory.limit", "size", "", "the memory that the job may use"),
    doc("on.error", "fail | skip | dead_letter", "fail", "what happens to a record that cannot be processed"),
    doc(
        "errors.location",
        "path",
        ".velo/errors",
        "the directory of the error table that `dead_letter` fills",
    ),
    doc("errors.max_size", "size", "256MiB", "the most bytes of the error table; the oldest rows go first"),
    doc("errors.max_age", "duration", "7d", "how long rows stay in the error table"),
    doc(
        "late.data.strategy",
        "drop | dead_letter | include_in_next | update_previous",
        "drop",
        "what happens to rows that come after their windows have closed",
    ),
    doc("allowed.lateness", "duration", "0s", "how long a window still takes rows after its end"),
    doc("checkpoint.interval", "duration", "10s", "time between two checkpoints"),
    doc("checkpoint.location", "path", "", "where checkpoints are kept"),
    doc("table.wait.timeout", "duration", "60s", "how long the job waits for the tables it reads"),
    doc(
        "retention",
        "duration",
        "",
        "of a table that the job keeps: for how long rows stay after their event time, or where they have none after they came",
    ),
    doc(
        "tables.load.max_parallel",
        "number",
        "4",
        "how many tables of the application may load at once, where a table's load begins",
    ),
    doc("timezone", "time zone", "UTC", "the time zone of windows"),
];

/// What this version does not honour: the option, and the values that it takes nevertheless. A line goes when the
/// option works.
pub(super) const NOT_YET: &[(&str, &[&str])] = &[
    ("delivery", &["by_sink", "at_least_once"]),
    ("checkpoint.interval", &[]),
    ("checkpoint.location", &[]),
];

const fn doc(key: &'static str, value: &'static str, default: &'static str, what: &'static str) -> OptionDoc {
    OptionDoc { key, value, default, what }
}
