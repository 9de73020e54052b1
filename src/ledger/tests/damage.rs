//! Bytes that are not as they were written: cut, changed, newer, or anything at all.

use super::super::format::{Kind, Written};
use super::super::replay::{Unfit, next_body, replay, spec_body};
use super::*;

/// Entries with known bounds: three torrents, a count, and a removal.
fn sample() -> (Vec<u8>, Vec<usize>) {
    let mut written = Written::new(0, 1);
    written.add(Kind::Next, TorrentId(0), &next_body(Some(TorrentId(9))));
    for id in [1, 2, 3] {
        let body = spec_body(None, &link(id).encode().unwrap());
        written.add(Kind::Spec, TorrentId(id), &body);
    }
    written.add(Kind::Tally, TorrentId(2), &tally(5).encode());
    written.add(Kind::Removed, TorrentId(3), &[]);
    let body = spec_body(None, &Spec { paused: true, ..link(1) }.encode().unwrap());
    written.add(Kind::Spec, TorrentId(1), &body);
    let mut bounds = Vec::new();
    let mut at = 0;
    while at < written.bytes.len() {
        bounds.push(at);
        let len: [u8; 4] = written.bytes[at + 20..at + 24].try_into().unwrap();
        at += 36 + u32::from_be_bytes(len) as usize;
    }
    bounds.push(at);
    (written.bytes, bounds)
}

/// Without metadata, so that no pack is needed.
fn link(id: u32) -> Spec {
    Spec { link: Some(format!("magnet:?{id}")), ..spec(id) }
}

fn model_of(bytes: &[u8]) -> Arc<Model> {
    let model = Arc::new(Model::new());
    model.set_bytes(LEDGER, bytes);
    model
}

fn open_bytes(bytes: &[u8]) -> (Ledger, Restored) {
    open_model(&model_of(bytes)).unwrap()
}

#[test]
fn a_tail_that_is_torn_at_any_byte_is_cut_off() {
    let (bytes, bounds) = sample();
    for len in 0..=bytes.len() {
        let model = model_of(&bytes[..len]);
        let (mut ledger, restored) = open_model(&model).unwrap();
        let whole = bounds.iter().filter(|bound| **bound <= len).count() - 1;
        let expected: &[u32] = match whole {
            0 | 1 => &[],
            2 => &[1],
            3 => &[1, 2],
            4 | 5 => &[1, 2, 3],
            _ => &[1, 2],
        };
        assert_eq!((ids(&restored).as_slice(), &*restored.troubles), (expected, &[][..]), "{len}");
        assert_eq!(model.bytes(LEDGER).len(), bounds[whole], "{len}");
        let is_paused = restored.torrents.first().is_some_and(|torrent| torrent.spec.paused);
        assert_eq!(is_paused, whole == 7, "{len}");
        // What is added behind it is found.
        ledger.add(&link(20), None).unwrap();
        ledger.commit().unwrap();
        let (_, restored) = open_model(&Arc::new(model.copy())).unwrap();
        assert_eq!((restored.torrents.len(), restored.troubles.len()), (expected.len() + 1, 0));
    }
}

#[test]
fn a_byte_that_is_wrong_costs_what_its_entry_says_and_is_told() {
    let (bytes, bounds) = sample();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        let entry = bounds.iter().filter(|bound| **bound <= at).count() - 1;
        if at % 36 == 4 && at < 36 {
            // The version of the first entry: it is a newer program's now.
            continue;
        }
        let (ledger, restored) = open_bytes(&bytes);
        let troubles = restored.troubles.as_slice();
        let is_in_head = at - bounds[entry] < 28;
        let (expected, trouble): (&[u32], _) = match entry {
            0 => (&[1, 2], None),
            // A later entry makes up for it.
            1 => (&[1, 2], None),
            2 => (&[1], Some(Trouble::Lost { id: TorrentId(2) })),
            3 => (&[1, 2], None),
            4 => (&[1, 2], Some(Trouble::NoTally { id: TorrentId(2) })),
            5 => (&[1, 2, 3], Some(Trouble::Older { id: TorrentId(3) })),
            // The last one is a torn tail.
            _ => (&[1, 2], None),
        };
        assert_eq!(ids(&restored), expected, "byte {at}: {troubles:?}");
        if is_in_head && entry < 6 {
            let is_told = |it: &Trouble| {
                matches!(it, Trouble::Damaged { offset, .. }
                if *offset == bounds[entry] as u64)
            };
            assert!(troubles.iter().any(is_told), "byte {at}: {troubles:?}");
        } else {
            assert_eq!(troubles, trouble.as_slice(), "byte {at}");
        }
        // Numbers are not used again.
        assert!(ledger.next_id() >= Some(TorrentId(4)), "byte {at}");
    }
}

