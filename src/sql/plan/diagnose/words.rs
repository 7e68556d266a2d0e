//! What an error says: the planner's message in the user's terms, told by what stands at its place.

use std::ops::Range;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::Documentation;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, UnaryOperator,
};
use sqlparser::tokenizer::Span;

use super::expressions::Over;
use super::queries::Diagnosis;
use crate::error::Error;
use crate::sql::functions::{byte_range, type_name};
use crate::sql::plan::errors::{is_told, planning_error};

/// The most characters between two operands that belong together: an operator and brackets.
const BESIDE_MAX: usize = 12;

/// Why a part cannot be planned.
pub(super) struct Failure {
    error: Error,
    /// Whether the error is in the user's terms already.
    told: bool,
}

impl Failure {
    /// Takes an error of the planner.
    pub(super) fn of_planner(error: DataFusionError, text: &str, known: &[String]) -> Self {
        let told = is_told(&error);
        Self { error: planning_error(error, text, known), told }
    }

    /// Takes an error of our own checks.
    pub(super) fn ours(error: Error) -> Self {
        Self { error, told: true }
    }

    /// Returns whether a column is neither grouped by nor aggregated.
    pub(super) fn is_grouping(&self) -> bool {
        self.error.message().contains("neither in `GROUP BY` nor")
    }

    /// Returns the error, standing at `place` unless it knows better.
    pub(super) fn at(self, place: Option<Range<usize>>) -> Error {
        self.error.at(place)
    }

    /// Returns which item of the select list has a name that an earlier one has.
    pub(super) fn second_of_a_name(&self) -> Option<usize> {
        let message = self.error.message();
        let (_, rest) =
            message.contains("unique expression names").then_some(message)?.rsplit_once("at position ")?;
        rest.split_whitespace().next()?.parse().ok()
    }

    fn says(&self, words: &[&str]) -> bool {
        let message = self.error.message().to_lowercase();
        words.iter().any(|word| message.contains(word))
    }
}

/// Gives an error a place that may not be known.
trait At {
    /// Returns the error, standing at `place` unless it knows better.
    fn at(self, place: Option<Range<usize>>) -> Error;
}

impl At for Error {
    fn at(self, place: Option<Range<usize>>) -> Error {
        match place {
            Some(place) => self.with_span(place),
            None => self,
        }
    }
}

/// Returns the bytes of `text` that a span covers.
pub(super) fn place(text: &str, span: Span) -> Option<Range<usize>> {
    byte_range(text, datafusion::common::Span::try_from_sqlparser_span(span)?)
}

/// Returns where an expression stands; of a call, its name.
pub(super) fn place_of(text: &str, expr: &Expr) -> Option<Range<usize>> {
    match expr {
        Expr::Function(call) => place(text, call.name.span()),
        Expr::BinaryOp { left, right, .. } => {
            let (left, right) = (place_of(text, left)?, place_of(text, right)?);
            // Where an alias was put in, the two do not stand side by side.
            let between = text.get(left.end..right.start);
            let beside =
                between.is_some_and(|text| text.chars().filter(|c| !c.is_whitespace()).count() <= BESIDE_MAX);
            Some(if beside { left.start..place(text, expr.span())?.end } else { right })
        }
        other => place(text, other.span()),
    }
}

/// Returns the error for an aggregate where rows are not aggregated yet.
pub(super) fn aggregate_in(name: &str, clause: &str, place: Option<Range<usize>>) -> Error {
    let error = Error::invalid(format!("aggregate `{name}` in `{clause}`, which sees single rows"));
    let error = match clause {
        "WHERE" => error.with_hint("`HAVING` decides over groups"),
        _ => error.with_hint("aggregate in a subquery and use its result here"),
    };
    error.at(place)
}

/// Returns the error for a result with two columns of one name.
pub(super) fn twice(name: &str, place: Option<Range<usize>>) -> Error {
    Error::invalid(format!("two columns of the result are called `{name}`"))
        .with_hint("give one of them a name of its own: … AS name")
        .at(place)
}

/// Returns the error for two sources with one name.
pub(super) fn source_twice(name: &str, place: Option<Range<usize>>) -> Error {
    Error::invalid(format!("two sources of the query are called `{name}`"))
        .with_hint(format!("give each a name of its own: FROM {name} a, {name} b"))
        .at(place)
}

