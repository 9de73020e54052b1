//! Work that takes its time: it is done in a thread of its own, with a line on stderr that
//! tells how far it is, and ended when the user asks for it. Not for downloads, which have a
//! prompt and events.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use tokio::time::{interval, sleep};

use super::escape::shorten;
use super::exit::{Failure, from_io};
use super::out;
use super::stop::Stopper;

/// How often the work is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines where nothing can be drawn over.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Whoever asked for the end has it by then, even when the disk hangs.
const STOP_MAX: Duration = Duration::from_millis(800);

/// Does `work`, and shows what `words` says of it until it is done. `stop` is called when the
/// user asks for the end; without it signals do what they do by themselves. None when the work
/// did not end soon after that: then it goes on unheeded until the process ends.
///
/// # Errors
/// When the system gives no runtime or no signals.
pub fn attend<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    mut words: impl FnMut(Instant) -> Words,
    stop: Option<impl Fn()>,
    is_quiet: bool,
) -> Result<Option<T>, Failure> {
    let failed = |error| from_io("cannot wait for signals", &error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let done: Result<_, Failure> = runtime.block_on(async {
        let stopper = Stopper::new();
        if stop.is_some() {
            stopper.listen().map_err(failed)?;
        }
        let mut line = Line::new(is_quiet);
        let mut work = tokio::task::spawn_blocking(work);
        let mut tick = interval(LOOK);
        let stopped = async {
            stopper.asked().await;
            stop.inspect(|stop| stop());
            sleep(STOP_MAX).await;
        };
        tokio::pin!(stopped);
        let done = loop {
            tokio::select! {
                done = &mut work => break Some(done),
                () = &mut stopped => break None,
                _ = tick.tick() => line.show(&words(Instant::now()), Instant::now()),
            }
        };
        line.clear();
        Ok(done)
    });
    runtime.shutdown_background();
    match done? {
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        Some(Ok(done)) => Ok(Some(done)),
        None => Ok(None),
    }
}

/// What there is to say about the work now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Words {
    /// It goes on: how far it is.
    Going(String),
    /// It does not go on, and why.
    Waiting(&'static str),
}

/// One line on stderr that is drawn over and over; where that is no terminal, a line now and
/// then. Nothing that needs a clever terminal: spaces wipe out what was there.
struct Line {
    how: How,
    /// Since when there was nothing new to read.
    told: Option<Instant>,
    was_waiting: bool,
    /// Columns that are drawn on.
    width: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Silent,
    Redraw,
    Lines,
}

impl Line {
    fn new(is_quiet: bool) -> Self {
        let how = match std::io::stderr().is_terminal() {
            _ if is_quiet => How::Silent,
            true => How::Redraw,
            false => How::Lines,
        };
        Self { how, told: None, was_waiting: false, width: 0 }
    }

    fn show(&mut self, words: &Words, now: Instant) {
        let (text, is_waiting) = match words {
            Words::Going(text) => (text.as_str(), false),
            Words::Waiting(why) => (*why, true),
        };
        match self.how {
            How::Silent => {}
            How::Redraw => self.draw(&shorten(text, out::columns() - 1)),
            How::Lines => {
                if self.is_due(is_waiting, now) {
                    out::talk(text);
                }
            }
        }
    }

    /// Why nothing happens is told at once, everything else only to those who have waited.
    fn is_due(&mut self, is_waiting: bool, now: Instant) -> bool {
        let told = *self.told.get_or_insert(now);
        let is_news = is_waiting && !self.was_waiting;
        self.was_waiting = is_waiting;
        let is_due = is_news || now.saturating_duration_since(told) >= BETWEEN_LINES;
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    fn draw(&mut self, text: &str) {
        let columns = text.chars().count();
        let wiped = " ".repeat(self.width.saturating_sub(columns));
        // Where nobody listens there is nobody to tell.
        let _ = write!(std::io::stderr().lock(), "\r{text}{wiped}");
        self.width = columns;
    }

    fn clear(&mut self) {
        if self.width > 0 {
            self.draw("");
            let _ = write!(std::io::stderr().lock(), "\r");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_every_ten_seconds_and_at_once_when_it_waits() {
        let mut line = Line { how: How::Lines, told: None, was_waiting: false, width: 0 };
        let start = Instant::now();
        let mut is_due = |is_waiting, s| line.is_due(is_waiting, start + Duration::from_secs(s));
        assert!(!is_due(false, 0) && !is_due(false, 9));
        assert!(is_due(false, 10) && !is_due(false, 19) && is_due(false, 20));
        assert!(is_due(true, 21) && !is_due(true, 22) && is_due(true, 31));
        assert!(!is_due(false, 32) && is_due(true, 33));
    }

    #[test]
    fn what_the_work_comes_to_is_handed_on() {
        let going = |_| Words::Going("going".to_owned());
        assert_eq!(attend(|| 7, going, None::<fn()>, true), Ok(Some(7)));
    }
}
