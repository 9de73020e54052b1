//! The house's rules as tests: floors, clean hands, shape of files and forbidden words. Each
//! checker is a pure function from text to offences, `path:line: what is wrong`, and has a
//! sample below that makes it fail. It is a reader of tokens, not a compiler: a macro that
//! builds paths gets past it, an honest mistake does not.

use std::collections::HashMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

const FORMATS: u8 = 1;
const MACHINES: u8 = 2;

/// Room or file → floor. The longest entry that fits a path decides.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("bencode", 0),
    ("metainfo", FORMATS),
    ("metalink", FORMATS),
    ("wire", FORMATS),
    // A mod.rs that only declares modules has the lowest floor of its room.
    ("tracker", FORMATS),
    ("tracker/announce", FORMATS),
    ("tracker/http", FORMATS),
    ("tracker/proof", FORMATS),
    ("tracker/udp", FORMATS),
    ("tracker/exchange", MACHINES),
    ("tracker/tiers", MACHINES),
    ("tracker/turns", MACHINES),
    ("tracker/table", MACHINES),
    ("tracker/catalogue", MACHINES),
    ("tracker/connection_id", MACHINES),
    ("tracker/door", MACHINES),
    ("tracker/catalogue_client", 4),
    ("tracker/find", 4),
    ("tracker/task", 4),
    ("tracker/server", 4),
    ("tracker/tests", 4),
    ("chunk", FORMATS),
    ("chunk/wire", FORMATS),
    ("chunk/ini", FORMATS),
    ("chunk/cut", FORMATS),
    ("chunk/config", 3),
    ("chunk/store", 3),
    ("chunk/tools", 3),
    ("chunk/discover", 4),
    ("chunk/fetch_info", 4),
    ("chunk/provider", 4),
    ("chunk/tracker", 4),
    ("chunk/server", 4),
    ("chunk/tests", 4),
    // Files of the DHT without a line of their own are machines.
    ("dht", MACHINES),
    ("dht/bloom", FORMATS),
    ("dht/compact", FORMATS),
    ("dht/id", FORMATS),
    ("dht/message", FORMATS),
    ("dht/nets", FORMATS),
    ("dht/task", 4),
    ("roster", MACHINES),
    ("seek", MACHINES),
    ("swarm", MACHINES),
    ("disk", 3),
    ("ledger", 3),
    ("http", FORMATS),
    ("http/answer", FORMATS),
    ("http/origin", FORMATS),
    ("http/token", FORMATS),
    ("http/body", 3),
    ("http/connections", 3),
    ("http/paced", 3),
    ("http/tests", 3),
    ("net", 3),
    ("os", 3),
    ("link", 4),
    ("web", 4),
    ("web/chunked", FORMATS),
    ("web/expiry", FORMATS),
    ("web/head", FORMATS),
    ("web/range", FORMATS),
    ("web/url", FORMATS),
    ("torrent", 5),
    ("session", 5),
    ("api", 5),
    ("errands", 5),
    ("rpc", 6),
    ("cli", 7),
    ("main", 7),
];

/// Rooms that stand on several floors: each of their files needs its own line in the table.
const SPLIT_ROOMS: &[&str] = &["tracker", "chunk", "http"];

/// Neighbours on one floor, with the one allowed direction: the first imports the second.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("main", "cli"),
    ("session", "torrent"),
    ("api", "session"),
    ("api", "torrent"),
    ("errands", "api"),
    ("errands", "session"),
    ("swarm", "seek"),
    ("metalink", "metainfo"),
    ("bencode", "base"),
    ("chunk", "os"),
    ("disk", "os"),
    ("http", "net"),
    ("ledger", "os"),
    ("net", "os"),
];

/// What hands may touch and heads may not: floors 0 to 2 name none of these.
const UNCLEAN: &[&str] = &[
    "tokio",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "rand::rng",
    "rand::random",
    "thread_rng",
];

/// The one file of the lower floors that reads a clock: it times engines, which decides how soon
/// digests come and never which.
const STOPWATCH: &str = "base/digest/measure.rs";

/// Structs of the brain's halves that are only told, and kept by nobody: as open as words are.
const MESSAGES: &[&str] = &[
    "Arriving",
    "Assembled",
    "Choice",
    "CrowdConfig",
    "Need",
    "NewPeer",
    "Parting",
    "Round",
    "Slots",
    "Standing",
    "Usage",
];

/// What makes a socket or asks the system's resolver: only `net/egress` knows whether it may.
const SOCKETS: &[&str] = &[
    "TcpStream::connect",
    "TcpStream::connect_timeout",
    "TcpSocket",
    "UdpSocket::bind",
    "Socket::new",
    "Domain",
    "lookup_host",
    "ToSocketAddrs",
    "to_socket_addrs",
    "Client::builder",
    "ClientBuilder",
    "reqwest::Client::new",
    "reqwest::Client::default",
    "reqwest::get",
    "reqwest::blocking",
    "socket::socket",
    "socket::connect",
    "rustix::net",
    "libc::socket",
    "TcpListener::bind",
];

/// Their owners: under another name nobody would know them again, and the client of the library
/// under its short name is taken for that of `net/egress`.
const SOCKET_TYPES: &[&str] = &["TcpStream", "TcpSocket", "TcpListener", "UdpSocket", "Socket"];

/// An egress without rules.
const UNRULED: &[&str] = &["Egress::default", "Egress::from_address"];
/// Who may have one: servers that listen where they are told to, trials on this machine, and what
/// an embedder begins with.
const RULELESS: &[&str] = &[
    "chunk/tracker.rs",
    "cli/commands/chunk/provide.rs",
    "cli/commands/daemon.rs",
    "cli/commands/tracker.rs",
    "cli/demo/mod.rs",
    "cli/demo/seeder.rs",
    "session/config.rs",
    "tracker/find.rs",
];

/// Trials that run on this machine alone, with listeners of their own.
const TRIALS: &[&str] = &["cli/demo/mod.rs", "cli/commands/chunk/demo.rs"];

