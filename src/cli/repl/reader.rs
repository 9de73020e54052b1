//! Where command lines come from: a prompt on a terminal, or lines of a pipe. One thread
//! reads, and waits for the answer before it reads on, so that no answer ever lands on the
//! next prompt.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, ExternalPrinter as _, Helper};
use tokio::sync::{mpsc, oneshot, watch};

use crate::cli::print::prompt_of;
use crate::cli::stop::Stopper;
use crate::torrent::handle::TorrentHandle;
use crate::torrent::status::{State, Status};

use super::words::WORDS;

/// A line, and whom to tell when it is answered: true to read on.
pub struct Line {
    /// As typed.
    pub text: String,
    /// Answered.
    pub done: oneshot::Sender<bool>,
}

/// Prints above a prompt without disturbing what is being typed.
pub type Printer = Box<dyn FnMut(&str) + Send>;

/// Reads lines of stdin until it ends; its end means nothing.
pub fn read_pipe() -> mpsc::Receiver<Line> {
    // One line at a time: the next is read when this one is answered.
    let (lines, read) = mpsc::channel(1);
    std::thread::spawn(move || {
        for text in std::io::stdin().lock().lines() {
            let Ok(text) = text else { return };
            if !hand_over(&lines, text) {
                return;
            }
        }
    });
    read
}

/// Commands that come by themselves, each when the download is so far (0 to 1).
pub fn read_script(
    script: Vec<(f64, &'static str)>,
    mut status: watch::Receiver<Status>,
) -> mpsc::Receiver<Line> {
    // One line at a time, as from everybody.
    let (lines, read) = mpsc::channel(1);
    tokio::spawn(async move {
        for (progress, command) in script {
            let is_due =
                |status: &Status| status.state != State::Checking && status.progress() >= progress;
            if status.wait_for(is_due).await.is_err() {
                return;
            }
            let (done, answered) = oneshot::channel();
            if lines.send(Line { text: command.to_owned(), done }).await.is_err() {
                return;
            }
            // Without an answer it is over, which the next line notices.
            let _ = answered.await;
        }
    });
    read
}

/// What the prompt needs.
pub struct PromptConfig {
    /// Only `driver> `, without the state.
    pub plain: bool,
    /// Where typed lines are kept.
    pub history: PathBuf,
    /// The torrents whose state it shows.
    pub torrents: watch::Receiver<Vec<TorrentHandle>>,
    /// Told of Ctrl-C and Ctrl-D.
    pub stopper: Stopper,
}

/// Opens the prompt; returns its lines and a printer for what is printed unasked.
///
/// # Errors
/// When the terminal cannot be used.
pub fn read_prompt(config: PromptConfig) -> rustyline::Result<(mpsc::Receiver<Line>, Printer)> {
    let settings = Config::builder()
        .auto_add_history(true)
        .bracketed_paste(false)
        .max_history_size(1000)?
        .build();
    let mut editor: Editor<Words, FileHistory> = Editor::with_config(settings)?;
    let typed = Arc::new(AtomicBool::new(false));
    editor.set_helper(Some(Words { typed: typed.clone() }));
    // The first run has none.
    let _ = editor.load_history(&config.history);
    let mut external = editor.create_external_printer()?;
    let printer = Box::new(move |text: &str| {
        // The terminal is gone: the download is not.
        let _ = external.print(text.to_owned());
    });
    // One line at a time: the next is read when this one is answered.
    let (lines, read) = mpsc::channel(1);
    std::thread::spawn(move || while read_one(&mut editor, &config, &typed, &lines) {});
    Ok((read, printer))
}

/// One prompt; true to show the next.
fn read_one(
    editor: &mut Editor<Words, FileHistory>,
    config: &PromptConfig,
    typed: &AtomicBool,
    lines: &mpsc::Sender<Line>,
) -> bool {
    let text = match config.plain {
        true => "driver> ".to_owned(),
        false => {
            let torrents = config.torrents.borrow().clone();
            let statuses: Vec<Status> = torrents.iter().map(TorrentHandle::status).collect();
            prompt_of(&statuses)
        }
    };
    typed.store(false, Ordering::SeqCst);
    match editor.readline(&text) {
        Ok(line) => {
            // A history that cannot be kept is no reason to disturb anybody.
            let _ = editor.append_history(&config.history);
            hand_over(lines, line)
        }
        // With text it clears the line; without, it asks to stop, and the next one comes as
        // a signal, since the terminal is out of raw mode then.
        Err(ReadlineError::Interrupted) if typed.load(Ordering::SeqCst) => true,
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => {
            config.stopper.ask(130);
            false
        }
        Err(ReadlineError::Signal(_)) => true,
        Err(error) => {
            tracing::warn!("the prompt failed: {error}");
            false
        }
    }
}

/// Passes a line on and waits for its answer; false at the end.
fn hand_over(lines: &mpsc::Sender<Line>, text: String) -> bool {
    let (done, answered) = oneshot::channel();
    if lines.blocking_send(Line { text, done }).is_err() {
        return false;
    }
    answered.blocking_recv().unwrap_or(false)
}

/// Completes command names, and knows whether anything is typed.
struct Words {
    typed: Arc<AtomicBool>,
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, candidates(line.get(..position).unwrap_or(line))))
    }
}

/// Commands that begin as typed; also behind `help` and `watch`.
fn candidates(typed: &str) -> Vec<String> {
    let (before, last) = match typed.split_once(' ') {
        Some((before @ ("help" | "watch"), last)) => (format!("{before} "), last),
        Some(_) => return Vec::new(),
        None => (String::new(), typed),
    };
    let fits = WORDS.iter().filter(|word| word.name.starts_with(last));
    fits.map(|word| format!("{before}{} ", word.name)).collect()
}

impl Hinter for Words {
    type Hint = String;

    /// Called at every change of the line, which is how Ctrl-C learns whether there is text.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.typed.store(!line.is_empty(), Ordering::SeqCst);
        None
    }
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_completes_commands() {
        assert_eq!(candidates("pe"), ["peers "]);
        assert_eq!(candidates("help wa"), ["help watch "]);
        assert_eq!(candidates("peers -"), Vec::<String>::new());
        assert_eq!(candidates("").len(), WORDS.len());
    }
}
