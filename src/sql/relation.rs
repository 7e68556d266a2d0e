//! [`Relation`]: a declared stream as the planner sees it, with its system columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::connect::{OnError, SourceConnector};
use crate::sql::window_spec::WindowSpec;
use crate::table::Table;
use crate::time::{EventTimeFormat, WatermarkStrategy};

/// Where a stream's event time comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// The column.
    pub column: String,
    /// How it is written.
    pub format: EventTimeFormat,
    /// How far ahead of the clock it may be, in milliseconds.
    pub max_ahead_ms: i64,
}

/// A stream that queries read.
#[derive(Debug, Clone)]
pub struct Relation {
    /// The name.
    pub name: String,
    /// The declared (or inferred) columns.
    pub schema: SchemaRef,
    /// The event time; none means the broker's timestamp or the arrival.
    pub event_time: Option<EventTime>,
    /// How the watermark follows.
    pub watermark: WatermarkStrategy,
    /// What a bad record does.
    pub on_error: Option<OnError>,
    /// What becomes of late rows, for jobs that do not say it: a value of `late.data.strategy`.
    pub late: Option<&'static str>,
    /// Where the rows come from.
    pub source: Arc<dyn SourceConnector>,
    /// The rows by key, where the relation is a table: queries look them up, or read them as they are.
    pub table: Option<Arc<Table>>,
    /// The columns that are bounds of windows, where another job of the application aggregated by them.
    pub windows: Vec<WindowColumn>,
    /// The columns that are the event time of the rows, where another job of the application gives both.
    pub time_columns: Vec<String>,
    /// Every row that came for a table, with its time: what the table is made of, where a source feeds it.
    pub versions: Option<Arc<Relation>>,
    /// Whether rows are withdrawn again: what is read are changes.
    pub changelog: bool,
    /// The hidden columns that rows bring with them from another job of the application.
    pub carried: Vec<SystemColumn>,
    /// What a query reads that follows the relation, where it is a table and passes its changes on.
    pub changes: Option<TableChanges>,
    /// Whether the relation is what follows a table: its rows, and then its changes.
    pub of_table: bool,
}

/// How the rows of a table change.
#[derive(Debug, Clone)]
pub struct TableChanges {
    /// The rows, and then their changes, as a stream with the name of the table.
    pub stream: Arc<Relation>,
    /// Whether nothing changes once the table is ready.
    pub settled: bool,
}

impl Relation {
    /// Returns whether rows are withdrawn again where the relation is followed.
    pub fn withdraws(&self) -> bool {
        self.changes.as_ref().map_or(self.changelog, |changes| changes.stream.changelog)
    }

    /// Returns whether what follows the relation comes to an end.
    pub fn ends(&self) -> bool {
        self.changes
            .as_ref()
            .map_or_else(|| self.source.is_bounded(), |changes| changes.stream.source.is_bounded())
    }

    /// Returns whether the relation is a table that stays as it is once it is ready.
    pub fn stands_still(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| changes.settled)
    }

    /// Returns whether a row of a changelog has the same value in a system column when it is withdrawn as when it came.
    pub fn is_lasting(&self, column: SystemColumn) -> bool {
        match column {
            SystemColumn::EventTime => self.carried.contains(&SystemColumn::Time),
            SystemColumn::Arrival | SystemColumn::Offset | SystemColumn::TieOffset => false,
            SystemColumn::Time | SystemColumn::Watermark => self.carried.contains(&column),
            SystemColumn::Partition
            | SystemColumn::Key
            | SystemColumn::Topic
            | SystemColumn::Headers
            | SystemColumn::TiePartition
            | SystemColumn::Origin => true,
        }
    }
}

/// A column that is part of a window.
#[derive(Debug, Clone)]
pub struct WindowColumn {
    /// The column.
    pub column: String,
    /// What of the window it is.
    pub part: WindowPart,
    /// The window.
    pub spec: WindowSpec,
}

/// What of a window a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowPart {
    /// Its start.
    Start,
    /// Its end.
    End,
    /// The time from the first row of a session to its last.
    Duration,
}

