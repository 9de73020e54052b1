//! Fifty thousand torrents.

use super::*;

const COUNT: u32 = 50_000;

#[test]
fn many_are_read_with_few_calls_and_nothing_of_the_pack() {
    let (model, ledger) = with_torrents(COUNT);
    drop(ledger);
    let model = Arc::new(model.copy());
    let (ledger, restored) = open_model(&model).unwrap();
    assert_eq!(restored.torrents.len() as u32, COUNT);
    let (reads, bytes) = model.reads();
    let len = model.bytes(LEDGER).len() as u64;
    assert!(reads <= 4 * (len >> 20) + 8, "{reads} reads of {len} bytes");
    // The last batch is read twice, to be written again.
    assert!(bytes <= 3 * len, "{bytes} of {len} bytes");
    assert!(len < 700 * u64::from(COUNT), "{len} bytes");
    let (reads, _) = model.reads();
    assert_eq!(ledger.locate(TorrentId(COUNT)).unwrap().read().unwrap(), torrent(COUNT));
    assert_eq!(model.reads().0, reads + 1, "a torrent that wakes is one read");
}
