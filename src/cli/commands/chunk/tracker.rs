//! `driver chunk tracker`.

use crate::cli::args::Common;
use crate::cli::exit::{Exit, Failure, Outcome};

use super::TrackerArgs;

/// Runs it.
///
/// # Errors
/// Always, so far.
pub fn run(_arguments: &TrackerArgs, _common: &Common) -> Outcome {
    Err(Failure::new(Exit::Unexpected, "not there yet"))
}
