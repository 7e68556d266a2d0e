//! Rows on their way through a join, in epochs, with restarts.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use datafusion::logical_expr::Operator as Comparison;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};

use super::super::{JoinKind, JoinSpec, Keeping, StreamJoin, Unmatched};
use super::model::Given;
use crate::flow::{ChangeBatch, EpochContext, Exchange, Operator, StateDelta};
use crate::time::Watermark;

/// How far out of order rows are.
const BOUND: i64 = 5;

/// An epoch like any other.
pub(super) const EPOCH: EpochContext = EpochContext { epoch: 1, now_ms: 0, last: false };

/// What a join is asked for.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) kind: JoinKind,
    pub(super) keeping: Keeping,
    pub(super) unmatched: Unmatched,
    pub(super) nulls_match: bool,
    pub(super) with_condition: bool,
    pub(super) keyed: bool,
    /// How far the time of a side may be behind the event time of its rows, where they are to be near each other.
    pub(super) lags: [i64; 2],
}

/// A row that happens so long after the latest row of its side, or an earlier one that goes.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) port: usize,
    pub(super) key: Option<i64>,
    pub(super) ahead: i64,
    /// How far the time that is compared is behind, if it may.
    pub(super) behind: i64,
    pub(super) value: Option<i64>,
    /// Which of the rows that are there is withdrawn instead.
    pub(super) withdraws: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: Option<i64>,
    pub(super) time: i64,
    pub(super) mark: i64,
    pub(super) value: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) port: usize,
    pub(super) row: Row,
    pub(super) withdraws: bool,
    /// The watermark of both sides once it is there.
    pub(super) watermark: i64,
}

/// Makes a row of each event; none of one that is late.
pub(super) fn rows_in_time(events: &[Event]) -> Vec<Option<Arrival>> {
    let mut latest = [0_i64; 2];
    let arrival = |event: &Event| {
        let port = event.port;
        let time = latest[port] + event.ahead;
        if time < latest[port] - BOUND {
            return None;
        }
        latest[port] = latest[port].max(time);
        let row = Row { key: event.key, time, mark: latest[port] - BOUND, value: event.value };
        Some(Arrival { port, row, withdraws: false, watermark: latest[0].min(latest[1]) - BOUND })
    };
    events.iter().map(arrival).collect()
}

/// How the rows are cut into epochs, and when the join goes on elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Cuts {
    pub(super) epoch: usize,
    /// After how many epochs, each time.
    pub(super) restart_after: Option<usize>,
    /// How many shards there are, one time after the other.
    pub(super) shards: Vec<usize>,
}

/// Makes rows of events, in the order in which they come; late ones are not among them.
///
/// The mark of a row is the running watermark of its side where rows expire, and else its event time.
pub(super) fn arrivals(case: &Case, events: &[Event]) -> Vec<Arrival> {
    let by_mark = matches!(case.keeping, Keeping::For { .. });
    let mut latest = [0_i64; 2];
    let mut there: [Vec<Row>; 2] = [vec![], vec![]];
    let mut arrivals = vec![];
    for event in events {
        let port = event.port;
        let withdrawn = event.withdraws.filter(|_| !there[port].is_empty());
        let (mut row, withdraws) = match withdrawn {
            Some(choice) => {
                let choice = choice % there[port].len();
                (there[port].swap_remove(choice), true)
            }
            None => {
                let happened = latest[port] + event.ahead;
                let time = happened - event.behind.min(case.lags[port]);
                (Row { key: event.key, time, mark: happened, value: event.value }, false)
            }
        };
        if !withdraws {
            if row.mark < latest[port] - BOUND {
                continue;
            }
            latest[port] = latest[port].max(row.mark);
        }
        if by_mark {
            row.mark = latest[port] - BOUND;
        }
        if !withdraws {
            there[port].push(row);
        }
        arrivals.push(Arrival { port, row, withdraws, watermark: latest[0].min(latest[1]) - BOUND });
    }
    arrivals
}

