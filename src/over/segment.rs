//! [`KeyState`]: how far the functions of one key have come, and the evaluation of its next rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{filter, prep_null_mask_filter};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::window_state::{WindowAggState, WindowFrameContext};
use datafusion::logical_expr::{Accumulator, PartitionEvaluator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::known::{NthKnown, next_known};
use super::spec::{Evaluation, OverFunction};
use crate::error::{Error, Result};

/// The rows of one key that an evaluation sees: those kept from before, then those that came.
pub(super) struct Segment<'a> {
    /// The values of the rows.
    pub(super) values: &'a [ArrayRef],
    /// The columns of the order.
    pub(super) order: &'a [ArrayRef],
    /// The rows to evaluate.
    pub(super) rows: Range<usize>,
    /// The number of rows.
    pub(super) length: usize,
}

/// The state of one function for one key; places count from the first row that is kept.
enum FunctionState {
    Growing { accumulator: Box<dyn Accumulator>, taken: usize, any: bool },
    Sliding { accumulator: Box<dyn Accumulator>, range: Range<usize> },
    Recomputed { range: Range<usize> },
    Framed { evaluator: Box<dyn PartitionEvaluator>, state: Box<WindowAggState> },
    Plain { evaluator: Box<dyn PartitionEvaluator> },
    NthKnown { known: NthKnown, taken: usize },
    NextKnown,
}

/// The state of all functions for one key.
pub(super) struct KeyState {
    functions: Vec<FunctionState>,
    /// The event time of the key's first waiting row.
    pub(super) waits_since: Option<i64>,
}

impl KeyState {
    /// Creates the state of a key that has had no row.
    pub(super) fn try_new(functions: &[OverFunction]) -> Result<Self> {
        let functions = functions.iter().map(FunctionState::try_new).collect::<Result<_>>()?;
        Ok(Self { functions, waits_since: None })
    }

    /// Evaluates the functions for the rows of a segment; adds each function's results to its column of `results`.
    pub(super) fn evaluate(
        &mut self,
        functions: &[OverFunction],
        frames: &mut [WindowFrameContext],
        segment: &Segment<'_>,
        results: &mut [Vec<ScalarValue>],
    ) -> Result<()> {
        let each = self.functions.iter_mut().zip(functions).zip(frames).zip(results);
        for (((state, function), frame), results) in each {
            state.evaluate(function, frame, segment, results)?;
        }
        Ok(())
    }

    /// Returns the first row that is still needed when the rows from `next` on are evaluated.
    pub(super) fn needed_from(&self, next: usize) -> Result<usize> {
        let each = self.functions.iter().map(|state| state.needed_from(next));
        Ok(each.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or(next).min(next))
    }

    /// Forgets the first `rows` rows.
    pub(super) fn forget(&mut self, rows: usize) {
        self.functions.iter_mut().for_each(|state| state.forget(rows));
    }

    /// Returns about how many bytes the state takes.
    pub(super) fn bytes(&self) -> usize {
        let bytes = self.functions.iter().map(|state| match state {
            FunctionState::Growing { accumulator, .. } | FunctionState::Sliding { accumulator, .. } => {
                accumulator.size()
            }
            FunctionState::Framed { .. } => size_of::<WindowAggState>(),
            FunctionState::NthKnown { known, .. } => known.bytes(),
            FunctionState::Recomputed { .. } | FunctionState::Plain { .. } | FunctionState::NextKnown => 0,
        });
        bytes.sum::<usize>() + self.functions.capacity() * size_of::<FunctionState>()
    }
}

