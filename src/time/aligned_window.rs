//! [`AlignedWindow`]: windows at fixed places of the time line, and the panes that they are made of.

use std::num::NonZeroI64;
use std::ops::{Range, RangeInclusive};

use chrono::{LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::late_rule::LateRule;

/// From this length on windows follow the local clock of their zone; shorter ones follow the instants.
const FOLLOWS_LOCAL_CLOCK_ABOVE_MS: i64 = 3_600_000;

/// How windows lie on the time line; all lengths are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowShape {
    /// Windows of one size that touch but do not overlap.
    Tumbling {
        /// Length of a window.
        size: NonZeroI64,
    },
    /// Windows of one size, a new one every slide; the slide is at most the size.
    Hopping {
        /// Length of a window.
        size: NonZeroI64,
        /// From the start of one window to the start of the next.
        slide: NonZeroI64,
    },
    /// Windows with a common start that grow by a step up to a size, which is a multiple of the step.
    Cumulate {
        /// How much each window is longer than the one before.
        step: NonZeroI64,
        /// Length of the longest window.
        size: NonZeroI64,
    },
}

/// Windows at fixed places of the time line.
///
/// The bounds of all windows cut time into *panes*: a window is a range of panes, and a row belongs to one pane,
/// whatever the number of its windows. Panes and windows have ordinals that grow with time; those of one instance say
/// nothing about another's.
///
/// A hopping window whose slide does not divide its size has two panes a slide, of `size % slide` and the rest
/// (J. Li et al., "No pane, no gain", 2005; paired windows: S. Krishnamurthy et al., 2006).
///
/// ```
/// use std::num::NonZeroI64;
/// use velostream::time::{AlignedWindow, WindowShape};
///
/// let ms = |ms| NonZeroI64::new(ms).unwrap();
/// let hop = AlignedWindow::new(WindowShape::Hopping { size: ms(10), slide: ms(5) });
/// let windows = hop.windows_of(hop.pane_at(12));
/// let bounds: Vec<_> = windows.map(|window| hop.bounds(window)).collect();
/// assert_eq!(bounds, [5..15, 10..20]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlignedWindow {
    /// How windows lie on the time line.
    pub shape: WindowShape,
    /// How far the alignment is moved from the Unix epoch, in milliseconds.
    pub offset_ms: i64,
    /// How long after its end a window still takes rows, in milliseconds.
    pub grace_ms: i64,
    /// Where rows go whose windows are all closed.
    pub late: LateRule,
    zone: Option<Tz>,
}

impl AlignedWindow {
    /// Creates windows that are aligned to the Unix epoch in UTC and take no late rows.
    pub fn new(shape: WindowShape) -> Self {
        Self { shape, offset_ms: 0, grace_ms: 0, late: LateRule::Drop, zone: None }
    }

    /// Lets windows that are longer than an hour follow the local clock of `zone`: days are 23 or 25 hours long when
    /// it changes.
    #[must_use]
    pub fn in_zone(self, zone: Tz) -> Self {
        let (WindowShape::Tumbling { size }
        | WindowShape::Hopping { size, .. }
        | WindowShape::Cumulate { size, .. }) = self.shape;
        let local = zone != Tz::UTC && size.get() > FOLLOWS_LOCAL_CLOCK_ABOVE_MS;
        Self { zone: local.then_some(zone), ..self }
    }

    /// Returns the ordinal of the pane that contains `time`, in epoch milliseconds.
    pub fn pane_at(&self, time: i64) -> i64 {
        let Some(zone) = self.zone else {
            return self.nominal_pane(time.saturating_sub(self.offset_ms));
        };
        let mut pane = self.nominal_pane(local_of(time, zone).saturating_sub(self.offset_ms));
        // Where the clock was set back, several instants have one local time.
        while self.pane_start(pane) > time {
            pane -= 1;
        }
        while self.pane_start(pane.saturating_add(1)) <= time {
            pane += 1;
        }
        pane
    }

    /// Returns the instants of a pane, in epoch milliseconds; it is empty where the clock leaps over it.
    pub fn pane_bounds(&self, pane: i64) -> Range<i64> {
        self.pane_start(pane)..self.pane_start(pane.saturating_add(1))
    }

    /// Returns the ordinals of the windows that contain a pane, those that end first before the others.
    pub fn windows_of(&self, pane: i64) -> RangeInclusive<i64> {
        match self.shape {
            WindowShape::Tumbling { .. } => pane..=pane,
            WindowShape::Hopping { size, slide } => {
                let whole = size.get() / slide.get();
                if size.get() % slide.get() == 0 {
                    pane - whole + 1..=pane
                } else {
                    (pane + 1).div_euclid(2) - whole..=pane.div_euclid(2)
                }
            }
            WindowShape::Cumulate { step, size } => {
                let steps = size.get() / step.get();
                pane..=(pane.div_euclid(steps) + 1) * steps - 1
            }
        }
    }

