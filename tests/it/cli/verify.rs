//! `driver verify` and `driver create` while they work: what they find, that they end when they
//! are told to, and that they take turns.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock, major, minor};
use serde_json::{Value, json};

use super::run::{LIMIT, Running, run};
use crate::payload::Payload;
use crate::process::{Process, driver};

const PIECE: u64 = 16 << 10;

/// A folder with `x.torrent` and its data below `out`: three files of 40, 20 and 40 pieces, the
/// second one not at the border of a piece.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder for the test");
    let files = [("a", 40 * PIECE), ("b", 20 * PIECE + 100), ("c", 40 * PIECE)];
    let payload = Payload::new(9, "data", 16 << 10, &files);
    fs::write(home.path().join("x.torrent"), payload.torrent(None)).expect("a torrent");
    payload.write_to(&home.path().join("out"));
    home
}

fn edit(home: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = home.join("out/data").join(name);
    let mut bytes = fs::read(&path).expect("read a file");
    change(&mut bytes);
    fs::write(&path, bytes).expect("write a file");
}

#[test]
fn wrong_bytes_are_named_in_every_file_that_shares_their_piece() {
    let home = home();
    let piece = PIECE as usize;
    edit(home.path(), "a", |bytes| {
        bytes[3 * piece] ^= 1;
        bytes[5 * piece - 1] ^= 1;
        bytes[30 * piece] ^= 1;
    });
    // The last 100 bytes of b and the first of c lie in one piece.
    edit(home.path(), "c", |bytes| bytes[0] ^= 1);
    let ran = run(home.path(), &["verify", "x.torrent", "out"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(6), ""), "{}", ran.stdout);
    let expected = "\
3 pieces wrong                    data/a
  wrong: bytes 49152-81919 (32.0 KiB)
  wrong: bytes 491520-507903 (16.0 KiB)
1 piece wrong                     data/b
  wrong: bytes 327680-327779 (100 B)
1 piece wrong                     data/c
  wrong: bytes 0-16283 (15.9 KiB)
0 of 3 files ok   1.6 MiB read in ";
    assert!(ran.stdout.starts_with(expected), "{}", ran.stdout);

    fs::remove_file(home.path().join("out/data/b")).expect("remove a file");
    edit(home.path(), "a", |bytes| bytes.truncate(39 * piece));
    let ran = run(home.path(), &["verify", "--json", "x.torrent", "out"]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    let found: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!(found["pieces"], json!({"count": 101, "right": 76, "wrong": 3, "unread": 22}));
    assert!(found["rate"].as_u64().is_some_and(|rate| rate > 0) && found["complete"] == false);
    let [a, b, c] = [0, 1, 2].map(|at| &found["files"][at]);
    assert_eq!([a, b, c].map(|file| &file["state"]), ["too_short", "missing", "wrong"]);
    assert_eq!(a["wrong"], json!([[49_152, 81_920], [491_520, 507_904]]));
    assert_eq!(a["unread"], json!([[638_976, 655_360]]));
    assert_eq!((b["wrong_bytes"].as_u64(), b["unread_bytes"].as_u64()), (Some(0), Some(327_780)));
    assert_eq!(c["unread"], json!([[0, 16_284]]));
}

#[test]
fn what_cannot_be_read_is_named_with_the_reason_and_the_rest_is_checked() {
    let home = home();
    let b = home.path().join("out/data/b");
    fs::remove_file(&b).expect("remove a file");
    fs::create_dir(&b).expect("make a folder");
    let ran = run(home.path(), &["verify", "-v", "x.torrent", "out"]);
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("ok ") && lines[0].ends_with(" data/a"), "{}", ran.stdout);
    assert!(lines[1].starts_with("unreadable: ") && lines[1].contains("is not a regular file"));
    assert!(lines[2].starts_with("1 piece not checked "), "{}", ran.stdout);
}

