//! Functions that users bring under other names, rewritten on the syntax tree to the ones DataFusion has.

use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, NullTreatment, ObjectName, ObjectNamePart, Query, Value,
    VisitMut, VisitorMut,
};

use super::dialect::{IS_DISTINCT_FROM, IS_NOT_DISTINCT_FROM};
use super::tokens::Tok;
use crate::error::{Error, Result};

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
enum Rewrite {
    /// The same arguments under this name.
    Name(&'static str),
    /// `date_part('unit', x)` for `UNIT(x)`.
    DatePart(&'static str),
    /// `COUNT(DISTINCT x)`.
    CountDistinct,
    /// `string_agg(x, ',')` where the separator is missing.
    StringAgg,
    /// `CASE WHEN c THEN a ELSE b END`.
    If,
    /// The element of `array_agg(x)` with that number, where it is an aggregate.
    NthValue,
}

/// Every name that is rewritten.
const TABLE: &[(&str, Rewrite)] = &[
    ("approx_count_distinct", Rewrite::Name("approx_distinct")),
    ("collect", Rewrite::Name("array_agg")),
    ("count_distinct", Rewrite::CountDistinct),
    ("day", Rewrite::DatePart("day")),
    ("dayofweek", Rewrite::DatePart("dow")),
    ("dayofyear", Rewrite::DatePart("doy")),
    ("first", Rewrite::Name("first_value")),
    ("group_concat", Rewrite::StringAgg),
    ("hour", Rewrite::DatePart("hour")),
    ("if", Rewrite::If),
    ("ifnull", Rewrite::Name("coalesce")),
    ("last", Rewrite::Name("last_value")),
    ("len", Rewrite::Name("length")),
    ("listagg", Rewrite::StringAgg),
    ("minute", Rewrite::DatePart("minute")),
    ("month", Rewrite::DatePart("month")),
    ("nth_value", Rewrite::NthValue),
    ("nvl", Rewrite::Name("coalesce")),
    ("quarter", Rewrite::DatePart("quarter")),
    ("second", Rewrite::DatePart("second")),
    ("stddev_samp", Rewrite::Name("stddev")),
    ("variance", Rewrite::Name("var_samp")),
    ("var_sample", Rewrite::Name("var_samp")),
    ("var_population", Rewrite::Name("var_pop")),
    ("week", Rewrite::DatePart("week")),
    ("year", Rewrite::DatePart("year")),
];

/// Rewrites all calls in `query`, which was read from `tokens`, and the operators that stand for `IS [NOT] DISTINCT FROM`.
///
/// # Errors
/// `Invalid` for a call with a wrong number of arguments.
pub(crate) fn rewrite(query: &mut Query, tokens: &[Tok]) -> Result<()> {
    apply(query, tokens)
}

/// Rewrites one expression, as [`rewrite`] does for queries.
///
/// # Errors
/// As [`rewrite`].
pub(crate) fn rewrite_expr(expr: &mut Expr, tokens: &[Tok]) -> Result<()> {
    apply(expr, tokens)
}

fn apply(tree: &mut impl VisitMut, tokens: &[Tok]) -> Result<()> {
    match tree.visit(&mut Rewriter { tokens }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter<'a> {
    tokens: &'a [Tok],
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let outcome = match expr {
            Expr::BinaryOp { op: BinaryOperator::Custom(name), .. } if is_ours(name) => {
                distinct_from(expr);
                Ok(())
            }
            Expr::Function(call) => {
                let start =
                    call.name.0.first().and_then(ObjectNamePart::as_ident).map(|name| name.span.start);
                function(expr).map_err(|error| {
                    let tok = self.tokens.iter().find(|tok| Some(tok.place.start) == start);
                    tok.map(|tok| tok.span.clone()).into_iter().fold(error, Error::with_span)
                })
            }
            _ => Ok(()),
        };
        outcome.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

fn is_ours(operator: &str) -> bool {
    operator == IS_DISTINCT_FROM || operator == IS_NOT_DISTINCT_FROM
}

/// Takes an expression out and leaves a null behind.
fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

fn distinct_from(expr: &mut Expr) {
    *expr = match take(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::Custom(name), right } if name == IS_DISTINCT_FROM => {
            Expr::IsDistinctFrom(left, right)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Custom(_), right } => Expr::IsNotDistinctFrom(left, right),
        other => other,
    };
}

/// Rewrites one call if its name is in the table.
fn function(expr: &mut Expr) -> Result<()> {
    let Expr::Function(call) = expr else { return Ok(()) };
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return Ok(()) };
    let lower = name.value.to_lowercase();
    let Some((_, rewrite)) = TABLE.iter().find(|(known, _)| *known == lower && name.quote_style.is_none())
    else {
        return Ok(());
    };
    match rewrite {
        Rewrite::Name(new) => rename(call, new),
        Rewrite::DatePart(unit) => {
            arguments(call, 1..=1)?.insert(0, text(unit));
            rename(call, "date_part");
        }
        Rewrite::CountDistinct => {
            arguments(call, 1..=usize::MAX)?;
            if let FunctionArguments::List(list) = &mut call.args {
                list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            }
            rename(call, "count");
        }
        Rewrite::StringAgg => {
            let given = arguments(call, 1..=2)?;
            if given.len() == 1 {
                given.push(text(","));
            }
            rename(call, "string_agg");
        }
        Rewrite::NthValue if call.over.is_some() => {}
        Rewrite::NthValue => {
            let element = nth_element(call)?;
            *expr = element;
        }
        Rewrite::If => {
            let mut given = std::mem::take(arguments(call, 2..=3)?).into_iter().map(plain);
            let (condition, result) = (given.next().flatten(), given.next().flatten());
            let otherwise = given.next().flatten();
            if let (Some(condition), Some(result)) = (condition, result) {
                *expr = case(condition, result, otherwise);
            } else {
                return Err(Error::invalid("`IF` takes a condition and one or two values"));
            }
        }
    }
    Ok(())
}

/// Returns the element of a list for `NTH_VALUE(x, n)`.
fn nth_element(call: &mut Function) -> Result<Expr> {
    let given = arguments(call, 2..=2)?;
    let (place, value) = (given.pop().and_then(plain), given.first().cloned().and_then(plain));
    let (Some(place), Some(value)) = (place, value) else {
        return Err(Error::invalid("`NTH_VALUE` takes a value and a number"));
    };
    let mut element = call.clone();
    rename(&mut element, "array_element");
    (element.filter, element.null_treatment) = (None, None);
    rename(call, "array_agg");
    if call.null_treatment.take() == Some(NullTreatment::IgnoreNulls) {
        let known = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(value))));
        call.filter = Some(Box::new(match call.filter.take() {
            None => known,
            Some(filter) => Expr::BinaryOp {
                left: Box::new(Expr::Nested(filter)),
                op: BinaryOperator::And,
                right: Box::new(known),
            },
        }));
    }
    let args = [Expr::Function(call.clone()), place];
    let args = args.map(|given| FunctionArg::Unnamed(FunctionArgExpr::Expr(given)));
    element.args = FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: args.into(),
        clauses: vec![],
    });
    Ok(Expr::Function(element))
}

fn rename(call: &mut Function, new: &str) {
    if let Some(ObjectNamePart::Identifier(name)) = call.name.0.first_mut() {
        name.value = new.to_owned();
    } else {
        call.name = ObjectName::from(vec![Ident::new(new)]);
    }
}

/// Returns a call's arguments if their number fits.
fn arguments(call: &mut Function, count: std::ops::RangeInclusive<usize>) -> Result<&mut Vec<FunctionArg>> {
    let name = call.name.to_string();
    let FunctionArguments::List(FunctionArgumentList { args, .. }) = &mut call.args else {
        return Err(Error::invalid(format!("`{name}` needs arguments in brackets")));
    };
    if count.contains(&args.len()) {
        return Ok(args);
    }
    let wanted = match (*count.start(), *count.end()) {
        (low, high) if low == high => low.to_string(),
        (low, usize::MAX) => format!("at least {low}"),
        (low, high) => format!("{low} to {high}"),
    };
    Err(Error::invalid(format!("`{name}` takes {wanted} arguments, not {}", args.len())))
}

fn plain(argument: FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn text(value: &str) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::value(Value::SingleQuotedString(value.to_owned()))))
}

fn case(condition: Expr, result: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: otherwise.map(Box::new),
    }
}
