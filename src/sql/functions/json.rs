//! JSON in text columns: `json_value`, `json_query`, `json_exists`, `json_extract`, and the operators `->` and `->>`.
//!
//! A document is scanned only as far as the value asked for; text that is no JSON, and paths that lead nowhere, give
//! NULL.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanBuilder, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DFSchema;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{ColumnarValue, ExprSchemable, ScalarFunctionArgs, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use sonic_rs::{JsonType, JsonValueTrait, LazyValue, PointerNode};

use super::json_path::JsonPath;
use super::scalar::{Outcome, Scalar, external, is_text, is_text_or_null, wrong_arguments};
use super::text_column::{TextColumn, rows_of, shaped};
use crate::error::Error;

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("json_value", coerce_path, |_| DataType::Utf8, |args| by_path(args, scalar_text))
            .help("json_value(json, path)", "Returns the text, number or boolean at a path as text.")
            .into_udf(),
        Scalar::new("json_query", coerce_path, |_| DataType::Utf8, |args| by_path(args, container_json))
            .help("json_query(json, path)", "Returns the object or array at a path as JSON text.")
            .into_udf(),
        Scalar::new("json_extract", coerce_path, |_| DataType::Utf8, |args| by_path(args, unquoted))
            .help(
                "json_extract(json, path)",
                "Returns the value at a path: text unquoted, objects as JSON text.",
            )
            .into_udf(),
        Scalar::new("json_exists", coerce_path, |_| DataType::Boolean, json_exists)
            .help("json_exists(json, path)", "Returns whether there is a value at a path.")
            .into_udf(),
        arrow_udf(),
        long_arrow_udf(),
    ]
}

fn arrow_udf() -> Arc<ScalarUDF> {
    Scalar::new("velo_json_get", coerce_key, |_| DataType::Utf8, |args| by_key(args, raw)).into_udf()
}

fn long_arrow_udf() -> Arc<ScalarUDF> {
    Scalar::new("velo_json_get_text", coerce_key, |_| DataType::Utf8, |args| by_key(args, unquoted))
        .into_udf()
}

/// Plans `json -> key` and `json ->> key`, where the left side is text.
#[derive(Debug)]
pub(super) struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Outcome<PlannerResult<RawBinaryExpr>> {
        let function = match expr.op {
            BinaryOperator::Arrow => arrow_udf(),
            BinaryOperator::LongArrow => long_arrow_udf(),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let left = expr.left.get_type(schema)?;
        if is_text_or_null(&left) {
            return Ok(PlannerResult::Planned(function.call(vec![expr.left, expr.right])));
        }
        let message = format!("`{}` reads a field of JSON text, and its left side is {left}", expr.op);
        Err(external(
            Error::invalid(message).with_hint("read a struct's field or a map's key with `x['key']`"),
        ))
    }
}

fn coerce_path(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [json, path] if is_text_or_null(json) && is_text(path) => Ok(vec![json.clone(), path.clone()]),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}(json, '$.path')"))),
    }
}

fn coerce_key(_name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [json, key] if is_text_or_null(json) && is_text_or_null(key) => Ok(vec![json.clone(), key.clone()]),
        [json, key] if is_text_or_null(json) && key.is_integer() => Ok(vec![json.clone(), DataType::Int64]),
        _ => Err(wrong_arguments("->", arguments, "json -> 'key'")),
    }
}

/// How a value that was found is written; nothing is NULL.
type Write = for<'a> fn(LazyValue<'a>) -> Option<Cow<'a, str>>;