/// Rooms with files that name each other, in a pair or in a ring, and how many of them stand in
/// such circles. The numbers may only shrink, and the list with them.
const CIRCLES: &[(&str, usize)] = &[
    ("base", 6),
    ("bencode", 4),
    ("chunk", 4),
    ("cli", 66),
    ("dht", 13),
    ("ledger", 7),
    ("metainfo", 12),
    ("metalink", 2),
    ("roster", 2),
    ("seek", 3),
    ("session", 4),
    ("swarm", 11),
    ("web", 2),
    ("wire", 9),
];

const CODE_LINES: usize = 600;
const CODE_LINES_WITH_TESTS: usize = 900;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 100;

/// A source file: its path below `src` or `tests`, its text, and the text with comments and
/// the inside of literals blanked, line for line and column for column.
struct Source {
    path: String,
    text: String,
    code: String,
    /// First line (counted from 0) of the test module; the number of lines when there is none.
    tests_from: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let lines: Vec<&str> = code.lines().collect();
        let tests_from = if path.split('/').any(|part| part == "tests" || part == "tests.rs") {
            0
        } else {
            test_module(&lines).unwrap_or(lines.len())
        };
        Self { path: path.to_owned(), text: text.to_owned(), code, tests_from }
    }

    fn offence(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{}: {what}", self.path, line + 1)
    }

    /// `swarm/picker.rs` is `["swarm", "picker"]`, `swarm/mod.rs` is `["swarm"]`.
    fn module(&self) -> Vec<&str> {
        let stem = self.path.trim_end_matches(".rs");
        let mut parts: Vec<&str> = stem.split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        parts
    }

    /// Every path named in code, as (line, segments); `use` trees are spread out and
    /// `self`, `super` and child modules are resolved to `crate`. The place for which an item is
    /// visible is no path.
    fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let tokens = tokens(&self.code);
        let words: Vec<&str> = tokens.iter().map(|(_, word)| *word).collect();
        let children: Vec<&str> =
            words.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1]).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let (line, in_use) = (tokens[at].0, words[at] == "use");
            let is_place = words[at] == "in" && at > 0 && words[at - 1] == "(";
            let begin = if in_use || is_place { at + 1 } else { at };
            let mut spread = Vec::new();
            at = read_tree(&words, begin, &[], &mut spread).max(begin + 1);
            for path in spread.into_iter().filter(|path| path.len() > 1 && !is_place) {
                found.push((line, self.resolve(path, &children)));
            }
        }
        found
    }

    /// What is named where a product is built: what is only for tests is left out.
    fn product_paths(&self) -> impl Iterator<Item = (usize, Vec<String>)> {
        let tests = test_items(&self.code);
        let is_product = move |line: &usize| {
            *line < self.tests_from && !tests.iter().any(|item| item.contains(line))
        };
        self.paths().into_iter().filter(move |(line, _)| is_product(line))
    }

    fn resolve(&self, mut path: Vec<String>, children: &[&str]) -> Vec<String> {
        let child = children.contains(&path[0].as_str());
        if !child && path[0] != "self" && path[0] != "super" {
            return path;
        }
        let mut base: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        if path[0] == "self" {
            path.remove(0);
        }
        while path.first().is_some_and(|segment| segment == "super") {
            path.remove(0);
            base.pop();
        }
        base.insert(0, "crate".to_owned());
        base.append(&mut path);
        base
    }
}

/// Reads a path or a `use` tree from `words[at]`, appends every path of it with `before` in
/// front, and returns the index behind it.
fn read_tree(
    words: &[&str],
    mut at: usize,
    before: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = before.to_vec();
    while let Some(word) = words.get(at) {
        match *word {
            "::" => at += 1,
            "{" if words[at - 1] == "::" => {
                at += 1;
                while words.get(at).is_some_and(|word| *word != "}") {
                    at = read_tree(words, at, &path, found).max(at + 1);
                    at += usize::from(words.get(at) == Some(&","));
                }
                return at + 1;
            }
            "*" if words[at - 1] == "::" => {
                found.push(path);
                return at + 1;
            }
            name if is_name(name) && (path.len() == before.len() || words[at - 1] == "::") => {
                path.push(name.to_owned());
                at += 1;
            }
            _ => break,
        }
    }
    if path.len() > before.len() {
        found.push(path);
    }
    // A renamed import: `as Name` belongs to the tree.
    if words.get(at) == Some(&"as") { at + 2 } else { at }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single other characters, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let len = match first {
                _ if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            found.push((number, &rest[..len]));
            rest = rest[len..].trim_start();
        }
    }
    found
}

/// The text with comments and the inside of string and character literals turned to spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip_opaque(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` when none starts there.
fn skip_opaque(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or(' ');
    let seek = |from: usize, wanted: &[char]| {
        let tail = chars.get(from..).unwrap_or(&[]);
        let found = tail.windows(wanted.len()).position(|window| window == wanted);
        found.map_or(chars.len(), |n| from + n + wanted.len())
    };
    let inside_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], next(1)) {
        ('/', '/') => seek(at, &['\n']).saturating_sub(1).max(at + 2),
        ('/', '*') => seek(at + 2, &['*', '/']),
        ('r', '"' | '#') if !inside_word || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if next(1 + hashes) != '"' {
                return at;
            }
            let mut close = vec!['"'];
            close.resize(1 + hashes, '#');
            seek(at + 2 + hashes, &close)
        }
        ('"', _) => skip_quoted(chars, at, '"'),
        ('\'', '\\') => skip_quoted(chars, at, '\''),
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn skip_quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != quote {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}

/// The line of the `#[cfg(test)]` that opens the test module: from there to the end of the file
/// all is test.
fn test_module(lines: &[&str]) -> Option<usize> {
    (0..lines.len()).find(|&at| {
        let opens = |line: &&str| line.trim_start().starts_with("mod ") && line.contains('{');
        lines[at].trim() == "#[cfg(test)]" && lines.get(at + 1).is_some_and(opens)
    })
}

