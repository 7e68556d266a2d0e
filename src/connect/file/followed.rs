//! [`FollowedFiles`]: files of lines that grow, come and go, looked at again and again.

use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::compression::Compression;
use super::followed_file::{Followed, Stamp, first_bytes};
use super::listing::{files, unreadable};
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
/// partition, and the former is withdrawn once the new one is read, and ends. A position is a byte of the file. What
/// follows the last whole record is left until the record has its end.
pub(super) struct FollowedFiles {
    following: Following,
    files: Vec<Followed>,
    ids: Vec<PartitionId>,
    withdrawn: VecDeque<usize>,
    ended: VecDeque<usize>,
    next_look: i64,
    /// How many files were there when the source was opened.
    there: usize,
}

impl FollowedFiles {
    pub(super) fn open(following: Following) -> Result<Self> {
        let mut source = Self {
            following,
            files: vec![],
            ids: vec![],
            withdrawn: VecDeque::new(),
            ended: VecDeque::new(),
            next_look: 0,
            there: 0,
        };
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
                Ok(metadata) => self.look_at(path, Stamp::of(&metadata))?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&path, error)),
            }
        }
        Ok(())
    }

    fn look_at(&mut self, path: PathBuf, stamp: Stamp) -> Result<()> {
        let known = self.files.iter().position(|file| !file.over && file.path == path);
        if known.is_some_and(|at| self.files[at].is_as_it_was(&stamp)) {
            return Ok(());
        }
        // Until its first record is whole nothing is known of a file.
        let beginning = self.beginning(&path)?;
        if let Some(at) = known {
            if let Some((_, mark)) = beginning
                && self.files[at].goes_on(stamp, mark)?
            {
                return Ok(());
            }
            self.end(at);
        }
        let Some((start, mark)) = beginning else { return Ok(()) };
        let file = Followed::new(path, stamp, start, mark)?;
        self.ids.push(self.free_name(&file));
        self.files.push(file);
        Ok(())
    }

    /// Returns a name for the partition of a file that no partition has.
    fn free_name(&self, file: &Followed) -> PartitionId {
        let name = file.name();
        let (mut id, mut again) = (PartitionId(name.as_str().into()), 0);
        while self.ids.contains(&id) {
            again += 1;
            id = PartitionId(format!("{name}~{again}").into());
        }
        id
    }

    fn end(&mut self, at: usize) {
        self.files[at].end();
        self.withdrawn.push_back(at);
        self.ended.push_back(at);
    }

    /// Makes a partition known of which nothing is there any more.
    fn lose(&mut self, id: PartitionId) {
        self.ids.push(id);
        self.files.push(Followed::gone());
        self.end(self.files.len() - 1);
    }

    /// Returns the file that a partition was of, if it begins as it did.
    fn file_of(&self, id: &PartitionId) -> Option<usize> {
        let is_of = |file: &Followed| {
            let rest = id.0.strip_prefix(&file.name());
            !file.over && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('~'))
        };
        self.files.iter().position(is_of)
    }

    /// Returns where the records of a file begin, and what its beginning comes to; none while its first record is not whole.
    fn beginning(&self, path: &Path) -> Result<Option<(i64, u64)>> {
        if self.following.compression.compresses(path) {
            return Err(Error::not_yet(format!("following `{}`, which is compressed,", path.display()))
                .with_hint("leave `watch` out: compressed files are read once, to their end"));
        }
        let Some(bytes) = first_bytes(path, BEGINNING_BYTES)? else { return Ok(None) };
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
            let start = Position(file.position);
            let Some(bytes) = file.read(format, *limits)? else { continue };
            let (end, payload) = (Position(file.position), Payload::Lines(bytes));
            return Ok(Some(Chunk { partition, start, end, payload, origin: None, watermark: None }));
        }
        Ok(None)
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
        if i64::try_from(file.length()).is_ok_and(|length| length < position.0) {
            return Err(Error::data(format!(
                "file `{}` has {} bytes, and was read up to byte {} before",
                file.path.display(),
                file.length(),
                position.0
            ))
            .with_hint("files that are followed must stay as they are, or grow: start the job anew"));
        }
        file.go_on_at(position.0)
    }

    fn resume(&mut self, before: &[(PartitionId, Option<Position>)]) -> Result<()> {
        let mut taken = BTreeSet::new();
        // Of partitions of one name the last is that of the file as it was.
        for (id, position) in before.iter().rev() {
            let file = self.file_of(id).filter(|file| !taken.contains(file));
            if let (Some(file), Some(position)) = (file, position)
                && self.files[file].may_go_on_at(position.0)?
            {
                taken.insert(file);
                self.ids[file] = id.clone();
                self.seek(file, *position)?;
                continue;
            }
            // A file that was written anew meanwhile may have been given the name.
            let namesake = self.ids.iter().position(|known| known == id);
            self.lose(id.clone());
            if let Some(namesake) = namesake {
                self.ids[namesake] = self.free_name(&self.files[namesake]);
            }
        }
        Ok(())
    }

    fn has_caught_up(&self) -> bool {
        self.withdrawn.is_empty() && self.files.iter().take(self.there).all(|file| file.read_through)
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
        if let Some(withdrawn) = self.withdrawn.pop_front() {
            return Ok(Polled::Withdrawn(withdrawn));
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
