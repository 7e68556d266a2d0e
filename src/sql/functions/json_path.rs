//! [`JsonPath`]: where in a JSON document a value is, such as `$.a.b[0]`, `a.b` or `$['a b']`.

use sonic_rs::PointerNode;

use crate::error::{Error, Result};

/// The keys and indexes from the root of a document to a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath(pub(super) Vec<PointerNode>);

impl JsonPath {
    /// Reads a path; a leading `$` may be left out, and `lax` before it is allowed as in standard SQL.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut rest = text.trim();
        for mode in ["lax ", "strict "] {
            rest = rest.strip_prefix(mode).unwrap_or(rest).trim_start();
        }
        let mut nodes = vec![];
        rest = match rest.strip_prefix('$') {
            Some(after) => after,
            None if rest.starts_with(['.', '[']) || rest.is_empty() => rest,
            None => take_name(rest, &mut nodes),
        };
        while !rest.is_empty() {
            rest = if let Some(after) = rest.strip_prefix('.') {
                take_member(after, &mut nodes)
            } else if let Some(after) = rest.strip_prefix('[') {
                take_bracket(after, &mut nodes)
            } else {
                None
            }
            .ok_or_else(|| {
                Error::invalid(format!("'{text}' is not a JSON path"))
                    .with_hint("write a path such as '$.a.b[0]' or '$[''a b'']'")
            })?;
        }
        Ok(Self(nodes))
    }
}

fn take_name<'a>(text: &'a str, nodes: &mut Vec<PointerNode>) -> &'a str {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    nodes.push(PointerNode::Key(name.to_owned().into()));
    rest
}

fn take_member<'a>(text: &'a str, nodes: &mut Vec<PointerNode>) -> Option<&'a str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"')?;
        nodes.push(PointerNode::Key(name.to_owned().into()));
        return Some(rest);
    }
    if text.is_empty() || text.starts_with(['.', '[']) {
        return None;
    }
    Some(take_name(text, nodes))
}

fn take_bracket<'a>(text: &'a str, nodes: &mut Vec<PointerNode>) -> Option<&'a str> {
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            nodes.push(PointerNode::Key(name.to_owned().into()));
            return rest.strip_prefix(']');
        }
    }
    let (index, rest) = text.split_once(']')?;
    nodes.push(PointerNode::Index(index.trim().parse().ok()?));
    Some(rest)
}
