//! A disk that fails, and pieces that memory cannot hold.

use super::*;

/// libtorrent#2563: a full disk must neither lose data nor mark pieces good.
#[test]
fn a_failing_disk_parks_pieces_and_is_tried_every_five_seconds() {
    let mut bench = Bench::new(3);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.deliver(1, "1.0 1.1 1.2 1.3");
    assert_eq!(bench.write_failed(0), ["disk trouble, no space"]);
    assert!(bench.write_failed(1).is_empty());
    // Nothing more is asked for meanwhile; what comes is kept.
    assert_eq!(bench.deliver(1, "2.0 2.1"), [""; 0]);
    assert!(!bench.swarm.have().has(bench.piece(0)));
    let retry = bench.wait(5.0);
    assert_eq!(retry, ["check 0 [data data data data]"]);
    assert!(bench.write_failed(0).is_empty());
    let retry = bench.wait(5.0);
    assert_eq!(retry, ["check 0 [data data data data]"]);
    let lines = bench.good(0);
    let check = "check 1 [data data data data]";
    // Its silence was our doing: peer 1 still owes the rest, and is not asked again.
    assert_eq!(lines, ["disk works", check, "verified 0"]);
    assert_eq!(bench.good(1)[0], "verified 1");
}

#[test]
fn a_disk_that_cannot_read_back_costs_the_piece_only() {
    let mut bench = Bench::new(1);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.at_disk.clear();
    let lines = bench.verdict(0, Verdict::ReadFailed("bad sector".into()));
    assert_eq!(lines, ["disk trouble, bad sector"]);
    let lines = bench.wait(5.0);
    assert_eq!(lines, ["disk works", "peer 1: request 0.0 0.1 0.2 0.3"]);
}

/// A timer that has passed must not be asked for again and again.
#[test]
fn a_rest_that_ends_while_the_disk_fails_does_not_spin() {
    let mut bench = Bench::new(3);
    bench.open_fast(1, Availability::All);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.refuse(1, "1.0", false);
    bench.write_failed(0);
    bench.wait(4.0);
}

/// The only path that writes before the check: pieces larger than memory.
#[test]
fn a_piece_larger_than_memory_is_spilled_and_checked_from_disk() {
    let mut bench = Bench::with(1, 12, |config| config.pool_blocks = 8);
    bench.seed(1);
    assert_eq!(bench.deliver(1, "0.0 0.1 0.2 0.3"), ["peer 1: request 0.10 0.11".to_owned()]);
    let spill = bench.deliver(1, "0.4");
    assert_eq!(spill, ["spill 0.0 0.1 0.2 0.3 0.4"]);
    // What was not written comes back.
    let mut blocks = bench.spilled.remove(&0).unwrap();
    let failed = Some((blocks.split_off(3), "no space".to_owned()));
    let piece = bench.piece(0);
    assert_eq!(bench.handle(Input::Spilled { piece, failed }), ["disk trouble, no space"]);
    bench.wait(6.0);
    let spill = bench.deliver(1, "0.5 0.6 0.7");
    assert_eq!(spill, ["spill 0.3 0.4 0.5 0.6 0.7"]);
    let lines = bench.deliver(1, "0.8 0.9 0.10 0.11");
    assert!(lines.is_empty(), "not while blocks are on their way to the disk: {lines:?}");
    let check = bench.handle(Input::Spilled { piece, failed: None });
    let disk = ["disk"; 8].join(" ");
    assert_eq!(check, [format!("check 0 [{disk} data data data data]")]);
}

/// Blocks of a piece that was dropped and begun again meanwhile are not the new piece's.
#[test]
fn a_spill_that_fails_after_its_piece_was_dropped_is_forgotten() {
    let mut bench = Bench::with(2, 12, |config| config.pool_blocks = 8);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3 0.4");
    bench.handle(Input::Wanted(set(2, &[1])));
    bench.handle(Input::Wanted(Bitfield::all(2)));
    let piece = bench.piece(0);
    let failed = Some((bench.spilled.remove(&0).unwrap(), "no space".to_owned()));
    bench.handle(Input::Spilled { piece, failed });
    assert_eq!(bench.swarm.snapshot(bench.now).held_blocks, 0);
}

/// BEP 47: pad files are zeros and need not be fetched.
#[test]
fn pad_blocks_are_not_asked_for_and_pad_pieces_go_straight_to_the_check() {
    let extents = Extents::new([(3 * 16384, false), (5 * 16384, true)]);
    let mut bench = Bench::with(2, 4, |config| config.extents = extents);
    let lines = bench.seed(1);
    let expected =
        ["peer 1: interested", "check 1 [pad pad pad pad]", "peer 1: request 0.0 0.1 0.2"];
    assert_eq!(lines, expected);
    assert_eq!(bench.deliver(1, "0.0 0.1 0.2"), ["check 0 [data data data pad]"]);
}

#[test]
fn a_spill_that_failed_is_tried_again() {
    let mut bench = Bench::with(1, 12, |config| config.pool_blocks = 8);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3 0.4");
    let failed = Some((bench.spilled.remove(&0).unwrap(), "no space".to_owned()));
    let piece = bench.piece(0);
    bench.handle(Input::Spilled { piece, failed });
    let lines = bench.wait(5.0);
    assert_eq!(lines[..2], ["disk works", "spill 0.0 0.1 0.2 0.3 0.4"]);
}

/// The answer to one spill must not be taken for that of the next.
#[test]
fn a_piece_is_spilled_once_at_a_time() {
    let mut bench = Bench::with(1, 20, |config| config.pool_blocks = 8);
    bench.seed(1);
    assert_eq!(bench.deliver(1, "0.0 0.1 0.2 0.3 0.4")[0], "spill 0.0 0.1 0.2 0.3 0.4");
    let lines = bench.deliver(1, "0.5 0.6 0.7 0.8 0.9");
    assert!(!lines.iter().any(|line| line.starts_with("spill")), "{lines:?}");
    let piece = bench.piece(0);
    let next = bench.handle(Input::Spilled { piece, failed: None });
    assert_eq!(next, ["spill 0.5 0.6 0.7 0.8 0.9"]);
}