pub(super) fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("t", time(), true),
        Field::new("m", time(), true),
        Field::new("v", DataType::Utf8View, true),
    ]))
}

impl Case {
    pub(super) fn spec(&self) -> JoinSpec {
        let input = schema();
        let pair = pair_schema();
        let mut marked = input.fields().to_vec();
        marked.push(Arc::new(Field::new("mark", DataType::Boolean, false)));
        let output = match self.kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti => Arc::clone(&input),
            JoinKind::LeftMark => Arc::new(Schema::new(marked)),
            _ => Arc::clone(&pair),
        };
        let keys = if self.keyed { vec![0] } else { vec![] };
        JoinSpec {
            lags: self.lags,
            kind: self.kind,
            inputs: [Arc::clone(&input), input],
            keys: [keys.clone(), keys],
            nulls_match: self.nulls_match,
            times: Some([1, 1]),
            marks: Some([2, 2]),
            keeping: self.keeping,
            condition: self.with_condition.then(condition),
            pair,
            output,
            unmatched: self.unmatched,
        }
    }
}

/// The columns of both sides beside each other.
pub(super) fn pair_schema() -> SchemaRef {
    Arc::new(Schema::new([schema().fields().to_vec(), schema().fields().to_vec()].concat()))
}

/// `left.v <= right.v`.
pub(super) fn condition() -> Arc<dyn PhysicalExpr> {
    let column = |ordinal: usize| Arc::new(Column::new("v", ordinal)) as Arc<dyn PhysicalExpr>;
    Arc::new(BinaryExpr::new(column(3), Comparison::LtEq, column(7)))
}

