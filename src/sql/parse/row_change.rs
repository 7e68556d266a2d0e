//! Statements that change the rows of a table: `UPDATE`, `DELETE`, `MERGE`, `UPSERT INTO` and `ON CONFLICT`.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use super::engine::parse_expr;
use super::query::soften;
use super::statement::{names, query, take_name};
use crate::error::{Error, Result};
use crate::sql::function_alias;
use crate::sql::statement::{
    Assignment, Conflict, ConflictAction, Matched, Merge, MergeAction, MergeClause, MergeSource, Name,
    Statement,
};
use crate::sql::tokens::{Cursor, Tok, bracket, expected, span_of, split_commas};

/// Reads `UPDATE t SET a = 1, … [WHERE …]`.
///
/// # Errors
/// `Invalid` at the first token that does not fit.
pub(super) fn update(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.eat(&["UPDATE"]);
    let target = take_name(cursor, "a table")?;
    cursor.expect_any(&["SET"])?;
    let (set, condition) = with_condition(cursor.take_rest(), cursor.end())?;
    Ok(Statement::Update { target, assignments: assignments(set, cursor.end())?, condition })
}

/// Reads `DELETE FROM t [WHERE …]`.
///
/// # Errors
/// `Invalid` at the first token that does not fit.
pub(super) fn delete(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.eat(&["DELETE"]);
    cursor.expect_any(&["FROM"])?;
    let target = take_name(cursor, "a table")?;
    let (before, condition) = with_condition(cursor.take_rest(), cursor.end())?;
    match before.first() {
        Some(tok) => Err(expected(Some(tok), cursor.end(), &["WHERE"])),
        None => Ok(Statement::Delete { target, condition }),
    }
}

/// Reads `MERGE INTO t [AS x] USING s [AS y] ON … WHEN [NOT] MATCHED … THEN …`.
///
/// # Errors
/// `Invalid` at the first token that does not fit, and without a `WHEN`.
pub(super) fn merge(text: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.eat(&["MERGE"]);
    cursor.expect_any(&["INTO"])?;
    let target = take_name(cursor, "a table")?;
    let alias = alias(cursor, &["USING"])?;
    cursor.expect_any(&["USING"])?;
    let source = if cursor.peek().is_some_and(|tok| tok.token == Token::LParen) {
        let inside = cursor.expect_group()?;
        let mut inside = Cursor::new(inside, cursor.place().start);
        MergeSource::Query(Box::new(query(text, &mut inside)?))
    } else {
        MergeSource::Relation(take_name(cursor, "a stream or table")?)
    };
    let source_alias = self::alias(cursor, &["ON"])?;
    cursor.expect_any(&["ON"])?;
    let end = cursor.end();
    let rest = cursor.take_rest();
    let mut starts = top_level(rest, |tok, next| {
        tok.is_word("WHEN") && next.is_some_and(|next| next.is_any(&["MATCHED", "NOT"]))
    });
    let Some(first) = starts.first().copied() else { return Err(expected(None, end, &["WHEN"])) };
    let on = expression(rest.get(..first).unwrap_or_default(), end)?;
    starts.push(rest.len());
    let pieces = starts.windows(2).map(|piece| rest.get(piece[0]..piece[1]).unwrap_or_default());
    let clauses = pieces.map(|piece| clause(piece, end)).collect::<Result<_>>()?;
    Ok(Statement::Merge(Box::new(Merge { target, alias, source, source_alias, on, clauses })))
}

/// Reads `WHEN [NOT] MATCHED [BY SOURCE|TARGET] [AND …] THEN …`.
fn clause(tokens: &[Tok], end: usize) -> Result<MergeClause> {
    let span = span_of(tokens).unwrap_or(end..end);
    let end = span.end;
    let mut cursor = Cursor::new(tokens, end);
    cursor.expect_any(&["WHEN"])?;
    let not = cursor.eat(&["NOT"]);
    cursor.expect_any(&["MATCHED"])?;
    let by = if not && cursor.eat(&["BY"]) { cursor.expect_any(&["SOURCE", "TARGET"])? } else { "TARGET" };
    let matched = match (not, by) {
        (false, _) => Matched::Both,
        (true, "SOURCE") => Matched::NotInSource,
        (true, _) => Matched::NotInTarget,
    };
    let mut rest = cursor.rest();
    let then = top_level(rest, |tok, _| tok.is_word("THEN")).first().copied();
    let Some(then) = then else { return Err(expected(None, end, &["AND", "THEN"])) };
    let condition = match rest.split_first() {
        Some((and, after)) if and.is_word("AND") => {
            Some(expression(after.get(..then.saturating_sub(1)).unwrap_or_default(), end)?)
        }
        _ if then > 0 => return Err(expected(rest.first(), end, &["AND", "THEN"])),
        _ => None,
    };
    rest = rest.get(then + 1..).unwrap_or_default();
    let action = merge_action(matched, rest, end)?;
    Ok(MergeClause { matched, condition, action, span })
}

