//! [`ErrorLog`]: appends rows to the error table, durably, and keeps it within its bounds.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::columns::written_columns;
use crate::error::{Error, Result};
use crate::format::{Encoder, JsonEncoder};
use crate::time::Clock;

/// What the names of the files begin with; then come the milliseconds at which the file was begun, and an ordinal.
pub(super) const SEGMENT_NAME: &str = "errors-";
/// What the names of the files end with.
pub(super) const SEGMENT_ENDING: &str = ".jsonl";
/// Into how many files a table that is full is cut: the oldest one goes when there is no room.
const SEGMENTS: u64 = 8;

/// Where an error table is, and how much it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorTableSettings {
    /// The directory.
    pub location: PathBuf,
    /// The most bytes that its files take together.
    pub max_bytes: u64,
    /// How old its rows may get.
    pub max_age: Duration,
}

impl ErrorTableSettings {
    /// The directory where none is named.
    pub const LOCATION: &str = ".velo/errors";
    /// The smallest table that there may be, in bytes.
    pub const LEAST_BYTES: u64 = 64 << 10;

    fn segment_bytes(&self) -> u64 {
        self.max_bytes / SEGMENTS
    }

    fn max_age_ms(&self) -> i64 {
        i64::try_from(self.max_age.as_millis()).unwrap_or(i64::MAX)
    }

    /// Returns how many bytes of one record are kept: with everything escaped its row still fits one file.
    pub fn record_bytes(&self) -> usize {
        usize::try_from(self.segment_bytes() / SEGMENTS).unwrap_or(usize::MAX)
    }
}

/// Appends rows to the error table in a directory that jobs, also those of other processes, share.
///
/// Each writer has a file of its own, locked; when that is an eighth of the whole or of its age, the next one begins.
#[derive(Debug)]
pub struct ErrorLog {
    settings: ErrorTableSettings,
    clock: Arc<dyn Clock>,
    encoder: JsonEncoder,
    segment: Option<Segment>,
    lines: Vec<u8>,
}

/// One file of the table.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    begun_ms: i64,
    bytes: u64,
}

impl ErrorLog {
    /// Prepares to write: makes the directory, finds out whether it can be written, and drops what is too old.
    ///
    /// # Errors
    /// Invalid or unavailable, if the directory cannot be written.
    pub fn open(settings: ErrorTableSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let location = &settings.location;
        std::fs::create_dir_all(location).map_err(|error| unwritable(location, error))?;
        let probe = location.join(format!(".probe-{}", std::process::id()));
        File::create(&probe).map_err(|error| unwritable(location, error))?;
        remove(&probe)?;
        let encoder = JsonEncoder::new(written_columns());
        let log = Self { settings, clock, encoder, segment: None, lines: vec![] };
        log.drop_oldest()?;
        Ok(log)
    }

    /// Returns where the table is and what it may hold.
    pub fn settings(&self) -> &ErrorTableSettings {
        &self.settings
    }

