//! `driver remote --complete WORD...`: what may stand for the last word, for the completion of
//! shells: the numbers and names of torrents, a line each, with what it means behind a tab. Who
//! types is never disturbed: where nothing fits, or nobody answers, nothing is printed.

use std::time::Duration;

use clap::{Command, CommandFactory as _, Parser as _};

use crate::api::Torrent;
use crate::cli::args::{self, Cli, RemoteArgs};
use crate::cli::catalogue::ask;
use crate::cli::choice::ORDERS;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::cli::print::counted;

use super::asking::{Remote, Voice};
use super::names::meant;
use super::place;

/// How long a daemon has to answer before a shell goes on without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints what may stand for the last of `words`, which stand behind `driver remote`.
///
/// # Errors
/// The lines cannot be written.
pub(super) fn run(arguments: &RemoteArgs, words: &[String]) -> Outcome {
    out::deliver(&lines(&offers(arguments, words)))?;
    Ok(Exit::Done)
}

/// What may stand for the last of `words`, each with what it means; nothing where nobody answers.
/// Not inside a runtime.
pub(super) fn offers(arguments: &RemoteArgs, words: &[String]) -> Vec<(String, String)> {
    let Some(typed) = typed(words) else { return Vec::new() };
    torrents(arguments, words).map_or(Vec::new(), |torrents| candidates(&torrents, typed))
}

/// All torrents of the daemon that the words or the environment name.
fn torrents(arguments: &RemoteArgs, words: &[String]) -> Result<Vec<Torrent>, Failure> {
    let said = place_words(words);
    let line = ["driver", "remote"].into_iter().chain(said).chain(["session"]);
    let command = Cli::try_parse_from(line).ok().and_then(|cli| cli.command);
    let place = match command {
        Some(args::Command::Remote(said)) => place::find(&said.daemon)?,
        _ => place::find(&arguments.daemon)?,
    };
    ask(async {
        let remote = Remote::new(place, Voice::of_process(false, true))?;
        let late = |_| Failure::new(Exit::Network, "no answer");
        tokio::time::timeout(PATIENCE, remote.torrents()).await.map_err(late)?
    })
}

/// What is typed of a torrent, if the last word may be one.
fn typed(words: &[String]) -> Option<&str> {
    let (last, before) = words.split_last()?;
    let remote = remote();
    let mut plain = Plain::new(&remote);
    let said: Vec<&str> = before.iter().filter_map(|word| plain.take(word)).collect();
    let (command, torrents) = said.split_first()?;
    let is_option = plain.is_value_next || last.starts_with('-');
    (!is_option && takes(command, torrents)).then_some(last)
}

/// Does the command take a torrent behind these words?
fn takes(command: &str, before: &[&str]) -> bool {
    match command {
        "show" | "status" | "why" | "peers" | "files" | "trackers" | "sources" => true,
        "pause" | "resume" | "remove" | "announce" | "top" | "bottom" | "select" | "move" => true,
        "verify" => true,
        "order" => !before.iter().any(|word| ORDERS.contains(word)),
        "limit" => !before.iter().any(|word| matches!(*word, "down" | "up")),
        "label" | "rename" | "add-peer" | "add-web-seed" => before.is_empty(),
        _ => false,
    }
}

/// The words that say where the daemon is: those before the command, and behind it.
fn place_words(words: &[String]) -> Vec<&str> {
    let remote = remote();
    let mut plain = Plain::new(&remote);
    let mut said: Vec<&str> = Vec::new();
    for word in words.split_last().map_or(&[][..], |(_, before)| before) {
        let was_value = plain.is_value_next;
        let is_plain = plain.take(word).is_some();
        let is_of_place = match was_value {
            true => said.last().is_some_and(|flag| is_place(flag)),
            false => !is_plain && is_place(word.split('=').next().unwrap_or(word)),
        };
        if is_of_place {
            said.push(word.as_str());
        }
    }
    // One whose value is being typed says nothing yet.
    if plain.is_value_next && said.last().is_some_and(|flag| is_place(flag)) {
        said.pop();
    }
    said
}

fn is_place(flag: &str) -> bool {
    matches!(flag, "--url" | "--socket" | "--token" | "--token-file")
}

fn remote() -> Command {
    let mut command = Cli::command();
    command.build();
    command.find_subcommand("remote").cloned().unwrap_or_default()
}

/// Tells options and their values from other words, as clap would.
struct Plain<'a> {
    /// The command whose options there are, which grows more precise.
    command: &'a Command,
    is_named: bool,
    is_value_next: bool,
    is_over: bool,
}

impl<'a> Plain<'a> {
    fn new(command: &'a Command) -> Self {
        Self { command, is_named: false, is_value_next: false, is_over: false }
    }

