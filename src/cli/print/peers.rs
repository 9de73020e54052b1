//! The `peers` screen: a table of links, or of everything known.

use std::net::SocketAddr;
use std::time::Duration;

use crate::api::{Peer, Source};
use crate::base::units::{duration, rate};
use crate::base::url::Url;
use crate::cli::escape::{escape, fit, shorten};
use crate::swarm::SeekerLink;
use crate::swarm::report::Known;

use super::{counted, wrap};

/// Rows shown without `-a`.
const ROWS: usize = 20;
/// Columns of the full table.
const FULL: usize = 80;

/// Columns of an address, where there is room for it.
const ADDRESS: usize = 24;
/// Columns of what always stands beside it: a rate and flags.
const BESIDE: usize = 1 + 12 + 2 + 6;
/// What flags mean.
const FLAGS: [&str; 6] =
    ["D sends to us", "d chokes us", "U receives", "u choked by us", "I incoming", "S snubbed"];

const NOBODY: &str = "no peers connected";
const ALL_LISTED: &str = "peers -a lists all known ones";

/// The screen of `peers`: connected peers, the fastest first; with `all` every known one.
/// Servers of files that have a connection stand with them; `web` tells more of all of those.
pub fn peers_screen(peers: &[Peer], sources: &[Source], all: bool, columns: usize) -> String {
    let sources: Vec<_> = sources.iter().filter(|source| source.connections > 0).collect();
    let mut connected: Vec<&Peer> = peers.iter().filter(|peer| peer.connected).collect();
    let speed = |peer: &Peer| std::cmp::Reverse((peer.down_rate, peer.up_rate));
    connected.sort_by_key(|peer| (speed(peer), peer.address.parse::<SocketAddr>().ok()));
    let known: Vec<&Peer> = peers.iter().filter(|peer| !peer.connected).collect();
    match (connected.is_empty() && sources.is_empty(), all) {
        (true, false) => return nobody_words(&known, columns),
        (true, true) if known.is_empty() => {
            let words = "no peers known (announce asks the trackers, add-peer ADDR adds one)\n";
            return words.to_owned();
        }
        _ => {}
    }
    let shown = if all { connected.len() } else { connected.len().min(ROWS) };
    let head = ["ADDRESS", "CLIENT", "HAVE", "DOWN", "UP", "FLAGS"].map(String::from);
    let mut screen = peer_row(&head, columns);
    for peer in &connected[..shown] {
        screen += &peer_row(&cells(peer), columns);
    }
    for source in &sources {
        screen += &peer_row(&source_cells(source), columns);
    }
    if all {
        for peer in known {
            screen += &Absent::of(peer).row(columns);
        }
    }
    if shown < connected.len() {
        screen += &format!("({} more: peers -a)\n", connected.len() - shown);
    }
    screen += &legend(&FLAGS, columns);
    if !sources.is_empty() {
        screen += &legend(&["W web source (web tells more)"], columns);
    }
    let is_found = |peer: &&Peer| finder(peer).is_some();
    if connected[..shown].iter().any(is_found) {
        let found = ["X named by another peer", "H by the DHT", "L in the local network"];
        screen += &legend(&found, columns);
    }
    if connected[..shown].iter().any(|peer| peer.encryption.is_some()) {
        screen += &legend(&["E encrypted", "e only its handshake was"], columns);
    }
    screen
}

/// That nobody is connected, and what became of one who is known, if that is known.
fn nobody_words(known: &[&Peer], columns: usize) -> String {
    let is_lost = |peer: &&&Peer| peer.banned || peer.error.is_some();
    let words = match known.iter().find(is_lost) {
        None => format!("{NOBODY} ({ALL_LISTED})"),
        Some(peer) => {
            let (address, why) = (escape(&peer.address), escape(&Absent::of(peer).words()));
            let count = counted(known.len() as u64, "known one");
            format!("{NOBODY} of {count}; {address}: {why} ({ALL_LISTED})")
        }
    };
    wrap(&words, columns, 2) + "\n"
}

/// The screen of `peers` while the metadata is sought: who is connected, and who has it; with `all`
/// every known one.
pub fn seekers_screen(links: &[SeekerLink], known: &[Known], all: bool, columns: usize) -> String {
    let known: &[Known] = if all { known } else { &[] };
    if links.is_empty() && known.is_empty() {
        return match all {
            true => "no peers known (add-peer ADDR adds one)\n".to_owned(),
            false => format!("{NOBODY} ({ALL_LISTED})\n"),
        };
    }
    let row = |address: &str, client: &str, has: &str| {
        let line = format!("{} {} {has}", fit(address, 24), fit(client, 17));
        shorten(line.trim_end(), columns) + "\n"
    };
    let mut screen = row("ADDRESS", "CLIENT", "METADATA");
    for link in links {
        let has = match (link.is_holder, link.incoming) {
            (true, false) => "has it",
            (true, true) => "has it, connected to us",
            (false, false) => "lacks it",
            (false, true) => "lacks it, connected to us",
        };
        screen += &row(&link.address.to_string(), &link.client, has);
    }
    for Known { address, last_error, left } in known {
        let absent = Absent {
            address: &address.to_string(),
            banned: false,
            error: last_error.as_deref(),
            left: *left,
        };
        screen += &absent.row(columns);
    }
    screen
}

