//! [`Batch`]: a query as one run of DataFusion's over the whole input.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::prelude::{
    CsvReadOptions, JsonReadOptions, ParquetReadOptions, SessionConfig, SessionContext,
};
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::data::{Input, InputFormat, Place};
use super::dataset::Dataset;
use super::digest::Digest;
use super::queries::BenchQuery;
use crate::error::{Error, Result};

/// DataFusion with inputs to read; its settings are its own but for the number of partitions, and for
/// numbers with a point being DECIMAL, as they are in our SQL: both engines compute the same answer.
pub(super) struct Batch {
    runtime: Runtime,
    context: SessionContext,
}

impl Batch {
    /// Makes DataFusion ready to read `inputs` on `parallelism` cores.
    pub(super) fn new(inputs: &[Input], parallelism: NonZeroUsize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(parallelism.get()).build();
        let runtime = runtime.map_err(|error| Error::exhausted("cannot start threads").with_cause(error))?;
        let mut config = SessionConfig::new().with_target_partitions(parallelism.get());
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let context = SessionContext::new_with_config(config);
        for input in inputs {
            runtime.block_on(register(&context, input, parallelism))?;
        }
        Ok(Self { runtime, context })
    }

    /// Returns the columns of a query's answer.
    pub(super) fn schema(&self, query: &BenchQuery) -> Result<SchemaRef> {
        let frame = self.runtime.block_on(self.context.sql(query.for_datafusion()))?;
        let schema: &Schema = frame.schema().as_arrow();
        Ok(Arc::new(schema.clone()))
    }

    /// Plans and runs a query, and counts its rows; with a schema to compare them in they are digested too.
    pub(super) fn run(&self, query: &BenchQuery, compared_as: Option<&SchemaRef>) -> Result<Digest> {
        self.runtime.block_on(async {
            let mut stream = self.context.sql(query.for_datafusion()).await?.execute_stream().await?;
            let mut answer = Digest::default();
            while let Some(rows) = stream.next().await {
                let rows = rows?;
                match compared_as {
                    Some(schema) => answer.add(&rows, None, schema)?,
                    None => answer.rows += i64::try_from(rows.num_rows()).unwrap_or(i64::MAX),
                }
            }
            Ok(answer)
        })
    }
}

async fn register(context: &SessionContext, input: &Input, parallelism: NonZeroUsize) -> Result<()> {
    let (name, schema) = (input.dataset.name(), input.dataset.schema());
    match &input.place {
        Place::File(format, path) => {
            let path = path.to_str().ok_or_else(|| {
                Error::invalid(format!("`{}` is not UTF-8", path.display()))
                    .with_hint("name another directory: --data DIRECTORY")
            })?;
            register_file(context, input.dataset, *format, path).await?;
        }
        Place::Memory(batches) => {
            let rows = context.state().config().batch_size();
            let table = MemTable::try_new(schema, dealt(batches, rows, parallelism))?;
            context.register_table(name, Arc::new(table))?;
        }
    }
    if input.dataset.has_time() {
        for view in views(name) {
            context.sql(&view).await?;
        }
    }
    Ok(())
}

async fn register_file(
    context: &SessionContext,
    dataset: Dataset,
    format: InputFormat,
    path: &str,
) -> Result<()> {
    let (name, schema) = (dataset.name(), dataset.schema());
    match format {
        InputFormat::Json => {
            context.register_json(name, path, JsonReadOptions::default().schema(&schema)).await?;
        }
        InputFormat::Csv => context.register_csv(name, path, CsvReadOptions::new().schema(&schema)).await?,
        InputFormat::Parquet => context.register_parquet(name, path, ParquetReadOptions::default()).await?,
        InputFormat::Memory => return Err(Error::internal("rows in memory are no file")),
    }
    Ok(())
}

/// Makes views of a dataset: each row with the start of its window of 10 seconds, and with that of each of its five where
/// one begins every 2 seconds.
fn views(name: &str) -> [String; 2] {
    let tumbling = format!(
        r#"CREATE VIEW tumbling_{name} AS
            SELECT *, date_bin(INTERVAL '10 seconds', "dateTime") AS window_start FROM {name}"#
    );
    let hopping = format!(
        r#"CREATE VIEW hopping_{name} AS
            SELECT {name}.*, date_bin(INTERVAL '2 seconds', "dateTime") - back AS window_start FROM {name}
            CROSS JOIN (VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
                (INTERVAL '6 seconds'), (INTERVAL '8 seconds')) AS b(back)"#
    );
    [tumbling, hopping]
}

/// Slices batches to at most `rows` rows, the size that DataFusion likes, and shares them out without copying.
fn dealt(batches: &[RecordBatch], rows: usize, partitions: NonZeroUsize) -> Vec<Vec<RecordBatch>> {
    let mut dealt = vec![vec![]; partitions.get()];
    let slices = batches.iter().flat_map(|batch| {
        let starts = (0..batch.num_rows()).step_by(rows.max(1));
        starts.map(move |start| batch.slice(start, rows.min(batch.num_rows() - start)))
    });
    for (place, slice) in slices.enumerate() {
        dealt[place % partitions].push(slice);
    }
    dealt
}
