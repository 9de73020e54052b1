//! Who says what where while a torrent runs: above the prompt, on stderr, or as JSON lines.

use serde_json::{Value, json};

use super::escape::json as line_of;
use super::out;
use super::print::wrap;
use super::repl::Talk;
use super::repl::printer::Printer;

/// The voice of one run.
pub struct Voice {
    /// How we talk.
    pub talk: Talk,
    /// Errors only.
    pub quiet: bool,
    /// JSON lines on stdout instead of words.
    pub json: bool,
    /// Prints above the prompt, when there is one.
    pub printer: Option<Printer>,
}

impl Voice {
    /// Something that nobody asked for: news and progress.
    pub fn unasked(&mut self, line: &str) {
        match &mut self.printer {
            _ if self.quiet || self.json => {}
            Some(printer) => printer.print(&(wrap(line, out::columns(), 0) + "\n")),
            None => out::talk_wrapped(line),
        }
    }

    /// Something that always matters, and is no result: how to end faster, trouble.
    pub fn urgent(&mut self, line: &str) {
        match &mut self.printer {
            Some(printer) => {
                let wrapped = wrap(line, out::columns(), 0) + "\n";
                printer.print(&out::painted(&wrapped));
            }
            None => out::talk_wrapped(line),
        }
    }

    /// A result: on stdout, in lines that break at spaces on a terminal.
    pub fn result(&mut self, text: &str) {
        match &mut self.printer {
            _ if self.quiet || self.json => {}
            Some(printer) => printer.print(&out::wrapped(text)),
            None => out::answer_wrapped(text),
        }
    }

    /// What a command comes to: on stdout, in lines that break at spaces on a terminal, or as an
    /// event.
    pub fn answer(&mut self, command: &str, text: &str) {
        match self.json {
            true if text.is_empty() => {}
            true => self.event(&json!({ "event": "answer", "command": command, "text": text })),
            false => out::answer_wrapped(text),
        }
    }

    /// One JSON object, when they are wanted.
    pub fn event(&mut self, object: &Value) {
        if self.json {
            out::answer(&(line_of(object) + "\n"));
        }
    }
}
