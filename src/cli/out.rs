//! The two streams: results on stdout, talk on stderr. A reader of stdout who went away ends
//! the output, not the download.

use std::io::Write as _;

/// Writes to stdout and flushes. A broken pipe is nobody's error.
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
