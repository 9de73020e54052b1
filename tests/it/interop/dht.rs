//! The DHT among other people's nodes: sixty of libtorrent, of which a third is killed before
//! anything is asked, and a few of bittorrent-dht and mainline, each in a /24 of its own. Peers and
//! items are found both ways, and driver downloads from each client, and each from driver, where
//! nothing but the DHT tells them of each other.

use std::process::Command;
use std::time::{Duration, Instant};

use super::clients::{self, ENTRY, Hides, Ways};
use super::namespace::Namespace;
use super::peers::{Client, Given, Scene};
use super::{READY, asked_for};
use crate::process::{Process, driver_path, with_home};

/// libtorrent announces when its search ends, 15 s late behind one silent node. Transmission 3.00
/// calls its DHT "broken" for 45 s after it was started with one node, and asks it nothing before.
const FOUND: Duration = Duration::from_secs(180);

const DHT_ONLY: Ways = Ways {
    exchange: false,
    local: false,
    dht: true,
    slow: false,
    hides: Hides::AsMade,
    held: false,
};

/// Where those stand who come to ask or to announce.
const ASKER: &str = "10.77.16.1:7016";
const ANNOUNCER: &str = "10.77.17.1:7017";
const OTHER_ANNOUNCER: &str = "10.77.19.1:7019";

/// Info hashes that no torrent has.
const HASH: &str = "c0ffee1655aa0123456789abcdef0123456789ab";
const OTHER_HASH: &str = "0123456789abcdef0123456789abcdef55aac0fe";

#[test]
fn peers_are_found_both_ways_among_sixty_nodes_of_others() {
    if !asked_for("peers in a DHT of sixty nodes") {
        return;
    }
    let mut scene = Scene::in_dht();
    start_net(&mut scene);
    // Others announce, driver finds.
    let command = libtorrent(&scene, "announce", ANNOUNCER, HASH);
    scene.keep("announces", command);
    driver_finds(&scene, HASH, ANNOUNCER);
    if let Some(command) = mainline(&scene, "announce", &[OTHER_ANNOUNCER], OTHER_HASH) {
        scene.keep("other", command);
        driver_finds(&scene, OTHER_HASH, OTHER_ANNOUNCER);
    }
    // driver announces, others find.
    let torrent = scene.torrent(false);
    scene.start_seed(Client::Driver, Client::Driver.at(), &torrent, DHT_ONLY);
    let (ip, port) = Client::Driver.at();
    let peer = format!("peer {ip}:{port}");
    let hash = scene.hash();
    let commands = [
        ("libtorrent", Some(libtorrent(&scene, "find", ASKER, &hash))),
        ("bittorrent-dht", bittorrent_dht(&scene, "find", &[ASKER], &hash)),
        ("mainline", mainline(&scene, "find", &[ASKER], &hash)),
    ];
    for (name, command) in commands {
        let Some(command) = command else { continue };
        let said = finish(&scene, name, command);
        assert!(said.lines().any(|line| line == peer), "{name} found another:\n{said}");
    }
}

/// Asks until somebody is found, who is at this address.
#[track_caller]
fn driver_finds(scene: &Scene, hash: &str, at: &str) {
    let deadline = Instant::now() + FOUND;
    loop {
        let (found, said) = ask_driver(scene, &["get", hash]);
        if found {
            assert!(said.lines().any(|line| line == at), "{said}");
            return;
        }
        assert!(Instant::now() < deadline, "nobody was found:\n{said}\n{}", scene.words());
    }
}

