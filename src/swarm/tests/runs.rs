//! Servers of files: runs that are reserved beside the picker, begun piece by piece, shortened and
//! given back; who is asked, how often, and who is to blame.

use crate::base::ids::{FileIndex, SourceId};
use crate::swarm::event::{Holds, WebSource};
use crate::swarm::link::{RunEnd, Trouble};
use crate::swarm::report::SourceState;
use crate::swarm::sources::{Ground, Sources};
use crate::swarm::waits::Cause;

use super::*;

/// Links to servers are called peers from this number on, by their ids.
const LINKS: u8 = 100;

fn run_caps() -> LinkCaps {
    LinkCaps {
        unit: Unit::Run,
        chokes: false,
        pipeline_max: 2,
        can_upload_to: false,
        fast: true,
        extended: false,
        mse: None,
        is_way_unsure: false,
    }
}

fn trouble(rest: Option<u64>) -> Trouble {
    Trouble { why: "404 Not Found".into(), rest: rest.map(Duration::from_secs) }
}

fn leases(source: u32, links: std::ops::Range<u64>) -> Vec<String> {
    links.map(|link| format!("lease source {source} as {link}")).collect()
}

impl Bench {
    /// Pieces of 64 KiB, not in order.
    fn unordered(pieces: u32) -> Self {
        Self::with(pieces, 4, |config| config.sequential = false)
    }

    /// Files of so many blocks each, in pieces of four blocks.
    fn of_files(blocks: &[u32]) -> Self {
        let pieces = blocks.iter().sum::<u32>().div_ceil(4);
        let files: Vec<_> = blocks.iter().map(|it| (u64::from(*it) * 16384, false)).collect();
        Self::with(pieces, 4, |config| config.extents = Extents::new(files))
    }

    fn sources(&mut self, count: u32) -> Vec<String> {
        let told = |number| WebSource {
            source: SourceId(number),
            holds: Holds::All,
            priority: number,
            links_max: 8,
        };
        self.handle(Input::Sources((0..count).map(told).collect()))
    }

    fn served(&mut self, link: u64) -> Vec<String> {
        self.links.insert(LINKS + link as u8, LinkId(link));
        let up = Input::LinkUp { link: LinkId(link), peer_id: peer_id(1), caps: run_caps() };
        self.handle(up)
    }

    /// Whole pieces come on a link to a server.
    fn pieces(&mut self, link: u64, pieces: std::ops::Range<u32>) -> Vec<String> {
        let blocks: Vec<_> = pieces.flat_map(|it| self.layout.blocks(self.piece(it))).collect();
        self.deliver(LINKS + link as u8, &names(blocks))
    }

    fn ended(&mut self, link: u64, at: u32, why: RunEnd) -> Vec<String> {
        let count = self.ends_told.entry(link).or_default();
        let number = *count;
        *count += 1;
        self.event(LINKS + link as u8, LinkEvent::RunEnded { number, at, why })
    }

    fn lost(&mut self, link: u64) -> Vec<String> {
        self.handle(Input::LinkDown { link: LinkId(link), reason: lost() })
    }

    fn state(&self, source: usize) -> SourceState {
        self.swarm.sources(self.now)[source].state.clone()
    }

    fn in_progress(&self) -> u32 {
        self.swarm.snapshot(self.now).pieces_in_progress
    }

    fn cause(&mut self) -> Cause {
        self.handle(Input::Tick);
        self.swarm.waits(self.now).now.unwrap()
    }
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|other| other == line)
}

#[test]
fn a_link_is_wished_for_each_mib_up_to_eight() {
    assert_eq!(Bench::new(40).sources(1), leases(0, 0..3));
    assert_eq!(Bench::new(1).sources(1), leases(0, 0..1));
    assert_eq!(Bench::new(1000).sources(1), leases(0, 0..8));
}

#[test]
fn the_first_run_is_a_mib_and_its_pieces_are_begun_one_by_one() {
    let mut bench = Bench::new(40);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    assert_eq!(bench.in_progress(), 0, "nothing is open before its first block comes");
    assert!(bench.deliver(100, "0.0").is_empty());
    assert_eq!(bench.in_progress(), 1);
    assert_eq!(bench.deliver(100, "0.1 0.2 0.3 1.0"), ["check 0 [data data data data]"]);
    assert_eq!(bench.good(0), ["verified 0"]);
}

#[test]
fn a_run_is_ordered_ahead_after_a_clean_one_when_little_is_left() {
    let mut bench = Bench::new(400);
    bench.sources(1);
    bench.served(0);
    let lines = bench.pieces(0, 0..16);
    assert!(!lines.iter().any(|line| line.contains("fetch")), "not of a server never asked");
    // 1 MiB at once counts as 1.1 MiB a second: four seconds of that.
    assert_eq!(bench.ended(0, 16, RunEnd::Done), ["peer 100: fetch 16..86"]);
    let far = bench.pieces(0, 16..40);
    assert!(!far.iter().any(|line| line.contains("fetch")), "{far:?}");
    let near = bench.pieces(0, 40..84);
    // However fast it is by now, no more than half of what is left.
    assert!(has(&near, "peer 100: fetch 86..243"), "{near:?}");
    let full = bench.pieces(0, 84..86);
    assert!(!full.iter().any(|line| line.contains("fetch")), "one ahead at most: {full:?}");
}

