//! [`Retraction`]: how each function of an aggregation takes back what a withdrawn row put in.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};

use super::bags::BagPlan;
use super::signed_totals::TotalPlan;
use super::spec::AggregateSpec;
use crate::error::{Error, Result};

/// How the functions of an aggregation follow rows that come and go.
///
/// Counts, sums and averages of integers and decimals subtract. Every other function is evaluated again, over all the
/// values of a group that changed; sums of floats are among these, so that they do not drift.
#[derive(Debug, Clone)]
pub struct Retraction {
    /// What is kept of a row: the keys, then whatever the functions read.
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    keys: usize,
    /// For each function what it is computed from.
    pub(super) methods: Vec<Method>,
    pub(super) totals: Vec<TotalPlan>,
    pub(super) bags: Vec<BagPlan>,
}

/// What a function is computed from.
#[derive(Debug, Clone)]
pub(super) enum Method {
    /// The exact totals with this ordinal.
    Total(usize, Arc<AggregateFunctionExpr>),
    /// The values in the bag with this ordinal.
    Bag(usize, Reading, Arc<AggregateFunctionExpr>),
    /// How many different values are in the bag with this ordinal, NULL aside.
    Different(usize, Arc<AggregateFunctionExpr>),
}

/// Which values of a bag a function wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Each as often as it is there.
    All,
    /// Each once.
    Once,
    /// The least that is not NULL.
    Least,
    /// The greatest.
    Greatest,
}

impl Retraction {
    /// Plans the functions of `spec`, whose expressions are over `input`.
    ///
    /// # Errors
    /// Not yet available: a function over values that cannot be told apart by their bytes.
    pub fn try_new(spec: &AggregateSpec, input: &Schema) -> Result<Self> {
        let expressions: Vec<_> = spec.keys.iter().map(|(key, _)| Arc::clone(key)).collect();
        let keys = expressions.len();
        let fields = spec.keys.iter().enumerate().map(|(ordinal, (_, field))| {
            Arc::new(Field::new(format!("key_{ordinal}"), field.data_type().clone(), true))
        });
        let mut columns = Columns { expressions, fields: fields.collect(), keys };
        let (mut methods, mut totals, mut bags) = (vec![], vec![], vec![]);
        for (function, filter) in spec.functions.iter().zip(&spec.filters) {
            let filter = filter.as_ref().map(|filter| columns.place(filter, input)).transpose()?;
            if let Some(plan) = total(function, filter, &mut columns, input)? {
                methods.push(Method::Total(place(&mut totals, plan), Arc::clone(function)));
                continue;
            }
            let plan = bag(function, filter, &mut columns, input)?;
            let one = plan.columns.len() == 1;
            let ordinal = place(&mut bags, plan);
            methods.push(if function.is_distinct() && one && function.fun().name() == "count" {
                Method::Different(ordinal, Arc::clone(function))
            } else {
                Method::Bag(ordinal, reading(function, input)?, each_value_once(function, input)?)
            });
        }
        let Columns { expressions, fields, .. } = columns;
        Ok(Self { expressions, schema: Arc::new(Schema::new(fields)), keys, methods, totals, bags })
    }

    /// Returns what is kept of a row: the keys, then whatever the functions read.
    pub fn expressions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.expressions
    }

    /// Returns the schema of what is kept of a row.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the ordinals of the keys in it.
    pub fn keys(&self) -> Vec<usize> {
        (0..self.keys).collect()
    }

    /// Returns what `EXPLAIN` shows of the state.
    pub fn state(&self) -> String {
        let mut kept = vec![];
        if !self.totals.is_empty() {
            kept.push("totals that subtract".to_owned());
        }
        if !self.bags.is_empty() {
            let functions = self.methods.iter().filter_map(|method| match method {
                Method::Total(..) => None,
                Method::Bag(_, _, function) | Method::Different(_, function) => Some(function.name()),
            });
            kept.push(format!("all values of {}", functions.collect::<Vec<_>>().join(", ")));
        }
        kept.push("how many rows there are".to_owned());
        format!("for each key, while it has rows: {}", kept.join(", "))
    }
}

/// What is kept of a row, each expression once.
struct Columns {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<FieldRef>,
    keys: usize,
}

