//! Damaged input and full disks: each is an error with its place and the right exit code, nothing is lost silently.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::support::{Place, Ran};

/// The error for what the producer has to mend.
const DATA: i32 = 3;
/// The error for a limit: here of the disk.
const EXHAUSTED: i32 = 5;

fn declare(path: &str, format: &str, policy: &str) -> String {
    format!(
        "CREATE STREAM t (id BIGINT, s VARCHAR) WITH ('connector' = 'file', 'path' = '{path}', \
         'format' = '{format}'{policy}); "
    )
}

fn rows(count: usize) -> String {
    (0..count).map(|id| format!("{{\"id\":{id},\"s\":\"v{id}\"}}\n")).collect()
}

fn select(place: &Place, path: &str, policy: &str) -> Ran {
    let format = path.rsplit('.').find(|part| ["json", "csv", "parquet"].contains(part)).unwrap();
    place.velo(&["run", "--output", "csv", "-e", &(declare(path, format, policy) + "SELECT id, s FROM t")])
}

#[test]
fn a_bad_record_is_named_by_line_and_byte_from_files_and_pipes() {
    let place = Place::new(&[]);
    let cases: [(&str, &[u8], &str, &str); 4] = [
        (
            "utf8.json",
            b"{\"id\":1,\"s\":\"a\"}\n{\"id\":2,\"s\":\"\xff\"}\n{\"id\":3}\n",
            "line 2 byte 30",
            "UTF-8",
        ),
        ("utf8.csv", b"id,s\n1,a\n2,\xff\n3,c\n", "line 3 byte 11", "UTF-8"),
        ("nul.json", b"{\"id\":1}\n\0\0\n{\"id\":3}\n", "line 2 byte 9", "byte 0x00"),
        ("open.csv", b"id,s\n1,a\n2,\"b\n3,c\n", "line 3 byte 11", "quote"),
    ];
    for (name, bytes, at, what) in cases {
        std::fs::write(place.path(name), bytes).unwrap();
        let ran = select(&place, name, "");
        assert_eq!(ran.code, DATA, "{name}: {}", ran.stderr);
        ran.says(&[&format!("`t` {name} {at}"), what, "on.error"]);
        let format = name.split('.').nth(1).unwrap();
        let sql = format!(
            "CREATE STREAM t (id BIGINT, s VARCHAR) WITH ('connector' = 'stdin', 'format' = '{format}'); SELECT id FROM t"
        );
        let piped = place.velo_with_input(&["run", "-e", &sql], bytes);
        assert_eq!(piped.code, DATA, "{name}: {}", piped.stderr);
        piped.says(&[&format!("`t` stdin {at}"), what]);
        let skipped = select(&place, name, ", 'on.error' = 'skip'");
        assert_eq!(skipped.code, 0, "{name}: {}", skipped.stderr);
        skipped.says(&["1 rejected", &format!("rejected `t` {name} {at}")]);
    }
}

#[test]
fn line_ends_of_windows_and_byte_order_marks_are_no_part_of_the_text() {
    let place = Place::new(&[
        ("a.csv", "\u{feff}id,s\r\n1,a\r\n2,\"x\r\ny\"\r\n"),
        ("a.json", "\u{feff}{\"id\":1,\"s\":\"a\"}\r\n{\"id\":2,\"s\":\"x\\r\\ny\"}\r\n"),
    ]);
    for name in ["a.csv", "a.json"] {
        let ran = select(&place, name, "");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, "id,s\n1,a\n2,\"x\r\ny\"\n"),
            "{name}: {}",
            ran.stderr
        );
    }
}

#[test]
fn files_that_are_cut_off_fail_whatever_the_policy() {
    let place = Place::new(&[("ok.json", &rows(20_000))]);
    let written = declare("whole.parquet", "parquet", "")
        + "INSERT INTO t SELECT id, s FROM 'ok.json';
           CREATE STREAM g (id BIGINT, s VARCHAR) WITH ('connector' = 'file', 'path' = 'whole.json.gz', 'format' = 'json');
           CREATE STREAM z (id BIGINT, s VARCHAR) WITH ('connector' = 'file', 'path' = 'whole.json.zst', 'format' = 'json');
           INSERT INTO g SELECT id, s FROM 'ok.json'; INSERT INTO z SELECT id, s FROM 'ok.json'";
    assert_eq!(place.velo(&["run", "-e", &written]).code, 0);
    let damage = |from: &str, to: &str, change: fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(place.path(from)).unwrap();
        change(&mut bytes);
        std::fs::write(place.path(to), bytes).unwrap();
    };
    let half = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    damage("whole.json.gz", "cut.json.gz", half);
    damage("whole.json.zst", "cut.json.zst", half);
    damage("whole.parquet", "cut.parquet", half);
    damage("whole.parquet", "tiny.parquet", |bytes| bytes.truncate(3));
    damage("whole.parquet", "bent.parquet", |bytes| {
        bytes[4..400].fill(0xa5);
    });
    std::fs::write(place.path("text.json.gz"), "no gzip at all\n").unwrap();
    for (name, what) in [
        ("cut.json.gz", "`cut.json.gz` byte "),
        ("cut.json.zst", "`cut.json.zst` byte "),
        ("cut.parquet", "is not a whole Parquet file"),
        ("tiny.parquet", "is not a whole Parquet file"),
        ("bent.parquet", "`bent.parquet`"),
        ("text.json.gz", "is damaged or not compressed as its name says"),
    ] {
        for policy in ["", ", 'on.error' = 'skip'"] {
            for mode in ["stream", "batch"] {
                let format = name.split('.').nth(1).unwrap();
                let sql = declare(name, format, policy) + "SELECT count(s) AS n, sum(id) AS total FROM t";
                let ran = place.velo(&["run", "-e", &sql, "--mode", mode]);
                assert_eq!(ran.code, DATA, "{name} {policy} {mode}: {}", ran.stderr);
                ran.says(&[what]);
                assert_eq!(ran.stdout, "", "{name} {policy} {mode}: a total of what is left is no answer");
            }
        }
    }
}

