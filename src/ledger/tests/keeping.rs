//! What is said to a ledger is there at the next start, in a directory as on a model.

use proptest::prelude::*;

use super::super::replay::{Packed, read_body, spec_body};
use super::*;

#[test]
fn a_directory_keeps_torrents_counts_and_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (mut ledger, restored) = Ledger::open(&state).unwrap();
    assert_eq!((restored.torrents.len(), restored.troubles.len()), (0, 0));
    assert_eq!(ledger.next_id(), Some(TorrentId(1)));
    for id in [1, 2, 3] {
        ledger.add(&spec(id), Some(torrent(id))).unwrap();
    }
    let link = Spec { link: Some("magnet:?xt=urn:btih:77".to_owned()), ..spec(4) };
    ledger.add(&link, None).unwrap();
    ledger.tally(TorrentId(2), tally(7));
    ledger.commit().unwrap();
    ledger.remove(TorrentId(1));
    let changed = Spec { place: Place(5), paused: true, ..spec(3) };
    ledger.put(&changed).unwrap();
    ledger.commit().unwrap();
    drop(ledger);

    let (ledger, restored) = Ledger::open(&state).unwrap();
    assert_eq!(restored.troubles, []);
    let found: Vec<_> =
        restored.torrents.iter().map(|it| (it.spec.clone(), it.tally, it.has_metadata)).collect();
    let none = Tally::default();
    // In the order of the queue.
    assert_eq!(found, [(changed, none, true), (spec(2), tally(7), true), (link, none, false)]);
    assert_eq!(ledger.next_id(), Some(TorrentId(5)));
    for id in [2, 3] {
        assert_eq!(ledger.locate(TorrentId(id)).unwrap().read().unwrap(), torrent(id));
    }
    assert!(ledger.locate(TorrentId(1)).is_none() && ledger.locate(TorrentId(4)).is_none());
}

#[test]
fn a_second_process_hears_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (held, _) = Ledger::open(dir.path()).unwrap();
    let refused = Ledger::open(dir.path()).unwrap_err().to_string();
    let ours = format!("(process {})", std::process::id());
    assert!(refused.ends_with(&ours) && refused.lines().count() == 1, "{refused}");
    drop(held);
    assert!(Ledger::open(dir.path()).is_ok());
}

