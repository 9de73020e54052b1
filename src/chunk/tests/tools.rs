//! Cut, merge and check in directories of their own.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::chunk::config;
use crate::chunk::ini::FileDescription;
use crate::chunk::store::ChunkStore;
use crate::chunk::tools::{self, Checked, Cut, Error, FaultKind, Merged, Places};

struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn places<T>(&self, run: impl FnOnce(&Places<'_>) -> T) -> T {
        let (config, chunks) = (self.path("config"), self.path("chunks"));
        run(&Places { config: &config, chunks: &chunks })
    }

    fn cut(&self, content: &[u8], chunk_len: u64) -> Cut {
        fs::write(self.path("test.txt"), content).unwrap();
        self.places(|places| tools::cut(&self.path("test.txt"), places, chunk_len)).unwrap()
    }

    fn cut_error(&self, file: &Path, chunk_len: u64) -> String {
        let error = self.places(|places| tools::cut(file, places, chunk_len)).unwrap_err();
        self.bare(&error)
    }

    fn merge(&self, overwrite: bool) -> Result<Merged, Error> {
        self.places(|places| tools::merge(places, &self.path("out"), overwrite))
    }

    fn merge_error(&self) -> String {
        self.bare(&self.merge(false).unwrap_err())
    }

    fn check(&self) -> Checked {
        self.places(tools::check).unwrap()
    }

    /// The faults as (chunk, what it is, whose).
    fn faults(&self) -> Vec<(usize, &'static str, String)> {
        let faults = self.check().faults.into_iter().map(|fault| {
            let (what, whose) = match fault.kind {
                FaultKind::Nobody => ("nobody", String::new()),
                FaultKind::Missing(name) => ("missing", name),
                FaultKind::Wrong(name) => ("wrong", name),
                FaultKind::Unreadable(name, _) => ("unreadable", name),
                FaultKind::Length { is, others } => ("length", format!("{is} {others}")),
            };
            (fault.number, what, whose)
        });
        faults.collect()
    }

    fn store(&self, name: &str) -> ChunkStore {
        ChunkStore::new(&self.path("chunks"), name).unwrap()
    }

    /// The chunk of `description` that a provider has.
    fn chunk(&self, cut: &Cut, number: usize, name: &str) -> PathBuf {
        self.store(name).path(cut.description.chunks[number])
    }

    fn rewrite(&self, description: FileDescription) {
        config::write_file(&self.path("config"), &description).unwrap();
    }

    /// The text without the directory.
    fn bare(&self, error: &Error) -> String {
        error.to_string().replace(&format!("{}/", self.dir.path().display()), "")
    }

    fn count(&self, below: &str) -> usize {
        fs::read_dir(self.path(below)).map_or(0, Iterator::count)
    }
}

/// Bytes that do not repeat.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at / 7 + at / 251) as u8).collect()
}

#[test]
fn what_is_cut_merges_to_the_same_bytes() {
    for (len, chunk_len, count) in [
        (1, 1, 1),
        (9, 4, 3),
        (8, 4, 2),
        (3, 4, 1),
        (300_000, 4096, 74),
        (1_300_000, 512 << 10, 3),
        (40, 64 << 20, 1),
    ] {
        let world = World::new();
        let content = content(len);
        let cut = world.cut(&content, chunk_len);
        assert_eq!(cut.description.chunks.len(), count, "{len} in {chunk_len}");
        assert_eq!(cut.len, len as u64);
        assert_eq!(config::file(&world.path("config")).unwrap(), cut.description);
        let merged = world.merge(false).unwrap();
        assert_eq!(merged.path, world.path("out/test.txt"));
        assert_eq!((merged.chunks, merged.len, merged.was_there), (count, len as u64, false));
        assert!(fs::read(merged.path).unwrap() == content, "{len} in {chunk_len}");
        assert_eq!(world.count("out"), 1);
        assert_eq!(world.faults(), []);
    }
}