/// A known peer that is not connected.
struct Absent<'a> {
    address: &'a str,
    banned: bool,
    error: Option<&'a str>,
    left: Option<Duration>,
}

impl<'a> Absent<'a> {
    fn of(peer: &'a Peer) -> Self {
        let (error, left) = (peer.error.as_deref(), peer.left_s.map(Duration::from_secs));
        Self { address: &peer.address, banned: peer.banned, error, left }
    }

    /// It, and why it is not connected; whole, since that is what one looks for.
    fn row(&self, columns: usize) -> String {
        let line = format!("{:<ADDRESS$} {}", escape(self.address), escape(&self.words()));
        // Where the reason would have half the line or less it has the next one.
        let indent = if columns > 2 * ADDRESS { ADDRESS + 1 } else { 2 };
        wrap(&line, columns, indent) + "\n"
    }

    /// Why it is not connected, and until when it was.
    fn words(&self) -> String {
        // The address stands before it already.
        let address = self.address.parse().ok();
        let why = self.error.map(|why| match address {
            Some(address) => without_address(why, address),
            None => why,
        });
        match self.left {
            _ if self.banned => "banned: it sent corrupt data".to_owned(),
            None => why.unwrap_or("not connected yet").to_owned(),
            Some(ago) => {
                format!("left {} ago: {}", duration(ago), why.unwrap_or("no reason is known"))
            }
        }
    }
}

/// An error of a dial without the address that was dialled.
pub fn without_address(why: &str, address: SocketAddr) -> &str {
    let dialled = why.strip_prefix("cannot connect to ");
    let rest = dialled.and_then(|rest| rest.strip_prefix(&address.to_string()));
    rest.and_then(|rest| rest.strip_prefix(": ")).unwrap_or(why)
}

/// One row for all connections to a server of files.
fn source_cells(source: &Source) -> [String; 6] {
    let flags = if source.busy > 0 { "DW" } else { "W" };
    let links = counted(source.connections.into(), "connection");
    let down = rate(source.down_rate);
    let url = Url::parse(&source.url);
    let site = url.map_or_else(|| source.url.clone(), |url| url.origin().site().to_string());
    [site, links, "-".into(), down, "-".into(), flags.into()]
}

/// Who named a peer, where that was none of those who are asked for peers.
fn finder(peer: &Peer) -> Option<char> {
    match peer.source.as_deref()? {
        "exchange" => Some('X'),
        "local" => Some('L'),
        "dht" => Some('H'),
        _ => None,
    }
}

fn cells(peer: &Peer) -> [String; 6] {
    let mut flags = String::new();
    match (peer.interesting, peer.choking) {
        (true, false) => flags.push('D'),
        (true, true) => flags.push('d'),
        (false, _) => {}
    }
    match (peer.interested, peer.choked) {
        (true, false) => flags.push('U'),
        (true, true) => flags.push('u'),
        (false, _) => {}
    }
    let hidden = match peer.encryption.as_deref() {
        Some("rc4") => Some('E'),
        Some(_) => Some('e'),
        None => None,
    };
    flags.extend(peer.incoming.then_some('I'));
    flags.extend(peer.snubbed.then_some('S'));
    flags.extend(finder(peer));
    flags.extend(hidden);
    [
        escape(&peer.address),
        peer.client.clone(),
        // Rounded down: 100 % means a seed.
        format!("{:.0}%", (peer.progress * 100.0).floor()),
        rate(peer.down_rate),
        rate(peer.up_rate),
        flags,
    ]
}

/// What flags mean, none of it cut in two where a line ends.
fn legend(parts: &[&str], columns: usize) -> String {
    let (mut lines, mut used) = (String::new(), 0);
    for part in parts {
        let gap = if used == 0 { "" } else { "  " };
        if used > 0 && used + gap.len() + part.len() > columns {
            lines += "\n";
            (lines, used) = (lines + part, part.len());
        } else {
            lines += &format!("{gap}{part}");
            used += gap.len() + part.len();
        }
    }
    lines + "\n"
}