/// Returns the error for a position in `GROUP BY` that no item has.
pub(super) fn no_position(position: usize, items: usize, place: Option<Range<usize>>) -> Error {
    let s = if items == 1 { "" } else { "s" };
    Error::invalid(format!("`GROUP BY {position}`, and there are {items} select item{s}"))
        .with_hint("positions count from 1; a constant need not be grouped by")
        .at(place)
}

/// Returns the error for a condition that is none.
pub(super) fn no_condition(
    condition: &Expr,
    types: Option<&[DataType]>,
    clause: &str,
    failure: Failure,
    place: Option<Range<usize>>,
) -> Error {
    match types {
        Some([data_type]) if *data_type != DataType::Boolean => Error::invalid(format!(
            "`{clause}` takes a condition, and `{condition}` is {}",
            type_name(data_type)
        ))
        .with_hint(condition_hint(condition, data_type))
        .at(place),
        _ => failure.at(place),
    }
}

fn condition_hint(expr: &Expr, data_type: &DataType) -> String {
    if data_type.is_numeric() {
        format!("compare it: `{expr} <> 0`")
    } else {
        format!("compare it: `{expr} = …`, or `{expr} IS NOT NULL`")
    }
}

/// Returns the error for arms of a set operation that do not fit.
pub(super) fn arms(
    operator: &str,
    left: &DFSchemaRef,
    right: &DFSchema,
    place: Option<Range<usize>>,
) -> Option<Error> {
    let (wanted, found) = (left.fields().len(), right.fields().len());
    if wanted != found {
        let error =
            Error::invalid(format!("`{operator}` of a query with {wanted} columns and one with {found}"))
                .with_hint("both give the same columns in the same order");
        return Some(error.at(place));
    }
    let clash = left.fields().iter().zip(right.fields()).enumerate().find(|(_, (left, right))| {
        datafusion::logical_expr::type_coercion::binary::comparison_coercion(
            left.data_type(),
            right.data_type(),
        )
        .is_none()
    });
    let (ordinal, (left, right)) = clash?;
    let (ours, theirs) = (type_name(left.data_type()), type_name(right.data_type()));
    let error = Error::invalid(format!(
        "column {} of `{operator}` is {ours} in one query and {theirs} in the other",
        ordinal + 1
    ))
    .with_hint(format!("cast one of them: `CAST({} AS {ours})`", right.name()));
    Some(error.at(place))
}

/// Returns the error of an expression whose parts are right.
pub(super) fn explain(
    diagnosis: &mut Diagnosis<'_>,
    expr: &Expr,
    failure: Failure,
    over: &Over<'_>,
) -> Error {
    let text = diagnosis.prepared.text;
    if let Expr::Function(call) = expr
        && call.over.is_none()
        && failure.says(&["unknown function"])
        && diagnosis.state.udwf(&call.name.to_string().to_lowercase()).is_ok()
    {
        return Error::invalid(format!("`{}` needs `OVER (…)`", call.name))
            .with_hint(format!("write `{} OVER (PARTITION BY … ORDER BY …)`", expr))
            .at(place_of(text, expr));
    }
    if failure.told {
        return failure.at(place_of(text, expr));
    }
    let told = match expr {
        Expr::BinaryOp { left, op, right } => {
            let types = diagnosis.types(&[left, right], over);
            types.as_deref().and_then(|types| operator(text, (left, right), op, types))
        }
        Expr::UnaryOp { op, expr } => {
            diagnosis.types(&[expr], over).and_then(|types| sign(op, expr, types.first()?))
        }
        Expr::Function(call) => call_error(diagnosis, call, &failure, over),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let arguments: Vec<&Expr> = std::iter::once(expr)
                .chain(substring_from)
                .chain(substring_for)
                .map(|part| &**part)
                .collect();
            diagnosis.types(&arguments, over).map(|types| taken(diagnosis, "substr", &types))
        }
        Expr::Cast { data_type: data_type @ sqlparser::ast::DataType::Custom(..), .. } => Some(
            Error::invalid(format!("unknown type `{data_type}`"))
                .with_hint("types are BIGINT, DOUBLE, DECIMAL(p,s), VARCHAR, TIMESTAMP, BOOLEAN, …"),
        ),
        Expr::Cast { expr, data_type, .. } => diagnosis.types(&[expr], over).and_then(|types| {
            let own = type_name(types.first()?);
            Some(
                Error::invalid(format!("`{expr}` is {own}, which cannot be cast to {data_type}"))
                    .with_hint("cast it to VARCHAR first, or take a part of it"),
            )
        }),
        Expr::Case { conditions, else_result, .. } => {
            let results: Vec<&Expr> =
                conditions.iter().map(|when| &when.result).chain(else_result.as_deref()).collect();
            diagnosis.types(&results, over).and_then(|types| branches(&results, &types))
        }
        Expr::InList { expr, list, .. } => {
            let operands: Vec<&Expr> = std::iter::once(&**expr).chain(list).collect();
            mixed(diagnosis, "IN", &operands, over)
        }
        Expr::Between { expr, low, high, .. } => mixed(diagnosis, "BETWEEN", &[expr, low, high], over),
        Expr::Like { expr, pattern, .. } | Expr::ILike { expr, pattern, .. } => {
            mixed(diagnosis, "LIKE", &[expr, pattern], over)
        }
        Expr::Subquery(_) | Expr::InSubquery { .. } if failure.says(&["column"]) => Some(
            Error::invalid("a subquery that stands for a value gives one column")
                .with_hint("select one column in it"),
        ),
        _ => None,
    };
    told.unwrap_or(failure.error).at(place_of(text, expr))
}

