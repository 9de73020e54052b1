//! Encrypted connections with other people's programs, both ways: whoever takes none, only
//! encrypted handshakes, or only what is encrypted throughout. What came over is compared byte by
//! byte, and that it came is proof of how: none of those lets anything else in.

use super::asked_for;
use super::clients::{Hides, Ways};
use super::peers::{ARRIVAL, Client, Given, Scene};

use Hides::{AsMade, Everything, Handshakes, Nothing};

#[test]
fn libtorrent_and_driver_meet_by_each_policy() {
    // Whose policies can be met by ours; `Handshakes` of driver is `require`, which hides all.
    meets(
        Client::Libtorrent,
        &[
            (AsMade, AsMade),
            (AsMade, Nothing),
            (AsMade, Handshakes),
            (AsMade, Everything),
            (Everything, AsMade),
            (Everything, Everything),
            (Nothing, AsMade),
            (Nothing, Nothing),
        ],
    );
}

#[test]
fn transmission_and_driver_meet_by_each_policy() {
    meets(
        Client::Transmission,
        &[(AsMade, AsMade), (AsMade, Everything), (Everything, Everything), (Everything, AsMade)],
    );
}

#[test]
fn aria2_and_driver_meet_by_each_policy() {
    meets(
        Client::Aria2,
        &[
            (AsMade, AsMade),
            (AsMade, Handshakes),
            (AsMade, Everything),
            (Everything, AsMade),
            (Everything, Everything),
        ],
    );
}

/// With each pair of policies, ours and theirs: they seed and driver dials; driver seeds and they
/// dial.
fn meets(client: Client, pairs: &[(Hides, Hides)]) {
    if !asked_for(&format!("encrypted connections with {}", client.name())) {
        return;
    }
    let mut scene = Scene::new();
    scene.start_tracker();
    let torrent = scene.torrent(true);
    for (number, (ours, theirs)) in pairs.iter().enumerate() {
        println!("driver {ours:?}, {} {theirs:?}", client.name());
        let (ours, theirs) = ((Client::Driver, hiding(*ours)), (client, hiding(*theirs)));
        for (name, seed, leecher) in [("ours", theirs, ours), ("theirs", ours, theirs)] {
            let (folder, at) = (format!("{name}-seed-{number}"), seed.0.at());
            scene.start_seed_as(&folder, seed.0, at, &torrent, seed.1);
            let folder = format!("{name}-{number}");
            let data = scene.start(leecher.0, &folder, &Given::Torrent(&torrent), leecher.1);
            scene.wait_for_payload(&data, ARRIVAL);
            scene.end_last();
            scene.end_last();
        }
    }
}

fn hiding(hides: Hides) -> Ways {
    Ways { hides, ..Ways::default() }
}
