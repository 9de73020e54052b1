//! A disk that fails, and pieces that memory cannot hold.

use super::*;

/// To be hashed side by side: who is last waits for nobody.
#[test]
fn a_piece_may_wait_for_others_while_some_are_not_begun() {
    let mut bench = Bench::new(20);
    let mut lines = bench.seed(1);
    let mut begun = std::collections::BTreeSet::new();
    for piece in 0..20 {
        let requests = lines.iter().filter(|line| line.contains("request "));
        let blocks = requests.flat_map(|line| line.split_whitespace());
        begun.extend(blocks.filter_map(|it| it.split_once('.')?.0.parse::<u32>().ok()));
        lines = bench.deliver(1, &format!("{piece}.0 {piece}.1 {piece}.2 {piece}.3"));
        assert_eq!(bench.may_wait[&piece], begun.len() < 20, "{piece} of {begun:?}");
        // One that is here is not to come any more.
        if piece == 3 {
            lines.extend(bench.good(0));
        }
    }
    assert!(bench.may_wait[&0] && bench.may_wait[&4] && !bench.may_wait[&19]);
}

/// libtorrent#2563: a full disk must neither lose data nor mark pieces good.
#[test]
fn a_failing_disk_parks_pieces_and_is_tried_ever_more_rarely() {
    let mut bench = Bench::new(3);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.deliver(1, "1.0 1.1 1.2 1.3");
    assert_eq!(bench.write_failed(0), ["disk trouble, no space"]);
    assert!(bench.write_failed(1).is_empty());
    // Nothing more is asked for meanwhile; what comes is kept.
    assert_eq!(bench.deliver(1, "2.0 2.1 2.2 2.3"), [""; 0]);
    assert!(!bench.swarm.have().has(bench.piece(0)));
    let trial = ["check 0 [data data data data]"];
    for seconds in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        assert!(bench.wait(seconds - 0.01).is_empty());
        assert_eq!(bench.wait(0.01), trial);
        assert!(bench.write_failed(0).is_empty());
    }
    assert_eq!(bench.wait(30.0), trial);
    let lines = bench.good(0);
    let [one, two] = [1, 2].map(|piece| format!("check {piece} [data data data data]"));
    assert_eq!(lines, ["disk works".to_owned(), one, two, "verified 0".to_owned()]);
    assert_eq!(bench.good(1)[0], "verified 1");
}

/// A disk that comes and goes is told of once a rest, and the rests grow.
#[test]
fn trouble_that_comes_back_soon_goes_on_where_it_was() {
    let mut bench = Bench::new(9);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.write_failed(0);
    bench.wait(1.0);
    assert_eq!(bench.good(0)[0], "disk works");
    bench.deliver(1, "1.0 1.1 1.2 1.3");
    assert_eq!(bench.write_failed(1), ["disk trouble, no space"]);
    assert!(bench.wait(1.99).is_empty());
    assert_eq!(bench.wait(0.01), ["check 1 [data data data data]"]);
    bench.good(1);
    bench.wait(60.0);
    bench.deliver(1, "2.0 2.1 2.2 2.3");
    bench.write_failed(2);
    assert_eq!(bench.wait(1.0)[0], "check 2 [data data data data]");
}

/// What was on its way to the disk before it failed says nothing of the next write.
#[test]
fn only_the_trial_tells_that_a_disk_works_again() {
    let mut bench = Bench::new(3);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.deliver(1, "1.0 1.1 1.2 1.3");
    bench.write_failed(0);
    assert_eq!(bench.good(1), ["verified 1"]);
    // Nor is what becomes whole meanwhile given to it.
    assert!(bench.deliver(1, "2.0 2.1 2.2 2.3").is_empty());
    assert_eq!(bench.wait(1.0), ["check 0 [data data data data]"]);
    let lines = bench.good(0);
    assert_eq!(lines, ["disk works", "check 2 [data data data data]", "verified 0"]);
}