#[test]
fn links_of_one_source_divide_the_largest_gap() {
    let mut bench = Bench::unordered(1000);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    assert_eq!(bench.served(1), ["peer 101: fetch 508..524"]);
    let third = bench.served(2);
    assert_eq!(third, ["peer 102: fetch 262..278"]);
}

#[test]
fn what_a_broken_link_had_is_given_back() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..1);
    bench.deliver(100, "1.0 1.1");
    bench.lost(0);
    // The piece that is begun comes from the peer, and the rest, too.
    let lines = bench.seed(1);
    assert!(lines.last().unwrap().starts_with("peer 1: request 1.2 1.3 2.0 2.1"), "{lines:?}");
}

#[test]
fn without_peers_a_begun_piece_is_asked_of_the_server_again() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..1);
    bench.deliver(100, "1.0 1.1");
    assert_eq!(bench.lost(0), leases(0, 1..2));
    // What has come of it does not come again.
    assert_eq!(bench.served(1), ["peer 101: fetch 1..2 from block 2"]);
    let lines = bench.deliver(101, "1.2 1.3");
    assert!(has(&lines, "check 1 [data data data data]"), "{lines:?}");
    let next = ["peer 101: fetch 2..4", "peer 101: fetch 4..6"];
    assert_eq!(bench.ended(1, 2, RunEnd::Done), next);
}

#[test]
fn a_server_that_could_not_be_reached_for_want_of_a_way_out_has_not_failed() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.sources(1), leases(0, 0..1));
    for link in 0..5 {
        let reason = DownReason::Held("waits for tun0: it is down".to_owned());
        let next = bench.handle(Input::LinkDown { link: LinkId(link), reason });
        assert_eq!(next, leases(0, link + 1..link + 2));
    }
    assert!(bench.lost(5).is_empty());
    assert_eq!(bench.wait(1.1), leases(0, 6..7), "its first failure");
}

#[test]
fn a_server_that_fails_is_left_alone_ever_longer() {
    let mut bench = Bench::new(4);
    bench.sources(1);
    let mut link = 0;
    for rest in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
        assert_eq!(bench.lost(link), Vec::<String>::new());
        assert!(bench.wait(rest - 0.1).is_empty(), "not before {rest} s");
        link += 1;
        assert_eq!(bench.wait(0.2), leases(0, link..link + 1));
    }
}

#[test]
fn a_silent_link_loses_what_is_reserved() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    bench.deliver(100, "0.0");
    assert!(bench.wait(9.9).is_empty());
    assert_eq!(bench.wait(0.2), ["peer 100: shorten to 1"]);
    let lines = bench.seed(1);
    assert!(lines.last().unwrap().starts_with("peer 1: request 0.1 0.2 0.3 1.0"), "{lines:?}");
    // What it has begun is welcome all the same.
    assert_eq!(bench.deliver(100, "0.1"), ["peer 1: cancel 0.1", "peer 1: request 2.3"]);
}

#[test]
fn a_server_may_take_its_time_for_the_first_byte() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    assert!(bench.wait(19.0).is_empty(), "its run is left to it");
    let lines = bench.pieces(0, 0..16);
    assert!(has(&lines, "check 15 [data data data data]"), "{lines:?}");
    assert_eq!(bench.state(0), SourceState::Fit);
}

/// That a run is over of which nothing came is our own doing.
#[test]
fn a_server_that_never_answers_is_not_asked_again_but_left_alone() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    assert_eq!(bench.wait(25.1), ["peer 100: shorten to 0"]);
    assert!(bench.ended(0, 0, RunEnd::Done).is_empty(), "no other run of it");
    let lines = bench.wait(2.1);
    assert!(has(&lines, "peer 100: close, it has nothing to bring at present"), "{lines:?}");
    let SourceState::Waits { why, .. } = bench.state(0) else { panic!("{:?}", bench.state(0)) };
    assert_eq!(why, "it was asked and sent nothing for long");
}

#[test]
fn of_a_server_that_does_not_answer_for_long_others_take_all_it_was_to_bring() {
    let mut bench = Bench::new(32);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    assert_eq!(bench.served(1), ["peer 101: fetch 16..32"]);
    bench.wait(1.0);
    bench.pieces(1, 16..32);
    for end in [8, 4, 2, 1] {
        let lines = bench.ended(1, 0, RunEnd::Done);
        assert!(has(&lines, &format!("peer 100: shorten to {end}")), "{end}: {lines:?}");
        bench.pieces(1, end..2 * end);
    }
    bench.wait(9.1);
    let lines = bench.ended(1, 2, RunEnd::Done);
    assert_eq!(lines, ["peer 100: shorten to 0", "peer 101: fetch 0..1"]);
    assert!(bench.ended(0, 0, RunEnd::Done).is_empty(), "it is still to answer");
}

#[test]
fn a_peer_that_has_nothing_to_begin_takes_the_last_piece_of_a_run() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..1);
    bench.wait(7.0);
    let lines = bench.seed(1);
    assert!(has(&lines, "peer 100: shorten to 15"), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("request 15.0 15.1 15.2 15.3")), "{lines:?}");
}

