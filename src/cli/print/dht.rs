//! The DHT in words: a line of `status` and `why`, the screen of `dht`, and the same for programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::base::units::duration;
use crate::dht::task::{Look, Standing};
use crate::dht::{Haste, Health, Walking};
use crate::torrent::status::DhtStatus;

use super::counted;
use crate::cli::escape::shorten;

/// Silence that is worth a word: a round trip is over within it.
const SILENCE_SHOWN: Duration = Duration::from_secs(5);
/// Lookups that are shown.
const LOOKUPS_SHOWN: usize = 10;
/// Nodes of a lookup that are shown.
const WAITED_SHOWN: usize = 4;

/// `312 nodes, announced 4m ago at 8 nodes`.
pub fn dht_words(dht: &DhtStatus) -> String {
    format!("{}, {}", dht_reach(dht), announced_words(dht))
}

/// Whether others find the torrent there: `announced 4m ago at 8 nodes`.
pub fn announced_words(dht: &DhtStatus) -> String {
    match dht.announced {
        Some((ago, nodes)) => {
            format!("announced {} ago at {}", duration(ago), counted(nodes as u64, "node"))
        }
        None => "not announced yet".to_owned(),
    }
}

/// What nodes tell of a swarm (BEP 33): `about 48 seeds and 20 leechers`.
pub fn swarm_words((seeds, leechers): (usize, usize)) -> String {
    let (seeds, leechers) = (counted(seeds as u64, "seed"), counted(leechers as u64, "leecher"));
    format!("about {seeds} and {leechers}")
}

/// The line of the screen about the torrent's swarm.
pub fn swarm_line(swarm: Option<(usize, usize)>) -> String {
    match swarm {
        Some(swarm) => format!("swarm {}\n", swarm_words(swarm)),
        None => "swarm no node has told how many there are\n".to_owned(),
    }
}

/// Whom it reaches: `312 nodes`.
pub fn dht_reach(dht: &DhtStatus) -> String {
    let silent = dht.silent.filter(|silent| *silent >= SILENCE_SHOWN);
    match (dht.nodes, silent) {
        (_, Some(silent)) => format!("has not answered for {}", duration(silent)),
        (0, None) => "knows no node yet".to_owned(),
        (nodes, None) => counted(nodes as u64, "node"),
    }
}

/// The screen of `dht`: each family, and the lookups under way.
pub fn dht_screen(standing: &Standing, look: &Look, columns: usize) -> String {
    let mut screen = String::new();
    for (family, health) in [("IPv4", &standing.four), ("IPv6", &standing.six)] {
        if let Some(health) = health {
            screen += &health_lines(family, health);
        }
    }
    for walking in look.lookups.iter().take(LOOKUPS_SHOWN) {
        screen += &(shorten(&walking_line(walking), columns) + "\n");
    }
    if look.lookups.len() > LOOKUPS_SHOWN {
        screen += &format!("({} more lookups)\n", look.lookups.len() - LOOKUPS_SHOWN);
    }
    screen
}

fn health_lines(family: &str, health: &Health) -> String {
    let mut lines = format!(
        "{family}  {} {}, {} known, {} hinted at; {} taking part\n      \
         datagrams a second: {} in, {} out; {} under way for {}\n",
        counted(health.good as u64, "node"),
        if health.good == 1 { "answers" } else { "answer" },
        health.known,
        health.hints,
        // A hybrid torrent has two.
        counted(health.announced as u64, "info hash").replace("hashs", "hashes"),
        health.rates.0,
        health.rates.1,
        counted(health.asked as u64, "query").replace("querys", "queries"),
        counted(health.lookups as u64, "lookup"),
    );
    let mut more = vec![format!("id {}", health.id)];
    if let Some(address) = health.public {
        more.push(format!("seen as {address}"));
    }
    if health.read_only {
        more.push("others do not reach us".to_owned());
    }
    if health.late >= Duration::from_secs(60) {
        more.push(format!("announces are {} late", duration(health.late)));
    }
    if let Some(silent) = health.silent.filter(|silent| *silent >= SILENCE_SHOWN) {
        more.push(format!("nobody has answered for {}", duration(silent)));
    }
    lines += &format!("      {}\n", more.join(", "));
    lines
}

