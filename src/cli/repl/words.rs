//! The words of the prompt: which commands there are, what they take, and how a typed line
//! becomes an order. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::file_priority::FilePriority;
use crate::cli::choice::{graded, order_of};
use crate::cli::escape::escape;
use crate::cli::given::is_link;
use crate::cli::print::{nearest, wrap};
use crate::cli::quoting::{from_home, open_quote, quoted_words};
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
    /// Want these files so much, and leave the others as they are.
    Prioritize { files: Option<Ranges>, priority: FilePriority },
    /// In which order pieces come: one after the other, or the rarest first; the ends of files
    /// before all others.
    Sort { sequential: bool, ends_first: bool },
    /// The trackers.
    Trackers,
    /// Announce now.
    Announce,
    /// Read and hash everything again.
    Verify,
    /// Show the limits.
    Limits,
    /// Set or lift a limit for download or upload: of all torrents together, or of this one
    /// alone, which is its number or a part of its name.
    Limit { of: Option<String>, down: bool, limit: Rate },
    /// Stop transferring: the one of this number, or the used one; every torrent.
    Pause { of: Option<usize>, all: bool },
    /// Go on, likewise; every paused torrent.
    Resume { of: Option<usize>, all: bool },
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
    /// The servers of files, and what each waits for.
    Web,
    /// Fetch from this server, too.
    AddWebSeed(String),
    /// The last news.
    Log(usize),
    /// What the download waits for.
    Why,
    /// How the DHT fares.
    Dht,
    /// What may leave, and how.
    Net,
    /// The commands, or one of them.
    Help(Option<&'static Word>),
    /// Wipe the screen.
    Clear,
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
pub const WORDS: [Word; 29] = [
    word("status", "[all]", "progress, speed and peers at a glance"),
    word("why", "", "what the download waits for, and what to do about it"),
    word("peers", "[-a]", "connected peers; -a all known ones, with their errors"),
    word("web", "", "web sources: what each sends or waits for, and files it lacks"),
    word("info", "[-f]", "facts of the torrent; -f with all files"),
    word("files", "", "files and how much of each is verified"),
    word(
        "select",
        "RANGES|all [PRIORITY]",
        "download only these files: select 1-3,5; or first: select 2 high (normal, low, off)",
    ),
    word("order", "HOW", "how pieces come: rarest, sequential, ends-first"),
    word("trackers", "", "trackers and what they said last"),
    word("announce", "", "ask the trackers for peers now"),
    word("verify", "", "read and hash all of it again; what is wrong is fetched again"),
    word("dht", "", "nodes of the DHT, its lookups, and how many the swarm has"),
    word("net", "", "the way out: device, address, proxy, and what is off and why"),
    word(
        "limit",
        "[N] down|up RATE|off",
        "limit all together, or torrent N: limit down 2MiB; alone it shows them",
    ),
    word("pause", "[N|all]", "stop transferring, keep everything"),
    word("resume", "[N|all]", "go on; a queued torrent starts at once"),
    word("list", "", "all torrents, their numbers and how they stand"),
    word("use", "N|NAME", "let commands speak of this torrent: use 2, use debian"),
    word("add", "TORRENT [DIR]", "download another as well, to DIR: a file, URL or link"),
    word("remove", "N|NAME", "take a torrent out; its data stays"),
    word("move", "DIR", "move its files to another directory, while it runs"),
    word("rename", "[N] NAME", "rename the torrent, or its file N: rename 2 film.mkv"),
    word("add-peer", "ADDR:PORT", "connect to a peer: add-peer 192.0.2.1:6881"),
    word("add-web-seed", "URL", "fetch from a server of these files, too"),
    word("watch", "[COMMAND]", "repaint status, or another, until a key is pressed"),
    word("log", "[N]", "the last N pieces of news"),
    word("clear", "", "wipe the screen (also: Ctrl-L)"),
    word("help", "[COMMAND]", "this list"),
    word("quit", "", "stop; progress is kept (also: exit, q, Ctrl-D)"),
];

/// Short forms that are no prefix, or a prefix of several commands.
const SHORT: [(&str, &str); 4] = [("p", "peers"), ("q", "quit"), ("exit", "quit"), ("?", "help")];

/// On a narrower terminal what a command does stands below it.
const NARROW: usize = 60;

const WATCHED: &str = "watch shows status, list, why, peers, web, files, trackers, dht or log";

/// Reads a line. Where it has quotes or backslashes it is read as a shell would.
///
/// # Errors
/// In words for people, when it is no command or its arguments make no sense.
pub fn read(line: &str) -> Result<Order, String> {
    if let Some(quote) = open_quote(line) {
        return Err(format!("the quote {quote} is never closed: close it, or leave it out"));
    }
    let quoted = quoted_words(line).filter(|words| !words.is_empty());
    let words: Vec<&str> = match &quoted {
        Some(words) => words.iter().map(String::as_str).collect(),
        None => line.split_whitespace().collect(),
    };
    let Some((typed, arguments)) = words.split_first() else { return Ok(Order::Nothing) };
    let word = find(typed)?;
    // Names have spaces, which count where nothing is quoted.
    let rest = match &quoted {
        Some(words) => words[1..].join(" "),
        None => rest_of(line, typed),
    };
    let usage = || format!("usage: {} {}", word.name, word.takes).trim_end().to_owned();
    match (word.name, arguments) {
        ("use", [_, ..]) => Ok(Order::Use(rest)),
        ("remove", [_, ..]) => Ok(Order::Remove(rest)),
        ("move", [_, ..]) => Ok(Order::Move(from_home(&rest))),
        ("rename", [number, _, ..]) if number.parse::<u32>().is_ok() => {
            let name = rest_of(&rest, number);
            Ok(Order::RenameFile { number: number.parse().map_err(|_| usage())?, name })
        }
        ("rename", [number]) if quoted.is_none() && number.parse::<u32>().is_ok() => Err(format!(
            "usage: rename [N] NAME, as rename {number} film.mkv for file {number}; for the \
             torrent: rename \"{number}\""
        )),
        ("rename", [_, ..]) => Ok(Order::Rename(rest)),
        ("add", [_, ..]) => {
            let (name, dir) = match &quoted {
                Some(_) => (arguments[0].to_owned(), arguments[1..].join(" ")),
                // Links have no spaces.
                None if is_link(arguments[0]) => {
                    (arguments[0].to_owned(), rest_of(&rest, arguments[0]))
                }
                None => file_and_dir(&rest),
            };
            let name = from_home(&name).to_string_lossy().into_owned();
            let dir = Some(dir).filter(|dir| !dir.is_empty()).map(|dir| from_home(&dir));
            if name.is_empty() { Err(usage()) } else { Ok(Order::Add { name, dir }) }
        }
        ("limit", _) => read_limit(arguments).unwrap_or_else(|| Err(usage())),
        ("watch", _) => read_watched(arguments),
        _ => read_plain(word, arguments).unwrap_or_else(|| Err(usage())),
    }
}

/// The order of a command whose arguments are plain words; none when they do not fit.
fn read_plain(word: &Word, arguments: &[&str]) -> Option<Result<Order, String>> {
    Some(Ok(match (word.name, arguments) {
        ("status", []) => Order::Status { all: false },
        ("status", ["all"]) => Order::Status { all: true },
        ("why", []) => Order::Why,
        ("dht", []) => Order::Dht,
        ("net", []) => Order::Net,
        ("peers", []) => Order::Peers { all: false },
        ("peers", ["-a" | "--all" | "all"]) => Order::Peers { all: true },
        ("info", []) => Order::Info { files: false },
        ("info", ["-f" | "--files"]) => Order::Info { files: true },
        ("files", []) => Order::Files,
        ("select", ["all"]) => Order::Select(None),
        ("select", [files @ .., priority]) if !files.is_empty() && graded(priority).is_some() => {
            let priority = graded(priority)?;
            let ranges = match files {
                ["all"] => Ok(None),
                _ => values::ranges(&files.concat()).map(Some),
            };
            return Some(ranges.map(|files| Order::Prioritize { files, priority }));
        }
        ("select", [_, ..]) => {
            return Some(values::ranges(&arguments.concat()).map(|it| Order::Select(Some(it))));
        }
        ("trackers", []) => Order::Trackers,
        ("announce", []) => Order::Announce,
        ("verify", []) => Order::Verify,
        ("order", _) => {
            let order = |(sequential, ends_first)| Order::Sort { sequential, ends_first };
            return Some(order_of(arguments).map(order));
        }
        ("web", []) => Order::Web,
        ("add-web-seed", [url]) => {
            return Some(values::web_seed(url).map(Order::AddWebSeed));
        }
        ("pause" | "resume", [] | ["all"]) => going(word, None, !arguments.is_empty()),
        ("pause" | "resume", [number]) => going(word, Some(number.parse().ok()?), false),
        ("list", []) => Order::List,
        ("add-peer", [address]) => return Some(values::peer(address).map(Order::AddPeer)),
        ("log", []) => Order::Log(20),
        ("log", [count]) => Order::Log(count.parse().ok()?),
        ("clear", []) => Order::Clear,
        ("help", []) => Order::Help(None),
        ("help", [about]) => return Some(find(about).map(|about| Order::Help(Some(about)))),
        ("quit", []) => Order::Quit,
        _ => return None,
    }))
}

/// To pause, or to go on: the torrent of this number, all, or the used one.
fn going(word: &Word, of: Option<usize>, all: bool) -> Order {
    match word.name {
        "pause" => Order::Pause { of, all },
        _ => Order::Resume { of, all },
    }
}

fn read_limit(arguments: &[&str]) -> Option<Result<Order, String>> {
    let (of, way, limit) = match arguments {
        [] | ["all"] => return Some(Ok(Order::Limits)),
        ["all", way, limit] | [way, limit] => (None, *way, limit),
        [of, way, limit] => (Some((*of).to_owned()), *way, limit),
        _ => return None,
    };
    let is_way = matches!(way, "down" | "up");
    let order = |limit| Order::Limit { of, down: way == "down", limit };
    is_way.then(|| values::rate(limit).map(order))
}

fn read_watched(arguments: &[&str]) -> Result<Order, String> {
    let Some(first) = arguments.first() else {
        return Ok(Order::Watch(Box::new(Order::Status { all: false })));
    };
    let refused = || Err(WATCHED.to_owned());
    // However often it is said, it is read once.
    if !find(first).is_ok_and(|word| word.name != "watch") {
        return refused();
    }
    match read(&arguments.join(" "))? {
        shown @ (Order::Status { .. }
        | Order::List
        | Order::Why
        | Order::Dht
        | Order::Peers { .. }
        | Order::Files
        | Order::Web
        | Order::Trackers
        | Order::Log(_)) => Ok(Order::Watch(Box::new(shown))),
        _ => refused(),
    }
}

/// A torrent and the directory behind it, without quotes. Names have spaces: what ends in
/// `.torrent` is a name as a whole.
fn file_and_dir(text: &str) -> (String, String) {
    const ENDING: &str = ".torrent";
    let small = text.to_ascii_lowercase();
    let ends = small.match_indices(ENDING).map(|(begin, _)| begin + ENDING.len());
    let is_end = |end: &usize| small.get(*end..).is_some_and(|it| it.starts_with(' '));
    // Two of them are one odd name rather than a directory that is called so.
    let end = ends.clone().find(is_end).filter(|_| !small.ends_with(ENDING));
    let (name, dir) = text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""));
    (name.to_owned(), dir.trim().to_owned())
}

