//! Sources that are away: circuits, pauses, and guarded sources, with time that only the test moves.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use parking_lot::Mutex;

use super::circuit::{Circuit, CircuitRule, CircuitState};
use super::patience::Patience;
use super::{
    Chunk, ChunkLimits, FILE_PATIENCE_DOCS, Options, PartitionId, Payload, Polled, Position, ReadRequest,
    Source, SourceConnector, infer_when_there, open_source,
};
use crate::config::{Entry, Origin};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Decoder;
use crate::time::{Clock, ManualClock};

const SECOND: i64 = 1_000_000;

fn patience(options: &[(&str, &str)]) -> Result<Option<Patience>> {
    let entries = options.iter().map(|(key, value)| Entry::new(*key, *value, Origin::With(0..1)));
    let mut options = Options::new(FILE_PATIENCE_DOCS, entries)?;
    let read = Patience::read(&mut options, "file")?;
    options.finish("source `s`")?;
    Ok(read)
}

#[test]
fn a_circuit_opens_rests_and_lets_one_try_decide() {
    let second = Duration::from_secs(1);
    let rule = CircuitRule { failures: 3, percent: 50, window: second * 60, cooldown: second * 10 };
    let mut circuit = Circuit::new(rule);
    for at in 0..3 {
        assert!(circuit.may_try(at * SECOND));
        circuit.note(false, at * SECOND);
    }
    assert_eq!((circuit.state(), circuit.may_try_at()), (CircuitState::Open, 12 * SECOND));
    assert!(!circuit.may_try(12 * SECOND - 1));
    assert!(circuit.may_try(12 * SECOND));
    assert_eq!(circuit.state(), CircuitState::HalfOpen);
    circuit.note(false, 13 * SECOND);
    assert_eq!((circuit.state(), circuit.may_try_at()), (CircuitState::Open, 23 * SECOND));
    assert!(circuit.may_try(23 * SECOND));
    circuit.note(true, 23 * SECOND);
    assert_eq!(circuit.state(), CircuitState::Closed);
    // What went wrong before counts no more.
    circuit.note(false, 24 * SECOND);
    circuit.note(false, 25 * SECOND);
    assert_eq!(circuit.state(), CircuitState::Closed);
}

#[test]
fn a_circuit_opens_for_a_source_that_fails_every_other_time() {
    let rule = CircuitRule {
        failures: 3,
        percent: 50,
        window: Duration::from_secs(60),
        cooldown: Duration::from_secs(10),
    };
    let (mut often, mut seldom) = (Circuit::new(rule), Circuit::new(rule));
    for at in 0..10 {
        often.note(at % 2 == 0, at * SECOND);
        // Outside the window nothing counts, so that there are never ten tries.
        seldom.note(at % 2 == 0, at * 7 * SECOND);
    }
    assert_eq!((often.state(), seldom.state()), (CircuitState::Open, CircuitState::Closed));
}

#[test]
fn pauses_grow_as_the_options_say() {
    let pauses = |options: &[(&str, &str)]| {
        let patience = patience(&[&[("file.wait.timeout", "1h")], options].concat()).unwrap().unwrap();
        [1, 2, 3, 4, 1_000_000].map(|failures| patience.pause(failures).as_millis())
    };
    let interval = ("file.retry.interval", "2s");
    let strategy = |name: &'static str| ("file.retry.strategy", name);
    assert_eq!(pauses(&[]), [1_000; 5]);
    assert_eq!(pauses(&[interval]), [2_000; 5]);
    assert_eq!(pauses(&[interval, strategy("linear")]), [2_000, 4_000, 6_000, 8_000, 120_000]);
    let increment = ("file.retry.increment", "500ms");
    assert_eq!(pauses(&[interval, strategy("linear"), increment]), [2_000, 2_500, 3_000, 3_500, 120_000]);
    assert_eq!(pauses(&[interval, strategy("exponential")]), [2_000, 4_000, 8_000, 16_000, 120_000]);
    let (factor, most) = (("file.retry.multiplier", "1.5"), ("file.retry.max.delay", "4s"));
    assert_eq!(
        pauses(&[interval, strategy("exponential"), factor, most]),
        [2_000, 3_000, 4_000, 4_000, 4_000]
    );
}