#[test]
fn what_was_damaged_is_whole_after_it_was_written_anew() {
    let (mut bytes, bounds) = sample();
    bytes[bounds[2] + 40] ^= 1;
    let model = model_of(&bytes);
    // A pack that nobody names may be of a torrent that cannot be read: it stays.
    model.set_bytes("torrents-7.pack", b"metadata");
    let (mut ledger, restored) = open_model(&model).unwrap();
    assert_eq!(restored.troubles, [Trouble::Lost { id: TorrentId(2) }]);
    ledger.is_gone = true;
    ledger.put(&link(1)).unwrap();
    ledger.commit().unwrap();
    assert!(model.file_names().contains(&"torrents-7.pack".to_owned()));
    let (ledger, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((ids(&restored), &*restored.troubles), (vec![1], &[][..]));
    assert_eq!(ledger.next_id(), Some(TorrentId(9)));
}

#[test]
fn a_newer_ledger_is_refused_and_left_as_it_is() {
    let (bytes, bounds) = sample();
    let mut wholly_other = bytes[..5].to_vec();
    wholly_other[4] = 2;
    wholly_other.extend(b"what it likes");
    // A later entry of a newer program, with a head that is right.
    let mut later = bytes.clone();
    let head = bounds[6];
    later[head + 4] = 2;
    let check = crate::base::checksum::crc32c(&later[head..head + 24]);
    later[head + 24..head + 28].copy_from_slice(&check.to_be_bytes());
    for newer in [wholly_other, later] {
        let model = model_of(&newer);
        let before = model.operations();
        let refused = open_model(&model).unwrap_err();
        assert!(matches!(refused, Error::Newer { .. }), "{refused}");
        let text = refused.to_string();
        assert_eq!(text, "state/session.ledger was written by a newer program: use that one");
        assert_eq!((model.bytes(LEDGER), model.operations()), (newer, before));
        assert_eq!(model.file_names(), [LEDGER]);
    }
}

#[test]
fn kinds_and_bytes_that_are_not_known_are_stepped_over() {
    let (mut bytes, bounds) = sample();
    // An entry of a kind that comes later, of this version.
    let mut other = bytes[bounds[5]..bounds[6]].to_vec();
    other[5] = 77;
    let check = crate::base::checksum::crc32c(&other[..24]);
    other[24..28].copy_from_slice(&check.to_be_bytes());
    let check = crate::base::digest::sha1(&[&other[..28]]);
    other[28..].copy_from_slice(&check[..8]);
    bytes.splice(bounds[3]..bounds[3], other);
    let (_, restored) = open_bytes(&bytes);
    assert_eq!((ids(&restored), &*restored.troubles), (vec![1, 2], &[][..]));
    // Bytes that look like the beginning of an entry, and are none.
    let (mut bytes, bounds) = sample();
    bytes.splice(bounds[3]..bounds[3], b"\xc9pgn\xc9\xc9pg".repeat(9));
    let (_, restored) = open_bytes(&bytes);
    let damaged = Trouble::Damaged { offset: bounds[3] as u64, len_bytes: 72 };
    assert_eq!((ids(&restored), restored.troubles), (vec![1, 2], vec![damaged]));
}

#[test]
fn what_an_attempt_left_that_failed_counts_for_nothing() {
    let entry = |written: &mut Written, id: u32, place: u64| {
        let spec = Spec { place: Place(place), ..link(id) };
        written.add(Kind::Spec, TorrentId(id), &spec_body(None, &spec.encode().unwrap()));
    };
    let mut first = Written::new(0, 1);
    entry(&mut first, 1, 10);
    entry(&mut first, 2, 20);
    let mut later = Written::new(first.end(), 3);
    entry(&mut later, 1, 30);
    // What is behind it was written before it, and is longer.
    let mut failed = Written::new(later.end(), 2);
    entry(&mut failed, 1, 40);
    failed.add(Kind::Removed, TorrentId(2), &[]);
    let end = later.end() as usize;
    let model = model_of(&[first.bytes, later.bytes, failed.bytes].concat());
    let (ledger, restored) = open_model(&model).unwrap();
    let places: Vec<_> = restored.torrents.iter().map(|it| it.spec.place).collect();
    assert_eq!((places, restored.troubles), (vec![Place(20), Place(30)], vec![]));
    assert_eq!(ledger.next_id(), Some(TorrentId(3)));
    assert_eq!(model.bytes(LEDGER).len(), end, "it is cut off");
}

#[test]
fn metadata_that_is_gone_or_changed_is_told() {
    let (model, ledger) = with_torrents(3);
    drop(ledger);
    let pack = model.bytes("torrents-1.pack");
    let cut = Arc::new(model.copy());
    cut.set_bytes("torrents-1.pack", &pack[..pack.len() - 1]);
    let (ledger, restored) = open_model(&cut).unwrap();
    assert_eq!(restored.troubles, [Trouble::NoMetadata { id: TorrentId(3) }]);
    assert!(!restored.torrents[2].has_metadata && ids(&restored) == [1, 2, 3]);
    let refused = ledger.locate(TorrentId(3)).unwrap().read().unwrap_err();
    assert_eq!(refused.to_string(), "the metadata of torrent 3 is not there");
    let changed = Arc::new(model.copy());
    let mut bytes = pack;
    bytes[10] ^= 1;
    changed.set_bytes("torrents-1.pack", &bytes);
    let (ledger, restored) = open_model(&changed).unwrap();
    assert_eq!(restored.troubles, []);
    let refused = ledger.locate(TorrentId(1)).unwrap().read().unwrap_err();
    assert_eq!(refused.to_string(), "the metadata of torrent 1 is damaged");
    assert_eq!(ledger.locate(TorrentId(2)).unwrap().read().unwrap(), torrent(2));
}

#[test]
fn a_pack_outlives_a_ledger_that_is_gone() {
    let (model, ledger) = with_torrents(2);
    drop(ledger);
    let pack = model.bytes("torrents-1.pack");
    // Not even its name is there.
    let alone = Arc::new(Model::new());
    alone.set_bytes("torrents-1.pack", &pack);
    let (mut ledger, restored) = open_model(&alone).unwrap();
    assert_eq!(restored.torrents, []);
    ledger.add(&spec(1), Some(torrent(1))).unwrap();
    ledger.commit().unwrap();
    assert_eq!(alone.bytes("torrents-1.pack"), pack);
}

/// Whatever a ledger's bytes are, it is read, goes on, and is read again.
fn goes_on(bytes: &[u8]) {
    let model = model_of(bytes);
    let medium = device::Device::open(&model, LEDGER).unwrap();
    let replayed = match replay(&*medium, bytes.len() as u64) {
        Ok(replayed) => replayed,
        Err(Unfit::Newer) => return,
        Err(Unfit::Io(error)) => panic!("{error}"),
    };
    assert!(replayed.end <= bytes.len() as u64 && replayed.batch <= replayed.end);
    let (mut ledger, restored) = open_model(&model).unwrap();
    assert!(restored.torrents.len() <= replayed.torrents.len());
    ledger.is_gone = true;
    if let Some(id) = ledger.next_id() {
        ledger.add(&spec(id.0), Some(torrent(id.0))).unwrap();
        ledger.commit().unwrap();
        let (_, again) = open_model(&Arc::new(model.copy())).unwrap();
        assert_eq!(again.torrents.len(), restored.torrents.len() + 1);
    }
}

#[test]
fn fuzz_ledger() {
    crate::fuzz::run("ledger", |bytes| {
        goes_on(bytes);
        // Bytes with a check that is right, for no change at random has one.
        for kind in [Kind::Next, Kind::Spec, Kind::Tally, Kind::Removed] {
            let mut written = Written::new(0, 1);
            written.add(kind, TorrentId(1), bytes);
            goes_on(&written.bytes);
        }
    });
}
