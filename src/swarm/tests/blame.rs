//! Wrong pieces: who is banned, who never is.

use crate::swarm::link::Description;

use super::*;

#[test]
fn the_only_sender_of_a_wrong_piece_is_banned_at_once() {
    let mut bench = Bench::new(1);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let lines = bench.bad(0, &[1, 2, 3, 4]);
    assert_eq!(lines, ["wrong 0, blamed 1", "banned 1", "peer 1: close, it sent corrupt data"]);
    assert_eq!(bench.swarm.banned(), [address(1)]);
    assert!(bench.swarm.admit(address(1), bench.now).is_err());
    assert!(bench.learn(Source::User, 1..2).is_empty());
}

/// Two peers share a wrong piece; it is fetched again from one alone, and the hashes of the
/// right blocks name the liar.
#[test]
fn of_two_senders_only_the_liar_is_banned() {
    let mut bench = Bench::with(1, 12, |_| {});
    bench.seed(1);
    bench.seed(2);
    bench.deliver(1, "0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9");
    bench.deliver(2, "0.10 0.11");
    let wrong = bench.bad(0, &[7; 12]);
    // The whole piece goes to one link, and the other is not asked for its rest.
    let again = "peer 1: request 0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 0.10 0.11";
    assert_eq!(wrong[0], "wrong 0, blamed nobody");
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_eq!(wrong[1], again);
    let whole = "0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 0.10 0.11";
    let check = bench.deliver(1, whole);
    assert!(check[0].ends_with("with hashes"), "{check:?}");
    bench.at_disk.clear();
    let mut hashes = vec![[7; 20]; 12];
    hashes[11] = [8; 20];
    let lines = bench.verdict(0, Verdict::Good(Some(hashes)));
    assert_eq!(lines[..2], ["verified 0", "banned 2"]);
    assert!(!lines.iter().any(|line| line == "banned 1"), "{lines:?}");
}

#[test]
fn what_a_liar_sent_of_other_pieces_is_forgotten() {
    let mut bench = Bench::new(2);
    bench.seed(1);
    bench.deliver(1, "1.0");
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.bad(0, &[1, 2, 3, 4]);
    let lines = bench.seed(2);
    assert_eq!(lines[1], "peer 2: request 1.0 1.1 1.2 1.3 0.0 0.1 0.2 0.3");
}

/// A second link of a liar may be in its handshake when the first is convicted.
#[test]
fn a_banned_host_does_not_come_up_by_another_link() {
    let mut bench = Bench::new(1);
    bench.seed(1);
    let other = SocketAddr::new(address(1).ip(), 7000);
    let link = bench.swarm.admit(other, bench.now).unwrap();
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.bad(0, &[1, 2, 3, 4]);
    let up = Input::LinkUp { link, peer_id: peer_id(9), caps: caps(false) };
    assert_eq!(bench.handle(up), [format!("link {}: close, it sent corrupt data", link.0)]);
}

/// One that is asked alone for a suspect piece must not keep it when it goes, though it owes
/// nothing of it at that time.
#[test]
fn a_piece_that_one_link_had_alone_is_free_when_that_link_is_gone() {
    let mut bench = suspect_piece_with_peer_one();
    bench.write_failed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.down(1);
    bench.wait(5.0);
    let lines = bench.good(1);
    // It changes hands, so it starts over: one sender shall answer for all of it.
    assert!(lines.iter().any(|line| line.starts_with("peer 2: request 0.0")), "{lines:?}");
}

#[test]
fn a_piece_that_one_link_had_alone_is_free_when_that_link_chokes() {
    let mut bench = suspect_piece_with_peer_one();
    bench.event(1, LinkEvent::Choked);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let owed: u32 = bench.swarm.links(bench.now).iter().map(|link| link.requests.0).sum();
    assert_eq!(owed, 12, "the other link has the whole piece, which starts over");
}

/// Piece 0 was wrong and is asked of peer 1 alone, four blocks at a time; peer 2 has it too.
/// Piece 1 is at the disk.
fn suspect_piece_with_peer_one() -> Bench {
    let mut bench = Bench::with(2, 12, |_| {});
    bench.open_fast(1, Availability::Some(set(2, &[0])));
    bench.open_fast(2, Availability::Some(set(2, &[0])));
    bench.open_fast(3, Availability::Some(set(2, &[1])));
    bench.deliver(3, "1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9");
    bench.deliver(3, "1.10 1.11");
    bench.deliver(2, "0.10 0.11");
    let description = Description { pipeline_max: Some(4), ..Default::default() };
    bench.event(1, LinkEvent::Described(description));
    bench.deliver(1, "0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9");
    let lines = bench.bad(0, &[7; 12]);
    assert_eq!(lines, ["wrong 0, blamed nobody", "peer 1: request 0.0 0.1 0.2 0.3"]);
    bench
}
