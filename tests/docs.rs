//! Documentation that cannot drift: the reference pages are the code's own, and every example of the prose runs.
//!
//! `VELO_BLESS=1 cargo test --test docs` writes the pages of `docs/reference` anew.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own functions fail the test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use velostream::config::{Entry, Origin};
use velostream::connect::{CONNECTORS, OptionDoc, TIME_DOCS};
use velostream::job::{JOB_OPTION_DOCS, JobOptions, METRICS};
use velostream::observability::MetricKind;
use velostream::sql::functions::{EpochClock, SessionProfile, function_catalog, session_state};

#[test]
fn the_option_reference_is_what_the_code_says() {
    let mut page = String::from(
        "# Options\n\nThis page is made from the code by `tests/docs.rs`; what the options are for stands in \
         [connectors](../connectors.md) and [time](../time.md).\n",
    );
    for connector in CONNECTORS {
        write!(page, "\n## Connector `{}` ({})\n\n", connector.name, connector.directions).unwrap();
        let options: Vec<&OptionDoc> = connector.options.iter().copied().flatten().collect();
        if options.is_empty() {
            page.push_str("No options.\n");
        } else {
            page.push_str(&option_table(&options));
        }
    }
    page.push_str("\n## Every source: time and bad records\n\n");
    page.push_str(&option_table(&TIME_DOCS.iter().collect::<Vec<_>>()));
    page.push_str("\n## Jobs\n\n");
    page.push_str(&option_table(&JOB_OPTION_DOCS.iter().collect::<Vec<_>>()));
    let refused: Vec<String> = JOB_OPTION_DOCS.iter().flat_map(refused).collect();
    write!(page, "\nNot available yet, and refused by name: {}.\n", refused.join(", ")).unwrap();
    check_page("docs/reference/options.md", &page);
}

#[test]
fn the_function_reference_is_what_the_code_says() {
    let state = session_state(SessionProfile::Stream, &EpochClock::default());
    let mut page = String::from(
        "# Functions\n\nThis page is made from the code by `tests/docs.rs`. Every example is a test in \
         `tests/slt/functions`; the result of several rows or columns is shown with spaces between them.\n\n\
         | function | kind | what it does | example | result |\n|---|---|---|---|---|\n",
    );
    for entry in function_catalog(&state).unwrap() {
        let result = entry.result.lines().collect::<Vec<_>>().join(", ");
        writeln!(
            page,
            "| `{}` | {} | {} | `{}` | `{}` |",
            entry.name,
            entry.kind.as_str(),
            cell(&entry.help),
            cell(&entry.example),
            cell(&result)
        )
        .unwrap();
    }
    check_page("docs/reference/functions.md", &page);
}

#[test]
fn the_metric_reference_is_what_the_code_says() {
    let mut page = String::from(
        "# Metrics\n\nThis page is made from the code by `tests/docs.rs`; how they are served stands in \
         [what a run says about itself](../metrics.md).\n\n\
         | metric | kind | labels | what it says |\n|---|---|---|---|\n",
    );
    let mut names = vec![];
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, help) = (metric.kind.as_str(), cell(metric.help));
        writeln!(page, "| `{}` | {kind} | {} | {help} |", metric.name, labels.join(", ")).unwrap();
        let counts = metric.name.ends_with("_total");
        assert_eq!(counts, metric.kind == MetricKind::Counter, "{}", metric.name);
        assert!(metric.name.starts_with("velo_") && !names.contains(&metric.name), "{}", metric.name);
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\\', '\n']), "{}", metric.help);
        names.push(metric.name);
    }
    check_page("docs/reference/metrics.md", &page);
}

#[test]
fn every_console_block_runs() {
    for page in pages() {
        let place = demo();
        for block in blocks(&page, "console") {
            for (command, expected) in commands(&block) {
                let output = run(&command, place.path());
                let said = text(&output);
                assert!(output.status.success(), "{}: `{command}` failed\n{said}", page.display());
                assert_follows(&expected, &said, &format!("{}: `{command}`", page.display()));
            }
        }
    }
}

#[test]
fn every_sql_block_is_valid() {
    for page in pages() {
        let place = demo();
        for block in blocks(&page, "sql") {
            let file = place.path().join("block.sql");
            fs::write(&file, &block).unwrap();
            let output = run("velo validate --connect block.sql", place.path());
            assert!(output.status.success(), "{}:\n{block}\n{}", page.display(), text(&output));
        }
    }
}