/// `lookup 6f84758b…: 12 of 14 answered, 3 peers; waits for 192.0.2.1:6881 (slow)`.
fn walking_line(walking: &Walking) -> String {
    let target: String = walking.target.to_string().chars().take(8).collect();
    let urgent = if walking.haste == Haste::Urgent { ", urgent" } else { "" };
    let mut line = format!(
        "lookup {target}... for {}{urgent}: {} of {} answered, {}",
        duration(walking.age),
        walking.tally.answered,
        walking.tally.asked,
        counted(walking.tally.peers as u64, "peer"),
    );
    let waits = walking.waits_for.iter().take(WAITED_SHOWN);
    let waits: Vec<String> = waits
        .map(|(address, is_slow)| format!("{address}{}", if *is_slow { " (slow)" } else { "" }))
        .collect();
    if !waits.is_empty() {
        line += &format!("; waits for {}", waits.join(", "));
    }
    line
}

/// The nodes and how the DHT fares as one JSON object.
pub fn dht_json(standing: &Standing, look: &Look) -> Value {
    let family = |health: &Health| {
        json!({
            "id": health.id.to_string(),
            "good": health.good,
            "known": health.known,
            "hints": health.hints,
            "announced": health.announced,
            "address": health.public.map(|address| address.to_string()),
            "read_only": health.read_only,
        })
    };
    let nodes = look.contacts.iter().map(|contact| {
        json!({
            "id": contact.id.to_string(),
            "address": contact.address.to_string(),
            "round_trip": contact.round_trip.map(|time| time.as_secs_f64()),
            "heard": contact.heard.as_secs_f64(),
        })
    });
    json!({
        "ipv4": standing.four.as_ref().map(family),
        "ipv6": standing.six.as_ref().map(family),
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_torrent_is_told_in_a_line() {
        let mut dht = DhtStatus::default();
        assert_eq!(dht_words(&dht), "knows no node yet, not announced yet");
        (dht.nodes, dht.announced) = (312, Some((seconds(240), 8)));
        assert_eq!(dht_words(&dht), "312 nodes, announced 4m 0s ago at 8 nodes");
        dht.silent = Some(seconds(4));
        assert_eq!(dht_reach(&dht), "312 nodes");
        dht.silent = Some(seconds(20));
        assert_eq!(dht_reach(&dht), "has not answered for 20s");
    }

    #[test]
    fn a_swarm_is_told_in_numbers() {
        assert_eq!(swarm_words((48, 1)), "about 48 seeds and 1 leecher");
    }

    #[test]
    fn the_screen_tells_what_lookups_wait_for() {
        let health = Health {
            good: 9,
            known: 12,
            hints: 1,
            rates: (3, 4),
            announced: 2,
            read_only: true,
            late: seconds(90),
            ..Health::default()
        };
        let walking = Walking {
            target: crate::dht::NodeId([0xab; 20]),
            haste: Haste::Urgent,
            age: seconds(2),
            tally: crate::dht::Tally { asked: 14, answered: 12, peers: 3, ..Default::default() },
            known: 40,
            level: 9,
            waits_for: vec![("192.0.2.1:6881".parse().unwrap(), true)],
        };
        let look = Look { lookups: vec![walking; 12], ..Look::default() };
        let standing = Standing { four: Some(health), six: None };
        let screen = dht_screen(&standing, &look, 200);
        let expected = "\
IPv4  9 nodes answer, 12 known, 1 hinted at; 2 info hashes taking part
      datagrams a second: 3 in, 4 out; 0 queries under way for 0 lookups
      id 0000000000000000000000000000000000000000, others do not reach us, announces are 1m 30s late
lookup abababab... for 2s, urgent: 12 of 14 answered, 3 peers; waits for 192.0.2.1:6881 (slow)
";
        assert!(screen.starts_with(expected), "{screen}");
        assert!(screen.ends_with("(2 more lookups)\n"), "{screen}");
    }
}
