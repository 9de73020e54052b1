//! `driver remote` without a command: a prompt, or lines of a pipe. Each line is a command as it
//! stands behind `driver remote`. One that fails, or that Ctrl-C ends, ends nothing else; the
//! daemon goes on in any case.

use clap::{CommandFactory as _, Parser};
use rustyline::completion::Pair;
use tokio::sync::mpsc;

use crate::api::{Request, Standing};
use crate::cli::args::{RemoteArgs, RemoteCommand};
use crate::cli::config::state_dir;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::print::counted;
use crate::cli::quoting::{open_quote, quoted_words};
use crate::cli::repl::Talk;
use crate::cli::repl::complete::complete_path;
use crate::cli::repl::reader::{Line, PromptConfig, read_pipe, read_prompt};
use crate::cli::stop::Stopper;

use super::asking::Remote;
use super::commands::carry_out;
use super::complete;

/// Words that leave the prompt.
const LEAVE: [&str; 2] = ["quit", "exit"];

/// A line: a command, and how it is answered.
#[derive(Parser, Debug)]
#[command(
    no_binary_name = true,
    infer_subcommands = true,
    disable_help_flag = true,
    disable_help_subcommand = true,
    help_template = "{subcommands}\n{after-help}",
    after_help = "  help          These, or what stands behind one: help limit\n  \
                  quit          Leave; the daemon goes on"
)]
struct Typed {
    #[command(subcommand)]
    command: RemoteCommand,
}

/// What a line asks for.
#[derive(Debug)]
enum Wish {
    Nothing,
    Leave,
    /// This text.
    Help(String),
    Command(Box<RemoteCommand>),
}

/// Answers lines until they end.
///
/// # Errors
/// Nobody answers at the start, or what is asked for cannot be written.
pub(super) async fn run(remote: &mut Remote, arguments: &RemoteArgs) -> Outcome {
    let standing: Standing = remote.ask(&Request::Session).await?;
    let stopper = Stopper::new();
    let talk = Talk::choose(false, false);
    if talk == Talk::Prompt && !remote.voice.quiet {
        let (many, place) = (counted(standing.torrents.into(), "torrent"), &remote.place.shown);
        let rest = "Type help for commands. quit or Ctrl-D leaves; the daemon goes on.";
        (remote.voice.talk)(&format!("{many} at {place}. {rest}"));
    }
    let mut lines = match talk {
        Talk::Prompt => prompt(arguments, &stopper)?,
        Talk::Pipe | Talk::Progress | Talk::Watched => read_pipe(),
    };
    let mut worst = Exit::Done;
    while let Some(Line { text, done }) = lines.recv().await {
        let answered = answer(remote, &text).await;
        // Whoever reads lines waits for that, or has gone.
        let _ = done.send(answered.is_some());
        match answered {
            Some(exit) => worst = worst.worst(exit),
            None => break,
        }
    }
    // Who sits at a prompt has read what failed.
    Ok(if talk == Talk::Prompt { Exit::Done } else { worst })
}

/// Opens the prompt. Tab offers what may stand there: commands, torrents of the daemon, files.
fn prompt(arguments: &RemoteArgs, stopper: &Stopper) -> Result<mpsc::Receiver<Line>, Failure> {
    let arguments = arguments.clone();
    let opened = read_prompt(PromptConfig {
        history: state_dir()?.join("history"),
        offer: Box::new(move |typed| offered(&arguments, typed)),
        stopper: stopper.clone(),
    });
    let failed = |error| Failure::new(Exit::Unexpected, format!("cannot open the prompt: {error}"));
    opened.map(|(lines, _)| lines).map_err(failed)
}

/// Answers a line; none when it is the last one.
pub(super) async fn answer(remote: &mut Remote, text: &str) -> Option<Exit> {
    let answered = match wish(text) {
        Ok(Wish::Nothing) => Ok(Exit::Done),
        Ok(Wish::Leave) => return None,
        Ok(Wish::Help(help)) => (remote.voice.say)(&help).map(|()| Exit::Done),
        Ok(Wish::Command(command)) => tokio::select! {
            done = carry_out(remote, &command) => done,
            Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Done),
        },
        Err(failure) => Err(failure),
    };
    Some(answered.unwrap_or_else(|failure| {
        (remote.voice.talk)(&format!("driver: {failure}"));
        failure.exit
    }))
}

