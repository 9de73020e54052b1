//! Where log lines go: `--log FILE`, the state directory's log while a prompt is open, or
//! stderr. Their levels follow -q and -v.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::args::Common;
use super::escape::escape;
use super::exit::{Failure, from_io};

/// Sets up logs, once in a process. `fallback` is the file to use when none is named; none
/// means stderr.
///
/// # Errors
/// When the file named by the user cannot be written.
pub fn start(common: &Common, fallback: Option<&Path>) -> Result<(), Failure> {
    let to_file = common.log.is_some() || fallback.is_some();
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (_, 0) if to_file => "info",
        (_, 0) => "error",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::new(format!("warn,pigeon={level}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
    let file = match (&common.log, fallback) {
        (Some(path), _) => Some(open(path).map_err(|error| {
            from_io(&format!("cannot write log {}", escape(&path.display().to_string())), &error)
        })?),
        // Nobody asked for this one.
        (None, Some(path)) => open(path).ok(),
        (None, None) => None,
    };
    // A second set-up, as in tests, changes nothing.
    let _ = match file {
        Some(file) => builder.with_writer(Arc::new(file)).try_init(),
        None if fallback.is_some() => builder.with_writer(std::io::sink).try_init(),
        None => builder.with_writer(std::io::stderr).try_init(),
    };
    Ok(())
}
