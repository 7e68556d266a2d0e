//! [`StdoutConnector`]: rows on the process's standard output.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Table, presets};

use crate::connect::{
    ChangeEncoding, ChangelogForm, OptionDoc, Options, Sink, SinkConnector, WriteRequest, Written,
};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::format::{CsvEncoder, CsvOptions, Encoder, JsonEncoder};

/// The message of the error for an output that nobody reads any more, as behind `| head`.
pub const STDOUT_CLOSED: &str = "standard output was closed";

/// The options of standard output.
pub const STDOUT_DOCS: &[OptionDoc] = &[OptionDoc {
    key: "output",
    value: "table | csv | json | ndjson",
    default: "table",
    what: "how rows are shown",
}];

/// How rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputForm {
    /// A table with borders, one for each epoch that gave rows.
    Table,
    /// CSV with a header.
    Csv,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// Standard output as a sink.
#[derive(Debug, Clone, Copy)]
pub struct StdoutConnector {
    /// How rows are shown.
    pub form: OutputForm,
}

impl StdoutConnector {
    /// Reads the options.
    pub fn read(options: &mut Options, default: OutputForm) -> Result<Self> {
        let forms = [
            ("table", OutputForm::Table),
            ("csv", OutputForm::Csv),
            ("json", OutputForm::Json),
            ("ndjson", OutputForm::Ndjson),
        ];
        Ok(Self { form: options.take_choice("output", &forms)?.unwrap_or(default) })
    }
}

impl SinkConnector for StdoutConnector {
    fn describe(&self) -> String {
        "stdout".to_owned()
    }

    fn changelog_form(&self) -> ChangelogForm {
        ChangelogForm::Op
    }

    fn open(&self, request: &WriteRequest) -> Result<Box<dyn Sink>> {
        let encoding = if request.changelog { ChangeEncoding::Op } else { ChangeEncoding::Rows };
        let schema = encoding.schema(&request.schema);
        let encoder: Option<Box<dyn Encoder>> = match self.form {
            OutputForm::Table => None,
            OutputForm::Csv => Some(Box::new(CsvEncoder::new(schema, CsvOptions::default(), true))),
            OutputForm::Json | OutputForm::Ndjson => Some(Box::new(JsonEncoder::new(schema))),
        };
        let mut buffer = encoder.as_ref().map_or(Ok(vec![]), |encoder| encoder.header())?;
        if self.form == OutputForm::Json {
            buffer.extend_from_slice(b"[");
        }
        Ok(Box::new(StdoutSink { form: self.form, encoding, encoder, buffer, written: Written::default() }))
    }
}

struct StdoutSink {
    form: OutputForm,
    encoding: ChangeEncoding,
    encoder: Option<Box<dyn Encoder>>,
    buffer: Vec<u8>,
    written: Written,
}

impl StdoutSink {
    fn drain(&mut self) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        let result = stdout.write_all(&self.buffer).and_then(|()| stdout.flush());
        result.map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::unavailable(STDOUT_CLOSED),
            std::io::ErrorKind::StorageFull => {
                Error::exhausted("cannot write standard output").with_cause(error)
            }
            _ => Error::unavailable("cannot write standard output").with_cause(error),
        })?;
        self.written.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Appends the rows as elements of one JSON array.
    fn array_elements(&mut self, rows: &RecordBatch) -> Result<()> {
        let (mut text, mut ends) = (vec![], vec![]);
        if let Some(encoder) = &mut self.encoder {
            encoder.encode_each(rows, &mut text, &mut ends)?;
        }
        let mut start = 0;
        for (row, end) in ends.into_iter().enumerate() {
            let first = self.written.rows == 0 && row == 0;
            self.buffer.extend_from_slice(if first { b"\n" } else { b",\n" });
            self.buffer.extend_from_slice(text.get(start..end).unwrap_or_default());
            start = end;
        }
        Ok(())
    }
}

impl Sink for StdoutSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        let rows = self.encoding.encode(changes)?;
        match (&mut self.encoder, self.form) {
            (Some(_), OutputForm::Json) => self.array_elements(&rows)?,
            (Some(encoder), _) => encoder.encode(&rows, &mut self.buffer)?,
            (None, _) => {
                self.buffer.extend_from_slice(table(&rows)?.as_bytes());
                self.buffer.push(b'\n');
            }
        }
        self.written.rows += rows.num_rows() as u64;
        if self.buffer.len() > 1 << 20 { self.drain() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.drain()
    }

    fn finish(&mut self) -> Result<()> {
        if self.form == OutputForm::Json {
            self.buffer.extend_from_slice(if self.written.rows == 0 { b"]\n" } else { b"\n]\n" });
        }
        self.drain()
    }

    fn written(&self) -> Written {
        self.written
    }
}

/// Returns rows as a table with borders.
pub(crate) fn table(rows: &RecordBatch) -> Result<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(rows.schema().fields().iter().map(|field| field.name().clone()));
    let columns = rows.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    for row in 0..rows.num_rows() {
        table.add_row(columns.iter().map(|column| column.value(row).to_string()));
    }
    Ok(table.to_string())
}