impl FunctionState {
    fn try_new(function: &OverFunction) -> Result<Self> {
        Ok(match &function.evaluation {
            Evaluation::Growing(aggregate) => {
                Self::Growing { accumulator: aggregate.create_accumulator()?, taken: 0, any: false }
            }
            Evaluation::Sliding(aggregate) => {
                Self::Sliding { accumulator: aggregate.create_sliding_accumulator()?, range: 0..0 }
            }
            Evaluation::Recomputed(_) => Self::Recomputed { range: 0..0 },
            Evaluation::NthKnown { .. } => Self::NthKnown { known: NthKnown::default(), taken: 0 },
            Evaluation::NextKnown { .. } => Self::NextKnown,
            Evaluation::Standard(expression) => {
                let evaluator = expression.create_evaluator()?;
                if evaluator.uses_window_frame() {
                    let state = WindowAggState::new(expression.field()?.data_type())?;
                    Self::Framed { evaluator, state: Box::new(state) }
                } else {
                    Self::Plain { evaluator }
                }
            }
        })
    }

    fn evaluate(
        &mut self,
        function: &OverFunction,
        frame: &mut WindowFrameContext,
        segment: &Segment<'_>,
        results: &mut Vec<ScalarValue>,
    ) -> Result<()> {
        let arguments: Vec<ArrayRef> =
            function.arguments.iter().map(|&value| Arc::clone(&segment.values[value])).collect();
        let mask = function.filter.map(|value| mask_of(&segment.values[value])).transpose()?;
        let input = Input { arguments: &arguments, mask: mask.as_ref() };
        match (self, &function.evaluation) {
            (Self::Growing { accumulator, taken, any }, Evaluation::Growing(aggregate)) => {
                for row in segment.rows.clone() {
                    let range = frame.calculate_range(segment.order, &(0..*taken), segment.length, row)?;
                    let end = range.end.max(*taken);
                    if end > *taken {
                        input.update(accumulator, *taken..end)?;
                        *taken = end;
                        *any = true;
                    }
                    results.push(if *any { accumulator.evaluate()? } else { nothing(aggregate)? });
                }
            }
            (Self::Sliding { accumulator, range: last }, Evaluation::Sliding(aggregate)) => {
                for row in segment.rows.clone() {
                    let range = frame.calculate_range(segment.order, last, segment.length, row)?;
                    if range.is_empty() {
                        input.retract(accumulator, last.clone())?;
                        results.push(nothing(aggregate)?);
                    } else {
                        input.update(accumulator, last.end..range.end)?;
                        input.retract(accumulator, last.start..range.start)?;
                        results.push(accumulator.evaluate()?);
                    }
                    *last = range;
                }
            }
            (Self::Recomputed { range: last }, Evaluation::Recomputed(aggregate)) => {
                recompute(aggregate, last, frame, &input, segment, results)?;
            }
            (Self::NthKnown { known, taken }, Evaluation::NthKnown { nth, nothing }) => {
                for row in segment.rows.clone() {
                    let range = frame.calculate_range(segment.order, &(0..*taken), segment.length, row)?;
                    let end = range.end.max(*taken);
                    known.take(&arguments[0], *taken..end, *nth)?;
                    *taken = end;
                    results.push(known.value(*nth).unwrap_or(nothing).clone());
                }
            }
            (Self::NextKnown, Evaluation::NextKnown { nth, nothing }) => {
                next_known(&arguments[0], segment.rows.clone(), *nth, nothing, results)?;
            }
            (Self::Framed { evaluator, state }, _) => {
                evaluate_framed(evaluator.as_mut(), state, frame, arguments, segment, results)?;
                if function.frame.start_bound.is_unbounded()
                    && let Some(last) = results.last().filter(|_| !segment.rows.is_empty())
                {
                    // What the evaluator makes of its results does not depend on how many came at once.
                    state.out_col = last.to_array_of_size(state.window_frame_range.len().max(1) + 1)?;
                    evaluator.memoize(state)?;
                    state.out_col = state.out_col.slice(0, 0);
                }
            }
            (Self::Plain { evaluator }, _) => {
                evaluate_plain(evaluator.as_mut(), arguments, segment, results)?;
            }
            _ => return Err(Error::internal("the state of another function")),
        }
        Ok(())
    }

    fn needed_from(&self, next: usize) -> Result<usize> {
        Ok(match self {
            Self::Growing { taken, .. } | Self::NthKnown { taken, .. } => *taken,
            Self::NextKnown => next,
            Self::Sliding { range, .. } | Self::Recomputed { range } => range.start,
            Self::Framed { state, .. } => state.window_frame_range.start,
            Self::Plain { evaluator } => evaluator.get_range(next, next + 1)?.start,
        })
    }