    /// The word, if it is neither an option nor the value of one.
    fn take<'w>(&mut self, word: &'w str) -> Option<&'w str> {
        if std::mem::take(&mut self.is_value_next) {
            return None;
        }
        if self.is_over || !word.starts_with('-') || word == "-" {
            if !std::mem::replace(&mut self.is_named, true) {
                self.command = self.command.find_subcommand(word).unwrap_or(self.command);
            }
            return Some(word);
        }
        let mut known = self.command.get_arguments();
        let is_it = |arg: &clap::Arg| match word.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => arg.get_short().is_some_and(|short| word[1..].ends_with(short)),
        };
        self.is_over = word == "--";
        self.is_value_next =
            !self.is_over && known.any(|arg| is_it(arg) && arg.get_action().takes_values());
        None
    }
}

/// What may stand for what is typed, each with what it means: numbers, then names that begin so
/// and mean one torrent alone, and `all`.
fn candidates(torrents: &[Torrent], typed: &str) -> Vec<(String, String)> {
    let numbers = torrents.iter().map(|it| (it.id.to_string(), it.name.clone()));
    let mut found: Vec<_> = numbers.filter(|(number, _)| number.starts_with(typed)).collect();
    let is_alone = |name: &String| {
        let means = meant(torrents, std::slice::from_ref(name));
        means.is_ok_and(|means| means.len() == 1) && name != "all"
    };
    // What a terminal could obey, or the command takes for an option, is named by its number.
    let is_plain = |name: &str| escape(name) == name && !name.starts_with('-');
    let named = torrents.iter().filter(|it| {
        !typed.is_empty() && it.name.starts_with(typed) && is_plain(&it.name) && is_alone(&it.name)
    });
    found.extend(named.map(|it| (it.name.clone(), format!("torrent {}", it.id))));
    if !torrents.is_empty() && "all".starts_with(typed) {
        found.push(("all".to_owned(), counted(torrents.len() as u64, "torrent")));
    }
    found
}

fn lines(candidates: &[(String, String)]) -> String {
    candidates.iter().map(|(word, means)| format!("{word}\t{}\n", escape(means))).collect()
}

#[cfg(test)]
mod tests {
    use crate::cli::remote::sample::torrent;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_torrent_may_stand_where_the_command_takes_one() {
        let typed = |line: &str| typed(&words(line)).map(str::to_owned);
        for line in [
            "pause deb",
            "pause 1 deb",
            "show deb",
            "--url http://x:1 pause deb",
            "--json --token-file=f resume --label linux deb",
            "peers -a deb",
            "limit 1 deb",
            "label deb",
            "rename --file 2 deb",
            "remove --data -- deb",
        ] {
            assert_eq!(typed(line).as_deref(), Some("deb"), "{line}");
        }
        assert_eq!(typed("pause ").as_deref(), Some(""));
        for line in [
            "deb",
            "pause --deb",
            "pause --label deb",
            "--url deb",
            "add deb",
            "list deb",
            "limit down deb",
            "label 1 deb",
            "rename 1 deb",
            "rename -f deb",
            "log deb",
            "nonsense deb",
        ] {
            assert_eq!(typed(line), None, "{line}");
        }
        assert_eq!(super::typed(&[]), None);
    }

    #[test]
    fn the_daemon_that_is_asked_is_the_one_that_is_named() {
        let said = |line: &str| place_words(&words(line)).join(" ");
        assert_eq!(said("pause x"), "");
        assert_eq!(said("--url http://x:1 pause --label a x"), "--url http://x:1");
        assert_eq!(said("pause --token-file=f --socket s x"), "--token-file=f --socket s");
        assert_eq!(said("pause --label --url x"), "", "a label of that name");
        assert_eq!(said("pause --url x"), "", "it is being typed");
    }

    #[test]
    fn torrents_are_offered_by_number_and_by_name() {
        let all = [
            torrent(1, "debian-12 netinst.iso"),
            torrent(2, "debian\u{1b}[2J"),
            torrent(12, "12 monkeys"),
            torrent(3, "twin"),
            torrent(4, "twin"),
            torrent(5, "-rf"),
            torrent(6, "all"),
        ];
        let offered = |typed: &str| lines(&candidates(&all, typed));
        assert_eq!(offered("d"), "debian-12 netinst.iso\ttorrent 1\n");
        assert_eq!(
            offered("1"),
            "1\tdebian-12 netinst.iso\n12\t12 monkeys\n12 monkeys\ttorrent 12\n"
        );
        assert_eq!(offered("2"), "2\tdebian\\x1b[2J\n", "by its number alone");
        assert_eq!(offered("t"), "", "it could be either");
        assert_eq!(offered("-"), "");
        assert_eq!(offered("al"), "all\t7 torrents\n");
        assert_eq!(offered("").lines().count(), 8, "numbers and all");
        assert_eq!(lines(&candidates(&[], "")), "");
    }
}
