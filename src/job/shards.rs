//! [`ShardedOperator`]: one stateful operator as instances that each own a range of keys.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::aggregate::{
    ChangingAggregate, FinalAggregate, RetractingAggregate, SessionAggregate, Showing, WindowKey,
};
use crate::bounded::{Fold, Limit, Sort};
use crate::connect::PartitionId;
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, EpochContext, Exchange, Fragment, Misses, Operator, StateDelta, Tally};
use crate::join::{AsOfJoin, StreamJoin};
use crate::over::{BufferedOver, OrderedOver, SessionRows, TopRows, WindowedOver};
use crate::sql::plan::{Compiler, OperatorKind, OperatorPlan, Target};
use crate::table::{KeyedTable, WaitingLookup};
use crate::time::Watermark;
use std::sync::Arc;
use std::time::Duration;

/// From how many rows on an epoch is worth a thread for each shard.
const PARALLEL_ROWS: usize = 4_096;

/// The instances of one operator, the exchange before them and the steps after them.
pub(super) struct ShardedOperator {
    pub(super) name: String,
    shards: Vec<Box<dyn Operator>>,
    /// For each input how its rows are spread; none where one instance does it all.
    exchanges: Option<Vec<Exchange>>,
    after: Fragment,
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) filtered: u64,
    /// By table, the rows that the steps after the operator looked up in vain.
    missing: BTreeMap<Arc<str>, Misses>,
}

impl ShardedOperator {
    /// Compiles an operator into `shards` instances, or one where one is enough.
    pub(super) fn try_new(
        plan: &OperatorPlan,
        compiler: &Compiler<'_>,
        shards: usize,
        record: bool,
        emit_interval: Option<Duration>,
    ) -> Result<Self> {
        let keys: Option<Vec<_>> =
            plan.ports.iter().map(|port| Some((port, port.exchange.clone()?))).collect();
        let exchanges = keys.filter(|_| shards > 1).map(|keys| {
            let exchanges = keys.into_iter().map(|(port, key)| Exchange::try_new(&port.schema, key, shards));
            exchanges.collect::<Result<Vec<_>>>()
        });
        let exchanges = exchanges.transpose()?;
        let count = if exchanges.is_some() { shards } else { 1 };
        let instances = (0..count).map(|shard| instance(plan, compiler, shard == 0, record, emit_interval));
        Ok(Self {
            name: plan.kind.name(),
            shards: instances.collect::<Result<_>>()?,
            exchanges,
            after: compiler.fragment(&plan.steps)?,
            rows_in: 0,
            rows_out: 0,
            filtered: 0,
            missing: BTreeMap::new(),
        })
    }

