//! How a run is asked to end: signals, Ctrl-C at the prompt, Ctrl-D. The first request is
//! polite; the second ends the process at once, with the terminal as it was.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Takes requests to end; cheap to clone.
#[derive(Clone)]
pub struct Stopper {
    asked: watch::Sender<bool>,
    gave_up: watch::Sender<bool>,
    shared: Arc<Shared>,
}

struct Shared {
    /// A request was made; the next one is the last.
    pending: AtomicBool,
    /// The next request is heard once more: what is waited for is to be given up.
    is_waiting: AtomicBool,
    /// SIGHUP has something read again, as long as the terminal is there.
    reloads: AtomicBool,
    /// The code of the next request that is not heard: by what the first one came.
    hard_code: AtomicI32,
    /// The terminal's settings before anything changed them.
    terminal: Option<Termios>,
}

impl Stopper {
    /// Remembers the terminal as it is. Call before anything reads from it.
    pub fn new() -> Self {
        let stdin = std::io::stdin();
        let terminal = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
        let shared = Arc::new(Shared {
            pending: AtomicBool::new(false),
            is_waiting: AtomicBool::new(false),
            reloads: AtomicBool::new(false),
            hard_code: AtomicI32::new(130),
            terminal,
        });
        Self { asked: watch::Sender::new(false), gave_up: watch::Sender::new(false), shared }
    }

    /// Asks to end. The second time it does not return: the process ends with `hard_code`.
    pub fn ask(&self, hard_code: i32) {
        if self.shared.is_waiting.swap(false, Ordering::SeqCst) {
            self.gave_up.send_replace(true);
            return;
        }
        if self.shared.pending.swap(true, Ordering::SeqCst) {
            self.restore_terminal();
            std::process::exit(hard_code);
        }
        self.shared.hard_code.store(hard_code, Ordering::SeqCst);
        self.asked.send_replace(true);
    }

    /// What ends it at once, by how the end was asked for.
    pub fn hurry_words(&self) -> &'static str {
        match self.shared.hard_code.load(Ordering::SeqCst) {
            130 => "press Ctrl-C again to quit now",
            _ => "the same signal again ends it now",
        }
    }

    /// Was the end asked for?
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Waits until the end is asked for.
    pub async fn asked(&self) {
        // The sender lives as long as `self`.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }

    /// From now on the next request does not end the process, but what is waited for.
    pub fn wait(&self) {
        self.shared.is_waiting.store(true, Ordering::SeqCst);
    }

    /// Waits until that is to be given up.
    pub async fn given_up(&self) {
        // The sender lives as long as `self`.
        let _ = self.gave_up.subscribe().wait_for(|gave_up| *gave_up).await;
    }

    /// From now on SIGHUP asks only when the terminal is gone.
    pub fn reload(&self) {
        self.shared.reloads.store(true, Ordering::SeqCst);
    }

    /// Was there a terminal, and is none any more?
    pub fn is_hung_up(&self) -> bool {
        self.shared.terminal.is_some() && !std::io::stdin().is_terminal()
    }

    /// Puts the terminal's settings back: a prompt that is cut off leaves it in raw mode.
    pub fn restore_terminal(&self) {
        if let Some(terminal) = &self.shared.terminal {
            // There is nobody left to tell.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, terminal);
        }
    }

    /// Lets SIGINT and SIGTERM ask, and on a terminal SIGHUP, but for who is to
    /// [`reload`](Self::reload). Within a runtime.
    ///
    /// # Errors
    /// When the system refuses to report signals.
    pub fn listen(&self) -> std::io::Result<()> {
        let mut kinds = vec![(SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)];
        // Without a terminal SIGHUP stays what nohup and the like made of it.
        if self.shared.terminal.is_some() {
            kinds.push((SignalKind::hangup(), 129));
        }
        for (kind, hard_code) in kinds {
            let mut signals = signal(kind)?;
            let stopper = self.clone();
            tokio::spawn(async move {
                let mut echo = Echo::default();
                while signals.recv().await.is_some() {
                    let reloads = stopper.shared.reloads.load(Ordering::SeqCst);
                    let is_reload =
                        kind == SignalKind::hangup() && reloads && !stopper.is_hung_up();
                    if !is_reload && !echo.is_one(Instant::now()) {
                        stopper.ask(hard_code);
                    }
                }
            });
        }
        Ok(())
    }
}

/// No hand sends a signal twice in so short a time. `timeout` of the coreutils does: to the
/// program, and to its group.
const ECHO: Duration = Duration::from_millis(50);

/// When a signal came last.
#[derive(Default)]
struct Echo {
    last: Option<Instant>,
}

impl Echo {
    /// Is the signal that comes now the one before once more, and no request of its own?
    fn is_one(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) < ECHO)
    }
}

/// Has writes beyond the largest file that the process may have (`ulimit -f`) fail, which is told
/// as any trouble of a disk, instead of ending the program by a signal.
pub fn outlive_large_files() {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // Whoever hears a signal has a runtime; that it is heard outlives this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    // Without it all goes on as long as no file is too large.
    let _ = runtime.map(|runtime| runtime.block_on(async { signal(kind).map(drop) }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_twice_at_once_asks_once() {
        let mut echo = Echo::default();
        let begin = Instant::now();
        assert!(!echo.is_one(begin) && echo.is_one(begin + ECHO / 2));
        assert!(!echo.is_one(begin + ECHO * 2));
    }

    #[tokio::test]
    async fn the_first_request_is_polite_and_lasting() {
        let stopper = Stopper::new();
        assert!(!stopper.is_asked());
        stopper.clone().ask(130);
        stopper.asked().await;
        assert!(stopper.is_asked());
        // What is waited for then can be given up.
        stopper.wait();
        stopper.ask(130);
        stopper.given_up().await;
    }
}