/// One that does not answer is no broken one: nothing is thrown away, tried, or asked for, and
/// all goes on at the first answer.
#[test]
fn a_silent_disk_is_told_of_once_and_waited_for() {
    let mut bench = Bench::new(4);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    let silent = |bench: &mut Bench, seconds: u32| {
        bench.handle(Input::DiskSilent(format!("out has not answered for {seconds} s")))
    };
    assert_eq!(silent(&mut bench, 5), ["disk trouble, out has not answered for 5 s"]);
    assert!(silent(&mut bench, 6).is_empty());
    assert_eq!(
        bench.swarm.snapshot(bench.now).disk_trouble.as_deref(),
        Some("out has not answered for 6 s")
    );
    assert!(bench.deliver(1, "1.0 1.1 1.2 1.3 2.0").is_empty());
    assert!(bench.wait(600.0).is_empty(), "it was tried");
    assert!(bench.good(0).contains(&"verified 0".to_owned()), "an answer that was on its way");
    let lines = bench.handle(Input::DiskAnswers);
    assert_eq!(lines, ["disk works", "check 1 [data data data data]"]);
    assert_eq!(bench.deliver(1, "2.1 2.2 2.3")[0], "check 2 [data data data data]");
    assert!(bench.handle(Input::DiskAnswers).is_empty());
}

/// There was no rest before that could grow.
#[test]
fn a_silent_disk_that_fails_rests_as_any_other() {
    let mut bench = Bench::new(3);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.handle(Input::DiskSilent("it has not answered".into()));
    bench.handle(Input::DiskFailed("input/output error".into()));
    bench.wait(4.0);
    assert!(bench.handle(Input::DiskAnswers).is_empty(), "it goes on failing");
    assert_eq!(bench.swarm.snapshot(bench.now).disk_trouble.as_deref(), Some("input/output error"));
}

/// Other torrents live of the same memory, and may have another disk.
#[test]
fn a_failing_disk_holds_no_more_than_a_sixteenth_of_memory() {
    let mut bench = Bench::with(9, 4, |config| config.share_blocks = 48);
    bench.seed(1);
    for piece in ["0", "1", "2", "3", "4"] {
        bench.deliver(1, &[0, 1, 2, 3].map(|block| format!("{piece}.{block}")).join(" "));
    }
    bench.deliver(1, "5.0 5.1 5.2 6.0");
    (0..5).for_each(|piece| drop(bench.write_failed(piece)));
    bench.deliver(1, "5.3 6.1 6.2 6.3");
    let held = |bench: &Bench| bench.pool.in_use_blocks();
    assert!(held(&bench) <= 96 / 16, "{} blocks", held(&bench));
    assert_eq!(bench.wait(1.0)[0], "check 0 [data data data data]");
    let again = bench.good(0).join(" ");
    assert!(again.contains("4.0 4.1 4.2 4.3"), "what was let go is fetched again: {again}");
}

#[test]
fn a_disk_that_cannot_read_back_costs_the_piece_only() {
    let mut bench = Bench::new(1);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    bench.at_disk.clear();
    let lines = bench.verdict(0, Verdict::ReadFailed("bad sector".into()));
    assert_eq!(lines, ["disk trouble, bad sector"]);
    // There is nothing to try the disk with: whether it works shows in the end.
    assert_eq!(bench.wait(1.0), ["peer 1: request 0.0 0.1 0.2 0.3"]);
    bench.deliver(1, "0.0 0.1 0.2 0.3");
    assert_eq!(bench.good(0)[..2], ["disk works", "verified 0"]);
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
    let mut bench = Bench::with(1, 12, |config| config.share_blocks = 4);
    bench.seed(1);
    assert_eq!(bench.deliver(1, "0.0 0.1 0.2 0.3"), ["peer 1: request 0.10 0.11".to_owned()]);
    let spill = bench.deliver(1, "0.4");
    assert_eq!(spill, ["spill 0.0 0.1 0.2 0.3 0.4"]);
    // What was not written comes back.
    let mut blocks = bench.spilled.remove(&0).unwrap();
    let failed = Some((blocks.split_off(3), "no space".to_owned()));
    let piece = bench.piece(0);
    assert_eq!(bench.handle(Input::Spilled { piece, failed }), ["disk trouble, no space"]);
    assert_eq!(bench.wait(1.0), ["spill 0.3 0.4"]);
    let works = bench.handle(Input::Spilled { piece, failed: None });
    assert_eq!(works[0], "disk works");
    let spill = bench.deliver(1, "0.5 0.6 0.7 0.8 0.9");
    assert_eq!(spill, ["spill 0.5 0.6 0.7 0.8 0.9"]);
    let lines = bench.deliver(1, "0.10 0.11");
    assert!(lines.is_empty(), "not while blocks are on their way to the disk: {lines:?}");
    let check = bench.handle(Input::Spilled { piece, failed: None });
    let disk = ["disk"; 10].join(" ");
    assert_eq!(check, [format!("check 0 [{disk} data data]")]);
}

