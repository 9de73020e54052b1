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

/// Where lines go when no file is named.
#[derive(Clone, Copy, Debug)]
pub enum Unnamed<'a> {
    /// To `driver.log` in this state directory: stderr is the prompt's.
    In(&'a Path),
    /// To stderr, where somebody waits for the end: what is wrong is told there anyway.
    Errors,
    /// To stderr, which a service manager keeps: what went wrong, and what hooks say.
    Service,
}

/// Sets up logs, once in a process.
///
/// # Errors
/// When the file named by the user cannot be written.
pub fn start(common: &Common, unnamed: Unnamed<'_>) -> Result<(), Failure> {
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) if common.log.is_some() => LevelFilter::INFO,
        (_, 0) => match unnamed {
            Unnamed::In(_) => LevelFilter::INFO,
            Unnamed::Errors => LevelFilter::ERROR,
            Unnamed::Service => LevelFilter::WARN,
        },
        (_, 1) => LevelFilter::INFO,
        (_, 2) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let mut filter = Targets::new().with_default(LevelFilter::WARN).with_target("pigeon", level);
    if matches!(unnamed, Unnamed::Service) && level == LevelFilter::WARN {
        // Programs that nobody watches have no other place for their words.
        filter = filter.with_target("pigeon_errands", LevelFilter::INFO);
    }
    let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
    let file = match (&common.log, unnamed) {
        (Some(path), _) => Some(open(path).map_err(|error| {
            from_io(&format!("cannot write log {}", escape(&path.display().to_string())), &error)
        })?),
        // Nobody asked for this one.
        (None, Unnamed::In(dir)) => open(&dir.join("driver.log")).ok(),
        (None, Unnamed::Errors | Unnamed::Service) => None,
    };
    let writer = match (file, unnamed) {
        (Some(file), _) => BoxMakeWriter::new(Arc::new(LogFile::new(file))),
        (None, Unnamed::In(_)) => BoxMakeWriter::new(std::io::sink),
        (None, Unnamed::Errors | Unnamed::Service) => BoxMakeWriter::new(std::io::stderr),
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
