//! [`FieldOptions`]: the `fields.<column>.…` options of one column, read strictly into a [`Rule`].

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use super::rule::{Choice, Draw, Rule, Text};
use super::value_text::{self, list, number, real, unit_nanos, whole, whole_bounds};
use super::walk::Walk;
use crate::error::{Error, Result};

/// All that may follow `fields.<column>.`.
pub(super) const KEYS: [&str; 12] = [
    "kind",
    "min",
    "max",
    "start",
    "step",
    "value",
    "values",
    "weights",
    "volatility",
    "drift",
    "length",
    "null_ratio",
];
const KINDS: [&str; 8] =
    ["sequence", "range", "enum", "random_walk", "constant", "uuid", "text", "timestamp"];
/// Where a column of numbers ends without options.
const DEFAULT_MAX: i128 = 1_000;
const DEFAULT_LETTERS: usize = 8;

/// The options of one column; each is taken once, and what is left over is an error.
#[derive(Debug, Default)]
pub(super) struct FieldOptions {
    given: BTreeMap<String, String>,
}

impl FieldOptions {
    pub(super) fn insert(&mut self, key: &str, value: String) {
        self.given.insert(key.to_owned(), value);
    }

    /// Returns the chance of NULL.
    pub(super) fn null_ratio(&mut self, is_nullable: bool) -> Result<f64> {
        let Some(text) = self.given.remove("null_ratio") else { return Ok(0.0) };
        match real(&text)? {
            ratio if !(0.0..=1.0).contains(&ratio) => {
                Err(Error::invalid(format!("null_ratio `{text}` is not between 0 and 1")))
            }
            ratio if ratio > 0.0 && !is_nullable => {
                Err(Error::invalid("the column is NOT NULL, but `null_ratio` asks for nulls")
                    .with_hint("leave out `null_ratio` or NOT NULL"))
            }
            ratio => Ok(ratio),
        }
    }

    /// Returns the rule for a column of `data_type`; the first column of whole numbers counts by default.
    pub(super) fn rule(mut self, data_type: &DataType, is_first: bool) -> Result<Rule> {
        let kind = match self.given.remove("kind") {
            Some(kind) => kind.to_ascii_lowercase(),
            None => self.likely_kind(data_type, is_first).to_owned(),
        };
        let rule = if whole_bounds(data_type).is_some() {
            self.whole_rule(&kind, data_type)?
        } else {
            match data_type {
                DataType::Float32 | DataType::Float64 => self.real_rule(&kind)?,
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => self.text_rule(&kind)?,
                DataType::Boolean => self.truth_rule(&kind)?,
                _ => {
                    return Err(Error::invalid(format!("a generator makes no values of type {data_type}"))
                        .with_hint(
                            "declare numbers, text, BOOLEAN, DATE or TIMESTAMP, and build others in a query",
                        ));
                }
            }
        };
        let rule = rule.ok_or_else(|| unfit_kind(&kind, data_type))?;
        match self.given.keys().next() {
            Some(key) => Err(Error::invalid(format!("`{key}` means nothing for kind `{kind}`"))
                .with_hint("leave it out or choose another `kind`")),
            None => Ok(rule),
        }
    }

