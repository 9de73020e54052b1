//! Encrypted connections with other people's programs, both ways: whoever takes none, only
//! encrypted handshakes, or only what is encrypted throughout. What came over is compared byte by
//! byte, and that it came is proof of how: none of those lets anything else in.

use super::asked_for;
use super::clients::{Hides, Ways};
use super::peers::{ARRIVAL, Client, Given, Scene};

use Hides::{AsMade, Everything, Handshakes, Nothing, Unwilling};

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

// Whom driver dials chooses between what it offers, and driver takes the plain stream of whoever
// offers that: the same two policies meet differently each way.

#[test]
fn rtorrent_as_it_is_made_and_driver_meet() {
    shows(Client::Rtorrent, AsMade, AsMade, &[Handshake, Plain]);
}

#[test]
fn rtorrent_that_encrypts_handshakes_and_driver_meet() {
    shows(Client::Rtorrent, AsMade, Handshakes, &[Rc4, Handshake]);
}

#[test]
fn rtorrent_that_encrypts_everything_and_driver_meet() {
    shows(Client::Rtorrent, Everything, Everything, &[Rc4, Rc4]);
}

#[test]
fn rtorrent_that_encrypts_nothing_and_driver_meet() {
    shows(Client::Rtorrent, AsMade, Nothing, &[Plain, Plain]);
}

#[test]
fn qbittorrent_as_it_is_made_and_driver_meet() {
    shows(Client::Qbittorrent, AsMade, AsMade, &[Rc4, Plain]);
}

// The other way it dials plainly, and once more a minute later: that is not waited for.
#[test]
fn driver_that_encrypts_everything_meets_qbittorrent_as_it_is_made() {
    shows(Client::Qbittorrent, Everything, AsMade, &[Rc4]);
}

#[test]
fn qbittorrent_that_encrypts_everything_and_driver_meet() {
    shows(Client::Qbittorrent, AsMade, Everything, &[Rc4, Rc4]);
}

#[test]
fn qbittorrent_that_encrypts_nothing_and_driver_meet() {
    shows(Client::Qbittorrent, AsMade, Nothing, &[Plain, Plain]);
}

/// What `peers` shows of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shown {
    Plain,
    Handshake,
    Rc4,
}

use Shown::{Handshake, Plain, Rc4};

fn shown(flags: &str) -> Shown {
    match (flags.contains('E'), flags.contains('e')) {
        (true, _) => Rc4,
        (_, true) => Handshake,
        _ => Plain,
    }
}

/// They seed and driver dials; driver seeds and they dial, if two are expected: how they meet is
/// what `peers` says, and everything arrives.
fn shows(client: Client, ours: Hides, theirs: Hides, expected: &[Shown]) {
    if !asked_for(&format!("encrypted connections with {}", client.name())) {
        return;
    }
    let ours = (Client::Driver, Ways { held: true, ..hiding(ours) });
    let theirs = (client, hiding(theirs));
    let ways = [("ours", theirs, ours, 'D'), ("theirs", ours, theirs, 'U')];
    for ((name, seed, leecher, moves), expected) in ways.into_iter().zip(expected) {
        // With a tracker of its own: one that knows who was there before sends to those.
        let mut scene = Scene::new();
        scene.start_tracker();
        let torrent = scene.torrent(true);
        scene.start_seed(seed.0, seed.0.at(), &torrent, seed.1);
        let first = scene.last();
        // Who is told of nobody at the start asks again much later.
        scene.wait_for_seeds(1);
        let data = scene.start(leecher.0, name, &Given::Torrent(&torrent), leecher.1);
        let driver = if seed.0 == Client::Driver { first } else { scene.last() };
        let flags = scene.wait_for_flags(driver, client.at().0);
        assert_eq!(shown(&flags), *expected, "{name}: {flags}");
        let is_dialled = flags.contains('I');
        assert!(flags.contains(moves) && is_dialled == (moves == 'U'), "{name}: {flags}");
        scene.let_go(driver);
        scene.wait_for_payload(&data, ARRIVAL);
    }
}

/// The only seed and two of the leechers take nothing but RC4, two others only plain connections;
/// those in between, ours and theirs, carry it over.
#[test]
fn a_swarm_of_mixed_policies_completes() {
    if !asked_for("a swarm of mixed policies") {
        return;
    }
    let mut scene = Scene::new();
    scene.start_own_tracker();
    let torrent = scene.torrent(true);
    let seed = ("10.77.0.20", "7020");
    scene.start_seed(Client::Driver, seed, &torrent, hiding(Everything));
    scene.wait_for_seeds(1);
    let held = |hides| Ways { held: true, ..hiding(hides) };
    let (require, off) = ("10.77.0.21", "10.77.0.22");
    let (rc4, plain) = ("10.77.0.25", "10.77.0.26");
    let leechers = [
        (Client::Driver, (require, "7021"), held(Everything)),
        (Client::Driver, (off, "7022"), held(Nothing)),
        (Client::Driver, ("10.77.0.23", "7023"), hiding(AsMade)),
        (Client::Driver, ("10.77.0.24", "7024"), hiding(Unwilling)),
        (Client::Libtorrent, (rc4, "7025"), hiding(Everything)),
        (Client::Libtorrent, (plain, "7026"), hiding(Nothing)),
        (Client::Transmission, Client::Transmission.at(), hiding(AsMade)),
    ];
    let mut started = Vec::new();
    for (client, at, ways) in leechers {
        let data = scene.start_at(client, at, at.0, &Given::Torrent(&torrent), ways);
        started.push((scene.last(), data));
    }
    let watched = [
        (started[0].0, Rc4, seed.0, [off, plain]),
        (started[1].0, Plain, "10.77.0.24", [require, rc4]),
    ];
    for (driver, _, met, _) in &watched {
        scene.wait_for_flags(*driver, met);
        scene.let_go(*driver);
    }
    for (_, data) in &started {
        scene.wait_for_payload(data, ARRIVAL);
    }
    for (driver, expected, _, barred) in &watched {
        let rows = scene.rows(*driver);
        assert!(rows.iter().all(|(_, flags)| shown(flags) == *expected), "{rows:?}");
        assert!(rows.iter().all(|(ip, _)| !barred.contains(&ip.as_str())), "{rows:?}");
    }
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
