//! The file connector's options, and the connectors that they make.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::compression::Compression;
use super::followed::{FollowedFiles, Following};
use super::line_sink::LineSink;
use super::lines::LineFiles;
use super::listing::{Sequence, files, in_sequence, no_file, partition_id, total_bytes, unreadable};
use super::parquet_sink::ParquetSink;
use super::parquet_source::{ParquetFiles, metadata};
use crate::connect::line_cutter::LineCutter;
use crate::connect::text_format::{DecodeSettings, take_decode_settings, take_format};
use crate::connect::{
    APPENDED_CHANGELOG_DOC, ChangeEncoding, ChangelogForm, KnownPartition, OptionDoc, Options, Patience,
    ReadRequest, Sink, SinkConnector, Source, SourceConnector, TextFormat, WriteRequest,
};
use crate::error::{Error, Result};
use crate::format::Decoder;

/// How many bytes of the first file are looked at to infer columns.
const SAMPLE_BYTES: usize = 4 << 20;

/// The options of file sources and sinks, formats aside.
pub const FILE_DOCS: &[OptionDoc] = &[
    OptionDoc { key: "path", value: "path or glob", default: "", what: "the file, files or directory" },
    OptionDoc {
        key: "recursive",
        value: "true | false",
        default: "false",
        what: "whether a glob goes into directories",
    },
    OptionDoc {
        key: "compression",
        value: "none | gzip | zstd",
        default: "by the file's name",
        what: "how files are compressed",
    },
    OptionDoc {
        key: "watch",
        value: "true | false",
        default: "false",
        what: "whether files are followed: what is appended, and files that come; the source never ends then",
    },
    OptionDoc {
        key: "incremental.interval",
        value: "duration",
        default: "1s",
        what: "how often files that are followed are looked at",
    },
    OptionDoc {
        key: "file.sequence",
        value: "name | modified",
        default: "",
        what: "reads all files as one partition, in this order; without it each file is a partition of its own",
    },
    OptionDoc {
        key: "append",
        value: "true | false",
        default: "false",
        what: "whether a sink keeps what the file holds",
    },
    APPENDED_CHANGELOG_DOC,
];

/// Files that are read.
#[derive(Debug, Clone)]
pub struct FileSourceConnector {
    path: String,
    recursive: bool,
    /// Whether others come and go with the files: there may be none at all.
    may_go: bool,
    sequence: Option<Sequence>,
    compression: Compression,
    /// None for Parquet.
    format: Option<TextFormat>,
    decode: DecodeSettings,
    patience: Option<Patience>,
    /// How often files are looked at that are followed; none where they are read once.
    follow: Option<Duration>,
}

fn take_compression(options: &mut Options) -> Result<Compression> {
    let choices = [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
    Ok(options.take_choice("compression", &choices)?.unwrap_or(Compression::ByName))
}

/// Reads how often files are looked at, if they are followed.
fn take_follow(options: &mut Options) -> Result<Option<Duration>> {
    if !options.take_bool("watch")?.unwrap_or(false) {
        return Ok(None);
    }
    let interval = options.take_or("incremental.interval", Duration::from_secs(1))?;
    Ok(Some(interval.max(Duration::from_millis(1))))
}

/// Guesses the format from a path like `trades.json.gz`.
fn format_by_name(path: &str) -> &'static str {
    let name = path
        .trim_end_matches(".gz")
        .trim_end_matches(".gzip")
        .trim_end_matches(".zst")
        .trim_end_matches(".zstd");
    match name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
        Some("json" | "jsonl" | "ndjson") => "json",
        Some("parquet") => "parquet",
        _ => "csv",
    }
}