#[test]
fn options_of_waiting_without_use_are_refused() {
    let refused = |options: &[(&str, &str)]| patience(options).unwrap_err().message().to_owned();
    let wait = ("file.wait.timeout", "1s");
    assert!(patience(&[]).unwrap().is_none());
    assert!(refused(&[("file.retry.interval", "1s")]).contains("no use beside the other options"));
    assert!(refused(&[("circuit.failures", "3")]).contains("no use beside the other options"));
    assert!(refused(&[wait, ("file.retry.multiplier", "3")]).contains("no use beside the other options"));
    let shrinking = [wait, ("file.retry.strategy", "exponential"), ("file.retry.multiplier", "0.5")];
    assert!(refused(&shrinking).contains("must be 1 or more"));
    assert!(refused(&[wait, ("circuit.failures", "0")]).contains("must be 1 or more"));
    assert!(refused(&[wait, ("circuit.failure.rate", "101")]).contains("must be from 1 to 100"));
}

/// What a source does next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// It is not there.
    Absent,
    /// It refuses.
    Refuses,
    /// It opens.
    Opens,
    /// It gives a record.
    Gives,
    /// It breaks while it is read.
    Breaks,
    /// It has nothing more.
    Ends,
}

/// A source of numbered records that does what it was told, step by step.
#[derive(Debug, Clone)]
struct Told {
    patience: Patience,
    steps: Arc<Mutex<Vec<Next>>>,
}

impl Told {
    fn that(options: &[(&str, &str)], steps: &[Next]) -> Arc<dyn SourceConnector> {
        let steps = Arc::new(Mutex::new(steps.iter().rev().copied().collect()));
        Arc::new(Self { patience: patience(options).unwrap().unwrap(), steps })
    }

    fn step(&self) -> Result<Next> {
        match self.steps.lock().pop().unwrap() {
            Next::Absent => Err(Error::absent("no file matches `x`")),
            Next::Refuses => Err(Error::invalid("the password is wrong")),
            Next::Breaks => Err(Error::unavailable("the line is cut")),
            next => Ok(next),
        }
    }
}

impl SourceConnector for Told {
    fn describe(&self) -> String {
        "told".to_owned()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        self.step().map(|_| Arc::new(Schema::empty()))
    }

    fn patience(&self) -> Option<Patience> {
        Some(self.patience)
    }

    fn open(&self, _request: &ReadRequest) -> Result<Box<dyn Source>> {
        self.step()?;
        Ok(Box::new(ToldSource { told: self.clone(), next: 0, id: [PartitionId("x".into())] }))
    }

    fn decoder(&self, _request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(None)
    }
}

struct ToldSource {
    told: Told,
    next: i64,
    id: [PartitionId; 1],
}

impl Source for ToldSource {
    fn partitions(&self) -> &[PartitionId] {
        &self.id
    }

    fn seek(&mut self, _partition: usize, position: Position) -> Result<()> {
        self.next = position.0;
        Ok(())
    }

    fn has_caught_up(&self) -> bool {
        self.next == 3
    }

    fn poll(&mut self, _wait: Duration) -> Result<Polled> {
        Ok(match self.told.step()? {
            Next::Ends => Polled::End,
            _ => {
                let start = Position(self.next);
                self.next += 1;
                Polled::Chunk(Chunk {
                    partition: 0,
                    start,
                    end: Position(self.next),
                    payload: Payload::Lines(Bytes::from_static(b"{}\n")),
                    origin: None,
                    watermark: None,
                })
            }
        })
    }
}

fn request(clock: &Arc<ManualClock>) -> ReadRequest {
    ReadRequest {
        schema: Arc::new(Schema::empty()),
        columns: vec![],
        offsets: false,
        headers: false,
        limits: ChunkLimits { rows: 1, bytes: 1, linger: Duration::ZERO },
        clock: Arc::clone(clock) as Arc<dyn Clock>,
    }
}

/// Polls until the source ends or fails, a second each time; returns the records, and how it ended.
fn read(source: &mut dyn Source, clock: &ManualClock) -> (Vec<i64>, Result<()>) {
    let mut records = vec![];
    loop {
        match source.poll(Duration::ZERO) {
            Ok(Polled::Chunk(chunk)) => {
                assert_eq!((chunk.partition, chunk.end.0), (0, chunk.start.0 + 1));
                records.push(chunk.start.0);
                assert_eq!(source.has_caught_up(), chunk.end.0 == 3);
            }
            Ok(Polled::End) => return (records, Ok(())),
            Ok(_) => assert!(!source.has_caught_up(), "a source that is away is not read to its end"),
            Err(error) => return (records, Err(error)),
        }
        clock.advance_millis(1_000);
    }
}

