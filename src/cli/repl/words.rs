//! The words of the prompt: which commands there are, what they take, and how a typed line
//! becomes an order. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cli::escape::escape;
use crate::cli::print::nearest;
use crate::cli::values::{self, Ranges, Rate};

/// What a line asks for.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// An empty line.
    Nothing,
    /// Torrent facts; with the files.
    Info { files: bool },
    /// Peers; also those not connected.
    Peers { all: bool },
    /// Live progress; of every torrent.
    Status { all: bool },
    /// Repaint the answer to another order.
    Watch(Box<Order>),
    /// The files and how much of each is done.
    Files,
    /// Want these files only; all when none.
    Select(Option<Ranges>),
    /// The trackers.
    Trackers,
    /// Announce now.
    Announce,
    /// Set or lift a limit: for all torrents together, for download or upload.
    Limit { all: bool, down: bool, limit: Rate },
    /// Stop transferring; every torrent.
    Pause { all: bool },
    /// Go on; every paused torrent.
    Resume { all: bool },
    /// The torrents.
    List,
    /// Commands speak of this torrent from now on: its number or a part of its name.
    Use(String),
    /// Move the torrent's files to this directory.
    Move(PathBuf),
    /// Give the file of this number another name.
    RenameFile { number: u32, name: String },
    /// Give the torrent another name.
    Rename(String),
    /// Take this torrent in; its files go to this directory.
    Add { name: String, dir: Option<PathBuf> },
    /// End this torrent and take it out.
    Remove(String),
    /// Try this peer.
    AddPeer(SocketAddr),
    /// The last news.
    Log(usize),
    /// What the download waits for.
    Why,
    /// The commands, or one of them.
    Help(Option<&'static Word>),
    /// Leave.
    Quit,
}

/// One command.
#[derive(PartialEq, Debug)]
pub struct Word {
    /// Its name.
    pub name: &'static str,
    /// What may follow it.
    takes: &'static str,
    /// What it does.
    does: &'static str,
}

const fn word(name: &'static str, takes: &'static str, does: &'static str) -> Word {
    Word { name, takes, does }
}

/// All commands, in the order of `help`.
pub const WORDS: [Word; 22] = [
    word("status", "[all]", "progress, speed and peers at a glance"),
    word("why", "", "what the download waits for, and what to do about it"),
    word("peers", "[-a]", "connected peers; -a all known ones, with their errors"),
    word("info", "[-f]", "facts of the torrent; -f with all files"),
    word("files", "", "files and how much of each is verified"),
    word("select", "RANGES|all", "download only these files: select 1-3,5"),
    word("trackers", "", "trackers and what they said last"),
    word("announce", "", "ask the trackers for peers now"),
    word("limit", "[all] down|up RATE", "limit the transfer: limit down 2M, limit up off"),
    word("pause", "[all]", "stop transferring, keep everything"),
    word("resume", "[all]", "go on; a queued torrent starts at once"),
    word("list", "", "all torrents, their numbers and how they stand"),
    word("use", "N|NAME", "let commands speak of this torrent: use 2, use debian"),
    word("add", "FILE [DIR]", "download another torrent as well, to DIR"),
    word("remove", "N|NAME", "take a torrent out; its data stays"),
    word("move", "DIR", "move its files to another directory, while it runs"),
    word("rename", "[N] NAME", "rename the torrent, or its file N: rename 2 film.mkv"),
    word("add-peer", "ADDR", "connect to a peer: add-peer 192.0.2.1:6881"),
    word("watch", "[COMMAND]", "repaint status, or another, until a key is pressed"),
    word("log", "[N]", "the last N pieces of news"),
    word("help", "[COMMAND]", "this list"),
    word("quit", "", "stop; progress is kept (also: exit, q, Ctrl-D)"),
];

/// Short forms that are no prefix, or a prefix of several commands.
const SHORT: [(&str, &str); 4] = [("p", "peers"), ("q", "quit"), ("exit", "quit"), ("?", "help")];

const WATCHED: &str = "watch shows status, list, why, peers, files, trackers or log";

