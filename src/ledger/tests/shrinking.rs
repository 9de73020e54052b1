//! A ledger and a pack that are written anew, cut off at every step, on a device that is full, and
//! removed by somebody else.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;

const COUNT: u32 = 40;

/// One with so much garbage that both are due to be written anew at the next change.
fn overgrown() -> (Arc<Model>, Ledger) {
    let (model, mut ledger) = with_torrents(COUNT);
    for id in (1..=COUNT).filter(|id| id % 4 != 0) {
        ledger.remove(TorrentId(id));
    }
    let commit = ledger.begin(false).unwrap();
    ledger.end(commit.run()).unwrap();
    assert!(ledger.is_overgrown() && ledger.is_pack_overgrown());
    (model, ledger)
}

/// Those that are left, and what is kept of them, with their metadata.
fn assert_left(model: Model, words: &str) -> Arc<Model> {
    let model = Arc::new(model);
    let (ledger, restored) = open_model(&model).unwrap();
    assert_eq!(restored.troubles, [], "{words}");
    let left: Vec<u32> = (1..=COUNT).filter(|id| id % 4 == 0).collect();
    assert_eq!(ids(&restored), left, "{words}");
    for torrent in &restored.torrents {
        let id = torrent.spec.id;
        assert_eq!(torrent.spec, spec(id.0), "{words}");
        let bytes = ledger.locate(id).unwrap().read().unwrap();
        assert_eq!(bytes, super::torrent(id.0), "{words}");
    }
    assert_eq!(ledger.next_id(), Some(TorrentId(COUNT + 1)), "{words}");
    drop(ledger);
    model
}

#[test]
fn what_nobody_needs_goes_and_the_rest_stays() {
    let (model, mut ledger) = overgrown();
    let before = (model.bytes(LEDGER).len(), model.bytes("torrents-1.pack").len());
    // It was located before its pack went.
    let located = ledger.locate(TorrentId(4)).unwrap();
    ledger.commit().unwrap();
    assert_eq!(model.file_names(), [LEDGER, "torrents-2.pack"]);
    let after = (model.bytes(LEDGER).len(), model.bytes("torrents-2.pack").len());
    assert!(after.0 * 2 < before.0 && after.1 * 2 < before.1, "{before:?} {after:?}");
    assert_eq!(located.read().unwrap(), torrent(4));
    assert!(ledger.begin(true).is_none() && ledger.shorten().is_none());
    // It goes on.
    ledger.add(&spec(4), Some(torrent(4))).unwrap();
    ledger.commit().unwrap();
    let left = assert_left(model.copy(), "after");
    assert_eq!(left.file_names(), [LEDGER, "torrents-2.pack"]);
}

#[test]
fn cut_off_at_every_step_all_is_there_and_goes_on() {
    let (model, mut ledger) = overgrown();
    let before = model.operations();
    ledger.commit().unwrap();
    let steps = model.operations() - before;
    assert!(steps > 8, "{steps} steps");
    for step in 0..steps {
        for seed in 0..20 {
            let words = format!("step {step}, seed {seed}");
            let mut rng = SmallRng::seed_from_u64(seed);
            let (model, mut ledger) = overgrown();
            model.cut_after(step);
            // Nothing was promised that is not there.
            ledger.commit().unwrap();
            let left = match seed % 2 {
                0 => model.left(&mut rng),
                // Only the process died; the power fails later.
                _ => model.copy(),
            };
            let left = assert_left(left, &words);
            let (mut ledger, _) = open_model(&left).unwrap();
            ledger.add(&spec(COUNT + 1), Some(torrent(COUNT + 1))).unwrap();
            ledger.commit().unwrap();
            let (ledger, restored) = open_model(&Arc::new(left.left(&mut rng))).unwrap();
            assert_eq!(restored.troubles, [], "{words}");
            assert_eq!(restored.torrents.len() as u32, COUNT / 4 + 1, "{words}");
            let newest = ledger.locate(TorrentId(COUNT + 1)).unwrap().read().unwrap();
            assert_eq!(newest, torrent(COUNT + 1), "{words}");
        }
    }
}

#[test]
fn failed_at_every_step_the_same_process_goes_on() {
    for step in 0..20 {
        let words = format!("step {step}");
        let (model, mut ledger) = overgrown();
        model.cut_after(step);
        ledger.commit().unwrap();
        model.cut_after(u64::MAX);
        ledger.put(&Spec { paused: true, ..spec(4) }).unwrap();
        ledger.commit().unwrap();
        ledger.put(&spec(4)).unwrap();
        ledger.commit().unwrap();
        let mut rng = SmallRng::seed_from_u64(step);
        assert_left(model.left(&mut rng), &words);
        assert!(model.file_names().len() <= 4, "{words}: {:?}", model.file_names());
    }
}

#[test]
fn without_room_to_write_anew_changes_are_taken_as_long_as_there_is_any() {
    let (model, mut ledger) = overgrown();
    let used = model.bytes(LEDGER).len() + model.bytes("torrents-1.pack").len();
    model.limit(Some(used as u64 + 3000));
    let before = model.operations();
    for _ in 0..3 {
        ledger.put(&spec(4)).unwrap();
        ledger.commit().unwrap();
    }
    let tried = model.operations() - before;
    assert!(tried < 20, "{tried} operations: it is not tried at each change");
    let refused = (0..10).find_map(|_| {
        ledger.put(&spec(4)).unwrap();
        ledger.commit().err()
    });
    let refused = refused.unwrap().to_string();
    assert!(refused.starts_with("cannot write state/session.ledger: No space"), "{refused}");
    assert_left(model.copy(), "full");
    model.limit(None);
    ledger.commit().unwrap();
    assert_eq!(ledger.committed(), ledger.ticket());
    assert_left(model.left(&mut SmallRng::seed_from_u64(1)), "room again");
}

#[test]
fn files_that_somebody_removed_are_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    for name in [LEDGER, "torrents-1.pack"] {
        let state = dir.path().join(name);
        let (mut ledger, _) = Ledger::open(&state).unwrap();
        ledger.add(&spec(1), Some(torrent(1))).unwrap();
        ledger.commit().unwrap();
        std::fs::remove_file(state.join(name)).unwrap();
        ledger.add(&spec(2), Some(torrent(2))).unwrap();
        ledger.commit().unwrap();
        drop(ledger);
        let (ledger, restored) = Ledger::open(&state).unwrap();
        assert_eq!((ids(&restored), &*restored.troubles), (vec![1, 2], &[][..]), "{name}");
        for id in [1, 2] {
            assert_eq!(ledger.locate(TorrentId(id)).unwrap().read().unwrap(), torrent(id));
        }
    }
}

#[test]
fn metadata_that_was_packed_in_vain_is_packed_again() {
    let (model, mut ledger) = with_torrents(2);
    ledger.add(&spec(3), Some(torrent(3))).unwrap();
    // The pack takes it, the ledger does not; then the ledger is gone, and both are made anew.
    model.cut_after(2);
    assert!(ledger.commit().is_err());
    model.cut_after(u64::MAX);
    device::Device::remove(&model, LEDGER).unwrap();
    ledger.commit().unwrap();
    assert_eq!(model.file_names(), [LEDGER, "torrents-2.pack"]);
    let (ledger, restored) = open_model(&Arc::new(model.copy())).unwrap();
    assert_eq!((ids(&restored), &*restored.troubles), (vec![1, 2, 3], &[][..]));
    for id in [1, 2, 3] {
        assert_eq!(ledger.locate(TorrentId(id)).unwrap().read().unwrap(), torrent(id));
    }
}