/// BEP 44.
#[test]
fn items_are_kept_and_found_both_ways_among_sixty_nodes_of_others() {
    if !asked_for("items in a DHT of sixty nodes") {
        return;
    }
    let mut scene = Scene::in_dht();
    start_net(&mut scene);
    let (is_kept, said) = ask_driver(&scene, &["put", "from driver"]);
    assert!(is_kept, "{said}");
    // Words about how it goes may stand before it.
    let is_target = |line: &&str| line.len() == 40 && line.bytes().all(|it| it.is_ascii_hexdigit());
    let target = said.lines().find(is_target).unwrap_or_else(|| panic!("no target: {said}"));
    let found = finish(&scene, "item", libtorrent(&scene, "item", ASKER, target));
    assert!(found.lines().any(|line| line == "item from driver"), "{found}");
    let said = finish(&scene, "put", libtorrent(&scene, "put", ASKER, "from libtorrent"));
    let target = said.lines().find_map(|line| line.strip_prefix("target ")).expect("a target");
    let (is_found, said) = ask_driver(&scene, &["item", target]);
    assert!(is_found && said.starts_with("from libtorrent"), "{said}");
    // What is signed, and the higher number of two.
    let said = finish(&scene, "sign", libtorrent(&scene, "sign", ASKER, "by libtorrent"));
    let key = said.lines().find_map(|line| line.strip_prefix("key ")).expect("a key");
    let (is_found, said) = ask_driver(&scene, &["item", key]);
    // The value as it is, with no end of line, and then a word about it.
    assert!(is_found && said.starts_with("by libtorrent"), "{said}");
    assert!(said.contains("signed, number 1"), "{said}");
    let mut key = String::new();
    for (seq, text) in [("7", "seven"), ("8", "eight"), ("7", "too late")] {
        let put = ["put", text, "--key", "key", "--seq", seq, "--json"];
        let (is_kept, said) = ask_driver(&scene, &put);
        assert!(is_kept || text == "too late", "{said}");
        key = said.split("\"key\":\"").nth(1).map_or(key, |rest| rest[..64].to_owned());
    }
    let found = finish(&scene, "signed", libtorrent(&scene, "signed", ASKER, &key));
    assert!(found.lines().any(|line| line == "item eight number 8"), "{found}");
    let (is_found, said) = ask_driver(&scene, &["item", &key]);
    assert!(is_found && said.starts_with("eight") && said.contains("number 8"), "{said}");
}

#[test]
fn driver_and_libtorrent_download_by_the_dht_alone() {
    download_both_ways(Client::Libtorrent);
}

#[test]
fn driver_and_transmission_download_by_the_dht_alone() {
    download_both_ways(Client::Transmission);
}

#[test]
fn driver_and_aria2_download_by_the_dht_alone() {
    download_both_ways(Client::Aria2);
}

#[test]
fn driver_and_webtorrent_download_by_the_dht_alone() {
    download_both_ways(Client::Webtorrent);
}

/// A bare hash, no tracker and no name: once driver opens it, once the client.
fn download_both_ways(client: Client) {
    if client.is_left_out() {
        return;
    }
    if !asked_for(&format!("{} by the DHT alone", client.name())) {
        return;
    }
    for (seed, seeker) in [(client, Client::Driver), (Client::Driver, client)] {
        let mut scene = Scene::in_dht();
        start_net(&mut scene);
        if client == Client::Transmission {
            // Now and then 3.00 believes at its start that it has come in, before it has asked
            // anybody (its thread for that looks for a state that is not there yet).
            let (ip, port) = client.at();
            let command = libtorrent(&scene, "visit", ASKER, &format!("{ip}:{port}"));
            scene.keep("visits", command);
        }
        let torrent = scene.torrent(false);
        scene.start_seed(seed, seed.at(), &torrent, DHT_ONLY);
        let link = scene.link("");
        let data = scene.start(seeker, "seeks", &Given::Link(&link), DHT_ONLY);
        if seeker == Client::Driver {
            scene.finish_driver(&data, FOUND);
        } else {
            scene.wait_for_payload(&data, FOUND);
        }
    }
}

