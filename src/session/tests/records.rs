//! Records of earlier runs: what is told of them, and that none is cleared that a run has.

use super::*;
use crate::session::{Cleared, kept_records};

#[tokio::test]
async fn a_record_is_cleared_with_all_beside_it_and_not_while_it_is_in_use() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    assert_eq!(kept_records(&state).unwrap(), [], "there is no such directory");
    let running = session(home.path(), 5).await;
    let wanted = torrent(1);
    let hash = wanted.info_hash_v1.unwrap();
    let handle = running.add(wanted.clone(), options(home.path())).await.unwrap();
    until(&handle, State::Downloading).await;
    let beside = |end: &str| state.join(format!("{hash}.{end}"));
    std::fs::write(beside("info"), wanted.raw_info()).unwrap();
    for name in ["x.resume", "driver.log", "0000.resume"] {
        std::fs::write(state.join(name), "x").unwrap();
    }
    let of = || {
        let mut records = kept_records(&state).unwrap();
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    };
    let record = of();
    assert_eq!((record.info_hash, record.name.as_deref()), (hash, Some("0001")));
    let place = std::fs::canonicalize(home.path()).unwrap().join("data/0001");
    assert_eq!(record.place(), Some(place.clone()));
    assert_eq!(record.clear().unwrap(), Cleared::InUse);
    assert!(record.path.exists() && beside("info").exists());
    running.stop().await;

    std::fs::create_dir_all(home.path().join("data")).unwrap();
    let part = home.path().join("data/0001.part");
    let _ = std::fs::remove_file(&part);
    assert!(of().is_missing());
    std::fs::write(&part, "x").unwrap();
    assert!(!of().is_missing(), "it is not whole");
    std::fs::write(beside("stats"), "x").unwrap();
    std::fs::write(beside("move"), "x").unwrap();
    assert_eq!(of().clear().unwrap(), Cleared::Moving);
    std::fs::remove_file(beside("move")).unwrap();
    // What another place has keeps the metadata.
    let other = state.join(format!("{hash}-0000000000000001.resume"));
    std::fs::write(&other, "x").unwrap();
    assert_eq!(record.clear().unwrap(), Cleared::Done);
    assert!(!record.path.exists() && !beside("stats").exists() && beside("info").exists());
    let other = of();
    assert_eq!((other.home.as_ref(), other.is_missing()), (None, false), "it does not tell");
    assert_eq!(other.clear().unwrap(), Cleared::Done);
    assert!(!beside("info").exists() && state.join("driver.log").exists());
    assert!(part.exists(), "data is never touched");
}
