//! Magnet links that name no seed: peers are told of by peers (BEP 11), or met in the local
//! network (BEP 14), by driver and by other people's clients.

use std::time::Duration;

use super::asked_for;
use super::clients::Ways;
use super::namespace::{LAN, Namespace};
use super::peers::{ARRIVAL, Client, Given, Scene, UNTOLD};

const TRACKER: &str = "&tr=http%3A%2F%2F10.77.0.1%3A6969%2Fannounce";
const PORTS: [&str; 2] = ["7021", "7022"];
/// Some tell their peers every ninety seconds only.
const EXCHANGE: Duration = Duration::from_secs(240);

// webtorrent 2.8.5 takes what it is told and tells nothing.
#[test]
fn driver_is_told_of_a_seed_by_each_client() {
    let clients = [Client::Libtorrent, Client::Transmission, Client::Aria2];
    side_by_side("peer exchange to driver", &clients, told_by);
}

#[test]
fn each_client_is_told_of_a_seed_by_driver() {
    let clients = [Client::Libtorrent, Client::Transmission, Client::Aria2, Client::Webtorrent];
    side_by_side("peer exchange from driver", &clients, tell);
}

#[test]
fn driver_and_libtorrent_meet_in_the_local_network() {
    meet(Client::Libtorrent);
}

#[test]
fn driver_and_transmission_meet_in_the_local_network() {
    meet(Client::Transmission);
}

#[test]
fn driver_and_aria2_meet_in_the_local_network() {
    meet(Client::Aria2);
}

#[test]
fn driver_and_webtorrent_meet_in_the_local_network() {
    meet(Client::Webtorrent);
}

/// All clients at the same time: they wait for each other's minute most of it.
fn side_by_side(name: &str, clients: &[Client], work: fn(Client)) {
    if !asked_for(name) {
        return;
    }
    std::thread::scope(|scope| {
        let clients = clients.iter().filter(|client| !client.is_left_out());
        let start = |client: &Client| {
            (
                client.name(),
                scope.spawn({
                    let it = *client;
                    move || work(it)
                }),
            )
        };
        let threads: Vec<_> = clients.map(start).collect();
        let ended = threads.into_iter().map(|(name, thread)| (name, thread.join().is_ok()));
        let ended: Vec<_> = ended.collect();
        assert!(ended.iter().all(|(_, is_ok)| *is_ok), "{name}: {ended:?}");
    });
}

/// Only this client knows the seed; it stays a leecher for long, so that what comes quickly comes
/// from elsewhere.
fn told_by(client: Client) {
    let mut scene = Scene::beside_others();
    scene.start_tracker();
    let torrent = scene.torrent(true);
    scene.start_seed(Client::Libtorrent, UNTOLD, &torrent, Ways::default());
    scene.wait_for_seeds(1);
    let ways = Ways { exchange: true, slow: true, ..Ways::default() };
    scene.start(client, "knows", &Given::Torrent(&torrent), ways);
    scene.wait_for_leecher();
    let link = scene.link(&client.named());
    let ways = Ways { exchange: true, ..Ways::default() };
    let data = scene.start(Client::Driver, "told", &Given::Link(&link), ways);
    scene.finish_driver(&data, EXCHANGE);
}

/// Only driver knows the seed; it stays a leecher for long.
fn tell(client: Client) {
    let mut scene = Scene::beside_others();
    scene.start_tracker();
    let silent = scene.torrent(false);
    scene.start_seed(Client::Libtorrent, UNTOLD, &silent, Ways::default());
    scene.wait_for_line("complete");
    let torrent = scene.torrent(true);
    let ways = Ways { exchange: true, slow: true, ..Ways::default() };
    scene.start(Client::Driver, "knows", &Given::Torrent(&torrent), ways);
    scene.wait_for_leecher();
    let link = scene.link(TRACKER);
    let ways = Ways { exchange: true, ..Ways::default() };
    let data = scene.start(client, "told", &Given::Link(&link), ways);
    scene.wait_for_payload(&data, EXCHANGE);
}

/// A bare hash, no tracker and no name: once driver opens it, once the client.
fn meet(client: Client) {
    if client.is_left_out() {
        return;
    }
    if !asked_for(&format!("{} in the local network", client.name())) {
        return;
    }
    for (seed, seeker) in [(client, Client::Driver), (Client::Driver, client)] {
        let [here, there] = Namespace::pair();
        let mut scene = Scene::within(there);
        let ways = Ways { local: true, ..Ways::default() };
        let torrent = scene.torrent(false);
        scene.start_seed(seed, (LAN[1], PORTS[1]), &torrent, ways);
        scene.go_to(here);
        let link = scene.link("");
        let at = (LAN[0], PORTS[0]);
        let data = scene.start_at(seeker, at, "meets", &Given::Link(&link), ways);
        if seeker == Client::Driver {
            scene.finish_driver(&data, ARRIVAL);
        } else {
            scene.wait_for_payload(&data, ARRIVAL);
        }
    }
}
