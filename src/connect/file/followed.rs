//! [`FollowedFiles`]: files of lines that grow, come and go, looked at again and again.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_64;

use super::compression::Compression;
use super::listing::{files, unreadable};
use crate::connect::line_cutter::{Cut, LineCutter, endless};
use crate::connect::{Chunk, ChunkLimits, PartitionId, Payload, Polled, Position, Source, TextFormat};
use crate::error::{Error, Result};
use crate::time::Clock;

/// How far the first record of a file is looked for that tells it from others of its name.
const BEGINNING_BYTES: u64 = 1 << 20;

/// What is followed, and how.
pub(super) struct Following {
    pub(super) path: String,
    pub(super) recursive: bool,
    pub(super) format: TextFormat,
    pub(super) compression: Compression,
    pub(super) limits: ChunkLimits,
    /// The column names that every file must have, where there is a header.
    pub(super) header: Option<Vec<String>>,
    pub(super) interval: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// Reads files of lines to their ends, and goes on with what is appended and with files that come.
///
/// A partition is a file with its first record: a file that is written anew, or another one under its name, is a new
/// partition, and the former ends. A position is a byte of the file. What follows the last whole record is left until the
/// record has its end.
pub(super) struct FollowedFiles {
    following: Following,
    files: Vec<Followed>,
    ids: Vec<PartitionId>,
    ended: VecDeque<usize>,
    next_look: i64,
    /// How many files were there when the source was opened.
    there: usize,
}

/// A file that is followed; its ordinal is that of its partition.
struct Followed {
    path: PathBuf,
    /// What its beginning comes to.
    mark: u64,
    position: i64,
    length: u64,
    modified: Option<SystemTime>,
    open: Option<(File, LineCutter)>,
    /// Whether it may hold more than was read.
    has_more: bool,
    /// Its length when it was met, and whether it was read to its end since.
    first_length: u64,
    read_through: bool,
    over: bool,
}

impl FollowedFiles {
    pub(super) fn open(following: Following) -> Result<Self> {
        let mut source =
            Self { following, files: vec![], ids: vec![], ended: VecDeque::new(), next_look: 0, there: 0 };
        source.look()?;
        source.there = source.files.len();
        Ok(source)
    }

    /// Looks what has come, grown, changed and gone.
    fn look(&mut self) -> Result<()> {
        let interval = i64::try_from(self.following.interval.as_micros()).unwrap_or(i64::MAX);
        self.next_look = self.following.clock.monotonic_micros().saturating_add(interval);
        let found = match files(&self.following.path, self.following.recursive) {
            // They may come again.
            Err(error) if error.may_pass() && !self.files.is_empty() => vec![],
            found => found?,
        };
        let there: BTreeSet<&PathBuf> = found.iter().collect();
        let gone = |(_, file): &(usize, &Followed)| !file.over && !there.contains(&file.path);
        let gone: Vec<usize> = self.files.iter().enumerate().filter(gone).map(|(at, _)| at).collect();
        gone.into_iter().for_each(|at| self.end(at));
        for path in found {
            match path.metadata() {
                Ok(metadata) => self.look_at(path, metadata.len(), metadata.modified().ok())?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&path, error)),
            }
        }
        Ok(())
    }

    fn look_at(&mut self, path: PathBuf, length: u64, modified: Option<SystemTime>) -> Result<()> {
        let known = self.files.iter().position(|file| !file.over && file.path == path);
        let is_same =
            |file: &Followed| file.length == length && modified.is_some() && file.modified == modified;
        if known.is_some_and(|at| is_same(&self.files[at])) {
            return Ok(());
        }
        // Until its first record is whole nothing is known of a file.
        let beginning = self.beginning(&path)?;
        if let Some(at) = known {
            let file = &mut self.files[at];
            let shorter = i64::try_from(length).is_ok_and(|length| length < file.position);
            if !shorter && beginning.is_some_and(|(_, mark)| mark == file.mark) {
                (file.length, file.modified, file.has_more) = (length, modified, true);
                return Ok(());
            }
            self.end(at);
        }
        let Some((start, mark)) = beginning else { return Ok(()) };
        let name = format!("{}@{:08x}", path.display(), mark & 0xffff_ffff);
        let is_like = |id: &&PartitionId| {
            id.0.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('~'))
        };
        let again = self.ids.iter().filter(is_like).count();
        self.ids.push(PartitionId(if again == 0 { name.into() } else { format!("{name}~{again}").into() }));
        self.files.push(Followed {
            path,
            mark,
            position: start,
            length,
            modified,
            open: None,
            has_more: true,
            first_length: length,
            read_through: false,
            over: false,
        });
        Ok(())
    }

    fn end(&mut self, at: usize) {
        let file = &mut self.files[at];
        (file.over, file.has_more, file.read_through, file.open) = (true, false, true, None);
        self.ended.push_back(at);
    }

    /// Returns where the records of a file begin, and what its beginning comes to; none while its first record is not whole.
    fn beginning(&self, path: &Path) -> Result<Option<(i64, u64)>> {
        if self.following.compression.compresses(path) {
            return Err(Error::not_yet(format!("following `{}`, which is compressed,", path.display()))
                .with_hint("leave `watch` out: compressed files are read once, to their end"));
        }
        let unreadable = |error| unreadable(path, error);
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(unreadable)?,
        };
        let mut bytes = vec![];
        file.take(BEGINNING_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
        let mut start = 0;
        if self.following.format.has_header() {
            let Some(end) = memchr::memchr(b'\n', &bytes) else { return Ok(None) };
            start = end + 1;
            let names = self.following.format.read_header(&bytes[..start])?;
            if self.following.header.as_ref().is_some_and(|header| *header != names) {
                return Err(Error::data(format!(
                    "file `{}` has other columns than the first file: {}",
                    path.display(),
                    names.join(", ")
                )));
            }
        }
        let end = memchr::memchr(b'\n', &bytes[start..]).map(|end| start + end + 1);
        let whole = end.or_else(|| (bytes.len() as u64 == BEGINNING_BYTES).then_some(bytes.len()));
        Ok(whole.map(|end| (i64::try_from(start).unwrap_or(i64::MAX), xxh3_64(&bytes[..end]))))
    }

    /// Returns the next whole records of any file.
    fn read_on(&mut self) -> Result<Option<Chunk>> {
        let Following { format, limits, .. } = &self.following;
        for (partition, file) in self.files.iter_mut().enumerate().filter(|(_, file)| file.has_more) {
            let Some(bytes) = file.read(format, *limits)? else { continue };
            let start = Position(file.position);
            file.position = file.position.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
            let (end, payload) = (Position(file.position), Payload::Lines(bytes));
            return Ok(Some(Chunk { partition, start, end, payload, origin: None, watermark: None }));
        }
        Ok(None)
    }
}

