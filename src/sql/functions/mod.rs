//! Functions: what DataFusion lacks of the names users bring, and the session in which all of them are known.
//!
//! Each family is a file. [`session_state`] puts them together with the operators between times, intervals, numbers
//! and JSON; [`check_comparisons`] and [`fail_on_overflow`] make the strict rules of the language hold.

mod aggregate;
mod buffer;
mod catalog;
mod check;
mod checked;
mod clock;
mod date;
mod extract;
mod header;
mod interval;
mod join;
mod json;
mod json_path;
mod overflow;
mod scalar;
mod session;
mod session_window;
mod shift;
mod subquery;
mod text;
mod text_column;
mod time_argument;
mod time_number;
mod type_name;
mod typed;
mod window;

#[cfg(test)]
mod tests;

pub use aggregate::only_value_function;
pub use buffer::{LastRowsFunction, ROWS_BUFFER};
pub use catalog::{FunctionEntry, FunctionKind, function_catalog};
pub use check::{byte_range, check_comparisons};
pub use checked::with_checked_arithmetic;
pub use clock::EpochClock;
pub use header::{NO_HEADERS, REMOVE_HEADER, SET_HEADER};
pub use join::{JOIN_AS_OF, JOIN_MATCH, JOIN_WITHIN, found_function, meets_function};
pub use overflow::fail_on_overflow;
pub use session::{SessionProfile, session_state};
pub use session_window::session_function;
pub use subquery::{ROW_ORDINAL, only_row_function, row_ordinal_function};
pub use type_name::type_name;
pub use typed::TYPED;
pub use window::{
    DURATION_FIELD, END_FIELD, SESSION_DURATION, START_FIELD, WINDOW_END, WINDOW_START,
    required_time_function, session_duration_function, settled_function, window_end_function,
    window_start_function, windows_function,
};
