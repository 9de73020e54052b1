//! Torrents of real files in a directory of their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha1::{Digest as _, Sha1};

use super::*;
use crate::disk::{Allocate, StoreConfig, StoreFile};
use crate::metainfo::create::{self as format, CreateOptions};
use crate::metainfo::{File, Kind, Torrent};

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| ((at * 7 + seed + at / 1009) % 253) as u8).collect()
}

fn make(path: &Path, options: &CreateOptions) -> Result<Created, Error> {
    create(path, options, 32 << 20, &|_| {}, &AtomicBool::new(false))
}

fn options(kind: Kind, piece_length: u64) -> CreateOptions {
    CreateOptions { kind, piece_length: Some(piece_length), ..CreateOptions::default() }
}

/// A directory with files that cross pieces; returns their bytes in the torrent's order.
fn tree(dir: &Path) -> Vec<u8> {
    fs::create_dir_all(dir.join("t/sub/empty")).unwrap();
    let mut all = Vec::new();
    for (seed, (path, len)) in
        [("t/.hidden", 3), ("t/a", 3_000_001), ("t/e", 0), ("t/sub/b", 70_000), ("t/z", 1 << 20)]
            .into_iter()
            .enumerate()
    {
        let bytes = bytes(seed as u64, len);
        fs::write(dir.join(path), &bytes).unwrap();
        all.extend(bytes);
    }
    all
}

#[test]
fn pieces_cross_files_and_hash_the_same_however_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let all = tree(dir.path());
    // Runs of many pieces, and one piece after another as it is read.
    for piece_length in [16 << 10, 1 << 20, 32 << 20] {
        let made = make(&dir.path().join("t"), &options(Kind::V1, piece_length)).unwrap();
        let expected: Vec<u8> = all
            .chunks(piece_length as usize)
            .flat_map(|piece| <[u8; 20]>::from(Sha1::digest(piece)))
            .collect();
        assert_eq!(made.torrent.piece_hashes(), expected, "{piece_length}");
        assert_eq!(made.torrent.files.len(), 5, "no empty directory");
        assert_eq!(Torrent::parse(&made.bytes).unwrap().info_hash_v1, made.torrent.info_hash_v1);
    }
}

#[test]
fn hash_trees_are_the_same_however_they_are_read() {
    // Reading back checks that every piece layer leads to its root.
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let path = dir.path().join("t");
    for kind in [Kind::V2, Kind::Hybrid] {
        let first = make(&path, &options(kind, 64 << 10)).unwrap();
        let again = make(&path, &options(kind, 64 << 10)).unwrap();
        assert_eq!(first.bytes, again.bytes);
        make(&path, &options(kind, 32 << 20)).unwrap();
    }
    let root = |torrent: &Torrent| {
        let info = torrent.raw_info().to_vec();
        let at = info.windows(12).position(|word| word == b"pieces root3").unwrap();
        info[at + 14..at + 46].to_vec()
    };
    let of = |piece_length| {
        let made = make(&path.join("a"), &options(Kind::V2, piece_length)).unwrap();
        root(&made.torrent)
    };
    // BEP 52: the root does not depend on the piece length.
    assert_eq!(of(16 << 10), of(32 << 20));
    assert_eq!(of(16 << 10), of(1 << 20));
}

#[test]
fn links_and_pipes_stay_out() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("secret");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("key"), "secret").unwrap();
    let path = dir.path().join("t");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a"), "public").unwrap();
    symlink(&outside, path.join("directory")).unwrap();
    symlink(outside.join("key"), path.join("file")).unwrap();
    symlink("nowhere", path.join("nothing")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(path.join("pipe")).status().unwrap();
    assert!(status.success());
    let made = make(&path, &CreateOptions::default()).unwrap();
    let files: Vec<_> = made.torrent.files.iter().map(|file| file.path.to_owned()).collect();
    assert_eq!(files, [Path::new("t/a")]);
    let skipped: Vec<_> =
        made.skipped.iter().map(|it| (it.path.file_name().unwrap(), it.what)).collect();
    let link = "a symbolic link";
    let names = ["directory", "file", "nothing", "pipe"].map(std::ffi::OsStr::new);
    assert_eq!(skipped, names.into_iter().zip([link, link, link, "a pipe"]).collect::<Vec<_>>());
    // The path that the user named may be a link, and keeps its name.
    symlink(&path, dir.path().join("alias")).unwrap();
    let made = make(&dir.path().join("alias"), &CreateOptions::default()).unwrap();
    assert_eq!(made.torrent.name, "alias");
}

#[test]
fn a_file_becomes_a_torrent_of_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.sh");
    fs::write(&path, bytes(1, 20_000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    for kind in [Kind::V1, Kind::V2, Kind::Hybrid] {
        let made = make(&path, &options(kind, 16 << 10)).unwrap();
        assert_eq!(made.torrent.name, "run.sh");
        let file = made.torrent.files.iter().next().unwrap().path.to_owned();
        assert_eq!((file.as_path(), made.torrent.num_pieces), (Path::new("run.sh"), 2));
        let text = made.bytes.escape_ascii().to_string();
        assert!(text.contains("d4:attr1:x"), "{text}");
        let named = CreateOptions { name: Some("other".to_owned()), ..options(kind, 16 << 10) };
        let made = make(&path, &named).unwrap();
        assert_eq!(made.torrent.files.iter().next().unwrap().path, Path::new("other"));
    }
}

#[test]
fn files_that_change_meanwhile_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    for what in ["grow", "cut", "rewrite", "delete"] {
        tree(dir.path());
        let disturb = || match what {
            "grow" => fs::write(path.join("sub/b"), bytes(3, 80_000)).unwrap(),
            "cut" => fs::write(path.join("sub/b"), bytes(3, 60_000)).unwrap(),
            "rewrite" => {
                fs::write(path.join("new"), bytes(9, 70_000)).unwrap();
                fs::rename(path.join("new"), path.join("sub/b")).unwrap();
            }
            _ => fs::remove_file(path.join("sub/b")).unwrap(),
        };
        let once = std::sync::Once::new();
        let progress = |_: Progress| once.call_once(disturb);
        let options = options(Kind::V1, 16 << 10);
        let refused =
            create(&path, &options, 32 << 20, &progress, &AtomicBool::new(false)).unwrap_err();
        let Error::Changed { path: which } = refused else { panic!("{what}: {refused}") };
        assert!(which.ends_with("sub/b"), "{what}");
    }
}

