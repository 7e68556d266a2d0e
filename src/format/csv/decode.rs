//! [`CsvDecoder`]: CSV records become rows.

use arrow::datatypes::SchemaRef;

use super::split::{BadQuote, Part, RecordEnd, Splitter};
use super::{CsvOptions, Row};
use crate::error::{Error, Result};
use crate::format::column::{Column, Fault, TimeWriting, Values, shorten};
use crate::format::rows::{Batch, check_size, split_at, without_return};
use crate::format::{DecodeOptions, Decoded, Decoder, Layout};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decodes CSV records whose fields come in a known order.
///
/// An empty field is NULL and `""` is the empty text, which only text columns can hold; in others it is NULL too.
/// Spaces around numbers, dates and times do not count.
#[derive(Debug)]
pub struct CsvDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// For each field of the file its name.
    names: Vec<String>,
    /// For each field of the file the column it goes to.
    targets: Vec<Option<usize>>,
    /// Columns that the file lacks.
    absent: Vec<usize>,
    csv: CsvOptions,
    options: DecodeOptions,
    row: Row,
    spare: Vec<u8>,
}

/// What is wrong with a record, and where.
struct Problem {
    message: String,
    at: usize,
}

impl CsvDecoder {
    /// Creates a decoder for the columns that are used, from a file with `file_columns` in this order.
    ///
    /// Fails for a type that CSV cannot hold, and for a column that the file lacks if that is an error or the column
    /// is declared NOT NULL.
    pub fn try_new(
        schema: SchemaRef,
        file_columns: &[String],
        csv: CsvOptions,
        options: DecodeOptions,
    ) -> Result<Self> {
        let mut targets = vec![None; file_columns.len()];
        let mut absent = Vec::new();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            if field.data_type().is_nested() {
                return Err(Error::invalid(format!(
                    "column `{}` is nested, which CSV cannot hold",
                    field.name()
                ))
                .with_hint("declare the column as VARCHAR, or use `format = 'json'`"));
            }
            columns.push(Column::try_new(field, &TimeWriting::of(field.name(), &options))?);
            let place = file_columns.iter().position(|name| name == field.name()).or_else(|| {
                let lower = field.name().to_lowercase();
                file_columns.iter().position(|name| name.to_lowercase() == lower)
            });
            match place.and_then(|place| targets.get_mut(place)) {
                Some(target) => *target = Some(index),
                None if options.missing_field_fails || !field.is_nullable() => {
                    return Err(Error::data(format!("column `{}` is not in the CSV file", field.name()))
                        .with_hint(format!("the file has: {}", file_columns.join(", "))));
                }
                None => absent.push(index),
            }
        }
        let (names, row, spare) = (file_columns.to_vec(), Row::default(), Vec::new());
        Ok(Self { schema, columns, names, targets, absent, csv, options, row, spare })
    }

    fn decode_lines(&mut self, bytes: &[u8], batch: &mut Batch) {
        let csv = self.csv.clone();
        let mut splitter = Splitter::new(bytes, &csv, true);
        let mut start = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        while let Some(first) = bytes.get(start) {
            if *first == b'\n' || (*first == b'\r' && matches!(bytes.get(start + 1), None | Some(b'\n'))) {
                start += if *first == b'\n' { 1 } else { 2 };
                batch.lines += 1;
                continue;
            }
            let (end, problem) = self.record(&mut splitter, start, batch.rows);
            let text = bytes.get(start..end.text).unwrap_or_default();
            match problem {
                None => batch.accept(start),
                Some(problem) => {
                    let range = without_return(bytes, start..end.text);
                    batch.reject(&mut self.columns, range, problem.message, Some(problem.at));
                }
            }
            batch.lines += 1;
            if self.row_spans_lines() {
                batch.lines += u64::try_from(memchr::memchr_iter(b'\n', text).count()).unwrap_or(0);
            }
            start = end.next;
        }
    }

    /// Returns whether the record just read may hold a line feed.
    fn row_spans_lines(&self) -> bool {
        self.row.parts.iter().any(|part| part.quoted)
    }

    fn decode_each(&mut self, bytes: &[u8], ends: &[u32], batch: &mut Batch) -> Result<()> {
        let csv = self.csv.clone();
        for record in split_at(bytes, ends) {
            let (range, record) = record?;
            let text = record.strip_suffix(b"\n").unwrap_or(record);
            let mut splitter = Splitter::new(text, &csv, false);
            match self.record(&mut splitter, 0, batch.rows).1 {
                None => batch.accept(range.start),
                Some(problem) => {
                    let at = range.start + problem.at;
                    batch.reject(&mut self.columns, range, problem.message, Some(at));
                }
            }
            batch.lines += 1;
        }
        Ok(())
    }

    /// Reads the record that begins at `start`; returns where it ends and what is wrong with it.
    #[inline(always)]
    fn record(
        &mut self,
        splitter: &mut Splitter<'_>,
        start: usize,
        row: usize,
    ) -> (RecordEnd, Option<Problem>) {
        splitter.beyond_ascii = false;
        let end = match splitter.split(start, &mut self.row) {
            Ok(end) => end,
            Err(bad) => return self.bad_quote(splitter, start, &bad),
        };
        if self.row.len() != self.targets.len() {
            return (end, Some(self.wrong_count(start)));
        }
        if splitter.beyond_ascii {
            let text = splitter.bytes.get(start..end.text).unwrap_or_default();
            if let Err(error) = std::str::from_utf8(text) {
                let message = "the record is not UTF-8 text".to_owned();
                return (end, Some(Problem { message, at: start + error.valid_up_to() }));
            }
        }
        for (target, part) in self.targets.iter().zip(&self.row.parts) {
            let Some(column) = target.and_then(|target| self.columns.get_mut(target)) else { continue };
            if let Err(fault) = push(column, splitter, *part, &self.csv, &mut self.spare) {
                return (end, Some(misfit(column, splitter, *part, fault)));
            }
        }
        for absent in &self.absent {
            if let Some(column) = self.columns.get_mut(*absent)
                && column.len() == row
            {
                // A column that may not be NULL was refused when the decoder was made.
                column.push_null().unwrap_or_default();
            }
        }
        (end, None)
    }

    /// Gives up the line in which the record begins: the next one may be good.
    #[cold]
    fn bad_quote(
        &mut self,
        splitter: &Splitter<'_>,
        start: usize,
        bad: &BadQuote,
    ) -> (RecordEnd, Option<Problem>) {
        self.row.parts.clear();
        let rest = splitter.bytes.get(start..).unwrap_or_default();
        let end = start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let shown = shorten(splitter.bytes.get(start..end).unwrap_or_default());
        let message = format!("{}: {shown}", bad.what);
        (RecordEnd { text: end, next: end + 1 }, Some(Problem { message, at: bad.at }))
    }

    #[cold]
    fn wrong_count(&self, start: usize) -> Problem {
        let (found, expected) = (self.row.len(), self.targets.len());
        let plural = if found == 1 { "" } else { "s" };
        Problem {
            message: format!("the record has {found} field{plural}, but {expected} are expected"),
            at: start,
        }
    }
}