impl Columns {
    /// Returns the ordinal of an expression.
    fn place(&mut self, expression: &Arc<dyn PhysicalExpr>, input: &Schema) -> Result<usize> {
        // The bytes of a key are not always those of the value: both zeros are one key.
        let known = self.expressions.iter().skip(self.keys).position(|known| known == expression);
        if let Some(known) = known {
            return Ok(self.keys + known);
        }
        let ordinal = self.expressions.len();
        let name = format!("value_{}", ordinal - self.keys);
        self.fields.push(Arc::new(Field::new(name, expression.data_type(input)?, true)));
        self.expressions.push(Arc::clone(expression));
        Ok(ordinal)
    }
}

/// Returns the ordinal of `plan`, which is added unless it is there.
fn place<Plan: PartialEq>(plans: &mut Vec<Plan>, plan: Plan) -> usize {
    plans.iter().position(|known| *known == plan).unwrap_or_else(|| {
        plans.push(plan);
        plans.len() - 1
    })
}

/// Plans a function that subtracts; none if it does not.
fn total(
    function: &AggregateFunctionExpr,
    filter: Option<usize>,
    columns: &mut Columns,
    input: &Schema,
) -> Result<Option<TotalPlan>> {
    if function.is_distinct() {
        return Ok(None);
    }
    let arguments = function.expressions();
    let scale = match (function.fun().name(), arguments.as_slice()) {
        ("count", _) => None,
        ("sum" | "avg", [argument]) => match argument.data_type(input)? {
            whole if whole.is_integer() => Some(0),
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale) => Some(scale),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    for state in function.state_fields()? {
        match state.data_type() {
            DataType::Int64 | DataType::UInt64 if state.name().ends_with("[count]") => {}
            DataType::Decimal128(_, kept) | DataType::Decimal256(_, kept) if scale == Some(*kept) => {}
            _ => return Ok(None),
        }
    }
    let mut read = vec![];
    for argument in &arguments {
        if scale.is_some() || argument.nullable(input)? {
            read.push(columns.place(argument, input)?);
        }
    }
    Ok(Some(TotalPlan { filter, arguments: read, scale }))
}

fn bag(
    function: &AggregateFunctionExpr,
    filter: Option<usize>,
    columns: &mut Columns,
    input: &Schema,
) -> Result<BagPlan> {
    let refused = || Error::not_yet(format!("`{}` over a changelog", function.name()));
    let (mut kept, mut options) = (vec![], vec![]);
    let extreme = ["min", "max"].contains(&function.fun().name());
    for order in function.order_bys().iter().filter(|_| !extreme) {
        kept.push(columns.place(&order.expr, input)?);
        options.push(order.options);
    }
    let orders = kept.len();
    for argument in function.expressions() {
        kept.push(columns.place(&argument, input)?);
        options.push(SortOptions::default());
    }
    let data_types: Vec<DataType> =
        kept.iter().map(|&column| columns.fields[column].data_type().clone()).collect();
    let plan = BagPlan { filter, columns: kept, orders, options, data_types };
    if plan.columns.is_empty() || !plan.is_supported() {
        return Err(refused().with_hint("over bounded inputs, `--mode batch` runs it"));
    }
    Ok(plan)
}

fn reading(function: &AggregateFunctionExpr, input: &Schema) -> Result<Reading> {
    let arguments = function.expressions();
    let simple = match arguments.as_slice() {
        [argument] => !argument.data_type(input)?.is_nested(),
        _ => false,
    };
    Ok(match function.fun().name() {
        "min" if simple => Reading::Least,
        "max" if simple => Reading::Greatest,
        _ if function.is_distinct() => Reading::Once,
        _ => Reading::All,
    })
}

/// Returns the function for values of which each comes once, in an order that is always the same.
fn each_value_once(
    function: &Arc<AggregateFunctionExpr>,
    input: &Schema,
) -> Result<Arc<AggregateFunctionExpr>> {
    if !function.is_distinct() {
        return Ok(Arc::clone(function));
    }
    let builder = AggregateExprBuilder::new(Arc::new(function.fun().clone()), function.expressions())
        .schema(Arc::new(input.clone()))
        .alias(function.name())
        .order_by(function.order_bys().to_vec())
        .with_ignore_nulls(function.ignore_nulls())
        .with_reversed(function.is_reversed());
    Ok(Arc::new(builder.build()?))
}
