//! [`show`]: the partitions of a stream, one on each line.

use comfy_table::{Table, presets};

use crate::connect::KnownPartition;
use crate::error::Result;
use crate::job::application::answers::find;
use crate::job::application::catalog::Catalog;
use crate::job::application::settings::Settings;
use crate::job::{HeldBack, JobReport, PartitionReport};

/// What stands where something is not known before it is read.
const UNKNOWN: &str = "-";

/// Returns the partitions of a stream with what is known of them, one on each line after a line of names, and how far each
/// job of a session is with them that reads the stream.
///
/// Where nobody may look outside, a file that is not there yet is no error, and nothing is said of a topic.
pub(in crate::job::application) fn show(
    name: &str,
    catalog: &mut Catalog,
    settings: &Settings,
) -> Result<String> {
    find(name, catalog)?;
    let source = catalog.source(name)?;
    if !settings.contact && !source.can_infer_offline() {
        return Ok(String::new());
    }
    let partitions = match source.partitions() {
        Ok(partitions) => partitions,
        Err(_) if !settings.contact => return Ok(String::new()),
        Err(error) => return Err(error.within(format!("stream `{name}`"))),
    };
    let known = aligned(
        &["partition", "bytes", "first_offset", "next_offset", "rows"],
        partitions.into_iter().map(cells),
    );
    let readers: Vec<_> = catalog.running.iter().flat_map(|job| readers(job, name)).collect();
    if readers.is_empty() {
        return Ok(known);
    }
    let header = ["job", "partition", "records", "watermark", "state", "holds_back_since"];
    Ok(format!("{known}\n\n{}", aligned(&header, readers.into_iter())))
}

pub(super) fn aligned<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

/// Returns how far a job is with each partition of the stream `name`, and which of them holds its watermark back.
pub(super) fn readers(job: &JobReport, name: &str) -> Vec<[String; 6]> {
    let held = job.held_back_by.as_ref().filter(|held| held.source == name);
    let of_stream = job.sources.iter().filter(|source| source.name == name);
    let row = |partition: &PartitionReport| {
        let since = held.filter(|held| held.partition == partition.name).map(HeldBack::since);
        [
            job.name.clone(),
            partition.name.clone(),
            partition.records.to_string(),
            partition.watermark.to_string(),
            partition.state.to_string(),
            since.unwrap_or_else(|| UNKNOWN.to_owned()),
        ]
    };
    of_stream.flat_map(|source| source.by_partition.iter().map(row)).collect()
}

fn cells(partition: KnownPartition) -> [String; 5] {
    fn or_unknown(value: Option<impl ToString>) -> String {
        value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
    }
    [
        partition.id.to_string(),
        or_unknown(partition.bytes),
        or_unknown(partition.offsets.map(|(first, _)| first)),
        or_unknown(partition.offsets.map(|(_, next)| next)),
        or_unknown(partition.rows),
    ]
}
