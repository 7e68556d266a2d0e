//! Expressions over one small table, as SQL.

mod fixture;
mod strict;
mod time;
mod values;