#[test]
fn metadata_that_comes_later_takes_the_place_of_the_link() {
    let (model, mut ledger) = with_torrents(0);
    ledger.add(&Spec { link: Some("magnet:".to_owned()), ..spec(1) }, None).unwrap();
    ledger.commit().unwrap();
    ledger.add(&spec(1), Some(torrent(1))).unwrap();
    // It is to be had before it is on the device.
    assert_eq!(ledger.locate(TorrentId(1)).unwrap().read().unwrap(), torrent(1));
    ledger.put(&Spec { paused: true, ..spec(1) }).unwrap();
    ledger.commit().unwrap();
    let (ledger, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert!(restored.torrents[0].has_metadata && restored.torrents[0].spec.paused);
    assert_eq!(ledger.locate(TorrentId(1)).unwrap().read().unwrap(), torrent(1));
}

#[test]
fn metadata_is_to_be_had_while_a_commit_is_on_its_way() {
    let (_model, mut ledger) = with_torrents(0);
    ledger.add(&spec(1), Some(torrent(1))).unwrap();
    let commit = ledger.begin(false).unwrap();
    assert!(ledger.begin(false).is_none(), "one at a time");
    ledger.add(&spec(2), Some(torrent(2))).unwrap();
    ledger.tally(TorrentId(1), tally(1));
    for id in [1, 2] {
        assert_eq!(ledger.locate(TorrentId(id)).unwrap().read().unwrap(), torrent(id));
    }
    ledger.end(commit.run()).unwrap();
    assert_eq!((ledger.committed(), ledger.ticket()), (1, 2));
    assert!(ledger.has_changes() && ledger.has_tallies());
    let commit = ledger.begin(false).unwrap();
    ledger.end(commit.run()).unwrap();
    assert_eq!(ledger.committed(), 2);
    assert!(ledger.begin(false).is_none() && ledger.has_tallies(), "counts alone may wait");
    assert!(ledger.fresh.is_empty() && ledger.fresh_bytes == 0);
    assert_eq!(ledger.locate(TorrentId(2)).unwrap().read().unwrap(), torrent(2));
}

#[test]
fn whoever_is_removed_does_not_come_back() {
    let (model, mut ledger) = with_torrents(2);
    ledger.remove(TorrentId(1));
    ledger.put(&spec(1)).unwrap();
    ledger.tally(TorrentId(1), tally(1));
    ledger.add(&spec(3), Some(torrent(3))).unwrap();
    ledger.remove(TorrentId(3));
    assert_eq!(ledger.fresh_bytes, 0);
    let commit = ledger.begin(true).unwrap();
    ledger.put(&spec(1)).unwrap();
    ledger.end(commit.run()).unwrap();
    // Who has not heard of it speaks of it still.
    ledger.put(&spec(1)).unwrap();
    ledger.add(&spec(3), Some(torrent(3))).unwrap();
    ledger.tally(TorrentId(1), tally(1));
    assert!(!ledger.has_changes() && !ledger.has_tallies());
    let (ledger, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((ids(&restored), restored.troubles), (vec![2], vec![]));
    assert_eq!(ledger.next_id(), Some(TorrentId(4)), "a number is not used again");
}

#[test]
fn torrents_are_added_in_any_order() {
    let (model, mut ledger) = with_torrents(0);
    ledger.add(&spec(2), Some(torrent(2))).unwrap();
    assert!(matches!(ledger.put(&spec(1)), Err(Error::Unknown { id: TorrentId(1) })));
    ledger.add(&spec(1), Some(torrent(1))).unwrap();
    ledger.commit().unwrap();
    ledger.put(&Spec { paused: true, ..spec(1) }).unwrap();
    ledger.commit().unwrap();
    let (ledger, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((ids(&restored), &restored.troubles[..]), (vec![1, 2], &[][..]));
    assert!(restored.torrents[0].spec.paused);
    assert_eq!(ledger.locate(TorrentId(1)).unwrap().read().unwrap(), torrent(1));
    assert_eq!(ledger.next_id(), Some(TorrentId(3)));
}

#[test]
fn all_that_was_gathered_goes_in_one_write_to_each_file() {
    let (model, mut ledger) = with_torrents(0);
    for id in 1..=100 {
        ledger.add(&spec(id), Some(torrent(id))).unwrap();
        ledger.tally(TorrentId(id), tally(1));
    }
    let before = model.operations();
    ledger.commit().unwrap();
    // Both are written and synchronised once.
    assert_eq!(model.operations() - before, 4);
    ledger.commit().unwrap();
    assert_eq!(model.operations() - before, 4, "nothing is written when nothing changed");
    ledger.put(&spec(1)).unwrap();
    ledger.commit().unwrap();
    assert_eq!(model.operations() - before, 6);
}

#[test]
fn what_is_too_much_is_refused_and_the_rest_goes_on() {
    let (model, mut ledger) = with_torrents(1);
    let long = Spec { labels: vec!["x".repeat(2 << 20)], ..spec(1) };
    let many = Spec { labels: vec![String::new(); 20_000], ..spec(1) };
    for refused in [long, many] {
        assert!(matches!(ledger.put(&refused), Err(Error::TooMuch { .. })));
    }
    let all = choice(&vec![true; 8_000_000]);
    ledger.put(&Spec { selection: Some(all.clone()), ..spec(1) }).unwrap();
    ledger.commit().unwrap();
    let (_, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!(restored.torrents[0].spec.selection, Some(all));
    assert!(ledger.add(&spec(2), Some(vec![0; TORRENT_LEN_MAX + 1].into())).is_err());
    // While the disk does not keep up, no more than so much waits for it.
    let large: Arc<[u8]> = vec![0; TORRENT_LEN_MAX].into();
    let mut taken = 0;
    while ledger.add(&spec(10 + taken), Some(large.clone())).is_ok() {
        taken += 1;
    }
    assert_eq!(u64::from(taken), FRESH_BYTES_MAX / TORRENT_LEN_MAX as u64);
}

#[test]
fn numbers_end_and_are_not_used_again() {
    let (model, mut ledger) = with_torrents(0);
    ledger.add(&spec(u32::MAX), None).unwrap();
    assert_eq!(ledger.next_id(), None);
    ledger.remove(TorrentId(u32::MAX));
    ledger.commit().unwrap();
    let (ledger, _) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!(ledger.next_id(), None);
}

#[test]
fn a_place_lies_between_two_others() {
    let first = Place::between(None, None).unwrap();
    let last = Place::between(Some(first), None).unwrap();
    let middle = Place::between(Some(first), Some(last)).unwrap();
    assert!(first < middle && middle < last);
    assert!(Place::between(None, Some(first)).unwrap() < first);
    // Always to the same side of one, there is room for a while.
    let mut after = last;
    let halvings = std::iter::from_fn(|| {
        after = Place::between(Some(first), Some(after))?;
        Some(after)
    });
    assert!((20..100).contains(&halvings.count()));
    assert_eq!(Place::between(Some(last), Some(first)), None);
    assert_eq!(Place::between(Some(Place(u64::MAX)), None), None);
    assert_eq!(Place::between(None, Some(Place(0))), None);
    let dealt: Vec<Place> = Place::dealt(1000).collect();
    assert!(dealt.len() == 1000 && dealt.is_sorted());
    let gaps = dealt.windows(2).map(|two| Place::between(Some(two[0]), Some(two[1])));
    assert!({ gaps }.all(|place| place.is_some()));
    assert_eq!(Place::dealt(u32::MAX).take(2).count(), 2);
}

#[test]
fn a_choice_is_a_bit_a_file() {
    let wanted = [true, false, false, false, false, false, false, true, true, false];
    let selection = choice(&wanted);
    assert!(selection.wanted().eq(wanted));
    assert_eq!(choice(&[]).wanted().count(), 0);
    let body = Spec { selection: Some(selection), ..spec(1) }.encode().unwrap();
    let has = |key: &[u8]| body.windows(key.len()).any(|it| it == key);
    assert!(has(b"6:wanted2:\x81\x80") && !has(b"4:high") && !has(b"3:low"));
}

#[test]
fn priorities_are_bits_that_an_older_program_steps_over() {
    use FilePriority::{High, Low, Normal, Off};
    let priorities = [High, Off, Normal, Low, Normal, Off, High, Low, High];
    let selection = Selection::of(&priorities).unwrap();
    assert!(selection.priorities().eq(priorities));
    assert!(selection.wanted().eq(priorities.map(FilePriority::is_wanted)));
    let body = Spec { selection: Some(selection), ..spec(1) }.encode().unwrap();
    let has = |key: &[u8]| body.windows(key.len()).any(|it| it == key);
    // It knows which are wanted.
    assert!(has(b"6:wanted2:\xbb\x80") && has(b"4:high2:\x82\x80") && has(b"3:low2:\x11\0"));
    let cut = |from: &[u8], to: &[u8]| {
        let at = body.windows(from.len()).position(|it| it == from).unwrap();
        [&body[..at], to, &body[at + from.len()..]].concat()
    };
    let wrong = cut(b"3:low2:\x11\0", b"3:low1:\x11");
    assert_eq!(Spec::decode(TorrentId(1), &wrong), None, "of another number of files");
}

#[test]
fn what_is_said_of_ways_and_bounds_is_off_in_what_was_written_before() {
    let before = b"d3:dir2:/d5:flagsi3e9:info-hash20:aaaaaaaaaaaaaaaaaaaa4:name1:n5:placei3ee";
    let read = Spec::decode(TorrentId(9), before).unwrap();
    assert!(read.sequential && read.paused && !read.ends_first);
    assert_eq!((read.ways, read.peers_max, read.slots_max), (Ways::default(), None, None));
    assert_eq!(read.shown_name, None);
    let closed = Ways { trackers: false, dht: false, ..Ways::default() };
    let spec = Spec {
        ways: closed,
        ends_first: true,
        peers_max: Some(7),
        slots_max: Some(0),
        shown_name: Some("mine".to_owned()),
        ..read
    };
    let kept = Spec::decode(TorrentId(9), &spec.encode().unwrap()).unwrap();
    assert_eq!(kept, spec);
}

#[test]
fn a_link_is_called_by_what_is_known_of_it() {
    let flags = [FilePriority::Normal; 3];
    let link = Spec {
        name: String::new(),
        selection: Selection::of(&flags),
        link: Some("magnet:?xt=urn:btih:77".to_owned()),
        ..spec(1)
    };
    // Also that all files which are counted are wanted: those behind them are not.
    assert_eq!(Spec::decode(TorrentId(1), &link.encode().unwrap()), Some(link.clone()));
    assert_eq!(link.called(), link.info_hash.unwrap().to_string());
    let v2 = Spec { info_hash: None, info_hash_v2: Some(InfoHashV2([7; 32])), ..link.clone() };
    assert_eq!(v2.called(), "07".repeat(32));
    let named = Spec { name: "its own".to_owned(), ..link };
    assert_eq!(named.called(), "its own");
    assert_eq!(Spec { shown_name: Some("mine".to_owned()), ..named }.called(), "mine");
}

#[test]
fn what_was_seen_of_a_whole_torrent_is_there_with_all_its_words_or_not_at_all() {
    let whole = Whole { bytes: 9, files: 2, is_private: false, has_trackers: true };
    let kept = Spec { whole: Some(whole), ..spec(1) };
    let body = kept.encode().unwrap();
    assert_eq!(Spec::decode(TorrentId(1), &body), Some(kept));
    // One that an earlier program wrote says nothing, and none of the words says it alone.
    for word in [&b"11:whole bytesi9e"[..], b"11:whole filesi2e", b"11:whole flagsi2e"] {
        let at = body.windows(word.len()).position(|it| it == word).unwrap();
        let less = [&body[..at], &body[at + word.len()..]].concat();
        assert_eq!(Spec::decode(TorrentId(1), &less), Some(spec(1)));
    }
}

#[test]
fn an_entry_of_few_words_is_read() {
    // What every version has; all else is off, none or empty.
    let body = b"led3:dir2:/d9:info-hash20:aaaaaaaaaaaaaaaaaaaa4:name1:n5:placei3ee";
    let (packed, at) = read_body(body).unwrap();
    assert_eq!(packed, None);
    let read = Spec::decode(TorrentId(9), &body[at..]).unwrap();
    assert_eq!((read.name.as_str(), read.place, read.added_s), ("n", Place(3), 0));
    assert!(read.selection.is_none() && read.labels.is_empty() && !read.paused);
    // A later program may know more.
    let more = b"d3:dir2:/d9:info-hash20:aaaaaaaaaaaaaaaaaaaa3:new1:x4:name1:n5:placei3ee";
    assert_eq!(Spec::decode(TorrentId(9), more).unwrap(), read);
    for bad in [
        &b""[..],
        b"de",
        b"d3:dir2:/d4:name1:n5:placei3ee",
        b"d3:dir2:/d9:info-hash2:aa4:name1:n5:placei3ee",
        b"d3:dir2:/d9:info-hash20:aaaaaaaaaaaaaaaaaaaa4:name1:n5:placei3e5:ratio3:NaNe",
        b"d3:dir2:/d5:filesi9e9:info-hash20:aaaaaaaaaaaaaaaaaaaa4:name1:n5:placei3e6:wanted1:xe",
        b"d3:dir2:/d9:info-hash20:aaaaaaaaaaaaaaaaaaaa4:name1:n5:placei-3ee",
    ] {
        assert_eq!(Spec::decode(TorrentId(9), bad), None, "{}", bad.escape_ascii());
    }
}

fn together() -> SessionSpec {
    SessionSpec {
        limits: Limits { down: Some(7), up: None },
        alternative: Limits { down: None, up: Some(u64::MAX >> 1) },
        uses_alternative: true,
        active_max: Some(3),
    }
}

#[test]
fn what_is_wanted_of_all_is_kept_also_when_all_is_written_anew() {
    let (model, mut ledger) = with_torrents(3);
    let of = |model: &Arc<Model>| open_model(&Arc::new(model.copy())).unwrap().1;
    assert_eq!(of(&model).session, SessionSpec::default());
    ledger.put_session(SessionSpec::default());
    ledger.put_session(together());
    ledger.commit().unwrap();
    let restored = of(&model);
    assert_eq!((restored.session, restored.troubles), (together(), vec![]));
    // Entries of others are so many that it is written anew.
    for turn in 0..2000 {
        ledger.put(&Spec { place: Place(turn), ..spec(1) }).unwrap();
        ledger.commit().unwrap();
    }
    assert!(ledger.ledger_len < 10 << 10, "{}", ledger.ledger_len);
    let restored = of(&model);
    assert_eq!((restored.session, ids(&restored).len()), (together(), 3));
    assert_eq!(ledger.next_id(), Some(TorrentId(4)), "it is no torrent");
}

#[test]
fn what_is_wanted_of_all_is_tried_again_after_a_failure() {
    let (_model, mut ledger) = with_torrents(1);
    ledger.put_session(together());
    let commit = ledger.begin(false).unwrap();
    assert!(!ledger.has_changes());
    let newer = SessionSpec { active_max: None, ..together() };
    ledger.put_session(newer);
    let older = Gathered { session: Some(together()), ..Gathered::default() };
    ledger.gathered.take_back(older.clone());
    assert_eq!(ledger.gathered.session, Some(newer));
    ledger.end(commit.run()).unwrap();
    ledger.gathered.session = None;
    ledger.gathered.take_back(older);
    assert_eq!(ledger.gathered.session, Some(together()));
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let words = || proptest::collection::vec(".{0,20}", 0..4);
    let limit = || proptest::option::of(0..=i64::MAX as u64);
    let goals = (proptest::option::of(0.0..1e9), proptest::option::of(0..1_u64 << 40));
    let hashes = (any::<[u8; 20]>(), proptest::option::of(any::<[u8; 32]>()));
    let flags = any::<[bool; 9]>();
    let priority = prop_oneof![
        Just(FilePriority::Off),
        Just(FilePriority::Low),
        Just(FilePriority::Normal),
        Just(FilePriority::High)
    ];
    let files = proptest::option::of(proptest::collection::vec(priority, 0..40));
    let first = (hashes, ".{0,30}", files, limit(), limit(), goals);
    let rest = (flags, 0..=i64::MAX as u64, limit(), words(), words(), words());
    (first, rest).prop_map(|((hashes, name, files, down, up, goals), rest)| {
        let (flags, place, completed_s, labels, trackers, seeds) = rest;
        let [sequential, paused, seed_only, ends_first, asks, exchange, dht, lsd, web_seeds] =
            flags;
        Spec {
            id: TorrentId(7),
            info_hash: Some(InfoHash(hashes.0)),
            info_hash_v2: hashes.1.map(InfoHashV2),
            dir: format!("/{name}").into(),
            link: labels.first().cloned(),
            name,
            selection: files.map(|files| Selection::of(&files).unwrap()),
            download_limit: down,
            upload_limit: up,
            peers_max: completed_s.map(|it| it as u32),
            slots_max: down.map(|it| it as u32),
            shown_name: trackers.first().cloned(),
            labels,
            goals: Goals { ratio: goals.0, time: goals.1.map(Duration::from_secs) },
            sequential,
            ends_first,
            ways: Ways { trackers: asks, exchange, dht, lsd, web_seeds },
            paused,
            seed_only,
            place: Place(place),
            added_s: place,
            completed_s,
            extra_trackers: trackers,
            trackers: None,
            web_seeds: seeds,
            whole: down.map(|bytes| Whole {
                bytes,
                files: bytes as u32,
                is_private: sequential,
                has_trackers: asks,
            }),
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_of_a_torrent_is_read(
        spec in any_spec(), packed in proptest::option::of((any::<u32>(), 0..1_u64 << 62))
    ) {
        let packed = packed.map(|(pack, offset)| Packed { pack, offset, len: pack, hash: [3; 20] });
        let body = spec_body(packed.as_ref(), &spec.encode().unwrap());
        let (read, at) = read_body(&body).unwrap();
        prop_assert_eq!(read, packed);
        prop_assert_eq!(Spec::decode(TorrentId(7), &body[at..]), Some(spec));
    }
}
