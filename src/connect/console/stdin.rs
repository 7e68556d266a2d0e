//! [`StdinConnector`]: lines from the process's standard input.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;

use crate::connect::line_cutter::{Cut, LineCutter, endless};
use crate::connect::text_format::{DecodeSettings, take_decode_settings, take_format};
use crate::connect::{
    Chunk, KnownPartition, OptionDoc, Options, PartitionId, Payload, Polled, Position, ReadRequest, Source,
    SourceConnector, TextFormat,
};
use crate::error::{Error, Result};
use crate::format::Decoder;

/// The options of standard input, formats aside.
pub const STDIN_DOCS: &[OptionDoc] = &[];

/// Standard input as a source: bounded, read once.
#[derive(Debug)]
pub struct StdinConnector {
    format: TextFormat,
    decode: DecodeSettings,
    /// What was read to infer columns, and not yet handed out; none once a job has it.
    ahead: Mutex<Option<Vec<u8>>>,
    header: Mutex<Option<Vec<String>>>,
}

impl StdinConnector {
    /// Reads the options; the format is JSON lines unless they say otherwise.
    pub fn read(options: &mut Options) -> Result<Self> {
        let format = take_format(options, "json")?.ok_or_else(|| {
            Error::invalid("Parquet cannot be read from standard input: its index is at the end")
        })?;
        let decode = take_decode_settings(options)?;
        Ok(Self { format, decode, ahead: Mutex::new(Some(vec![])), header: Mutex::new(None) })
    }

    /// Reads until a whole record (and the header before it) is there; returns all that was read.
    fn read_ahead(&self) -> Result<Vec<u8>> {
        let mut ahead = self.ahead.lock();
        let Some(bytes) = ahead.as_mut() else {
            return Err(Error::invalid("standard input can be read by one query only"));
        };
        let lines = 1 + usize::from(self.format.has_header());
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; 64 << 10];
        while memchr::memchr_iter(b'\n', bytes).count() < lines {
            let count = stdin.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..count]);
        }
        Ok(bytes.clone())
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("cannot read standard input").with_cause(error)
}

impl SourceConnector for StdinConnector {
    fn describe(&self) -> String {
        format!("stdin ({})", self.format.name())
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn is_replayable(&self) -> bool {
        false
    }

    fn can_infer_offline(&self) -> bool {
        false
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        let mut sample = self.read_ahead()?;
        if let Some(end) = self.format.last_record_end(&sample) {
            sample.truncate(end);
        }
        let inferred = self.format.infer(&sample, &self.decode);
        inferred.map_err(|error| error.within("standard input"))
    }

    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        Ok(vec![KnownPartition::named(PartitionId(Arc::from("stdin")))])
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        if self.format.has_header() {
            self.read_ahead()?;
        }
        let Some(ahead) = self.ahead.lock().take() else {
            return Err(Error::invalid("standard input can be read by one query only"));
        };
        let mut cutter = LineCutter::new(self.format.clone(), request.limits);
        cutter.push_front(&ahead);
        let mut header_bytes = 0;
        if self.format.has_header() {
            let line = cutter.header(&mut std::io::empty()).map_err(failed)?.unwrap_or_default();
            header_bytes = line.len();
            *self.header.lock() = Some(self.format.read_header(&line)?);
        }
        Ok(Box::new(StdinSource::start(cutter, self.format.has_header(), header_bytes)?))
    }

    fn decoder(&self, request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(Some(self.format.decoder(request, &self.decode, self.header.lock().as_deref())?))
    }
}

/// Reads standard input on a thread of its own: a read blocks, and the job must still be able to stop.
struct StdinSource {
    partitions: Vec<PartitionId>,
    pieces: Receiver<Result<Bytes>>,
    has_header: bool,
    position: Position,
    ended: bool,
}

impl StdinSource {
    fn start(mut cutter: LineCutter, has_header: bool, header_bytes: usize) -> Result<Self> {
        let (sender, pieces) = bounded(4);
        let thread = std::thread::Builder::new().name("velo-stdin".to_owned());
        let read = move || {
            let mut stdin = std::io::stdin();
            let mut handed_out = header_bytes;
            loop {
                let piece = match cutter.next(&mut stdin, false) {
                    Ok(Cut::Records(bytes)) => {
                        handed_out += bytes.len();
                        Ok(bytes)
                    }
                    Ok(Cut::Endless) => Err(endless(format!("stdin byte {handed_out}"))),
                    Ok(Cut::End) => return,
                    Err(error) => Err(failed(error)),
                };
                if sender.send(piece).is_err() {
                    return;
                }
            }
        };
        // The thread ends with the input, or with the process: nothing else ends a blocked read.
        thread.spawn(read).map_err(|error| Error::exhausted("cannot start a thread").with_cause(error))?;
        let partitions = vec![PartitionId(Arc::from("stdin"))];
        let position = Position(i64::try_from(header_bytes).unwrap_or(i64::MAX));
        Ok(Self { partitions, pieces, has_header, position, ended: false })
    }
}

impl Source for StdinSource {
    fn header_lines(&self) -> u64 {
        u64::from(self.has_header)
    }

    fn partitions(&self) -> &[PartitionId] {
        &self.partitions
    }

    fn seek(&mut self, _partition: usize, _position: Position) -> Result<()> {
        Err(Error::invalid("standard input cannot be read again"))
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        if self.ended {
            return Ok(Polled::End);
        }
        match self.pieces.recv_timeout(wait) {
            Ok(piece) => {
                let bytes = piece?;
                let start = self.position;
                self.position.0 += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                let payload = Payload::Lines(bytes);
                Ok(Polled::Chunk(Chunk {
                    partition: 0,
                    start,
                    end: self.position,
                    payload,
                    origin: None,
                    watermark: None,
                }))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Polled::Idle),
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                Ok(Polled::PartitionEnd(0))
            }
        }
    }
}
