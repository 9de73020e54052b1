//! Where command lines come from: a prompt on a terminal, or lines of a pipe. One thread
//! reads, and waits for the answer before it reads on, so that no answer ever lands on the
//! next prompt. The prompt shows no state: it stands for minutes, and would tell old news.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter as _, Helper};
use tokio::sync::{mpsc, oneshot, watch};

use crate::cli::stop::Stopper;
use crate::torrent::status::{State, Status};

use super::complete::complete_path;
use super::printer::Printer;

/// A line, and whom to tell when it is answered: true to read on.
pub struct Line {
    /// As typed.
    pub text: String,
    /// Answered.
    pub done: oneshot::Sender<bool>,
}

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

const PROMPT: &str = "driver> ";

/// Completes what is typed; runs where lines are read, and may take its time.
pub type Offer = Box<dyn Fn(&str) -> (usize, Vec<Pair>) + Send>;

/// What the prompt needs.
pub struct PromptConfig {
    /// Where typed lines are kept.
    pub history: PathBuf,
    /// What Tab offers for the end of what is typed up to the cursor, and where that begins.
    pub offer: Offer,
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
        // All there are at once, not one after the other.
        .completion_type(CompletionType::List)
        .max_history_size(1000)?
        .build();
    let mut editor: Editor<Typist, FileHistory> = Editor::with_config(settings)?;
    let typed = Arc::new(AtomicBool::new(false));
    let PromptConfig { history, offer, stopper } = config;
    editor.set_helper(Some(Typist { typed: typed.clone(), offer }));
    // The first run has none.
    let _ = editor.load_history(&history);
    let mut external = editor.create_external_printer()?;
    // A terminal that is gone takes nothing: the download is not gone.
    let printer = Printer::new(move |text| external.print(text).unwrap_or_default());
    // One line at a time: the next is read when this one is answered.
    let (lines, read) = mpsc::channel(1);
    std::thread::spawn(move || while read_one(&mut editor, &history, &stopper, &typed, &lines) {});
    Ok((read, printer))
}

/// One prompt; true to show the next.
fn read_one(
    editor: &mut Editor<Typist, FileHistory>,
    history: &Path,
    stopper: &Stopper,
    typed: &AtomicBool,
    lines: &mpsc::Sender<Line>,
) -> bool {
    typed.store(false, Ordering::SeqCst);
    match editor.readline(PROMPT) {
        Ok(line) => {
            // A history that cannot be kept is no reason to disturb anybody.
            let _ = editor.append_history(history);
            hand_over(lines, line)
        }
        // With text it clears the line; without, it asks to stop, and the next one comes as
        // a signal, since the terminal is out of raw mode then.
        Err(ReadlineError::Interrupted) if typed.load(Ordering::SeqCst) => true,
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => {
            stopper.ask(130);
            false
        }
        Err(ReadlineError::Signal(_)) => true,
        Err(error) => {
            tracing::warn!("the prompt failed: {error}");
            false
        }
    }
}

/// Answers to questions that are asked one after the other on a terminal, with Tab for paths.
pub struct Questions {
    /// The next question, as it stands before the cursor.
    pub ask: mpsc::Sender<String>,
    /// The answers.
    pub lines: mpsc::Receiver<Line>,
    /// Prints above a question.
    pub printer: Printer,
}

/// Reads answers with a line editor; Ctrl-C asks `stopper` to end.
///
/// # Errors
/// When the terminal cannot be used.
pub fn read_questions(stopper: Stopper) -> rustyline::Result<Questions> {
    let settings =
        Config::builder().bracketed_paste(false).completion_type(CompletionType::List).build();
    let mut editor: Editor<Paths, FileHistory> = Editor::with_config(settings)?;
    editor.set_helper(Some(Paths));
    let mut external = editor.create_external_printer()?;
    // A terminal that is gone takes nothing: what runs is not gone.
    let printer = Printer::new(move |text| external.print(text).unwrap_or_default());
    // One question at a time, and one answer.
    let (ask, mut questions) = mpsc::channel::<String>(1);
    let (answers, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        while let Some(question) = questions.blocking_recv() {
            let is_taken = match editor.readline(&question) {
                Ok(line) => hand_over(&answers, line),
                Err(ReadlineError::Interrupted) => {
                    stopper.ask(130);
                    false
                }
                Err(_) => false,
            };
            if !is_taken {
                return;
            }
        }
    });
    Ok(Questions { ask, lines, printer })
}

/// Passes a line on and waits for its answer; false at the end.
fn hand_over(lines: &mpsc::Sender<Line>, text: String) -> bool {
    let (done, answered) = oneshot::channel();
    if lines.blocking_send(Line { text, done }).is_err() {
        return false;
    }
    answered.blocking_recv().unwrap_or(false)
}

/// Completes what is typed, and knows whether anything is.
struct Typist {
    typed: Arc<AtomicBool>,
    offer: Offer,
}

impl Completer for Typist {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok((self.offer)(line.get(..position).unwrap_or(line)))
    }
}

impl Hinter for Typist {
    type Hint = String;

    /// Called at every change of the line, which is how Ctrl-C learns whether there is text.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.typed.store(!line.is_empty(), Ordering::SeqCst);
        None
    }
}

impl Highlighter for Typist {}
impl Validator for Typist {}
impl Helper for Typist {}

/// Completes paths, whatever is asked.
struct Paths;

impl Completer for Paths {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(complete_path(line.get(..position).unwrap_or(line)))
    }
}

impl Hinter for Paths {
    type Hint = String;
}

impl Highlighter for Paths {}
impl Validator for Paths {}
impl Helper for Paths {}