/// Returns the error of an operator that does not take its operands.
fn operator(text: &str, sides: (&Expr, &Expr), op: &BinaryOperator, types: &[DataType]) -> Option<Error> {
    let [left, right] = types else { return None };
    let sides = [(sides.0, left), (sides.1, right)];
    let is_text = |data_type: &DataType| type_name(data_type) == "VARCHAR";
    match op {
        BinaryOperator::Plus
        | BinaryOperator::Minus
        | BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo => {
            let wrong = sides.iter().find(|(_, own)| is_text(own) || **own == DataType::Boolean);
            let Some((side, own)) = wrong else {
                let (left, right) = (type_name(left), type_name(right));
                let error = Error::invalid(format!("`{op}` does not take {left} and {right}"));
                return Some(error.with_hint(arithmetic_hint(types)));
            };
            let hint = match own {
                DataType::Boolean => format!("write `CASE WHEN {side} THEN 1 ELSE 0 END`"),
                _ if *op == BinaryOperator::Plus => {
                    format!("write `CAST({side} AS BIGINT)`; texts are joined with `||`")
                }
                _ => format!("write `CAST({side} AS BIGINT)`"),
            };
            let error = Error::invalid(format!("`{op}` takes numbers, and `{side}` is {}", type_name(own)));
            Some(error.with_hint(hint).at(place_of(text, side)))
        }
        BinaryOperator::And | BinaryOperator::Or => {
            let (side, own) = sides.iter().find(|(_, own)| **own != DataType::Boolean)?;
            let error =
                Error::invalid(format!("`{op}` takes conditions, and `{side}` is {}", type_name(own)));
            Some(error.with_hint(condition_hint(side, own)).at(place_of(text, side)))
        }
        BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::Lt
        | BinaryOperator::LtEq
        | BinaryOperator::Gt
        | BinaryOperator::GtEq => {
            let (left, right) = (type_name(left), type_name(right));
            let (side, _) = sides[1];
            let error = Error::invalid(format!("`{op}` cannot compare {left} with {right}"));
            Some(error.with_hint(format!("cast one side: `CAST({side} AS {left})`")))
        }
        _ => {
            let (left, right) = (type_name(left), type_name(right));
            let error = Error::invalid(format!("`{op}` does not take {left} and {right}"));
            Some(error.with_hint("cast one side: CAST(x AS …)"))
        }
    }
}

fn arithmetic_hint(types: &[DataType]) -> String {
    let is_time = |data_type: &DataType| {
        matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
    };
    if types.iter().all(is_time) {
        "times are subtracted from each other; an interval is added: `t + INTERVAL '1' DAY`".to_owned()
    } else if types.iter().any(is_time) {
        "an interval is added to a time: `t + INTERVAL '1' SECOND`".to_owned()
    } else {
        "cast one side: CAST(x AS …)".to_owned()
    }
}