/// What is meant by a line.
///
/// # Errors
/// In words for people: it is no command, or lacks something.
fn wish(text: &str) -> Result<Wish, Failure> {
    if let Some(quote) = open_quote(text) {
        return Err(Failure::usage(format!("a {quote} is never closed")));
    }
    let plain = || text.split_whitespace().map(str::to_owned).collect();
    let words: Vec<String> = quoted_words(text).unwrap_or_else(plain);
    match words.first().map(String::as_str) {
        None => return Ok(Wish::Nothing),
        Some(word) if LEAVE.contains(&word) => return Ok(Wish::Leave),
        Some("help") => return help(&words[1..]).map(Wish::Help),
        Some("add") if words.iter().any(|word| word == "-") => {
            let why = "add -: commands are read from there: name a file, or driver remote add -";
            return Err(Failure::usage(why));
        }
        Some(_) => {}
    }
    match Typed::try_parse_from(words) {
        Ok(typed) => Ok(Wish::Command(Box::new(typed.command))),
        Err(error) => {
            let said = error.to_string();
            let first = said.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>();
            let first = first.join(" ");
            let why = first.strip_prefix("error: ").unwrap_or(&first);
            Err(Failure::usage(format!("{} (help tells more)", escape(why))))
        }
    }
}

/// All commands, or one with its options.
fn help(about: &[String]) -> Result<String, Failure> {
    let mut all = Typed::command();
    let Some(word) = about.first() else { return Ok(format!("{}\n", all.render_help())) };
    match all.get_subcommands().find(|it| it.get_name() == word) {
        Some(found) => Ok(found.clone().render_help().to_string()),
        None => Err(Failure::usage(format!("no command {}: help lists them", escape(word)))),
    }
}

/// What Tab offers for the end of a line, and where that begins.
fn offered(arguments: &RemoteArgs, typed: &str) -> (usize, Vec<Pair>) {
    let begin = typed.rfind(' ').map_or(0, |space| space + 1);
    let pair = |word: String, shown: String| Pair { replacement: word, display: shown };
    if begin == 0 {
        let all = Typed::command();
        let names = all.get_subcommands().filter(|it| !it.is_hide_set()).map(|it| it.get_name());
        let names = names.chain(["help", LEAVE[0]]).filter(|name| name.starts_with(typed));
        return (0, names.map(|name| pair(format!("{name} "), name.to_owned())).collect());
    }
    let words: Vec<String> = typed.split(' ').map(str::to_owned).collect();
    match words.first().map(String::as_str) {
        Some("add") => complete_path(typed),
        _ => {
            let found = complete::offers(arguments, &words).into_iter();
            let shown = |(word, means): (String, String)| {
                let display = format!("{word} {}", escape(&means));
                pair(shell_words::quote(&word).into_owned(), display)
            };
            (begin, found.map(shown).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match wish(text) {
            Ok(wish) => panic!("{wish:?}"),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn a_line_is_a_command_as_a_shell_would_give_it() {
        assert!(matches!(wish("  "), Ok(Wish::Nothing)));
        assert!(matches!(wish("quit"), Ok(Wish::Leave)));
        let Ok(Wish::Command(command)) = wish("rename 3 'my  name'") else { panic!() };
        let RemoteCommand::Rename { torrent, name, file: None } = *command else { panic!() };
        assert_eq!((torrent.as_str(), name.as_str()), ("3", "my  name"));
        // As at the prompt of a download, a command may be cut short, and info shows.
        let Ok(Wish::Command(command)) = wish("stat") else { panic!() };
        assert!(matches!(*command, RemoteCommand::Status { .. }));
        let Ok(Wish::Command(command)) = wish("info 3") else { panic!() };
        assert!(matches!(*command, RemoteCommand::Show(_)));
    }

    #[test]
    fn what_is_no_command_is_told_in_one_line() {
        let unknown = said("frobnicate\x1b 3");
        assert!(unknown.starts_with("unrecognized subcommand 'frobnicate"), "{unknown}");
        assert!(!unknown.contains(['\n', '\x1b']), "{unknown}");
        assert!(said("pause").ends_with("(help tells more)"), "{}", said("pause"));
        assert_eq!(said("add 'my file"), "a ' is never closed");
        assert!(said("add -").starts_with("add -: commands are read from there"));
    }

    #[test]
    fn help_lists_commands_and_tells_of_each() {
        let Ok(Wish::Help(all)) = wish("help") else { panic!() };
        assert!(all.contains("\n  pause ") && all.contains("\n  quit "), "{all}");
        assert!(!all.contains("complete"), "{all}");
        let Ok(Wish::Help(one)) = wish("help remove") else { panic!() };
        assert!(one.contains("--data"), "{one}");
        assert_eq!(said("help x"), "no command x: help lists them");
    }
}
