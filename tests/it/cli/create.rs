//! Making torrents from the command line, and what the other commands say of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::run::{Run, finish, run};
use crate::payload::Payload;
use crate::process::{driver, driver_path, with_home};

const FILES: [(&str, u64); 4] =
    [("first.bin", 200_001), ("b/second", 99_000), ("b/empty", 0), (".hidden", 7)];

/// A folder with the directory `data`.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder for the test");
    Payload::new(5, "data", 16 << 10, &FILES).write_to(home.path());
    home
}

fn json(ran: &Run) -> Value {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ran.stdout).expect("one JSON object")
}

#[test]
fn what_is_made_verifies_where_it_lies() {
    let home = home();
    for format in [&[] as &[&str], &["--hybrid"]] {
        let more = ["create", "data", "-p", "32KiB", "-o", "x.torrent", "--force", "--json"];
        let made = json(&run(home.path(), &[&more, format].concat()));
        assert_eq!(made["file"], "x.torrent");
        assert_eq!(made["total_size"].as_u64(), Some(299_008));
        let verified = run(home.path(), &["verify", "x.torrent", "."]);
        assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
        let mut info = json(&run(home.path(), &["info", "--json", "x.torrent"]));
        info["file"] = made["file"].clone();
        assert_eq!(info, made, "info tells the same");
        fs::write(home.path().join("data/b/second"), vec![1; 99_000]).expect("write a file");
        assert_eq!(run(home.path(), &["verify", "x.torrent", "."]).code, Some(6));
        Payload::new(5, "data", 16 << 10, &FILES).write_to(home.path());
    }
}

#[test]
fn every_option_reaches_the_torrent() {
    let home = home();
    let more = "--private --source LAB --comment hello --name renamed -w http://w/ --v2 --no-date \
        -a http://a/announce,udp://b:1 -a https://c --json";
    let mut arguments = vec!["create", "data/first.bin"];
    arguments.extend(more.split_whitespace());
    let mut ran = run(home.path(), &arguments);
    assert!(ran.stderr.contains("driver cannot download, seed or verify it yet"), "{}", ran.stderr);
    ran.stderr.clear();
    let made = json(&ran);
    assert_eq!(made["file"], "renamed.torrent");
    assert_eq!(made["name"], "renamed");
    assert_eq!(made["private"], true);
    assert_eq!(made["comment"], "hello");
    assert_eq!(made["creation_date"], Value::Null);
    assert_eq!(made["info_hash_v1"], Value::Null);
    assert_eq!(made["web_seeds"], serde_json::json!(["http://w/"]));
    let tiers = serde_json::json!([["http://a/announce", "udp://b:1"], ["https://c"]]);
    assert_eq!(made["trackers"], tiers);
    let magnet = run(home.path(), &["magnet", "renamed.torrent"]).stdout;
    let hash = made["info_hash_v2"].as_str().expect("a hash");
    assert_eq!(
        magnet,
        format!(
            "magnet:?xt=urn:btmh:1220{hash}&dn=renamed&tr=http%3A%2F%2Fa%2Fannounce\
             &tr=udp%3A%2F%2Fb%3A1&tr=https%3A%2F%2Fc&ws=http%3A%2F%2Fw%2F\n"
        )
    );
    let bytes = fs::read(home.path().join("renamed.torrent")).expect("read the torrent");
    let text = bytes.escape_ascii().to_string();
    assert!(text.contains("7:privatei1e6:source3:LABe"), "{text}");
}

#[test]
fn the_same_files_make_the_same_bytes() {
    let homes = [home(), home()];
    let make = |home: &Path, arguments: &[&str], epoch: Option<&str>| {
        let mut command = driver(home);
        command.current_dir(home).args(["create", "data", "-o", "x.torrent", "--force"]);
        command.env_remove("SOURCE_DATE_EPOCH").args(arguments);
        if let Some(epoch) = epoch {
            command.env("SOURCE_DATE_EPOCH", epoch);
        }
        let ran = finish(&mut command);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        fs::read(home.join("x.torrent")).expect("read the torrent")
    };
    for (arguments, epoch) in [(&["--no-date"] as &[&str], None), (&[], Some("1234567890"))] {
        let made = homes.each_ref().map(|home| make(home.path(), arguments, epoch));
        assert_eq!(made[0], made[1]);
        let has_date = made[0].windows(13).any(|key| key == b"creation date");
        assert_eq!(has_date, epoch.is_some());
    }
    let home = homes[0].path();
    let date =
        |home: &Path| json(&run(home, &["info", "--json", "x.torrent"]))["creation_date"].as_u64();
    assert_eq!(date(home), Some(1_234_567_890));
    make(home, &[], None);
    assert!(date(home).is_some_and(|date| date > 1_234_567_890), "now");
}