/// Appends one field to its column.
#[inline(always)]
fn push(
    column: &mut Column,
    splitter: &Splitter<'_>,
    part: Part,
    csv: &CsvOptions,
    spare: &mut Vec<u8>,
) -> Result<(), Fault> {
    let raw = splitter.bytes.get(part.start..part.end).unwrap_or_default();
    let text = if part.escaped {
        spare.clear();
        splitter.resolve(raw, spare);
        spare.as_slice()
    } else {
        raw
    };
    if !part.quoted && csv.null_text.as_ref().is_some_and(|null| null.as_bytes() == text) {
        return column.push_null();
    }
    if let Values::Text(texts) = &mut column.values {
        return if text.is_empty() && !part.quoted && csv.null_text.is_none() {
            column.push_null()
        } else {
            texts.push(text)
        };
    }
    let text = text.trim_ascii();
    if text.is_empty() { column.push_null() } else { column.push_text(text) }
}

#[cold]
fn misfit(column: &Column, splitter: &Splitter<'_>, part: Part, fault: Fault) -> Problem {
    let text = splitter.bytes.get(part.start..part.end).unwrap_or_default();
    let what = column.misfit(&format!("\"{}\"", shorten(text)), text.trim_ascii(), fault);
    Problem { message: format!("field `{}`: {what}", column.field().name()), at: part.start }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, bytes: &[u8], layout: Layout<'_>) -> Result<Decoded> {
        check_size(bytes)?;
        let mut batch = Batch::new(self.options.starts);
        self.columns.iter_mut().for_each(|column| column.truncate(0));
        match layout {
            Layout::Lines => self.decode_lines(bytes, &mut batch),
            Layout::Ends(ends) => self.decode_each(bytes, ends, &mut batch)?,
        }
        batch.finish(&mut self.columns, &self.schema)
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn fields_of(&self, record: &[u8]) -> Vec<String> {
        let mut splitter = Splitter::new(record, &self.csv, false);
        let mut row = Row::default();
        if splitter.split(0, &mut row).is_err() {
            return vec![];
        }
        let null = self.csv.null_text.as_deref().unwrap_or_default().as_bytes();
        let is_there = |part: &Part| part.quoted || record.get(part.start..part.end) != Some(null);
        let there = self.names.iter().zip(&row.parts).filter(|(_, part)| is_there(part));
        there.map(|(name, _)| name.clone()).collect()
    }
}
