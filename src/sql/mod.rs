//! The SQL front end: the text of an application becomes statements with exact places.
//!
//! ```text
//! text ── tokens ──▶ statements at `;` ── limits ──▶ parse ── clauses, windows ──▶ sqlparser ── functions, aliases ──▶ Statement
//!            └──▶ comments ── annotation ──▶ Annotations
//! ```
//!
//! Every token is taken by somebody or is an error with its place. Queries end as sqlparser's tree, in which a streaming window
//! stands as `__window_start('…')` and `__window_end('…')`, the text being [`WindowSpec::to_text`].

mod alias;
mod annotation;
mod caret;
mod clauses;
mod dialect;
mod duration;
mod function_alias;
pub mod functions;
mod limits;
mod mark;
mod parse;
pub mod plan;
pub mod relation;
mod stack;
mod statement;
mod suggest;
mod tokens;
mod window_spec;

pub use annotation::{Annotation, Annotations, Notice};
pub use caret::{line_and_column, show};
pub use dialect::VeloDialect;
pub use duration::{BareNumber, parse_duration_ms, parse_duration_ms_in};
pub use mark::mark;
pub use parse::{
    Application, SESSION_DURATION, WINDOW_END, WINDOW_START, parse_application, parse_expression,
};
pub use stack::on_large_stack;
pub use statement::{
    Assignment, Column, Conflict, ConflictAction, CreateAs, Declare, Emit, EmitMode, InlineOptions,
    InsertSource, Matched, Merge, MergeAction, MergeClause, MergeSource, Name, OptionItem, ParsedStatement,
    RelationKind, ShowKind, Statement, StreamQuery, Watermark,
};
pub use window_spec::{WindowKind, WindowSpec};
