//! [`Walk`]: a random walk that can be entered anywhere.

use crate::connect::dice::Dice;

/// Steps from one anchor to the next. Anchors follow from their number alone; the steps between two of them are
/// drawn from the first and bent so that they meet the second.
const STEPS: u64 = 4_096;
/// How far a free walk strays in so many steps of length 1: the root of [`STEPS`].
const STRAY: f64 = 64.0;

/// A value that moves by small steps, within bounds at which it turns round.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// The value of row 0.
    pub(super) start: f64,
    /// The lowest value.
    pub(super) min: f64,
    /// The highest value.
    pub(super) max: f64,
    /// The standard deviation of a step.
    pub(super) step: f64,
    /// What is added at each row.
    pub(super) drift: f64,
    /// The offsets from anchor to anchor that were asked for last.
    stretch: Option<(u64, Vec<f64>)>,
}

impl Walk {
    /// Creates a walk from `start` that stays from `min` to `max`.
    pub(super) fn new(start: f64, min: f64, max: f64, step: f64, drift: f64) -> Self {
        Self { start, min, max, step, drift, stretch: None }
    }

    /// Returns the value of `row`.
    pub(super) fn at(&mut self, dice: Dice, row: u64) -> f64 {
        let number = row / STEPS;
        let index = usize::try_from(row % STEPS).unwrap_or(0);
        let offsets = match &mut self.stretch {
            Some((held, offsets)) if *held == number => offsets,
            stretch => &mut stretch.insert((number, offsets(dice, number))).1,
        };
        let offset = offsets.get(index).copied().unwrap_or(0.0);
        let free = self.start + self.drift * row as f64 + self.step * offset;
        folded(free, self.min, self.max)
    }
}

/// Returns how far the walk is from its start, in steps, between anchor `number` and the next.
fn offsets(dice: Dice, number: u64) -> Vec<f64> {
    let anchor = |number: u64| if number == 0 { 0.0 } else { dice.at(2 * number).bell() * STRAY };
    let mut throws = dice.at(2 * number + 1);
    let mut sum = 0.0;
    let mut offsets: Vec<f64> = (0..STEPS)
        .map(|_| {
            let before = sum;
            sum += throws.bell();
            before
        })
        .collect();
    let first = anchor(number);
    let bend = (anchor(number + 1) - first - sum) / STEPS as f64;
    for (index, offset) in offsets.iter_mut().enumerate() {
        *offset += first + bend * index as f64;
    }
    offsets
}

/// Mirrors `value` at `min` and `max` until it lies between them.
fn folded(value: f64, min: f64, max: f64) -> f64 {
    let span = max - min;
    if (min..=max).contains(&value) || !(span > 0.0 && span.is_finite()) {
        return value.clamp(min, max);
    }
    let across = (value - min).rem_euclid(2.0 * span);
    min + if across > span { 2.0 * span - across } else { across }
}
