//! Torrents that were removed and whose files are to go: told at each start until they have.

use super::super::format::{Kind, Written};
use super::super::replay::spec_body;
use super::*;

fn to_erase(restored: &Restored) -> Vec<u32> {
    restored.to_erase.iter().map(|spec| spec.id.0).collect()
}

#[test]
fn whose_files_are_to_go_is_told_until_they_have() {
    let (model, mut ledger) = with_torrents(3);
    ledger.tally(TorrentId(1), tally(1));
    ledger.commit().unwrap();
    let moved = Spec { dir: "/srv/elsewhere".into(), ..spec(1) };
    ledger.erase(&moved).unwrap();
    // One that was added at this moment, and who has not heard of it speaks of it still.
    ledger.add(&spec(4), Some(torrent(4))).unwrap();
    ledger.erase(&spec(4)).unwrap();
    ledger.put(&spec(1)).unwrap();
    ledger.tally(TorrentId(1), tally(2));
    ledger.commit().unwrap();
    assert!(matches!(ledger.erase(&spec(1)), Err(Error::Unknown { .. })), "it has left");
    for _ in 0..2 {
        let (again, restored) = open_model(&Arc::new(model.copy())).unwrap();
        assert_eq!((ids(&restored), restored.troubles), (vec![2, 3], vec![]));
        assert_eq!(restored.to_erase, [moved.clone(), spec(4)]);
        for id in [1, 4] {
            assert_eq!(again.locate(TorrentId(id)).unwrap().read().unwrap(), torrent(id));
        }
        assert_eq!(again.next_id(), Some(TorrentId(5)));
    }
    ledger.erased(TorrentId(1));
    ledger.commit().unwrap();
    let (mut again, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((to_erase(&restored), ids(&restored)), (vec![4], vec![2, 3]));
    assert!(again.locate(TorrentId(1)).is_none());
    // Of an earlier run, too.
    again.erased(TorrentId(4));
    again.commit().unwrap();
    assert_eq!((again.live.len(), again.known.len()), (2, 2));
}

#[test]
fn they_are_told_also_when_all_is_written_anew() {
    let (model, mut ledger) = with_torrents(40);
    ledger.erase(&spec(7)).unwrap();
    for id in (1..=40).filter(|id| ![7, 8].contains(id)) {
        ledger.remove(TorrentId(id));
    }
    ledger.commit().unwrap();
    assert_eq!(model.file_names(), [LEDGER, "torrents-2.pack"], "it was");
    let before = (ledger.live_bytes, ledger.packed_bytes);
    let (again, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((to_erase(&restored), ids(&restored)), (vec![7], vec![8]));
    assert_eq!(again.locate(TorrentId(7)).unwrap().read().unwrap(), torrent(7));
    assert_eq!(before.1, again.packed_bytes);
    ledger.erased(TorrentId(7));
    ledger.commit().unwrap();
    assert_eq!(ledger.packed_bytes, torrent(8).len() as u64);
    assert!(ledger.live_bytes < before.0);
}

#[test]
fn an_order_that_failed_is_tried_again_with_its_metadata() {
    let (model, mut ledger) = with_torrents(0);
    ledger.add(&spec(1), Some(torrent(1))).unwrap();
    model.limit(Some(0));
    assert!(ledger.commit().is_err());
    ledger.erase(&spec(1)).unwrap();
    assert!(ledger.commit().is_err());
    model.limit(None);
    ledger.commit().unwrap();
    let (again, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((to_erase(&restored), ids(&restored)), (vec![1], vec![]));
    assert_eq!(again.locate(TorrentId(1)).unwrap().read().unwrap(), torrent(1));
    // What was struck before it was ever written is nothing.
    ledger.add(&spec(2), Some(torrent(2))).unwrap();
    ledger.erase(&spec(2)).unwrap();
    ledger.erased(TorrentId(2));
    ledger.erased(TorrentId(1));
    ledger.commit().unwrap();
    let (_, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((to_erase(&restored), ids(&restored)), (vec![], vec![]));
    assert_eq!((ledger.fresh_bytes, ledger.live_bytes), (0, 0));
}

#[test]
fn a_program_that_does_not_know_of_it_finds_a_torrent_that_was_removed() {
    let mut written = Written::new(0, 1);
    let body = spec_body(None, &Spec { link: Some("magnet:".into()), ..spec(1) }.encode().unwrap());
    written.add(Kind::Spec, TorrentId(1), &body);
    let mut bounds = vec![written.bytes.len()];
    written.add(Kind::Erase, TorrentId(1), &body);
    bounds.push(written.bytes.len());
    written.add(Kind::Removed, TorrentId(1), &[]);
    bounds.push(written.bytes.len());
    // What this program makes of it, cut off anywhere: it is there, or it is to go.
    for (len, expected) in [(0, vec![]), (1, vec![1]), (2, vec![1])] {
        let model = Arc::new(Model::new());
        model.set_bytes(LEDGER, &written.bytes[..bounds[len]]);
        let (_, restored) = open_model(&model).unwrap();
        assert_eq!((to_erase(&restored), &*restored.troubles), (expected, &[][..]), "{len}");
        assert_eq!(ids(&restored).len(), usize::from(len == 0));
    }
    // What another one makes of it, which steps over kinds that it does not know.
    let mut older = written.bytes.clone();
    older.drain(bounds[0]..bounds[1]);
    let model = Arc::new(Model::new());
    model.set_bytes(LEDGER, &older);
    let (_, restored) = open_model(&model).unwrap();
    assert_eq!((ids(&restored), restored.to_erase.len()), (vec![], 0));
}

#[test]
fn what_is_wanted_of_all_is_written_anew_though_its_entry_is_damaged() {
    let (model, mut ledger) = with_torrents(40);
    let together = SessionSpec { active_max: Some(7), ..SessionSpec::default() };
    ledger.put_session(together);
    ledger.commit().unwrap();
    let at = ledger.session.unwrap().offset as usize;
    let mut bytes = model.bytes(LEDGER);
    bytes[at + 30] ^= 1;
    model.set_bytes(LEDGER, &bytes);
    let before = model.file_names();
    for id in 1..=39 {
        ledger.remove(TorrentId(id));
    }
    ledger.commit().unwrap();
    assert_ne!(model.file_names(), before, "it was written anew");
    let (_, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((restored.session, restored.troubles), (together, vec![]));
}
