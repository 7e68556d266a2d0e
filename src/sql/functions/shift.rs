//! `lag` and `lead` of queries that run once.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::functions_window::lead_lag::{WindowShift, WindowShiftKind};
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

/// Returns `lag` and `lead`.
pub(super) fn functions() -> Vec<Arc<WindowUDF>> {
    [WindowShift::lag(), WindowShift::lead()].map(|shift| Arc::new(Shift(shift).into())).into()
}

/// One of the two, as DataFusion has it, but for `lead … IGNORE NULLS`: that is evaluated over all rows of a partition,
/// since the evaluator that goes row by row loses count of the values that are not null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift(WindowShift);

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn expressions(&self, arguments: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.0.expressions(arguments)
    }

    fn partition_evaluator(
        &self,
        arguments: PartitionEvaluatorArgs,
    ) -> DataFusionResult<Box<dyn PartitionEvaluator>> {
        let at_once = arguments.ignore_nulls() && matches!(self.0.kind(), WindowShiftKind::Lead);
        let evaluator = self.0.partition_evaluator(arguments)?;
        Ok(if at_once { Box::new(AtOnce(evaluator)) } else { evaluator })
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> DataFusionResult<FieldRef> {
        self.0.field(arguments)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        let reversed = match self.0.kind() {
            WindowShiftKind::Lag => WindowShift::lead(),
            WindowShiftKind::Lead => WindowShift::lag(),
        };
        ReversedUDWF::Reversed(Arc::new(Self(reversed).into()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }

    fn limit_effect(&self, arguments: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.0.limit_effect(arguments)
    }
}

/// An evaluator that is only asked for all rows of a partition.
#[derive(Debug)]
struct AtOnce(Box<dyn PartitionEvaluator>);

impl PartitionEvaluator for AtOnce {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> DataFusionResult<ArrayRef> {
        self.0.evaluate_all(values, rows)
    }

    fn get_range(&self, row: usize, rows: usize) -> DataFusionResult<Range<usize>> {
        self.0.get_range(row, rows)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> DataFusionResult<ScalarValue> {
        self.0.evaluate(values, range)
    }

    fn supports_bounded_execution(&self) -> bool {
        false
    }
}
