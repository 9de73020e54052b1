//! `driver chunk provide`.

use crate::cli::args::Common;
use crate::cli::exit::{Exit, Failure, Outcome};

use super::ProvideArgs;

/// Runs it.
///
/// # Errors
/// Always, so far.
pub fn run(_arguments: &ProvideArgs, _common: &Common) -> Outcome {
    Err(Failure::new(Exit::Unexpected, "not there yet"))
}
