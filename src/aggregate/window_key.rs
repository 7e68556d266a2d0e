//! [`WindowKey`]: how windows come into the groups of an aggregation.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMillisecondType};
use datafusion::physical_expr::PhysicalExpr;

use crate::error::{Error, Result};
use crate::flow::LateFor;
use crate::time::{AlignedWindow, SessionWindow, WindowShape};

/// The time of rows, and the running watermark of their partition where late rows are told apart.
#[derive(Debug, Clone)]
pub struct RowTime {
    /// The event time.
    pub time: Arc<dyn PhysicalExpr>,
    /// The watermark before the row; NULL takes every row for early.
    pub watermark: Arc<dyn PhysicalExpr>,
}

/// How windows come into the groups.
#[derive(Debug, Clone)]
pub enum WindowKey {
    /// Windows at fixed places, by the time of rows.
    Aligned {
        /// The time of rows.
        time: RowTime,
        /// The windows.
        windows: AlignedWindow,
    },
    /// Sessions of each key, by the time of rows.
    Session {
        /// The time of rows.
        time: RowTime,
        /// The sessions.
        windows: SessionWindow,
    },
    /// Windows that the rows already have: a bound of theirs is among the keys.
    Given {
        /// The bound; NULL where the row was late for its window.
        bound: Arc<dyn PhysicalExpr>,
        /// When no more rows of a window come.
        closes: Closing,
        /// The windows, unless they grow with their rows.
        windows: Option<AlignedWindow>,
    },
}

/// When no more rows of a given window come.
#[derive(Debug, Clone, Copy)]
pub enum Closing {
    /// At its end, which is the bound, and some milliseconds.
    AfterEnd(i64),
    /// When the last window closes that begins at the bound.
    AfterStart(AlignedWindow),
    /// With the first ones: the rows of a window come together.
    OnArrival,
}

/// Which part of the state each row belongs to.
pub(super) struct Placement {
    /// The parts: a pane and the first window that the rows count in. In the order in which rows bring them.
    pub(super) parts: Vec<(i64, i64)>,
    /// The part of each row, [`LATE`] for those that are in no window.
    pub(super) part_of_row: Vec<u32>,
    /// Rows that are in no window.
    pub(super) late: u64,
    /// Rows that are late for some of their windows.
    pub(super) partly_late: u64,
    /// Rows that are late for all of their windows and were put into a later one.
    pub(super) put_later: u64,
}

/// The part of late rows.
pub(super) const LATE: u32 = u32::MAX;

impl RowTime {
    /// Returns the times and watermarks of `rows`.
    pub(super) fn evaluate(
        &self,
        rows: &RecordBatch,
    ) -> Result<(TimestampMillisecondArray, TimestampMillisecondArray)> {
        Ok((instants(&self.time, rows)?, instants(&self.watermark, rows)?))
    }
}

impl WindowKey {
    /// Returns what the windows are called where a plan is shown.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aligned { windows, .. } => match windows.shape {
                WindowShape::Tumbling { .. } => "window",
                WindowShape::Hopping { .. } => "hopping window",
                WindowShape::Cumulate { .. } => "cumulate window",
            },
            Self::Session { .. } => "session window",
            Self::Given { .. } => "window",
        }
    }

    /// Returns what `EXPLAIN` shows of the windows.
    pub fn describe(&self) -> String {
        let text = match self {
            Self::Aligned { windows, .. } => match windows.shape {
                WindowShape::Tumbling { size } => format!("windows of {size} ms"),
                WindowShape::Hopping { size, slide } => format!("windows of {size} ms every {slide} ms"),
                WindowShape::Cumulate { step, size } => {
                    format!("windows of {step} ms and more up to {size} ms")
                }
            },
            Self::Session { windows, .. } => {
                let longest = windows.max_ms.map_or(String::new(), |max| format!(", cut at {max} ms"));
                format!("sessions with a gap of {} ms{longest}", windows.gap_ms)
            }
            Self::Given { .. } => "the windows of its input".to_owned(),
        };
        format!("{text}, grace {} ms", self.grace_ms())
    }

    /// Returns what `EXPLAIN` shows of the state.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Aligned { windows, .. } if windows.overlap() => {
                "one row for each pane and key, and for blocks of panes"
            }
            Self::Session { windows, .. } if windows.max_ms.is_some() => {
                "one row for each key and time of an open session"
            }
            Self::Session { .. } => "one row for each open session",
            _ => "one row for each open window and key",
        }
    }

    /// Returns whether the bounds of a window may still change when it has been given.
    pub fn grows(&self) -> bool {
        matches!(self, Self::Session { .. })
    }

    /// Returns the columns that stand before the keys in partial states.
    pub(super) fn fields(&self) -> Vec<FieldRef> {
        let names: &[&str] = match self {
            Self::Aligned { windows, .. } if windows.overlap() => &["__pane", "__first_window"],
            Self::Aligned { .. } => &["__pane"],
            Self::Session { .. } => &["__first", "__last"],
            Self::Given { .. } => &["__closes_at"],
        };
        names.iter().map(|name| Arc::new(Field::new(*name, DataType::Int64, false))).collect()
    }

    /// Returns the instant from which on the window takes no more rows. Sessions are not asked.
    pub(super) fn closes_at(&self, window: i64) -> i64 {
        match self {
            Self::Aligned { windows, .. } => windows.closes_at(window),
            Self::Given { .. } | Self::Session { .. } => window,
        }
    }

    /// Returns the bounds of a window where the result shows them.
    pub(super) fn bounds(&self, window: i64) -> Range<i64> {
        match self {
            Self::Aligned { windows, .. } => windows.bounds(window),
            Self::Given { .. } | Self::Session { .. } => window..window,
        }
    }

    /// Returns how long after the end of windows their rows come, in milliseconds.
    pub(super) fn grace_ms(&self) -> i64 {
        match self {
            Self::Aligned { windows, .. } => windows.grace_ms,
            Self::Session { windows, .. } => windows.grace_ms,
            Self::Given { closes: Closing::AfterEnd(grace), .. } => *grace,
            Self::Given { closes: Closing::AfterStart(windows), .. } => windows.grace_ms,
            Self::Given { closes: Closing::OnArrival, .. } => 0,
        }
    }

    /// Returns what rows without a window are late for.
    pub(super) fn late_for(&self) -> LateFor {
        match self {
            Self::Aligned { windows, .. } | Self::Given { windows: Some(windows), .. } => {
                LateFor::Aligned(*windows)
            }
            Self::Session { windows, .. } => LateFor::Session(*windows),
            Self::Given { .. } => LateFor::Order,
        }
    }

    /// Returns the time of each row and the watermark of its partition, where the windows are found by them.
    pub(super) fn row_times(
        &self,
        rows: &RecordBatch,
    ) -> Result<Option<(TimestampMillisecondArray, TimestampMillisecondArray)>> {
        match self {
            Self::Aligned { time, .. } | Self::Session { time, .. } => time.evaluate(rows).map(Some),
            Self::Given { .. } => Ok(None),
        }
    }

    /// Places rows in windows at fixed or given places.
    pub(super) fn place(&self, rows: &RecordBatch) -> Result<Placement> {
        match self {
            Self::Aligned { time, windows } => {
                let (times, watermarks) = time.evaluate(rows)?;
                Ok(place_aligned(windows, &times, &watermarks))
            }
            Self::Given { bound, closes, .. } => Ok(place_given(*closes, &instants(bound, rows)?)),
            Self::Session { .. } => Err(Error::internal("sessions have no fixed places")),
        }
    }
}

