//! `SET_HEADER` and `REMOVE_HEADER`: items of a select list that become one unseen column, the headers of each record.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableFactor, Value, visit_expressions,
};

use super::rewrite::{relation_name, unbroken};
use crate::connect::HEADERS;
use crate::error::{Error, Result};
use crate::sql::functions::{NO_HEADERS, REMOVE_HEADER, SET_HEADER};
use crate::sql::relation::SystemColumn;

const HINT: &str = "write it as an item of the select list whose rows go to a topic: SELECT id, SET_HEADER('k', expr) FROM …";

/// What the headers of a query's rows depend on, beside the query.
pub struct HeaderRules<'a> {
    /// The streams that a query can read.
    pub streams: &'a BTreeSet<String>,
    /// Whether the headers of records go along by themselves: they come from a topic and go to one.
    pub carry: bool,
    /// Whether a function is an aggregate.
    pub is_aggregate: &'a dyn Fn(&str) -> bool,
}

/// A `SET_HEADER` or `REMOVE_HEADER`.
enum Write {
    Set(Expr, Box<Expr>),
    Remove(Expr),
}

/// Returns whether a select item sets a header and gives no column.
pub fn gives_no_column(item: &SelectItem) -> bool {
    matches!(item, SelectItem::UnnamedExpr(expr) if function_name(expr).is_some())
}

fn function_name(expr: &Expr) -> Option<&'static str> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.to_string();
    ["SET_HEADER", "REMOVE_HEADER"].into_iter().find(|known| name.eq_ignore_ascii_case(known))
}

/// Puts the headers that a query's select list sets into a last column; `key` are ordinals of select items, which are
/// moved along. Returns the name of a function that sets headers, if there is one.
///
/// # Errors
/// Invalid: a function does not have the right arguments, or the list has nothing else.
pub fn write_headers(
    query: &mut Query,
    key: &mut [usize],
    rules: &HeaderRules<'_>,
) -> Result<Option<&'static str>> {
    let Query { body, order_by, .. } = query;
    let SetExpr::Select(select) = &mut **body else { return Ok(None) };
    let input = input_headers(select, rules);
    let (mut writes, mut places, mut kept) = (vec![], vec![], vec![]);
    let mut named = None;
    for item in std::mem::take(&mut select.projection) {
        let name = match &item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => function_name(expr),
            _ => None,
        };
        let Some(name) = name else {
            places.push(kept.len());
            kept.push(item);
            continue;
        };
        named.get_or_insert(name);
        places.push(kept.len());
        let (write, shown) = take_write(item, name)?;
        kept.extend(shown);
        writes.push(write);
    }
    if named.is_some() && (kept.is_empty() || select.distinct.is_some()) {
        let what = if kept.is_empty() { "without a column" } else { "with DISTINCT" };
        return Err(Error::invalid(format!("`{}` {what}", named.unwrap_or_default())).with_hint(HINT));
    }
    select.projection = kept;
    let carried = input.filter(|_| rules.carry || named.is_some());
    if named.is_none() && carried.is_none() {
        return Ok(None);
    }
    let headers =
        writes.into_iter().fold(carried.unwrap_or_else(|| call(NO_HEADERS, vec![])), |headers, write| {
            match write {
                Write::Set(key, value) => call(SET_HEADER, vec![headers, key, *value]),
                Write::Remove(key) => call(REMOVE_HEADER, vec![headers, key]),
            }
        });
    select.projection.push(SelectItem::ExprWithAlias { expr: headers, alias: Ident::new(HEADERS) });
    key.iter_mut().for_each(|ordinal| *ordinal = places.get(*ordinal).copied().unwrap_or(*ordinal));
    if let GroupByExpr::Expressions(groups, _) = &mut select.group_by {
        groups.iter_mut().for_each(|group| renumber(group, &places));
    }
    if let Some(OrderByKind::Expressions(orders)) = order_by.as_mut().map(|order| &mut order.kind) {
        orders.iter_mut().for_each(|order| renumber(&mut order.expr, &places));
    }
    Ok(named)
}

/// Refuses functions that set headers where they stand for nothing.
pub(super) fn refuse_stray_writes(query: &Query) -> Result<()> {
    let mut found = None;
    unbroken(visit_expressions(query, |expression| {
        found = found.or_else(|| function_name(expression));
        ControlFlow::Continue(())
    }));
    match found {
        Some(name) => Err(Error::invalid(format!("`{name}` cannot stand here")).with_hint(HINT)),
        None => Ok(()),
    }
}

/// Returns the headers of the record that each row of a block is made of: of the left side of a join, and none where
/// rows are made of many.
fn input_headers(select: &Select, rules: &HeaderRules<'_>) -> Option<Expr> {
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, alias, .. } = &from.relation else { return None };
    let one_each = matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty())
        && select.having.is_none()
        && select.distinct.is_none()
        && !select.projection.iter().any(|item| aggregates(item, rules));
    if !one_each || !rules.streams.contains(&relation_name(name)) {
        return None;
    }
    let headers = Ident::new(SystemColumn::Headers.name());
    if from.joins.is_empty() {
        return Some(Expr::Identifier(headers));
    }
    let table = alias.as_ref().map(|alias| alias.name.clone());
    let table = table.unwrap_or_else(|| Ident::with_quote('"', relation_name(name)));
    Some(Expr::CompoundIdentifier(vec![table, headers]))
}

fn aggregates(item: &SelectItem, rules: &HeaderRules<'_>) -> bool {
    let mut found = false;
    unbroken(visit_expressions(item, |expression| {
        if let Expr::Function(function) = expression {
            found |=
                function.over.is_none() && (rules.is_aggregate)(&function.name.to_string().to_lowercase());
        }
        ControlFlow::Continue(())
    }));
    found
}

/// Reads a select item that sets a header; an alias makes its value a column too.
fn take_write(item: SelectItem, name: &'static str) -> Result<(Write, Option<SelectItem>)> {
    let (expr, alias) = match item {
        SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
        SelectItem::UnnamedExpr(expr) => (expr, None),
        _ => return Err(Error::internal("a header is set by no expression")),
    };
    let Expr::Function(function) = expr else {
        return Err(Error::internal("a header is set by no function"));
    };
    let (write, value) = match (name, arguments(&function).unwrap_or_default().as_slice()) {
        ("SET_HEADER", [key, value]) => {
            let text = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(value.clone()),
                data_type: DataType::Varchar(None),
                array: false,
                format: None,
            };
            (Write::Set(key.clone(), Box::new(text.clone())), text)
        }
        ("REMOVE_HEADER", [key]) => {
            let value = Function { name: ObjectName::from(vec![Ident::new("header")]), ..function.clone() };
            (Write::Remove(key.clone()), Expr::Function(value))
        }
        _ => {
            let expected =
                if name == "SET_HEADER" { "SET_HEADER('key', value)" } else { "REMOVE_HEADER('key')" };
            return Err(Error::invalid(format!("`{function}` does not have the right arguments"))
                .with_hint(format!("write `{expected}`")));
        }
    };
    Ok((write, alias.map(|alias| SelectItem::ExprWithAlias { expr: value, alias })))
}

/// Returns the arguments of a plain call.
fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect()
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Writes the ordinal of a select item as it is now.
fn renumber(expr: &mut Expr, places: &[usize]) {
    if let Expr::Value(value) = expr
        && let Value::Number(number, _) = &mut value.value
        && let Ok(ordinal) = number.parse::<usize>()
        && let Some(place) = ordinal.checked_sub(1).and_then(|item| places.get(item))
    {
        *number = (place + 1).to_string();
    }
}
