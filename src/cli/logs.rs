//! Where log lines go: `--log FILE`, the state directory's log while a prompt is open, or
//! stderr. Their levels follow -q and -v.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::args::Common;
use super::escape::escape;
use super::exit::{Failure, from_io};
use super::out;

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
        Some(file) => BoxMakeWriter::new(Arc::new(LogFile::new(file))),
        None if fallback.is_some() => BoxMakeWriter::new(std::io::sink),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    // A second set-up, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(())
}

/// A log file that may be on a disk that is full: what it does not take is lost, which is told once
/// and ends nothing.
struct LogFile<F> {
    file: F,
    is_failing: AtomicBool,
}

impl<F> LogFile<F> {
    fn new(file: F) -> Self {
        Self { file, is_failing: AtomicBool::new(false) }
    }
}

impl<F> Write for &LogFile<F>
where
    for<'f> &'f F: Write,
{
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whole lines come, and are never torn between two calls.
        let written = (&self.file).write_all(bytes);
        let was_failing = self.is_failing.swap(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written
            && !was_failing
        {
            let why = escape(&error.to_string());
            out::talk(&format!("driver: the log cannot be written, and goes on without: {why}"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_whose_disk_is_full_ends_nothing() {
        let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
        let log = LogFile::new(full);
        for _ in 0..3 {
            assert_eq!((&log).write(b"a line\n").unwrap(), 7);
            assert!(log.is_failing.load(Ordering::Relaxed));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = LogFile::new(file.reopen().unwrap());
        assert_eq!((&log).write(b"a line\n").unwrap(), 7);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"a line\n");
    }
}
