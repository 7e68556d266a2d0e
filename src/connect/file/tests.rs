//! Files that are followed, with time that only the test moves.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;

use super::FileSourceConnector;
use crate::config::{Entry, Origin};
use crate::connect::{
    ChunkLimits, FILE_PATIENCE_DOCS, FORMAT_DOCS, Options, Payload, Polled, Position, ReadRequest, Source,
    SourceConnector,
};
use crate::error::Result;
use crate::time::{Clock, ManualClock};

struct Followed {
    clock: Arc<ManualClock>,
    source: Box<dyn Source>,
}

fn connector(path: &Path, more: &[(&str, &str)]) -> Result<FileSourceConnector> {
    let path = path.display().to_string();
    let given = [("path", path.as_str()), ("watch", "true")];
    let entries = given.iter().chain(more).map(|(key, value)| Entry::new(*key, *value, Origin::With(0..1)));
    let mut options = Options::new(super::FILE_DOCS, entries)?;
    options.accept(FILE_PATIENCE_DOCS);
    options.accept(FORMAT_DOCS);
    let read = FileSourceConnector::read(&mut options)?;
    options.finish("source `s`")?;
    Ok(read)
}

impl Followed {
    fn open(path: &Path) -> Self {
        Self::open_with(path, &[])
    }

    fn open_with(path: &Path, more: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::at_millis(0));
        let request = ReadRequest {
            schema: Arc::new(Schema::empty()),
            columns: vec![],
            offsets: false,
            headers: false,
            limits: ChunkLimits { rows: 1_000, bytes: 1 << 20, linger: Duration::ZERO },
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        let source = connector(path, more).unwrap().open(&request).unwrap();
        Self { clock, source }
    }

    /// Lets a look pass, and returns what came: the ordinal of each partition with its text, `gone` where it was
    /// withdrawn, `end` where it ended.
    fn look(&mut self) -> Vec<(usize, String)> {
        self.clock.advance_millis(1_000);
        self.poll()
    }

    fn poll(&mut self) -> Vec<(usize, String)> {
        let mut told = vec![];
        loop {
            match self.source.poll(Duration::ZERO).unwrap() {
                Polled::Chunk(chunk) => {
                    let Payload::Lines(bytes) = chunk.payload else { panic!("no lines") };
                    assert_eq!(chunk.end.0 - chunk.start.0, i64::try_from(bytes.len()).unwrap());
                    told.push((chunk.partition, String::from_utf8(bytes.to_vec()).unwrap()));
                }
                Polled::Withdrawn(partition) => told.push((partition, "gone".to_owned())),
                Polled::PartitionEnd(partition) => told.push((partition, "end".to_owned())),
                _ => return told,
            }
        }
    }
}

fn told(parts: &[(usize, &str)]) -> Vec<(usize, String)> {
    parts.iter().map(|(partition, text)| (*partition, (*text).to_owned())).collect()
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn what_is_appended_and_files_that_come_are_read_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, c) = (folder.path().join("a.csv"), folder.path().join("b.csv"), folder.path().join("c.csv"));
    fs::write(&a, "id\n1\n2\n").unwrap();
    let mut followed = Followed::open(&folder.path().join("*.csv"));
    assert!(!followed.source.has_caught_up());
    assert_eq!(followed.poll(), told(&[(0, "1\n2\n")]));
    assert!(followed.source.has_caught_up());
    assert_eq!(followed.source.progress(), Some((7, 7)));
    append(&a, "3\n4");
    // It is not time to look, then the last record is not whole, then it is.
    assert_eq!(followed.poll(), told(&[]));
    assert_eq!(followed.look(), told(&[(0, "3\n")]));
    append(&a, "0\n");
    fs::write(&b, "i").unwrap();
    assert_eq!(followed.look(), told(&[(0, "40\n")]));
    fs::write(&b, "id\n").unwrap();
    assert_eq!(followed.look(), told(&[]));
    append(&b, "7\n");
    fs::write(&c, "id\n8\n").unwrap();
    assert_eq!(followed.look(), told(&[(1, "7\n"), (2, "8\n")]));
    assert_eq!(followed.look(), told(&[]));
    assert!(followed.source.has_caught_up());
}

#[test]
fn a_file_that_is_written_anew_is_another_partition() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a.csv");
    fs::write(&a, "id\n1\n2\n").unwrap();
    let mut followed = Followed::open(&a);
    followed.poll();
    // Longer, but it begins otherwise; then with the same record, but shorter.
    fs::write(&a, "id\n5\n6\n7\n").unwrap();
    assert_eq!(followed.look(), told(&[(1, "5\n6\n7\n"), (0, "gone"), (0, "end")]));
    fs::write(&a, "id\n5\n").unwrap();
    assert_eq!(followed.look(), told(&[(2, "5\n"), (1, "gone"), (1, "end")]));
    let names: Vec<_> = followed.source.partitions().iter().map(ToString::to_string).collect();
    assert_eq!(names[2], format!("{}~1", names[1]));
    // Were the last one told to have ended, time would be at its end: it is told once there is another.
    fs::remove_file(&a).unwrap();
    assert_eq!(followed.look(), told(&[(2, "gone")]));
    fs::write(&a, "id\n9\n").unwrap();
    assert_eq!(followed.look(), told(&[(3, "9\n"), (2, "end")]));
    // It begins with the same record, and is not shorter.
    append(&a, "10\n11\n");
    assert_eq!(followed.look(), told(&[(3, "10\n11\n")]));
    fs::write(&a, "id\n9\n12\n11\n13\n").unwrap();
    assert_eq!(followed.look(), told(&[(4, "9\n12\n11\n13\n"), (3, "gone"), (3, "end")]));
    // The same bytes, in another file.
    let b = folder.path().join("b");
    fs::write(&b, "id\n9\n12\n11\n13\n14\n").unwrap();
    fs::rename(&b, &a).unwrap();
    assert_eq!(followed.look(), told(&[(4, "14\n")]));
}