impl FileSourceConnector {
    /// Reads the options of a source.
    pub fn read(options: &mut Options) -> Result<Self> {
        let path: String = options.take("path")?;
        let read = Self {
            recursive: options.take_bool("recursive")?.unwrap_or(false),
            may_go: false,
            sequence: options.take_choice(
                "file.sequence",
                &[("name", Sequence::Name), ("modified", Sequence::Modified)],
            )?,
            compression: take_compression(options)?,
            format: take_format(options, format_by_name(&path))?,
            decode: take_decode_settings(options)?,
            patience: Patience::read(options, "file")?,
            follow: take_follow(options)?,
            path,
        };
        read.check_follow()?;
        Ok(read)
    }

    /// Creates the connector of the JSON files that match a glob, read as one partition by name; there may be none.
    pub(in crate::connect) fn of_json_files(pattern: String) -> Self {
        Self {
            path: pattern,
            recursive: false,
            may_go: true,
            sequence: Some(Sequence::Name),
            compression: Compression::None,
            format: Some(TextFormat::Json),
            decode: DecodeSettings::default(),
            patience: None,
            follow: None,
        }
    }

    fn check_follow(&self) -> Result<()> {
        let what = match (&self.format, self.compression) {
            _ if self.follow.is_none() => return Ok(()),
            (None, _) => "Parquet files",
            (_, Compression::Gzip | Compression::Zstd) => "compressed files",
            _ if self.sequence.is_some() => "`file.sequence`",
            _ => return Ok(()),
        };
        Err(Error::not_yet(format!("`watch` = 'true' with {what}"))
            .with_hint("leave `watch` out: files are read once, to their end"))
    }

    fn files_of_partitions(&self) -> Result<Vec<Vec<PathBuf>>> {
        let files = match files(&self.path, self.recursive)? {
            files if !files.is_empty() => files,
            _ if self.may_go => return Ok(vec![]),
            _ => return Err(no_file(&self.path)),
        };
        match self.sequence {
            Some(sequence) => Ok(vec![in_sequence(files, sequence)?]),
            None => Ok(files.into_iter().map(|file| vec![file]).collect()),
        }
    }

    fn first_file(&self) -> Result<PathBuf> {
        let first = self.files_of_partitions()?.into_iter().flatten().next();
        first.ok_or_else(|| no_file(&self.path))
    }

    /// Reads the beginning of the first file: its header and its first records.
    fn header(&self, format: &TextFormat) -> Result<Option<Vec<String>>> {
        if !format.has_header() {
            return Ok(None);
        }
        let path = self.first_file()?;
        let (mut reader, _) = self.compression.open(&path).map_err(|error| unreadable(&path, error))?;
        let limits = crate::connect::ChunkLimits { rows: 1, bytes: 1, linger: Duration::ZERO };
        let line = LineCutter::new(format.clone(), limits).header(reader.as_mut());
        let line = line.map_err(|error| unreadable(&path, error))?;
        line.map(|line| format.read_header(&line)).transpose()
    }

    fn sample(&self, path: &Path) -> Result<Vec<u8>> {
        use std::io::Read;
        let (reader, _) = self.compression.open(path).map_err(|error| unreadable(path, error))?;
        let mut sample = vec![];
        reader.take(SAMPLE_BYTES as u64).read_to_end(&mut sample).map_err(|error| unreadable(path, error))?;
        if sample.len() == SAMPLE_BYTES
            && let Some(end) = memchr::memrchr(b'\n', &sample)
        {
            sample.truncate(end + 1);
        }
        Ok(sample)
    }
}

impl SourceConnector for FileSourceConnector {
    fn describe(&self) -> String {
        let format = self.format.as_ref().map_or("parquet", TextFormat::name);
        let order = match self.sequence {
            Some(Sequence::Name) => ", one partition in the order of names",
            Some(Sequence::Modified) => ", one partition in the order of changes",
            None if self.path.contains(['*', '?', '[']) => ", each file a partition",
            None => "",
        };
        let follow = if self.follow.is_some() { ", followed" } else { "" };
        format!("file `{}` ({format}{order}{follow})", self.path)
    }

    fn is_bounded(&self) -> bool {
        self.follow.is_none()
    }