#[test]
fn a_source_that_flaps_gives_each_record_once() {
    use Next::{Absent, Breaks, Ends, Gives, Opens};
    let clock = Arc::new(ManualClock::at_millis(0));
    let steps = [
        Absent, Absent, Opens, Gives, Breaks, Absent, Opens, Breaks, Opens, Gives, Gives, Breaks, Opens, Ends,
    ];
    let told = Told::that(&[("file.wait.timeout", "1m")], &steps);
    let mut source = open_source(&told, &request(&clock), vec![]).unwrap();
    assert!(source.partitions().is_empty());
    let health = source.health().unwrap();
    assert_eq!(health.trouble.as_deref(), Some("no file matches `x`"));
    let (records, ending) = read(source.as_mut(), &clock);
    ending.unwrap();
    assert_eq!(records, [0, 1, 2]);
    let health = source.health().unwrap();
    assert_eq!((health.circuit, health.failed_tries, health.trouble), (Some(CircuitState::Closed), 6, None));
}

#[test]
fn a_source_goes_on_where_a_snapshot_was_taken_although_it_is_away_at_first() {
    use Next::{Absent, Ends, Gives, Opens};
    let clock = Arc::new(ManualClock::at_millis(0));
    let told = Told::that(&[("file.wait.timeout", "1m")], &[Absent, Opens, Gives, Ends]);
    let positions = vec![(PartitionId("x".into()), Position(2))];
    let mut source = open_source(&told, &request(&clock), positions).unwrap();
    assert_eq!(read(source.as_mut(), &clock).0, [2]);
}

#[test]
fn an_open_circuit_leaves_a_source_alone() {
    let clock = Arc::new(ManualClock::at_millis(0));
    let options = [("file.wait.timeout", "1h"), ("circuit.failures", "3"), ("circuit.cooldown", "10s")];
    let told = Told::that(&options, &[Next::Absent; 5]);
    let mut source = open_source(&told, &request(&clock), vec![]).unwrap();
    let mut seen = vec![];
    for _ in 0..24 {
        let health = source.health().unwrap();
        seen.push((health.circuit.unwrap(), health.failed_tries));
        clock.advance_millis(1_000);
        assert!(matches!(source.poll(Duration::ZERO).unwrap(), Polled::Idle));
    }
    // Three tries, a rest, a trial, a rest, a trial.
    assert_eq!(seen[..3], [(CircuitState::Closed, 1), (CircuitState::Closed, 2), (CircuitState::Open, 3)]);
    assert_eq!((seen[11], seen[12]), ((CircuitState::Open, 3), (CircuitState::Open, 4)));
    assert_eq!((seen[21], seen[22]), ((CircuitState::Open, 4), (CircuitState::Open, 5)));
}

#[test]
fn a_source_that_stays_away_or_refuses_fails() {
    let clock = Arc::new(ManualClock::at_millis(0));
    let told = Told::that(&[("file.wait.timeout", "2500ms")], &[Next::Absent; 4]);
    let mut source = open_source(&told, &request(&clock), vec![]).unwrap();
    clock.advance_millis(1_000);
    let error = read(source.as_mut(), &clock).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "no file matches `x`, after 2500ms of trying");
    assert!(error.hint().unwrap().contains("'file.wait.timeout'"), "{error}");

    let told = Told::that(&[("file.wait.timeout", "1h")], &[Next::Absent, Next::Refuses]);
    let mut source = open_source(&told, &request(&clock), vec![]).unwrap();
    clock.advance_millis(1_000);
    assert_eq!(read(source.as_mut(), &clock).1.unwrap_err().message(), "the password is wrong");
    let told = Told::that(&[("file.wait.timeout", "1h")], &[Next::Refuses]);
    assert_eq!(open_source(&told, &request(&clock), vec![]).err().unwrap().kind(), ErrorKind::Invalid);
}

#[test]
fn columns_are_inferred_once_there_is_something() {
    let clock = ManualClock::at_millis(0);
    let infer =
        |steps: &[Next]| infer_when_there(Told::that(&[("file.wait.timeout", "1m")], steps).as_ref(), &clock);
    assert!(infer(&[Next::Absent, Next::Absent, Next::Opens]).is_ok());
    assert_eq!(infer(&[Next::Refuses]).unwrap_err().message(), "the password is wrong");
}
