//! `avg`: the mean of integers is their exact sum by their number, whatever the order in which they come.
//!
//! DataFusion adds integers as floats, which loses digits from 2^53 on and makes the answer depend on the order.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::common::types::{
    NativeType, logical_float64, logical_int8, logical_int16, logical_int32, logical_int64, logical_uint8,
    logical_uint16, logical_uint32, logical_uint64,
};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::sum::Sum as Wrapping;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Coercion, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    Signature, TypeSignature, TypeSignatureClass, Volatility,
};

use super::sum::distinct_values;
use super::total::{Total, broken};
use crate::sql::functions::scalar::Outcome;

/// DataFusion's `avg`, and exact over integers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Mean {
    of_floats: Avg,
    signature: Signature,
}

impl Default for Mean {
    fn default() -> Self {
        let implicit = |target, narrower: Vec<TypeSignatureClass>, native| {
            let target = TypeSignatureClass::Native(target);
            TypeSignature::Coercible(vec![Coercion::new_implicit(target, narrower, native)])
        };
        let natives = |types: [_; 3]| types.map(TypeSignatureClass::Native).to_vec();
        let exact = |class| TypeSignature::Coercible(vec![Coercion::new_exact(class)]);
        let signatures = vec![
            exact(TypeSignatureClass::Decimal),
            exact(TypeSignatureClass::Duration),
            implicit(
                logical_uint64(),
                natives([logical_uint8(), logical_uint16(), logical_uint32()]),
                NativeType::UInt64,
            ),
            implicit(
                logical_int64(),
                natives([logical_int8(), logical_int16(), logical_int32()]),
                NativeType::Int64,
            ),
            implicit(logical_float64(), vec![TypeSignatureClass::Float], NativeType::Float64),
        ];
        let signature = Signature::one_of(signatures, Volatility::Immutable);
        Self { of_floats: Avg::default(), signature }
    }
}

/// Returns how the sums are kept, if the argument is an integer.
fn integers(name: &str, fields: &[FieldRef]) -> Option<Total> {
    let data_type = fields.first()?.data_type();
    if data_type.is_integer() { Total::of(name, data_type) } else { None }
}

impl AggregateUDFImpl for Mean {
    fn name(&self) -> &str {
        "avg"
    }

