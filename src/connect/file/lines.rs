//! [`LineFiles`]: files of lines, each a partition, read one after the other.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::compression::Compression;
use super::listing::{partition_id, total_bytes, unreadable};
use crate::connect::line_cutter::{Cut, LineCutter, endless};
use crate::connect::{
    Chunk, ChunkLimits, Origin, PartitionId, Payload, Polled, Position, Source, TextFormat,
};
use crate::error::{Error, Result};

/// Reads files of lines.
///
/// A position is the number of bytes of a partition before it, after decompression and without header lines' effect:
/// header lines count as bytes, too.
pub(super) struct LineFiles {
    format: TextFormat,
    compression: Compression,
    limits: ChunkLimits,
    /// The column names that every file must have, where there is a header.
    header: Option<Vec<String>>,
    /// For each partition its files, in order.
    files: Vec<Vec<PathBuf>>,
    partitions: Vec<PartitionId>,
    seeks: Vec<Position>,
    partition: usize,
    file: usize,
    position: Position,
    /// The position at which the file at hand begins, and the lines of it that were read, where several files make
    /// the partition.
    file_start: Position,
    file_lines: u64,
    open: Option<(Box<dyn Read + Send>, LineCutter)>,
    /// Whether files may go, or lose a torn last line, while they are read.
    may_go: bool,
    /// How many bytes the file at hand had when it was opened, where they are its text.
    length: Option<u64>,
    /// How many bytes of the files were read, and how many there are, where that can be said.
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

impl LineFiles {
    pub(super) fn new(
        format: TextFormat,
        compression: Compression,
        limits: ChunkLimits,
        header: Option<Vec<String>>,
        files: Vec<Vec<PathBuf>>,
    ) -> Self {
        Self {
            format,
            compression,
            limits,
            header,
            total: total_bytes(files.iter().flatten()),
            read: Arc::default(),
            partitions: files.iter().map(|files| partition_id(files)).collect(),
            seeks: vec![Position(0); files.len()],
            files,
            partition: 0,
            file: 0,
            position: Position(0),
            file_start: Position(0),
            file_lines: 0,
            open: None,
            may_go: false,
            length: None,
        }
    }

    /// Takes files that others may remove for files without records.
    pub(super) fn that_may_go(self) -> Self {
        Self { may_go: true, total: None, ..self }
    }

    /// Opens the file at hand, behind its header and behind what was read before a seek.
    fn open_file(&mut self) -> Result<()> {
        let path = self.files[self.partition][self.file].clone();
        self.file_start = self.position;
        self.file_lines = u64::from(self.format.has_header());
        let unreadable = |error| unreadable(&path, error);
        let (mut reader, length) = match self.compression.open_counted(&path, &self.read) {
            Err(error) if self.may_go && error.kind() == std::io::ErrorKind::NotFound => {
                (Box::new(std::io::empty()) as Box<dyn Read + Send>, None)
            }
            opened => opened.map_err(unreadable)?,
        };
        self.length = length.filter(|_| !self.may_go);
        let mut cutter = LineCutter::new(self.format.clone(), self.limits);
        if self.format.has_header() {
            let line = cutter.header(reader.as_mut()).map_err(unreadable)?.unwrap_or_default();
            self.position.0 += i64::try_from(line.len()).unwrap_or(i64::MAX);
            let names = self.format.read_header(&line)?;
            if self.header.as_ref().is_some_and(|header| *header != names) && !line.is_empty() {
                return Err(Error::data(format!(
                    "file `{}` has other columns than the first file: {}",
                    path.display(),
                    names.join(", ")
                )));
            }
        }
        self.open = Some((reader, cutter));
        Ok(())
    }

    /// Fails if the file at hand came to its end after `read` bytes, before the length that it had when it was opened:
    /// what was cut off is lost, and a record cut in two is not the producer's fault.
    fn check_length(&self, read: i64) -> Result<()> {
        match self.length {
            Some(length) if u64::try_from(read).is_ok_and(|read| read < length) => Err(Error::data(format!(
                "file `{}` became shorter while it was read: it had {length} bytes, and ends after byte {read}",
                self.files[self.partition][self.file].display()
            ))
            .with_hint("files must stay as they are, or grow, until they are read; write a new one instead")),
            _ => Ok(()),
        }
    }

    /// Says where the next `bytes` of the file at hand are, where several files make the partition.
    fn origin(&mut self, bytes: &[u8]) -> Option<Origin> {
        let files = &self.files[self.partition];
        if files.len() == 1 {
            return None;
        }
        let file = Arc::from(files[self.file].display().to_string());
        let origin = Origin { file, begins: self.file_start, lines_before: self.file_lines };
        self.file_lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        Some(origin)
    }

    fn next_file(&mut self) -> Option<Polled> {
        self.open = None;
        self.file += 1;
        if self.file < self.files[self.partition].len() {
            return None;
        }
        let ended = self.partition;
        (self.partition, self.file, self.position) = (ended + 1, 0, Position(0));
        Some(Polled::PartitionEnd(ended))
    }

    /// Leaves out what was read before a seek.
    fn after_seek(&self, bytes: bytes::Bytes) -> Option<(Position, bytes::Bytes)> {
        let behind = self.seeks[self.partition].0 - self.position.0;
        match usize::try_from(behind) {
            Ok(behind) if behind >= bytes.len() => None,
            Ok(behind) => Some((self.seeks[self.partition], bytes.slice(behind..))),
            Err(_) => Some((self.position, bytes)),
        }
    }
}

impl Source for LineFiles {
    fn header_lines(&self) -> u64 {
        u64::from(self.format.has_header())
    }

    fn reads_in_turn(&self) -> bool {
        true
    }

    fn partitions(&self) -> &[PartitionId] {
        &self.partitions
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let read = self.read.load(Ordering::Relaxed);
        self.total.map(|total| (read.min(total), total))
    }

    fn seek(&mut self, partition: usize, position: Position) -> Result<()> {
        self.seeks[partition] = position;
        Ok(())
    }

    fn poll(&mut self, _wait: Duration) -> Result<Polled> {
        loop {
            if self.partition == self.files.len() {
                return Ok(Polled::End);
            }
            if self.open.is_none() {
                self.open_file()?;
            }
            let Some((reader, cutter)) = &mut self.open else { continue };
            let path = &self.files[self.partition][self.file];
            let read = cutter.next(reader.as_mut(), true);
            let waiting = i64::try_from(cutter.waiting()).unwrap_or(i64::MAX);
            let good = self.position.0.saturating_sub(self.file_start.0).saturating_add(waiting);
            let failed = |error| unreadable(path, error).within(format!("`{}` byte {good}", path.display()));
            let (cut, ended) = (read.map_err(failed)?, cutter.has_ended());
            match cut {
                Cut::Records(bytes) => {
                    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                    if ended {
                        self.check_length(good.saturating_add(length))?;
                    }
                    let origin = self.origin(&bytes);
                    let rest = self.after_seek(bytes);
                    self.position.0 += length;
                    if let Some((start, bytes)) = rest {
                        return Ok(Polled::Chunk(Chunk {
                            partition: self.partition,
                            start,
                            end: self.position,
                            payload: Payload::Lines(bytes),
                            origin,
                            watermark: None,
                        }));
                    }
                }
                Cut::Endless => {
                    let byte = self.position.0.saturating_sub(self.file_start.0);
                    return Err(endless(format!("file `{}` byte {byte}", path.display())));
                }
                Cut::End => {
                    self.check_length(good)?;
                    if let Some(ended) = self.next_file() {
                        return Ok(ended);
                    }
                }
            }
        }
    }
}