#[test]
fn a_link_that_has_nothing_to_begin_takes_half_of_the_longest_run() {
    let mut bench = Bench::new(32);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    assert_eq!(bench.served(1), ["peer 101: fetch 16..32"]);
    bench.pieces(0, 0..1);
    bench.pieces(1, 16..32);
    bench.wait(5.0);
    // Of fifteen pieces that are reserved seven.
    let lines = bench.ended(1, 32, RunEnd::Done);
    assert_eq!(lines, ["peer 100: shorten to 9", "peer 101: fetch 9..16"]);
}

#[test]
fn nothing_is_taken_from_a_link_that_is_new() {
    let mut bench = Bench::new(32);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    bench.wait(0.4);
    assert_eq!(bench.served(1), ["peer 101: fetch 16..32"]);
    bench.pieces(1, 16..32);
    assert!(bench.ended(1, 32, RunEnd::Done).is_empty());
    let lines = bench.wait(0.3);
    assert!(lines.iter().any(|line| line.starts_with("peer 100: shorten to")), "{lines:?}");
}

/// Else two links that have nothing to begin would take it from each other for ever.
#[test]
fn what_a_link_has_not_begun_is_not_all_taken_from_it() {
    let mut bench = Bench::new(17);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    assert_eq!(bench.served(1), ["peer 101: fetch 16..17"]);
    bench.wait(1.0);
    bench.pieces(0, 0..16);
    assert_eq!(bench.ended(0, 16, RunEnd::Done), Vec::<String>::new());
}

#[test]
fn wrong_pieces_cost_first_themselves_then_their_file() {
    let mut bench = Bench::of_files(&[16, 16]);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..8"]);
    bench.pieces(0, 0..8);
    assert_eq!(bench.bad(0, &[9; 4])[0], "wrong 0, blamed source 0");
    assert_eq!(bench.swarm.sources(bench.now)[0].files, []);
    assert_eq!(bench.bad(1, &[9; 4])[0], "wrong 1, blamed source 0");
    let files = bench.swarm.sources(bench.now)[0].files.clone();
    assert_eq!((files.len(), files[0].file), (1, FileIndex(0)));
    assert_eq!(bench.state(0), SourceState::Fit);
    bench.bad(4, &[9; 4]);
    let lines = bench.bad(5, &[9; 4]);
    assert!(has(&lines, "peer 100: close, it has nothing to bring at present"), "{lines:?}");
    assert!(matches!(bench.state(0), SourceState::Off { .. }));
    assert_eq!(bench.cause(), Cause::SourcesDiffer);
}

#[test]
fn a_wrong_piece_of_two_files_costs_only_itself() {
    let mut bench = Bench::of_files(&[6, 6, 6, 6]);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..6);
    for seam in [1, 4] {
        bench.bad(seam, &[9; 4]);
    }
    assert_eq!(bench.swarm.sources(bench.now)[0].files, []);
    let lines = bench.ended(0, 6, RunEnd::Done);
    assert!(!lines.iter().any(|line| line.contains("fetch")), "nor is it asked again: {lines:?}");
}

#[test]
fn a_source_that_wastes_too_much_is_off() {
    let mut bench = Bench::of_files(&[2; 20]);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..10);
    for piece in 0..7 {
        bench.bad(piece, &[9; 4]);
        assert_eq!(bench.state(0), SourceState::Fit, "piece {piece}");
    }
    bench.bad(7, &[9; 4]);
    assert!(matches!(bench.state(0), SourceState::Off { .. }));
}

#[test]
fn a_file_that_cannot_be_had_is_left_out_until_it_may_be_asked_for_again() {
    let mut bench = Bench::of_files(&[16, 16, 16]);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..12"]);
    bench.pieces(0, 0..4);
    let why = RunEnd::File(FileIndex(1), trouble(Some(600)));
    assert_eq!(bench.ended(0, 4, why), ["peer 100: fetch 8..12"]);
    bench.pieces(0, 8..12);
    bench.ended(0, 12, RunEnd::Done);
    assert_eq!(bench.cause(), Cause::SourceWaits);
    let lines = bench.wait(599.0);
    assert!(!lines.iter().any(|line| line.contains("lease") || line.contains("fetch")));
    assert_eq!(bench.wait(2.0), leases(0, 1..2));
}

#[test]
fn three_files_that_are_refused_mean_the_source_whatever_link_says_so() {
    let mut bench = Bench::of_files(&[16, 16, 16, 16]);
    bench.sources(1);
    bench.served(0);
    let refused = |file| RunEnd::Refused(FileIndex(file), trouble(Some(600)));
    bench.ended(0, 0, refused(0));
    // The same one again is no other.
    bench.ended(0, 4, refused(0));
    bench.lost(0);
    assert_eq!(bench.wait(1.5), leases(0, 1..2), "nothing came, so it rested");
    bench.served(1);
    bench.ended(1, 4, refused(1));
    assert_eq!(bench.state(0), SourceState::Fit);
    let lines = bench.ended(1, 8, refused(2));
    assert!(has(&lines, "peer 101: close, it has nothing to bring at present"), "{lines:?}");
    let SourceState::Waits { left, .. } = bench.state(0) else { panic!("{:?}", bench.state(0)) };
    assert_eq!(left, Some(Duration::from_secs(600)));
}