    /// Runs one epoch: takes `input`, advances to `watermark`, and returns what goes on.
    pub(super) fn run(
        &mut self,
        input: Vec<(usize, ChangeBatch)>,
        watermark: Watermark,
        epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        let rows: usize = input.iter().map(|(_, batch)| batch.num_rows()).sum();
        self.rows_in += rows as u64;
        let inputs = self.spread(input)?;
        let name = &self.name;
        let outputs: Vec<Result<Vec<ChangeBatch>>> = if self.shards.len() > 1 && rows >= PARALLEL_ROWS {
            std::thread::scope(|scope| {
                let work = self.shards.iter_mut().zip(inputs);
                let threads: Vec<_> = work
                    .map(|(shard, input)| {
                        scope.spawn(move || run_shard(name, shard, input, watermark, epoch))
                    })
                    .collect();
                let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Vec<ChangeBatch>>>| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(Error::internal(format!("operator `{name}` panicked"))))
                };
                threads.into_iter().map(join).collect()
            })
        } else {
            let work = self.shards.iter_mut().zip(inputs);
            work.map(|(shard, input)| run_shard(name, shard, input, watermark, epoch)).collect()
        };
        let mut out = vec![];
        for batch in outputs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            self.rows_out += batch.num_rows() as u64;
            let mut tally = Tally::default();
            let batch = self.after.run(batch, &mut tally)?;
            self.filtered += tally.filtered;
            tally
                .missing
                .into_iter()
                .for_each(|(table, misses)| self.missing.entry(table).or_default().add(misses));
            if batch.num_rows() > 0 {
                out.push(batch);
            }
        }
        Ok(out)
    }

    /// Has the rows of a partition of the source taken back in the next epoch.
    pub(super) fn withdraw(&mut self, partition: &PartitionId) {
        self.shards.iter_mut().for_each(|shard| shard.withdraw(partition.number()));
    }

    fn spread(&mut self, input: Vec<(usize, ChangeBatch)>) -> Result<Vec<Vec<(usize, ChangeBatch)>>> {
        let Some(exchanges) = &mut self.exchanges else { return Ok(vec![input]) };
        let mut inputs = vec![vec![]; self.shards.len()];
        for (port, batch) in &input {
            for (shard, part) in inputs.iter_mut().zip(exchanges[*port].split(batch)?) {
                shard.extend(part.map(|part| (*port, part)));
            }
        }
        Ok(inputs)
    }

    /// Returns what changed in the state since the last call.
    pub(super) fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        let deltas = self.shards.iter_mut().map(|shard| shard.take_delta());
        let mut deltas: Vec<StateDelta> = deltas.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        // What one shard knew at the end must not close windows of which another has rows still to be applied.
        deltas.sort_by_key(|delta| delta.watermark);
        Ok(deltas)
    }

    /// Applies a delta of an operator that may have had another number of shards.
    pub(super) fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        let Some(exchanges) = &mut self.exchanges else { return self.shards[0].restore(delta) };
        let parts = exchanges[delta.port].split(&ChangeBatch::inserts(delta.rows.clone()))?;
        for (shard, part) in self.shards.iter_mut().zip(parts) {
            let rows = part.map_or_else(|| delta.rows.slice(0, 0), |part| part.rows().clone());
            shard.restore(&StateDelta { rows, ..*delta })?;
        }
        Ok(())
    }

    /// Returns the watermark behind the operator, where the one before it is `watermark`.
    pub(super) fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        self.shards.iter().map(|shard| shard.watermark_behind(watermark)).min().unwrap_or(watermark)
    }

    /// Returns about how many bytes the state takes.
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.bytes()).sum()
    }

    /// Returns how many rows left the state because they had been kept for as long as asked.
    pub(super) fn expired(&self) -> u64 {
        self.shards.iter().map(|shard| shard.expired()).sum()
    }

    /// Adds, by table, the rows that were looked up in vain in the operator and behind it.
    pub(super) fn add_misses(&self, all: &mut BTreeMap<Arc<str>, Misses>) {
        let behind = self.missing.iter().map(|(table, misses)| (Arc::clone(table), *misses));
        let own = self.shards.iter().filter_map(|shard| shard.misses());
        behind.chain(own).for_each(|(table, misses)| all.entry(table).or_default().add(misses));
    }

    /// Returns how many rows, groups or sessions the state holds, where every instance knows.
    pub(super) fn rows(&self) -> Option<usize> {
        self.shards.iter().map(|shard| shard.rows()).sum()
    }

    /// Returns whether changes are held back that are due at `now_ms`; none stands for any time.
    pub(super) fn is_due(&self, now_ms: Option<i64>) -> bool {
        self.shards.iter().any(|shard| shard.is_due(now_ms))
    }

    /// Returns whether more input can still change the result.
    pub(super) fn wants_more(&self) -> bool {
        self.shards.iter().any(|shard| shard.wants_more())
    }
}

