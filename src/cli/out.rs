//! The two streams: results on stdout, talk on stderr. A reader of stdout who went away ends
//! the output, not the download.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::escape::write_json;
use super::exit::{Failure, from_io};

/// Writes what a command was asked for, and nothing else, to stdout. A reader who went away has
/// read enough.
///
/// # Errors
/// When it cannot be written: then the answer is lost.
pub fn deliver(text: &str) -> Result<(), Failure> {
    deliver_by(|to| to.write_all(text.as_bytes()))
}

/// As [`deliver`], a value as one line of JSON.
///
/// # Errors
/// As [`deliver`].
pub fn deliver_json(value: &impl Serialize) -> Result<(), Failure> {
    deliver_by(|to| write_json(&mut *to, value).and_then(|()| to.write_all(b"\n")))
}

/// As [`deliver`], whatever is written.
///
/// # Errors
/// As [`deliver`].
pub fn deliver_by(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // What is left in the buffer would be tried once more, in vain.
            let _ = stdout.into_parts();
            Err(from_io("the answer cannot be written", &error))
        }
        _ => Ok(()),
    }
}

/// Writes to stdout and flushes, beside other work. That it fails is nobody's error.
pub fn answer(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // The download goes on when nobody reads its answers any more.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes a line to stderr.
pub fn talk(line: &str) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Columns of the terminal on stdout; 80 when it is none.
pub fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns >= 20).unwrap_or(80)
}