    fn forget(&mut self, rows: usize) {
        let shift = |range: &mut Range<usize>| {
            *range = range.start.saturating_sub(rows)..range.end.saturating_sub(rows);
        };
        match self {
            Self::Growing { taken, .. } | Self::NthKnown { taken, .. } => *taken -= rows.min(*taken),
            Self::Sliding { range, .. } | Self::Recomputed { range } => shift(range),
            Self::Framed { state, .. } => shift(&mut state.window_frame_range),
            Self::Plain { .. } | Self::NextKnown => {}
        }
    }
}

/// Evaluates an aggregate that cannot take rows back, over each frame from its beginning.
fn recompute(
    aggregate: &AggregateFunctionExpr,
    last: &mut Range<usize>,
    frame: &mut WindowFrameContext,
    input: &Input<'_>,
    segment: &Segment<'_>,
    results: &mut Vec<ScalarValue>,
) -> Result<()> {
    for row in segment.rows.clone() {
        let range = frame.calculate_range(segment.order, last, segment.length, row)?;
        let mut accumulator = aggregate.create_accumulator()?;
        input.update(&mut accumulator, range.clone())?;
        results.push(if range.is_empty() { nothing(aggregate)? } else { accumulator.evaluate()? });
        *last = range;
    }
    Ok(())
}

/// Evaluates a ranking or offset function without a frame.
fn evaluate_plain(
    evaluator: &mut dyn PartitionEvaluator,
    mut values: Vec<ArrayRef>,
    segment: &Segment<'_>,
    results: &mut Vec<ScalarValue>,
) -> Result<()> {
    if evaluator.include_rank() {
        values.extend(segment.order.iter().cloned());
    }
    for row in segment.rows.clone() {
        let range = evaluator.get_range(row, segment.length)?;
        results.push(evaluator.evaluate(&values, &range)?);
    }
    Ok(())
}

fn evaluate_framed(
    evaluator: &mut dyn PartitionEvaluator,
    state: &mut WindowAggState,
    frame: &mut WindowFrameContext,
    mut values: Vec<ArrayRef>,
    segment: &Segment<'_>,
    results: &mut Vec<ScalarValue>,
) -> Result<()> {
    values.extend(segment.order.iter().cloned());
    for row in segment.rows.clone() {
        let last = &state.window_frame_range;
        state.window_frame_range = frame.calculate_range(segment.order, last, segment.length, row)?;
        results.push(evaluator.evaluate(&values, &state.window_frame_range)?);
    }
    Ok(())
}

/// Returns what an aggregate gives for an empty frame.
fn nothing(aggregate: &AggregateFunctionExpr) -> Result<ScalarValue> {
    Ok(aggregate.default_value(aggregate.field().data_type())?)
}

fn mask_of(values: &ArrayRef) -> Result<BooleanArray> {
    let mask = values.as_boolean_opt().ok_or_else(|| Error::internal("a FILTER that is not a boolean"))?;
    Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}

/// The arguments of an aggregate over a segment.
struct Input<'a> {
    arguments: &'a [ArrayRef],
    mask: Option<&'a BooleanArray>,
}

impl Input<'_> {
    fn update(&self, accumulator: &mut Box<dyn Accumulator>, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        Ok(accumulator.update_batch(&self.rows(rows)?)?)
    }

    fn retract(&self, accumulator: &mut Box<dyn Accumulator>, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        Ok(accumulator.retract_batch(&self.rows(rows)?)?)
    }

    fn rows(&self, rows: Range<usize>) -> Result<Vec<ArrayRef>> {
        let slice = |array: &ArrayRef| array.slice(rows.start, rows.len());
        let Some(mask) = self.mask else { return Ok(self.arguments.iter().map(slice).collect()) };
        let mask = mask.slice(rows.start, rows.len());
        self.arguments.iter().map(|array| Ok(filter(&slice(array), &mask)?)).collect()
    }
}