    /// Returns the panes that a window is made of.
    pub fn panes_of(&self, window: i64) -> Range<i64> {
        match self.shape {
            WindowShape::Tumbling { .. } => window..window + 1,
            WindowShape::Hopping { size, slide } => {
                let whole = size.get() / slide.get();
                if size.get() % slide.get() == 0 {
                    window..window + whole
                } else {
                    2 * window..2 * (window + whole) + 1
                }
            }
            WindowShape::Cumulate { step, size } => {
                let steps = size.get() / step.get();
                window.div_euclid(steps) * steps..window + 1
            }
        }
    }

    /// Returns the instants of a window, in epoch milliseconds.
    pub fn bounds(&self, window: i64) -> Range<i64> {
        let panes = self.panes_of(window);
        self.pane_start(panes.start)..self.pane_start(panes.end)
    }

    /// Returns the instant from which on a window takes no more rows.
    pub fn closes_at(&self, window: i64) -> i64 {
        self.bounds(window).end.saturating_add(self.grace_ms)
    }

    /// Returns the first window of `pane` that a partition with this running `watermark` still takes rows for.
    pub fn first_open(&self, pane: i64, watermark: i64) -> Option<i64> {
        let windows = self.windows_of(pane);
        let (mut low, mut high) = (*windows.start(), windows.end().saturating_add(1));
        if self.closes_at(low) > watermark {
            return Some(low);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.closes_at(middle) > watermark { high = middle } else { low = middle + 1 }
        }
        (low <= *windows.end()).then_some(low)
    }

    /// Returns the window that takes a row all of whose windows are closed, where the late rule wants one: the earliest
    /// that is open; with it the pane that makes the row count in no earlier one.
    pub fn next_open(&self, watermark: i64) -> Option<(i64, i64)> {
        if self.late != LateRule::NextOpen {
            return None;
        }
        let window = *self.windows_of(self.pane_at(watermark.saturating_sub(self.grace_ms))).start();
        let panes = self.panes_of(window);
        let pane = match self.shape {
            WindowShape::Cumulate { .. } => panes.end - 1,
            _ => panes.start,
        };
        Some((pane, window))
    }

    /// Returns whether a row can be in several windows.
    pub fn overlap(&self) -> bool {
        match self.shape {
            WindowShape::Tumbling { .. } => false,
            WindowShape::Hopping { size, slide } => size != slide,
            WindowShape::Cumulate { step, size } => size != step,
        }
    }

    /// Returns the pane on the nominal time line, which knows no zone.
    fn nominal_pane(&self, time: i64) -> i64 {
        match self.shape {
            WindowShape::Tumbling { size } => time.div_euclid(size.get()),
            WindowShape::Cumulate { step, .. } => time.div_euclid(step.get()),
            WindowShape::Hopping { size, slide } => {
                let (slide, rest) = (slide.get(), size.get() % slide.get());
                let ordinal = time.div_euclid(slide);
                if rest == 0 { ordinal } else { 2 * ordinal + i64::from(time.rem_euclid(slide) >= rest) }
            }
        }
    }

    fn pane_start(&self, pane: i64) -> i64 {
        let nominal = match self.shape {
            WindowShape::Tumbling { size } => pane.saturating_mul(size.get()),
            WindowShape::Cumulate { step, .. } => pane.saturating_mul(step.get()),
            WindowShape::Hopping { size, slide } => {
                let (slide, rest) = (slide.get(), size.get() % slide.get());
                if rest == 0 {
                    pane.saturating_mul(slide)
                } else {
                    let start = pane.div_euclid(2).saturating_mul(slide);
                    start.saturating_add(pane.rem_euclid(2) * rest)
                }
            }
        };
        let local = nominal.saturating_add(self.offset_ms);
        self.zone.map_or(local, |zone| instant_of(local, zone))
    }
}

/// Returns the local time of an instant, as if it were UTC.
fn local_of(time: i64, zone: Tz) -> i64 {
    match Utc.timestamp_millis_opt(time) {
        LocalResult::Single(instant) => {
            instant.with_timezone(&zone).naive_local().and_utc().timestamp_millis()
        }
        _ => time,
    }
}

/// Returns the first instant that has this local time; where the clock leaps over it, the instant of the leap.
fn instant_of(local: i64, zone: Tz) -> i64 {
    let Some(naive) = chrono::DateTime::from_timestamp_millis(local).map(|local| local.naive_utc()) else {
        return local;
    };
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant.timestamp_millis(),
        LocalResult::None => leap_over(naive, zone).unwrap_or(local),
    }
}

/// Returns the instant at which the clock of `zone` leaps over the local time `skipped`.
fn leap_over(skipped: NaiveDateTime, zone: Tz) -> Option<i64> {
    let offset_at = |instant: i64| local_of(instant, zone) - instant;
    let day = TimeDelta::days(2).num_milliseconds();
    let around = skipped.and_utc().timestamp_millis();
    let (mut before, mut after) = (around.checked_sub(day)?, around.checked_add(day)?);
    let offset = offset_at(before);
    // Zones do not change twice within four days.
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if offset_at(middle) == offset { before = middle } else { after = middle }
    }
    Some(after)
}
