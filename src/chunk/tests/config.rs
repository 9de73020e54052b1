//! The configuration files on disk: what is said of unusable ones, and that changes are
//! noticed.

use std::fs;
use std::path::Path;

use crate::chunk::config::{self, Live};
use crate::chunk::ini::FileDescription;
use crate::chunk::wire::ChunkHash;

fn write_peers(dir: &Path, port: u16) {
    let text = format!("[alice]\nip_address = 127.0.0.1\nport_number = {port}\n");
    fs::write(dir.join("peers.ini"), text).unwrap();
}

fn described(filename: &str) -> FileDescription {
    FileDescription {
        filename: filename.to_owned(),
        chunks: vec![ChunkHash([7; 20])],
        holders: vec![vec!["alice".to_owned()]],
    }
}

/// What is said of `file.ini` in `dir`, without the directory.
fn said(dir: &Path) -> String {
    let text = config::file(dir).unwrap_err().to_string();
    text.replace(&format!("{}/", dir.display()), "")
}

#[test]
fn a_written_description_is_read_back_and_leaves_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/config");
    config::write_file(&dir, &described("a")).unwrap();
    config::write_file(&dir, &described("b")).unwrap();
    assert_eq!(config::file(&dir).unwrap(), described("b"));
    let names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file.ini"]);
}

#[test]
fn unusable_files_are_named_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, path) = (dir.path(), dir.path().join("file.ini"));
    assert_eq!(said(dir), "file.ini: no such file; driver chunk cut writes one");
    fs::create_dir(&path).unwrap();
    assert_eq!(said(dir), "file.ini: reading failed: not a regular file");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, described("a").render().replace("0707", "07")).unwrap();
    assert_eq!(said(dir), "file.ini: [chunks] 0: is not a SHA-1 of 40 hex digits");
    fs::write(&path, b"[caf\xe9]").unwrap();
    assert_eq!(said(dir), "file.ini: is not UTF-8 text");
    fs::File::create(&path).unwrap().set_len((16 << 20) + 1).unwrap();
    assert_eq!(said(dir), "file.ini: is larger than 16 MiB, which no such file needs");
    let error = config::peers(dir).unwrap_err().to_string();
    assert!(error.ends_with("peers.ini: no such file"), "{error}");
}

#[test]
fn writing_where_it_is_impossible_says_so_and_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("file.ini")).unwrap();
    let error = config::write_file(dir.path(), &described("a")).unwrap_err().to_string();
    assert!(error.contains("file.ini: writing failed: "), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::write(dir.path().join("plain"), "").unwrap();
    let error = config::write_file(&dir.path().join("plain"), &described("a")).unwrap_err();
    assert!(error.to_string().contains("file.ini: writing failed: "), "{error}");
}

#[test]
fn the_first_peers_are_those_of_the_specification_and_replace_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(config::write_first_peers(dir.path()).unwrap());
    let peers = config::peers(dir.path()).unwrap();
    assert_eq!(peers.tracker().unwrap(), "127.0.0.1:8000".parse().unwrap());
    assert_eq!(peers.provider("alice").unwrap(), "127.0.0.1:8001".parse().unwrap());
    assert_eq!(peers.provider("bob").unwrap(), "127.0.0.1:8002".parse().unwrap());
    fs::write(dir.path().join("peers.ini"), "mine").unwrap();
    assert!(!config::write_first_peers(dir.path()).unwrap());
    assert_eq!(fs::read(dir.path().join("peers.ini")).unwrap(), b"mine");
    let error = config::write_first_peers(&dir.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none/peers.ini: writing failed: "), "{error}");
}

#[test]
fn changes_are_seen_whatever_their_length_and_however_soon() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_peers(dir, 1000);
    config::write_file(dir, &described("a")).unwrap();
    let mut live = Live::open(dir).unwrap();
    for port in 1001..1050 {
        // Same length, same inode, and mostly within one step of the file system's clock.
        write_peers(dir, port);
        let (peers, file, errors) = live.current();
        assert_eq!(peers.provider("alice").unwrap().port(), port);
        assert_eq!(file.filename, "a");
        assert!(errors.is_empty());
    }
    config::write_file(dir, &described("b")).unwrap();
    assert_eq!(live.current().1.filename, "b");
}

#[test]
fn a_broken_version_is_told_once_and_the_good_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_peers(dir, 1000);
    config::write_file(dir, &described("a")).unwrap();
    let mut live = Live::open(dir).unwrap();
    let mut errors = |expected_port: u16| {
        let (peers, _, errors) = live.current();
        assert_eq!(peers.provider("alice").unwrap().port(), expected_port);
        let name = format!("{}/", dir.display());
        errors.iter().map(|error| error.to_string().replace(&name, "")).collect::<Vec<_>>()
    };
    fs::write(dir.join("peers.ini"), "[alice]\n").unwrap();
    assert_eq!(errors(1000), ["peers.ini: [alice] ip_address: is missing"]);
    assert_eq!(errors(1000), [""; 0]);
    fs::write(dir.join("peers.ini"), "[bobby]\n").unwrap();
    assert_eq!(errors(1000), ["peers.ini: [bobby] ip_address: is missing"]);
    fs::remove_file(dir.join("peers.ini")).unwrap();
    assert_eq!(errors(1000), ["peers.ini: no such file"]);
    assert_eq!(errors(1000), [""; 0]);
    write_peers(dir, 2000);
    assert_eq!(errors(2000), [""; 0]);
    // Gone and back with the same text: nothing to tell but that it was gone.
    fs::remove_file(dir.join("peers.ini")).unwrap();
    assert_eq!(errors(2000), ["peers.ini: no such file"]);
    write_peers(dir, 2000);
    assert_eq!(errors(2000), [""; 0]);
}

#[test]
fn opening_fails_when_either_file_is_unusable() {
    let dir = tempfile::tempdir().unwrap();
    config::write_file(dir.path(), &described("a")).unwrap();
    assert!(Live::open(dir.path()).is_err());
    write_peers(dir.path(), 1);
    assert!(Live::open(dir.path()).is_ok());
    fs::write(dir.path().join("file.ini"), "").unwrap();
    assert!(Live::open(dir.path()).is_err());
}
