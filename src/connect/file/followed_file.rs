//! [`Followed`]: one file of lines that is followed, and how it is told from another of its name.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Result as IoResult, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::listing::unreadable;
use crate::connect::line_cutter::{Cut, LineCutter, endless};
use crate::connect::{ChunkLimits, TextFormat};
use crate::error::Result;

/// How much of what was read is compared, from its start and from its end, when a file has changed.
const COMPARED_BYTES: u64 = 4 << 20;

/// What the system says of a file; as long as it says the same the file is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    pub(super) length: u64,
    modified: Option<SystemTime>,
    /// Device and number, where files have one.
    identity: Option<(u64, u64)>,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok(), identity: identity(metadata) }
    }

    /// Returns whether the file is as it was.
    fn is(&self, before: &Self) -> bool {
        self.modified.is_some() && self == before
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_metadata: &Metadata) -> Option<(u64, u64)> {
    None
}

/// A file that is followed; its ordinal is that of its partition.
pub(super) struct Followed {
    pub(super) path: PathBuf,
    /// What its header and first record come to.
    beginning: u64,
    pub(super) position: i64,
    stamp: Stamp,
    /// What the bytes before the position come to.
    content: u64,
    open: Option<(File, LineCutter)>,
    /// Whether it may hold more than was read.
    pub(super) has_more: bool,
    /// Its length when it was met, and whether it was read to its end since.
    pub(super) first_length: u64,
    pub(super) read_through: bool,
    pub(super) over: bool,
}

impl Followed {
    /// Creates a file whose records begin at `start`, and whose beginning comes to `beginning`.
    pub(super) fn new(path: PathBuf, stamp: Stamp, start: i64, beginning: u64) -> Result<Self> {
        let mut file = Self {
            path,
            beginning,
            position: start,
            stamp,
            content: 0,
            open: None,
            has_more: true,
            first_length: stamp.length,
            read_through: false,
            over: false,
        };
        file.go_on_at(start)?;
        Ok(file)
    }

    /// Creates what is left of a file that was read before a restart and is not there any more.
    pub(super) fn gone() -> Self {
        Self {
            path: PathBuf::new(),
            beginning: 0,
            position: 0,
            stamp: Stamp::default(),
            content: 0,
            open: None,
            has_more: false,
            first_length: 0,
            read_through: true,
            over: true,
        }
    }

    /// Returns the name of its partition, which is that of others of its path and beginning too.
    pub(super) fn name(&self) -> String {
        format!("{}@{:08x}", self.path.display(), self.beginning & 0xffff_ffff)
    }

    pub(super) fn length(&self) -> u64 {
        self.stamp.length
    }

    /// Returns whether the system says of the file what it said before.
    pub(super) fn is_as_it_was(&self, stamp: &Stamp) -> bool {
        stamp.is(&self.stamp)
    }

    /// Makes the file go on at `position`, with what is before it as it is now.
    pub(super) fn go_on_at(&mut self, position: i64) -> Result<()> {
        self.position = position;
        let content = File::open(&self.path).and_then(|mut file| content(&mut file, offset(position)));
        match content {
            Ok(content) => self.content = content,
            // The next look finds it.
            Err(error) if [ErrorKind::NotFound, ErrorKind::UnexpectedEof].contains(&error.kind()) => {}
            Err(error) => return Err(unreadable(&self.path, error)),
        }
        Ok(())
    }

    /// Returns whether a record may end at `position`.
    pub(super) fn may_go_on_at(&self, position: i64) -> Result<bool> {
        let Some(last) = offset(position).checked_sub(1) else { return Ok(true) };
        let read = || -> IoResult<u8> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(last))?;
            let mut byte = [0];
            file.read_exact(&mut byte)?;
            Ok(byte[0])
        };
        match read() {
            Ok(byte) => Ok(byte == b'\n'),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(unreadable(&self.path, error)),
        }
    }

    /// Takes what the system says now of the file; returns whether it holds what was read of it, and maybe more.
    pub(super) fn goes_on(&mut self, stamp: Stamp, beginning: u64) -> Result<bool> {
        let position = offset(self.position);
        if stamp.length < position || beginning != self.beginning {
            return Ok(false);
        }
        match File::open(&self.path).and_then(|mut file| content(&mut file, position)) {
            Ok(content) if content == self.content => {
                (self.stamp, self.has_more) = (stamp, true);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if [ErrorKind::NotFound, ErrorKind::UnexpectedEof].contains(&error.kind()) => {
                Ok(false)
            }
            Err(error) => Err(unreadable(&self.path, error)),
        }
    }

    /// Says that nothing more is read of it.
    pub(super) fn end(&mut self) {
        (self.over, self.has_more, self.read_through, self.open) = (true, false, true, None);
    }

    /// Returns the next whole records; none if there are none for now.
    pub(super) fn read(&mut self, format: &TextFormat, limits: ChunkLimits) -> Result<Option<Bytes>> {
        let path = self.path.clone();
        let failed = |error| unreadable(&path, error);
        let (file, cutter) = match &mut self.open {
            Some(open) => open,
            None => {
                let mut file = match File::open(&path) {
                    // The next look finds that it is gone.
                    Err(error) if error.kind() == ErrorKind::NotFound => return self.rest(None),
                    file => file.map_err(failed)?,
                };
                file.seek(SeekFrom::Start(offset(self.position))).map_err(failed)?;
                self.open.insert((file, LineCutter::new(format.clone(), limits)))
            }
        };
        match cutter.next(file, true).map_err(failed)? {
            Cut::Records(bytes) if !cutter.has_ended() => Ok(Some(self.took(bytes))),
            Cut::Records(bytes) => match format.last_record_end(&bytes) {
                Some(end) if end == bytes.len() => Ok(Some(self.took(bytes))),
                // The last record is still being written.
                Some(end) => {
                    let whole = self.took(bytes.slice(..end));
                    self.rest(Some(whole))
                }
                None => self.rest(None),
            },
            Cut::Endless => Err(endless(format!("file `{}` byte {}", path.display(), self.position))),
            Cut::End => self.rest(None),
        }
    }

    fn took(&mut self, bytes: Bytes) -> Bytes {
        self.position = self.position.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        bytes
    }

    /// Leaves the file until it has changed.
    fn rest(&mut self, last: Option<Bytes>) -> Result<Option<Bytes>> {
        (self.has_more, self.read_through) = (false, true);
        if let Some((mut file, _)) = self.open.take() {
            match content(&mut file, offset(self.position)) {
                Ok(content) => self.content = content,
                // It was cut off meanwhile: the next look finds it.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(unreadable(&self.path, error)),
            }
        }
        Ok(last)
    }
}

fn offset(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

/// Returns what the bytes of a file before `position` come to: all of them, or of many those at both ends.
fn content(file: &mut File, position: u64) -> IoResult<u64> {
    let head = position.min(COMPARED_BYTES);
    let tail = position.saturating_sub(COMPARED_BYTES).max(head);
    let mut hash = Xxh3::new();
    for (start, end) in [(0, head), (tail, position)] {
        file.seek(SeekFrom::Start(start))?;
        take_in(&mut hash, file.take(end - start), end - start)?;
    }
    Ok(hash.digest())
}

fn take_in(hash: &mut Xxh3, mut bytes: impl Read, mut left: u64) -> IoResult<()> {
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let count = bytes.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        hash.update(&buffer[..count]);
        left -= count as u64;
    }
    Ok(())
}

/// Returns the first bytes of a file; none if it is gone.
pub(super) fn first_bytes(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| unreadable(path, error))?,
    };
    let mut bytes = vec![];
    file.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    Ok(Some(bytes))
}