/// Collects parts, mostly the one of the row before.
#[derive(Default)]
struct Parts {
    parts: Vec<(i64, i64)>,
    ordinals: HashMap<(i64, i64), u32>,
    last: usize,
}

impl Parts {
    fn ordinal(&mut self, part: (i64, i64)) -> u32 {
        if self.parts.get(self.last) != Some(&part) {
            let next = u32::try_from(self.parts.len()).unwrap_or(LATE);
            let ordinal = *self.ordinals.entry(part).or_insert_with(|| {
                self.parts.push(part);
                next
            });
            self.last = ordinal as usize;
        }
        u32::try_from(self.last).unwrap_or(LATE)
    }
}

fn place_aligned(
    windows: &AlignedWindow,
    times: &TimestampMillisecondArray,
    watermarks: &TimestampMillisecondArray,
) -> Placement {
    let mut parts = Parts::default();
    let (mut late, mut partly_late, mut put_later) = (0, 0, 0);
    // What is known of the pane of the row before.
    let (mut bounds, mut pane, mut first, mut closes) = (0..0, 0, 0, 0);
    let watermark_of = |row: usize| if watermarks.is_null(row) { i64::MIN } else { watermarks.value(row) };
    let mut part_of_row = Vec::with_capacity(times.len());
    for (row, &time) in times.values().iter().enumerate() {
        if !bounds.contains(&time) {
            pane = windows.pane_at(time);
            bounds = windows.pane_bounds(pane);
            first = *windows.windows_of(pane).start();
            closes = windows.closes_at(first);
        }
        let watermark = watermark_of(row);
        if closes > watermark {
            part_of_row.push(parts.ordinal((pane, first)));
            continue;
        }
        part_of_row.push(match windows.first_open(pane, watermark) {
            Some(open) => {
                partly_late += 1;
                parts.ordinal((pane, open))
            }
            None => match windows.next_open(watermark) {
                Some(part) => {
                    put_later += 1;
                    parts.ordinal(part)
                }
                None => {
                    late += 1;
                    LATE
                }
            },
        });
    }
    Placement { parts: parts.parts, part_of_row, late, partly_late, put_later }
}

fn place_given(closes: Closing, bounds: &TimestampMillisecondArray) -> Placement {
    let mut parts = Parts::default();
    let (mut late, mut last) = (0, None);
    let part_of_row = bounds.iter().map(|bound| {
        let Some(bound) = bound else {
            late += 1;
            return LATE;
        };
        if let Some((known, part)) = last
            && known == bound
        {
            return part;
        }
        let window = match closes {
            Closing::AfterEnd(grace) => bound.saturating_add(grace),
            // Any instant that the watermark is past.
            Closing::OnArrival => i64::MIN,
            Closing::AfterStart(windows) => {
                windows.closes_at(*windows.windows_of(windows.pane_at(bound)).end())
            }
        };
        let part = parts.ordinal((window, window));
        last = Some((bound, part));
        part
    });
    let part_of_row = part_of_row.collect();
    Placement { parts: parts.parts, part_of_row, late, partly_late: 0, put_later: 0 }
}

pub(super) fn instants(
    expression: &Arc<dyn PhysicalExpr>,
    rows: &RecordBatch,
) -> Result<TimestampMillisecondArray> {
    let values: ArrayRef = expression.evaluate(rows)?.into_array(rows.num_rows())?;
    let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
    let values = if values.data_type() == &instant { values } else { cast(&values, &instant)? };
    Ok(values.as_primitive::<TimestampMillisecondType>().clone())
}
