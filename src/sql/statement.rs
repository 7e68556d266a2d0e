//! What an application's text says: one [`Statement`] per `;`, queries as sqlparser's tree plus what streaming adds.

use std::ops::Range;

use sqlparser::ast::{self, DataType};

use super::annotation::Annotations;
use super::window_spec::WindowSpec;

/// A statement and where it stands in the whole text.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    /// Its bytes in the whole text, without comments before it and the `;` after it.
    pub span: Range<usize>,
    /// The text at `span`.
    pub text: String,
    /// Annotations in comments before and inside it, in order.
    pub annotations: Annotations,
    /// What it says.
    pub statement: Statement,
}

/// What a name in `CREATE` and `DROP` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// Rows that arrive.
    Stream,
    /// Rows by key, kept up to date.
    Table,
    /// A name for a query.
    View,
    /// A running statement.
    Job,
}

impl RelationKind {
    /// Returns the keyword, as in SQL.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Stream => "STREAM",
            Self::Table => "TABLE",
            Self::View => "VIEW",
            Self::Job => "JOB",
        }
    }
}

/// A name, lower-cased unless it was quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name itself, without quotes.
    pub value: String,
    /// Its bytes in the whole text.
    pub span: Range<usize>,
}

/// `'key' = 'value'` of an option list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionItem {
    /// The key as written, without quotes.
    pub key: String,
    /// The value as written, without quotes.
    pub value: String,
    /// The bytes of key and value in the whole text.
    pub span: Range<usize>,
}

/// A declared column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, for the planner.
    pub data_type: DataType,
    /// Whether null is refused.
    pub not_null: bool,
    /// Whether it carries `PRIMARY KEY`.
    pub primary_key: bool,
    /// Its bytes in the whole text.
    pub span: Range<usize>,
}

/// `WATERMARK FOR column AS column - delay`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The event-time column.
    pub column: String,
    /// How far rows may be out of order, in milliseconds.
    pub delay_ms: i64,
    /// Its bytes in the whole text.
    pub span: Range<usize>,
}

/// When results come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmitMode {
    /// The changed groups, as a changelog.
    Changes,
    /// One row per key and window when it closes; also `ON WINDOW CLOSE`.
    Final,
}

/// An `EMIT` clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emit {
    /// When results come out.
    pub mode: EmitMode,
    /// Its bytes in the whole text.
    pub span: Range<usize>,
}

/// The options of one source, from `FROM s WITH (…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineOptions {
    /// The source's name, or its address for `FROM 'kafka://…'`.
    pub source: String,
    /// Its options.
    pub options: Vec<OptionItem>,
}

/// A query and the streaming clauses that are not part of sqlparser's tree.
///
/// Windows are inside the tree, as calls of `__window_start('…')` and `__window_end('…')` whose argument is
/// [`WindowSpec::to_text`], except for [`rows_window`](Self::rows_window).
#[derive(Debug, Clone)]
pub struct StreamQuery {
    /// The query for DataFusion's planner.
    pub query: ast::Query,
    /// `EMIT`, if written.
    pub emit: Option<Emit>,
    /// The sink of `INTO`.
    pub into: Option<Name>,
    /// The options right after the sink's name.
    pub into_options: Vec<OptionItem>,
    /// The trailing `WITH (…)`.
    pub options: Vec<OptionItem>,
    /// The source that the trailing `WITH` follows directly (`SELECT * FROM s WITH (…)`): its options may be meant for that source.
    pub options_follow: Option<String>,
    /// Ordinals, from 0, of the select items marked `PRIMARY KEY`.
    pub primary_key: Vec<usize>,
    /// `GRACE PERIOD` as a clause of its own, in milliseconds.
    pub grace_ms: Option<i64>,
    /// Options given to sources in `FROM`.
    pub inline_options: Vec<InlineOptions>,
    /// Addresses in single quotes in `FROM`; in the tree they are table names whose `quote_style` is `'`.
    pub uris: Vec<(String, Range<usize>)>,
    /// A window whose rows are not aggregated (`OVER` inside a window, or only `HAVING` aggregates).
    pub rows_window: Option<WindowSpec>,
    /// Its bytes in the whole text.
    pub span: Range<usize>,
}

/// Where the rows of an `INSERT` come from.
#[derive(Debug, Clone)]
pub enum InsertSource {
    /// A query.
    Query(Box<StreamQuery>),
    /// `VALUES` rows.
    Values(Vec<Vec<ast::Expr>>),
}

/// `column = value` of a `SET`.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The column.
    pub column: Name,
    /// Its new value, over the row that is there; over `excluded` too, where another row was to be inserted.
    pub value: ast::Expr,
}

/// What an `INSERT` does about a row whose key is there: `ON CONFLICT …`, or `UPSERT INTO`.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// The columns of the key, if they are written.
    pub columns: Option<Vec<Name>>,
    /// What is done.
    pub action: ConflictAction,
    /// Its bytes in the whole text.
    pub span: Range<usize>,
}

/// What is done about a row whose key is there.
#[derive(Debug, Clone)]
pub enum ConflictAction {
    /// The new row takes its place (`UPSERT INTO`).
    Replace,
    /// It stays (`DO NOTHING`).
    Nothing,
    /// It is changed (`DO UPDATE SET …`).
    Update {
        /// How.
        assignments: Vec<Assignment>,
        /// Only where this is true.
        condition: Option<Box<ast::Expr>>,
    },
}

/// `MERGE INTO target USING source ON … WHEN …`.
#[derive(Debug, Clone)]
pub struct Merge {
    /// The table.
    pub target: Name,
    /// What it is called in expressions.
    pub alias: Option<Name>,
    /// What is merged into it.
    pub source: MergeSource,
    /// What that is called in expressions.
    pub source_alias: Option<Name>,
    /// Which rows belong together.
    pub on: ast::Expr,
    /// What is done, by the first that fits.
    pub clauses: Vec<MergeClause>,
}