/// The lines of each item below a `#[cfg(test)]`. Its last line ends it, and begins where its
/// first one does: that is how they are formatted.
fn test_items(code: &str) -> Vec<RangeInclusive<usize>> {
    let lines: Vec<&str> = code.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_test =
        |line: &str| ["#[cfg(test)", "#[cfg(all(test,"].iter().any(|a| line.starts_with(a));
    let mut found = Vec::new();
    for (begin, line) in lines.iter().enumerate().filter(|(_, line)| is_test(line.trim())) {
        let ends = |at: &usize| {
            let ending = lines[*at].trim_end().ends_with([';', '}', ',']);
            ending && indent(lines[*at]) == indent(line)
        };
        let end = (begin + 1..lines.len()).find(ends).unwrap_or(lines.len());
        found.push(begin..=end);
    }
    found
}

/// The table's entry for a module path, the longest that fits.
fn floor_of(module: &[&str]) -> Option<(usize, u8)> {
    let fits = (1..=module.len().min(2)).rev().filter_map(|len| {
        let name = module[..len].join("/");
        FLOORS.iter().find(|(entry, _)| *entry == name).map(|(_, floor)| (len, *floor))
    });
    { fits }.next()
}

/// The floors that a room's files stand on.
fn floors_of(room: &str) -> impl Iterator<Item = u8> {
    FLOORS.iter().filter(move |(entry, _)| entry.split('/').next() == Some(room)).map(|(_, at)| *at)
}

/// Rule 1, gravity: a file imports only from lower floors, or from its own room on the same or a
/// lower floor. The root of a room's crate names whole rooms, for the highest of its files.
fn gravity(source: &Source) -> Vec<String> {
    let own = source.module();
    if own == ["lib"] {
        return Vec::new();
    }
    let Some((matched, mut floor)) = floor_of(&own) else {
        return vec![source.offence(0, "this room has no floor: add it to the table")];
    };
    let is_root = own.get(1) == Some(&"crate");
    if is_root {
        floor = floors_of(own[0]).max().unwrap_or(floor);
    } else if SPLIT_ROOMS.contains(&own[0]) && own.len() > 1 && matched == 1 {
        return vec![source.offence(0, "this file of a split room has no floor: add it")];
    }
    let mut offences = Vec::new();
    for (line, path) in source.paths() {
        let target: Vec<&str> = match path[0].as_str() {
            // Another room's crate holds one module, the room.
            first if first == "crate" || first.starts_with("pigeon") => {
                path[1..].iter().map(String::as_str).collect()
            }
            _ => continue,
        };
        // A crate's name alone is no path into it.
        let Some(room) = target.first().copied() else { continue };
        let whole = floors_of(room).min();
        let named = floor_of(&target).map(|(_, floor)| floor);
        let Some(above) = (if is_root { whole } else { named }) else { continue };
        let allowed = above < floor
            || (room == own[0] && above <= floor)
            || NEIGHBOURS.contains(&(own[0], room));
        if !allowed {
            let what = format!("floor {floor} imports {} of floor {above}", path.join("::"));
            offences.push(source.offence(line, what));
        }
    }
    offences
}

/// Whether `path` holds all segments of `name` side by side.
fn names(path: &[String], name: &str) -> bool {
    let wanted: Vec<&str> = name.split("::").collect();
    path.windows(wanted.len()).any(|window| window == wanted)
}

/// Lines on which code names `name`: as a path, through a `use` tree, or as a bare word.
fn lines_naming(source: &Source, name: &str) -> Vec<usize> {
    let paths = source.paths().into_iter().filter(|(_, path)| names(path, name));
    let mut lines: Vec<usize> = paths.map(|(line, _)| line).collect();
    if !name.contains("::") {
        lines.extend(tokens(&source.code).iter().filter(|(_, word)| *word == name).map(|t| t.0));
    }
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// Rule 2, clean hands: no runtime, socket, file, thread, clock or global chance on floors 0–2.
fn clean_hands(source: &Source) -> Vec<String> {
    if floor_of(&source.module()).is_none_or(|(_, floor)| floor > MACHINES) {
        return Vec::new();
    }
    let mut offences = Vec::new();
    for name in UNCLEAN {
        for line in lines_naming(source, name) {
            // A test has to start its clock somewhere.
            let may_start = line >= source.tests_from || source.path == STOPWATCH;
            if *name != "Instant::now" || !may_start {
                offences.push(source.offence(line, format!("{name} on floors 0 to 2")));
            }
        }
    }
    offences
}

/// Rule 3: one lock in the house, and `unsafe` in four places, each with its reason.
fn locks_and_unsafe(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    if source.path != "base/pool.rs" {
        for name in ["Mutex", "RwLock"] {
            let lines = lines_naming(source, name);
            // A test may model a device, which is one thing for all threads.
            let lines = lines.iter().filter(|line| **line < source.tests_from);
            offences.extend(lines.map(|n| source.offence(*n, format!("{name}: send"))));
        }
    }
    let allowed = ["base/pool.rs", "base/digest", "disk/", "os/arenas.rs"];
    let allowed = allowed.iter().any(|place| source.path.starts_with(place));
    let text: Vec<&str> = source.text.lines().collect();
    for line in lines_naming(source, "unsafe") {
        let said = text[line.saturating_sub(8)..=line]
            .iter()
            .any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
        if !allowed {
            offences.push(source.offence(line, "unsafe outside pool, digest, disk and arenas"));
        } else if !said {
            offences.push(source.offence(line, "unsafe without a SAFETY comment"));
        }
    }
    offences
}

/// Rule 4: the head comment, the width of lines, the length of files and functions.
fn shape(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    if !source.text.starts_with("//!") {
        offences.push(source.offence(0, "the file does not open with a //! head"));
    }
    let code: Vec<&str> = source.code.lines().collect();
    for (number, line) in source.text.lines().enumerate() {
        let bare: Vec<&str> = code.get(number).map_or(vec![], |c| c.split_whitespace().collect());
        // What remains without the literal has to fit; a line inside a literal has no rest.
        let quoted = line.contains('"') && !bare.is_empty() && bare.join(" ").len() <= COLUMNS;
        let inside = bare.is_empty() && !line.trim_start().starts_with("//");
        let literal = quoted || inside || line.contains("://");
        if line.chars().count() > COLUMNS && !literal {
            offences.push(source.offence(number, "line of over 100 columns"));
        }
    }
    let count = |lines: &[&str]| lines.iter().filter(|line| !line.trim().is_empty()).count();
    let tests_from = source.tests_from.min(code.len());
    if count(&code[..tests_from]) > CODE_LINES || count(&code) > CODE_LINES_WITH_TESTS {
        let what = format!("over {CODE_LINES} code lines, or {CODE_LINES_WITH_TESTS} with tests");
        offences.push(source.offence(0, what));
    }
    for (begin, end) in functions(&source.code) {
        if begin < tests_from && end - begin + 1 > FUNCTION_LINES {
            offences.push(source.offence(begin, "function of over 70 lines"));
        }
    }
    offences
}

/// First and last line of every function with a body.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, (begin, word)) in tokens.iter().enumerate() {
        if *word != "fn" || !tokens.get(at + 1).is_some_and(|(_, name)| is_name(name)) {
            continue;
        }
        // Parameters and array types may hold `;` and braces; only those outside count.
        let (mut brackets, mut braces) = (0usize, 0usize);
        for (line, word) in &tokens[at..] {
            match *word {
                "(" | "[" => brackets += 1,
                ")" | "]" => brackets = brackets.saturating_sub(1),
                ";" if brackets == 0 && braces == 0 => break,
                "{" => braces += 1,
                "}" => braces = braces.saturating_sub(1),
                _ => {}
            }
            if *word == "}" && braces == 0 && brackets == 0 {
                found.push((*begin, *line));
                break;
            }
        }
    }
    found
}

