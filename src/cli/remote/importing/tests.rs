//! Directories as Transmission 3.00, qBittorrent 4.5.2 and rqbit leave them.

use serde_json::{Value as Json, json};

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use super::*;
use crate::bencode;

/// A directory with torrents of another client.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        let path = self.0.path().join(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(below), bytes).unwrap();
    }

    /// A `.torrent` of three files and a pad file, and what is known of it.
    fn pair(&self, torrent: &str, state: &str, name: &str, known: &Json) {
        let file = |name: &str, attr: &str| format!("d{attr}6:lengthi1e4:pathl1:{name}ee");
        let files = [file("a", ""), file("p", "4:attr1:p"), file("b", ""), file("c", "")].concat();
        let rest = "12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxx";
        let info = format!("d5:filesl{files}e4:name{}:{name}{rest}e", name.len());
        self.write(torrent, format!("d8:announce15:http://own.test4:info{info}e"));
        self.write(state, bencode::encode(known));
    }
}

fn transmission(name: &str) -> Json {
    json!({
        "activity-date": 0, "added-date": 1_796_071_077, "bandwidth-priority": 0, "corrupt": 0,
        "destination": "/srv/iso", "dnd": [0, 0, 1, 0], "done-date": 0, "downloaded": 0,
        "labels": ["linux", "iso"], "max-peers": 50, "name": name, "paused": 1,
        "priority": [1, 0, 0, -1],
        "progress": { "blocks": "all", "have": "all" },
        "ratio-limit": { "ratio-limit": "2.500000", "ratio-mode": 1 },
        "speed-limit-down": { "speed-Bps": 500_000, "use-global-speed-limit": 1,
                              "use-speed-limit": 1 },
        "speed-limit-up": { "speed-Bps": 100_000, "use-global-speed-limit": 1,
                            "use-speed-limit": 0 },
        "uploaded": 12_345,
    })
}

fn qbittorrent() -> Json {
    json!({
        "auto_managed": 0, "download_rate_limit": 500_000, "file_priority": [1, 0, 0, 7],
        "libtorrent-version": "2.0.8.0", "name": "x", "paused": 1, "qBt-category": "linux",
        "qBt-contentLayout": "Original", "qBt-downloadPath": "", "qBt-name": "",
        "qBt-ratioLimit": 2500, "qBt-savePath": "/srv/iso", "qBt-seedingTimeLimit": 90,
        "qBt-tags": ["a", "b"], "save_path": "/srv/iso", "sequential_download": 1,
        "total_uploaded": 12_345, "trackers": [["http://own.test"], ["http://more.test"]],
        "upload_rate_limit": -1,
    })
}

fn reason(found: &Found) -> &str {
    found.1.as_ref().map_or_else(String::as_str, |taken| panic!("{taken:?}"))
}

#[test]
fn what_transmission_knows_is_taken_over() {
    let home = Home::new();
    home.pair("torrents/x.torrent", "resume/x.resume", "iso", &transmission("iso"));
    let found = transmission::read(home.0.path()).unwrap();
    let [(name, Ok(taken))] = found.as_slice() else { panic!("{found:?}") };
    let addition = Addition {
        dir: Some("/srv/iso".to_owned()),
        paused: true,
        labels: vec!["linux".to_owned(), "iso".to_owned()],
        limit_down: Some(500_000),
        seed_ratio: Some(2.5),
        sent_before: Some(12_345),
        // Of its files the second is a pad, which has no number here.
        files: Some(vec![1, 3]),
        ..Addition::default()
    };
    assert_eq!((name.as_str(), &taken.addition), ("iso", &addition));
    let files = FilePatch { high: vec![1], low: vec![3], ..FilePatch::default() };
    assert_eq!(taken.files, files);
    assert_eq!(taken.place, 1_796_071_077);
}