/// Starts the net and kills a third of it.
fn start_net(scene: &mut Scene) {
    let live: Vec<String> = (1..=40).map(node).collect();
    let dead: Vec<String> = (41..=60).map(node).collect();
    assert_eq!(live[0], entry());
    let net = |own: &[String], others: &[String]| {
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        nodes_of_libtorrent(scene.namespace(), "net", &own, others)
    };
    let (command, doomed) = (net(&live, &dead), net(&dead, &live));
    scene.keep("net", command);
    let mut doomed = Process::start("doomed", doomed, scene.home());
    scene.wait_for_line("ready");
    wait_for_line(&doomed, "ready");
    let few = (61..=64).map(node).collect::<Vec<_>>();
    let few: Vec<&str> = few.iter().map(String::as_str).collect();
    let commands = [
        ("bittorrent-dht", bittorrent_dht(scene, "net", &few[..2], "")),
        ("mainline", mainline(scene, "net", &few[2..], "")),
    ];
    for (name, command) in commands {
        let Some(command) = command else { continue };
        scene.keep(&format!("net-{name}"), command);
        scene.wait_for_line("ready");
    }
    // Nobody is told that they are gone.
    doomed.kill();
}

/// The address of a node: each has a /24 of its own, and fifteen /16 share them.
fn node(number: u8) -> String {
    format!("10.{}.{number}.1:6881", number % 15 + 1)
}

fn entry() -> String {
    format!("{}:{}", ENTRY.0, ENTRY.1)
}

#[track_caller]
fn wait_for_line(process: &Process, line: &str) {
    let deadline = Instant::now() + READY;
    while !process.output().lines().any(|it| it == line) {
        assert!(Instant::now() < deadline, "never said {line:?}:\n{}", process.last_words());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A program of one question, which ends with its answer: what it says.
#[track_caller]
fn finish(scene: &Scene, name: &str, command: Command) -> String {
    let mut process = Process::start(name, command, scene.home());
    let status = process.wait(FOUND);
    let said = process.output();
    assert!(status.success(), "{name} ended with {status}:\n{said}\n{}", scene.words());
    said
}

/// `driver dht` of one question: whether it has an answer, and all that it says.
fn ask_driver(scene: &Scene, question: &[&str]) -> (bool, String) {
    let mut command = scene.namespace().command(driver_path());
    command.arg("dht").args(question).args(["--bind", "10.77.18.1"]).current_dir(scene.home());
    command.args(["--dht-bootstrap", &entry()]);
    let command = with_home(command, &scene.home().join("asks"));
    let mut process = Process::start("asks", command, scene.home());
    let status = process.wait(FOUND);
    (status.success(), process.output())
}

/// A node of libtorrent that comes in by the first ones of the net.
fn libtorrent(scene: &Scene, role: &str, own: &str, word: &str) -> Command {
    let others: Vec<String> = (1..=10).map(node).collect();
    let mut command = nodes_of_libtorrent(scene.namespace(), role, &[own], &others);
    command.args(["--", word]);
    command
}

fn nodes_of_libtorrent(
    namespace: &Namespace,
    role: &str,
    own: &[&str],
    others: &[String],
) -> Command {
    let mut command = namespace.command(clients::python());
    command.arg(clients::script("dht_libtorrent.py")).arg(role).args(own).arg("of").args(others);
    command
}

/// None where it is left out.
fn bittorrent_dht(scene: &Scene, role: &str, own: &[&str], word: &str) -> Option<Command> {
    if clients::lacks_webtorrent() {
        return None;
    }
    let mut command = scene.namespace().command("node");
    command.arg(clients::script("dht_bittorrent.mjs")).arg(clients::webtorrent()).arg(role);
    command.args(own).arg("of").args((1..=3).map(node)).args(["--", word]);
    Some(command)
}

/// None where it is left out.
fn mainline(scene: &Scene, role: &str, own: &[&str], word: &str) -> Option<Command> {
    let mut command = scene.namespace().command(clients::mainline()?);
    command.arg(role).args(own).arg("of").args((1..=3).map(node)).args(["--", word]);
    Some(command)
}
