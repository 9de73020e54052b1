//! `driver config`: every setting, its value, and where that came from.

use crate::cli::config::Settings;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::memory::told;
use crate::cli::out;

/// Prints the effective settings.
///
/// # Errors
/// When more memory is asked for than there is.
pub fn run(settings: &Settings) -> Outcome {
    let mut table = "SETTING           VALUE                 FROM\n".to_owned();
    for line in settings.lines() {
        table += &line;
        table.push('\n');
    }
    table += &format!("\n{}\n", told(&settings.cli.common)?);
    out::deliver(&table)?;
    Ok(Exit::Done)
}
