//! `driver demo`: a swarm on this machine.

use crate::cli::args::{Common, DemoArgs};
use crate::cli::exit::{Failure, Outcome};

/// Runs it.
///
/// # Errors
/// Always, for now.
pub fn run(_arguments: &DemoArgs, _common: &Common) -> Outcome {
    Err(Failure::usage("demo is not available yet"))
}