#[test]
fn many_files_in_a_row_that_are_not_there_mean_that_the_source_is_asked_ever_later() {
    let mut bench = Bench::of_files(&[4; 60]);
    bench.sources(1);
    let gone = |file| RunEnd::File(FileIndex(file), trouble(Some(3600)));
    let lose = |bench: &mut Bench, link: u64, files: std::ops::Range<u32>| {
        bench.served(link);
        files.for_each(|file| drop(bench.ended(link, file, gone(file))));
    };
    let left = |bench: &Bench| match bench.state(0) {
        SourceState::Waits { left, .. } => left.map(|left| left.as_secs()),
        _ => None,
    };
    lose(&mut bench, 0, 0..15);
    assert_eq!(left(&bench), None);
    // Something is there.
    bench.deliver(LINKS, "15.0 15.1 15.2 15.3");
    for file in 16..31 {
        bench.ended(0, file, gone(file));
    }
    assert_eq!(left(&bench), None);
    let lines = bench.ended(0, 31, gone(31));
    assert!(has(&lines, "peer 100: close, it has nothing to bring at present"), "{lines:?}");
    assert_eq!(left(&bench), Some(10));
    bench.wait(10.1);
    lose(&mut bench, 1, 32..48);
    assert_eq!(left(&bench), Some(20));
}

#[test]
fn a_file_that_is_another_one_stays_so_whatever_is_told_of_it_later() {
    let mut bench = Bench::of_files(&[16, 16]);
    bench.sources(1);
    bench.served(0);
    bench.ended(0, 0, RunEnd::File(FileIndex(0), trouble(None)));
    bench.ended(0, 0, RunEnd::File(FileIndex(0), trouble(Some(60))));
    let files = bench.swarm.sources(bench.now)[0].files.clone();
    assert_eq!((files[0].file, files[0].left), (FileIndex(0), None));
}

#[test]
fn the_piece_at_which_links_broke_last_is_not_forgotten_for_others() {
    let bench = Bench::new(100);
    let extents = Extents::new([(bench.layout.total_len(), false)]);
    let ground = Ground { layout: &bench.layout, extents: &extents };
    let source = SourceId(0);
    let mut sources = Sources::default();
    sources.tell(vec![WebSource { source, holds: Holds::All, priority: 1, links_max: 8 }], ground);
    for piece in 1..=64 {
        sources.broke_at(source, bench.piece(piece), bench.now);
    }
    for _ in 0..2 {
        sources.broke_at(source, bench.piece(0), bench.now);
    }
    let ranges = sources.ranges(source, ground, bench.now);
    assert_eq!(format!("{ranges:?}"), "[1..100]");
}

#[test]
fn a_source_that_nothing_is_wished_of_waits_for_no_connection() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    let why = "429".to_owned();
    bench.handle(Input::SourceWaits { source: SourceId(0), until: None, why });
    let lines = bench.handle(Input::Wanted(set(16, &[])));
    assert!(lines.iter().any(|line| line.contains("close")), "{lines:?}");
    assert_eq!(bench.state(0), SourceState::Fit);
}

/// Sources of these files of two, and one of both together for what lies in both.
fn of_one_file_each(bench: &mut Bench, first: &[u32]) -> Vec<String> {
    let files = |files: &[u32]| files.iter().map(|file| FileIndex(*file)).collect();
    let told =
        [Holds::Files(files(first)), Holds::Files(files(&[1])), Holds::Seams(files(&[0, 1]))];
    let told = (0..).zip(told).map(|(number, holds)| {
        let links_max = if matches!(holds, Holds::Seams(_)) { 1 } else { 8 };
        WebSource { source: SourceId(number), holds, priority: number, links_max }
    });
    bench.handle(Input::Sources(told.collect()))
}

#[test]
fn a_piece_of_two_files_comes_from_the_servers_of_both_where_none_has_both() {
    // Pieces of four blocks: the second one has two of each file.
    let mut bench = Bench::of_files(&[6, 6]);
    let lines = of_one_file_each(&mut bench, &[0]);
    assert_eq!(lines, [leases(0, 0..1), leases(1, 1..2), leases(2, 2..3)].concat());
    assert_eq!(bench.served(0), ["peer 100: fetch 0..1"]);
    assert_eq!(bench.served(1), ["peer 101: fetch 2..3"]);
    assert_eq!(bench.served(2), ["peer 102: fetch 1..2"]);
    assert_eq!(bench.pieces(2, 1..2), ["check 1 [data data data data]"]);
    // Whose fault it is when it is wrong, nobody knows: it is asked for again, later.
    bench.bad(1, &[1, 2, 3, 4]);
    assert_eq!(bench.state(2), SourceState::Fit);
}

