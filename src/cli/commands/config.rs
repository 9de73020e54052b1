//! `driver config`: every setting, its value, and where that came from; and what the machine
//! brings along: its memory, and how it hashes.

use crate::base::digest::{FORCED_BY, forced, sha1_plan, sha256_plan};
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
    let asked_for = match forced() {
        Ok(Some(engine)) => format!(" ({FORCED_BY}={})", engine.key()),
        Ok(None) | Err(_) => String::new(),
    };
    table += &format!("sha-1   {}{asked_for}\n", sha1_plan());
    table += &format!("sha-256 {}{asked_for}\n", sha256_plan());
    out::deliver(&table)?;
    Ok(Exit::Done)
}
