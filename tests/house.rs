//! The rules of the house that no compiler checks: floors, file sizes, names.

#[cfg(test)]
mod house {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// The rooms from the ground up. A room may use those on floors below its own, and its neighbours' nothing.
    const FLOORS: &[&[&str]] = &[
        &["error"],
        &["observability"],
        &["config"],
        &["time"],
        &["flow"],
        &["format"],
        &["connect"],
        &["table"],
        &["aggregate", "over", "bounded", "join"],
        &["sql"],
        &["job"],
        &["session", "server"],
        &["bench"],
        &["cli"],
    ];

    /// Names that age or say nothing.
    const EMPTY_NAMES: &[&str] = &[
        "utils", "util", "helper", "helpers", "common", "misc", "manager", "types", "wrapper", "v2", "new",
        "simple", "enhanced", "unified", "smart",
    ];

    const MOST_LINES: usize = 500;
    const MOST_FRONT_DOOR_LINES: usize = 100;

    struct SourceFile {
        /// From the root of the project, with `/`.
        path: String,
        text: String,
    }

    impl SourceFile {
        fn is_test(&self) -> bool {
            self.path.starts_with("tests/")
                || self.path.ends_with("/tests.rs")
                || self.path.contains("/tests/")
        }

        /// The room that a file of `src` stands in.
        fn room(&self) -> Option<&str> {
            let inside = self.path.strip_prefix("src/")?;
            let first = inside.split('/').next()?;
            let room = first.strip_suffix(".rs").unwrap_or(first);
            (!["lib", "main"].contains(&room)).then_some(room)
        }
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    fn files(folders: &[&str]) -> Vec<SourceFile> {
        let mut found = vec![];
        folders.iter().for_each(|folder| walk(&root().join(folder), &mut found));
        found.sort();
        let read = |path: PathBuf| {
            let inside = path.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/");
            Some(SourceFile { path: inside, text: std::fs::read_to_string(path).ok()? })
        };
        found.into_iter().filter_map(read).collect()
    }

    fn rust_files(folders: &[&str]) -> Vec<SourceFile> {
        let mut files = files(folders);
        files.retain(|file| file.path.ends_with(".rs"));
        files
    }

    fn report(rule: &str, violations: &[String]) {
        assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
    }

    fn floor_of(room: &str) -> Option<usize> {
        FLOORS.iter().position(|floor| floor.contains(&room))
    }

    /// Code without comments and texts, line by line.
    fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The rooms that a line names: `crate::room`, and each of `crate::{a, b}`.
    fn rooms_named(line: &str) -> Vec<String> {
        let mut named = vec![];
        for rest in line.split("crate::").skip(1) {
            let list = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or(list).split(',').collect(),
                None => vec![rest],
            };
            for item in list {
                let word: String =
                    item.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                named.push(word);
            }
        }
        named
    }

    #[test]
    fn a_room_uses_only_rooms_below_it() {
        let mut violations = vec![];
        for file in rust_files(&["src"]).iter().filter(|file| !file.is_test()) {
            let Some(room) = file.room() else { continue };
            let Some(floor) = floor_of(room) else {
                violations.push(format!("{}: room `{room}` has no floor", file.path));
                continue;
            };
            for (number, line) in code_lines(&file.text) {
                for other in rooms_named(line) {
                    let upwards = floor_of(&other).is_some_and(|floor_of_other| floor_of_other >= floor);
                    if upwards && other != room {
                        violations.push(format!("{}:{number}: `{room}` uses `{other}`", file.path));
                    }
                }
            }
        }
        report("rooms use only rooms on floors below", &violations);
    }

    #[test]
    fn files_are_short_and_say_what_they_hold() {
        let mut violations = vec![];
        for file in rust_files(&["src", "tests", "benches"]) {
            let lines = file.text.lines().count();
            if !file.is_test() && lines > MOST_LINES {
                violations.push(format!("{}: {lines} lines, more than {MOST_LINES}", file.path));
            }
            if file.path.ends_with("/mod.rs") && !file.is_test() && lines > MOST_FRONT_DOOR_LINES {
                violations.push(format!("{}: a front door of {lines} lines", file.path));
            }
            if !file.text.starts_with("//! ") {
                violations.push(format!("{}: the first line does not say what the file holds", file.path));
            }
        }
        report("files", &violations);
    }