/// Reads a line.
///
/// # Errors
/// In words for people, when it is no command or its arguments make no sense.
pub fn read(line: &str) -> Result<Order, String> {
    let mut words = line.split_whitespace();
    let Some(typed) = words.next() else { return Ok(Order::Nothing) };
    let word = find(typed)?;
    let arguments: Vec<&str> = words.collect();
    let usage = || format!("usage: {} {}", word.name, word.takes).trim_end().to_owned();
    Ok(match (word.name, arguments.as_slice()) {
        ("status", []) => Order::Status { all: false },
        ("status", ["all"]) => Order::Status { all: true },
        ("why", []) => Order::Why,
        ("peers", []) => Order::Peers { all: false },
        ("peers", ["-a" | "--all" | "all"]) => Order::Peers { all: true },
        ("info", []) => Order::Info { files: false },
        ("info", ["-f" | "--files"]) => Order::Info { files: true },
        ("files", []) => Order::Files,
        ("select", ["all"]) => Order::Select(None),
        ("select", [_, ..]) => Order::Select(Some(values::ranges(&arguments.concat())?)),
        ("trackers", []) => Order::Trackers,
        ("announce", []) => Order::Announce,
        ("limit", ["all", way @ ("down" | "up"), limit]) => {
            Order::Limit { all: true, down: *way == "down", limit: values::rate(limit)? }
        }
        ("limit", [way @ ("down" | "up"), limit]) => {
            Order::Limit { all: false, down: *way == "down", limit: values::rate(limit)? }
        }
        ("pause", []) => Order::Pause { all: false },
        ("pause", ["all"]) => Order::Pause { all: true },
        ("resume", []) => Order::Resume { all: false },
        ("resume", ["all"]) => Order::Resume { all: true },
        ("list", []) => Order::List,
        ("use", [_, ..]) => Order::Use(rest_of(line, typed)),
        ("move", [_, ..]) => Order::Move(rest_of(line, typed).into()),
        ("rename", [number, _, ..]) if number.parse::<u32>().is_ok() => {
            let name = rest_of(&rest_of(line, typed), number);
            Order::RenameFile { number: number.parse().map_err(|_| usage())?, name }
        }
        ("rename", [_, ..]) => Order::Rename(rest_of(line, typed)),
        ("add", [_, ..]) => {
            let (name, dir) = file_and_dir(&rest_of(line, typed)).ok_or_else(usage)?;
            Order::Add { name, dir: dir.map(PathBuf::from) }
        }
        ("remove", [_, ..]) => Order::Remove(rest_of(line, typed)),
        ("add-peer", [address]) => Order::AddPeer(address.parse().map_err(|_| usage())?),
        ("watch", []) => Order::Watch(Box::new(Order::Status { all: false })),
        // However often it is said, it is read once.
        ("watch", [first, ..]) if find(first).is_ok_and(|word| word.name == "watch") => {
            return Err(WATCHED.to_owned());
        }
        ("watch", [_, ..]) => match read(&arguments.join(" "))? {
            shown @ (Order::Status { .. }
            | Order::List
            | Order::Why
            | Order::Peers { .. }
            | Order::Files
            | Order::Trackers
            | Order::Log(_)) => Order::Watch(Box::new(shown)),
            _ => return Err(WATCHED.to_owned()),
        },
        ("log", []) => Order::Log(20),
        ("log", [count]) => Order::Log(count.parse().map_err(|_| usage())?),
        ("help", []) => Order::Help(None),
        ("help", [about]) => Order::Help(Some(find(about)?)),
        ("quit", []) => Order::Quit,
        _ => return Err(usage()),
    })
}

/// A torrent, and the directory behind it. Names have spaces: what ends in `.torrent` is a name
/// as a whole, and one that ends in something else may stand in quotes. None when nothing is left
/// of either.
fn file_and_dir(text: &str) -> Option<(String, Option<String>)> {
    const ENDING: &str = ".torrent";
    let (name, dir) = match unquoted(text) {
        Some(split) => split,
        None => {
            let small = text.to_ascii_lowercase();
            let ends = small.match_indices(ENDING).map(|(begin, _)| begin + ENDING.len());
            let is_end = |end: &usize| small.get(*end..).is_some_and(|it| it.starts_with(' '));
            // Two of them are one odd name rather than a directory that is called so.
            let end = ends.clone().find(is_end).filter(|_| !small.ends_with(ENDING));
            text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""))
        }
    };
    let dir = dir.trim();
    let dir = unquoted(dir).map_or(dir, |(inside, _)| inside);
    (!name.is_empty()).then(|| (name.to_owned(), (!dir.is_empty()).then(|| dir.to_owned())))
}

/// What stands in quotes at the beginning, and what follows it.
fn unquoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '"' | '\''))?;
    let (inside, after) = text.get(1..)?.split_once(quote)?;
    (after.is_empty() || after.starts_with(char::is_whitespace)).then_some((inside, after))
}

/// What follows the first word, with its spaces: names have them.
fn rest_of(line: &str, first: &str) -> String {
    line.trim().strip_prefix(first).unwrap_or_default().trim().to_owned()
}

/// The command of this name, short form or unique prefix.
fn find(typed: &str) -> Result<&'static Word, String> {
    let short = SHORT.iter().find(|(short, _)| *short == typed).map(|(_, name)| *name);
    let typed = short.unwrap_or(typed);
    if let Some(word) = WORDS.iter().find(|word| word.name == typed) {
        return Ok(word);
    }
    let fits: Vec<&Word> = WORDS.iter().filter(|word| word.name.starts_with(typed)).collect();
    match fits.as_slice() {
        [only] => Ok(only),
        [] => {
            let near = nearest(typed, WORDS.iter().map(|word| word.name));
            let hint = near.map(|near| format!(" - did you mean {near:?}?")).unwrap_or_default();
            Err(format!("unknown command \"{}\"{hint} (help lists all)", escape(typed)))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|word| word.name).collect();
            Err(format!("\"{}\" could be {}", escape(typed), names.join(" or ")))
        }
    }
}

