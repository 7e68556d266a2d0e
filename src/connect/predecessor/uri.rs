//! [`uri_entries`]: `FROM 'file:///data/x.csv?format=csv'` as the options of a source.

use crate::config::{Entry, Origin};
use crate::error::{Error, Result};

/// Turns a URI that stands where a source's name could into the options that declare the same source.
///
/// `kafka://host:9092,host2:9092/topic?group_id=g` and `file://relative/or//absolute.csv?format=csv&watch=true`; what
/// follows `?` are options.
///
/// # Errors
/// Invalid, when the text is not such a URI; other schemes are refused by [`translate`](super::translate).
pub fn uri_entries(uri: &str, origin: &Origin) -> Result<Vec<Entry>> {
    let malformed = |why: &str| {
        let error = Error::invalid(format!("`{uri}` is not a source: {why}"))
            .with_hint("write it like `file:///data/x.csv?format=csv` or `kafka://host:9092/topic`");
        match origin.span() {
            Some(span) => error.with_span(span),
            None => error,
        }
    };
    let (scheme, rest) = uri.split_once("://").ok_or_else(|| malformed("it has no `://`"))?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let entry = |key: &str, value: &str| Entry::new(key, value, origin.clone());
    let mut entries = vec![entry("connector", scheme)];
    match scheme {
        "kafka" => {
            let (brokers, topic) = place.split_once('/').ok_or_else(|| malformed("it names no topic"))?;
            if topic.is_empty() {
                return Err(malformed("it names no topic"));
            }
            entries.push(entry("topic", topic));
            if !brokers.is_empty() {
                entries.push(entry("bootstrap.servers", brokers));
            }
        }
        "file" if place.is_empty() => return Err(malformed("it names no file")),
        "file" => entries.push(entry("path", place)),
        _ => {}
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| malformed(&format!("`{pair}` is not `key=value`")))?;
        entries.push(entry(key, value));
    }
    Ok(entries)
}