/// What follows the first word, with its spaces: names have them.
fn rest_of(line: &str, first: &str) -> String {
    line.trim().strip_prefix(first).unwrap_or_default().trim().to_owned()
}

/// The command of this name, short form or unique prefix.
///
/// # Errors
/// In words for people.
pub fn find(typed: &str) -> Result<&'static Word, String> {
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

/// The text of `help`, in lines of at most `columns`.
pub fn help(about: Option<&Word>, columns: usize) -> String {
    let line = |word: &Word| {
        let usage = format!("{} {}", word.name, word.takes);
        let line = match columns < NARROW {
            true => format!("{}\n  {}", usage.trim_end(), wrap(word.does, columns - 2, 2)),
            false => wrap(&format!("{usage:<28}  {}", word.does), columns, 30),
        };
        line + "\n"
    };
    match about {
        Some(word) => line(word),
        None => {
            let all: String = WORDS.iter().map(line).collect();
            let notes = "Commands may be shortened as long as they are unique: st, wh, p, q. \
                         Quotes are as in a shell; Tab completes.";
            all + &wrap(notes, columns, 0) + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_their_short_forms() {
        let limit = |of: Option<&str>, down, limit| Order::Limit {
            of: of.map(str::to_owned),
            down,
            limit: Rate(limit),
        };
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
            ("limit down 2M", limit(None, true, Some(2_000_000))),
            ("limit down off", limit(None, true, None)),
            ("limit up off", limit(None, false, None)),
            ("lim all up 1K", limit(None, false, Some(1000))),
            ("limit 2 down 1K", limit(Some("2"), true, Some(1000))),
            ("limit 'big film' up off", limit(Some("big film"), false, None)),
            ("pause all", Order::Pause { of: None, all: true }),
            ("pause 2", Order::Pause { of: Some(2), all: false }),
            ("resume", Order::Resume { of: None, all: false }),
            ("resume 1", Order::Resume { of: Some(1), all: false }),
            ("resume all", Order::Resume { of: None, all: true }),
            ("list", Order::List),
            ("use 2", Order::Use("2".into())),
            ("us  big  film ", Order::Use("big  film".into())),
            ("add /a b/c.torrent", add("/a b/c.torrent", None)),
            ("add /a b/c.TORRENT  /d e ", add("/a b/c.TORRENT", Some("/d e"))),
            ("add a.torrent b.torrent", add("a.torrent b.torrent", None)),
            ("add old.torrents/x", add("old.torrents/x", None)),
            ("add http://x/y?a=1  /d e", add("http://x/y?a=1", Some("/d e"))),
            ("add magnet:?xt=urn:x:y", add("magnet:?xt=urn:x:y", None)),
            ("add \"my file\" 'my dir'", add("my file", Some("my dir"))),
            ("add 'a'b", add("ab", None)),
            ("add my\\ file.torrent", add("my file.torrent", None)),
            ("add it's.torrent", add("it's.torrent", None)),
            ("add 'my file.torrent' /a b", add("my file.torrent", Some("/a b"))),
            ("use \"big  film\"", Order::Use("big  film".into())),
            ("move '/a  b'", Order::Move("/a  b".into())),
            ("rename 2 'new  name'", rename_file(2, "new  name")),
            ("limit", Order::Limits),
            ("limit all", Order::Limits),
            ("clear", Order::Clear),
            ("rem 1", Order::Remove("1".into())),
            ("move  /a b/c ", Order::Move("/a b/c".into())),
            ("ren 2  big  film.mkv", rename_file(2, "big  film.mkv")),
            ("rename new name", Order::Rename("new name".into())),
            ("rename \"7\"", Order::Rename("7".into())),
            ("watch list", Order::Watch(Box::new(Order::List))),
            ("select all", Order::Select(None)),
            (
                "select 2 - 3 high",
                Order::Prioritize {
                    files: values::ranges("2-3").ok(),
                    priority: FilePriority::High,
                },
            ),
            ("select all off", Order::Prioritize { files: None, priority: FilePriority::Off }),
            ("order sequential", Order::Sort { sequential: true, ends_first: false }),
            ("ord rarest ends-first", Order::Sort { sequential: false, ends_first: true }),
            ("select 1-3, 5", Order::Select(Some(values::ranges("1-3,5").unwrap()))),
            ("add-peer [::1]:5", Order::AddPeer("[::1]:5".parse().unwrap())),
            ("watch", Order::Watch(Box::new(Order::Status { all: false }))),
            ("watch peers -a", Order::Watch(Box::new(Order::Peers { all: true }))),
            ("log 5", Order::Log(5)),
            ("we", Order::Web),
            ("watch web", Order::Watch(Box::new(Order::Web))),
            ("add-web-seed http://m/x", Order::AddWebSeed("http://m/x".into())),
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
            (
                "rename 2",
                "usage: rename [N] NAME, as rename 2 film.mkv for file 2; for the torrent: rename \
                 \"2\"",
            ),
            ("limit sideways 2M", "usage: limit [N] down|up RATE|off"),
            ("add 'my file", "the quote ' is never closed: close it, or leave it out"),
            ("use", "usage: use N|NAME"),
            ("add ''", "usage: add TORRENT [DIR]"),
            ("l", "\"l\" could be limit or list or log"),
            ("add-peer", "usage: add-peer ADDR:PORT"),
            (
                "add-peer 127.0.0.1",
                "not an address with a port; write 192.0.2.1:6881 or [2001:db8::1]:6881, no names",
            ),
            ("wat foo", WATCHED),
            ("add-web-seed ftp://m/x", "not a URL of http or https"),
            ("pause now", "usage: pause [N|all]"),
            ("limit down x", "not a rate; write 500K, 2MiB, or 0 for none"),
            (
                "watch quit",
                "watch shows status, list, why, peers, web, files, trackers, dht or log",
            ),
            ("order", "say how pieces are to come: rarest, sequential, ends-first"),
            ("order random", "say how pieces are to come: rarest, sequential, ends-first"),
            ("order rarest sequential", "pieces come in order or the rarest first, not both"),
            ("select high", "\"high\" is not a list of file numbers like 1-3,5"),
            ("select 0", "\"0\" is not a list of file numbers like 1-3,5"),
        ] {
            assert_eq!(read(line), Err(said.to_owned()), "{line:?}");
        }
    }

    #[test]
    fn help_names_every_command_once() {
        let all = help(None, usize::MAX);
        assert_eq!(all.lines().count(), WORDS.len() + 1);
        assert_eq!(
            help(Some(&WORDS[0]), 80),
            "status [all]                  progress, speed and peers at a glance\n"
        );
        for columns in [80, 60, 40, 20] {
            let all = help(None, columns);
            assert!(all.lines().all(|line| line.chars().count() <= columns.max(28)), "{all}");
            assert!(WORDS.iter().all(|word| all.lines().any(|line| line.starts_with(word.name))));
        }
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