/// A batch of rows; values are texts that are too long to stand in a view, and of few letters enough to compare.
pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let times = |read: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(read)))
    };
    let text = |row: &Row| row.value.map(|value| format!("a rather long value {value}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.key).collect::<Int64Array>()),
        times(|row| row.time),
        times(|row| row.mark),
        Arc::new(rows.iter().map(text).collect::<StringViewArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn change(arrivals: &[Arrival]) -> ChangeBatch {
    let rows: Vec<Row> = arrivals.iter().map(|arrival| arrival.row).collect();
    let weights = arrivals.iter().any(|arrival| arrival.withdraws).then(|| {
        Int8Array::from_iter_values(arrivals.iter().map(|arrival| if arrival.withdraws { -1 } else { 1 }))
    });
    ChangeBatch::try_new(batch(&rows), weights).unwrap()
}

fn values(column: &ArrayRef) -> Vec<Option<i64>> {
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().collect(),
        DataType::Timestamp(..) => column.as_primitive::<TimestampMillisecondType>().iter().collect(),
        DataType::Boolean => {
            let column: &BooleanArray = column.as_boolean();
            column.iter().map(|value| value.map(i64::from)).collect()
        }
        _ => {
            let number = |text: &str| text.rsplit(' ').next().and_then(|text| text.parse().ok());
            column.as_string_view().iter().map(|text| text.and_then(number)).collect()
        }
    }
}

/// Returns the rows of a change with their weights.
pub(super) fn given(change: &ChangeBatch) -> Vec<(Given, i64)> {
    let columns: Vec<_> = change.rows().columns().iter().map(values).collect();
    let row = |row: usize| columns.iter().map(|column| column[row]).collect();
    let weight = |row: usize| change.weights().map_or(1, |weights| i64::from(weights.value(row)));
    (0..change.num_rows()).map(|ordinal| (row(ordinal), weight(ordinal))).collect()
}

/// How a job makes the instances of a join, and what they promise.
pub(super) struct Job {
    pub(super) make: Box<dyn Fn() -> Box<dyn Operator>>,
    pub(super) inputs: [SchemaRef; 2],
    pub(super) keys: [Vec<usize>; 2],
    /// Tells the event time of a row of the result.
    pub(super) time_of: fn(&Given) -> i64,
}

/// Instances that share the keys, as a job runs them.
struct Shards {
    joins: Vec<Box<dyn Operator>>,
    exchanges: [Exchange; 2],
}

impl Shards {
    fn new(job: &Job, count: usize) -> Self {
        let exchange =
            |port: usize| Exchange::try_new(&job.inputs[port], job.keys[port].clone(), count).unwrap();
        Self { joins: (0..count).map(|_| (job.make)()).collect(), exchanges: [exchange(0), exchange(1)] }
    }

    fn restore(&mut self, delta: &StateDelta) {
        let parts = self.exchanges[delta.port].split(&ChangeBatch::inserts(delta.rows.clone())).unwrap();
        for (join, part) in self.joins.iter_mut().zip(parts) {
            let rows = part.map_or_else(|| delta.rows.slice(0, 0), |part| part.rows().clone());
            join.restore(&StateDelta { rows, ..*delta }).unwrap();
        }
    }

    fn run(&mut self, input: &[(usize, ChangeBatch)], watermark: Watermark) -> Vec<ChangeBatch> {
        let mut out = vec![];
        for (port, change) in input {
            for (join, part) in self.joins.iter_mut().zip(self.exchanges[*port].split(change).unwrap()) {
                out.extend(part.map(|part| join.apply(*port, &part, &EPOCH).unwrap()).unwrap_or_default());
            }
        }
        for join in &mut self.joins {
            out.extend(join.advance(watermark, &EPOCH).unwrap());
        }
        out
    }

    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        self.joins.iter().map(|join| join.watermark_behind(watermark)).min().unwrap()
    }
}

impl Case {
    pub(super) fn job(&self) -> Job {
        let spec = Arc::new(self.spec());
        Job {
            inputs: spec.inputs.clone(),
            keys: spec.keys.clone(),
            make: Box::new(move || {
                Box::new(StreamJoin::try_new("join".to_owned(), Arc::clone(&spec), true).unwrap())
            }),
            // The later of those of its two sides.
            time_of: match self.keeping {
                Keeping::For { .. } => |row| row[1].max(row.get(5).copied().flatten()).unwrap(),
                _ => |row| row[2].max(row.get(6).copied().flatten()).unwrap(),
            },
        }
    }
}

/// Runs a join and returns all the batches that it gives; what it promises of time must hold.
pub(super) fn run(job: &Job, arrivals: &[Arrival], cuts: &Cuts) -> Vec<Vec<(Given, i64)>> {
    let mut counts = cuts.shards.iter().copied().cycle();
    let mut shards = Shards::new(job, counts.next().unwrap());
    let (mut snapshot, mut all) = (vec![], vec![]);
    let mut promised = Watermark::NONE;
    let epochs: Vec<&[Arrival]> = arrivals.chunks(cuts.epoch).chain([&[] as &[Arrival]]).collect();
    for (ordinal, epoch) in epochs.iter().enumerate() {
        let input: Vec<_> = epoch
            .chunk_by(|a, b| a.port == b.port)
            .map(|arrivals| (arrivals[0].port, change(arrivals)))
            .collect();
        let watermark = epoch.last().map_or(Watermark::END, |last| Watermark::from_millis(last.watermark));
        for change in shards.run(&input, watermark) {
            let rows = given(&change);
            for (row, _) in &rows {
                let time = (job.time_of)(row);
                assert!(!promised.has_reached(time.saturating_add(1)), "{row:?} is before {promised}");
            }
            all.push(rows);
        }
        promised.advance_to(shards.watermark_behind(watermark));
        if cuts.restart_after.is_some_and(|after| ordinal % after == 0) {
            snapshot.extend(shards.joins.iter_mut().flat_map(|join| join.take_delta().unwrap()));
            shards = Shards::new(job, counts.next().unwrap());
            snapshot.iter().for_each(|delta| shards.restore(delta));
        }
    }
    all
}