#[test]
fn the_quickstart_gives_the_expected_bars() {
    let place = demo();
    let output = run("velo run demo/quickstart/trades.sql", place.path());
    assert!(output.status.success(), "{}", text(&output));
    let bars = |path: &str| {
        let text = fs::read_to_string(place.path().join("demo/quickstart").join(path)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // The bars of one minute come in no particular order.
        lines.sort();
        lines
    };
    assert_eq!(bars("out/bars.csv"), bars("expected.csv"));
}

/// Returns the options as a table of Markdown.
fn option_table(options: &[&OptionDoc]) -> String {
    let mut table = String::from("| option | value | default | what it says |\n|---|---|---|---|\n");
    for option in options {
        let default = match option.default {
            "" => String::new(),
            "\"" => "`\"`".to_owned(),
            default => format!("`{default}`"),
        };
        let (value, what) = (cell(option.value), cell(option.what));
        writeln!(table, "| `{}` | {value} | {default} | {what} |", option.key).unwrap();
    }
    table
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Returns the option, or those of its values, that a job refuses as not available yet.
fn refused(option: &OptionDoc) -> Vec<String> {
    let refuses = |value: &str| {
        let read = JobOptions::read(vec![Entry::new(option.key, value, Origin::CommandLine)]);
        read.is_err_and(|error| error.message().contains("not available yet"))
    };
    if !option.value.contains('|') {
        let sample = match option.value {
            "duration" => "10s",
            "size" => "1MiB",
            "time zone" => "Europe/London",
            _ => "1",
        };
        return match (refuses(sample), option.default) {
            (false, _) => vec![],
            (true, default) if !default.is_empty() && !refuses(default) => {
                vec![format!("`{}` other than `{default}`", option.key)]
            }
            (true, _) => vec![format!("`{}`", option.key)],
        };
    }
    let choices = option.value.split('|').map(str::trim).filter(|value| refuses(value));
    choices.map(|value| format!("`{}` = `{value}`", option.key)).collect()
}

/// Compares a page with what it should be, or writes it.
fn check_page(path: &str, page: &str) {
    let file = root().join(path);
    if blesses() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, page).unwrap();
        return;
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page,
        "{path} is not up to date: run `VELO_BLESS=1 cargo test --test docs` and look at the difference"
    );
}

#[expect(clippy::disallowed_methods, reason = "a test asks whether it should write what it expects")]
fn blesses() -> bool {
    std::env::var("VELO_BLESS").is_ok_and(|value| !value.is_empty())
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the pages whose examples are run.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for directory in ["docs", "docs/reference"] {
        let found = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(found.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    pages.sort();
    pages
}

/// Returns the blocks of a page that are marked with `language`.
fn blocks(page: &Path, language: &str) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut blocks = vec![];
    let mut block: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(name)) => block = Some((name == language, String::new())),
            (Some(_), Some(_)) => {
                blocks.extend(block.take().filter(|(wanted, _)| *wanted).map(|(_, text)| text))
            }
            (Some((_, text)), None) => writeln!(text, "{line}").unwrap(),
            (None, None) => {}
        }
    }
    blocks
}

/// Splits a console block into commands (`$ …`, going on after a `\`) and the lines shown after each.
fn commands(block: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = vec![];
    let mut open = false;
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), vec![]));
            open = command.ends_with('\\');
        } else if let Some((command, shown)) = commands.last_mut() {
            if open {
                write!(command, "\n{line}").unwrap();
                open = line.ends_with('\\');
            } else {
                shown.push(line.to_owned());
            }
        }
    }
    commands
}

/// Checks that the shown lines are those that were said, one after the other; `…` stands for anything, on a line of its
/// own for any lines.
fn assert_follows(shown: &[String], said: &str, what: &str) {
    let mut said_lines = said.lines();
    let mut skips = false;
    for line in shown {
        if line == "…" {
            skips = true;
            continue;
        }
        let found = if skips {
            said_lines.find(|said| fits(line, said))
        } else {
            said_lines.next().filter(|said| fits(line, said))
        };
        assert!(found.is_some(), "{what}: `{line}` is not what it says:\n{said}");
        skips = false;
    }
}

fn fits(shown: &str, said: &str) -> bool {
    let Some((first, rest)) = shown.split_once('…') else { return shown == said };
    let (middle, last) = rest.rsplit_once('…').unwrap_or(("", rest));
    let said = said.strip_prefix(first).and_then(|said| said.strip_suffix(last));
    said.is_some_and(|said| said.contains(middle))
}

/// Returns a directory with a copy of `demo`, in which examples may write.
fn demo() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    copy(&root().join("demo"), &place.path().join("demo"));
    place
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if !entry.file_type().unwrap().is_dir() {
            fs::copy(entry.path(), target).unwrap();
        } else if entry.file_name() != "out" {
            copy(&entry.path(), &target);
        }
    }
}

/// Runs a line of shell in which `velo`, and `cargo run --`, are the binary under test.
fn run(command: &str, directory: &Path) -> Output {
    let functions = "velo() { \"$VELO\" \"$@\"; }\ncargo() { [ \"$1 $2\" = \"run --\" ] || exit 99; shift 2; velo \"$@\"; }\n";
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{functions}{{ {command}\n}} 2>&1")]).current_dir(directory);
    shell.env("VELO", env!("CARGO_BIN_EXE_velo")).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
