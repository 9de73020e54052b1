//! The two streams: results on stdout, talk on stderr. A reader of stdout who went away ends
//! the output, not the download; a run that speaks to programs alone ends with its reader.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::future::pending;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ColorChoice;
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use unicode_width::UnicodeWidthStr as _;

use super::escape::write_json;
use super::exit::{Failure, from_io};
use super::print::wrap;

/// What continues a line begins with so many spaces.
const INDENT: usize = 2;

/// What a line of trouble begins with.
const TROUBLE: &str = "driver: ";

/// What goes wrong is told in colour.
static HAS_COLOR: AtomicBool = AtomicBool::new(false);

/// Something that was written beside other work is lost, and its reader has not gone away.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// The reader of stdout has gone away, which was seen when something was written.
static IS_UNREAD: AtomicBool = AtomicBool::new(false);

/// A terminal narrower than this is not believed.
const COLUMNS_MIN: usize = 20;

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

/// Writes to stdout and flushes, beside other work, which goes on when that fails; the exit code
/// tells.
pub fn answer(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    // The download goes on when nobody reads its answers any more.
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            IS_UNREAD.store(true, Ordering::Relaxed);
        }
        Err(_) => IS_LOST.store(true, Ordering::Relaxed),
    }
}

/// Whether something was written to stdout after its reader had gone away.
pub fn is_unread() -> bool {
    IS_UNREAD.load(Ordering::Relaxed)
}

/// Waits until the reader of stdout goes away, be anything written or not; for ever where that
/// cannot be seen, as with a file. Within a runtime.
pub async fn unread() {
    // Only looked at, and as it is: who writes must be able to wait. Files cannot be watched.
    let twin = io::stdout().as_fd().try_clone_to_owned();
    let Ok(watched) = twin.and_then(Sender::from_owned_fd_unchecked) else {
        return pending().await;
    };
    if watched.ready(Interest::ERROR).await.is_err() {
        // The runtime ends.
        pending().await
    }
}

/// As [`answer`], broken at spaces where stdout is a terminal.
pub fn answer_wrapped(text: &str) {
    answer(&wrapped(text));
}

/// The lines of a text, broken at spaces where stdout is a terminal. Those of links and hashes,
/// which have to be broken within words, are left to the terminal: so they can be copied.
pub fn wrapped(text: &str) -> String {
    wrapped_to(text, line_columns())
}

fn wrapped_to(text: &str, columns: usize) -> String {
    let fits = |word: &str| word.width() <= columns.saturating_sub(INDENT);
    let line = |line: &str| match line.split(' ').all(fits) {
        true => wrap(line, columns, INDENT) + "\n",
        false => line.to_owned() + "\n",
    };
    text.lines().map(line).collect()
}

/// Whether some answer could not be written, as to a full disk.
pub fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// Chooses whether what goes wrong is told in colour: as `--color` says, else as the environment
/// does (`NO_COLOR`, `CLICOLOR_FORCE`), else where stderr is a terminal that can.
pub fn choose_color(said: ColorChoice) {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let has_color = match said {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if variable("NO_COLOR").is_some() => false,
        ColorChoice::Auto if variable("CLICOLOR_FORCE").is_some_and(|it| it != "0") => true,
        ColorChoice::Auto => {
            io::stderr().is_terminal() && variable("TERM").as_deref() != Some(OsStr::new("dumb"))
        }
    };
    HAS_COLOR.store(has_color, Ordering::Relaxed);
}

/// Is there to be colour?
pub fn has_color() -> bool {
    HAS_COLOR.load(Ordering::Relaxed)
}

/// A line for people; one of trouble begins in colour.
pub fn painted(line: &str) -> Cow<'_, str> {
    match line.strip_prefix(TROUBLE) {
        Some(rest) if has_color() => {
            format!("\x1b[1;31m{}\x1b[0m {rest}", TROUBLE.trim_end()).into()
        }
        _ => line.into(),
    }
}

/// Writes a line to stderr.
pub fn talk(line: &str) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{}", painted(line));
}

/// As [`talk`], broken at spaces where stderr is a terminal.
pub fn talk_wrapped(line: &str) {
    let stderr = io::stderr();
    match stderr.is_terminal() {
        true => talk(&wrap(line, columns_of(&stderr), 0)),
        false => talk(line),
    }
}

/// Columns of the terminal on stdout, for tables; 80 when it is none.
pub fn columns() -> usize {
    columns_of(io::stdout())
}

/// Columns for lines that need not end: as many as they want, where no terminal breaks them and
/// `COLUMNS` says nothing.
pub fn line_columns() -> usize {
    match io::stdout().is_terminal() {
        true => columns(),
        false => said_columns(std::env::var("COLUMNS").ok()).unwrap_or(usize::MAX),
    }
}

/// What `COLUMNS` says goes before what the terminal does, as with other programs.
fn columns_of(stream: impl AsFd) -> usize {
    let size = || rustix::termios::tcgetwinsize(stream).ok();
    said_columns(std::env::var("COLUMNS").ok())
        .or_else(|| size().map(|size| usize::from(size.ws_col)))
        .filter(|columns| *columns >= COLUMNS_MIN)
        .unwrap_or(80)
}

fn said_columns(said: Option<String>) -> Option<usize> {
    said?.trim().parse().ok().filter(|columns| *columns >= COLUMNS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_the_environment_says_if_that_makes_sense() {
        let said = |text: &str| said_columns(Some(text.to_owned()));
        assert_eq!([said("40"), said(" 132 "), said("20")], [Some(40), Some(132), Some(20)]);
        assert_eq!([said("19"), said("0"), said("-40"), said(""), said("wide")], [None; 5]);
        assert_eq!(said_columns(None), None);
    }

    #[test]
    fn links_are_not_broken_and_words_are() {
        let text = "moved to there\n\nMagnet      magnet:?xt=urn:btih:6f84\n";
        let expected = "moved to\n  there\n\nMagnet      magnet:?xt=urn:btih:6f84\n";
        assert_eq!(wrapped_to(text, 12), expected);
        assert_eq!(wrapped_to(text, usize::MAX), text);
    }
}