/// Rule 5: nothing unfinished, silenced or left over, and no path of somebody's machine.
fn leftovers(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let words = ["TODO", "FIXME", "XXX"];
    let texts = ["/root/", "/work/"];
    let codes = ["todo!", "unimplemented!", "dbg!", "#[ignore", "(dead_code"];
    let code: Vec<&str> = source.code.lines().collect();
    for (number, line) in source.text.lines().enumerate() {
        let bare = code.get(number).copied().unwrap_or("");
        let word = |wanted: &&str| line.split(|c: char| !c.is_alphanumeric()).any(|w| w == *wanted);
        let hit = { words }.into_iter().find(word);
        let hit = hit.or_else(|| texts.into_iter().find(|text| line.contains(text)));
        let hit = hit.or_else(|| codes.into_iter().find(|text| bare.contains(text)));
        offences.extend(hit.map(|hit| source.offence(number, format!("{hit} left in"))));
    }
    offences
}

/// Rule 6: `anyhow` and printing at the edge only; every channel bounded; a file is a noun of the
/// field.
fn words(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let mut add = |lines: Vec<usize>, what: &str| {
        offences.extend(lines.into_iter().map(|line| source.offence(line, what)));
    };
    if source.path != "main.rs" && !source.path.starts_with("cli/") {
        add(lines_naming(source, "anyhow"), "anyhow outside cli and main");
        for printing in ["println", "eprintln", "print", "eprint"] {
            let lines = source.code.lines().take(source.tests_from).enumerate();
            let prints = lines.filter(|(_, line)| {
                line.split(|c: char| !c.is_alphanumeric() && c != '!')
                    .any(|word| word.strip_suffix('!') == Some(printing))
            });
            add(prints.map(|(line, _)| line).collect(), "printing outside cli and main");
        }
    }
    add(lines_naming(source, "unbounded_channel"), "channel without bound");
    add(lines_naming(source, "unbounded"), "channel without bound");
    add(lines_naming(source, "std::sync::mpsc::channel"), "channel without bound");
    add(bare_channels(&source.code), "channel without bound");
    let vague = ["utils", "util", "helpers", "helper", "common", "misc"];
    if source.module().iter().any(|part| vague.contains(part)) {
        add(vec![0], "the name says nothing: name the noun");
    }
    offences
}

/// Rule 7: one place makes sockets, since what a socket that was made elsewhere sends goes past
/// whatever the user allows.
fn one_way_out(source: &Source) -> Vec<String> {
    let is_test = source.module().contains(&"tests");
    if source.path.starts_with("net/egress/") || is_test {
        return Vec::new();
    }
    let mut offences = Vec::new();
    for name in SOCKETS {
        let may_listen = *name == "TcpListener::bind" && TRIALS.contains(&source.path.as_str());
        let lines = lines_naming(source, name).into_iter().filter(|line| *line < source.tests_from);
        let lines = lines.filter(|_| !may_listen);
        offences.extend(lines.map(|n| source.offence(n, format!("{name} outside net/egress"))));
    }
    for name in UNRULED.iter().filter(|_| !RULELESS.contains(&source.path.as_str())) {
        let lines = lines_naming(source, name).into_iter().filter(|line| *line < source.tests_from);
        offences.extend(lines.map(|n| source.offence(n, format!("{name} knows no rules"))));
    }
    offences.extend(renamed_sockets(source));
    offences
}