fn raw(value: LazyValue<'_>) -> Option<Cow<'_, str>> {
    Some(value.as_raw_cow())
}

fn is_container(value: &LazyValue<'_>) -> bool {
    matches!(value.get_type(), JsonType::Object | JsonType::Array)
}

fn scalar_text(value: LazyValue<'_>) -> Option<Cow<'_, str>> {
    if is_container(&value) { None } else { unquoted(value) }
}

fn container_json(value: LazyValue<'_>) -> Option<Cow<'_, str>> {
    is_container(&value).then(|| value.as_raw_cow())
}

fn unquoted(value: LazyValue<'_>) -> Option<Cow<'_, str>> {
    match value.get_type() {
        JsonType::Null => None,
        JsonType::String => value.as_str().map(|text| Cow::Owned(text.to_owned())),
        _ => Some(value.as_raw_cow()),
    }
}

fn find<'a>(json: &'a str, path: &JsonPath) -> Option<LazyValue<'a>> {
    sonic_rs::get(json, &path.0).ok()
}

/// The documents, and for each the place in it that is asked for.
struct Places<'a> {
    documents: TextColumn<'a>,
    texts: Option<TextColumn<'a>>,
    constant: Option<JsonPath>,
}

impl<'a> Places<'a> {
    fn try_new(args: &'a ScalarFunctionArgs) -> Outcome<Self> {
        let [json, path] = args.args.as_slice() else {
            return Err(external(Error::internal("a JSON function takes two arguments")));
        };
        let texts = TextColumn::try_new(path)?;
        let constant = texts.constant().map(JsonPath::parse).transpose().map_err(external)?;
        Ok(Self { documents: TextColumn::try_new(json)?, texts: Some(texts), constant })
    }

    /// Returns the document of a row with the value found in it; nothing where document or path is NULL.
    fn get(&self, row: usize) -> Outcome<Option<(&'a str, Option<LazyValue<'a>>)>> {
        let Some(json) = self.documents.get(row) else { return Ok(None) };
        if let Some(path) = &self.constant {
            return Ok(Some((json, find(json, path))));
        }
        let text = self.texts.as_ref().and_then(|texts| texts.get(row));
        let path = text.map(JsonPath::parse).transpose().map_err(external)?;
        Ok(path.map(|path| (json, find(json, &path))))
    }
}

fn by_path(args: &ScalarFunctionArgs, write: Write) -> Outcome<ColumnarValue> {
    let places = Places::try_new(args)?;
    let mut result = StringBuilder::new();
    for row in 0..rows_of(&args.args, args.number_rows) {
        let found = places.get(row)?.and_then(|(_, value)| value);
        result.append_option(found.and_then(write));
    }
    shaped(Arc::new(result.finish()), &args.args)
}

fn json_exists(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let places = Places::try_new(args)?;
    let mut result = BooleanBuilder::new();
    for row in 0..rows_of(&args.args, args.number_rows) {
        result.append_option(match places.get(row)? {
            Some((_, Some(_))) => Some(true),
            // Only now is the whole document read, to tell a missing value from text that is no JSON.
            Some((json, None)) => sonic_rs::from_str::<LazyValue<'_>>(json).ok().map(|_| false),
            None => None,
        });
    }
    shaped(Arc::new(result.finish()), &args.args)
}

fn by_key(args: &ScalarFunctionArgs, write: Write) -> Outcome<ColumnarValue> {
    let [json, key] = args.args.as_slice() else {
        return Err(external(Error::internal("a JSON operator takes two arguments")));
    };
    let documents = TextColumn::try_new(json)?;
    let rows = rows_of(&args.args, args.number_rows);
    let mut result = StringBuilder::new();
    if key.data_type().is_integer() {
        let indexes = key.to_array(rows)?;
        let indexes = indexes.as_primitive::<Int64Type>();
        for row in 0..rows {
            let index = indexes.is_valid(row).then(|| indexes.value(row));
            let index = index.and_then(|index| usize::try_from(index).ok()).map(PointerNode::Index);
            result.append_option(at(&documents, row, index).and_then(write));
        }
    } else {
        let keys = TextColumn::try_new(key)?;
        let constant = keys.constant().map(|key| PointerNode::Key(key.to_owned().into()));
        for row in 0..rows {
            let key = || keys.get(row).map(|key| PointerNode::Key(key.to_owned().into()));
            result.append_option(at(&documents, row, constant.clone().or_else(key)).and_then(write));
        }
    }
    shaped(Arc::new(result.finish()), &args.args)
}

fn at<'a>(documents: &TextColumn<'a>, row: usize, node: Option<PointerNode>) -> Option<LazyValue<'a>> {
    sonic_rs::get(documents.get(row)?, [node?]).ok()
}