#[test]
fn a_large_file_is_told_from_another_by_both_of_its_ends() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a.csv");
    // More than is compared at either end.
    let lines = |changed: usize| {
        let line = |number| format!("{:09}\n", if number == changed { 0 } else { number });
        (1..1_200_000).map(line).collect::<String>()
    };
    fs::write(&a, format!("id\n{}", lines(0))).unwrap();
    let mut followed = Followed::open(&a);
    let read = |told: &[(usize, String)], partition: usize| {
        let texts = told.iter().filter(|(of, text)| *of == partition && text.ends_with('\n'));
        texts.map(|(_, text)| text.len()).sum::<usize>()
    };
    assert_eq!(read(&followed.poll(), 0), 10 * 1_199_999);
    append(&a, "1200000\n");
    assert_eq!(followed.look(), told(&[(0, "1200000\n")]));
    for (partition, changed) in [(1, 2), (2, 1_199_000)] {
        fs::write(&a, format!("id\n{}", lines(changed))).unwrap();
        append(&a, "1200000\n1200001\n");
        let told = followed.look();
        assert_eq!(read(&told, partition), 10 * 1_199_999 + 16);
        assert_eq!(told[told.len() - 2], (partition - 1, "gone".to_owned()));
    }
}

#[test]
fn what_is_gone_after_a_restart_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a.csv", "b.csv", "c.csv"].map(|name| folder.path().join(name));
    fs::write(&a, "id\n1\n2\n").unwrap();
    fs::write(&b, "id\n3\n4\n").unwrap();
    let all = folder.path().join("*.csv");
    let mut followed = Followed::open(&all);
    followed.poll();
    // Anew with the same beginning, so that its name tells that it is not the first.
    fs::write(&b, "id\n3\n").unwrap();
    assert_eq!(followed.look(), told(&[(2, "3\n"), (1, "gone"), (1, "end")]));
    let ids = followed.source.partitions().to_vec();
    let before = [(ids[0].clone(), Some(Position(7))), (ids[2].clone(), Some(Position(5)))];
    append(&b, "5\n");
    fs::remove_file(&a).unwrap();
    fs::write(&c, "id\n6\n").unwrap();
    let mut again = Followed::open(&all);
    again.source.resume(&before).unwrap();
    assert_eq!(again.source.partitions()[0], ids[2], "it goes on under its name");
    assert_eq!(again.poll(), told(&[(0, "5\n"), (1, "6\n"), (2, "gone"), (2, "end")]));
    assert_eq!(again.source.partitions()[2], ids[0]);
    // Written anew meanwhile: what was read of it is gone, and it is read from its start.
    fs::write(&b, "id\n3\n4").unwrap();
    let mut anew = Followed::open(&b);
    anew.source.resume(&before[1..]).unwrap();
    assert_eq!(anew.poll(), told(&[]));
    fs::write(&b, "id\n3\n").unwrap();
    let mut anew = Followed::open(&b);
    anew.source.resume(&[(ids[2].clone(), Some(Position(7)))]).unwrap();
    assert_eq!(anew.poll(), told(&[(0, "3\n"), (1, "gone"), (1, "end")]));
    assert_eq!(anew.source.partitions()[1], ids[2]);
}

#[test]
fn files_are_looked_at_as_often_as_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a.csv");
    fs::write(&a, "id\n1\n").unwrap();
    let mut followed = Followed::open_with(&a, &[("incremental.interval", "1 minute")]);
    assert_eq!(followed.poll(), told(&[(0, "1\n")]));
    append(&a, "2\n");
    followed.clock.advance_millis(59_999);
    assert_eq!(followed.poll(), told(&[]));
    followed.clock.advance_millis(1);
    assert_eq!(followed.poll(), told(&[(0, "2\n")]));
}

#[test]
fn following_goes_on_at_a_position() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a.json");
    fs::write(&a, "{\"id\": 1}\n{\"id\": 2}\n").unwrap();
    let before = Followed::open(&a).source.partitions().to_vec();
    append(&a, "{\"id\": 3}\n");
    let mut followed = Followed::open(&a);
    assert_eq!(followed.source.partitions(), before);
    followed.source.seek(0, Position(20)).unwrap();
    assert_eq!(followed.poll(), told(&[(0, "{\"id\": 3}\n")]));
    let error = Followed::open(&a).source.seek(0, Position(31)).unwrap_err();
    assert!(error.message().contains("was read up to byte 31 before"), "{error}");
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let refused = |path: &str, more: &[(&str, &str)]| connector(Path::new(path), more).unwrap_err();
    assert!(refused("x.parquet", &[]).message().contains("with Parquet files is not available yet"));
    assert!(refused("x.csv", &[("compression", "gzip")]).message().contains("with compressed files"));
    assert!(refused("*.csv", &[("file.sequence", "name")]).message().contains("with `file.sequence`"));
}