/// A folder with `huge`, more zeros than can be read in seconds, and a torrent of it.
fn huge() -> tempfile::TempDir {
    const LEN: u64 = 256 << 30;
    const PIECE_LEN: u64 = 16 << 20;
    let home = tempfile::tempdir().expect("a folder for the test");
    let file = File::create(home.path().join("huge")).expect("make a file");
    file.set_len(LEN).expect("a file system with holes");
    let hashes = vec![7; (LEN / PIECE_LEN * 20) as usize];
    let mut torrent = format!(
        "d4:infod6:lengthi{LEN}e4:name4:huge12:piece lengthi{PIECE_LEN}e6:pieces{}:",
        hashes.len()
    )
    .into_bytes();
    torrent.extend(hashes);
    torrent.extend(b"ee");
    fs::write(home.path().join("huge.torrent"), torrent).expect("a torrent");
    home
}

/// Has the process read some of the data? By then it listens to signals.
fn has_read(id: u32) -> bool {
    let io = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok());
    read.is_some_and(|read| read > 4 << 20)
}

#[test]
fn a_stop_is_followed_within_a_second_and_leaves_nothing() {
    let home = huge();
    let before = fs::read_dir(home.path()).expect("list").count();
    for (arguments, signal) in [
        (["verify", "huge.torrent", "."], "TERM"),
        (["create", "huge", "--output=new.torrent"], "INT"),
    ] {
        let mut command = driver(home.path());
        let mut running = Running::start(command.current_dir(home.path()).args(arguments));
        let begun = Instant::now();
        while !has_read(running.id()) {
            assert!(begun.elapsed() < LIMIT, "it does not read");
            std::thread::yield_now();
        }
        running.signal(signal);
        let asked = Instant::now();
        let ran = running.wait();
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        assert_eq!(ran.stdout, "");
        ran.assert_refused(7, "stopped");
    }
    assert_eq!(fs::read_dir(home.path()).expect("list").count(), before, "no trace");
}

#[test]
fn they_wait_for_others_that_read_the_same_device_and_say_so() {
    let home = home();
    let state = home.path().join("state/driver");
    fs::create_dir_all(&state).expect("make a folder");
    let device = fs::metadata(home.path()).expect("a folder").dev();
    let name = format!("device-{}-{}.lock", major(device), minor(device));
    let lock = OpenOptions::new().append(true).create(true).open(state.join(name));
    let lock = lock.expect("make a file");
    let start = |arguments: [&str; 3]| {
        let mut command = driver(home.path());
        command.current_dir(home.path()).args(arguments);
        Process::start(arguments[0], command, &home.path().join("logs"))
    };
    let arguments = [["verify", "x.torrent", "out"], ["create", "out/data", "--output=y.torrent"]];
    for (arguments, answer) in
        arguments.into_iter().zip(["3 of 3 files ok", "File        y.torrent"])
    {
        flock(&lock, FlockOperation::LockExclusive).expect("a turn");
        let mut waiting = start(arguments);
        let begun = Instant::now();
        while !waiting.output().contains("waiting: another check reads this disk") {
            assert!(begun.elapsed() < LIMIT && waiting.ended().is_none(), "{}", waiting.output());
            std::thread::yield_now();
        }
        assert!(!waiting.output().contains(answer), "{}", waiting.output());
        flock(&lock, FlockOperation::Unlock).expect("the end of a turn");
        assert!(waiting.wait(LIMIT).success());
        assert!(waiting.output().contains(answer), "{}", waiting.output());
    }
}

