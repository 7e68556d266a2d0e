//! `velo bench`.

use std::process::ExitCode;

use super::arguments::BenchArguments;
use crate::error::{Error, Result};

/// Measures.
pub(super) fn bench(_arguments: &BenchArguments) -> Result<ExitCode> {
    Err(Error::not_yet("`velo bench`"))
}