#[test]
fn each_provider_gets_its_thirds_and_nothing_else() {
    let world = World::new();
    let cut = world.cut(b"aaaabbbbcc", 4);
    // SHA-1 of aaaa, bbbb and cc, by sha1sum.
    let hashes = [
        "70c881d4a26984ddce795f6f71817c9cf4480e79",
        "8aed1322e5450badb078e1fb60a817a1df25a2ca",
        "bdb480de655aa6ec75ca058c849c4faf3c0f75b1",
    ];
    let listed: Vec<String> = cut.description.chunks.iter().map(ToString::to_string).collect();
    assert_eq!(listed, hashes);
    assert_eq!(cut.description.holders, [vec!["alice"], vec!["alice", "bob"], vec!["bob"]]);
    assert_eq!(cut.shares, [("alice", 2), ("bob", 2)]);
    assert_eq!(cut.description.filename, "test.txt");
    let text = |name: &str, hash: &str| {
        fs::read_to_string(world.path(&format!("chunks/{name}/{hash}.bin"))).unwrap()
    };
    assert_eq!(text("alice", hashes[0]) + &text("alice", hashes[1]), "aaaabbbb");
    assert_eq!(text("bob", hashes[1]) + &text("bob", hashes[2]), "bbbbcc");
    assert_eq!((world.count("chunks/alice"), world.count("chunks/bob")), (2, 2));
    let checked = world.check();
    assert_eq!((checked.chunks, checked.copies, checked.providers), (3, 4, 2));
    assert_eq!((checked.chunk_len, checked.filename.as_str()), (Some(4), "test.txt"));
}

#[test]
fn identical_chunks_are_one_file_and_an_empty_file_has_none() {
    let world = World::new();
    let cut = world.cut(&[0; 4 * 9], 4);
    assert_eq!(cut.description.chunks.len(), 9);
    assert_eq!((world.count("chunks/alice"), world.count("chunks/bob")), (1, 1));
    assert_eq!(fs::read(world.merge(false).unwrap().path).unwrap(), [0; 36]);
    assert_eq!(world.faults(), []);
    // Again with other content: the same name, in place of the old description.
    let cut = world.cut(b"", 4);
    assert_eq!((cut.description.chunks.len(), cut.shares), (0, vec![("alice", 0), ("bob", 0)]));
    assert_eq!(world.merge(true).unwrap().len, 0);
    assert_eq!(world.faults(), []);
}

#[test]
fn files_that_cannot_be_cut_are_told_and_nothing_is_written() {
    let world = World::new();
    let missing = world.path("none.txt");
    assert_eq!(world.cut_error(&missing, 4), "cannot cut none.txt: no such file");
    fs::create_dir(world.path("dir")).unwrap();
    assert_eq!(world.cut_error(&world.path("dir"), 4), "cannot cut dir: it is a directory");
    assert_eq!(
        world.cut_error(Path::new("/dev/null"), 4),
        "cannot cut /dev/null: it is not a regular file"
    );
    let odd = world.dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::write(&odd, "abc").unwrap();
    let said = world.cut_error(&odd, 4);
    assert!(said.ends_with("its name is not UTF-8; rename it"), "{said}");
    let good = world.path("good.txt");
    fs::write(&good, vec![0; 65_536]).unwrap();
    for bad in [0, (64 << 20) + 1, u64::MAX] {
        let said = format!("chunks of {bad} bytes: --chunk-size may be from 1 byte to 64MiB");
        assert_eq!(world.cut_error(&good, bad), said);
    }
    let said = world.cut_error(&good, 1);
    assert!(said.ends_with("use --chunk-size 2"), "{said}");
    assert_eq!((world.count("config"), world.count("chunks")), (0, 0));
}

#[test]
fn merging_takes_whatever_right_copy_there_is() {
    let world = World::new();
    let cut = world.cut(b"aaaabbbbcccc", 4);
    // Chunk 0: with carol, whom nobody named. Chunk 1: alice's is wrong, bob's right. Chunk
    // 2: bob has none, and alice has it though nobody said so.
    let moved = world.store("carol").path(cut.description.chunks[0]);
    fs::create_dir(world.path("chunks/carol")).unwrap();
    fs::rename(world.chunk(&cut, 0, "alice"), moved).unwrap();
    fs::write(world.chunk(&cut, 1, "alice"), "bbbB").unwrap();
    fs::rename(world.chunk(&cut, 2, "bob"), world.chunk(&cut, 2, "alice")).unwrap();
    fs::write(world.path("chunks/README"), "not a directory").unwrap();
    let merged = world.merge(false).unwrap();
    assert_eq!(fs::read_to_string(merged.path).unwrap(), "aaaabbbbcccc");
    let expected = [(0, "missing", "alice"), (1, "wrong", "alice"), (2, "missing", "bob")];
    assert_eq!(world.faults(), expected.map(|(at, what, whose)| (at, what, whose.to_owned())));
}

