//! [`Bag`]: for each group all values that a function reads, each with how often it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::{Row, RowConverter, SortField};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::retraction::Reading;
use super::signed_totals::passing;
use super::spec::accumulator;
use crate::error::Result;

/// About how many bytes an entry takes beside its own, with its share of the tree.
const ENTRY_BYTES: usize = 56;

/// Which values are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BagPlan {
    /// The column that says which rows count.
    pub(super) filter: Option<usize>,
    /// What orders the values, then the arguments of the functions.
    pub(super) columns: Vec<usize>,
    /// How many of the columns are there for the order only.
    pub(super) orders: usize,
    /// For each column how it is ordered.
    pub(super) options: Vec<SortOptions>,
    /// For each column its type.
    pub(super) data_types: Vec<DataType>,
}

impl BagPlan {
    fn fields(&self) -> Vec<SortField> {
        let each = self.data_types.iter().zip(&self.options);
        each.map(|(data_type, options)| SortField::new_with_options(data_type.clone(), *options)).collect()
    }

    /// Returns whether values of these types can be kept as bytes, and come back as they were.
    pub(super) fn is_supported(&self) -> bool {
        let whole = |data_type: &DataType| !matches!(data_type, DataType::Dictionary(..));
        self.data_types.iter().all(whole) && RowConverter::supports_fields(&self.fields())
    }
}

/// The values of all groups.
///
/// They are in an order that does not depend on when they came, so neither does what a function makes of them.
pub(super) struct Bag {
    plan: BagPlan,
    converter: RowConverter,
    /// For each group its values as bytes that sort as they do, with their weights.
    values: Vec<BTreeMap<Box<[u8]>, i64>>,
    /// What stands where there is no value.
    null: Box<[u8]>,
    /// How many values were taken out more often than they were put in.
    missing: usize,
    bytes: usize,
}

impl Bag {
    /// Creates bags without groups.
    pub(super) fn try_new(plan: BagPlan) -> Result<Self> {
        let converter = RowConverter::new(plan.fields())?;
        let nulls: Vec<ArrayRef> =
            plan.data_types.iter().map(|data_type| new_null_array(data_type, 1)).collect();
        let null = converter.convert_columns(&nulls)?.row(0).data().into();
        Ok(Self { plan, converter, values: vec![], null, missing: 0, bytes: 0 })
    }

    /// Puts rows with weight +1 in, and takes those with −1 out.
    pub(super) fn apply(
        &mut self,
        rows: &RecordBatch,
        weights: &[i8],
        groups: &[u32],
        total: usize,
    ) -> Result<()> {
        self.values.resize_with(total.max(self.values.len()), BTreeMap::new);
        let columns: Vec<ArrayRef> =
            self.plan.columns.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let counted = self.plan.filter.map(|filter| passing(rows.column(filter))).transpose()?;
        let values = self.converter.convert_columns(&columns)?;
        for (row, (&weight, &group)) in weights.iter().zip(groups).enumerate() {
            if counted.as_ref().is_some_and(|counted| counted.is_null(row)) {
                continue;
            }
            let (value, bag) = (values.row(row), &mut self.values[group as usize]);
            match bag.get_mut(value.data()) {
                Some(times) => {
                    let was_missing = *times < 0;
                    *times += i64::from(weight);
                    self.missing -= usize::from(was_missing && *times >= 0);
                    self.missing += usize::from(!was_missing && *times < 0);
                    if *times == 0 {
                        bag.remove(value.data());
                        self.bytes -= value.data().len() + ENTRY_BYTES;
                    }
                }
                None => {
                    bag.insert(value.data().into(), i64::from(weight));
                    self.missing += usize::from(weight < 0);
                    self.bytes += value.data().len() + ENTRY_BYTES;
                }
            }
        }
        Ok(())
    }

    /// Returns what the function makes of the values of `groups`.
    pub(super) fn evaluate(
        &self,
        function: &Arc<AggregateFunctionExpr>,
        reading: Reading,
        groups: &[u32],
    ) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let mut read: Vec<Row<'_>> = vec![];
        let (mut owners, mut counts) = (vec![], vec![]);
        for (owner, &group) in groups.iter().enumerate() {
            let before = read.len();
            self.read(group, reading, |value| read.push(parser.parse(value)));
            counts.resize(read.len(), true);
            if read.len() == before {
                // Accumulators take it that each group has had a row, if only one that does not count.
                read.push(parser.parse(&self.null));
                counts.push(false);
            }
            owners.resize(read.len(), owner);
        }
        let mut columns = self.converter.convert_rows(read)?;
        columns.rotate_left(self.plan.orders);
        let filter = counts.contains(&false).then(|| BooleanArray::from(counts));
        let mut accumulator = accumulator(function)?;
        accumulator.update_batch(&columns, &owners, filter.as_ref(), groups.len())?;
        Ok(accumulator.evaluate(EmitTo::All)?)
    }

    fn read<'a>(&'a self, group: u32, reading: Reading, mut give: impl FnMut(&'a [u8])) {
        let values = &self.values[group as usize];
        match reading {
            Reading::All => {
                for (value, times) in values {
                    (0..*times).for_each(|_| give(value));
                }
            }
            Reading::Once => values.keys().for_each(|value| give(value)),
            // NULL is the least of all.
            Reading::Least => {
                values.keys().find(|value| **value != self.null).into_iter().for_each(|value| give(value));
            }
            Reading::Greatest => values.keys().next_back().into_iter().for_each(|value| give(value)),
        }
    }

    /// Returns how many different values each of `groups` has, NULL aside.
    pub(super) fn different(&self, groups: &[u32]) -> ArrayRef {
        let different = |group: &u32| {
            let values = &self.values[*group as usize];
            let different = values.len() - usize::from(values.contains_key(&self.null));
            i64::try_from(different).unwrap_or(i64::MAX)
        };
        Arc::new(Int64Array::from_iter_values(groups.iter().map(different)))
    }

    /// Returns whether every value was put in before it was taken out.
    pub(super) fn is_sound(&self) -> bool {
        self.missing == 0
    }

    /// Forgets a group that has no rows; returns whether nothing was left in it.
    pub(super) fn forget(&mut self, group: u32) -> bool {
        std::mem::take(&mut self.values[group as usize]).is_empty()
    }

    /// Returns about how many bytes the values take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.values.capacity() * size_of::<BTreeMap<Box<[u8]>, i64>>()
    }
}