/// The text of `help`.
pub fn help(about: Option<&Word>) -> String {
    let line = |word: &Word| {
        let usage = format!("{} {}", word.name, word.takes);
        format!("{usage:<24}  {}\n", word.does)
    };
    match about {
        Some(word) => line(word),
        None => {
            let all: String = WORDS.iter().map(line).collect();
            all + "Commands may be shortened as long as they are unique: st, wh, p, q.\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_their_short_forms() {
        let limit = |all, down, limit| Order::Limit { all, down, limit: Rate(limit) };
        let add = |name: &str, dir: Option<&str>| Order::Add {
            name: name.into(),
            dir: dir.map(PathBuf::from),
        };
        let rename_file = |number, name: &str| Order::RenameFile { number, name: name.into() };
        for (line, order) in [
            ("", Order::Nothing),
            ("  st  ", Order::Status { all: false }),
            ("status all", Order::Status { all: true }),
            ("p", Order::Peers { all: false }),
            ("peers -a", Order::Peers { all: true }),
            ("q", Order::Quit),
            ("exit", Order::Quit),
            ("wh", Order::Why),
            ("limit down 2M", limit(false, true, Some(2_000_000))),
            ("limit down off", limit(false, true, None)),
            ("limit up off", limit(false, false, None)),
            ("lim all up 1K", limit(true, false, Some(1000))),
            ("pause all", Order::Pause { all: true }),
            ("resume", Order::Resume { all: false }),
            ("list", Order::List),
            ("use 2", Order::Use("2".into())),
            ("us  big  film ", Order::Use("big  film".into())),
            ("add /a b/c.torrent", add("/a b/c.torrent", None)),
            ("add /a b/c.TORRENT  /d e ", add("/a b/c.TORRENT", Some("/d e"))),
            ("add a.torrent b.torrent", add("a.torrent b.torrent", None)),
            ("add old.torrents/x", add("old.torrents/x", None)),
            ("add \"my file\" 'my dir'", add("my file", Some("my dir"))),
            ("add 'a'b", add("'a'b", None)),
            ("rem 1", Order::Remove("1".into())),
            ("move  /a b/c ", Order::Move("/a b/c".into())),
            ("ren 2  big  film.mkv", rename_file(2, "big  film.mkv")),
            ("rename new name", Order::Rename("new name".into())),
            ("rename 7", Order::Rename("7".into())),
            ("watch list", Order::Watch(Box::new(Order::List))),
            ("select all", Order::Select(None)),
            ("select 1-3, 5", Order::Select(Some(values::ranges("1-3,5").unwrap()))),
            ("add-peer [::1]:5", Order::AddPeer("[::1]:5".parse().unwrap())),
            ("watch", Order::Watch(Box::new(Order::Status { all: false }))),
            ("watch peers -a", Order::Watch(Box::new(Order::Peers { all: true }))),
            ("log 5", Order::Log(5)),
        ] {
            assert_eq!(read(line), Ok(order), "{line:?}");
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (line, said) in [
            ("peeers", "unknown command \"peeers\" - did you mean \"peers\"? (help lists all)"),
            ("\x1b[2J", "unknown command \"\\x1b[2J\" (help lists all)"),
            ("s", "\"s\" could be status or select"),
            ("limit", "usage: limit [all] down|up RATE"),
            ("use", "usage: use N|NAME"),
            ("add ''", "usage: add FILE [DIR]"),
            ("l", "\"l\" could be limit or list or log"),
            ("add-peer here", "usage: add-peer ADDR"),
            ("pause now", "usage: pause [all]"),
            ("limit down x", "not a rate; write 500K, 2MiB, or 0 for none"),
            ("watch quit", "watch shows status, list, why, peers, files, trackers or log"),
            ("select 0", "\"0\" is not a list of file numbers like 1-3,5"),
        ] {
            assert_eq!(read(line), Err(said.to_owned()), "{line:?}");
        }
    }

    #[test]
    fn help_names_every_command_once() {
        let all = help(None);
        assert_eq!(all.lines().count(), WORDS.len() + 1);
        assert!(all.lines().all(|line| line.chars().count() <= 80), "{all}");
        assert_eq!(
            help(Some(&WORDS[0])),
            "status [all]              progress, speed and peers at a glance\n"
        );
    }

    #[test]
    fn fuzz_lines() {
        crate::fuzz::run("repl_line", |bytes| {
            if let Err(why) = read(&String::from_utf8_lossy(bytes)) {
                assert!(!why.contains(|letter: char| letter.is_ascii_control()), "{why:?}");
            }
        });
    }
}
