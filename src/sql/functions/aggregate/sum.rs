//! `sum`: a total that does not fit its type is an error, never a wrapped number.
//!
//! Totals are kept in a type so wide that no input can overflow it, and only the final one is checked: what the rows
//! come to does not depend on their order, nor on how they are cut into batches.

use std::fmt::Debug;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::sum::Sum as Wrapping;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::sliding_distinct::SlidingDistinct;
use super::total::Total;
use crate::sql::functions::scalar::Outcome;

/// DataFusion's `sum` over wide totals.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    wrapping: Wrapping,
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.wrapping.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        self.wrapping.return_type(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn Accumulator>> {
        let Some(total) = Total::of(args.name, args.return_type()) else {
            return self.wrapping.accumulator(args);
        };
        if args.is_distinct {
            let values = self.wrapping.accumulator(args)?;
            return Ok(Box::new(DistinctTotal { values, total }));
        }
        let sums = self.wrapping.accumulator(total.widened(&args))?;
        Ok(Box::new(Checked { sums, total }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Outcome<Vec<FieldRef>> {
        match Total::of(args.name, args.return_type()) {
            Some(total) if !args.is_distinct => {
                let name = format_state_name(args.name, "sum");
                Ok(vec![FieldRef::new(Field::new(name, total.wide().clone(), true))])
            }
            _ => self.wrapping.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.wrapping.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn GroupsAccumulator>> {
        let Some(total) = Total::of(args.name, args.return_type()) else {
            return self.wrapping.create_groups_accumulator(args);
        };
        let sums = self.wrapping.create_groups_accumulator(total.widened(&args))?;
        Ok(Box::new(Checked { sums, total }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn Accumulator>> {
        let Some(total) = Total::of(args.name, args.return_type()) else {
            return self.wrapping.create_sliding_accumulator(args);
        };
        if args.is_distinct {
            return Ok(Box::new(SlidingDistinct::try_new(total)?));
        }
        let sums = self.wrapping.create_sliding_accumulator(total.widened(&args))?;
        Ok(Box::new(Checked { sums, total }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.wrapping.documentation()
    }
}

/// Wide sums, each checked when it is asked for.
#[derive(Debug)]
struct Checked<Sums> {
    sums: Sums,
    total: Total,
}

impl Accumulator for Checked<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        self.sums.update_batch(&[self.total.widen(values)?])
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        self.sums.retract_batch(&[self.total.widen(values)?])
    }

    fn supports_retract_batch(&self) -> bool {
        self.sums.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Outcome<()> {
        self.sums.merge_batch(states)
    }

    fn state(&mut self) -> Outcome<Vec<ScalarValue>> {
        self.sums.state()
    }

    fn evaluate(&mut self) -> Outcome<ScalarValue> {
        let total = self.sums.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&self.total.narrow(&total)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.size()
    }
}

impl GroupsAccumulator for Checked<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Outcome<()> {
        self.sums.update_batch(&[self.total.widen(values)?], groups, filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Outcome<()> {
        self.sums.merge_batch(states, groups, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Outcome<ArrayRef> {
        self.total.narrow(&self.sums.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Outcome<Vec<ArrayRef>> {
        self.sums.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Outcome<Vec<ArrayRef>> {
        self.sums.convert_to_state(&[self.total.widen(values)?], filter)
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}

/// The sum of the distinct values, which are kept one by one.
#[derive(Debug)]
struct DistinctTotal {
    values: Box<dyn Accumulator>,
    total: Total,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        self.values.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Outcome<()> {
        self.values.merge_batch(states)
    }

    fn state(&mut self) -> Outcome<Vec<ScalarValue>> {
        self.values.state()
    }

    fn evaluate(&mut self) -> Outcome<ScalarValue> {
        let values = distinct_values(self.values.as_mut())?;
        let total = self.total.sum(&values)?;
        ScalarValue::try_from_array(&self.total.narrow(&total)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size()
    }
}

/// Returns the values of an accumulator whose state is one list of them.
pub(super) fn distinct_values(accumulator: &mut dyn Accumulator) -> Outcome<ArrayRef> {
    let state = accumulator.state()?;
    match state.first() {
        Some(list) => Ok(list.to_array()?.as_list::<i32>().value(0)),
        None => Err(super::total::broken("the state of DISTINCT values")),
    }
}