#[test]
fn what_qbittorrent_knows_is_taken_over_in_the_order_of_its_queue() {
    let home = Home::new();
    for (stem, name) in [("aa", "one"), ("bb", "two")] {
        let below = |ending: &str| format!("data/BT_backup/{stem}.{ending}");
        home.pair(&below("torrent"), &below("fastresume"), name, &qbittorrent());
    }
    home.write("data/BT_backup/queue", "bb\naa\n");
    home.write("data/BT_backup/cc.fastresume", bencode::encode(&qbittorrent()));
    let found = qbittorrent::read(home.0.path()).unwrap();
    let places = |it: &Found| it.1.as_ref().map_or(9, |taken| taken.place);
    assert_eq!(found.iter().map(places).collect::<Vec<_>>(), [1, 0, 9]);
    assert!(reason(&found[2]).contains("add its magnet link"), "{:?}", found[2]);
    let taken = found[0].1.as_ref().unwrap();
    let addition = Addition {
        dir: Some("/srv/iso".to_owned()),
        paused: true,
        labels: ["linux", "a", "b"].map(str::to_owned).to_vec(),
        sequential: true,
        limit_down: Some(500_000),
        seed_ratio: Some(2.5),
        seed_time_s: Some(5400),
        trackers: vec!["http://more.test".to_owned()],
        sent_before: Some(12_345),
        files: Some(vec![1, 3]),
        ..Addition::default()
    };
    assert_eq!(taken.addition, addition);
    assert_eq!(taken.files, FilePatch { high: vec![3], ..FilePatch::default() });
    // What its queue has stopped goes on in ours.
    let mut queued = qbittorrent();
    queued["auto_managed"] = json!(1);
    queued["qBt-ratioLimit"] = json!(-2000);
    let state = "data/BT_backup/aa.fastresume";
    home.pair("data/BT_backup/aa.torrent", state, "one", &queued);
    let found = qbittorrent::read(&home.path("data/BT_backup")).unwrap();
    let addition = &found[0].1.as_ref().unwrap().addition;
    assert_eq!((addition.paused, addition.seed_ratio), (false, None));
}

#[test]
fn what_cannot_be_taken_over_says_why_and_leaves_the_others() {
    let home = Home::new();
    let data = home.path("data/x").parent().unwrap().to_str().unwrap().to_owned();
    let put = |stem: &str, name: &str, change: &dyn Fn(&mut Json)| {
        let mut known = transmission(name);
        change(&mut known);
        let (torrent, state) =
            (format!("torrents/{stem}.torrent"), format!("resume/{stem}.resume"));
        home.pair(&torrent, &state, name, &known);
    };
    put("1", "good", &|_| {});
    put("2", "renamed", &|known| known["name"] = json!("other"));
    put("3", "relative", &|known| known["destination"] = json!("iso"));
    put("4", "partial", &|known| known["destination"] = json!(data));
    home.write("data/partial/b.part", "x");
    put("5", "cut", &|_| {});
    home.write("resume/5.resume", "d4:name");
    put("6", "unknown", &|_| {});
    std::fs::remove_file(home.path("resume/6.resume")).unwrap();
    put("7", "moved", &|known| {
        known["progress"] = json!({ "blocks": "none" });
        known["incomplete-dir"] = json!(data);
    });
    std::fs::create_dir(home.path("data/moved")).unwrap();
    let found = transmission::read(home.0.path()).unwrap();
    assert!(found[0].1.is_ok());
    for (at, why) in [
        (1, "renamed there"),
        (2, "its directory iso is no absolute path"),
        (3, "b.part is not whole: give it its name without .part"),
        (4, "bencode stops early"),
        (5, "6.resume"),
    ] {
        assert!(reason(&found[at]).contains(why), "{}", reason(&found[at]));
    }
    let moved = found[6].1.as_ref().unwrap();
    assert_eq!(moved.addition.dir.as_deref(), Some(data.as_str()));
}

/// `session.json` with these torrents.
fn rqbit(home: &Home, torrents: &Json) {
    home.write("session.json", json!({ "torrents": torrents }).to_string());
}

#[test]
fn what_rqbit_knows_is_taken_over_in_the_order_in_which_it_came() {
    let home = Home::new();
    let hashes = ["ab".repeat(20), "cd".repeat(20)];
    for (hash, name) in hashes.iter().zip(["iso", "two"]) {
        home.pair(&format!("{hash}.torrent"), "unused", name, &json!({}));
    }
    let known = |hash: &str, folder: &str, only: Json, paused: bool| {
        json!({
            "info_hash": hash, "trackers": ["http://own.test/", "http://b/", "http://a/x"],
            "output_folder": folder, "only_files": only, "is_paused": paused,
        })
    };
    rqbit(
        &home,
        &json!({
            "10": known(&hashes[0], "/srv/iso", json!([0, 3, 9]), true),
            "9": known(&hashes[1], "/srv/two", json!(null), false),
        }),
    );
    let mut found = rqbit::read(home.0.path()).unwrap();
    found.sort_by_key(|(_, found)| found.as_ref().unwrap().place);
    let [(_, Ok(two)), (name, Ok(iso))] = found.as_slice() else { panic!("{found:?}") };
    let addition = Addition {
        dir: Some("/srv".to_owned()),
        paused: true,
        trackers: vec!["http://a/x".to_owned(), "http://b/".to_owned()],
        // The second of its files is a pad, which has no number here.
        files: Some(vec![1, 3]),
        ..Addition::default()
    };
    assert_eq!((name.as_str(), &iso.addition), ("iso", &addition));
    assert_eq!(iso.files, FilePatch::default());
    assert_eq!(
        (two.name.as_str(), two.addition.paused, &two.addition.files),
        ("two", false, &None)
    );
}

