//! [`Advice`]: how the joins of a planned job find their rows, and what of the job may cost more than it seems.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::planning::{PlannedJob, Work};
use crate::aggregate::Showing;
use crate::error::Result;
use crate::join::{JoinSpec, Keeping};
use crate::sql::plan::{LookupPlan, LookupSide, OperatorKind, OperatorPlan, StepPlan, StreamPlan, Target};
use crate::sql::relation::Relation;

/// From so many files on, reading them one after the other is worth a thought.
const MANY_FILES: usize = 8;

/// What a person should know before the job runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// Each join: of what, and how it finds its rows.
    pub joins: Vec<String>,
    /// What may cost more than it seems.
    pub warnings: Vec<String>,
}

/// Looks a planned job over.
///
/// # Errors
/// Internal, when the plan of a job that runs once cannot be walked.
pub fn advice(job: &PlannedJob) -> Result<Advice> {
    let mut advice = Advice::default();
    match &job.work {
        Work::Batch(plan) => advice.look_at_batch(plan)?,
        Work::Stream(plan) => advice.look_at_stream(plan),
    }
    advice.warnings.dedup();
    Ok(advice)
}

impl Advice {
    fn look_at_batch(&mut self, plan: &LogicalPlan) -> Result<()> {
        plan.apply_with_subqueries(|node| {
            let LogicalPlan::Join(join) = node else { return Ok(TreeNodeRecursion::Continue) };
            let on: Vec<String> = join.on.iter().map(|(left, right)| format!("{left} = {right}")).collect();
            let one_row = |side: &LogicalPlan| side.max_rows().is_some_and(|rows| rows <= 1);
            if !on.is_empty() {
                self.joins.push(format!("{} join, once, on {}", join.join_type, on.join(" AND ")));
            } else if one_row(&join.left) || one_row(&join.right) {
                self.joins.push(format!("{} join, once, with a single row", join.join_type));
            } else {
                self.joins.push(format!("{} join, once, of every row with every row", join.join_type));
                self.warnings.push(cartesian("the two sides of the join"));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    fn look_at_stream(&mut self, plan: &StreamPlan) {
        let mut endless = vec![false; plan.operators.len()];
        let waits = plan.operators.iter().any(|operator| waits_for_time(&operator.kind));
        for scan in &plan.scans {
            self.look_at_steps(&scan.steps);
            if waits {
                self.look_at_files(&scan.relation);
            }
            mark(&mut endless, scan.target, !scan.relation.source.is_bounded());
        }
        for (ordinal, operator) in plan.operators.iter().enumerate() {
            let never_ends = endless.get(ordinal).copied().unwrap_or(false);
            mark(&mut endless, operator.target, never_ends);
            self.look_at_operator(operator, never_ends);
            self.look_at_steps(&operator.steps);
        }
    }

    /// Warns of files that hold the windows of each other open.
    fn look_at_files(&mut self, relation: &Relation) {
        if relation.event_time.is_none() || !relation.source.can_infer_offline() {
            return;
        }
        // What cannot be listed is said when it is opened.
        let files = relation.source.partitions().map_or(0, |partitions| partitions.len());
        if files >= MANY_FILES {
            self.warnings.push(format!(
                "`{}` has {files} files, each with a watermark of its own: one that is not begun holds all windows open; \
                 if they follow one another in time, 'file.sequence' = 'name' reads them as one",
                relation.name
            ));
        }
    }

    fn look_at_steps(&mut self, steps: &[StepPlan]) {
        for step in steps {
            match step {
                StepPlan::Lookup(lookup) => self.look_at_lookup(lookup),
                StepPlan::RowAggregate(plan) => self.look_at_steps(&plan.steps),
                _ => {}
            }
        }
    }

    fn look_at_lookup(&mut self, lookup: &LookupPlan) {
        self.joins.push(format!("stream–table: {}", lookup.describe()));
        match &lookup.side {
            LookupSide::Table(relation) => {
                let looked_for =
                    lookup.keys.iter().map(|(_, column)| relation.schema.field(*column).name().as_str());
                let looked_for: Vec<&str> = looked_for.collect();
                let own: Vec<&str> = relation.table.iter().flat_map(|table| table.key_names()).collect();
                if looked_for.is_empty() {
                    self.warnings
                        .push(cartesian(&format!("each row and those of table `{}`", relation.name)));
                } else if looked_for != own {
                    self.warnings.push(format!(
                        "rows are looked up in `{}` by {}, which is not its key: an index is made for it and kept in memory",
                        relation.name,
                        looked_for.join(", ")
                    ));
                }
            }
            LookupSide::Query { plan, .. } => {
                if lookup.keys.is_empty() && plan.max_rows().is_none_or(|rows| rows > 1) {
                    self.warnings.push(cartesian("each row and those of a query over tables"));
                }
            }
        }
    }

    fn look_at_operator(&mut self, operator: &OperatorPlan, never_ends: bool) {
        match &operator.kind {
            OperatorKind::Join(spec) => self.look_at_join(spec, never_ends),
            OperatorKind::WaitingLookup { lookup, .. } => self.look_at_lookup(lookup),
            OperatorKind::AsOfJoin(spec) => self.joins.push(format!("stream–versions: {}", spec.describe())),
            OperatorKind::Aggregate { spec, showing }
                if spec.window.is_none() && *showing != Showing::AtClose =>
            {
                self.keeps_keys(&operator.kind, !spec.keys.is_empty() && never_ends);
            }
            OperatorKind::RetractingAggregate { spec, .. } if spec.window.is_none() => {
                self.keeps_keys(&operator.kind, !spec.keys.is_empty() && never_ends);
            }
            OperatorKind::BufferedOver(spec) => {
                self.keeps_keys(&operator.kind, !spec.keys.is_empty() && never_ends);
            }
            OperatorKind::TopRows(spec) => {
                self.keeps_keys(&operator.kind, !spec.keys.is_empty() && !spec.at_end && never_ends);
            }
            OperatorKind::KeyedTable { table, retention: None, .. }
                if table.key().is_empty() && never_ends =>
            {
                self.warnings.push(format!(
                    "unbounded state: table `{}` has no key and its input never ends, so that it keeps every row; give it a PRIMARY KEY or a `retention`",
                    table.name()
                ));
            }
            _ => {}
        }
    }

    /// Warns of an operator that keeps something of every key.
    fn keeps_keys(&mut self, kind: &OperatorKind, for_ever: bool) {
        if for_ever {
            self.warnings.push(format!(
                "unbounded state: `{}` keeps something of every key for ever, and its input never ends; a WINDOW bounds it",
                kind.name()
            ));
        }
    }

    fn look_at_join(&mut self, spec: &JoinSpec, never_ends: bool) {
        self.joins.push(format!("stream–stream: {}", spec.describe()));
        if spec.keys.iter().all(Vec::is_empty) {
            self.warnings.push(cartesian("the rows of both sides that are kept"));
        }
        match spec.keeping {
            Keeping::Within { .. } => {}
            Keeping::For { ttl_ms } => self.warnings.push(format!(
                "stream–stream join without a bound on time: `state.ttl` keeps all rows of both sides for {ttl_ms} ms of event time; \
                 a bound such as WITHIN 1h keeps fewer and is exact"
            )),
            Keeping::Always if never_ends => self.warnings.push(
                "unbounded state: a join without a bound on time keeps all rows of both sides for ever".to_owned(),
            ),
            Keeping::Always => self.warnings.push(
                "stream–stream join without a bound on time: all rows of both sides are kept until the inputs end"
                    .to_owned(),
            ),
        }
    }
}

/// Returns whether an operator holds rows until event time is past them.
fn waits_for_time(kind: &OperatorKind) -> bool {
    match kind {
        OperatorKind::Aggregate { spec, .. } => spec.window.is_some(),
        OperatorKind::Join(spec) => matches!(spec.keeping, Keeping::Within { .. }),
        OperatorKind::Over(_)
        | OperatorKind::BufferedOver(_)
        | OperatorKind::WindowedOver(_)
        | OperatorKind::SessionRows(_)
        | OperatorKind::AsOfJoin(_) => true,
        _ => false,
    }
}

/// Notes that rows of an input that may never end go to an operator.
fn mark(endless: &mut [bool], target: Target, never_ends: bool) {
    if let Target::Operator { operator, .. } = target
        && let Some(marked) = endless.get_mut(operator)
    {
        *marked |= never_ends;
    }
}

fn cartesian(of: &str) -> String {
    format!(
        "cartesian: no column has to be equal, so that every pair of {of} is looked at; add an equality to ON"
    )
}
