//! `driver chunk check`.

use crate::cli::exit::{Exit, Failure, Outcome};

use super::CheckArgs;

/// Runs it.
///
/// # Errors
/// Always, so far.
pub fn run(_arguments: &CheckArgs) -> Outcome {
    Err(Failure::new(Exit::Unexpected, "not there yet"))
}
