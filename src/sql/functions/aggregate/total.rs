//! [`Total`]: the wide type in which a sum is kept, and the way back to the type that users see.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::{cast, sum};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, Field,
    Int64Type, UInt64Type, i256,
};
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::function::AccumulatorArgs;

use crate::error::Error;
use crate::sql::functions::scalar::{Outcome, external};
use crate::sql::functions::type_name;

/// The most digits of a DECIMAL whose totals cannot leave 128 bits: those of 10^9 rows.
const SAFE_TOTAL_PRECISION: u8 = DECIMAL128_MAX_PRECISION - 1;

/// How one `sum` keeps its totals.
#[derive(Debug, Clone)]
pub(super) struct Total {
    /// The function as the user wrote it, for messages.
    name: String,
    narrow: DataType,
    wide: DataType,
}

impl Total {
    /// Returns how totals of type `narrow` are kept; none where no number of rows can overflow it, or none is exact.
    pub(super) fn of(name: &str, narrow: &DataType) -> Option<Self> {
        let wide = match narrow {
            DataType::Int64 | DataType::UInt64 => DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0),
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
                DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale)
            }
            DataType::Decimal128(precision, scale) if *precision > SAFE_TOTAL_PRECISION => {
                DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale)
            }
            _ => return None,
        };
        Some(Self { name: call(name).to_owned(), narrow: narrow.clone(), wide })
    }

    /// Returns the type of the wide totals.
    pub(super) fn wide(&self) -> &DataType {
        &self.wide
    }

    /// Returns `args` for an accumulator of wide totals.
    pub(super) fn widened<'a>(&self, args: &AccumulatorArgs<'a>) -> AccumulatorArgs<'a> {
        AccumulatorArgs {
            return_field: Arc::new(Field::new(args.return_field.name(), self.wide.clone(), true)),
            ..args.clone()
        }
    }

    /// Returns `args` for an accumulator of the argument's own type.
    pub(super) fn unwidened<'a>(&self, args: &AccumulatorArgs<'a>) -> AccumulatorArgs<'a> {
        AccumulatorArgs {
            return_field: Arc::new(Field::new(args.return_field.name(), self.narrow.clone(), true)),
            ..args.clone()
        }
    }

    /// Returns the values of the function's one argument as wide ones.
    pub(super) fn widen(&self, values: &[ArrayRef]) -> Outcome<ArrayRef> {
        let [values] = values else { return Err(broken("the arguments of a sum")) };
        let wide = match values.data_type() {
            DataType::Int64 => values.as_primitive::<Int64Type>().unary::<_, Decimal128Type>(i128::from),
            DataType::UInt64 => values.as_primitive::<UInt64Type>().unary::<_, Decimal128Type>(i128::from),
            _ => return Ok(cast(values, &self.wide)?),
        };
        Ok(Arc::new(wide.with_data_type(self.wide.clone())))
    }

    /// Returns the wide sum of values of the argument, a column of one row.
    pub(super) fn sum(&self, values: &ArrayRef) -> Outcome<ArrayRef> {
        let wide = self.widen(std::slice::from_ref(values))?;
        Ok(match &self.wide {
            DataType::Decimal128(..) => {
                let total = sum(wide.as_primitive::<Decimal128Type>());
                let total = PrimitiveArray::<Decimal128Type>::from(vec![total]);
                Arc::new(total.with_data_type(self.wide.clone()))
            }
            _ => {
                let total = sum(wide.as_primitive::<Decimal256Type>());
                let total = PrimitiveArray::<Decimal256Type>::from(vec![total]);
                Arc::new(total.with_data_type(self.wide.clone()))
            }
        })
    }

    /// Returns wide totals in the type that users see; fails with a `Data` error where one does not fit.
    pub(super) fn narrow(&self, totals: &ArrayRef) -> Outcome<ArrayRef> {
        let narrowed: ArrayRef = match &self.narrow {
            DataType::Int64 => {
                let fit = |total| i64::try_from(total).map_err(|_| self.does_not_fit(total));
                Arc::new(totals.as_primitive::<Decimal128Type>().try_unary::<_, Int64Type, _>(fit)?)
            }
            DataType::UInt64 => {
                let fit = |total| u64::try_from(total).map_err(|_| self.does_not_fit(total));
                Arc::new(totals.as_primitive::<Decimal128Type>().try_unary::<_, UInt64Type, _>(fit)?)
            }
            DataType::Decimal128(precision, scale) => {
                let most = 10_i128.pow(u32::from(*precision)) - 1;
                let fit = |total: i256| match total.to_i128() {
                    Some(fits) if (-most..=most).contains(&fits) => Ok(fits),
                    _ => Err(self.does_not_fit(decimal_text(&total.to_string(), *scale))),
                };
                let totals = totals.as_primitive::<Decimal256Type>();
                let totals = totals.try_unary::<_, Decimal128Type, _>(fit)?;
                Arc::new(totals.with_data_type(self.narrow.clone()))
            }
            _ => {
                let narrowed = cast(totals, &self.narrow)?;
                match (0..totals.len()).find(|&row| narrowed.is_null(row) && totals.is_valid(row)) {
                    Some(_) => return Err(self.does_not_fit("a number").into()),
                    None => narrowed,
                }
            }
        };
        Ok(narrowed)
    }

    fn does_not_fit(&self, total: impl Display) -> ArrowError {
        let message = format!("`{}` is {total}, which does not fit {}", self.name, type_name(&self.narrow));
        let hint = match &self.narrow {
            DataType::Int64 | DataType::UInt64 => "sum decimals: SUM(CAST(… AS DECIMAL(20, 0)))",
            _ => "sum smaller numbers, or floats: SUM(CAST(… AS DOUBLE))",
        };
        ArrowError::ExternalError(Box::new(Error::data(message).with_hint(hint)))
    }
}

/// Returns the function and its arguments of a longer name, without `FILTER` and `OVER`.
fn call(name: &str) -> &str {
    let mut open = 0_usize;
    let end = name.char_indices().find_map(|(place, letter)| {
        match letter {
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            _ => return None,
        }
        (open == 0).then_some(place + 1)
    });
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}

/// Writes an unscaled decimal with its point.
fn decimal_text(digits: &str, scale: i8) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale).unwrap_or((&digits, ""));
    format!("{sign}{whole}.{fraction}")
}

/// Returns the error for what DataFusion never does.
pub(super) fn broken(what: &str) -> DataFusionError {
    external(Error::internal(format!("{what} are not what they were planned to be")))
}