#[test]
fn servers_of_one_file_each_are_not_used_together_while_one_has_both() {
    let mut bench = Bench::of_files(&[6, 6]);
    assert_eq!(of_one_file_each(&mut bench, &[0, 1]), leases(0, 0..1));
    assert_eq!(bench.served(0), ["peer 100: fetch 0..3"]);
    // It has the second file no longer, and the seam with it.
    let lines = bench.ended(0, 0, RunEnd::File(FileIndex(1), trouble(None)));
    let expected = ["peer 100: fetch 0..1".to_owned()];
    assert_eq!(lines, [&expected[..], &leases(1, 1..2), &leases(2, 2..3)].concat());
    assert_eq!(bench.served(2), ["peer 102: fetch 1..2"]);
}

#[test]
fn a_file_that_is_sent_as_a_whole_ends_before_the_piece_that_is_of_another_one_too() {
    let mut bench = Bench::of_files(&[6, 6]);
    of_one_file_each(&mut bench, &[0]);
    bench.served(0);
    let lines = bench.ended(0, 0, RunEnd::WholeOnly(FileIndex(0)));
    assert!(has(&lines, "peer 100: fetch 0..1 of a whole file"), "{lines:?}");
}

/// A server that sends files only as a whole cannot begin within a piece; all before it has to
/// come, too.
#[test]
fn servers_of_whole_files_are_used_together_from_the_first_byte_on() {
    let mut bench = Bench::of_files(&[6, 6]);
    of_one_file_each(&mut bench, &[0]);
    for link in 0..3 {
        bench.served(link);
    }
    bench.pieces(0, 0..1);
    bench.good(0);
    bench.ended(0, 1, RunEnd::Done);
    bench.ended(1, 2, RunEnd::WholeOnly(FileIndex(1)));
    let lines = bench.ended(2, 1, RunEnd::WholeOnly(FileIndex(0)));
    assert!(has(&lines, "peer 102: fetch 0..3 of a whole file"), "{lines:?}");
}

/// A run that was ordered when the hand had just ended all that it had is not fetched: what it
/// tells of that is no word about the run that is ordered then.
#[test]
fn an_order_that_crosses_the_end_of_all_runs_is_taken_back() {
    let mut bench = Bench::of_files(&[80, 80, 80]);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    bench.pieces(0, 0..16);
    assert_eq!(bench.ended(0, 16, RunEnd::Done), ["peer 100: fetch 16..60"]);
    let why = RunEnd::File(FileIndex(1), trouble(None));
    let lines = bench.ended(0, 20, why);
    assert_eq!(lines, ["peer 100: fetch 16..20", "peer 100: fetch 40..60"], "no other was lost");
    bench.pieces(0, 16..18);
    let lines = bench.ended(0, 18, RunEnd::File(FileIndex(0), trouble(None)));
    assert_eq!(lines, ["peer 100: shorten to 0", "peer 100: fetch 40..60"]);
    assert!(bench.ended(0, 0, RunEnd::Done).is_empty());
    let lines = bench.pieces(0, 40..60);
    assert!(has(&lines, "check 59 [data data data data]"), "{lines:?}");
}

#[test]
fn a_file_that_is_sent_as_a_whole_only_is_the_last_resort() {
    let mut bench = Bench::of_files(&[16, 16]);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..5);
    (0..5).for_each(|piece| drop(bench.good(piece)));
    bench.ended(0, 5, RunEnd::WholeOnly(FileIndex(1)));
    // From its first piece on, though that is here.
    let files = bench.swarm.sources(bench.now)[0].files.clone();
    assert!(files[0].whole_only && files[0].why.is_none());
    let lines = bench.pieces(0, 4..8);
    assert!(has(&lines, "check 7 [data data data data]"), "{lines:?}");
    (5..8).for_each(|piece| drop(bench.good(piece)));
    assert!(bench.swarm.is_complete());
}

#[test]
fn of_a_file_that_is_sent_as_a_whole_nothing_comes_behind_the_last_piece_that_is_missing() {
    let mut bench = Bench::of_files(&[16, 40]);
    bench.handle(Input::Wanted(set(14, &[6, 7])));
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 6..8"]);
    let lines = bench.ended(0, 6, RunEnd::WholeOnly(FileIndex(1)));
    assert_eq!(lines, ["peer 100: fetch 4..8 of a whole file"]);
    // What is in the way is not wanted, and not kept.
    assert_eq!(bench.pieces(0, 4..6), Vec::<String>::new());
    assert_eq!(bench.in_progress(), 0);
    let lines = bench.pieces(0, 6..8);
    assert!(has(&lines, "check 7 [data data data data]"), "{lines:?}");
}

/// The piece of both is not to be had: what is in front of the next one comes, and is thrown away.
#[test]
fn a_whole_file_that_begins_within_a_piece_of_one_that_is_not_there_comes_from_the_next_one_on() {
    let mut bench = Bench::of_files(&[18, 18]);
    bench.sources(1);
    bench.served(0);
    bench.ended(0, 0, RunEnd::File(FileIndex(0), trouble(None)));
    let lines = bench.ended(0, 5, RunEnd::WholeOnly(FileIndex(1)));
    assert_eq!(lines, ["peer 100: fetch 5..9 of a whole file"]);
    let lines = bench.pieces(0, 5..9);
    assert!(has(&lines, "check 8 [data data data data]"), "{lines:?}");
    (5..9).for_each(|piece| drop(bench.good(piece)));
    bench.ended(0, 9, RunEnd::Done);
    assert!(!bench.wait(300.0).iter().any(|line| line.contains("fetch")), "nor the piece of both");
    assert_eq!(bench.cause(), Cause::SourcesDiffer);
}