    fn withdraws(&self) -> bool {
        self.follow.is_some()
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        let path = self.first_file()?;
        let Some(format) = &self.format else {
            return Ok(Arc::clone(metadata(&path)?.schema()));
        };
        let inferred = format.infer(&self.sample(&path)?, &self.decode);
        inferred.map_err(|error| error.within(format!("file `{}`", path.display())))
    }

    fn patience(&self) -> Option<Patience> {
        self.patience
    }

    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        let known = |files: Vec<PathBuf>| KnownPartition {
            bytes: total_bytes(files.iter()),
            ..KnownPartition::named(partition_id(&files))
        };
        Ok(self.files_of_partitions()?.into_iter().map(known).collect())
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let partitions = self.files_of_partitions()?;
        if let (Some(interval), Some(format)) = (self.follow, &self.format) {
            return Ok(Box::new(FollowedFiles::open(Following {
                path: self.path.clone(),
                recursive: self.recursive,
                format: format.clone(),
                compression: self.compression,
                limits: request.limits,
                header: self.header(format)?,
                interval,
                clock: Arc::clone(&request.clock),
            })?));
        }
        Ok(match &self.format {
            Some(format) => {
                let header = self.header(format)?;
                let lines =
                    LineFiles::new(format.clone(), self.compression, request.limits, header, partitions);
                Box::new(if self.may_go { lines.that_may_go() } else { lines })
            }
            None if self.sequence.is_some() => return Err(Error::not_yet("`file.sequence` with Parquet")),
            None => {
                let files = partitions.into_iter().flatten().collect();
                // What lacks a value is a bad record, for others to find.
                let used = request.used_schema()?;
                let used = used.fields().iter().map(|field| Field::clone(field).with_nullable(true));
                let used = Arc::new(Schema::new(used.collect::<Vec<_>>()));
                Box::new(ParquetFiles::new(files, used, request.limits.rows))
            }
        })
    }

    fn decoder(&self, request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        let Some(format) = &self.format else { return Ok(None) };
        let header = self.header(format)?;
        Ok(Some(format.decoder(request, &self.decode, header.as_deref())?))
    }
}

/// A file that is written.
#[derive(Debug, Clone)]
pub struct FileSinkConnector {
    path: PathBuf,
    append: bool,
    compression: Compression,
    format: Option<TextFormat>,
    changelog: ChangelogForm,
}

impl FileSinkConnector {
    /// Reads the options of a sink.
    pub fn read(options: &mut Options) -> Result<Self> {
        let path: String = options.take("path")?;
        let format = take_format(options, format_by_name(&path))?;
        let mut path = PathBuf::from(path);
        // A device or pipe has no extension either.
        if path.extension().is_none() && (path.is_dir() || !path.exists()) {
            let ending = format.as_ref().map_or("parquet", TextFormat::name);
            path.push(format!("part-0.{ending}"));
        }
        Ok(Self {
            append: options.take_bool("append")?.unwrap_or(false),
            compression: take_compression(options)?,
            changelog: ChangeEncoding::take(options)?,
            path,
            format,
        })
    }
}

impl SinkConnector for FileSinkConnector {
    fn describe(&self) -> String {
        let format = self.format.as_ref().map_or("parquet", TextFormat::name);
        format!("file `{}` ({format})", self.path.display())
    }

    fn changelog_form(&self) -> ChangelogForm {
        self.changelog
    }

    fn open(&self, request: &WriteRequest) -> Result<Box<dyn Sink>> {
        let encoding = ChangeEncoding::of(self.changelog, request.changelog);
        Ok(match &self.format {
            Some(format) => Box::new(LineSink::create(
                &self.path,
                self.compression,
                self.append,
                format,
                encoding,
                request,
            )?),
            None if self.append => return Err(Error::invalid("a Parquet file cannot be appended to")),
            None => Box::new(ParquetSink::create(&self.path, encoding, request)?),
        })
    }
}