    /// Guesses the kind from the options that were given, else from the type.
    fn likely_kind(&self, data_type: &DataType, is_first: bool) -> &'static str {
        let has = |key: &str| self.given.contains_key(key);
        let is_integer = matches!(data_type, DataType::Int64 | DataType::Int32);
        match data_type {
            _ if has("values") => "enum",
            _ if has("value") => "constant",
            _ if has("volatility") || has("drift") => "random_walk",
            DataType::Timestamp(..) if has("min") || has("max") => "range",
            DataType::Timestamp(..) => "timestamp",
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
            _ if has("start") || has("step") || (is_first && is_integer && !has("min")) => "sequence",
            _ => "range",
        }
    }

    fn take<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
        let Some(text) = self.given.remove(key) else { return Ok(None) };
        parse(&text).map(Some).map_err(|error| error.within(format!("`{key}`")))
    }

    fn whole_rule(&mut self, kind: &str, data_type: &DataType) -> Result<Option<Rule>> {
        let value = |text: &str| whole(text, data_type);
        let (low, high) = whole_bounds(data_type).unwrap_or((0, 0));
        let one = match data_type {
            DataType::Decimal128(_, scale) => 10i128.pow(u32::try_from(*scale).unwrap_or(0)),
            DataType::Timestamp(unit, _) => (1_000_000 / unit_nanos(*unit)).max(1),
            _ => 1,
        };
        let draw = match (kind, data_type) {
            ("timestamp", DataType::Timestamp(unit, _)) => {
                let start = self.take("start", value)?.map(|start| start * unit_nanos(*unit));
                let step = self.take("step", number::<i64>)?;
                return Ok(Some(Rule::Due { start, step: step.map(|step| i128::from(step) * 1_000_000) }));
            }
            ("random_walk", DataType::Timestamp(..) | DataType::Date32) => return Ok(None),
            ("sequence", _) => {
                let start = self.take("start", value)?.unwrap_or(one.min(high));
                let step = self.take("step", |text| value_text::step(text, data_type))?.unwrap_or(one);
                let count = match self.take("max", value)? {
                    Some(max) if max < start || step <= 0 => return Err(unordered("max", "start")),
                    Some(max) => u64::try_from(max.saturating_sub(start) / step + 1).ok(),
                    None => None,
                };
                Draw::Sequence { start, step, count }
            }
            ("range", _) => {
                let min = self.take("min", value)?;
                let max = self
                    .take("max", value)?
                    .unwrap_or(min.unwrap_or(0).saturating_add(one.saturating_mul(DEFAULT_MAX)).min(high));
                let min = min.unwrap_or(max.min(0));
                if min > max {
                    return Err(unordered("max", "min"));
                }
                Draw::Range { min, max }
            }
            ("random_walk", _) => {
                let mut edge = |key| Ok::<_, Error>(self.take(key, value)?.map(|value| value as f64));
                let edges = (edge("start")?, edge("min")?, edge("max")?);
                Draw::Walk(self.walk(edges, one as f64, (low as f64, high as f64))?)
            }
            ("enum", _) => Draw::Choice(self.choice(value)?),
            ("constant", _) => Draw::Choice(Choice::only(self.only(value)?)),
            _ => return Ok(None),
        };
        Ok(Some(Rule::Whole(draw)))
    }

    fn real_rule(&mut self, kind: &str) -> Result<Option<Rule>> {
        let draw = match kind {
            "sequence" => Draw::Sequence {
                start: self.take("start", real)?.unwrap_or(1.0),
                step: self.take("step", real)?.unwrap_or(1.0),
                count: None,
            },
            "range" => {
                let min = self.take("min", real)?.unwrap_or(0.0);
                let max = self.take("max", real)?.unwrap_or(min + 1.0);
                if min > max {
                    return Err(unordered("max", "min"));
                }
                Draw::Range { min, max }
            }
            "random_walk" => {
                let edges = (self.take("start", real)?, self.take("min", real)?, self.take("max", real)?);
                Draw::Walk(self.walk(edges, 1.0, (f64::MIN, f64::MAX))?)
            }
            "enum" => Draw::Choice(self.choice(real)?),
            "constant" => Draw::Choice(Choice::only(self.only(real)?)),
            _ => return Ok(None),
        };
        Ok(Some(Rule::Real(draw)))
    }

    /// Reads a walk; without options it starts at 100 and stays between half and twice of its start.
    fn walk(
        &mut self,
        (start, min, max): (Option<f64>, Option<f64>, Option<f64>),
        one: f64,
        (low, high): (f64, f64),
    ) -> Result<Walk> {
        let volatility = self.take("volatility", real)?.unwrap_or(0.001);
        let drift = self.take("drift", real)?.unwrap_or(0.0);
        if volatility < 0.0 {
            return Err(Error::invalid("`volatility` is below 0"));
        }
        let start = start.unwrap_or_else(|| match (min, max) {
            (Some(min), Some(max)) => f64::midpoint(min, max),
            (Some(min), None) => min.max(100.0 * one).min(high),
            (None, Some(max)) => max.min(100.0 * one),
            (None, None) => (100.0 * one).min(high / 2.0),
        });
        let reach = start.abs().max(one);
        let min = min.unwrap_or(start - reach / 2.0).max(low);
        let max = max.unwrap_or(start + reach).min(high);
        if !(min..=max).contains(&start) {
            return Err(Error::invalid("`start` is not between `min` and `max`"));
        }
        Ok(Walk::new(start, min, max, reach * volatility, reach * drift))
    }

    fn text_rule(&mut self, kind: &str) -> Result<Option<Rule>> {
        let as_is = |text: &str| Ok(text.to_owned());
        let text = match kind {
            "text" => {
                let length = self.take("length", number::<u32>)?;
                let length =
                    length.and_then(|length| usize::try_from(length).ok()).unwrap_or(DEFAULT_LETTERS);
                if length > 1 << 20 {
                    return Err(Error::invalid("`length` is above 1048576"));
                }
                Text::Letters(length)
            }
            "uuid" => Text::Uuid,
            "enum" => Text::Choice(self.choice(as_is)?),
            "constant" => Text::Choice(Choice::only(self.only(as_is)?)),
            _ => return Ok(None),
        };
        Ok(Some(Rule::Text(text)))
    }

    fn truth_rule(&mut self, kind: &str) -> Result<Option<Rule>> {
        let truth = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Error::invalid(format!("`{text}` is neither `true` nor `false`"))),
        };
        Ok(match kind {
            "range" => Choice::new(vec![true, false], &[1.0, 1.0]).map(Rule::Truth),
            "enum" => Some(Rule::Truth(self.choice(truth)?)),
            "constant" => Some(Rule::Truth(Choice::only(self.only(truth)?))),
            _ => None,
        })
    }

    fn choice<T>(&mut self, parse: impl Fn(&str) -> Result<T>) -> Result<Choice<T>> {
        let values = self
            .take("values", |text| list(text).iter().map(|text| parse(text)).collect::<Result<Vec<T>>>())?
            .filter(|values| !values.is_empty())
            .ok_or_else(|| missing("values", "enum", "'a, b, c'"))?;
        let weights = self
            .take("weights", |text| list(text).iter().map(|text| real(text)).collect::<Result<Vec<f64>>>())?
            .unwrap_or_else(|| vec![1.0; values.len()]);
        let counts = (weights.len(), values.len());
        Choice::new(values, &weights).ok_or_else(|| {
            Error::invalid(format!("{} weights do not fit {} values", counts.0, counts.1))
                .with_hint("give one weight for each value, none below 0 and not all 0")
        })
    }

    fn only<T>(&mut self, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        self.take("value", parse)?.ok_or_else(|| missing("value", "constant", "'…'"))
    }
}

fn missing(key: &str, kind: &str, example: &str) -> Error {
    Error::invalid(format!("kind `{kind}` needs `{key}`")).with_hint(format!("add `{key}` = {example}"))
}

fn unordered(above: &str, below: &str) -> Error {
    Error::invalid(format!("`{above}` is below `{below}`"))
}

fn unfit_kind(kind: &str, data_type: &DataType) -> Error {
    let all = KINDS.map(|kind| format!("`{kind}`")).join(", ");
    let nearest = KINDS.into_iter().find(|known| strsim::damerau_levenshtein(known, kind) <= 2);
    if KINDS.contains(&kind) {
        return Error::invalid(format!("kind `{kind}` makes no values of type {data_type}"))
            .with_hint(format!("choose another of {all}"));
    }
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? accepted: {all}"),
        None => format!("accepted: {all}"),
    };
    Error::invalid(format!("unknown kind `{kind}`")).with_hint(hint)
}