#[test]
fn whole_files_in_a_row_behind_one_that_is_not_there_come_all_the_same() {
    let mut bench = Bench::of_files(&[14, 12, 16, 10]);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..13"]);
    bench.pieces(0, 0..3);
    let lines = bench.ended(0, 3, RunEnd::File(FileIndex(1), trouble(Some(3600))));
    assert_eq!(lines, ["peer 100: fetch 7..13"]);
    bench.ended(0, 7, RunEnd::WholeOnly(FileIndex(2)));
    let lines = bench.ended(0, 11, RunEnd::WholeOnly(FileIndex(3)));
    assert_eq!(lines, ["peer 100: fetch 7..13 of a whole file"]);
    bench.pieces(0, 7..13);
    (0..3).chain(7..13).for_each(|piece| drop(bench.good(piece)));
    bench.ended(0, 13, RunEnd::Done);
    assert_eq!(bench.cause(), Cause::SourceWaits);
}

/// Else it would end at the file that is not there, and be ordered again from the first byte on.
#[test]
fn a_run_of_whole_files_does_not_go_over_one_between_them_that_is_not_there() {
    let mut bench = Bench::of_files(&[16, 18, 1, 13]);
    bench.handle(Input::Wanted(set(12, &[4, 5, 6, 7, 8, 9, 10, 11])));
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 4..12"]);
    assert_eq!(bench.ended(0, 4, RunEnd::WholeOnly(FileIndex(1))), ["peer 100: fetch 9..12"]);
    let lines = bench.ended(0, 9, RunEnd::WholeOnly(FileIndex(3)));
    assert_eq!(lines, ["peer 100: fetch 4..12 of a whole file"]);
    bench.pieces(0, 4..8);
    let lines = bench.ended(0, 8, RunEnd::File(FileIndex(2), trouble(None)));
    assert_eq!(lines, ["peer 100: fetch 9..12 of a whole file"]);
}

#[test]
fn a_whole_file_that_breaks_off_is_begun_anew_ever_later() {
    let mut bench = Bench::of_files(&[64]);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    let whole = || RunEnd::WholeOnly(FileIndex(0));
    assert_eq!(bench.ended(0, 4, whole()), ["peer 100: fetch 0..16 of a whole file"]);
    let mut link = 0;
    for rest in [60.0, 120.0] {
        bench.ended(link, 4, whole());
        let lines = bench.wait(rest - 1.0);
        assert!(!lines.iter().any(|line| line.contains("fetch") || line.contains("lease")));
        let lines = bench.wait(2.0);
        link += 1;
        assert!(has(&lines, &leases(0, link..link + 1)[0]), "after {rest} s: {lines:?}");
        assert_eq!(
            bench.served(link),
            [format!("peer {}: fetch 0..16 of a whole file", 100 + link)]
        );
    }
}

/// Parts that are asked for at one time are all answered so: nothing has broken off by that.
#[test]
fn a_whole_file_is_begun_at_once_whatever_parts_of_it_were_asked_for_before_that_was_known() {
    let mut bench = Bench::of_files(&[256]);
    bench.sources(1);
    let whole = || RunEnd::WholeOnly(FileIndex(0));
    assert_eq!(bench.served(0), ["peer 100: fetch 0..16"]);
    assert_eq!(bench.served(1), ["peer 101: fetch 16..32"]);
    assert_eq!(bench.served(2), ["peer 102: fetch 32..48"]);
    bench.pieces(0, 0..16);
    (0..16).for_each(|piece| drop(bench.good(piece)));
    let lines = bench.ended(0, 16, RunEnd::Done);
    assert!(has(&lines, "peer 100: fetch 48..64"), "{lines:?}");
    for (link, at) in [(1, 16), (2, 32)] {
        let lines = bench.ended(link, at, whole());
        assert!(!lines.iter().any(|line| line.contains("fetch")), "another has a run: {lines:?}");
    }
    let lines = bench.ended(0, 48, whole());
    assert!(lines.iter().any(|line| line.ends_with("fetch 0..64 of a whole file")), "{lines:?}");
    let files = bench.swarm.sources(bench.now)[0].files.clone();
    assert_eq!((files[0].whole_only, files[0].why.clone()), (true, None));
}

#[test]
fn a_piece_of_a_whole_file_that_broke_off_within_it_is_completed() {
    let mut bench = Bench::of_files(&[16]);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..4"]);
    bench.pieces(0, 0..3);
    (0..3).for_each(|piece| drop(bench.good(piece)));
    let begun: Vec<_> = bench.layout.blocks(bench.piece(3)).take(2).collect();
    bench.deliver(LINKS, &names(begun));
    let lines = bench.ended(0, 3, RunEnd::WholeOnly(FileIndex(0)));
    assert_eq!(lines, ["peer 100: fetch 0..4 of a whole file"], "nothing else is missing");
    let lines = bench.pieces(0, 0..4);
    assert!(has(&lines, "check 3 [data data data data]"), "{lines:?}");
}