    /// Appends rows; they are on the disk when this returns.
    ///
    /// # Errors
    /// Exhausted, if the disk is full; invalid or unavailable, if the directory cannot be written.
    pub fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        self.encoder.encode(rows, &mut lines)?;
        let mut rest = lines.as_slice();
        while !rest.is_empty() {
            let room = self.settings.segment_bytes();
            let segment = self.segment()?;
            let fits = whole_lines(rest, room.saturating_sub(segment.bytes), segment.bytes == 0);
            if fits == 0 {
                self.segment = None;
                self.begin_segment()?;
                continue;
            }
            segment.append(&rest[..fits])?;
            // Another process that needed room may have taken the file away meanwhile.
            if segment.path.exists() {
                rest = &rest[fits..];
            } else {
                self.segment = None;
            }
        }
        self.lines = lines;
        self.drop_oldest()
    }

    /// Returns the file to write to.
    fn segment(&mut self) -> Result<&mut Segment> {
        let too_old = self.segment.as_ref().is_some_and(|segment| self.is_worn(segment.begun_ms));
        if too_old || self.segment.is_none() {
            self.segment = None;
            match self.last_segment()? {
                Some(segment) => self.segment = Some(segment),
                None => self.begin_segment()?,
            }
        }
        self.segment.as_mut().ok_or_else(|| Error::internal("the error table has no file"))
    }

    /// Goes on with the newest file, if nobody writes to it.
    fn last_segment(&self) -> Result<Option<Segment>> {
        let Some((path, begun_ms, bytes)) = self.segments()?.pop() else { return Ok(None) };
        if self.is_worn(begun_ms) || bytes >= self.settings.segment_bytes() {
            return Ok(None);
        }
        let failed = |error| unwritable(&path, error);
        let mut file = match File::options().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let bytes = cut_torn_line(&mut file).map_err(failed)?;
        Ok(Some(Segment { path, file, begun_ms, bytes }))
    }

    fn begin_segment(&mut self) -> Result<()> {
        let begun_ms = self.clock.now_millis();
        let location = &self.settings.location;
        std::fs::create_dir_all(location).map_err(|error| unwritable(location, error))?;
        for ordinal in 0..u32::MAX {
            let path = location.join(format!("{SEGMENT_NAME}{begun_ms:013}-{ordinal:03}{SEGMENT_ENDING}"));
            match File::options().read(true).append(true).create_new(true).open(&path) {
                Ok(file) => {
                    // Where the file system knows no locks, nobody else goes on with the file either.
                    let _unlocked = file.try_lock();
                    let directory = File::open(location).and_then(|directory| directory.sync_all());
                    directory.map_err(|error| unwritable(location, error))?;
                    self.segment = Some(Segment { path, file, begun_ms, bytes: 0 });
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&path, error)),
            }
        }
        Err(Error::internal("the error table has no name for another file"))
    }

    /// Returns whether a file that was begun then takes no more rows.
    fn is_worn(&self, begun_ms: i64) -> bool {
        let limit = self.settings.max_age_ms() / i64::try_from(SEGMENTS).unwrap_or(1);
        self.clock.now_millis().saturating_sub(begun_ms) > limit
    }

    /// Removes the oldest files while there are too many bytes, and those that hold a row that is too old.
    fn drop_oldest(&self) -> Result<()> {
        let segments = self.segments()?;
        let mut total: u64 = segments.iter().map(|(_, _, bytes)| bytes).sum();
        let now = self.clock.now_millis();
        for (path, begun_ms, bytes) in segments {
            let too_old = now.saturating_sub(begun_ms) > self.settings.max_age_ms();
            let own = self.segment.as_ref().is_some_and(|segment| segment.path == path);
            if own || !(too_old || total > self.settings.max_bytes) {
                continue;
            }
            remove(&path)?;
            total -= bytes;
        }
        Ok(())
    }

    /// Returns the files with when they were begun and their bytes, oldest first.
    fn segments(&self) -> Result<Vec<(PathBuf, i64, u64)>> {
        let failed = |error| unwritable(&self.settings.location, error);
        let mut segments = vec![];
        for entry in std::fs::read_dir(&self.settings.location).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(begun_ms) = name.to_str().and_then(begun_of) else { continue };
            match entry.metadata() {
                Ok(metadata) => segments.push((entry.path(), begun_ms, metadata.len())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        segments.sort();
        Ok(segments)
    }
}

impl Segment {
    fn append(&mut self, lines: &[u8]) -> Result<()> {
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        written.map_err(|error| unwritable(&self.path, error))?;
        self.bytes += lines.len() as u64;
        Ok(())
    }
}

/// Reads from a file's name when it was begun.
fn begun_of(name: &str) -> Option<i64> {
    let inner = name.strip_prefix(SEGMENT_NAME)?.strip_suffix(SEGMENT_ENDING)?;
    inner.split_once('-')?.0.parse().ok()
}

/// Returns how many bytes of whole lines fit into `room`; where nothing else is in the file, at least one line.
fn whole_lines(lines: &[u8], room: u64, at_least_one: bool) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    match memchr::memrchr(b'\n', &lines[..room]) {
        Some(end) => end + 1,
        None if at_least_one => memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
        None => 0,
    }
}

/// Cuts off what a writer left of a line when it was killed, and returns the length.
fn cut_torn_line(file: &mut File) -> std::io::Result<u64> {
    let length = file.metadata()?.len();
    let Some(last) = length.checked_sub(1) else { return Ok(0) };
    let mut byte = [0];
    file.seek(SeekFrom::Start(last))?;
    file.read_exact(&mut byte)?;
    if byte == [b'\n'] {
        return Ok(length);
    }
    let mut text = vec![];
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let whole = memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1) as u64;
    file.set_len(whole)?;
    Ok(whole)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable(path, error)),
        _ => Ok(()),
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    let message = format!("cannot write the error table at `{}`", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => Error::exhausted(message)
            .with_hint("free space on the disk, or let `errors.location` point elsewhere"),
        std::io::ErrorKind::NotFound
        | std::io::ErrorKind::PermissionDenied
        | std::io::ErrorKind::AlreadyExists
        | std::io::ErrorKind::NotADirectory
        | std::io::ErrorKind::ReadOnlyFilesystem
        | std::io::ErrorKind::InvalidFilename => {
            Error::invalid(message).with_hint("let `errors.location` name a directory that can be written")
        }
        _ => Error::unavailable(message),
    }
    .with_cause(error)
}
