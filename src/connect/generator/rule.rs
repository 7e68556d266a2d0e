//! [`Rule`]: how the values of one column come about.

use super::walk::Walk;
use crate::connect::dice::{Dice, Throws};

/// How the values of a column are made.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// Whole numbers; also decimals without their point, times in their unit, and days.
    Whole(Draw<i128>),
    /// Floating-point numbers.
    Real(Draw<f64>),
    /// Text.
    Text(Text),
    /// True or false.
    Truth(Choice<bool>),
    /// The time at which the row is due.
    Due {
        /// The time of row 0 in nanoseconds since the epoch, if it is not that of the stream.
        start: Option<i128>,
        /// Nanoseconds from row to row, if they do not follow from the rate.
        step: Option<i128>,
    },
}

/// How numbers are drawn.
#[derive(Debug, Clone)]
pub(super) enum Draw<T> {
    /// One after another, starting again after `count`.
    Sequence { start: T, step: T, count: Option<u64> },
    /// Evenly from `min` to `max`.
    Range { min: T, max: T },
    /// One of a list.
    Choice(Choice<T>),
    /// By small steps.
    Walk(Walk),
}

/// How text is made.
#[derive(Debug, Clone)]
pub(super) enum Text {
    /// So many small letters.
    Letters(usize),
    /// A random UUID.
    Uuid,
    /// One of a list.
    Choice(Choice<String>),
}

/// One of a list of values, some likelier than others.
#[derive(Debug, Clone)]
pub(super) struct Choice<T> {
    values: Vec<T>,
    /// For each value the chance of it and those before it.
    chances: Vec<f64>,
}

impl<T> Choice<T> {
    /// Creates a choice of `values`, as likely as their `weights`; none if there is nothing to choose from.
    pub(super) fn new(values: Vec<T>, weights: &[f64]) -> Option<Self> {
        let total: f64 = weights.iter().sum();
        let sound = weights.iter().all(|weight| *weight >= 0.0) && total > 0.0 && total.is_finite();
        if !sound || values.len() != weights.len() {
            return None;
        }
        let mut sum = 0.0;
        let mut chance = |weight: &f64| {
            sum += weight;
            sum / total
        };
        let chances = weights.iter().map(&mut chance).collect();
        Some(Self { values, chances })
    }

    /// Creates a choice of one value.
    pub(super) fn only(value: T) -> Self {
        Self { values: vec![value], chances: vec![1.0] }
    }

    pub(super) fn draw(&self, throws: &mut Throws) -> &T {
        let throw = throws.unit();
        let index = self.chances.partition_point(|chance| *chance <= throw);
        &self.values[index.min(self.values.len() - 1)]
    }
}

impl Draw<i128> {
    pub(super) fn at(&mut self, dice: Dice, row: u64) -> i128 {
        match self {
            Self::Sequence { start, step, count } => {
                let index = count.map_or(row, |count| row % count);
                start.saturating_add(step.saturating_mul(i128::from(index)))
            }
            Self::Range { min, max } => {
                let above = dice.at(row).at_most(max.abs_diff(*min));
                min.saturating_add_unsigned(above)
            }
            Self::Choice(choice) => *choice.draw(&mut dice.at(row)),
            Self::Walk(walk) => rounded(walk.at(dice, row)).clamp(rounded(walk.min), rounded(walk.max)),
        }
    }
}

impl Draw<f64> {
    pub(super) fn at(&mut self, dice: Dice, row: u64) -> f64 {
        match self {
            Self::Sequence { start, step, count } => {
                let index = count.map_or(row, |count| row % count);
                *start + *step * index as f64
            }
            Self::Range { min, max } => *min + (*max - *min) * dice.at(row).unit(),
            Self::Choice(choice) => *choice.draw(&mut dice.at(row)),
            Self::Walk(walk) => walk.at(dice, row),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a value beyond the range saturates")]
fn rounded(value: f64) -> i128 {
    value.round() as i128
}
