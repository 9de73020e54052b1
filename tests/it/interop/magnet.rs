//! Magnet links: driver opens one at each of other people's clients alone, named by the link
//! (`x.pe`) or by a tracker, and they open one at driver: metadata (BEP 9), then everything.

use super::asked_for;
use super::clients::Ways;
use super::peers::{ARRIVAL, Client, Given, Scene};

/// The tracker as a parameter of a link.
const TRACKER: &str = "&tr=http%3A%2F%2F10.77.0.1%3A6969%2Fannounce";

#[test]
fn driver_opens_a_magnet_at_libtorrent() {
    open_at(Client::Libtorrent);
}

#[test]
fn driver_opens_a_magnet_at_transmission() {
    open_at(Client::Transmission);
}

#[test]
fn driver_opens_a_magnet_at_aria2() {
    open_at(Client::Aria2);
}

#[test]
fn driver_opens_a_magnet_at_webtorrent() {
    open_at(Client::Webtorrent);
}

#[test]
fn libtorrent_opens_a_magnet_at_driver() {
    opened_by(Client::Libtorrent, &[TRACKER, &Client::Driver.named()]);
}

// Transmission 3.00 and aria2 1.36 pass over x.pe.
#[test]
fn transmission_opens_a_magnet_at_driver() {
    opened_by(Client::Transmission, &[TRACKER]);
}

#[test]
fn aria2_opens_a_magnet_at_driver() {
    opened_by(Client::Aria2, &[TRACKER]);
}

#[test]
fn webtorrent_opens_a_magnet_at_driver() {
    opened_by(Client::Webtorrent, &[TRACKER, &Client::Driver.named()]);
}

fn open_at(client: Client) {
    if client.is_left_out() {
        return;
    }
    if !asked_for(&format!("a magnet at {}", client.name())) {
        return;
    }
    let mut scene = Scene::new();
    scene.start_tracker();
    let torrent = scene.torrent(true);
    scene.start_seed(client, client.at(), &torrent, Ways::default());
    scene.wait_for_seeds(1);
    scene.open_with_driver("named", &client.named());
    scene.open_with_driver("tracked", TRACKER);
}

/// The client opens a link with each of these parameters.
fn opened_by(client: Client, links: &[&str]) {
    if client.is_left_out() {
        return;
    }
    if !asked_for(&format!("a magnet opened by {}", client.name())) {
        return;
    }
    let mut scene = Scene::new();
    scene.start_tracker();
    let torrent = scene.torrent(true);
    scene.start_seed(Client::Driver, Client::Driver.at(), &torrent, Ways::default());
    scene.wait_for_seeds(1);
    for (number, parameters) in links.iter().enumerate() {
        let link = scene.link(parameters);
        let name = format!("opens-{number}");
        let data = scene.start(client, &name, &Given::Link(&link), Ways::default());
        scene.wait_for_payload(&data, ARRIVAL);
        scene.end_last();
    }
}
