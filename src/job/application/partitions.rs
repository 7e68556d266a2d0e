//! `SHOW PARTITIONS s`.

use comfy_table::{Table, presets};

use super::answers::find;
use super::catalog::Catalog;
use super::settings::Settings;
use crate::connect::KnownPartition;
use crate::error::Result;

/// What stands where something is not known before it is read.
const UNKNOWN: &str = "-";

/// Returns the partitions of a stream with what is known of them, one on each line after a line of names.
///
/// Where nobody may look outside, a file that is not there yet is no error, and nothing is said of a topic.
pub(super) fn show(name: &str, catalog: &mut Catalog, settings: &Settings) -> Result<String> {
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
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["partition", "bytes", "first_offset", "next_offset", "rows"]);
    table.add_rows(partitions.into_iter().map(cells));
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    Ok(table.trim_fmt())
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