#[test]
fn what_makes_no_sense_is_refused_and_writes_nothing() {
    let home = home();
    fs::write(home.path().join("taken.torrent"), "precious").expect("write a file");
    fs::create_dir(home.path().join("nothing")).expect("make a folder");
    let table: [(&[&str], i32, &str); 13] = [
        (&["missing"], 3, "missing: no such file or directory\n"),
        (&["dat"], 3, "no such file or directory - did you mean data?"),
        (&["missing", "-o", "taken.torrent"], 3, "missing: no such file or directory"),
        (&["data", "-p", "1MB"], 2, "try 1MiB"),
        (&["nothing"], 3, "holds no bytes"),
        (&["/dev/null"], 3, "neither a file nor a directory"),
        (&["data", "-p", "100000"], 2, "not a power of two from 16 KiB to 128 MiB"),
        (&["data", "-p", "8KiB"], 2, "not a power of two"),
        (&["data", "-a", "tracker.example"], 2, "no URL of a tracker"),
        (&["data", "-w", "x"], 2, "no URL of a web seed"),
        (&["data", "--name", "a/b"], 3, "rename it"),
        (&["data", "-o", "taken.torrent"], 5, "taken.torrent exists"),
        (&["data", "-o", "no/where.torrent"], 5, "writing no/where.torrent"),
    ];
    for (arguments, code, words) in table {
        let arguments = [&["create"], arguments].concat();
        run(home.path(), &arguments).assert_refused(code, words);
    }
    let names = fs::read_dir(home.path()).expect("list the folder");
    let torrents = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let torrents: Vec<String> = torrents.filter(|name| name.contains("torrent")).collect();
    assert_eq!(torrents, ["taken.torrent"]);
    let taken = home.path().join("taken.torrent");
    assert_eq!(fs::read(&taken).expect("still there"), b"precious");
    let both = run(home.path(), &["create", "data", "--v2", "--hybrid"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let forced = run(home.path(), &["create", "data", "-o", "taken.torrent", "--force"]);
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert_ne!(fs::read(&taken).expect("still there"), b"precious");
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_anything_is_read() {
    let home = home();
    let huge = fs::File::create(home.path().join("huge")).expect("make a file");
    // Hours of hashing, if it came to that.
    huge.set_len(1 << 40).expect("a sparse file");
    fs::create_dir_all(home.path().join("full/huge.torrent")).expect("make a folder");
    for (output, words) in [
        ("no/where.torrent", "writing no/where.torrent: No such file or directory"),
        ("full", "writing full/huge.torrent: it is a directory"),
        ("data/first.bin/x.torrent", "Not a directory"),
        (&*"x".repeat(300), "File name too long"),
    ] {
        run(home.path(), &["create", "huge", "-o", output]).assert_refused(5, words);
    }
}

#[test]
fn names_that_differ_only_in_case_are_made_verified_and_seeded() {
    let home = home();
    let data = home.path().join("d");
    fs::create_dir_all(data.join("sub")).expect("make a folder");
    for (path, words) in [("SUB", "1"), ("sub/z", "2"), ("xt_CONNMARK.h", "3")] {
        fs::write(data.join(path), words).expect("write a file");
    }
    fs::write(data.join("xt_connmark.h"), "4444").expect("write a file");
    for format in [&[] as &[&str], &["--hybrid"]] {
        let made = run(home.path(), &[&["create", "d", "--force"], format].concat());
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let verified = run(home.path(), &["verify", "-v", "d.torrent", "."]);
        assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
        assert!(verified.stdout.contains("d/xt_connmark.h"), "{}", verified.stdout);
        assert_eq!(seed(home.path(), "d.torrent").code, Some(0));
    }
}

/// Seeds what lies here for a moment.
fn seed(home: &Path, torrent: &str) -> Run {
    let arguments = ["seed", torrent, ".", "-p", "0", "--no-trackers", "--no-repl", "--json"];
    run(home, &[&arguments as &[&str], &["--seed-time", "0"]].concat())
}

#[test]
fn what_was_just_read_to_make_a_torrent_is_not_read_again_to_seed_it() {
    let home = home();
    assert_eq!(run(home.path(), &["create", "data"]).code, Some(0));
    // Other bytes that look the same show whether they are read.
    let path = home.path().join("data/first.bin");
    let modified = fs::metadata(&path).and_then(|it| it.modified()).expect("its time");
    let other = |last| {
        let file = fs::OpenOptions::new().write(true).open(&path).expect("open the file");
        std::os::unix::fs::FileExt::write_at(&file, b"other", 0).expect("write");
        file.set_modified(last).expect("its time again");
    };
    other(modified);
    let seeded = seed(home.path(), "data.torrent");
    assert_eq!(seeded.code, Some(0), "{}{}", seeded.stdout, seeded.stderr);
    other(modified + std::time::Duration::from_secs(1));
    let seeded = seed(home.path(), "data.torrent");
    assert_eq!(seeded.code, Some(6), "{}{}", seeded.stdout, seeded.stderr);
}

#[test]
fn a_file_size_limit_is_an_error_and_no_death() {
    let home = home();
    let script = format!("ulimit -f 1; exec {} create data", driver_path().display());
    let mut limited = with_home(Command::new("bash"), home.path());
    limited.args(["-c", &script]).current_dir(home.path());
    let data = home.path().join("data/large");
    fs::File::create(data).and_then(|file| file.set_len(4 << 20)).expect("a file");
    let ran = finish(&mut limited);
    assert_eq!(ran.code, Some(5), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("writing data.torrent: File too large"), "{}", ran.stderr);
    assert!(!home.path().join("data.torrent").exists(), "nothing is left behind");
}

#[test]
fn a_torrent_inside_its_own_data_is_not_replaced() {
    let home = home();
    let data = home.path().join("data");
    let first = run(&data, &["create", "."]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(data.join("data.torrent").is_file(), "named after the directory");
    let again = run(&data, &["create", ".", "--force"]);
    again.assert_refused(2, "is part of what is shared");
}

#[test]
fn links_are_left_out_with_a_line() {
    let home = home();
    let link = home.path().join("data/escape\x07");
    std::os::unix::fs::symlink("/etc", link).expect("make a link");
    let ran = run(home.path(), &["create", "data"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr, "left out data/escape\\x07: it is a symbolic link\n");
    let quiet = run(home.path(), &["create", "-q", "data", "--force"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("in 4 files"), "{}", ran.stdout);
}

#[test]
fn a_list_of_sums_is_written_from_the_same_reading() {
    let home = home();
    let sum_of = |name: &str| {
        use sha2::Digest as _;
        let bytes = fs::read(home.path().join("data").join(name)).expect("read a file");
        data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
    };
    let mut expected: Vec<String> =
        FILES.iter().map(|(name, _)| format!("{}  {name}", sum_of(name))).collect();
    expected.sort();
    // Pieces shorter and longer than what is read at a time, of both versions.
    for more in
        [&["-p", "16KiB"] as &[&str], &["-p", "128KiB"], &["--hybrid"], &["--v2", "-p", "128KiB"]]
    {
        let arguments = ["create", "data", "-o", "x.torrent", "--force", "--sha256sums", "SUMS"];
        let made = run(home.path(), &[&arguments, more].concat());
        assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
        let list = fs::read_to_string(home.path().join("SUMS")).expect("a list");
        let mut lines: Vec<&str> = list.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, expected, "{more:?}");
        let plain = ["create", "data", "-o", "y.torrent", "--force", "--no-date"];
        let with = [&arguments, more, &["--no-date"]].concat();
        assert_eq!(run(home.path(), &[&plain, more].concat()).code, Some(0));
        assert_eq!(run(home.path(), &with).code, Some(0));
        let bytes =
            ["x.torrent", "y.torrent"].map(|name| fs::read(home.path().join(name)).expect("it"));
        assert_eq!(bytes[0], bytes[1], "the same torrent");
    }
    let made = run(home.path(), &["create", "data/first.bin", "-q", "--sha256sums", "-"]);
    let line = format!("{}  first.bin\n", sum_of("first.bin"));
    assert_eq!((made.code, made.stdout, made.stderr.as_str()), (Some(0), line, ""));

    let again = ["create", "data", "-o", "z.torrent", "--sha256sums", "SUMS"];
    run(home.path(), &again).assert_refused(5, "SUMS exists");
    let both = ["create", "data", "--force", "-o", "SUMS", "--sha256sums", "SUMS"];
    run(home.path(), &both).assert_refused(2, "cannot be the torrent and the list of sums");
    let twice = ["create", "data", "-o", "w.torrent", "--sha256sums", "-", "--json"];
    run(home.path(), &twice).assert_refused(2, "both print to the terminal");
}
