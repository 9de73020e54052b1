//! The `peers` screen: a table of links, or of everything known.

use std::net::SocketAddr;

use crate::base::units::{duration, rate};
use crate::cli::escape::{escape, fit, shorten};
use crate::swarm::SeekerLink;
use crate::swarm::event::Source;
use crate::swarm::report::Known;
use crate::torrent::status::{Method, PeerStatus, SourceStatus};

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
pub fn peers_screen(
    peers: &[PeerStatus],
    sources: &[SourceStatus],
    all: bool,
    columns: usize,
) -> String {
    let sources: Vec<_> = sources.iter().filter(|source| source.links > 0).collect();
    let mut connected: Vec<&PeerStatus> = peers.iter().filter(|peer| peer.connected).collect();
    let speed = |peer: &PeerStatus| std::cmp::Reverse((peer.down_rate, peer.up_rate));
    connected.sort_by_key(|peer| (speed(peer), peer.address));
    let known: Vec<&PeerStatus> = peers.iter().filter(|peer| !peer.connected).collect();
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
            screen += &absent_row(peer, columns);
        }
    }
    if shown < connected.len() {
        screen += &format!("({} more: peers -a)\n", connected.len() - shown);
    }
    screen += &legend(&FLAGS, columns);
    if !sources.is_empty() {
        screen += &legend(&["W web source (web tells more)"], columns);
    }
    let is_found =
        |peer: &&PeerStatus| matches!(peer.source, Some(Source::Pex | Source::Lan | Source::Dht));
    if connected[..shown].iter().any(is_found) {
        let found = ["X named by another peer", "H by the DHT", "L in the local network"];
        screen += &legend(&found, columns);
    }
    if connected[..shown].iter().any(|peer| peer.mse.is_some()) {
        screen += &legend(&["E encrypted", "e only its handshake was"], columns);
    }
    screen
}