/// Imports by which a socket's maker has another name than the one that is looked for.
fn renamed_sockets(source: &Source) -> Vec<String> {
    let tokens = tokens(&source.code);
    let mut offences = Vec::new();
    let mut root = None;
    for (at, (line, word)) in tokens.iter().enumerate() {
        let next = |by: usize| tokens.get(at + by).map(|(_, word)| *word);
        match *word {
            "use" => root = next(1),
            ";" => root = None,
            _ => {}
        }
        let is_client = root == Some("reqwest") && *word == "Client";
        let is_renamed = SOCKET_TYPES.contains(word) && next(1) == Some("as");
        let mut named = tokens[at..].iter().map(|(_, word)| *word).skip(3);
        let is_path = |word: &str| word == "::" || is_name(word);
        let last = named.by_ref().take_while(|word| is_path(word)).last();
        let is_plain = *word == "type" && next(2) == Some("=");
        let is_alias = is_plain && last.is_some_and(|last| SOCKET_TYPES.contains(&last));
        if *line < source.tests_from && (is_client || is_renamed && root.is_some() || is_alias) {
            offences.push(source.offence(*line, "the maker of a socket under another name"));
        }
    }
    offences
}

/// Lines that call `mpsc::channel()` or `mpsc::channel::<T>()`: no argument, no bound.
fn bare_channels(code: &str) -> Vec<usize> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, (line, _)) in tokens.iter().enumerate().filter(|(_, (_, word))| *word == "channel") {
        if at < 2 || tokens[at - 2].1 != "mpsc" {
            continue;
        }
        let mut rest = tokens[at + 1..].iter().map(|(_, word)| *word).peekable();
        if rest.next_if_eq(&"::").is_some() {
            let mut depth = 0i32;
            for word in rest.by_ref() {
                depth += i32::from(word == "<") - i32::from(word == ">");
                if depth == 0 {
                    break;
                }
            }
        }
        if rest.next() == Some("(") && rest.next() == Some(")") {
            found.push(*line);
        }
    }
    found
}

/// Rule 7: README's table of BEPs has a row for every BEP that a file names in its head.
fn bep_table(readme: &str, sources: &[Source]) -> Vec<String> {
    let rows: Vec<&str> =
        readme.lines().filter(|line| line.trim_start().starts_with('|')).collect();
    if !rows.iter().any(|row| row.contains("BEP")) {
        return vec!["README.md:1: no table of BEPs".to_owned()];
    }
    let cell = |row: &&str| row.trim().trim_matches('|').split('|').next().unwrap_or("").to_owned();
    let listed: Vec<u32> = rows.iter().flat_map(|row| numbers(&cell(row))).collect();
    let mut offences = Vec::new();
    for source in sources {
        for (line, text) in source.text.lines().enumerate().filter(|(_, t)| t.starts_with("//!")) {
            let named = text.split("BEP ").skip(1);
            for bep in named.filter_map(|rest| numbers(rest).first().copied()) {
                if !listed.contains(&bep) {
                    let what = format!("BEP {bep} has no row in README's table");
                    offences.push(source.offence(line, what));
                }
            }
        }
    }
    offences
}

fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Rule 8: in the halves of the brain nobody writes the fields of another's struct. So they are
/// closed, but for those of messages.
fn open_fields(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    if !["swarm/crowd/", "swarm/transfer/"].iter().any(|half| source.path.starts_with(half)) {
        return offences;
    }
    let tokens = tokens(&source.code);
    for (at, _) in tokens.iter().enumerate().filter(|(_, (_, word))| *word == "struct") {
        let Some((_, name)) = tokens.get(at + 1) else { continue };
        let body = tokens[at..].iter().skip_while(|(_, word)| !["{", "(", ";"].contains(word));
        let close = body.clone().next().map_or(";", |(_, open)| match *open {
            "{" => "}",
            "(" => ")",
            _ => ";",
        });
        let fields = body.take_while(|(_, word)| *word != close && !MESSAGES.contains(name));
        for (line, _) in fields.filter(|(_, word)| *word == "pub") {
            offences.push(source.offence(*line, format!("{name} lets others write its field")));
        }
    }
    offences
}

/// Rule 9: the files of a room name each other in one direction only. What two of them need of
/// each other stands in a third, below both. A parent that re-exports names its child; one that
/// only declares it does not.
fn circles(sources: &[Source], listed: &[(&str, usize)]) -> Vec<String> {
    let mut rooms: Vec<&str> = listed.iter().map(|(room, _)| *room).collect();
    rooms.extend(sources.iter().filter_map(|source| source.path.split_once('/')).map(|at| at.0));
    rooms.sort_unstable();
    rooms.dedup();
    let mut offences = Vec::new();
    for room in rooms {
        let within = |source: &&Source| source.path.split('/').next() == Some(room);
        let (count, ways) = circles_of(&sources.iter().filter(within).collect::<Vec<_>>());
        let known = listed.iter().find(|(name, _)| *name == room).map_or(0, |(_, count)| *count);
        if count != known {
            offences.push(format!("{room}: {count} files in circles, {known} are listed"));
        }
        if count > known {
            offences.extend(ways);
        }
    }
    offences
}

/// How many files of a room stand in circles, and where each of them names the next.
fn circles_of(room: &[&Source]) -> (usize, Vec<String>) {
    let modules: HashMap<Vec<&str>, usize> =
        room.iter().enumerate().map(|(at, source)| (source.module(), at)).collect();
    let file_of = |path: &[String]| {
        let path: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
        (1..=path.len()).rev().find_map(|len| modules.get(&path[..len]).copied())
    };
    let named: Vec<Vec<(usize, usize)>> = room
        .iter()
        .enumerate()
        .map(|(at, source)| {
            let paths = source.product_paths().filter(|(_, path)| path[0] == "crate");
            let files = paths.filter_map(|(line, path)| Some((line, file_of(&path)?)));
            files.filter(|(_, file)| *file != at).collect()
        })
        .collect();
    // What is reached from each file, itself only if a way leads back.
    let reached: Vec<Vec<bool>> = (0..room.len())
        .map(|from| {
            let (mut seen, mut open) = (vec![false; room.len()], vec![from]);
            while let Some(at) = open.pop() {
                for (_, file) in &named[at] {
                    if !std::mem::replace(&mut seen[*file], true) {
                        open.push(*file);
                    }
                }
            }
            seen
        })
        .collect();
    let mut ways = Vec::new();
    for (at, source) in room.iter().enumerate() {
        for (line, file) in named[at].iter().filter(|(_, file)| reached[*file][at]) {
            ways.push(source.offence(*line, format!("{} leads back", room[*file].path)));
        }
    }
    ways.dedup();
    ((0..room.len()).filter(|at| reached[*at][*at]).count(), ways)
}

