//! What is made from what inside an application: who waits for whom, and circles.

use std::collections::BTreeSet;
use std::ops::Range;

/// A statement that makes rows for other statements.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    /// The stream or table that gets the rows.
    pub(super) made: String,
    /// What it reads.
    pub(super) reads: BTreeSet<String>,
    /// The bytes of the statement.
    pub(super) span: Range<usize>,
}

/// Returns everything that `name` is made from, over any number of statements.
pub(super) fn made_from<'a>(makers: &'a [Maker], name: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![name];
    while let Some(next) = open.pop() {
        for maker in makers.iter().filter(|maker| maker.made == next) {
            open.extend(maker.reads.iter().map(String::as_str).filter(|read| found.insert(*read)));
        }
    }
    found
}

/// Returns statements that go round in a circle, each making what the one before it reads, if there are such.
pub(super) fn circle(makers: &[Maker]) -> Option<Vec<&Maker>> {
    makers.iter().find_map(|first| {
        let mut path = vec![first];
        let mut seen = BTreeSet::from([first.span.start]);
        goes_round(makers, &mut path, &mut seen).then_some(path)
    })
}

/// Goes on from the last statement of `path` to one that makes what it reads, until the first is met again.
fn goes_round<'a>(makers: &'a [Maker], path: &mut Vec<&'a Maker>, seen: &mut BTreeSet<usize>) -> bool {
    let (Some(&first), Some(&last)) = (path.first(), path.last()) else { return false };
    if last.reads.contains(&first.made) {
        return true;
    }
    for maker in makers.iter().filter(|maker| last.reads.contains(&maker.made)) {
        if seen.insert(maker.span.start) {
            path.push(maker);
            if goes_round(makers, path, seen) {
                return true;
            }
            path.pop();
        }
    }
    false
}

/// Returns a circle in words: `` `a` → `b` → `a` (`a` is made in line 3, `b` in line 5)``.
pub(super) fn circle_text(circle: &[&Maker], text: &str) -> String {
    let first = circle.first().map(|maker| maker.made.as_str());
    let names = circle.iter().map(|maker| maker.made.as_str()).chain(first);
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let line = |maker: &Maker| {
        let before = text.get(..maker.span.start).unwrap_or_default();
        format!("`{}` in line {}", maker.made, before.matches('\n').count() + 1)
    };
    let lines: Vec<String> = circle.iter().map(|maker| line(maker)).collect();
    format!("{} ({})", names.join(" → "), lines.join(", "))
}
