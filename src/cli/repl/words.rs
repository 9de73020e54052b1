//! The words of the prompt: which commands there are, what they take, and how a typed line
//! becomes an order. Pure.

use std::net::SocketAddr;

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
    /// Live progress.
    Status,
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
    /// Set the download limit.
    LimitDown(Rate),
    /// Set the upload limit.
    LimitUp,
    /// Stop transferring.
    Pause,
    /// Go on.
    Resume,
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
pub const WORDS: [Word; 16] = [
    word("status", "", "progress, speed and peers at a glance"),
    word("why", "", "what the download waits for, and what to do about it"),
    word("peers", "[-a]", "connected peers; -a all known ones with their last error"),
    word("info", "[-f]", "facts of the torrent; -f with all files"),
    word("files", "", "files and how much of each is verified"),
    word("select", "RANGES|all", "download only these files: select 1-3,5"),
    word("trackers", "", "trackers and what they said last"),
    word("announce", "", "ask the trackers for peers now"),
    word("limit", "down RATE|off", "limit the download: limit down 2M"),
    word("pause", "", "stop transferring, keep everything"),
    word("resume", "", "go on"),
    word("add-peer", "ADDR", "connect to a peer: add-peer 192.0.2.1:6881"),
    word("watch", "[COMMAND]", "repaint status, or another command, until a key is pressed"),
    word("log", "[N]", "the last N pieces of news"),
    word("help", "[COMMAND]", "this list"),
    word("quit", "", "stop; progress is kept (exit, q and Ctrl-D do the same)"),
];

/// Short forms that are no prefix, or a prefix of several commands.
const SHORT: [(&str, &str); 4] = [("p", "peers"), ("q", "quit"), ("exit", "quit"), ("?", "help")];

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
        ("status", []) => Order::Status,
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
        ("limit", ["down", limit]) => Order::LimitDown(values::rate(limit)?),
        ("limit", ["up", ..]) => Order::LimitUp,
        ("pause", []) => Order::Pause,
        ("resume", []) => Order::Resume,
        ("add-peer", [address]) => Order::AddPeer(address.parse().map_err(|_| usage())?),
        ("watch", []) => Order::Watch(Box::new(Order::Status)),
        ("watch", [_, ..]) => match read(&arguments.join(" "))? {
            shown @ (Order::Status
            | Order::Why
            | Order::Peers { .. }
            | Order::Files
            | Order::Trackers
            | Order::Log(_)) => Order::Watch(Box::new(shown)),
            _ => return Err("watch shows status, why, peers, files, trackers or log".to_owned()),
        },
        ("log", []) => Order::Log(20),
        ("log", [count]) => Order::Log(count.parse().map_err(|_| usage())?),
        ("help", []) => Order::Help(None),
        ("help", [about]) => Order::Help(Some(find(about)?)),
        ("quit", []) => Order::Quit,
        _ => return Err(usage()),
    })
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
        format!("{usage:<20}  {}\n", word.does)
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
        for (line, order) in [
            ("", Order::Nothing),
            ("  st  ", Order::Status),
            ("p", Order::Peers { all: false }),
            ("peers -a", Order::Peers { all: true }),
            ("q", Order::Quit),
            ("exit", Order::Quit),
            ("wh", Order::Why),
            ("limit down 2M", Order::LimitDown(Rate(Some(2_000_000)))),
            ("limit down off", Order::LimitDown(Rate(None))),
            ("limit up off", Order::LimitUp),
            ("select all", Order::Select(None)),
            ("select 1-3, 5", Order::Select(Some(values::ranges("1-3,5").unwrap()))),
            ("add-peer [::1]:5", Order::AddPeer("[::1]:5".parse().unwrap())),
            ("watch", Order::Watch(Box::new(Order::Status))),
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
            ("limit", "usage: limit down RATE|off"),
            ("add-peer here", "usage: add-peer ADDR"),
            ("pause now", "usage: pause"),
            ("limit down x", "not a rate; write 500K, 2MiB, or 0 for none"),
            ("watch quit", "watch shows status, why, peers, files, trackers or log"),
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
            "status                progress, speed and peers at a glance\n"
        );
    }
}
