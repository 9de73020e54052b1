//! `driver chunk cut`.

use crate::cli::exit::{Exit, Failure, Outcome};

use super::CutArgs;

/// Runs it.
///
/// # Errors
/// Always, so far.
pub fn run(_arguments: &CutArgs) -> Outcome {
    Err(Failure::new(Exit::Unexpected, "not there yet"))
}
