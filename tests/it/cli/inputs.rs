//! What is given on the command line: torrents good and bad, options, and the answers of the
//! commands that only look.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::run::{Place, finish, run};
use crate::payload::Payload;
use crate::process::driver;

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn write(home: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(home.join(name), bytes).expect("write a file");
}

#[test]
fn bad_input_is_one_line_and_code_3() {
    let home = home();
    write(home.path(), "garbage.torrent", b"hello");
    write(home.path(), "empty.torrent", b"");
    write(home.path(), "bad.toml", b"bogus = 1\n");
    let whole = Payload::new(1, "x", 16 << 10, &[("a", 1000)]).torrent(None);
    write(home.path(), "cut.torrent", &whole[..whole.len() - 9]);
    write(home.path(), "page.torrent", b"<!DOCTYPE html>\n<html>");
    std::fs::File::create(home.path().join("film.torrent"))
        .and_then(|film| film.set_len(3 << 30))
        .expect("a file with holes");
    let table: [(&[&str], &str); 12] = [
        (&["garbage.torrent"], "garbage.torrent: not a torrent"),
        (&["info", "garbage.torrent"], "not a torrent"),
        (&["verify", "empty.torrent"], "not a torrent"),
        (&["magnet", "cut.torrent"], "cut off after"),
        (&["page.torrent"], "it is a web page"),
        (&["film.torrent"], "is it the data?"),
        (&["nope.torrent"], "nope.torrent: no such file\n"),
        (&["garbag.torrent"], "no such file - did you mean garbage.torrent?"),
        (&["info", "nowhere/x.torrent"], "no such file"),
        (&["info", "."], "is a directory"),
        (&["verify", "0123456789012345678901234567890123456789", "."], "info --fetch LINK"),
        (&["--config", "bad.toml", "config"], "unknown setting"),
    ];
    for (arguments, words) in table {
        run(home.path(), arguments).assert_refused(3, words);
    }
}

#[test]
fn the_file_says_by_which_device_chunks_are_fetched() {
    let home = home();
    std::fs::create_dir_all(home.path().join("config/driver")).expect("a folder of settings");
    write(home.path(), "config/driver/config.toml", b"interface = 'tun77'\n");
    let get = ["chunk", "get", "--tracker", "127.0.0.1:9"];
    run(home.path(), &get).assert_refused(4, "waits for tun77: there is no such device");
}

