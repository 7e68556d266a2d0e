//! What the threads of a job tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::scan::Processed;
use crate::connect::{PartitionId, Position, SourceHealth};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::time::Watermark;

/// What reaches the driver.
pub(crate) enum ToDriver {
    /// A source has further partitions, in the order of their ordinals.
    Partitions {
        /// The ordinal of the scan.
        scan: usize,
        /// All partitions known by now.
        partitions: Vec<PartitionId>,
    },
    /// A chunk was processed.
    Processed(Box<Done>),
    /// An upstream job promises a watermark for what follows the first `chunks` chunks of a partition.
    Promised {
        /// The ordinal of the scan.
        scan: usize,
        /// The partition.
        partition: usize,
        /// How many chunks came before.
        chunks: u64,
        /// The watermark.
        watermark: Watermark,
    },
    /// A source has given all that was there when it was opened.
    CaughtUp {
        /// The ordinal of the scan.
        scan: usize,
        /// For each partition how many chunks that were.
        chunks: Vec<u64>,
    },
    /// A source that may be away has something to say about that.
    Health {
        /// The ordinal of the scan.
        scan: usize,
        /// What it says.
        health: SourceHealth,
    },
    /// What a partition gave is not there any more.
    Withdrawn {
        /// The ordinal of the scan.
        scan: usize,
        /// The partition.
        partition: usize,
        /// For each partition how many chunks came before.
        chunks: Vec<u64>,
    },
    /// A partition ended after `chunks` chunks.
    PartitionEnd {
        /// The ordinal of the scan.
        scan: usize,
        /// The partition.
        partition: usize,
        /// How many chunks it had.
        chunks: u64,
    },
    /// All partitions of a source ended.
    ScanEnd {
        /// The ordinal of the scan.
        scan: usize,
        /// How many chunks its partitions had, in all.
        chunks: u64,
    },
    /// A source or a worker cannot go on.
    Failed(Error),
}

/// A chunk that was processed, or could not be.
pub(crate) struct Done {
    /// The ordinal of the scan.
    pub(crate) scan: usize,
    /// The partition.
    pub(crate) partition: usize,
    /// The ordinal of the chunk in its partition.
    pub(crate) turn: u64,
    /// Where the partition resumes after it.
    pub(crate) end: Position,
    /// What an upstream job promises from here on.
    pub(crate) watermark: Option<Watermark>,
    /// What became of it.
    pub(crate) result: Result<Processed>,
}

/// What reaches the sink.
pub(crate) enum ToSink {
    /// The changes of an epoch, and the watermark after them.
    Epoch(Vec<ChangeBatch>, Watermark),
    /// The changes so far hold all that was there when the job's sources were opened.
    CaughtUp,
    /// No more changes come, and the job ended well or was asked to stop.
    Finish,
}

/// Ends a job from outside.
#[derive(Debug, Default, Clone)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A bound on the chunks that are on their way, so that memory stays flat when the sink is slow.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), returned: Condvar::new() }
    }

    /// Takes a permit, waiting at most `limit`; returns whether there was one.
    pub(crate) fn take(&self, limit: std::time::Duration) -> bool {
        let mut free = self.free.lock();
        if *free == 0 {
            let _timed_out = self.returned.wait_for(&mut free, limit);
        }
        let taken = *free > 0;
        *free -= usize::from(taken);
        taken
    }

    /// Gives `count` permits back.
    pub(crate) fn give_back(&self, count: usize) {
        *self.free.lock() += count;
        self.returned.notify_all();
    }
}

/// The watermark of one source, shared by its reader, which sees partitions go quiet and come back, and the driver.
#[derive(Debug)]
pub(crate) struct SourceClock {
    state: Mutex<SourceState>,
    /// Microseconds of the monotonic clock at the last chunk; the whole source has been quiet since.
    quiet_since: AtomicU64,
    /// Microseconds of the monotonic clock at which the reader last began to look.
    looked_at: AtomicI64,
}

#[derive(Debug)]
struct SourceState {
    watermark: Watermark,
    idle: Vec<bool>,
    all_quiet: bool,
}

impl Default for SourceClock {
    fn default() -> Self {
        let state = SourceState { watermark: Watermark::NONE, idle: vec![], all_quiet: false };
        Self { state: Mutex::new(state), quiet_since: AtomicU64::new(0), looked_at: AtomicI64::new(i64::MIN) }
    }
}