#[test]
fn a_piece_that_is_wrong_each_time_is_asked_for_ever_later() {
    // Over two files, so that no file is to blame.
    let mut bench = Bench::of_files(&[2, 2]);
    bench.sources(1);
    bench.served(0);
    let mut link = 0;
    for rest in [60.0, 120.0, 240.0] {
        bench.pieces(link, 0..1);
        bench.bad(0, &[9; 4]);
        bench.ended(link, 1, RunEnd::Done);
        let lines = bench.wait(rest - 1.0);
        assert!(!lines.iter().any(|line| line.contains("fetch") || line.contains("lease")));
        let lines = bench.wait(2.0);
        link += 1;
        assert!(has(&lines, &leases(0, link..link + 1)[0]), "after {rest} s: {lines:?}");
        assert_eq!(bench.served(link), [format!("peer {}: fetch 0..1", 100 + link)]);
    }
}

#[test]
fn a_piece_longer_than_any_run_is_a_run_of_its_own() {
    const BLOCKS: u32 = (65 << 20) / BLOCK_LEN as u32;
    let mut bench = Bench::with(4, BLOCKS, |config| config.share_blocks = 4 * BLOCKS as usize);
    bench.sources(1);
    assert_eq!(bench.served(0), ["peer 100: fetch 0..1"]);
    // From then on it is the rate that counts, in runs of 64 MiB at most.
    let lines = bench.ended(0, 1, RunEnd::Done);
    let one = |number| format!("peer 100: fetch {number}..{}", number + 1);
    assert!((0..4).any(|number| lines == [one(number)]), "{lines:?}");
}

#[test]
fn a_source_that_is_far_slower_than_another_is_left_alone() {
    let mut bench = Bench::with(28, 16, |_| ());
    assert_eq!(bench.sources(2), leases(0, 0..7));
    let mut lines = bench.served(0);
    assert_eq!(lines, ["peer 100: fetch 0..4"]);
    // Whoever waits for it keeps nobody else out, who gets links, too.
    let why = "all connections are in use".to_owned();
    let waits = Input::SourceWaits { source: SourceId(0), until: None, why };
    assert_eq!(bench.handle(waits)[0], "lease source 1 as 7");
    assert_eq!(bench.served(7), ["peer 107: fetch 4..8"]);
    let (mut runs, mut left) = (Vec::new(), Vec::new());
    let mut blocks = Vec::new();
    for second in 0..90 {
        for line in lines.drain(..) {
            let Some(run) = line.strip_prefix("peer 100: fetch ") else { continue };
            let (first, end) = run.split_once("..").unwrap();
            let (first, end): (u32, u32) = (first.parse().unwrap(), end.parse().unwrap());
            let of_run = (first..end).flat_map(|it| bench.layout.blocks(bench.piece(it)));
            blocks.extend(of_run);
            runs.push((end, blocks.len()));
        }
        // Four blocks a second come from the one, and from the other one in nine seconds.
        let came = second * 4;
        let four: Vec<_> = blocks.iter().skip(came).take(4).copied().collect();
        if !four.is_empty() {
            lines.extend(bench.deliver(100, &names(four)));
        }
        if let Some((end, _)) = runs.iter().find(|(_, count)| (came + 1..=came + 4).contains(count))
        {
            lines.extend(bench.ended(0, *end, RunEnd::Done));
        }
        if second % 9 == 0 {
            left.extend(bench.deliver(107, &format!("4.{}", second / 9)));
        }
        let passed = bench.wait(1.0);
        left.extend(passed.iter().cloned());
        lines.extend(passed);
        if bench.state(1) == SourceState::Slow {
            break;
        }
    }
    assert_eq!(bench.state(1), SourceState::Slow, "{left:?}");
    assert_ne!(bench.state(0), SourceState::Slow);
    assert!(left.iter().any(|line| line.starts_with("peer 107: shorten")), "{left:?}");
}

#[test]
fn a_begun_piece_that_a_peer_brings_too_late_is_taken_over() {
    let mut bench = Bench::new(17);
    bench.up(1);
    bench.event(1, LinkEvent::Availability(Availability::Some(set(17, &[16]))));
    bench.event(1, LinkEvent::Unchoked);
    bench.wait(8.0);
    bench.deliver(1, "16.0");
    bench.sources(1);
    assert_eq!(bench.served(1), ["peer 101: fetch 0..16"]);
    bench.pieces(1, 0..16);
    let lines = bench.ended(1, 16, RunEnd::Done);
    assert!(has(&lines, "peer 101: fetch 16..17 from block 1"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("peer 1: cancel")), "{lines:?}");
}

#[test]
fn a_piece_of_very_many_files_is_left_to_peers_that_have_it() {
    let mut bench = crumbly();
    bench.up(1);
    bench.event(1, LinkEvent::Availability(Availability::Some(set(3, &[1]))));
    bench.event(1, LinkEvent::Unchoked);
    bench.sources(1);
    assert_eq!(bench.served(1), ["peer 101: fetch 0..1"]);
    // One that has it and keeps us choked is not waited for.
    let mut choked = crumbly();
    choked.up(1);
    choked.event(1, LinkEvent::Availability(Availability::Some(set(3, &[1]))));
    choked.sources(1);
    assert_eq!(choked.served(1), ["peer 101: fetch 0..3"]);
    let mut alone = crumbly();
    alone.sources(1);
    assert_eq!(alone.served(0), ["peer 100: fetch 0..3"]);
}