#[test]
fn files_that_are_not_there_or_no_files_are_named() {
    let place = Place::new(&[("ok.json", &rows(3))]);
    std::fs::create_dir(place.path("folder.json")).unwrap();
    for (name, what) in [
        ("missing.json", "no file matches `missing.json`"),
        ("folder.json", "no file matches `folder.json/*`"),
        ("folder.json/x.json", "no file matches `folder.json/x.json`"),
    ] {
        let ran = select(&place, name, "");
        assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
        ran.says(&[what]);
    }
    for (name, what) in [("folder.json", "Is a directory"), ("ok.json/x", "Not a directory")] {
        let sql = declare(name, "json", "") + "INSERT INTO t SELECT id, s FROM 'ok.json'";
        let ran = place.velo(&["run", "-e", &sql]);
        assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
        ran.says(&["cannot write file", what]);
    }
    let ran = place.velo(&["run", "missing.sql"]);
    assert_eq!(ran.code, 2);
    ran.says(&["cannot read `missing.sql`", "No such file"]);
    let directory = std::fs::File::open(place.path("folder.json")).unwrap();
    let mut command = place.command(&["run", "-e", "SELECT id FROM stdin"]);
    let ran = Ran::of(command.stdin(Stdio::from(directory)).output().unwrap());
    ran.says(&["cannot read standard input"]);
}

#[test]
fn a_file_that_vanishes_or_shrinks_while_it_is_read_fails_the_job() {
    let text: String =
        (0..60_000).map(|id| format!("{{\"id\":{id},\"s\":\"{}\"}}\n", "y".repeat(2_000))).collect();
    for (change, what) in [("shrink", "became shorter while it was read"), ("vanish", "cannot read file")] {
        let place = Place::new(&[("a.json", &text), ("b.json", &rows(3))]);
        let sql = declare("*.json", "json", ", 'on.error' = 'skip', 'file.sequence' = 'name'")
            + "SELECT id, s FROM t";
        let mut child = place.command(&["run", "-e", &sql]).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // The pipe is full: the reader waits in the middle of the first file.
        if change == "shrink" {
            let file = std::fs::File::options().write(true).open(place.path("a.json")).unwrap();
            file.set_len(1_000_000).unwrap();
        } else {
            std::fs::remove_file(place.path("b.json")).unwrap();
        }
        let mut rest = vec![];
        output.read_to_end(&mut rest).unwrap();
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert!([2, DATA].contains(&ran.code), "{change}: {}", ran.stderr);
        ran.says(&[what]);
    }
}

#[test]
fn a_long_record_is_read_and_one_without_an_end_is_refused() {
    let place = Place::new(&[]);
    let long = "x".repeat(20_000_000);
    let text = format!("{{\"id\":1,\"s\":\"a\"}}\n{{\"id\":2,\"s\":\"{long}\"}}\n{{\"id\":3,\"s\":\"c\"}}\n");
    std::fs::write(place.path("long.json"), text).unwrap();
    let count = |name: &str| {
        place.velo(&[
            "run",
            "--output",
            "csv",
            "-e",
            &(declare(name, "json", "") + "SELECT id, length(s) AS n FROM t"),
        ])
    };
    assert_eq!(count("long.json").stdout, "id,n\n1,1\n2,20000000\n3,1\n");
    let endless = std::fs::File::create(place.path("endless.json")).unwrap();
    (&endless).write_all(b"{\"id\":1,\"s\":\"a\"}\n").unwrap();
    // A hole takes no room on the disk.
    endless.set_len(300 << 20).unwrap();
    let ran = count("endless.json");
    assert_eq!(ran.code, DATA, "{}", ran.stderr);
    ran.says(&["file `endless.json` byte 17: a record begins here that has no end within 256 MiB"]);
}

#[test]
fn a_full_disk_fails_the_job_and_says_so() {
    let place = Place::new(&[("ok.json", &rows(20_000))]);
    for mode in ["stream", "batch"] {
        let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = place.command(&["run", "-e", "SELECT id, s FROM 'ok.json'", "--mode", mode]);
        let ran = Ran::of(command.stdout(Stdio::from(full())).output().unwrap());
        assert_eq!(ran.code, EXHAUSTED, "{}", ran.stderr);
        ran.says(&["cannot write standard output: No space left on device"]);
        let sql = declare("/dev/full", "csv", "") + "INSERT INTO t SELECT id, s FROM 'ok.json'";
        let ran = place.velo(&["run", "-e", &sql, "--mode", mode]);
        assert_eq!(ran.code, EXHAUSTED, "{}", ran.stderr);
        ran.says(&["cannot write file `/dev/full`: No space left on device", "free space"]);
    }
    let ran = place.velo(&["run", "-e", "SELECT 1 AS one", "--report", "/dev/full"]);
    assert_eq!(ran.code, EXHAUSTED, "{}", ran.stderr);
}