/// One row. Below [`FULL`] columns first UP goes, then CLIENT, then HAVE, then a part of ADDRESS.
fn peer_row(cells: &[String; 6], columns: usize) -> String {
    let [address, client, have, down, up, flags] = cells;
    let room = columns.saturating_sub(BESIDE).clamp(1, ADDRESS);
    let mut line = format!("{} ", fit(address, room));
    if columns >= FULL - 13 {
        line += &format!("{} ", fit(client, 17));
    }
    if columns >= FULL - 30 {
        line += &format!("{have:>4} ");
    }
    line += &format!("{down:>12}");
    if columns >= FULL {
        line += &format!(" {up:>12}");
    }
    line += &format!("  {flags}");
    shorten(line.trim_end(), columns) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    fn peer(address: &str, client: &str, down_rate: u64) -> Peer {
        Peer {
            address: address.into(),
            client: client.into(),
            connected: true,
            incoming: false,
            encrypted: false,
            progress: 1.0,
            down_rate,
            up_rate: 0,
            received_bytes: 0,
            sent_bytes: 0,
            choking: false,
            choked: true,
            interesting: true,
            interested: false,
            source: None,
            snubbed: false,
            encryption: None,
            banned: false,
            error: None,
            left_s: None,
        }
    }

    /// A known address without a connection.
    fn absent(address: &str) -> Peer {
        Peer { connected: false, ..peer(address, "", 0) }
    }

    fn sample() -> Vec<Peer> {
        let mut choked = peer("198.51.100.24:6881", "qBittorrent 5.1.2", 0);
        choked.choking = true;
        choked.incoming = true;
        (choked.interested, choked.choked) = (true, false);
        choked.snubbed = true;
        choked.progress = 0.999;
        choked.up_rate = 122_880;
        let mut gone = absent("192.0.2.1:1");
        gone.error = Some("connection \x1b[1mrefused".into());
        let mut fast = peer("203.0.113.7:51413", "evil\u{202e}client", 2_202_010);
        (fast.interested, fast.choked) = (true, true);
        fast.source = Some("tracker".into());
        vec![choked, gone, fast, peer("[2001:db8::7]:6881", "libtorrent 2.0.11", 1_048_000)]
    }

    #[test]
    fn who_has_the_metadata_is_shown() {
        let link = |address: &str, is_holder, incoming| SeekerLink {
            address: address.parse().unwrap(),
            client: "a\x1bb".to_owned(),
            incoming,
            is_holder,
        };
        let links = [link("192.0.2.1:5", true, false), link("[::1]:6", false, true)];
        let known = Known {
            address: "192.0.2.9:7".parse().unwrap(),
            last_error: Some("connection refused".to_owned()),
            left: None,
        };
        let expected = "\
ADDRESS                  CLIENT            METADATA
192.0.2.1:5              a\\x1bb            has it
[::1]:6                  a\\x1bb            lacks it, connected to us
192.0.2.9:7              connection refused
";
        assert_eq!(seekers_screen(&links, std::slice::from_ref(&known), true, 80), expected);
        assert!(!seekers_screen(&links, &[known], false, 80).contains("refused"));
        assert!(seekers_screen(&[], &[], false, 80).contains("peers -a"));
    }

    #[test]
    fn the_fastest_come_first() {
        let expected = "\
ADDRESS                  CLIENT            HAVE         DOWN           UP  FLAGS
203.0.113.7:51413        evil\\u{202e}clie… 100%    2.1 MiB/s        0 B/s  Du
[2001:db8::7]:6881       libtorrent 2.0.11 100% 1023.4 KiB/s        0 B/s  D
198.51.100.24:6881       qBittorrent 5.1.2  99%        0 B/s  120.0 KiB/s  dUIS
D sends to us  d chokes us  U receives  u choked by us  I incoming  S snubbed
";
        assert_eq!(peers_screen(&sample(), &[], false, 80), expected);
    }

    #[test]
    fn who_was_named_by_others_is_marked() {
        let mut peers = sample();
        for (at, source) in [(0, "exchange"), (2, "local"), (3, "dht")] {
            peers[at].source = Some(source.into());
        }
        let screen = peers_screen(&peers, &[], false, 80);
        assert!(screen.contains("  dUISX\n") && screen.contains("  DuL\n"), "{screen}");
        assert!(screen.contains("  DH\n"), "{screen}");
        let legend = "X named by another peer  H by the DHT  L in the local network\n";
        assert!(screen.ends_with(legend), "{screen}");
    }

    #[test]
    fn what_is_encrypted_is_marked_and_only_then_explained() {
        let legend = "E encrypted  e only its handshake was\n";
        assert!(!peers_screen(&sample(), &[], false, 80).contains(legend));
        let mut peers = sample();
        peers[0].encryption = Some("rc4".into());
        peers[2].encryption = Some("plaintext".into());
        let screen = peers_screen(&peers, &[], false, 80);
        assert!(screen.contains("E\n") && screen.contains("e\n"), "{screen}");
        assert!(screen.ends_with(legend), "{screen}");
    }

    #[test]
    fn servers_of_files_stand_behind_the_peers() {
        let source = |connections, busy| Source {
            url: "http://mirror.example:8080/".to_owned(),
            connections,
            busy,
            down_rate: 1 << 20,
            received_bytes: 0,
        };
        let expected = "\
ADDRESS                  CLIENT            HAVE         DOWN           UP  FLAGS
mirror.example:8080      3 connections        -    1.0 MiB/s            -  DW
mirror.example:8080      1 connection         -    1.0 MiB/s            -  W
D sends to us  d chokes us  U receives  u choked by us  I incoming  S snubbed
W web source (web tells more)
";
        let sources = [source(3, 1), source(0, 0), source(1, 0)];
        assert_eq!(peers_screen(&[], &sources, false, 80), expected);
        assert!(peers_screen(&[], &sources[1..2], false, 80).starts_with("no peers connected"));
    }

    #[test]
    fn all_shows_the_known_ones_with_their_last_error() {
        let screen = peers_screen(&sample(), &[], true, 80);
        let line = "192.0.2.1:1              connection \\x1b[1mrefused\n";
        assert!(screen.contains(line), "{screen}");
    }

    #[test]
    fn who_left_or_is_banned_is_told_and_nobody_is_sent_round_in_a_circle() {
        let mut left = absent("192.0.2.1:1");
        let said = |peer: &Peer| {
            let screen = peers_screen(std::slice::from_ref(peer), &[], true, 80);
            screen.lines().nth(1).unwrap()[25..].to_owned()
        };
        assert_eq!(said(&left), "not connected yet");
        left.error = Some("cannot connect to 192.0.2.1:1: refused".to_owned());
        assert_eq!(said(&left), "refused");
        left.error = Some("the peer closed the connection".to_owned());
        left.left_s = Some(12);
        assert_eq!(said(&left), "left 12s ago: the peer closed the connection");
        left.banned = true;
        assert_eq!(said(&left), "banned: it sent corrupt data");
        let none = "no peers known (announce asks the trackers, add-peer ADDR adds one)\n";
        assert_eq!(peers_screen(&[], &[], true, 80), none);
    }

    #[test]
    fn why_nobody_is_connected_is_told_whole() {
        let why = "the connection broke during the handshake; it may not know encryption, which is \
                   required here";
        let peer = Peer { error: Some(why.to_owned()), ..absent("192.0.2.1:1") };
        let other = absent("192.0.2.2:1");
        let joined = |screen: String| screen.split_whitespace().collect::<Vec<_>>().join(" ");
        for columns in [80, 40] {
            let screen = peers_screen(std::slice::from_ref(&peer), &[], true, columns);
            assert!(screen.lines().all(|line| line.chars().count() <= columns), "{screen}");
            assert!(joined(screen).contains(&format!("192.0.2.1:1 {why} D sends")));
            let screen = peers_screen(&[other.clone(), peer.clone()], &[], false, columns);
            assert!(screen.lines().all(|line| line.chars().count() <= columns), "{screen}");
            let expected = format!(
                "no peers connected of 2 known ones; 192.0.2.1:1: {why} (peers -a lists all known \
                 ones)"
            );
            assert_eq!(joined(screen), expected);
        }
        let alone = peers_screen(&[other], &[], false, 80);
        assert_eq!(alone, "no peers connected (peers -a lists all known ones)\n");
    }

    #[test]
    fn narrow_terminals_lose_columns_and_never_wrap() {
        for columns in [80, 60, 45, 40, 20] {
            let screen = peers_screen(&sample(), &[], true, columns);
            assert!(screen.lines().all(|line| line.chars().count() <= columns), "{screen}");
        }
        let expected = "\
ADDRESS                     DOWN  FLAGS
203.0.113.7:51413      2.1 MiB/s  Du
[2001:db8::7]:6881  1023.4 KiB/s  D
198.51.100.24:6881         0 B/s  dUIS
D sends to us  d chokes us  U receives
u choked by us  I incoming  S snubbed
";
        assert_eq!(peers_screen(&sample(), &[], false, 40), expected);
        assert!(!peers_screen(&sample(), &[], false, 60).contains("CLIENT"));
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let many: Vec<Peer> =
            (1..33).map(|port| peer(&format!("192.0.2.9:{port}"), "x", 0)).collect();
        assert!(peers_screen(&many, &[], false, 80).contains("\n(12 more: peers -a)\nD sends"));
        assert_eq!(peers_screen(&many, &[], true, 80).lines().count(), 34);
        assert_eq!(
            peers_screen(&[], &[], false, 80),
            "no peers connected (peers -a lists all known ones)\n"
        );
    }
}