    fn aliases(&self) -> &[String] {
        self.of_floats.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        self.of_floats.return_type(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn Accumulator>> {
        let Some(total) = integers(args.name, args.expr_fields) else {
            return self.of_floats.accumulator(args);
        };
        if args.is_distinct {
            let values = Wrapping::default().accumulator(total.unwidened(&args))?;
            return Ok(Box::new(DistinctMean { values, total }));
        }
        let sums = Wrapping::default().accumulator(total.widened(&args))?;
        Ok(Box::new(Quotient { sums, counts: Count::default().accumulator(args)?, total }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Outcome<Vec<FieldRef>> {
        let Some(total) = integers(args.name, args.input_fields) else {
            return self.of_floats.state_fields(args);
        };
        let field =
            |part: &str, data_type| Arc::new(Field::new(format_state_name(args.name, part), data_type, true));
        if args.is_distinct {
            let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
            return Ok(vec![field("avg distinct", DataType::List(Arc::new(item)))]);
        }
        Ok(vec![field("sum", total.wide().clone()), field("count", DataType::Int64)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match integers(args.name, args.expr_fields) {
            Some(_) => !args.is_distinct,
            None => self.of_floats.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn GroupsAccumulator>> {
        let Some(total) = integers(args.name, args.expr_fields) else {
            return self.of_floats.create_groups_accumulator(args);
        };
        let sums = Wrapping::default().create_groups_accumulator(total.widened(&args))?;
        let counts = Count::default().create_groups_accumulator(args)?;
        Ok(Box::new(Quotient { sums, counts, total }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Outcome<Box<dyn Accumulator>> {
        let Some(total) = integers(args.name, args.expr_fields) else {
            return self.of_floats.create_sliding_accumulator(args);
        };
        if args.is_distinct {
            return self.accumulator(args);
        }
        let sums = Wrapping::default().create_sliding_accumulator(total.widened(&args))?;
        Ok(Box::new(Quotient { sums, counts: Count::default().accumulator(args)?, total }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of_floats.documentation()
    }
}

/// Exact sums and how many values there were.
#[derive(Debug)]
struct Quotient<Sums> {
    sums: Sums,
    counts: Sums,
    total: Total,
}

impl Accumulator for Quotient<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        self.sums.update_batch(&[self.total.widen(values)?])?;
        self.counts.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Outcome<()> {
        self.sums.retract_batch(&[self.total.widen(values)?])?;
        self.counts.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.sums.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Outcome<()> {
        let (sums, counts) = parts(states)?;
        self.sums.merge_batch(sums)?;
        self.counts.merge_batch(counts)
    }

    fn state(&mut self) -> Outcome<Vec<ScalarValue>> {
        Ok(vec![self.sums.evaluate()?, self.counts.evaluate()?])
    }

    fn evaluate(&mut self) -> Outcome<ScalarValue> {
        let (sums, counts) = (self.sums.evaluate()?.to_array()?, self.counts.evaluate()?.to_array()?);
        ScalarValue::try_from_array(&quotients(&sums, &counts), 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.size() + self.counts.size()
    }
}

impl GroupsAccumulator for Quotient<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Outcome<()> {
        self.sums.update_batch(&[self.total.widen(values)?], groups, filter, total)?;
        self.counts.update_batch(values, groups, filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Outcome<()> {
        let (sums, counts) = parts(states)?;
        self.sums.merge_batch(sums, groups, total)?;
        self.counts.merge_batch(counts, groups, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Outcome<ArrayRef> {
        let (sums, counts) = (self.sums.evaluate(emit_to)?, self.counts.evaluate(emit_to)?);
        Ok(quotients(&sums, &counts))
    }

    fn state(&mut self, emit_to: EmitTo) -> Outcome<Vec<ArrayRef>> {
        Ok(vec![self.sums.evaluate(emit_to)?, self.counts.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Outcome<Vec<ArrayRef>> {
        let mut states = self.sums.convert_to_state(&[self.total.widen(values)?], filter)?;
        states.extend(self.counts.convert_to_state(values, filter)?);
        Ok(states)
    }

    fn size(&self) -> usize {
        self.sums.size() + self.counts.size()
    }
}

/// The mean of the distinct integers, which are kept one by one.
#[derive(Debug)]
struct DistinctMean {
    values: Box<dyn Accumulator>,
    total: Total,
}

impl Accumulator for DistinctMean {
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
        let count = ScalarValue::Int64(i64::try_from(values.len()).ok()).to_array()?;
        ScalarValue::try_from_array(&quotients(&self.total.sum(&values)?, &count), 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size()
    }
}

/// Splits states into those of the sums and those of the counts.
fn parts(states: &[ArrayRef]) -> Outcome<(&[ArrayRef], &[ArrayRef])> {
    states.split_at_checked(1).ok_or_else(|| broken("the states of a mean"))
}

/// Divides sums by counts; where there was no value the mean is NULL.
#[expect(
    clippy::cast_precision_loss,
    reason = "the result is a float: a quotient of exact numbers, rounded once each"
)]
fn quotients(sums: &ArrayRef, counts: &ArrayRef) -> ArrayRef {
    let (sums, counts) = (sums.as_primitive::<Decimal128Type>(), counts.as_primitive::<Int64Type>());
    let quotient = |(sum, count): (Option<i128>, Option<i64>)| match (sum, count) {
        (Some(sum), Some(count)) if count > 0 => Some(sum as f64 / count as f64),
        _ => None,
    };
    Arc::new(sums.iter().zip(counts).map(quotient).collect::<Float64Array>())
}