#[test]
fn what_of_rqbit_cannot_be_taken_over_says_why() {
    let home = Home::new();
    let hash = "ab".repeat(20);
    home.pair(&format!("{hash}.torrent"), "unused", "iso", &json!({}));
    let other = "cd".repeat(20);
    let one = "d6:lengthi1e4:name3:one12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxe";
    home.write(&format!("{other}.torrent"), format!("d4:info{one}e"));
    let at = |hash: &str, folder: &str| json!({ "info_hash": hash, "output_folder": folder });
    rqbit(
        &home,
        &json!({
            "0": at(&hash, "/srv/elsewhere"),
            "1": at(&hash, "iso"),
            "2": at(&"ef".repeat(20), "/srv/iso"),
            "3": at(&format!("../{}", "a".repeat(37)), "/srv/iso"),
            "4": { "info_hash": hash },
            "5": at(&other, "/srv/anything"),
        }),
    );
    let found = rqbit::read(home.0.path()).unwrap();
    for (at, why) in [
        (0, "its files are in /srv/elsewhere, and are to be in a folder called iso"),
        (1, "its directory iso is no absolute path"),
        (2, "add magnet:?xt=urn:btih:efef"),
        (3, "its hash is not one of 40 digits"),
        (4, "missing field `output_folder`"),
    ] {
        assert!(reason(&found[at]).contains(why), "{}", reason(&found[at]));
    }
    // A single file has no folder.
    let single = found[5].1.as_ref().unwrap();
    assert_eq!(single.addition.dir.as_deref(), Some("/srv/anything"));
    home.write("session.json", "{\"torrents\":");
    let refused = rqbit::read(home.0.path()).unwrap_err();
    assert!(refused.message.contains("session.json"), "{refused}");
}

#[test]
fn a_directory_of_nobody_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let refused = transmission::read(home.path()).unwrap_err();
    assert_eq!(refused.exit, Exit::BadInput);
    assert!(refused.message.contains("settings.json"), "{refused}");
    let refused = qbittorrent::read(home.path()).unwrap_err();
    assert!(refused.message.contains("BT_backup"), "{refused}");
    let refused = rqbit::read(home.path()).unwrap_err();
    assert!(refused.message.contains("session.json"), "{refused}");
    std::fs::write(home.path().join("torrents.db"), "").unwrap();
    let refused = qbittorrent::read(home.path()).unwrap_err();
    assert!(refused.message.contains("in a database"), "{refused}");
}

/// Nobody is asked: there is no daemon here.
#[test]
fn what_would_be_taken_over_is_told_without_a_daemon() {
    let home = Home::new();
    home.pair("torrents/x.torrent", "resume/x.resume", "iso", &transmission("iso"));
    home.write("torrents/y.torrent", "no torrent");
    home.write("resume/y.resume", bencode::encode(&transmission("y")));
    let (said, talked) =
        (Rc::new(RefCell::new(String::new())), Rc::new(RefCell::new(String::new())));
    let (to, beside) = (said.clone(), talked.clone());
    let mut voice = Voice {
        say: Box::new(move |text| {
            to.borrow_mut().push_str(text);
            Ok(())
        }),
        talk: Box::new(move |line| beside.borrow_mut().push_str(&format!("{line}\n"))),
        columns: 80,
        is_utf8: false,
        json: false,
        quiet: false,
    };
    let client = OtherClient::Transmission;
    let what = Imported { client, dir: home.0.path().to_owned(), dry_run: true, paused: false };
    assert_eq!(dry_run(&mut voice, &what).unwrap(), Exit::BadInput);
    assert_eq!(*said.borrow(), "iso: would be taken over, in /srv/iso\n");
    let talked = talked.borrow();
    assert!(talked.starts_with("driver: y"), "{talked}");
    let all = "1 of 2 torrents would be taken over; nothing is changed\n";
    assert!(talked.ends_with(all), "{talked}");
}
