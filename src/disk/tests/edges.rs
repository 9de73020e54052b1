//! Pieces that a wanted file shares with ones that are not: what these take on disk meanwhile.

use super::*;
use std::fs;

#[test]
fn a_file_gets_its_space_when_it_is_wanted() {
    for allocate in [Allocate::Sparse, Allocate::Full] {
        let world = world(BLOCK_LEN as u32, &[("a", 20_000), ("b", 40_000)]);
        let wanted = vec![true, false];
        let store = FileStore::new(1, StoreConfig { wanted, allocate, ..world.config() }).unwrap();
        let mut handles = Handles::new(4);
        let mut write = |at: usize, len: usize| {
            store.write(&mut handles, at as u64, &[&world.content[at..][..len]]).unwrap();
            fs::metadata(world.path("b.part")).unwrap().len()
        };
        // The last piece that was begun before it was not wanted any more, but for its end.
        assert_eq!(write(3 * BLOCK_LEN, 1000), 3 * BLOCK_LEN as u64 + 1000 - 20_000);
        assert!(store.want(&[true, true]).is_empty());
        assert_eq!(write(2 * BLOCK_LEN, 1000), 40_000, "{allocate:?}");
    }
}
