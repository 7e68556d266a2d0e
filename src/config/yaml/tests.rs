//! YAML files as the predecessor's users wrote them, and their faults.

use std::fs;
use std::path::Path;

use super::{YamlOptions, load_yaml_options, with_config_file};
use crate::config::tests::Fixed;
use crate::config::{Entry, Origin};
use crate::error::Result;

/// Writes the files, loads the first, and returns its options as `key=value` lines.
fn load(directory: &Path, files: &[(&str, &str)]) -> Result<YamlOptions> {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    load_yaml_options(&directory.join(files[0].0), &Fixed::new([("HOST", "k1")]))
}

fn lines(options: &YamlOptions) -> String {
    options.entries.iter().map(|entry| format!("{}={}\n", entry.key, entry.value)).collect()
}

/// Returns the error without the directory of the test.
fn fault(files: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let error = load(directory.path(), files).unwrap_err().report();
    error.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn nested_options_become_dotted_keys_and_keep_their_text() {
    let directory = tempfile::tempdir().unwrap();
    let text = "\
datasource:
  type: kafka
  consumer_config:
    bootstrap.servers: \"${HOST}:9092,${OTHER:k2}:9092\"
    group_id: ${GROUP:-g1}
    session.timeout.ms: 30_000
    enable.auto.commit: false
    client.id: 0123
topic:
  name: trades
  version: 1.10
brokers: [a:1, b:2]
empty:
quoted: 'true'
";
    let options = load(directory.path(), &[("a.yaml", text)]).unwrap();
    assert_eq!(
        lines(&options),
        "type=kafka\nconsumer_config.bootstrap.servers=k1:9092,k2:9092\nconsumer_config.group_id=g1\n\
         consumer_config.session.timeout.ms=30_000\nconsumer_config.enable.auto.commit=false\n\
         consumer_config.client.id=0123\ntopic.name=trades\ntopic.version=1.10\nbrokers=a:1,b:2\nempty=\nquoted=true\n"
    );
    assert!(matches!(&options.entries[1].origin, Origin::Yaml { line: 4, path } if path.ends_with("a.yaml")));
}

#[test]
fn a_reference_table_brings_its_columns() {
    let directory = tempfile::tempdir().unwrap();
    let text = "\
table: {name: users, primary_key: user_id}
data_source:
  path: data/users.csv
schema:
  fields:
    - {name: user_id, type: BIGINT, nullable: false}
    - name: tier
      type: DECIMAL(18,4)
      description: what they pay
";
    let options = load(directory.path(), &[("a.yaml", text)]).unwrap();
    assert_eq!(lines(&options), "table.name=users\ntable.primary_key=user_id\npath=data/users.csv\n");
    let fields: Vec<_> =
        options.fields.iter().map(|f| (f.name.as_str(), f.data_type.as_str(), f.nullable)).collect();
    assert_eq!(fields, [("user_id", "BIGINT", Some(false)), ("tier", "DECIMAL(18,4)", None)]);
}

#[test]
fn the_extending_file_wins_over_several_levels() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        ("sub/a.yaml", "extends: ../b.yaml\ntopic: {name: mine}\n"),
        ("b.yaml", "extends: base/c.yaml\nformat: json\nextra: b\n"),
        ("base/c.yaml", "topic.name: base\nformat: csv\nacks: all\n"),
    ];
    let options = load(directory.path(), &files).unwrap();
    assert_eq!(lines(&options), "acks=all\nformat=json\nextra=b\ntopic.name=mine\n");
}

#[test]
fn a_statement_names_its_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), "topic: t\n").unwrap();
    let with = |key: &str, value: &str| Entry::new(key, value, Origin::With(7..9));
    let given = vec![with("type", "kafka_source"), with("config_file", "a.yaml")];
    let options = with_config_file(given, directory.path(), &Fixed::new([])).unwrap();
    assert_eq!(lines(&options), "topic=t\ntype=kafka_source\n");

    let missing =
        with_config_file(vec![with("config_file", "b.yaml")], Path::new(""), &Fixed::new([])).unwrap_err();
    assert_eq!(missing.span(), Some(7..9));
    assert_eq!(
        missing.to_string(),
        "there is no file `b.yaml`\nHint: it was looked for in `.` and in the working directory"
    );
}

#[test]
fn faults_name_file_line_and_column() {
    for (files, expected) in [
        (
            &[("a.yaml", "extends: b.yaml\n"), ("b.yaml", "extends: a.yaml\n")][..],
            "`extends` goes in a circle: `a.yaml` → `b.yaml` → `a.yaml`\nHint: remove one `extends`",
        ),
        (
            &[("a.yaml", "x: 1\nextends: gone.yaml\n")],
            "`a.yaml` line 2: there is no file `gone.yaml`\n\
             Hint: it was looked for in `DIRECTORY` and in the working directory",
        ),
        (
            &[("a.yaml", "topic: a\nx: 1\ntopic: b\n")],
            "`a.yaml` line 3 column 1: `topic` is given twice, first in line 1",
        ),
        (&[("a.yaml", "a: [b\nc: d\n")], "`a.yaml` line 2 column 2: illegal placement of ':' indicator"),
        (
            &[("a.yaml", "topic: {name: a}\ntopic.name: b\n")],
            "`a.yaml` line 2 column 13: `topic.name` is given twice, first in `a.yaml` line 1",
        ),
        (
            &[("a.yaml", "topic: ${NOPE}\n")],
            "`a.yaml` line 1 column 8: `topic`: environment variable `NOPE` is not set\n\
             Hint: set it, or give a default: `${NOPE:-default}`",
        ),
        (
            &[("a.yaml", "- a\n- b\n")],
            "`a.yaml` line 1 column 1: options are `key: value` lines, not a bare value or list",
        ),
        (
            &[("a.yaml", "list:\n  - {a: 1}\n")],
            "`a.yaml` line 2 column 5: the items of `list` must be single values",
        ),
        (
            &[("a.yaml", "schema:\n  fields:\n    - {name: a}\n")],
            "`a.yaml` line 3 column 7: a column needs `name` and `type`",
        ),
    ] {
        let fault = fault(files);
        let fault = match fault.split_once("looked for in `") {
            Some((before, after)) => {
                format!(
                    "{before}looked for in `DIRECTORY{}",
                    after.split_once('`').map(|(_, end)| format!("`{end}")).unwrap()
                )
            }
            None => fault,
        };
        assert_eq!(fault, expected);
    }
}