#[test]
fn a_chunk_that_is_nowhere_right_is_named_with_all_that_was_tried() {
    let world = World::new();
    let cut = world.cut(b"aaaabbbbcc", 4);
    let hash = "8aed1322e5450badb078e1fb60a817a1df25a2ca";
    fs::remove_file(world.chunk(&cut, 1, "bob")).unwrap();
    fs::write(world.chunk(&cut, 1, "alice"), "bbb").unwrap();
    fs::create_dir(world.path("chunks/carol")).unwrap();
    fs::create_dir(world.path("chunks/dave")).unwrap();
    fs::write(world.chunk(&cut, 1, "dave"), "").unwrap();
    assert_eq!(
        world.merge_error(),
        format!(
            "no right copy of chunk 1 ({hash}): chunks/alice/{hash}.bin is wrong, \
             chunks/bob/{hash}.bin is missing, chunks/dave/{hash}.bin is wrong"
        )
    );
    assert_eq!(world.count("out"), 0, "nothing is left of the attempt");
    fs::remove_dir_all(world.path("chunks")).unwrap();
    let said = world.merge_error();
    assert!(said.starts_with("no right copy of chunk 0 (70c881d4"), "{said}");
    let mut description = cut.description.clone();
    description.holders[0].clear();
    world.rewrite(description);
    let said = world.merge_error();
    assert!(said.ends_with(": no provider has it"), "{said}");
    assert_eq!(world.faults()[0], (0, "nobody", String::new()));
}

#[test]
fn another_file_in_the_way_needs_overwrite() {
    let world = World::new();
    world.cut(b"aaaabbbbcc", 4);
    let out = world.path("out/test.txt");
    fs::create_dir(world.path("out")).unwrap();
    for other in ["aaaabbbbcC", "aaaa", "aaaabbbbccc"] {
        fs::write(&out, other).unwrap();
        let said = "out/test.txt exists and differs: move it away or use --overwrite";
        assert_eq!(world.merge_error(), said);
        assert_eq!(fs::read_to_string(&out).unwrap(), other);
        assert!(!world.merge(true).unwrap().was_there);
        assert_eq!(fs::read_to_string(&out).unwrap(), "aaaabbbbcc");
    }
    assert!(world.merge(false).unwrap().was_there);
    assert!(world.merge(true).unwrap().was_there);
    fs::remove_file(&out).unwrap();
    std::os::unix::fs::symlink(world.path("test.txt"), &out).unwrap();
    assert!(matches!(world.merge(false), Err(Error::Exists { .. })), "a link is no such file");
    assert_eq!(world.count("out"), 1, "no temporary file is left");
}

#[test]
fn names_in_file_ini_lead_nowhere_else() {
    let world = World::new();
    let cut = world.cut(b"aaaabbbbcc", 4);
    for (name, safe) in [("../../evil", ".._.._evil"), ("/etc/x", "_etc_x"), ("..", "_")] {
        let filename = name.to_owned();
        world.rewrite(FileDescription { filename, ..cut.description.clone() });
        assert_eq!(world.merge(false).unwrap().path, world.path("out").join(safe));
    }
    let mut description = cut.description.clone();
    description.holders[1][0] = "../alice".to_owned();
    world.rewrite(description);
    let said = "config/file.ini: [chunks_peers] 1: \"../alice\" is no name for a provider: \
                its directory could not be called so";
    assert_eq!(world.merge_error(), said);
    assert_eq!(world.bare(&world.places(tools::check).unwrap_err()), said);
}

#[test]
fn chunks_of_odd_lengths_are_faults_though_their_hashes_are_right() {
    let world = World::new();
    let three = world.cut(b"aaaabbbbcccc", 4).description.chunks;
    let odd = world.cut(b"dd", 4).description.chunks[0];
    let long = world.cut(b"eeeeeeee", 8).description.chunks[0];
    let describe = |chunks: Vec<_>| {
        let holders = vec![vec!["alice".to_owned()]; chunks.len()];
        world.rewrite(FileDescription { filename: "f".to_owned(), chunks, holders });
    };
    fs::rename(world.store("bob").path(three[2]), world.store("alice").path(three[2])).unwrap();
    describe(vec![three[0], three[1], odd]);
    assert_eq!(world.faults(), []);
    describe(vec![three[0], odd, three[2]]);
    assert_eq!(world.faults(), [(1, "length", "2 4".to_owned())]);
    describe(vec![three[0], three[1], long]);
    assert_eq!(world.faults(), [(2, "length", "8 4".to_owned())]);
    describe(vec![long]);
    assert_eq!(world.faults(), []);
}

#[test]
fn without_a_description_nothing_is_done() {
    let world = World::new();
    let said = "config/file.ini: no such file; driver chunk cut writes one";
    assert_eq!(world.merge_error(), said);
    assert_eq!(world.bare(&world.places(tools::check).unwrap_err()), said);
    assert_eq!(world.count("out"), 0);
}
