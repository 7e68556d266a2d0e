//! [`infer_csv`]: the schema of a CSV file with a header line.

use arrow::datatypes::Schema;

use super::RECORDS_MAX;
use super::kind::{Kind, Members};
use crate::error::{Error, Result};
use crate::format::csv::{CsvOptions, Row, Splitter, csv_header};

/// Guesses the schema of CSV from the header line and the first 1,000 records of `sample`.
///
/// `sample` begins with the header and ends with a whole record. Every column is nullable; records with a wrong
/// number of fields do not count. With `decimals`, fractions are DECIMAL and not DOUBLE.
pub fn infer_csv(sample: &[u8], options: &CsvOptions, decimals: bool) -> Result<Schema> {
    let sample = sample.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(sample);
    let mut splitter = Splitter::new(sample, options, true);
    let mut row = Row::default();
    let blank = sample.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    if blank == sample.len() {
        return Err(Error::data("no columns can be inferred from the sample: it is empty")
            .with_hint("declare the columns in `CREATE STREAM` or with the option `schema`"));
    }
    let end = splitter.split(blank, &mut row).map_or(sample.len(), |end| end.next());
    let header = sample.get(blank..end.min(sample.len())).unwrap_or_default();
    let names = csv_header(header, options)?;
    let mut kinds = vec![Kind::Unknown; names.len()];
    let mut start = end;
    let mut records = 0;
    while start < sample.len() && records < RECORDS_MAX {
        match splitter.split(start, &mut row) {
            Ok(end) => {
                start = end.next();
                if row.len() == names.len() {
                    records += 1;
                    observe(&row, &splitter, options, &mut kinds);
                }
            }
            Err(_) => {
                let rest = sample.get(start..).unwrap_or_default();
                start += memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            }
        }
    }
    Ok(Schema::new(Members(names.into_iter().zip(kinds).collect()).fields(decimals)))
}

fn observe(row: &Row, splitter: &Splitter<'_>, options: &CsvOptions, kinds: &mut [Kind]) {
    for (place, kind) in kinds.iter_mut().enumerate() {
        let mut spare = Vec::new();
        let Some((text, quoted)) = row.text(splitter, place, &mut spare) else { continue };
        let null = options.null_text.as_ref().is_some_and(|null| null.as_bytes() == text);
        if !quoted && (null || text.is_empty()) {
            continue;
        }
        kind.merge(match std::str::from_utf8(text) {
            Ok(text) => of_field(text.trim()),
            Err(_) => Kind::Text,
        });
    }
}

/// Returns what a field is; words like `inf` are text although floats can be written so.
fn of_field(text: &str) -> Kind {
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Kind::Boolean;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    // A leading zero marks a code (a postcode, an account) that must not lose it.
    let code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if number && !code && text.parse::<f64>().is_ok() { Kind::of_number(text) } else { Kind::of_text(text) }
}