impl SourceState {
    fn are_idle(&self, partitions: &[Option<Watermark>]) -> bool {
        let mut open = partitions.iter().enumerate().filter(|(_, mark)| mark.is_some());
        open.all(|(partition, _)| self.idle.get(partition).copied().unwrap_or(false))
    }
}

impl SourceClock {
    /// Creates the clock of a source that goes on at `watermark`.
    pub(crate) fn resuming(watermark: Watermark) -> Self {
        let clock = Self::default();
        clock.state.lock().watermark = watermark;
        clock
    }

    /// Says that a partition no longer holds the others back.
    pub(crate) fn set_idle(&self, partition: usize) {
        let mut state = self.state.lock();
        let needed = state.idle.len().max(partition + 1);
        state.idle.resize(needed, false);
        state.idle[partition] = true;
    }

    /// Returns whether a partition holds nobody back.
    pub(crate) fn is_idle(&self, partition: usize) -> bool {
        self.state.lock().idle.get(partition).copied().unwrap_or(false)
    }

    /// Says that a partition has rows again, and returns the watermark that it starts from.
    pub(crate) fn set_active(&self, partition: usize) -> Watermark {
        let mut state = self.state.lock();
        if let Some(idle) = state.idle.get_mut(partition) {
            *idle = false;
        }
        state.all_quiet = false;
        state.watermark
    }

    /// Says since when (in monotonic microseconds) nothing has come from any partition.
    pub(crate) fn set_quiet(&self, since_micros: i64) {
        self.quiet_since.store(u64::try_from(since_micros).unwrap_or(0), Ordering::Release);
        self.state.lock().all_quiet = true;
    }

    /// Returns since when the whole source is quiet, in monotonic microseconds.
    pub(crate) fn quiet_since(&self) -> Option<i64> {
        let quiet = self.state.lock().all_quiet;
        quiet.then(|| i64::try_from(self.quiet_since.load(Ordering::Acquire)).unwrap_or(i64::MAX))
    }

    /// Says that the reader knows all that there is to know at `micros` of the monotonic clock.
    pub(crate) fn set_looked(&self, micros: i64) {
        self.looked_at.store(micros, Ordering::Release);
    }

    /// Returns the last instant, in monotonic microseconds, of which the reader knows all that there is to know.
    pub(crate) fn looked_at(&self) -> i64 {
        self.looked_at.load(Ordering::Acquire)
    }

    /// Moves the watermark to what `partitions` (one watermark each, none for those that ended) allow.
    pub(crate) fn advance(
        &self,
        partitions: &[Option<Watermark>],
        when_all_idle: Option<Watermark>,
    ) -> Watermark {
        let mut state = self.state.lock();
        let is_idle = |partition: usize| state.idle.get(partition).copied().unwrap_or(false);
        let open = partitions.iter().enumerate().filter_map(|(partition, mark)| Some((partition, (*mark)?)));
        let active = open.clone().filter(|(partition, _)| !is_idle(*partition)).map(|(_, mark)| mark).min();
        let advanced = match active {
            Some(lowest) => Some(lowest),
            None if open.count() > 0 => {
                when_all_idle.or_else(|| partitions.iter().filter_map(|mark| *mark).max())
            }
            None => Some(Watermark::END),
        };
        if let Some(advanced) = advanced {
            state.watermark.advance_to(advanced);
        }
        state.watermark
    }

    /// Returns whether all of `partitions` that have not ended are idle.
    pub(crate) fn are_idle(&self, partitions: &[Option<Watermark>]) -> bool {
        self.state.lock().are_idle(partitions)
    }

    /// Lets a source of which all of `partitions` are idle go with `others`, so that it does not hold them back; returns
    /// the watermark, from which a partition that has rows again starts.
    pub(crate) fn follow(&self, partitions: &[Option<Watermark>], others: Watermark) -> Watermark {
        let mut state = self.state.lock();
        if state.are_idle(partitions) {
            state.watermark.advance_to(others);
        }
        state.watermark
    }

    /// Returns the watermark.
    pub(crate) fn watermark(&self) -> Watermark {
        self.state.lock().watermark
    }
}
