//! Chunks as files: names that lead elsewhere, odd things under a chunk's name, and writing.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use crate::chunk::store::ChunkStore;
use crate::chunk::wire::ChunkHash;

/// SHA-1 of `abc` (FIPS 180).
fn abc() -> ChunkHash {
    "a9993e364706816aba3e25717850c26c9cd0d89d".parse().unwrap()
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn names_that_are_no_plain_element_of_a_path_are_refused() {
    for name in ["", ".", "..", "/", "/etc", "a/b", "../a", "a/", "a\\b", "..\\a", "a\0b"] {
        let error = ChunkStore::new(Path::new("chunks"), name).unwrap_err();
        assert_eq!(error.name, name);
    }
    let said = ChunkStore::new(Path::new("chunks"), "a/\x1b").unwrap_err().to_string();
    let expected = r#""a/\u{1b}" is no name for a provider: its directory could not be called so"#;
    assert_eq!(said, expected);
    let store = ChunkStore::new(Path::new("chunks"), "alice").unwrap();
    assert_eq!(
        store.path(abc()),
        Path::new("chunks/alice/a9993e364706816aba3e25717850c26c9cd0d89d.bin")
    );
    assert!(ChunkStore::new(Path::new("chunks"), "...").is_ok());
    assert!(ChunkStore::new(Path::new("chunks"), "Zoë 2").is_ok());
}

#[test]
fn a_chunk_counts_as_soon_as_it_lies_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = ChunkStore::new(dir.path(), "alice").unwrap();
    assert!(store.open(abc()).unwrap().is_none(), "not even a directory");
    store.write(abc(), b"abc").unwrap();
    let (mut file, len) = store.open(abc()).unwrap().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), len), ("abc", 3));
    assert_eq!(names_in(store.dir()), ["a9993e364706816aba3e25717850c26c9cd0d89d.bin"]);
    fs::remove_file(store.path(abc())).unwrap();
    assert!(store.open(abc()).unwrap().is_none());
}

#[test]
fn what_is_no_regular_file_is_no_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let store = ChunkStore::new(dir.path(), "alice").unwrap();
    let path = store.path(abc());
    fs::create_dir(store.dir()).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "abc").unwrap();

    symlink(&secret, &path).unwrap();
    assert!(store.open(abc()).unwrap().is_none(), "a link");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(store.open(abc()).unwrap().is_none(), "a directory");
    fs::remove_dir(&path).unwrap();
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert!(store.open(abc()).unwrap().is_none(), "a named pipe that nobody writes to");
    fs::remove_file(&path).unwrap();
    let _socket = bind(&path);
    assert!(store.open(abc()).unwrap().is_none(), "a socket");
    fs::remove_file(&path).unwrap();
    fs::remove_dir(store.dir()).unwrap();
    fs::write(store.dir(), "").unwrap();
    assert!(store.open(abc()).unwrap().is_none(), "a file for a directory");
    assert!(store.write(abc(), b"abc").is_err());
}

/// A socket's path may have 107 bytes; renamed, it may have more.
fn bind(path: &Path) -> UnixListener {
    let short = tempfile::tempdir().unwrap();
    let socket = UnixListener::bind(short.path().join("s")).unwrap();
    fs::rename(short.path().join("s"), path).unwrap();
    socket
}

#[test]
fn reading_stops_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = ChunkStore::new(dir.path(), "alice").unwrap();
    assert!(store.read(abc(), 3).unwrap().is_none());
    store.write(abc(), b"abc").unwrap();
    assert_eq!(store.read(abc(), 3).unwrap().unwrap(), b"abc");
    let error = store.read(abc(), 2).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "chunk of over 2 bytes");
}

#[test]
fn a_right_chunk_is_left_alone_and_a_wrong_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = ChunkStore::new(dir.path(), "alice").unwrap();
    let path = store.path(abc());
    store.write(abc(), b"abc").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    store.write(abc(), b"abc").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    for wrong in ["abd", "abcd", ""] {
        fs::write(&path, wrong).unwrap();
        store.write(abc(), b"abc").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&elsewhere, &path).unwrap();
    store.write(abc(), b"abc").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"abc");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"mine", "the link was replaced, not followed");
    assert_eq!(names_in(store.dir()).len(), 1);
}