#[test]
fn progress_counts_every_byte_and_an_abort_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let len = tree(dir.path()).len() as u64;
    let path = dir.path().join("t");
    let most = AtomicU64::new(0);
    let progress = |progress: Progress| {
        assert_eq!(progress.total_bytes, len);
        most.fetch_max(progress.done_bytes, Ordering::Relaxed);
    };
    let options = options(Kind::Hybrid, 16 << 10);
    create(&path, &options, 32 << 20, &progress, &AtomicBool::new(false)).unwrap();
    assert_eq!(most.into_inner(), len);
    let abort = AtomicBool::new(false);
    let ask = |_: Progress| abort.store(true, Ordering::Relaxed);
    let refused = create(&path, &options, 32 << 20, &ask, &abort).unwrap_err();
    assert!(matches!(refused, Error::Aborted), "{refused}");
}

#[test]
fn what_cannot_be_shared_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| make(path, &CreateOptions::default()).unwrap_err();
    assert!(matches!(refused(&dir.path().join("x")), Error::Missing { .. }));
    assert!(matches!(refused(Path::new("/dev/null")), Error::Special { .. }));
    assert!(matches!(refused(dir.path()), Error::Format(format::Error::NoData { .. })));
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9");
    fs::write(dir.path().join::<&std::ffi::OsStr>(odd), "x").unwrap();
    assert!(matches!(refused(dir.path()), Error::NotUtf8 { .. }));
}

/// The data of a torrent made in `dir`, as the disk room is told of it.
fn config(torrent: &Torrent, dir: &Path, record: &Path) -> StoreConfig {
    let file = |file: File<'_>| StoreFile {
        path: file.path.to_owned(),
        len: file.length,
        is_pad: file.is_pad,
    };
    StoreConfig {
        layout: torrent.layout.unwrap(),
        piece_hashes: torrent.shared_piece_hashes(),
        wanted: vec![true; torrent.files.len()],
        files: torrent.files.iter().map(file).collect(),
        symlinks: Vec::new(),
        dir: dir.to_owned(),
        allocate: Allocate::None,
        overwrite: false,
        resume_path: record.to_owned(),
        info_hash: torrent.info_hash_v1.unwrap(),
        ignores_record: false,
    }
}

#[test]
fn what_was_hashed_is_recorded_and_known_again_until_it_changes() {
    for kind in [Kind::V1, Kind::Hybrid] {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tree(dir.path());
        let (path, record) = (dir.path().join("t"), state.path().join("record"));
        let made = make(&path, &options(kind, 64 << 10)).unwrap();
        let config = || config(&made.torrent, dir.path(), &record);
        let is_known = || is_unchanged(&path, &made.torrent, config()).unwrap();
        assert!(!is_known(), "nobody noted it");
        assert!(made.note(config()).unwrap());
        assert!(is_known());
        assert!(!made.note(config()).unwrap(), "there is a record");
        fs::write(path.join("more"), "x").unwrap();
        assert!(!is_known(), "a file more");
        fs::remove_file(path.join("more")).unwrap();
        assert!(is_known());
        fs::rename(path.join("z"), path.join("y")).unwrap();
        assert!(!is_known(), "another name");
        fs::rename(path.join("y"), path.join("z")).unwrap();
        assert!(is_known());
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::open(path.join("sub/b")).unwrap().set_modified(later).unwrap();
        assert!(!is_known(), "somebody wrote to it");
    }
}

#[test]
fn a_file_that_changed_since_it_was_hashed_is_not_recorded() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(dir.path());
    let (path, record) = (dir.path().join("t"), state.path().join("record"));
    let made = make(&path, &options(Kind::V1, 64 << 10)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(path.join("z")).unwrap().set_modified(old).unwrap();
    assert!(!made.note(config(&made.torrent, dir.path(), &record)).unwrap());
    // Nor are files of the same names elsewhere.
    let other = tempfile::tempdir().unwrap();
    tree(other.path());
    let elsewhere = state.path().join("elsewhere");
    assert!(!made.note(config(&made.torrent, other.path(), &elsewhere)).unwrap());
}

#[test]
fn sums_are_made_from_the_same_reading_and_the_torrent_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    for kind in [Kind::V1, Kind::V2, Kind::Hybrid] {
        for piece_length in [16 << 10, 1 << 20] {
            let options = options(kind, piece_length);
            let plain = make(&dir.path().join("t"), &options).unwrap();
            let never = AtomicBool::new(false);
            let made =
                create_and_sum(&dir.path().join("t"), &options, 32 << 20, &|_| {}, &never).unwrap();
            assert!(made.bytes == plain.bytes && plain.sums.is_empty());
            let files = made.torrent.files.iter().filter(|file| !file.is_pad);
            let expected: Vec<_> = files
                .map(|file| {
                    crate::base::digest::sha256(&[&fs::read(dir.path().join(file.path)).unwrap()])
                })
                .collect();
            assert_eq!(made.sums, expected, "{kind:?} {piece_length}");
        }
    }
}
