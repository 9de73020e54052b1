//! The torrents that `driver create` makes, beside those of libtorrent for the same files and
//! options: the info-hashes must be equal. Needs a Python with libtorrent (`PIGEON_PYTHON`),
//! but neither root nor a network.
//!
//! No directory here has a name that another one continues with a character below `/`, such
//! as `a` and `a.d`: libtorrent 2.1 then writes the files of hybrids in an order that differs
//! from its file tree, and refuses its own torrent.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::payload::Payload;
use crate::process::{Process, driver};

/// Prints a line for each case: both info-hashes as hex, empty for a version that is not there,
/// and whether libtorrent takes our torrent. Files come as driver sorts them, as libtorrent
/// leaves v1 files in the order of the directory.
const SCRIPT: &str = r#"
import libtorrent as lt, os, sys, warnings
warnings.simplefilter('ignore')
flags = {'v1': lt.create_torrent.v1_only, 'v2': lt.create_torrent.v2_only, 'hybrid': 0}
for line in sys.stdin:
    path, kind, piece_length, private, ours = line.rstrip('\n').split('\t')
    found = lt.file_storage()
    lt.add_files(found, path)
    parts = lambda i: found.file_path(i).encode().split(b'/')
    files = lt.file_storage()
    for i in sorted(range(found.num_files()), key=parts):
        files.add_file(found.file_path(i), found.file_size(i), found.file_flags(i))
    made = lt.create_torrent(files, int(piece_length), flags[kind])
    made.set_priv(private == 'private')
    lt.set_piece_hashes(made, os.path.dirname(path))
    theirs = lt.torrent_info(made.generate()).info_hashes()
    loaded = lt.torrent_info(ours).info_hashes()
    show = lambda hashes: '%s %s' % (
        hashes.v1 if hashes.has_v1() else '-', hashes.v2 if hashes.has_v2() else '-')
    print(show(theirs), show(loaded))
"#;

#[test]
fn info_hashes_are_those_of_libtorrent() {
    let python = super::clients::python();
    let mut import = Command::new(&python);
    import.args(["-c", "import libtorrent"]).stderr(std::process::Stdio::null());
    if !import.status().is_ok_and(|status| status.success()) {
        assert!(!super::asked_for("libtorrent's create_torrent"), "no libtorrent for {python:?}");
        return;
    }
    let home = tempfile::tempdir().expect("a folder for the test");
    let mut cases = String::new();
    let mut ours = Vec::new();
    for path in make_data(home.path()) {
        let path = home.path().join(path);
        for (number, (kind, piece_length, is_private)) in options().enumerate() {
            let name = path.file_name().expect("a name").to_string_lossy();
            let output = home.path().join(format!("{name}-{number}.torrent"));
            ours.push(create(home.path(), &path, kind, piece_length, is_private, &output));
            let private = if is_private { "private" } else { "public" };
            let (path, output) = (path.display(), output.display());
            cases += &format!("{path}\t{kind}\t{piece_length}\t{private}\t{output}\n");
        }
    }
    fs::write(home.path().join("cases"), &cases).expect("write the cases");
    let mut command = Command::new(&python);
    command.args(["-c", SCRIPT]);
    command.stdin(fs::File::open(home.path().join("cases")).expect("read the cases"));
    let done = command.output().expect("run Python");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "libtorrent: {said}");
    let theirs = String::from_utf8_lossy(&done.stdout);
    assert_eq!(theirs.lines().count(), ours.len());
    for ((case, theirs), ours) in cases.lines().zip(theirs.lines()).zip(&ours) {
        assert_eq!(theirs, format!("{ours} {ours}"), "{case}");
    }
}

/// Each format with several piece lengths, private and not.
fn options() -> impl Iterator<Item = (&'static str, u32, bool)> {
    let kinds = ["v1", "v2", "hybrid"].into_iter();
    kinds.flat_map(|kind| {
        [(16 << 10, false), (16 << 10, true), (64 << 10, false), (1 << 20, true)]
            .map(|(piece_length, is_private)| (kind, piece_length, is_private))
    })
}

/// Directories and files below `home`: many files, one file in a directory, files alone, and
/// lengths around those of pieces and blocks.
fn make_data(home: &Path) -> Vec<&'static str> {
    let many = [
        ("one/first.bin", 300_000),
        ("one/empty", 0),
        ("one/deep/er/block", 16_384),
        ("one/deep/er/more", 16_385),
        ("two/piece", 65_536),
        ("two/less", 65_535),
        ("two/large", 2_500_000),
        (".hidden", 1),
        ("Zulu", 40_000),
        ("twin", 40_000),
        ("größer – 東京", 100),
        ("script", 50),
        ("zz-empty", 0),
    ];
    Payload::new(11, "many", 16 << 10, &many).write_to(home);
    Payload::new(12, "alone", 16 << 10, &[("in/here", 123_456)]).write_to(home);
    Payload::new(13, "pair", 16 << 10, &[("data", 50_000), ("none", 0)]).write_to(home);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.join("many/script"), executable).expect("make it executable");
    vec!["many", "alone", "pair", "many/two/large", "many/two/less", "many/script"]
}

/// What driver makes of it: its info-hashes, `-` for one that is not there.
fn create(
    home: &Path,
    path: &Path,
    kind: &str,
    piece_length: u32,
    is_private: bool,
    output: &Path,
) -> String {
    let mut command = driver(home);
    command.arg("create").arg(path).arg("-o").arg(output).arg("--json");
    command.args(["--piece-length", &piece_length.to_string()]);
    if kind != "v1" {
        command.arg(format!("--{kind}"));
    }
    if is_private {
        command.arg("--private");
    }
    let mut made = Process::start("create", command, home);
    let status = made.wait(super::READY);
    assert!(status.success(), "{status}: {}", made.last_words());
    // A warning may stand beside it: version 2 is for other programs.
    let said = made.output();
    let line = said.lines().find(|line| line.starts_with('{')).expect("a JSON object");
    let made: Value = serde_json::from_str(line).expect("one JSON object");
    let hash = |key: &str| made[key].as_str().unwrap_or("-").to_owned();
    format!("{} {}", hash("info_hash_v1"), hash("info_hash_v2"))
}