#[test]
fn usage_errors_are_code_2() {
    let home = home();
    let whole = Payload::new(1, "x", 16 << 10, &[("a", 1000), ("b", 5)]).torrent(None);
    write(home.path(), "x.torrent", &whole);
    for arguments in [
        &["--frobnicate", "x.torrent"] as &[&str],
        &["--port", "99999", "x.torrent"],
        &["--select", "0", "x.torrent"],
        &["--timeout", "soon", "x.torrent"],
        &["-q", "-v", "x.torrent"],
        &[],
    ] {
        let ran = run(home.path(), arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    for (arguments, words) in [
        (&["--peer", "localhost", "x.torrent"] as &[&str], "no names"),
        (&["-D", "-1", "x.torrent"], "not a rate; write 500K"),
        (&["-p", "-1", "x.torrent"], "invalid value '-1' for '--port"),
        (&["-a", "notaurl", "x.torrent"], "'--tracker <URL>': not a tracker; write http://"),
        (&["seed", "-a", "notaurl", "x.torrent"], "'--tracker <URL>': not a tracker; write http"),
        (&["create", "-a", "notaurl", "x.torrent"], "notaurl is no URL of a tracker: it begins"),
        (&["--proxy", "socks4://127.0.0.1:1", "x.torrent"], "SOCKS4 is not spoken here"),
        (&["--proxy-peers", "x.torrent"], "and none is named: add --proxy URL"),
    ] {
        let ran = run(home.path(), arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    for (arguments, words) in [
        (&["inof", "x.torrent"] as &[&str], "did you mean the command info?"),
        (&["x.torrent", "verify"], "a command stands first: driver verify"),
        (&["help", "verfy"], "there is no command verfy - did you mean verify?"),
        (&["man", "chunk", "gett"], "there is no command gett - did you mean get?"),
        (&["--select", "3", "x.torrent"], "there is no file 3: the torrent has 2 files"),
        (&["--select", "1", "x.torrent", "x.torrent"], "the download of one torrent"),
    ] {
        run(home.path(), arguments).assert_refused(2, words);
    }
}

#[test]
fn info_as_json_has_all_its_keys() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (name, has_v1) in [
        ("multi-hybrid.torrent", true),
        ("multi-v2.torrent", false),
        ("links-hybrid.torrent", true),
    ] {
        let path = data.join(name);
        let ran = run(home().path(), &["info", "--json", &path.to_string_lossy()]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let object: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
        let object = object.as_object().expect("an object");
        let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "comment",
                "created_by",
                "creation_date",
                "files",
                "flaws",
                "info_hash_v1",
                "info_hash_v2",
                "magnet",
                "missing_layers",
                "name",
                "num_pieces",
                "piece_length",
                "private",
                "total_size",
                "trackers",
                "web_seeds",
            ]
        );
        assert_eq!(object["info_hash_v1"].is_string(), has_v1);
        assert_eq!(object["info_hash_v2"].as_str().map(str::len), Some(64));
        let files = object["files"].as_array().expect("a list");
        let sum: u64 = files.iter().map(|file| file["length"].as_u64().expect("bytes")).sum();
        assert_eq!(object["total_size"].as_u64(), Some(sum), "pads count for nothing");
        let is_pad = |file: &Value| file["path"].as_str().is_some_and(|path| path.contains(".pad"));
        assert!(!files.iter().any(is_pad));
        let magnet = run(home().path(), &["magnet", &path.to_string_lossy()]).stdout;
        assert_eq!(object["magnet"].as_str(), Some(magnet.trim_end()));
    }
}

#[test]
fn an_answer_that_is_lost_is_no_success() {
    let home = home();
    let whole = Payload::new(1, "x", 16 << 10, &[("a", 1000)]).torrent(None);
    write(home.path(), "x.torrent", &whole);
    for arguments in [
        &["info", "x.torrent"] as &[&str],
        &["info", "--json", "x.torrent"],
        &["info", "--raw", "x.torrent"],
        &["magnet", "x.torrent"],
        &["verify", "x.torrent", "."],
        &["config"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("open it");
        let mut command = driver(home.path());
        command.current_dir(home.path()).args(arguments).stdout(full);
        let ran = command.output().expect("run it");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(5), "{arguments:?}: {said}");
        assert!(said.contains("the answer cannot be written"), "{said}");
    }
}

#[test]
fn a_flag_beats_the_environment_where_they_contradict_each_other() {
    let home = home();
    let whole = Payload::new(1, "x", 16 << 10, &[("a", 1000)]).torrent(None);
    write(home.path(), "x.torrent", &whole);
    let settings = |arguments: &[&str], name: &str| {
        let mut command = driver(home.path());
        command.current_dir(home.path()).args(arguments).env(name, "true");
        finish(&mut command)
    };
    let ran = settings(&["config", "--no-resume"], "DRIVER_CHECK");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let line = |key: &str| ran.stdout.lines().find(|line| line.starts_with(key)).expect("a line");
    assert!(line("no-resume ").contains(" true "), "{}", ran.stdout);
    assert!(line("check ").contains(" false "), "{}", ran.stdout);
    let both = settings(&["config", "--no-resume", "--check"], "DRIVER_QUIET");
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn the_engine_that_hashes_is_told_and_can_be_forced() {
    let home = home();
    let config = |engine: Option<&str>| {
        let mut command = driver(home.path());
        command.current_dir(home.path()).arg("config").env_remove("PIGEON_DIGEST");
        command.envs(engine.map(|engine| ("PIGEON_DIGEST", engine)));
        finish(&mut command)
    };
    let lines = |engine: Option<&str>| {
        let ran = config(engine);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let lines = ran.stdout.lines().filter(|line| line.starts_with("sha-"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let forced = " one by one (not measured) (PIGEON_DIGEST=single)";
    let of_both = |told: &str| [format!("sha-1  {told}"), format!("sha-256{told}")];
    assert_eq!(lines(Some("single")), of_both(forced));
    assert_eq!(lines(None).len(), 2);
    assert!(lines(None).iter().all(|line| !line.contains("PIGEON_DIGEST")));
    config(Some("abacus")).assert_refused(2, "PIGEON_DIGEST: there is no engine \"abacus\"");
}

#[test]
fn a_value_of_the_environment_is_blamed_by_its_name() {
    let home = home();
    let refused = |arguments: &[&str], name: &str| {
        let mut command = driver(home.path());
        command.current_dir(home.path()).args(arguments).env(name, "abc");
        let ran = finish(&mut command);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        ran.stderr
    };
    let said = refused(&["x.torrent"], "DRIVER_PORT");
    assert!(said.contains("'abc' for 'DRIVER_PORT (environment)'"), "{said}");
    let said = refused(&["seed", "x.torrent"], "DRIVER_UPLOAD_LIMIT");
    assert!(said.contains("for 'DRIVER_UPLOAD_LIMIT (environment)'"), "{said}");
    // The tests themselves set variables, too, and none of them was typed.
    let usage =
        |said: &str| said.lines().find_map(|line| line.strip_prefix("Usage: ")).map(str::to_owned);
    let said = refused(&["seed"], "DRIVER_DIR");
    assert_eq!(usage(&said).as_deref(), Some("driver seed <FILE>..."), "{said}");
    let said = refused(&["-p", "x", "x.torrent"], "DRIVER_DIR");
    assert!(said.contains("'x' for '--port <PORT>'"), "{said}");
}

#[test]
fn the_files_that_are_used_are_told() {
    let home = home();
    let ran = run(home.path(), &["config"]);
    let state = home.path().join("state/driver").display().to_string();
    let file = home.path().join("config/driver/config.toml").display().to_string();
    let told = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let told: Vec<String> = told.collect();
    for line in [
        format!("config file {file} (not there, or not read)"),
        format!("state {state}"),
        format!("log {state}/driver.log"),
    ] {
        assert!(told.contains(&line), "{line} in {}", ran.stdout);
    }
    std::fs::create_dir_all(home.path().join("config/driver")).expect("make a folder");
    write(home.path(), "config/driver/config.toml", b"seed = true\nport = 7000\n");
    let ran = run(home.path(), &["config", "--json"]);
    let object: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!(object["config_file"], file);
    assert_eq!(object["config_file_is_read"], true);
    assert_eq!(object["state_dir"], state);
    assert_eq!(object["settings"]["port"]["value"], 7000);
    assert_eq!(object["settings"]["seed-time"]["value"], Value::Null);
    assert_eq!(object["settings"]["quiet"]["value"], false);
    assert_eq!(object["settings"]["port"]["from"], file);
    let blocked = home.path().join("file");
    write(home.path(), "file", b"in the way");
    let mut command = driver(home.path());
    command.current_dir(home.path()).args(["x.torrent"]).env("XDG_STATE_HOME", &blocked);
    write(home.path(), "x.torrent", &Payload::new(1, "x", 16 << 10, &[("a", 9)]).torrent(None));
    finish(&mut command).assert_refused(5, "set XDG_STATE_HOME to a directory for it");
}

#[test]
fn help_explains_a_command() {
    let home = home();
    let said = |arguments: &[&str]| {
        let ran = run(home.path(), arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        ran.stdout
    };
    assert_eq!(said(&["help"]), said(&["--help"]));
    assert_eq!(said(&["help", "info"]), said(&["info", "--help"]));
    assert_eq!(said(&["help", "chunk", "get"]), said(&["chunk", "get", "--help"]));
    assert!(said(&["help"]).contains("~/.config/driver/config.toml"));
    let with_color = |color: &str| said(&["--color", color, "--help"]).contains("\x1b[");
    assert!(with_color("always") && !with_color("never") && !with_color("auto"));
    let page = said(&["man", "info"]);
    assert!(page.contains(".TH driver-info 1") && page.contains(".SH FILES"), "{page}");
    assert_eq!(said(&["man", "--dir", "pages"]).trim_end().rsplit(' ').next(), Some("pages"));
    assert!(home.path().join("pages/driver-chunk-get.1").is_file());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("open it");
    let lost = driver(home.path()).arg("--help").stdout(full).output().expect("run it");
    assert_eq!(lost.status.code(), Some(5), "{}", String::from_utf8_lossy(&lost.stderr));
}

#[test]
fn all_trackers_are_told_whole_and_without_passkeys() {
    let home = home();
    let tail = "x".repeat(90);
    let url = format!("http://{tail}.example/announce");
    let whole = Payload::new(1, "x", 16 << 10, &[("a", 9)]).torrent(Some(&url));
    write(home.path(), "x.torrent", &whole);
    write(home.path(), "data", b"123");
    let shown = run(home.path(), &["info", "x.torrent"]).stdout;
    assert!(shown.contains(&format!("Trackers    1  {url}\n")), "{shown}");
    assert!(shown.contains("&tr=http"), "{shown}");
    let key = "http://t.example/k3y/announce";
    let made = run(home.path(), &["create", "data", "-a", &url, "-a", key]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    for shown in [made.stdout, run(home.path(), &["info", "data.torrent"]).stdout] {
        let both = format!("Trackers    2  {url}\n               http://t.example/...\n");
        assert!(shown.contains(&both) && !shown.contains("k3y"), "{shown}");
    }
    for arguments in [["magnet", "data.torrent"].as_slice(), &["info", "--json", "data.torrent"]] {
        let shown = run(home.path(), arguments).stdout;
        assert!(shown.contains("k3y"), "{shown}");
    }
}

#[test]
fn verify_looks_where_the_settings_say() {
    let home = home();
    let payload = Payload::new(1, "x", 16 << 10, &[("a", 1000)]);
    write(home.path(), "x.torrent", &payload.torrent(None));
    payload.write_to(&home.path().join("data"));
    let dir = format!("dir = '{}'\n", home.path().join("data").display());
    std::fs::create_dir_all(home.path().join("config/driver")).expect("make a folder");
    write(home.path(), "config/driver/config.toml", dir.as_bytes());
    assert_eq!(run(home.path(), &["verify", "x.torrent"]).code, Some(0));
    assert_eq!(run(home.path(), &["verify", "x.torrent", "."]).code, Some(6));
    let none = run(home.path(), &["verify", "--no-config", "x.torrent"]);
    none.assert_refused(3, "downloads: no such directory");
}

#[test]
fn hostile_names_are_escaped() {
    let home = home();
    let name = "evil\x1b]0;owned\x07\u{202e}gpj";
    let files = [("in\x1b[2Jside", 10), ("line\nbreak", 20)];
    let torrent = Payload::new(1, name, 16 << 10, &files).torrent(None);
    let facts = b"d10:created by8:a\x1b[2Jxyz13:creation datei1757116800e";
    let torrent = [facts, &torrent[1..]].concat();
    write(home.path(), "evil.torrent", &torrent);
    for arguments in [
        &["info", "evil.torrent"] as &[&str],
        &["info", "-f", "evil.torrent"],
        &["magnet", "evil.torrent"],
    ] {
        let ran = run(home.path(), arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!ran.stdout.contains(is_bad), "{:?}", ran.stdout);
        assert!(!ran.stdout.lines().any(|line| line.starts_with("break")), "{:?}", ran.stdout);
    }
    let text = run(home.path(), &["info", "-f", "evil.torrent"]).stdout;
    assert!(text.contains("by a\\x1b[2Jxyz"), "{text}");
    assert!(text.contains("evil_]0;owned_gpj/line_break"), "{text}");
}

#[test]
fn verify_tells_good_from_bad() {
    let place = Place::new(None);
    place.payload.write_to(&place.out());
    let good = run(place.home.path(), &["verify", "s.torrent", "out"]);
    assert_eq!(good.code, Some(0), "{}{}", good.stdout, good.stderr);
    assert!(good.stdout.starts_with("2 of 2 files ok"), "{}", good.stdout);
    let said = |flag: &str| run(place.home.path(), &["verify", flag, "s.torrent", "out"]).stdout;
    assert_eq!(said("-q"), "");
    assert!(said("-v").starts_with("ok ") && said("-v").contains("  sample/b/second\n"));
    write(&place.out(), "sample/b/second", &[7; 999_000]);
    let bad = run(place.home.path(), &["verify", "s.torrent", "out"]);
    assert_eq!(bad.code, Some(6), "{}{}", bad.stdout, bad.stderr);
    assert!(!said("-q").contains("files ok") && said("-q").contains("sample/b/second"));
    for (dir, place_of_it) in [("out/sample", "in out: give"), (".", "in out: give")] {
        let off = run(place.home.path(), &["verify", "s.torrent", dir]);
        assert_eq!(off.code, Some(6));
        let hint = format!("driver: sample is not in {dir}, but {place_of_it} that directory\n");
        assert_eq!(off.stderr, hint);
    }
    let json = run(place.home.path(), &["verify", "--json", "s.torrent", "out"]);
    assert_eq!(json.code, Some(6));
    assert!(serde_json::from_str::<Value>(&json.stdout).is_ok(), "{}", json.stdout);
    let nothing = run(place.home.path(), &["verify", "s.torrent", "elsewhere"]);
    nothing.assert_refused(3, "elsewhere: no such directory");
}

#[test]
fn places_that_cannot_be_written_are_code_5() {
    let place = Place::new(None);
    write(place.home.path(), "file", b"in the way");
    for dir in ["file", "file/below"] {
        let ran = finish(&mut place.command_at(dir, "0"));
        assert_eq!(ran.code, Some(5), "{dir}: {}", ran.stderr);
        assert!(!ran.stdout.contains("Saving to"), "{}", ran.stdout);
        assert!(ran.stderr.lines().last().is_some_and(|line| line.starts_with("driver: ")));
    }
}

#[test]
fn variables_that_are_empty_count_as_none() {
    let place = Place::new(None);
    place.payload.write_to(&place.out());
    let mut command = place.command(&["--exit-on-finish"]);
    for name in ["NO_PEX", "QUIET", "VERBOSE", "COLOR", "MEMORY", "PORT", "SEED", "SELECT", "PEER"]
    {
        command.env(format!("DRIVER_{name}"), "");
    }
    let ran = finish(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("Complete: 2.9 MiB, all of it found on disk"), "{}", ran.stdout);
}

#[test]
fn slips_are_told_with_what_was_meant() {
    let place = Place::new(None);
    let ran = |arguments: &[&str]| run(place.home.path(), arguments);
    ran(&["--seed", "2", "s.torrent"]).assert_refused(2, "with an equals sign: --seed=2");
    // What is wrong with the torrent, and not that there is no directory yet.
    ran(&["seed", "t.torrent"]).assert_refused(3, "t.torrent: no such file");
    ran(&["seed", "s.torrent"]).assert_refused(3, "no such directory; behind the torrent comes");
    let wrong = ran(&["s.torrent", "-a", "ftp://127.0.0.1"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
    assert!(wrong.stderr.contains("not a tracker; write http://"), "{}", wrong.stderr);
}

#[test]
fn chunks_that_were_fetched_first_are_not_called_found() {
    let home = home();
    let ran = run(home.path(), &["chunk", "demo"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let complete: Vec<&str> =
        ran.stdout.lines().filter(|line| line.starts_with("Complete: 5.0 MiB in ")).collect();
    assert_eq!(complete.len(), 3, "{}", ran.stdout);
    assert!(!ran.stderr.contains("10 %   0 peers"), "{}", ran.stderr);
    assert!(!home.path().join("driver-chunk-demo").exists(), "it clears up: {}", ran.stderr);
}

#[test]
fn somebody_elses_file_is_left_alone() {
    let place = Place::new(None);
    let theirs = place.out().join("sample/first.bin");
    std::fs::create_dir_all(theirs.parent().expect("a folder")).expect("make a folder");
    std::fs::write(&theirs, "precious").expect("write a file");
    let refused = finish(&mut place.command(&[]));
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&theirs).expect("still there"), b"precious");
    let allowed = finish(&mut place.command(&["--overwrite"]));
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    place.payload.assert_same(&place.out());
}

#[test]
fn looking_commands_answer() {
    let home = home();
    for (arguments, words) in [
        (&["config"] as &[&str], "max-peers"),
        (&["completions", "bash"], "_driver()"),
        (&["man"], ".TH driver"),
        (&["--version"], "driver "),
        (&["--help"], "Exit codes: 0 complete"),
    ] {
        let ran = run(home.path(), arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ran.stdout.contains(words), "{arguments:?}: {}", ran.stdout);
    }
}