/// That nobody is connected, and what became of one who is known, if that is known.
fn nobody_words(known: &[&PeerStatus], columns: usize) -> String {
    let is_lost = |peer: &&&PeerStatus| peer.banned || peer.last_error.is_some();
    let words = match known.iter().find(is_lost) {
        None => format!("{NOBODY} ({ALL_LISTED})"),
        Some(peer) => {
            let (address, why) = (peer.address, escape(&absence(peer)));
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
        let peer = PeerStatus {
            last_error: last_error.clone(),
            left: *left,
            ..PeerStatus::unconnected(*address)
        };
        screen += &absent_row(&peer, columns);
    }
    screen
}

/// A known peer, and why it is not connected; whole, since that is what one looks for.
fn absent_row(peer: &PeerStatus, columns: usize) -> String {
    let line = format!("{:<ADDRESS$} {}", peer.address.to_string(), escape(&absence(peer)));
    // Where the reason would have half the line or less it has the next one.
    let indent = if columns > 2 * ADDRESS { ADDRESS + 1 } else { 2 };
    wrap(&line, columns, indent) + "\n"
}

/// Why a known peer is not connected, and until when it was.
fn absence(peer: &PeerStatus) -> String {
    // The address stands before it already.
    let why = peer.last_error.as_deref().map(|why| without_address(why, peer.address));
    match peer.left {
        _ if peer.banned => "banned: it sent corrupt data".to_owned(),
        None => why.unwrap_or("not connected yet").to_owned(),
        Some(ago) => {
            format!("left {} ago: {}", duration(ago), why.unwrap_or("no reason is known"))
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
fn source_cells(source: &SourceStatus) -> [String; 6] {
    let flags = if source.busy > 0 { "DW" } else { "W" };
    let links = counted(source.links.into(), "connection");
    let down = rate(source.down_rate);
    [source.site.clone(), links, "-".into(), down, "-".into(), flags.into()]
}

fn cells(peer: &PeerStatus) -> [String; 6] {
    let mut flags = String::new();
    match (peer.interesting, peer.choking) {
        (true, false) => flags.push('D'),
        (true, true) => flags.push('d'),
        (false, _) => {}
    }
    match (peer.interested, peer.choked_by_us) {
        (true, false) => flags.push('U'),
        (true, true) => flags.push('u'),
        (false, _) => {}
    }
    let is_by = |source| peer.source == Some(source);
    for (holds, flag) in [
        (peer.incoming, 'I'),
        (peer.snubbed, 'S'),
        (is_by(Source::Pex), 'X'),
        (is_by(Source::Lan), 'L'),
        (is_by(Source::Dht), 'H'),
        (peer.mse == Some(Method::Rc4), 'E'),
        (peer.mse == Some(Method::Plaintext), 'e'),
    ] {
        if holds {
            flags.push(flag);
        }
    }
    [
        peer.address.to_string(),
        peer.client.clone(),
        // Rounded down: 100 % means a seed.
        format!("{:.0}%", (peer.have * 100.0).floor()),
        rate(peer.down_rate),
        rate(peer.up_rate),
        flags,
    ]
}

/// What flags mean, none of it cut in two where a line ends.
pub fn legend(parts: &[&str], columns: usize) -> String {
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
pub fn peer_row(cells: &[String; 6], columns: usize) -> String {
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
    use crate::torrent::status::{SourceScope, SourceState};

    fn peer(address: &str, client: &str, down_rate: u64) -> PeerStatus {
        PeerStatus {
            address: address.parse().unwrap(),
            connected: true,
            client: client.into(),
            have: 1.0,
            down_rate,
            up_rate: 0,
            downloaded_bytes: 0,
            uploaded_bytes: 0,
            choked_by_us: true,
            requests: (0, 0),
            latency: None,
            incoming: false,
            choking: false,
            interesting: true,
            interested: false,
            snubbed: false,
            mse: None,
            source: None,
            last_error: None,
            left: None,
            banned: false,
        }
    }

    fn sample() -> Vec<PeerStatus> {
        let mut choked = peer("198.51.100.24:6881", "qBittorrent 5.1.2", 0);
        choked.choking = true;
        choked.incoming = true;
        (choked.interested, choked.choked_by_us) = (true, false);
        choked.snubbed = true;
        choked.have = 0.999;
        choked.up_rate = 122_880;
        let mut gone = peer("192.0.2.1:1", "", 0);
        gone.connected = false;
        gone.last_error = Some("connection \x1b[1mrefused".into());
        let mut fast = peer("203.0.113.7:51413", "evil\u{202e}client", 2_202_010);
        (fast.interested, fast.choked_by_us) = (true, true);
        fast.source = Some(Source::Tracker);
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
        (peers[0].source, peers[2].source) = (Some(Source::Pex), Some(Source::Lan));
        peers[3].source = Some(Source::Dht);
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
        peers[0].mse = Some(Method::Rc4);
        peers[2].mse = Some(Method::Plaintext);
        let screen = peers_screen(&peers, &[], false, 80);
        assert!(screen.contains("E\n") && screen.contains("e\n"), "{screen}");
        assert!(screen.ends_with(legend), "{screen}");
    }

    #[test]
    fn servers_of_files_stand_behind_the_peers() {
        let source = |links, busy| SourceStatus {
            site: "mirror.example:8080".to_owned(),
            url: "http://mirror.example:8080/".to_owned(),
            scope: SourceScope::All,
            state: SourceState::Fit,
            links,
            busy,
            coming: 1,
            down_rate: 1 << 20,
            downloaded_bytes: 0,
            files: Vec::new(),
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
        let address = "192.0.2.1:1".parse().unwrap();
        let mut left = PeerStatus::unconnected(address);
        let said = |peer: &PeerStatus| {
            let screen = peers_screen(std::slice::from_ref(peer), &[], true, 80);
            screen.lines().nth(1).unwrap()[25..].to_owned()
        };
        assert_eq!(said(&left), "not connected yet");
        left.last_error = Some("cannot connect to 192.0.2.1:1: refused".to_owned());
        assert_eq!(said(&left), "refused");
        left.last_error = Some("the peer closed the connection".to_owned());
        left.left = Some(std::time::Duration::from_secs(12));
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
        let peer = PeerStatus {
            last_error: Some(why.to_owned()),
            ..PeerStatus::unconnected("192.0.2.1:1".parse().unwrap())
        };
        let other = PeerStatus::unconnected("192.0.2.2:1".parse().unwrap());
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
        let many: Vec<PeerStatus> =
            (1..33).map(|port| peer(&format!("192.0.2.9:{port}"), "x", 0)).collect();
        assert!(peers_screen(&many, &[], false, 80).contains("\n(12 more: peers -a)\nD sends"));
        assert_eq!(peers_screen(&many, &[], true, 80).lines().count(), 34);
        assert_eq!(
            peers_screen(&[], &[], false, 80),
            "no peers connected (peers -a lists all known ones)\n"
        );
    }
}