/// What is merged into a table.
#[derive(Debug, Clone)]
pub enum MergeSource {
    /// A stream or table.
    Relation(Name),
    /// The rows of a query.
    Query(Box<StreamQuery>),
}

/// `WHEN [NOT] MATCHED … THEN …`.
#[derive(Debug, Clone)]
pub struct MergeClause {
    /// Which rows it is for.
    pub matched: Matched,
    /// Only where this is true.
    pub condition: Option<ast::Expr>,
    /// What is done.
    pub action: MergeAction,
    /// Its bytes in the whole text.
    pub span: Range<usize>,
}

/// On which sides of a `MERGE` a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    /// `MATCHED`
    Both,
    /// `NOT MATCHED [BY TARGET]`
    NotInTarget,
    /// `NOT MATCHED BY SOURCE`
    NotInSource,
}

/// What a `MERGE` does with a row.
#[derive(Debug, Clone)]
pub enum MergeAction {
    /// `UPDATE SET …`
    Update(Vec<Assignment>),
    /// `DELETE`
    Delete,
    /// `INSERT [(…)] VALUES (…)`
    Insert {
        /// The column list; `None` means by position.
        columns: Option<Vec<Name>>,
        /// The values, over the row of the source.
        values: Vec<ast::Expr>,
    },
    /// `DO NOTHING`
    Nothing,
}

/// What `SHOW` lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShowKind {
    /// `SHOW STREAMS`
    Streams,
    /// `SHOW TABLES`
    Tables,
    /// `SHOW JOBS`
    Jobs,
    /// `SHOW FUNCTIONS`
    Functions,
    /// `SHOW CONNECTORS`
    Connectors,
    /// `SHOW CREATE STREAM|TABLE|VIEW name`
    Create(RelationKind, Name),
    /// `SHOW PARTITIONS name`
    Partitions(Name),
}

/// `CREATE STREAM|TABLE name (…) WITH (…)`.
#[derive(Debug, Clone)]
pub struct Declare {
    /// Stream or table.
    pub kind: RelationKind,
    /// Its name.
    pub name: Name,
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The columns; `None` leaves them to be inferred.
    pub columns: Option<Vec<Column>>,
    /// The watermark, if declared.
    pub watermark: Option<Watermark>,
    /// The key's columns, from either form.
    pub primary_key: Vec<String>,
    /// The options of `WITH`.
    pub options: Vec<OptionItem>,
}

/// `CREATE STREAM|TABLE name … AS SELECT …`.
#[derive(Debug, Clone)]
pub struct CreateAs {
    /// Stream or table.
    pub kind: RelationKind,
    /// Its name.
    pub name: Name,
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Names for the result's columns.
    pub columns: Option<Vec<Name>>,
    /// The options before `AS`.
    pub sink_options: Vec<OptionItem>,
    /// The query.
    pub query: StreamQuery,
}

/// One statement of an application.
#[derive(Debug, Clone)]
pub enum Statement {
    /// A source or sink declared once.
    Declare(Declare),
    /// A job with a named result.
    CreateAs(Box<CreateAs>),
    /// A name for a query.
    CreateView {
        /// Its name.
        name: Name,
        /// `OR REPLACE`
        or_replace: bool,
        /// The query.
        query: Box<StreamQuery>,
    },
    /// A job into a declared stream or table, or rows by value.
    Insert {
        /// Where to.
        target: Name,
        /// The column list; `None` means by position.
        columns: Option<Vec<Name>>,
        /// Where from.
        source: InsertSource,
        /// What is done about rows whose key is there.
        conflict: Option<Conflict>,
    },
    /// Changes rows of a table.
    Update {
        /// The table.
        target: Name,
        /// How.
        assignments: Vec<Assignment>,
        /// Which rows; all of them if it is not said.
        condition: Option<ast::Expr>,
    },
    /// Removes rows of a table.
    Delete {
        /// The table.
        target: Name,
        /// Which rows; all of them if it is not said.
        condition: Option<ast::Expr>,
    },
    /// Inserts, changes and removes rows of a table by those of another.
    Merge(Box<Merge>),
    /// A query.
    Select(Box<StreamQuery>),
    /// The plan of a statement.
    Explain {
        /// Whether it is run.
        analyze: bool,
        /// The statement.
        statement: Box<Statement>,
    },
    /// An option for the statements after it.
    Set {
        /// The option.
        key: String,
        /// Its value, as text.
        value: String,
    },
    /// A listing.
    Show {
        /// What is listed.
        what: ShowKind,
        /// The pattern of `LIKE`.
        like: Option<String>,
    },
    /// The columns and options of a relation.
    Describe {
        /// `EXTENDED`
        extended: bool,
        /// Which.
        name: Name,
    },
    /// Removes a relation or a job.
    Drop {
        /// What it is.
        kind: RelationKind,
        /// Its name.
        name: Name,
        /// `IF EXISTS`
        if_exists: bool,
        /// `CASCADE`
        cascade: bool,
    },
    /// A statement of the language that is recognised by its first words, for the caller to refuse by name.
    NotYet {
        /// Its name, such as `PAUSE JOB`.
        what: String,
    },
}

impl Statement {
    /// Returns the name that others can read once the statement is done.
    pub fn declares(&self) -> Option<&Name> {
        match self {
            Self::Declare(declare) => Some(&declare.name),
            Self::CreateAs(create) => Some(&create.name),
            Self::CreateView { name, .. } => Some(name),
            _ => None,
        }
    }
}
