//! The prompt and its commands: where lines come from, what they mean, what they answer.

mod answer;
mod choosing;
pub mod complete;
pub mod desk;
pub mod printer;
pub mod reader;
mod searches;
pub mod watch;
pub mod words;

use std::io::IsTerminal as _;

/// How a run talks with its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Talk {
    /// A prompt on a terminal.
    Prompt,
    /// Lines of a pipe, answered without a prompt.
    Pipe,
    /// No commands; progress on stderr each 10 % or 30 s.
    Progress,
    /// No commands; progress on stderr every 10 s, for someone who watches.
    Watched,
}

/// Terminals on which the line editor does not work.
const UNABLE: [&str; 3] = ["dumb", "cons25", "emacs"];

impl Talk {
    /// Chooses by what stdin and stdout are, by the terminal, and by `--repl` and `--no-repl`.
    pub fn choose(repl: bool, no_repl: bool) -> Self {
        let (stdin, stdout) = (std::io::stdin().is_terminal(), std::io::stdout().is_terminal());
        let term = std::env::var("TERM").unwrap_or_default();
        Self::for_streams(stdin, stdout, repl, no_repl).on(&term)
    }

    fn for_streams(stdin: bool, stdout: bool, repl: bool, no_repl: bool) -> Self {
        match (stdin, stdout) {
            (_, _) if no_repl => Self::Progress,
            (true, true) => Self::Prompt,
            (false, _) => Self::Pipe,
            (true, false) if repl => Self::Pipe,
            (true, false) => Self::Watched,
        }
    }

    /// A terminal that cannot move its cursor has no prompt; its lines are read like a pipe's.
    fn on(self, term: &str) -> Self {
        match self {
            Self::Prompt if UNABLE.contains(&term) => Self::Pipe,
            talk => talk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_decide_how_to_talk() {
        assert_eq!(Talk::for_streams(true, true, false, false), Talk::Prompt);
        assert_eq!(Talk::for_streams(true, true, false, true), Talk::Progress);
        assert_eq!(Talk::for_streams(false, true, false, false), Talk::Pipe);
        assert_eq!(Talk::for_streams(false, false, true, false), Talk::Pipe);
        assert_eq!(Talk::for_streams(true, false, false, false), Talk::Watched);
        assert_eq!(Talk::for_streams(true, false, true, false), Talk::Pipe);
    }

    #[test]
    fn a_dumb_terminal_has_no_prompt() {
        assert_eq!(Talk::Prompt.on("dumb"), Talk::Pipe);
        assert_eq!(Talk::Prompt.on("xterm-256color"), Talk::Prompt);
        assert_eq!(Talk::Progress.on("dumb"), Talk::Progress);
    }
}