/// A column that every stream has beside the declared ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemColumn {
    /// `_event_time`: when the row happened.
    EventTime,
    /// `_timestamp`: when the row arrived.
    Arrival,
    /// `_partition`: the ordinal of the source partition.
    Partition,
    /// `_offset`: the place of the record in its partition.
    Offset,
    /// `_key`: the message key as text.
    Key,
    /// `_topic`: the topic, or the path of the file.
    Topic,
    /// `_headers`: the message headers; read through `HEADER('k')`.
    Headers,
    /// The event time as it travels with each row; no query can name it.
    Time,
    /// The watermark of the row's partition at the row; no query can name it.
    Watermark,
    /// The partition, as it travels with each row to settle ties in time.
    TiePartition,
    /// The place in the partition, as it travels with each row to settle ties in time.
    TieOffset,
    /// The partition as a number that is the same in every run; for tables that take rows back.
    Origin,
}

impl SystemColumn {
    /// The columns that a query can name.
    pub const VISIBLE: [Self; 7] = [
        Self::EventTime,
        Self::Arrival,
        Self::Partition,
        Self::Offset,
        Self::Key,
        Self::Topic,
        Self::Headers,
    ];

    /// The columns that travel with each row unseen.
    pub const HIDDEN: [Self; 4] = [Self::Time, Self::Watermark, Self::TiePartition, Self::TieOffset];

    /// Returns the column's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::EventTime => "_event_time",
            Self::Arrival => "_timestamp",
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Key => "_key",
            Self::Topic => "_topic",
            Self::Headers => "_headers",
            Self::Time => "__time",
            Self::Watermark => "__watermark",
            Self::TiePartition => "__partition",
            Self::TieOffset => "__offset",
            Self::Origin => "__origin",
        }
    }

    /// Returns the system column of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut all = Self::VISIBLE.into_iter().chain(Self::HIDDEN).chain([Self::Origin]);
        all.find(|column| column.name() == name)
    }

    /// Returns the column as a field.
    pub fn field(self) -> Field {
        let data_type = match self {
            Self::EventTime | Self::Arrival | Self::Time | Self::Watermark => {
                DataType::Timestamp(TimeUnit::Millisecond, None)
            }
            Self::Partition | Self::TiePartition => DataType::Int32,
            Self::Offset | Self::TieOffset | Self::Origin => DataType::Int64,
            Self::Key | Self::Topic => DataType::Utf8,
            Self::Headers => {
                let entries = Fields::from(vec![
                    Field::new("keys", DataType::Utf8, false),
                    Field::new("values", DataType::Binary, true),
                ]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
            }
        };
        let nullable = matches!(self, Self::Key | Self::Topic | Self::Headers);
        Field::new(self.name(), data_type, nullable)
    }
}

/// A relation as a table of DataFusion's, with the system columns that one query needs.
#[derive(Debug)]
pub struct RelationTable {
    /// The relation.
    pub relation: Arc<Relation>,
    schema: SchemaRef,
}

impl RelationTable {
    /// Creates the table with `system` columns after the declared ones.
    pub fn new(relation: Arc<Relation>, system: &[SystemColumn]) -> Self {
        let mut fields = relation.schema.fields().to_vec();
        // A row of a table is no record: it has no place, no key of a message and no headers.
        let system = if relation.table.is_some() { &[] } else { system };
        // A declared column of that name is what a query means.
        let system = system.iter().filter(|column| relation.schema.index_of(column.name()).is_err());
        fields.extend(system.map(|column| Arc::new(column.field())));
        Self { relation, schema: Arc::new(Schema::new(fields)) }
    }

    /// Returns the same table with some hidden columns too.
    pub fn with_hidden(&self, hidden: &[SystemColumn]) -> Self {
        let mut fields = self.schema.fields().to_vec();
        fields.extend(hidden.iter().map(|column| Arc::new(column.field())));
        Self { relation: Arc::clone(&self.relation), schema: Arc::new(Schema::new(fields)) }
    }
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal(format!("stream `{}` was planned as a table", self.relation.name)))
    }
}
