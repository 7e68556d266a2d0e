//! [`Runs`]: the rows of one batch that belong to one session of their key.

use arrow::array::{Array, TimestampMillisecondArray};

use crate::flow::Tally;
use crate::time::SessionWindow;

/// The rows of a batch that are in a session, and the times at which they count.
pub(super) struct Placed {
    /// The rows, ascending.
    pub(super) rows: Vec<u32>,
    /// The time of each of them.
    pub(super) times: Vec<i64>,
}

/// Leaves out the rows that are late, and counts them.
pub(super) fn place_in_time(
    windows: &SessionWindow,
    times: &TimestampMillisecondArray,
    watermarks: &TimestampMillisecondArray,
    tally: &mut Tally,
) -> Placed {
    let mut placed = Placed { rows: Vec::with_capacity(times.len()), times: Vec::with_capacity(times.len()) };
    for (row, &time) in (0u32..).zip(times.values()) {
        let ordinal = row as usize;
        let watermark = if watermarks.is_null(ordinal) { i64::MIN } else { watermarks.value(ordinal) };
        match windows.counts_at(time, watermark) {
            Some(counts_at) => {
                tally.put_later += u64::from(counts_at != time);
                placed.rows.push(row);
                placed.times.push(counts_at);
            }
            None => tally.late += 1,
        }
    }
    placed
}

/// Rows of one key with no gap between them.
///
/// Where sessions are cut at a longest duration, the cuts depend on rows of other batches: only rows of the same time
/// are one run then.
pub(super) struct Runs {
    /// The run of each row.
    pub(super) run_of_row: Vec<usize>,
    /// A row of each run.
    pub(super) row: Vec<u32>,
    /// The time of each run's first row.
    pub(super) first: Vec<i64>,
    /// The time of each run's last row.
    pub(super) last: Vec<i64>,
}

impl Runs {
    /// Finds the runs of rows with these keys and times.
    pub(super) fn find(windows: &SessionWindow, key_of_row: &[usize], times: &[i64]) -> Self {
        let mut order: Vec<u32> = (0u32..).take(times.len()).collect();
        order.sort_unstable_by_key(|&row| (key_of_row[row as usize], times[row as usize]));
        let mut runs = Self { run_of_row: vec![0; times.len()], row: vec![], first: vec![], last: vec![] };
        let mut key = None;
        for row in order {
            let time = times[row as usize];
            let same_key = key.replace(key_of_row[row as usize]) == Some(key_of_row[row as usize]);
            match runs.last.last_mut() {
                Some(last) if same_key && joins(windows, *last, time) => *last = time,
                _ => {
                    runs.row.push(row);
                    runs.first.push(time);
                    runs.last.push(time);
                }
            }
            runs.run_of_row[row as usize] = runs.first.len() - 1;
        }
        runs
    }
}

fn joins(windows: &SessionWindow, last: i64, time: i64) -> bool {
    if windows.max_ms.is_some() { time == last } else { time < windows.end(last) }
}
