//! Every error of a query at once: each part that cannot be planned by itself, down to the smallest.
//!
//! DataFusion stops at its first error and often does not say where it is. After a failure each expression of each
//! block is planned alone, over the `FROM` of its block; one that fails is taken apart until its parts do not. What is
//! left is the error, and its place is known.

mod expressions;
mod part;
mod queries;
mod words;

use datafusion::execution::SessionState;

use self::queries::Diagnosis;
use super::prepared::Prepared;
use crate::error::Error;

/// Returns the errors of a query, in no order; none if every part of it can be planned.
pub(super) fn diagnose(state: &SessionState, prepared: &Prepared<'_>) -> Vec<Error> {
    let mut diagnosis = Diagnosis::new(state, prepared);
    diagnosis.query(&prepared.query, &|query| query);
    diagnosis.errors
}
