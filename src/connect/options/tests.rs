//! Strict reading: every kind of value, precedence, and the texts of what is refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{OptionDoc, Options};
use crate::config::{Entry, Origin};
use crate::error::ErrorKind;

const fn doc(key: &'static str) -> OptionDoc {
    OptionDoc { key, value: "text", default: "", what: "" }
}

const DOCS: &[OptionDoc] = &[
    doc("topic"),
    doc("group.id"),
    doc("linger"),
    doc("size"),
    doc("watch"),
    doc("start"),
    doc("sasl.password"),
    doc("kafka.*"),
];

fn with(key: &str, value: &str) -> Entry {
    Entry::new(key, value, Origin::With(10..20))
}

fn yaml(key: &str, value: &str) -> Entry {
    Entry::new(key, value, Origin::Yaml { path: Arc::from(Path::new("a.yaml")), line: 4 })
}

fn options(entries: Vec<Entry>) -> Options {
    Options::new(DOCS, entries).unwrap()
}

#[test]
fn options_are_taken_with_their_types() {
    let mut given = options(vec![
        with("topic", "bids"),
        with("linger", "1 minute 30 seconds"),
        with("size", "64KB"),
        with("watch", "On"),
        with("start", "LATEST-offset"),
        with("kafka.acks", "all"),
        yaml("kafka.linger.ms", "5"),
    ]);
    assert_eq!(given.take::<String>("topic").unwrap(), "bids");
    assert_eq!(given.take_duration("linger").unwrap(), Some(Duration::from_secs(90)));
    assert_eq!(given.take_bytes("size").unwrap(), Some(64_000));
    assert_eq!(given.take_bool("watch").unwrap(), Some(true));
    assert_eq!(given.take_choice("start", &[("earliest", 1), ("latest_offset", 2)]).unwrap(), Some(2));
    assert_eq!(given.take_or("group.id", "g".to_owned()).unwrap(), "g");
    let kafka = given.take_prefixed("kafka.").unwrap();
    assert_eq!(kafka, [("acks".to_owned(), "all".to_owned()), ("linger.ms".to_owned(), "5".to_owned())]);
    assert_eq!(given.origin("topic"), Some(&Origin::With(10..20)));
    given.finish("source `s`").unwrap();
}

#[test]
fn the_higher_origin_wins_and_equal_ones_must_agree() {
    for entries in
        [vec![with("topic", "a"), yaml("topic", "b")], vec![yaml("topic", "b"), with("topic", "a")]]
    {
        assert_eq!(options(entries).take::<String>("topic").unwrap(), "a");
    }
    options(vec![with("topic", "a"), with("topic", "a")]);
    assert_eq!(
        Options::new(DOCS, vec![with("topic", "a"), with("topic", "b")]).unwrap_err().to_string(),
        "option `topic` is given twice: `a` and `b`\nHint: keep one of them"
    );
    let names = ["topic", "topic.name"];
    let both = |one, other| options(vec![one, other]).take_any::<String>(&names);
    assert_eq!(both(with("topic.name", "a"), yaml("topic", "b")).unwrap().unwrap(), "a");
    assert_eq!(both(with("topic.name", "a"), with("topic", "a")).unwrap().unwrap(), "a");
    let error = both(with("topic.name", "a"), with("topic", "b")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "options `topic` = `b` and `topic.name` = `a` mean the same and contradict each other\n\
         Hint: keep one of them"
    );
    let secrets = [with("sasl.password", "hunter2"), with("sasl.password", "hunter3")];
    assert_eq!(
        Options::new(DOCS, secrets).unwrap_err().message(),
        "option `sasl.password` is given twice: `***` and `***`"
    );
}

#[test]
fn a_wrong_value_is_named_with_examples() {
    let error = options(vec![with("linger", "2 parsecs")]).take_duration("linger").unwrap_err();
    assert_eq!(
        error.to_string(),
        "option `linger` = `2 parsecs` is not a duration\n\
         Hint: write it like `500ms`, `30s`, `2.5s`, `10 seconds`, `5m`, `1h`, `1d`"
    );
    assert_eq!(error.span(), Some(10..20));
    let error = options(vec![yaml("size", "big").renamed("size", "big")]).take_bytes("size").unwrap_err();
    assert_eq!(
        error.to_string(),
        "option `size` = `big` is not a size in `a.yaml` line 4\nHint: write it like `64KB`, `64KiB`, `1 GB`, `4096`"
    );
    let error = options(vec![with("sasl.password", "hunter2")]).take::<u16>("sasl.password").unwrap_err();
    assert_eq!(error.message(), "option `sasl.password` = `***` is not a whole number from 0");
    let error = options(vec![with("start", "lateste")])
        .take_choice("start", &[("earliest", 1), ("latest", 2)])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "option `start` = `lateste` is not one of the choices\n\
         Hint: did you mean `latest`? accepted: `earliest`, `latest`"
    );
    let error = options(vec![]).take::<String>("topic").unwrap_err();
    assert_eq!(error.to_string(), "missing option `topic`\nHint: add `'topic' = '…'` to WITH (…)");
}

#[test]
fn what_is_left_is_refused_all_at_once() {
    let left = options(vec![with("size", "1"), yaml("tpoic", "a"), with("gruop.id", "b")]);
    let error = left.finish("source `s`").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown options `tpoic` in `a.yaml` line 4, `gruop.id` of source `s`; option `size` of source `s`: no use \
         beside the other options\n\
         Hint: did you mean `topic` for `tpoic`, `group.id` for `gruop.id`? accepted: `group.id`, `kafka.*`, \
         `linger`, `sasl.password`, `size`, `start`, `topic`, `watch`"
    );
}

#[test]
fn an_option_without_documentation_cannot_be_taken() {
    let error = options(vec![]).take_bool("secret.switch").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    let mut more = options(vec![with("delimiter", ";")]);
    more.accept(&[OptionDoc { key: "delimiter", value: "character", default: ",", what: "" }]);
    assert_eq!(more.take::<char>("delimiter").unwrap(), ';');
}