/// Blocks of a piece that was dropped and begun again meanwhile are not the new piece's.
#[test]
fn a_spill_that_fails_after_its_piece_was_dropped_is_forgotten() {
    let mut bench = Bench::with(2, 12, |config| config.share_blocks = 4);
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

/// BEP 47: padding is zero. It is on no disk, so nothing that was sent for it may count.
#[test]
fn padding_goes_to_the_check_as_zeros_whatever_was_sent_for_it() {
    let extents = Extents::new([
        (10_000, false),
        (100, true),
        (5_000, false),
        (20_000, true),
        (4 * 16384 - 35_100, false),
    ]);
    let mut bench = Bench::with(1, 4, |config| config.extents = extents);
    bench.seed(1);
    let sent = |bench: &Bench, name: &str| {
        let mut block = bench.data();
        block.append(&[7; 16384]);
        (bench.block(name), block)
    };
    let blocks = ["0.0", "0.2", "0.3"].map(|name| sent(&bench, name));
    let lines = bench.event(1, LinkEvent::Blocks(blocks.into_iter().collect()));
    assert_eq!(lines, ["check 0 [data pad data data]"]);
    let held = &bench.at_disk[&0];
    let bytes: Vec<u8> = held
        .iter()
        .flat_map(|held| match held {
            Held::Data(block) => block.bytes().to_vec(),
            _ => vec![0; 16384],
        })
        .collect();
    let is_pad = |at: usize| (10_000..10_100).contains(&at) || (15_100..35_100).contains(&at);
    assert!((0..bytes.len()).all(|at| bytes[at] == if is_pad(at) { 0 } else { 7 }));
}

/// A disk full while pieces are larger than memory: one word at the beginning, one at the end.
#[test]
fn a_spill_that_failed_is_tried_again_without_a_word() {
    let mut bench = Bench::with(1, 12, |config| config.share_blocks = 4);
    bench.seed(1);
    bench.deliver(1, "0.0 0.1 0.2 0.3 0.4");
    let piece = bench.piece(0);
    let mut told = Vec::new();
    for seconds in [1.0, 2.0, 4.0] {
        let failed = Some((bench.spilled.remove(&0).unwrap(), "no space".to_owned()));
        told.extend(bench.handle(Input::Spilled { piece, failed }));
        let trial = bench.wait(seconds);
        assert_eq!(trial, ["spill 0.0 0.1 0.2 0.3 0.4"]);
    }
    assert_eq!(told, ["disk trouble, no space"]);
    bench.spilled.clear();
    let works = bench.handle(Input::Spilled { piece, failed: None });
    assert_eq!(works[0], "disk works");
}

/// The answer to one spill must not be taken for that of the next.
#[test]
fn a_piece_is_spilled_once_at_a_time() {
    let mut bench = Bench::with(1, 20, |config| config.share_blocks = 4);
    bench.seed(1);
    assert_eq!(bench.deliver(1, "0.0 0.1 0.2 0.3 0.4")[0], "spill 0.0 0.1 0.2 0.3 0.4");
    let lines = bench.deliver(1, "0.5 0.6 0.7 0.8 0.9");
    assert!(!lines.iter().any(|line| line.starts_with("spill")), "{lines:?}");
    let piece = bench.piece(0);
    let next = bench.handle(Input::Spilled { piece, failed: None });
    assert_eq!(next, ["spill 0.5 0.6 0.7 0.8 0.9"]);
}