    #[test]
    fn front_doors_hold_no_code() {
        let mut violations = vec![];
        for file in
            rust_files(&["src"]).iter().filter(|file| file.path.ends_with("/mod.rs") && !file.is_test())
        {
            for (number, line) in code_lines(&file.text) {
                let code = [
                    "fn ",
                    "pub fn ",
                    "struct ",
                    "pub struct ",
                    "impl ",
                    "impl<",
                    "enum ",
                    "pub enum ",
                    "trait ",
                ];
                let is_code = code.iter().any(|start| line.starts_with(start));
                if is_code && file.path != "src/cli/mod.rs" {
                    violations.push(format!("{}:{number}: {line}", file.path));
                }
            }
        }
        report("front doors are docs, `mod` and `pub use`", &violations);
    }

    #[test]
    fn names_say_something() {
        let mut violations = vec![];
        let empty: BTreeSet<&str> = EMPTY_NAMES.iter().copied().collect();
        for file in files(&["src", "tests", "benches", "demo", "docs", "configs"]) {
            for part in file.path.split(['/', '.']) {
                for word in part.split('_') {
                    if empty.contains(word) {
                        violations.push(format!("{}: `{word}` says nothing", file.path));
                    }
                }
            }
        }
        for file in rust_files(&["src"]) {
            for (number, line) in code_lines(&file.text) {
                let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                let declared =
                    ["struct ", "enum ", "trait ", "mod "].iter().find_map(|word| line.strip_prefix(word));
                let Some(name) = declared else { continue };
                let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if words_of(&name).iter().any(|word| empty.contains(word.as_str())) {
                    violations.push(format!("{}:{number}: `{name}` says nothing", file.path));
                }
            }
        }
        report("names", &violations);
    }

    /// `NewKafkaManager` → new, kafka, manager.
    fn words_of(name: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for c in name.chars() {
            if c == '_' || c.is_uppercase() {
                words.push(String::new());
            }
            if c != '_' {
                words.last_mut().unwrap().extend(c.to_lowercase());
            }
        }
        words
    }

    #[test]
    fn no_file_names_a_place_on_somebodys_machine() {
        // Put together here, so that this file does not name them.
        let places = [
            ["/ho", "me/"].concat(),
            ["/Us", "ers/"].concat(),
            ["/wo", "rk/"].concat(),
            ["C:", "\\\\"].concat(),
        ];
        let mut violations = vec![];
        for file in files(&["src", "tests", "benches", "docs", "demo", "configs"]) {
            for (number, line) in file.text.lines().enumerate() {
                if let Some(place) = places.iter().find(|place| line.contains(place.as_str())) {
                    violations.push(format!("{}:{}: `{place}`", file.path, number + 1));
                }
            }
        }
        report("no machine's paths", &violations);
    }

    #[test]
    fn comments_hold_no_history_and_no_pictures() {
        let history = ["TODO", "FIXME", "XXX", "HACK", "no longer", "used to be", "legacy"];
        let mut violations = vec![];
        for file in rust_files(&["src", "tests", "benches"]) {
            if file.path == "tests/house.rs" {
                continue;
            }
            for (number, line) in file.text.lines().enumerate() {
                if let Some((_, comment)) = line.split_once("// ")
                    && let Some(word) = history.iter().find(|word| comment.contains(**word))
                    && ["TODO", "FIXME", "XXX", "HACK"].contains(word)
                {
                    violations.push(format!("{}:{}: `{word}`", file.path, number + 1));
                }
                let is_picture = |c: char| {
                    ('\u{1F300}'..='\u{1FAFF}').contains(&c) || ('\u{2600}'..='\u{27BF}').contains(&c)
                };
                if line.chars().any(is_picture) && !file.is_test() {
                    violations.push(format!("{}:{}: a picture", file.path, number + 1));
                }
            }
        }
        report("comments", &violations);
    }

    #[test]
    fn every_test_runs() {
        let mut violations = vec![];
        for file in rust_files(&["src", "tests"]).iter().filter(|file| file.path != "tests/house.rs") {
            for (number, line) in code_lines(&file.text) {
                if line.trim_start().starts_with("#[ignore") {
                    violations.push(format!("{}:{number}: an ignored test", file.path));
                }
            }
        }
        report("no test is ignored", &violations);
    }

    #[test]
    fn the_architecture_names_every_room() {
        let path = root().join("ARCHITECTURE.md");
        let text = std::fs::read_to_string(&path).expect("ARCHITECTURE.md is there");
        let rooms: BTreeSet<String> =
            rust_files(&["src"]).iter().filter_map(|file| file.room().map(str::to_owned)).collect();
        let missing: Vec<String> =
            rooms.into_iter().filter(|room| !text.contains(&format!("`{room}`"))).collect();
        report("rooms that ARCHITECTURE.md does not name, in backticks", &missing);
        let lines = text.lines().count();
        assert!(lines <= 300, "ARCHITECTURE.md has {lines} lines, more than 300");
    }
}