fn sign(op: &UnaryOperator, expr: &Expr, own: &DataType) -> Option<Error> {
    match op {
        UnaryOperator::Not => Some(
            Error::invalid(format!("`NOT` takes a condition, and `{expr}` is {}", type_name(own)))
                .with_hint(condition_hint(expr, own)),
        ),
        _ => Some(
            Error::invalid(format!("`{op}` takes a number, and `{expr}` is {}", type_name(own)))
                .with_hint(format!("write `{op} CAST({expr} AS BIGINT)`")),
        ),
    }
}

/// Returns the error for branches of a `CASE` without a common type.
fn branches(results: &[&Expr], types: &[DataType]) -> Option<Error> {
    let (first, wanted) = results.iter().zip(types).find(|(_, own)| !own.is_null())?;
    let (other, own) = results.iter().zip(types).find(|(_, own)| !own.is_null() && *own != wanted)?;
    let (wanted, own) = (type_name(wanted), type_name(own));
    let error =
        Error::invalid(format!("the branches of `CASE` give {wanted} (`{first}`) and {own} (`{other}`)"));
    Some(error.with_hint(format!("cast one of them: `CAST({other} AS {wanted})`")))
}

/// Returns the error for operands without a common type.
fn mixed(diagnosis: &mut Diagnosis<'_>, word: &str, operands: &[&Expr], over: &Over<'_>) -> Option<Error> {
    let types = diagnosis.types(operands, over)?;
    let wanted = types.first()?;
    let (other, own) =
        operands.iter().zip(&types).skip(1).find(|(_, own)| *own != wanted && !own.is_null())?;
    let (wanted, own) = (type_name(wanted), type_name(own));
    let operand = operands.first()?;
    let error =
        Error::invalid(format!("`{word}` does not take {wanted} (`{operand}`) and {own} (`{other}`)"));
    Some(error.with_hint("cast one side: CAST(x AS …)"))
}

/// Returns the error of a call that does not fit its function.
fn call_error(
    diagnosis: &mut Diagnosis<'_>,
    call: &Function,
    failure: &Failure,
    over: &Over<'_>,
) -> Option<Error> {
    if !failure.says(&[
        "no function",
        "types",
        "signature",
        "coerc",
        "argument",
        "expects",
        "expected",
        "requires",
    ]) {
        return None;
    }
    let name = call.name.to_string().to_lowercase();
    let arguments: Vec<&Expr> = match &call.args {
        FunctionArguments::List(list) => {
            let expr = |argument| match argument {
                &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
                _ => None,
            };
            list.args.iter().map(expr).collect::<Option<_>>()?
        }
        _ => vec![],
    };
    let types = if arguments.is_empty() { vec![] } else { diagnosis.types(&arguments, over)? };
    Some(taken(diagnosis, &name, &types))
}

/// Returns the error for arguments that a function does not take.
fn taken(diagnosis: &Diagnosis<'_>, name: &str, types: &[DataType]) -> Error {
    let given: Vec<String> = types.iter().map(type_name).collect();
    let error = if given.is_empty() {
        Error::invalid(format!("`{name}` needs arguments"))
    } else {
        Error::invalid(format!("`{name}` does not take ({})", given.join(", ")))
    };
    match syntax(diagnosis, name) {
        Some(syntax) => {
            error.with_hint(format!("it is written `{syntax}`; a type is changed with CAST(x AS …)"))
        }
        None => error.with_hint("a type is changed with CAST(x AS …)"),
    }
}

/// Returns how a function is written.
fn syntax(diagnosis: &Diagnosis<'_>, name: &str) -> Option<String> {
    let state = diagnosis.state;
    let syntax = |documentation: &Documentation| documentation.syntax_example.clone();
    if let Some(function) = state.scalar_functions().get(name) {
        return function.documentation().map(syntax);
    }
    if let Some(function) = state.aggregate_functions().get(name) {
        return function.documentation().map(syntax);
    }
    let function = state.udwf(name).ok()?;
    function.documentation().map(syntax)
}