/// Three pieces, the second of sixteen files.
fn crumbly() -> Bench {
    let piece = 4 * 16384u64;
    let lens = [vec![piece], vec![piece / 16; 16], vec![piece]].concat();
    Bench::with(3, 4, |config| config.extents = Extents::new(lens.iter().map(|len| (*len, false))))
}

#[test]
fn pause_ends_links_and_a_completed_torrent_has_none() {
    let mut bench = Bench::new(40);
    bench.sources(1);
    bench.served(0);
    let lines = bench.handle(Input::Pause(true));
    assert_eq!(lines.iter().filter(|line| line.contains("close, we stopped")).count(), 3);
    assert_eq!(bench.handle(Input::Pause(false)), leases(0, 3..6));
    bench.handle(Input::Wanted(set(40, &[0])));
    assert_eq!(bench.served(3), ["peer 103: fetch 0..1"]);
    bench.pieces(3, 0..1);
    let lines = bench.good(0);
    assert!(has(&lines, "peer 103: close, it has nothing to bring at present"), "{lines:?}");
    assert!(bench.swarm.sources(bench.now)[0].coming == 0);
}

#[test]
fn a_run_ends_before_what_is_not_wanted_any_more() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..2);
    let wanted: Vec<u32> = (0..16).filter(|piece| *piece != 6).collect();
    let lines = bench.handle(Input::Wanted(set(16, &wanted)));
    assert_eq!(lines, ["peer 100: shorten to 6"]);
    bench.pieces(0, 2..6);
    assert_eq!(bench.ended(0, 6, RunEnd::Done), ["peer 100: fetch 7..16"]);
}

#[test]
fn of_a_long_list_four_are_used_and_others_when_those_are_off() {
    let mut bench = Bench::new(4000);
    let lines = bench.sources(300);
    let eight = |source: u32| leases(source, u64::from(source) * 8..u64::from(source) * 8 + 8);
    assert_eq!(lines, (0..4).flat_map(eight).collect::<Vec<_>>());
    bench.served(0);
    let lines = bench.ended(0, 0, RunEnd::Source(trouble(None)));
    assert_eq!(lines.iter().filter(|line| line.contains("close")).count(), 8);
    assert_eq!(lines.iter().filter(|line| line.starts_with("lease source 4")).count(), 8);
}

#[test]
fn a_disk_in_trouble_leaves_only_what_is_begun() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    bench.served(0);
    bench.pieces(0, 0..1);
    bench.deliver(100, "1.0");
    let lines = bench.write_failed(0);
    assert!(has(&lines, "peer 100: shorten to 2"), "{lines:?}");
}

#[test]
fn the_cause_is_the_source_that_waits_or_is_silent() {
    let mut bench = Bench::new(16);
    bench.sources(1);
    assert_eq!(bench.cause(), Cause::SourceWaits);
    let until = Some(bench.now + Duration::from_secs(12));
    let why = "429".to_owned();
    bench.handle(Input::SourceWaits { source: SourceId(0), until, why: why.clone() });
    assert_eq!(bench.state(0), SourceState::Waits { left: Some(Duration::from_secs(12)), why });
    bench.served(0);
    assert_eq!((bench.cause(), bench.state(0)), (Cause::Transfer, SourceState::Fit));
    bench.wait(10.5);
    assert_eq!(bench.cause(), Cause::SourceSlow);
}

#[test]
fn that_sources_have_other_files_is_the_cause_when_nothing_else_is_left_to_be_had() {
    let mut bench = Bench::of_files(&[16, 6, 2]);
    bench.sources(1);
    bench.served(0);
    assert_eq!(
        bench.ended(0, 0, RunEnd::File(FileIndex(0), trouble(None))),
        ["peer 100: fetch 4..6"]
    );
    bench.pieces(0, 4..6);
    bench.good(4);
    // Of two files, so that it is asked for again, later.
    bench.bad(5, &[9; 4]);
    bench.ended(0, 6, RunEnd::Done);
    assert_ne!(bench.cause(), Cause::SourcesDiffer);
    assert_eq!(bench.wait(61.0).last(), leases(0, 1..2).last());
    bench.served(1);
    bench.pieces(1, 5..6);
    bench.good(5);
    bench.ended(1, 6, RunEnd::Done);
    assert_eq!(bench.cause(), Cause::SourcesDiffer);
}

#[test]
fn a_piece_that_a_source_may_bring_is_not_out_of_reach() {
    let mut bench = Bench::new(4);
    bench.sources(1);
    assert!(!bench.swarm.is_out_of_reach());
    assert_eq!(bench.swarm.nobody_has(), 0);
    bench.served(0);
    bench.ended(0, 0, RunEnd::Source(trouble(None)));
    assert_eq!(bench.swarm.nobody_has(), 4);
}
