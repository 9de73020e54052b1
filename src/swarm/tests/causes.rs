//! What a download waits for, in each situation.

use crate::swarm::waits::Cause;

use super::*;

fn cause(bench: &Bench) -> Cause {
    bench.swarm.waits(bench.now).now.unwrap()
}

#[test]
fn without_peers_it_is_the_tracker_and_then_the_peers() {
    let mut bench = Bench::new(4);
    bench.handle(Input::Tick);
    assert_eq!(cause(&bench), Cause::Tracker);
    bench.learn(Source::Tracker, 1..2);
    assert_eq!(cause(&bench), Cause::Peers);
}

#[test]
fn with_peers_it_is_pieces_then_an_unchoke_then_the_transfer() {
    let mut bench = Bench::new(4);
    bench.up(1);
    assert_eq!(cause(&bench), Cause::Pieces);
    bench.event(1, LinkEvent::Availability(Availability::All));
    assert_eq!(cause(&bench), Cause::Unchoke);
    bench.event(1, LinkEvent::Unchoked);
    assert_eq!(cause(&bench), Cause::Transfer);
    bench.handle(Input::Limited(true));
    assert_eq!(cause(&bench), Cause::Limit);
    bench.handle(Input::Pause(true));
    assert_eq!(cause(&bench), Cause::Nothing);
}

#[test]
fn with_memory_full_of_pieces_it_is_the_disk_or_the_hash() {
    let mut bench = Bench::with(8, 4, |config| config.share_blocks = 3);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    assert_eq!(cause(&bench), Cause::Transfer);
    bench.handle(Input::Starved(true));
    assert_eq!(cause(&bench), Cause::Disk);
    let (hashing, writing) = (Duration::from_secs(2), Duration::from_secs(1));
    bench.handle(Input::DiskLoad { hashing, writing });
    assert_eq!(cause(&bench), Cause::Hash);
    bench.write_failed(0);
    assert_eq!(cause(&bench), Cause::Disk);
}

#[test]
fn memory_that_forbids_new_pieces_shows_as_our_own_queue() {
    let mut bench = Bench::with(20, 2, |config| config.share_blocks = 0);
    bench.seed(1);
    assert_eq!(cause(&bench), Cause::Pipeline);
}

#[test]
fn a_peer_that_fell_silent_is_not_our_own_queue() {
    let mut bench = Bench::with(200, 2, |_| {});
    bench.seed(1);
    bench.deliver(1, "0.0 0.1");
    bench.wait(30.0);
    assert_eq!(cause(&bench), Cause::Transfer);
}

#[test]
fn time_is_accounted_to_what_held() {
    let mut bench = Bench::new(4);
    bench.now += Duration::from_secs(1);
    bench.up(1);
    bench.now += Duration::from_secs(3);
    bench.event(1, LinkEvent::Availability(Availability::All));
    let life = bench.swarm.waits(bench.now).life;
    assert_eq!(life, [(Cause::Pieces, 0.75), (Cause::Tracker, 0.25)]);
}