fn merge_action(matched: Matched, tokens: &[Tok], end: usize) -> Result<MergeAction> {
    let mut cursor = Cursor::new(tokens, end);
    let allowed: &[&str] = match matched {
        Matched::NotInTarget => &["INSERT", "DO"],
        Matched::Both | Matched::NotInSource => &["UPDATE", "DELETE", "DO"],
    };
    let action = match cursor.expect_any(allowed)? {
        "UPDATE" => {
            cursor.expect_any(&["SET"])?;
            MergeAction::Update(assignments(cursor.take_rest(), end)?)
        }
        "DELETE" => MergeAction::Delete,
        "INSERT" => {
            let has_columns = cursor.peek().is_some_and(|tok| tok.token == Token::LParen);
            let columns = if has_columns { Some(names(cursor.expect_group()?, end)?) } else { None };
            cursor.expect_any(&["VALUES"])?;
            let place = cursor.place();
            let values = split_commas(cursor.expect_group()?);
            let values =
                values.into_iter().map(|value| expression(value, end)).collect::<Result<Vec<_>>>()?;
            if let Some(columns) = columns.as_ref().filter(|columns| columns.len() != values.len()) {
                let message = format!("{} columns and {} values", columns.len(), values.len());
                return Err(Error::invalid(message)
                    .with_hint("each column takes the value in the same place")
                    .with_span(place));
            }
            MergeAction::Insert { columns, values }
        }
        _ => {
            cursor.expect_any(&["NOTHING"])?;
            MergeAction::Nothing
        }
    };
    cursor.finish()?;
    Ok(action)
}

/// Splits the rows of an `INSERT` from `ON CONFLICT [(…)] DO …` behind them.
///
/// # Errors
/// `Invalid` at the first token of the clause that does not fit.
pub(super) fn split_conflict(tokens: &[Tok], end: usize) -> Result<(&[Tok], Option<Conflict>)> {
    // `ON conflict = …` of a join is something else.
    let starts = top_level(tokens, |tok, next| {
        let follows = |next: &Tok| {
            let at = tokens.iter().position(|tok| tok.span == next.span).unwrap_or(tokens.len());
            let mut cursor = Cursor::new(tokens.get(at..).unwrap_or_default(), end);
            cursor.eat(&["CONFLICT"])
                && (cursor.eat(&["DO"]) || (cursor.expect_group().is_ok() && cursor.eat(&["DO"])))
        };
        tok.is_word("ON") && next.is_some_and(follows)
    });
    let Some(at) = starts.last().copied() else { return Ok((tokens, None)) };
    let (rows, clause) = tokens.split_at(at);
    let span = span_of(clause).unwrap_or(end..end);
    let mut cursor = Cursor::new(clause, end);
    cursor.eat(&["ON", "CONFLICT"]);
    let has_columns = cursor.peek().is_some_and(|tok| tok.token == Token::LParen);
    let columns = if has_columns { Some(names(cursor.expect_group()?, end)?) } else { None };
    cursor.expect_any(&["DO"])?;
    let action = match cursor.expect_any(&["NOTHING", "UPDATE"])? {
        "NOTHING" => {
            cursor.finish()?;
            ConflictAction::Nothing
        }
        _ => {
            cursor.expect_any(&["SET"])?;
            let (set, condition) = with_condition(cursor.take_rest(), end)?;
            ConflictAction::Update { assignments: assignments(set, end)?, condition: condition.map(Box::new) }
        }
    };
    Ok((rows, Some(Conflict { columns, action, span })))
}

fn alias(cursor: &mut Cursor<'_>, before: &[&str]) -> Result<Option<Name>> {
    let written = cursor.eat(&["AS"]);
    if !written && cursor.peek().is_none_or(|tok| tok.is_any(before) || tok.name().is_none()) {
        return Ok(None);
    }
    take_name(cursor, "another name").map(Some)
}

/// Splits what stands before `WHERE` from the condition behind it.
fn with_condition(tokens: &[Tok], end: usize) -> Result<(&[Tok], Option<Expr>)> {
    match top_level(tokens, |tok, _| tok.is_word("WHERE")).first().copied() {
        None => Ok((tokens, None)),
        Some(at) => {
            let (before, after) = tokens.split_at(at);
            Ok((before, Some(expression(after.get(1..).unwrap_or_default(), end)?)))
        }
    }
}

fn assignments(tokens: &[Tok], end: usize) -> Result<Vec<Assignment>> {
    if tokens.is_empty() {
        return Err(expected(None, end, &["a column's name"]));
    }
    let mut found: Vec<Assignment> = vec![];
    for piece in split_commas(tokens) {
        let mut cursor = Cursor::new(piece, span_of(piece).map_or(end, |span| span.end));
        let column = take_name(&mut cursor, "a column's name")?;
        cursor.expect_token(&Token::Eq)?;
        if found.iter().any(|other| other.column.value == column.value) {
            return Err(Error::invalid(format!("column `{}` is set twice", column.value))
                .with_hint("set each column once")
                .with_span(column.span));
        }
        let value = expression(cursor.rest(), cursor.end())?;
        found.push(Assignment { column, value });
    }
    Ok(found)
}

fn expression(tokens: &[Tok], end: usize) -> Result<Expr> {
    let end = span_of(tokens).map_or(end, |span| span.end);
    if tokens.is_empty() {
        return Err(expected(None, end, &["a value"]));
    }
    let tokens = soften(tokens);
    let mut expression = parse_expr(&tokens, end)?;
    let place = span_of(&tokens).unwrap_or(end..end);
    function_alias::rewrite_expr(&mut expression, &tokens).map_err(|error| error.with_span(place))?;
    Ok(expression)
}

/// Returns the places outside brackets and `CASE … END` of the tokens that `wanted`, given the next one too, says yes to.
fn top_level(tokens: &[Tok], wanted: impl Fn(&Tok, Option<&Tok>) -> bool) -> Vec<usize> {
    let (mut depth, mut found) = (0_i32, vec![]);
    for (at, tok) in tokens.iter().enumerate() {
        depth += bracket(&tok.token);
        depth += i32::from(tok.is_word("CASE")) - i32::from(tok.is_word("END") && depth > 0);
        if depth == 0 && wanted(tok, tokens.get(at + 1)) {
            found.push(at);
        }
    }
    found
}
