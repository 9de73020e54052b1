//! Prints above a prompt without disturbing what is being typed, and never waits for the one who
//! types. How that is done on a terminal is the line editor's.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Texts that may wait for the line editor; what comes behind them is not shown, and `log` has
/// it. It takes none while it reads keys that were typed ahead.
const WAITING_MAX: usize = 64;
/// What is printed at once is waited for, so that no prompt comes between it and what follows:
/// longer than a terminal takes for a line.
const PATIENCE: Duration = Duration::from_millis(100);
/// Last texts are shown before the end, if the terminal takes them at all.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Prints from a thread of its own: the line editor waits for the answers of those who print.
pub struct Printer {
    texts: SyncSender<String>,
    printed: Receiver<()>,
    waiting: usize,
}

impl Printer {
    /// Shows texts by `print`, which may wait for whatever it likes.
    pub fn new(mut print: impl FnMut(String) + Send + 'static) -> Self {
        let (texts, heard) = sync_channel::<String>(WAITING_MAX);
        // One word for each text that waits.
        let (told, printed) = sync_channel(WAITING_MAX + 1);
        std::thread::spawn(move || {
            for text in heard {
                print(text);
                // One that has gone needs no word.
                let _ = told.try_send(());
            }
        });
        Self { texts, printed, waiting: 0 }
    }

    /// Prints a text behind those before it.
    pub fn print(&mut self, text: &str) {
        // Who is late already is not waited for with every text.
        let patience = if self.waiting == 0 { PATIENCE } else { Duration::ZERO };
        self.waiting += usize::from(self.texts.try_send(text.to_owned()).is_ok());
        self.wait(patience);
    }

    fn wait(&mut self, patience: Duration) {
        while self.waiting > 0 && self.printed.recv_timeout(patience).is_ok() {
            self.waiting -= 1;
        }
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.wait(LAST_PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_in_order_and_before_the_end() {
        let (shown, seen) = sync_channel(2 * WAITING_MAX);
        let mut printer = Printer::new(move |text| shown.send(text).unwrap());
        printer.print("a");
        printer.print("b");
        drop(printer);
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn nobody_waits_for_a_line_editor_that_waits_for_them() {
        let (release, held) = sync_channel::<()>(1);
        let (shown, seen) = sync_channel(2 * WAITING_MAX);
        let mut printer = Printer::new(move |text| {
            let _ = held.recv();
            shown.send(text).unwrap();
        });
        for number in 0..2 * WAITING_MAX {
            printer.print(&number.to_string());
        }
        drop(release);
        drop(printer);
        let seen: Vec<String> = seen.try_iter().collect();
        // One more is being printed.
        assert!((WAITING_MAX..=WAITING_MAX + 1).contains(&seen.len()), "{}", seen.len());
        assert!(seen.iter().enumerate().all(|(at, text)| *text == at.to_string()));
    }
}