impl Followed {
    /// Returns the next whole records; none if there are none for now.
    fn read(&mut self, format: &TextFormat, limits: ChunkLimits) -> Result<Option<bytes::Bytes>> {
        let path = self.path.clone();
        let failed = |error| unreadable(&path, error);
        let (file, cutter) = match &mut self.open {
            Some(open) => open,
            None => {
                let mut file = match File::open(&path) {
                    // The next look finds that it is gone.
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.rest()),
                    file => file.map_err(failed)?,
                };
                file.seek(SeekFrom::Start(u64::try_from(self.position).unwrap_or(0))).map_err(failed)?;
                self.open.insert((file, LineCutter::new(format.clone(), limits)))
            }
        };
        match cutter.next(file, true).map_err(failed)? {
            Cut::Records(bytes) if !cutter.has_ended() => Ok(Some(bytes)),
            Cut::Records(bytes) => match format.last_record_end(&bytes) {
                Some(end) if end == bytes.len() => Ok(Some(bytes)),
                // The last record is still being written.
                Some(end) => {
                    self.rest();
                    Ok(Some(bytes.slice(..end)))
                }
                None => Ok(self.rest()),
            },
            Cut::Endless => Err(endless(format!("file `{}` byte {}", path.display(), self.position))),
            Cut::End => Ok(self.rest()),
        }
    }

    /// Leaves the file until it has changed.
    fn rest(&mut self) -> Option<bytes::Bytes> {
        (self.open, self.has_more, self.read_through) = (None, false, true);
        None
    }
}

impl Source for FollowedFiles {
    fn header_lines(&self) -> u64 {
        u64::from(self.following.format.has_header())
    }

    fn reads_in_turn(&self) -> bool {
        true
    }

    fn partitions(&self) -> &[PartitionId] {
        &self.ids
    }

    fn seek(&mut self, partition: usize, position: Position) -> Result<()> {
        let file = &mut self.files[partition];
        if i64::try_from(file.length).is_ok_and(|length| length < position.0) {
            return Err(Error::data(format!(
                "file `{}` has {} bytes, and was read up to byte {} before",
                file.path.display(),
                file.length,
                position.0
            ))
            .with_hint("files that are followed must stay as they are, or grow: start the job anew"));
        }
        file.position = position.0;
        Ok(())
    }

    fn has_caught_up(&self) -> bool {
        self.files.iter().take(self.there).all(|file| file.read_through)
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let there = self.files.iter().take(self.there);
        Some(there.fold((0, 0), |(read, total), file| {
            let position = u64::try_from(file.position).unwrap_or(0);
            (read + position.min(file.first_length), total + file.first_length)
        }))
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        if let Some(chunk) = self.read_on()? {
            return Ok(Polled::Chunk(chunk));
        }
        if self.following.clock.monotonic_micros() >= self.next_look {
            self.look()?;
            if let Some(chunk) = self.read_on()? {
                return Ok(Polled::Chunk(chunk));
            }
        }
        // Were none left, time would be at its end.
        if self.files.iter().any(|file| !file.over)
            && let Some(ended) = self.ended.pop_front()
        {
            return Ok(Polled::PartitionEnd(ended));
        }
        let left = self.next_look.saturating_sub(self.following.clock.monotonic_micros());
        self.following.clock.wait(wait.min(Duration::from_micros(u64::try_from(left).unwrap_or(0))));
        Ok(Polled::Idle)
    }
}
