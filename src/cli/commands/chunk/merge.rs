//! `driver chunk merge`.

use crate::cli::exit::{Exit, Failure, Outcome};

use super::MergeArgs;

/// Runs it.
///
/// # Errors
/// Always, so far.
pub fn run(_arguments: &MergeArgs) -> Outcome {
    Err(Failure::new(Exit::Unexpected, "not there yet"))
}
