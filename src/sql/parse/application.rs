//! [`parse_application`]: a whole file at once, with all of its errors.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use super::engine::parse_expr;
use super::query::soften;
use super::statement::statement;
use crate::error::{Error, Result};
use crate::sql::annotation::{self, Annotations, Notice};
use crate::sql::function_alias;
use crate::sql::limits;
use crate::sql::stack::on_large_stack;
use crate::sql::statement::ParsedStatement;
use crate::sql::tokens::{Cursor, Tok, is_blank, span_of, tokenize};

/// Up to so many operators and brackets a statement is read on the caller's stack, whatever its size.
const INLINE_MAX: usize = 150;

/// What a file says.
#[derive(Debug, Default)]
pub struct Application {
    /// The statements that could be read, in order.
    pub statements: Vec<ParsedStatement>,
    /// Annotations of the file as a whole.
    pub annotations: Annotations,
    /// What the user should know that is no error.
    pub notices: Vec<Notice>,
    /// One error for each statement that could not be read, in order; spans are bytes of the whole text.
    pub errors: Vec<Error>,
    /// What the statements with errors would have created.
    pub unread: Vec<String>,
}

/// Reads the text of an application: statements separated by `;`, with annotations in comments.
///
/// A statement with an error does not keep the others from being read.
///
/// ```
/// use velostream::sql::{Statement, parse_application};
///
/// let app = parse_application("-- @app: demo\nSELECT 1; SELEC 2;");
/// assert_eq!(app.annotations[0].value, "demo");
/// assert!(matches!(app.statements[0].statement, Statement::Select(_)));
/// assert_eq!(app.errors[0].hint(), Some("did you mean `SELECT`?"));
/// ```
pub fn parse_application(text: &str) -> Application {
    let (tokens, broken) = tokenize(text);
    let mut app = Application::default();
    let mut header = true;
    let pieces: Vec<&[Tok]> = tokens.split(|tok| tok.token == Token::SemiColon).collect();
    let last = pieces.len().saturating_sub(1);
    for (index, piece) in pieces.into_iter().enumerate() {
        let found = annotation::read(text, piece, header);
        let own: Vec<Tok> = piece.iter().filter(|tok| !is_blank(&tok.token)).cloned().collect();
        app.annotations.extend(found.app);
        app.notices.extend(found.notices);
        let Some(span) = span_of(&own) else {
            if index == last && broken.is_none() {
                app.notices.extend(found.own.into_iter().filter(|_| index > 0).map(|annotation| Notice {
                    message: format!(
                        "annotation `@{}` stands after the last statement and has no effect",
                        annotation.name
                    ),
                    span: annotation.span,
                }));
            }
            continue;
        };
        header = false;
        if index == last && broken.is_some() {
            // The text could not be read to its end: this statement is only its start.
            app.unread.extend(created(&own));
            continue;
        }
        let parsed_text = text.get(span.clone()).unwrap_or_default().to_owned();
        match read(text, &own, span.end) {
            Ok(statement) => app.statements.push(ParsedStatement {
                span,
                text: parsed_text,
                annotations: found.own,
                statement,
            }),
            Err(error) => {
                app.errors.push(error.with_span(span));
                app.unread.extend(created(&own));
            }
        }
    }
    app.errors.extend(broken);
    app
}

/// Returns the name that a statement would create, as far as its first words say.
fn created(tokens: &[Tok]) -> Option<String> {
    let mut cursor = Cursor::new(tokens, 0);
    cursor.eat(&["CREATE"]).then_some(())?;
    cursor.eat(&["OR", "REPLACE"]);
    cursor.expect_any(&["STREAM", "TABLE", "VIEW"]).ok()?;
    cursor.eat(&["IF", "NOT", "EXISTS"]);
    cursor.peek()?.name()
}

/// Reads one expression, such as the condition of `@metric_condition`; functions under other names are rewritten.
///
/// # Errors
/// `Invalid` with its place in `text`, also for anything after the expression.
pub fn parse_expression(text: &str) -> Result<Expr> {
    let (tokens, broken) = tokenize(text);
    if let Some(error) = broken {
        return Err(error);
    }
    let own: Vec<Tok> = tokens.into_iter().filter(|tok| !is_blank(&tok.token)).collect();
    limits::check(&own)?;
    let own = soften(&own);
    let mut expr = parse_expr(&own, text.len())?;
    function_alias::rewrite_expr(&mut expr, &own)?;
    Ok(expr)
}

/// Reads one statement and checks that nothing is left.
fn read(text: &str, tokens: &[Tok], end: usize) -> Result<crate::sql::statement::Statement> {
    let work = || {
        let mut cursor = Cursor::new(tokens, end);
        let statement = statement(text, &mut cursor)?;
        cursor.finish()?;
        Ok(statement)
    };
    if limits::check(tokens)? <= INLINE_MAX { work() } else { on_large_stack(work)? }
}
