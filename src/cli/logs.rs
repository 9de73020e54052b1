//! Where log lines go: `--log FILE`, the state directory's log while a prompt is open, or
//! stderr. Their levels follow -q and -v.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
        (true, _) => LevelFilter::ERROR,
        (_, 0) if to_file => LevelFilter::INFO,
        (_, 0) => LevelFilter::ERROR,
        (_, 1) => LevelFilter::INFO,
        (_, 2) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("pigeon", level);
    let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
    let file = match (&common.log, fallback) {
        (Some(path), _) => Some(open(path).map_err(|error| {
            from_io(&format!("cannot write log {}", escape(&path.display().to_string())), &error)
        })?),
        // Nobody asked for this one.
        (None, Some(path)) => open(path).ok(),
        (None, None) => None,
    };
    let writer = match file {
        Some(file) => BoxMakeWriter::new(Arc::new(file)),
        None if fallback.is_some() => BoxMakeWriter::new(std::io::sink),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    // A second set-up, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(())
}
