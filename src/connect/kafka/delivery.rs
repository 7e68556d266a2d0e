//! [`Deliveries`]: what became of the messages that a sink has sent.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::client::ClientEvents;

/// Counts confirmed and failed messages; written by the client's thread, read by the sink's.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    pub(super) events: ClientEvents,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Messages that are settled, one way or the other.
    settled: u64,
    failed: u64,
    first_failure: Option<Code>,
    /// Wake the sink when this many are settled.
    wanted: u64,
}

/// What is known about the messages sent so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) settled: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<Code>,
}

impl Deliveries {
    /// Returns what is known now.
    pub(super) fn outcome(&self) -> Outcome {
        let state = self.lock();
        Outcome { settled: state.settled, failed: state.failed, first_failure: state.first_failure }
    }

    /// Waits until `wanted` messages are settled or `limit` has passed.
    pub(super) fn wait(&self, wanted: u64, limit: Duration) -> Outcome {
        let mut state = self.lock();
        state.wanted = wanted;
        let waiting = self.moved.wait_timeout_while(state, limit, |state| state.settled < wanted);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        Outcome { settled: state.settled, failed: state.failed, first_failure: state.first_failure }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.events.note(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        let mut state = self.lock();
        state.settled += 1;
        if let Err((error, _)) = result {
            state.failed += 1;
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            state.first_failure.get_or_insert(code);
        }
        if state.settled == state.wanted {
            self.moved.notify_all();
        }
    }
}