#[test]
fn without_a_state_directory_none_is_made() {
    let home = home();
    let ran = run(home.path(), &["verify", "x.torrent", "out"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(!home.path().join("state").exists());
}

#[test]
fn a_link_of_the_torrents_name_is_followed_and_none_inside() {
    let home = home();
    let (out, disk) = (home.path().join("out"), home.path().join("disk"));
    fs::rename(&out, &disk).expect("move the data");
    fs::create_dir(&out).expect("make a folder");
    symlink(disk.join("data"), out.join("data")).expect("make a link");
    let seed = ["seed", "x.torrent", "out", "-p", "0", "--no-repl", "--seed-time", "0"];
    assert_eq!(run(home.path(), &["verify", "x.torrent", "out"]).code, Some(0));
    let seeded = run(home.path(), &seed);
    assert_eq!(seeded.code, Some(0), "{}{}", seeded.stdout, seeded.stderr);
    assert!(seeded.stdout.contains("Serving from "), "{}", seeded.stdout);
    // Inside the tree a link is no file, wherever it leads.
    fs::rename(disk.join("data/a"), home.path().join("a")).expect("move a file");
    symlink(home.path().join("a"), disk.join("data/a")).expect("make a link");
    assert_eq!(run(home.path(), &["verify", "x.torrent", "out"]).code, Some(5));
    assert_ne!(run(home.path(), &seed).code, Some(0));
}

/// What `sha256sum` says of data, by the crate that all of it is made with.
fn sum(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}

#[test]
fn sums_are_made_from_the_same_reading_and_compared() {
    let home = home();
    let read = |name: &str| fs::read(home.path().join("out/data").join(name)).expect("a file");
    let [a, b, c] = ["a", "b", "c"].map(|name| sum(&read(name)));
    let list = |text: &str| fs::write(home.path().join("SUMS"), text).expect("a list");
    let verify = |more: &[&str]| {
        let arguments = ["verify", "x.torrent", "out", "--sha256sums", "SUMS"];
        run(home.path(), &[&arguments, more].concat())
    };
    list(&format!("{a}  a\n{b} *./b\n{}  data/c\n{c}  other.iso\n", c.to_uppercase()));
    let ran = verify(&[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("3 of 3 files ok   1.6 MiB read in "), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("\n3 of 3 sums right\n"), "{}", ran.stdout);

    // Right by its pieces, but of another edition.
    list(&format!("-----BEGIN-----\n{a}  a\n{a}  b\n"));
    let ran = verify(&[]);
    assert_eq!(ran.code, Some(6), "{}", ran.stdout);
    assert_eq!(ran.stderr, "driver: SUMS: 1 line without a sum left out\n");
    let expected = "sum differs                       data/b\n2 of 3 files ok   ";
    assert!(ran.stdout.starts_with(expected), "{}", ran.stdout);
    assert!(
        ran.stdout.ends_with("\n1 of 2 sums right   1 file not in the list\n"),
        "{}",
        ran.stdout
    );
    let found: Value = serde_json::from_str(&verify(&["--json", "-q"]).stdout).expect("JSON");
    assert_eq!(found["sums"], json!({"right": 1, "wrong": 1, "unlisted": 1}));
    let files = found["files"].as_array().expect("files");
    let told: Vec<_> = files.iter().map(|file| (&file["sha256"], &file["sha256_ok"])).collect();
    let expected = [(json!(a), json!(true)), (json!(b), json!(false)), (json!(c), Value::Null)];
    assert_eq!(told, expected.iter().map(|(sum, ok)| (sum, ok)).collect::<Vec<_>>());
    assert_eq!((&found["complete"], &files[1]["ok"]), (&json!(false), &json!(false)));

    // A file that shares a piece with one that is not there has its sum all the same.
    list(&format!("{a}  a\n{b}  b\n{c}  c\n"));
    fs::remove_file(home.path().join("out/data/b")).expect("remove a file");
    let ran = verify(&[]);
    assert_eq!(ran.code, Some(6));
    assert!(ran.stdout.ends_with("\n2 of 3 sums right\n"), "{}", ran.stdout);

    list(&format!("{a}  another.iso\n"));
    verify(&[]).assert_refused(3, "SUMS has no sum of any of the torrent's files");
    list("no sums\n");
    verify(&[]).assert_refused(3, "SUMS: no list of sums: it has no line with a SHA-256 sum");
    fs::remove_file(home.path().join("SUMS")).expect("remove a file");
    verify(&[]).assert_refused(3, "SUMS: No such file");
}