/// Every `.rs` file below `folder` of the package, sorted.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut open, mut files) = (vec![root.clone()], Vec::<PathBuf>::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("list a folder of the package");
            open.extend(entries.map(|entry| entry.expect("read a folder's entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("read a source file");
        let below = path.strip_prefix(&root).expect("a path below the folder");
        Source::new(&below.to_string_lossy(), &text)
    };
    files.iter().map(read).collect()
}

#[track_caller]
fn assert_tidy(folder: &str, rule: fn(&Source) -> Vec<String>) {
    let files = sources(folder);
    assert!(!files.is_empty(), "no sources found in {folder}");
    let offences: Vec<String> = files.iter().flat_map(rule).collect();
    let lines: Vec<String> = offences.iter().map(|line| format!("{folder}/{line}")).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn files_import_only_downwards() {
    assert_tidy("src", gravity);
}

#[test]
fn lower_floors_have_clean_hands() {
    assert_tidy("src", clean_hands);
}

#[test]
fn one_lock_and_little_unsafe() {
    assert_tidy("src", locks_and_unsafe);
}

#[test]
fn files_and_functions_keep_their_size() {
    assert_tidy("src", shape);
    assert_tidy("tests", |source| {
        let whole = Source { tests_from: usize::MAX, ..Source::new(&source.path, &source.text) };
        if source.path == "tidy.rs" { Vec::new() } else { shape(&whole) }
    });
}

#[test]
fn nothing_is_left_over() {
    assert_tidy("src", leftovers);
    // This file names the words in order to find them.
    let rule = |source: &Source| if source.path == "tidy.rs" { vec![] } else { leftovers(source) };
    assert_tidy("tests", rule);
}

#[test]
fn words_keep_their_places() {
    assert_tidy("src", words);
}

#[test]
fn sockets_are_made_in_one_place() {
    assert_tidy("src", one_way_out);
}

#[test]
fn fields_of_the_brain_are_their_owners() {
    assert_tidy("src", open_fields);
}

#[test]
fn files_of_a_room_stand_in_no_circle() {
    let offences = circles(&sources("src"), CIRCLES);
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn readme_lists_every_bep() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let Ok(readme) = fs::read_to_string(path) else { return };
    let offences = bep_table(&readme, &sources("src"));
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

mod samples {
    use super::*;

    fn check(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        rule(&Source::new(path, text))
    }

    #[track_caller]
    fn bad(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) {
        assert!(!check(rule, path, text).is_empty(), "passed: {text}");
    }

    #[track_caller]
    fn good(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) {
        assert_eq!(check(rule, path, text), Vec::<String>::new());
    }

    #[test]
    fn upward_and_sideways_imports_are_found() {
        bad(gravity, "swarm/picker.rs", "use crate::disk::Job;");
        bad(gravity, "swarm/picker.rs", "use crate::{base::ids::X, disk::{self, Job}};");
        bad(gravity, "wire/message.rs", "fn f() -> crate::metainfo::Info {}");
        bad(gravity, "disk/job.rs", "use crate::net::tcp;");
        bad(gravity, "tracker/http.rs", "use super::task::Task;");
        bad(gravity, "tracker/mod.rs", "pub mod task;\npub use task::Task;");
        bad(gravity, "torrent/actor.rs", "use crate::session::Handle;");
        bad(gravity, "swarm/crate.rs", "use pigeon_disk::disk;");
        bad(gravity, "disk/crate.rs", "use pigeon_net::net;");
        bad(gravity, "disk/job.rs", "use pigeon_net::net::tcp;");
        bad(gravity, "swarm/tests/behaviour.rs", "use super::super::super::link::Dial;");
        bad(gravity, "cellar/barrel.rs", "");
        bad(gravity, "tracker/barrel.rs", "");
        let found = check(gravity, "base/ids.rs", "//!\nuse crate::wire::X;");
        assert_eq!(found, ["base/ids.rs:2: floor 0 imports crate::wire::X of floor 1"]);
    }

    #[test]
    fn downward_imports_pass() {
        good(gravity, "swarm/picker.rs", "use crate::base::ids::X;\nuse super::peer::Peer;");
        good(gravity, "tracker/task.rs", "use super::{announce::A, http::H, tiers::T};");
        good(gravity, "session/actor.rs", "use crate::torrent::handle::Handle;");
        good(gravity, "bencode/guard.rs", "use crate::base::units;");
        good(gravity, "main.rs", "use pigeon::cli;");
        good(gravity, "dht/crate.rs", "use pigeon_net::net;");
        good(gravity, "link/crate.rs", "use pigeon_web::web;");
        good(gravity, "swarm/crate.rs", "use pigeon_seek::seek;");
        good(
            gravity,
            "base/ids.rs",
            "/// See crate::swarm::Swarm.\nconst A: &str = \"crate::cli::X\";",
        );
    }

    #[test]
    fn unclean_hands_are_found() {
        bad(clean_hands, "wire/decoder.rs", "use tokio::io::AsyncRead;");
        bad(clean_hands, "base/addr.rs", "use std::net::{IpAddr, TcpStream};");
        bad(clean_hands, "metainfo/torrent.rs", "use std::{fs, io};");
        bad(clean_hands, "swarm/mod.rs", "fn f() { let now = Instant::now(); }");
        bad(clean_hands, "tracker/tiers.rs", "fn f() { let mut rng = rand::rng(); }");
        bad(clean_hands, "swarm/mod.rs", "#[cfg(test)]\nmod tests {\nuse std::thread;\n}");
        good(
            clean_hands,
            "swarm/mod.rs",
            "#[cfg(test)]\nmod tests {\nfn f() { Instant::now(); }\n}",
        );
        good(clean_hands, "swarm/tests/choker.rs", "fn f() { Instant::now(); }");
        good(clean_hands, STOPWATCH, "fn f() { Instant::now(); }");
        bad(clean_hands, STOPWATCH, "fn f() { SystemTime::now(); }");
        good(clean_hands, "disk/files.rs", "use std::fs::File;");
        good(clean_hands, "wire/decoder.rs", "//! Not tokio::io.\nuse std::net::SocketAddr;");
    }

    #[test]
    fn locks_and_bare_unsafe_are_found() {
        bad(locks_and_unsafe, "torrent/actor.rs", "use std::sync::{Arc, Mutex};");
        bad(locks_and_unsafe, "torrent/actor.rs", "type A = tokio::sync::RwLock<u8>;");
        bad(locks_and_unsafe, "wire/message.rs", "// SAFETY: no\nunsafe { f() }");
        bad(locks_and_unsafe, "base/digest.rs", "fn f() { unsafe { g() } }");
        good(locks_and_unsafe, "base/digest.rs", "// SAFETY: checked above.\nunsafe { g() }");
        good(locks_and_unsafe, "base/pool.rs", "use std::sync::Mutex;");
    }

    #[test]
    fn shapeless_files_are_found() {
        bad(shape, "a.rs", "fn f() {}");
        bad(shape, "a.rs", &format!("//! A.\n{}", "x;\n".repeat(601)));
        bad(shape, "a.rs", &format!("//! A.\n// {}", "x".repeat(99)));
        bad(shape, "a.rs", &format!("//! A.\nfn f(a: [u8; 4]) {{\n{}}}", "    x;\n".repeat(69)));
        let tests = "\n#[cfg(test)]\nmod tests {\n";
        bad(shape, "a.rs", &format!("//! A.{tests}{}}}", "x;\n".repeat(900)));
        good(shape, "a.rs", &format!("//! A.{tests}{}}}", "x;\n".repeat(800)));
        good(shape, "a.rs", &format!("//! A.\nfn f() {{\n{}}}", "    x;\n".repeat(68)));
        good(shape, "a.rs", &format!("//! A.\n{}{}", "// x\n\n".repeat(900), "x;\n".repeat(600)));
        good(shape, "a.rs", &format!("//! A.\nconst A: &str = \"{}\";", "x".repeat(99)));
    }

    #[test]
    fn leftovers_are_found() {
        for text in ["// TODO: more", "//FIXME", "todo!()", "dbg!(x);", "#[ignore = \"slow\"]"] {
            bad(leftovers, "a.rs", text);
        }
        bad(leftovers, "a.rs", "#![allow(dead_code)]");
        bad(leftovers, "a.rs", "const A: &str = \"/root/x\";");
        good(leftovers, "a.rs", "const A: &str = \"todo!\"; // ignores TODOs");
    }

    #[test]
    fn misplaced_words_are_found() {
        bad(words, "disk/job.rs", "use anyhow::Context;");
        bad(words, "base/utils.rs", "");
        bad(words, "link/bt.rs", "let (a, b) = mpsc::unbounded_channel();");
        bad(words, "link/bt.rs", "let (a, b) = crossbeam_channel::unbounded();");
        bad(words, "link/bt.rs", "use std::sync::mpsc::channel;");
        bad(words, "link/bt.rs", "let (a, b) = mpsc::channel::<Vec<u8>>();");
        good(words, "link/bt.rs", "let (a, b) = mpsc::channel::<Vec<u8>>(16);");
        good(words, "link/bt.rs", "let (a, b) = oneshot::channel();\nfn channel() {}");
        bad(words, "link/bt.rs", "eprintln!(\"{x}\");");
        good(words, "link/bt.rs", "#[cfg(test)]\nmod tests {\nfn f() { println!(); }\n}");
        good(words, "cli/out.rs", "println!();");
        good(words, "cli/print.rs", "use anyhow::Context;");
    }

    #[test]
    fn sockets_made_elsewhere_are_found() {
        bad(one_way_out, "link/a.rs", "fn f() { TcpStream::connect(a); }");
        bad(
            one_way_out,
            "chunk/a.rs",
            "use tokio::net::UdpSocket;\nfn f() { UdpSocket::bind(a); }",
        );
        bad(one_way_out, "net/a.rs", "fn f() { socket2::Socket::new(a, b, c); }");
        bad(one_way_out, "cli/a.rs", "use tokio::net::{TcpStream, lookup_host};");
        bad(one_way_out, "web/a.rs", "fn f() { reqwest::Client::builder(); }");
        for elsewhere in [
            "fn f() { std::net::TcpStream::connect_timeout(a, b); }",
            "fn f() { reqwest::get(a); }",
            "fn f() { reqwest::Client::new(); }",
            "fn f() { reqwest::Client::default(); }",
            "use reqwest::{Client, Url};",
            "use tokio::net::TcpStream as Stream;",
            "use tokio::net::{UdpSocket as Datagrams, TcpListener};",
            "type Stream = tokio::net::TcpStream;",
            "use nix::sys::socket::{MsgFlags, socket};",
            "fn f() { rustix::net::socket(a, b, c); }",
            "fn f() { Egress::default(); }",
            "fn f() { Egress::from_address(None); }",
        ] {
            bad(one_way_out, "web/a.rs", elsewhere);
        }
        good(one_way_out, "session/config.rs", "fn f() { Egress::default(); }");
        good(
            one_way_out,
            "web/a.rs",
            "use crate::net::egress::Client;\nfn f() { Client::new(a); }",
        );
        good(one_way_out, "web/a.rs", "fn f() -> reqwest::Client {}\nfn g(s: Socket) {}");
        good(one_way_out, "net/egress/a.rs", "fn f() { TcpStream::connect(a); }");
        good(one_way_out, TRIALS[0], "fn f() { TcpListener::bind(a); }");
        bad(one_way_out, TRIALS[0], "fn f() { TcpStream::connect(a); }");
        good(one_way_out, "link/tests/a.rs", "fn f() { TcpStream::connect(a); }");
        good(
            one_way_out,
            "link/a.rs",
            "#[cfg(test)]\nmod tests {\nfn f() { TcpStream::connect(a); }\n}",
        );
    }

    #[test]
    fn open_fields_are_found() {
        let found =
            check(open_fields, "swarm/crowd/a.rs", "struct A {\n    a: u8,\n    pub b: u8,\n}");
        assert_eq!(found, ["swarm/crowd/a.rs:3: A lets others write its field"]);
        bad(open_fields, "swarm/transfer/a.rs", "pub struct A<T> {\n    pub(super) a: [T; 4],\n}");
        bad(open_fields, "swarm/transfer/a.rs", "pub struct A(pub(super) u8);");
        good(open_fields, "swarm/transfer/a.rs", "pub struct A {\n    a: u8,\n}\npub fn f() {}");
        good(open_fields, "swarm/transfer/a.rs", "pub struct A(u8);\npub struct B;\npub fn f() {}");
        good(open_fields, "swarm/crowd/a.rs", "pub struct Need {\n    pub a: u8,\n}");
        good(open_fields, "swarm/link.rs", "pub struct A {\n    pub a: u8,\n}");
    }

    fn circles_in(files: &[(&str, &str)], listed: &[(&str, usize)]) -> Vec<String> {
        let files: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        circles(&files, listed)
    }

    #[test]
    fn circles_of_files_are_found() {
        let pair = [("disk/a.rs", "use super::b::B;"), ("disk/b.rs", "fn f() -> super::a::A {}")];
        let found = [
            "disk: 2 files in circles, 0 are listed",
            "disk/a.rs:1: disk/b.rs leads back",
            "disk/b.rs:1: disk/a.rs leads back",
        ];
        assert_eq!(circles_in(&pair, &[]), found);
        let ring = [
            ("disk/a.rs", "use crate::disk::{b::B, d::D};"),
            ("disk/b.rs", "use super::c::f;"),
            ("disk/c/mod.rs", "mod e;\nfn f() { e::g(); }"),
            ("disk/c/e.rs", "use super::super::a;"),
            ("disk/d.rs", ""),
        ];
        let found = circles_in(&ring, &[]);
        assert_eq!(found[0], "disk: 4 files in circles, 0 are listed");
        assert_eq!(found.len(), 5, "{found:?}");
        let told = [("disk/mod.rs", "mod a;\npub use a::A;"), ("disk/a.rs", "use super::Error;")];
        assert!(!circles_in(&told, &[]).is_empty());
    }

    #[test]
    fn a_list_of_circles_only_shrinks() {
        let pair = [("disk/a.rs", "use super::b::B;"), ("disk/b.rs", "use super::a::A;")];
        assert!(circles_in(&pair, &[("disk", 2)]).is_empty());
        assert_eq!(circles_in(&pair, &[("disk", 3)]), ["disk: 2 files in circles, 3 are listed"]);
        assert_eq!(circles_in(&[], &[("disk", 2)]), ["disk: 0 files in circles, 2 are listed"]);
    }

    #[test]
    fn what_is_no_circle_passes() {
        let rooms = [("disk/a.rs", "use crate::os::b::B;"), ("os/b.rs", "use crate::disk::a::A;")];
        let tests = "fn f() {}\n#[cfg(test)]\nfn g(\n    a: super::a::A,\n) {\n}\nfn h() {}\n\
            #[cfg(test)]\nmod tests {\n    use super::super::a;\n}";
        for files in [
            [("disk/mod.rs", "pub mod a;"), ("disk/a.rs", "use super::Error;")],
            [("disk/a.rs", "use super::b::B;"), ("disk/b.rs", tests)],
            [("disk/a.rs", "use super::b::B;"), ("disk/tests/b.rs", "use super::super::a::A;")],
            [("disk/mod.rs", "use self::a::A;"), ("disk/a.rs", "pub(in crate::disk) fn f() {}")],
            [("disk/a.rs", "use super::b::B;"), ("disk/b.rs", "use self::B::C;\nuse std::a;")],
            rooms,
        ] {
            assert_eq!(circles_in(&files, &[]), Vec::<String>::new());
        }
        let item = "#[cfg(test)]\npub use super::a::A;\nuse super::a::B;";
        let behind = [("disk/a.rs", "use super::b::B;"), ("disk/b.rs", item)];
        assert_eq!(circles_in(&behind, &[]).last().unwrap(), "disk/b.rs:3: disk/a.rs leads back");
    }

    #[test]
    fn a_bep_without_row_is_found() {
        let readme = "| BEP | state |\n|---|---|\n| [3](x) The protocol | all |\n";
        let file = |text| [Source::new("wire/message.rs", text)];
        assert_eq!(bep_table(readme, &file("//! Messages (BEP 3).")), Vec::<String>::new());
        let found = bep_table(readme, &file("//! Messages (BEP 3, BEP 6)."));
        assert_eq!(found, ["wire/message.rs:1: BEP 6 has no row in README's table"]);
        assert!(!bep_table("# Pigeon", &file("//! A")).is_empty());
    }

    #[test]
    fn literals_and_comments_are_blanked() {
        let text = "a /* b\n */ c \"d\\\"e\" 'f' '\\'' &'g r#\"h\"i\"# // j\nk";
        let kept: Vec<&str> = tokens_of(text);
        assert_eq!(kept, ["a", "c", "&", "'", "g", "k"]);
    }

    fn tokens_of(text: &str) -> Vec<&str> {
        let code: &'static str = Box::leak(blank(text).into_boxed_str());
        tokens(code).into_iter().map(|(_, word)| word).collect()
    }
}