fn instance(
    plan: &OperatorPlan,
    compiler: &Compiler<'_>,
    first: bool,
    record: bool,
    emit_interval: Option<Duration>,
) -> Result<Box<dyn Operator>> {
    let name = plan.kind.name();
    // Only what leaves the job waits; an aggregate over these changes has them at once.
    let interval = emit_interval.filter(|_| plan.target == Target::Sink);
    let interval = interval.map(|interval| i64::try_from(interval.as_millis()).unwrap_or(i64::MAX));
    Ok(match &plan.kind {
        OperatorKind::Aggregate { spec, showing } => {
            let spec = Arc::clone(spec);
            // What `DISTINCT` gives never changes, and operators after it must have it in time.
            let interval = interval.filter(|_| *showing == Showing::Always && !spec.functions.is_empty());
            match (&spec.window, showing) {
                (Some(WindowKey::Session { windows, .. }), showing) => {
                    let windows = *windows;
                    Box::new(SessionAggregate::try_new(name, spec, windows, *showing, interval, record)?)
                }
                (_, Showing::AtClose) => Box::new(FinalAggregate::new(name, spec, first, record)),
                (_, showing) => {
                    Box::new(ChangingAggregate::new(name, spec, *showing, interval, first, record))
                }
            }
        }
        OperatorKind::RetractingAggregate { spec, retraction, at_end } => {
            let (spec, retraction) = (Arc::clone(spec), (Arc::clone(retraction), *at_end));
            Box::new(RetractingAggregate::try_new(name, spec, retraction, interval, first, record)?)
        }
        OperatorKind::Over(spec) => Box::new(OrderedOver::try_new(name, Arc::clone(spec), record)?),
        OperatorKind::BufferedOver(spec) => Box::new(BufferedOver::try_new(name, Arc::clone(spec), record)?),
        OperatorKind::TopRows(spec) => Box::new(TopRows::try_new(name, Arc::clone(spec), record)?),
        OperatorKind::WindowedOver(spec) => Box::new(WindowedOver::try_new(name, Arc::clone(spec), record)?),
        OperatorKind::SessionRows(spec) => Box::new(SessionRows::try_new(name, Arc::clone(spec), record)?),
        OperatorKind::AsOfJoin(spec) => Box::new(AsOfJoin::try_new(name, Arc::clone(spec), record)?),
        OperatorKind::Join(spec) => Box::new(StreamJoin::try_new(name, Arc::clone(spec), record)?),
        OperatorKind::Sort { order, input, fetch } => {
            let order = compiler.order(order, input)?;
            Box::new(Sort::new(Arc::clone(&plan.ports[0].schema), order, *fetch, record))
        }
        OperatorKind::Fold => Box::new(Fold::try_new(Arc::clone(&plan.ports[0].schema), record)?),
        OperatorKind::WaitingLookup { lookup, rule } => {
            let (lookup, input) = (compiler.lookup(lookup)?, Arc::clone(&plan.ports[0].schema));
            Box::new(WaitingLookup::try_new(name, lookup, *rule, input, record)?)
        }
        OperatorKind::KeyedTable { table, emits, retention, exact } => {
            let writer = table.writer()?;
            let writer = if *exact { writer.of_changelog() } else { writer };
            Box::new(KeyedTable::try_new(name, writer, *retention, *emits, record)?)
        }
        OperatorKind::Limit { skip, fetch } => Box::new(Limit::new(*skip, *fetch)),
    })
}

fn run_shard(
    name: &str,
    shard: &mut Box<dyn Operator>,
    input: Vec<(usize, ChangeBatch)>,
    watermark: Watermark,
    epoch: &EpochContext,
) -> Result<Vec<ChangeBatch>> {
    let work = AssertUnwindSafe(|| {
        let mut out = vec![];
        for (port, batch) in &input {
            out.extend(shard.apply(*port, batch, epoch)?);
        }
        drop(input);
        out.extend(shard.advance(watermark, epoch)?);
        Ok(out)
    });
    catch_unwind(work).unwrap_or_else(|cause| Err(panicked(&format!("operator `{name}`"), cause.as_ref())))
}

/// Returns the error for a panic in `what`.
pub(super) fn panicked(what: &str, cause: &(dyn std::any::Any + Send)) -> Error {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::internal(format!("{what} panicked: {text}"))
        .with_hint("this is a bug of Velostream: please report it")
}
