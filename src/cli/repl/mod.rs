//! The prompt and its commands: where lines come from, what they mean, what they answer.

pub mod answer;
pub mod reader;
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

impl Talk {
    /// Chooses by what stdin and stdout are, and by `--repl` and `--no-repl`.
    pub fn choose(repl: bool, no_repl: bool) -> Self {
        let (stdin, stdout) = (std::io::stdin().is_terminal(), std::io::stdout().is_terminal());
        Self::for_streams(stdin, stdout, repl, no_repl)
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
}
