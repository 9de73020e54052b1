//! Providers and trackers that do wrong: the file is complete and right all the same, and the
//! program says who was replaced; or says what is missing and who was asked.

use std::fs;

use super::bench::{Bench, Side};
use super::has_python;

/// A bad alice and a good bob who both have everything: what came of it, and what was said.
fn beside_bob(fault: &str) -> String {
    beside_bob_with(fault, &[])
}

fn beside_bob_with(fault: &str, arguments: &[&str]) -> String {
    let bench = Bench::cut(1_000_000, 65_536, Side::Ours);
    bench.share_all();
    let _alice = bench.provider(Side::Theirs, "alice", &["--fault", fault]);
    let _bob = bench.provider(Side::Theirs, "bob", &[]);
    let told = bench.get(Side::Ours, &[&["--config", "config"][..], arguments].concat());
    told.assert_complete();
    told.output()
}

#[track_caller]
fn assert_replaced(said: &str, how: &str) {
    let line = |line: &&str| line.contains("was asked of alice") && line.contains(how);
    assert!(said.lines().any(|it| line(&it)), "no word of {how:?}:\n{said}");
}

#[test]
fn chunks_that_are_listed_and_not_there() {
    if !has_python() {
        return;
    }
    // Slowly, so that alice is asked before bob has brought everything.
    let said = beside_bob_with("lacks:1", &["--download-limit", "400K"]);
    assert_replaced(&said, "CHUNK_NOT_FOUND");
    assert_replaced(&said, "it does not have it");
}

#[test]
fn a_provider_that_dies_half_way() {
    if !has_python() {
        return;
    }
    assert_replaced(&beside_bob("dies-once:30000"), "broke");
    // In the middle of a later chunk: not while sizes are learnt.
    assert_replaced(&beside_bob("dies:30000"), "broke");
}

#[test]
fn one_wrong_byte() {
    if !has_python() {
        return;
    }
    let said = beside_bob("lies");
    assert_replaced(&said, "wrong bytes");
}

#[test]
fn a_provider_that_stalls() {
    if !has_python() {
        return;
    }
    let said = beside_bob("stalls:20000");
    assert!(said.contains("it was too slow") || said.contains("it sent nothing"), "{said}");
    beside_bob("silent");
}

#[test]
fn answers_that_are_none() {
    if !has_python() {
        return;
    }
    for (fault, how) in [
        ("garbage", ""),
        ("badversion", "version 2"),
        ("badlength", "length does not fit"),
        ("otherhash", ""),
        ("endless", "chunk_content_length"),
    ] {
        assert_replaced(&beside_bob(fault), how);
    }
}

#[test]
fn what_the_specification_allows_is_no_fault() {
    if !has_python() {
        return;
    }
    assert!(!beside_bob("nonzero").contains("was asked of"));
}

#[test]
fn a_chunk_that_nobody_has() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(1_000_000, 65_536, Side::Ours);
    let text = fs::read_to_string(bench.dir().join("config/file.ini")).unwrap();
    let hash = text.lines().find_map(|line| line.strip_prefix("8 = ")).unwrap().to_owned();
    for name in ["alice", "bob"] {
        fs::remove_file(bench.dir().join(format!("chunks/{name}/{hash}.bin"))).unwrap();
    }
    let _providers = bench.providers(Side::Theirs);
    let told = bench.get(Side::Ours, &["--config", "config"]);
    assert_eq!(told.code(), 4, "{}", told.output());
    let said = told.output();
    let last = said.lines().find(|line| line.starts_with("driver: ")).unwrap();
    assert!(last.contains(&format!("nobody has chunk 8 of content.bin, {hash}")), "{last}");
    assert!(last.contains("alice 127.0.0.1:") && last.contains("bob 127.0.0.1:"), "{last}");
    // The rest is kept: only that one is fetched when somebody has it.
    let part = fs::metadata(bench.dir().join("downloads/content.bin.part"));
    assert!(part.is_ok_and(|part| part.len() > 0), "{said}");
    let bytes = fs::read(bench.dir().join("content.bin")).unwrap();
    let chunk = &bytes[8 * 65_536..9 * 65_536];
    fs::write(bench.dir().join(format!("chunks/bob/{hash}.bin")), chunk).unwrap();
    let told = bench.get(Side::Ours, &["--config", "config", "--json"]);
    told.assert_complete();
    let said = told.output();
    assert!(said.contains("\"downloaded\":65536"), "{said}");
}

#[test]
fn nobody_at_all() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(200_000, 65_536, Side::Ours);
    let told = bench.get(Side::Ours, &["--config", "config"]);
    assert_eq!(told.code(), 4);
    let said = told.output();
    assert!(said.contains("nobody has chunk 0") && said.contains("alice 127.0.0.1:"), "{said}");
    let address = bench.address("tracker");
    let told = bench.get(Side::Ours, &["--tracker", &address]);
    assert_eq!(told.code(), 4);
    assert!(told.output().contains(&format!("chunk tracker {address}: cannot connect")));
}

#[test]
fn trackers_that_do_wrong() {
    if !has_python() {
        return;
    }
    for quirk in ["huge", "garbage", "error:1", "error:0"] {
        let bench = Bench::cut(200_000, 65_536, Side::Ours);
        let _tracker = bench.tracker(Side::Theirs, &["--quirk", quirk]);
        let address = bench.address("tracker");
        let told = bench.get(Side::Ours, &["--tracker", &address]);
        assert_eq!(told.code(), 4, "{quirk}: {}", told.output());
        assert!(told.output().contains("chunk tracker"), "{quirk}: {}", told.output());
    }
}

#[test]
fn trackers_that_are_odd_and_right() {
    if !has_python() {
        return;
    }
    for quirk in ["type5", "nonzero"] {
        let bench = Bench::cut(200_000, 65_536, Side::Ours);
        let _providers = bench.providers(Side::Ours);
        let _tracker = bench.tracker(Side::Theirs, &["--quirk", quirk]);
        let address = bench.address("tracker");
        let told = bench.get(Side::Ours, &["--tracker", &address]);
        told.assert_complete();
        let warnings = told.output().matches("msg_type 5").count();
        assert_eq!(warnings, usize::from(quirk == "type5"), "{}", told.output());
    }
}

#[test]
fn settings_that_are_wrong() {
    if !has_python() {
        return;
    }
    let bench = Bench::cut(200_000, 65_536, Side::Ours);
    let config = bench.dir().join("config");
    let good = fs::read_to_string(config.join("file.ini")).unwrap();
    for (wrong, said) in [
        (good.replace("1 = alice", "1 = eve"), "[chunks_peers]"),
        (good.replace("chunks_count = 4", "chunks_count = 9"), "[chunks]"),
        (good.replace("chunks_count = 4", "chunks_count = x"), "[description] chunks_count"),
    ] {
        fs::write(config.join("file.ini"), wrong).unwrap();
        let told = bench.get(Side::Ours, &["--config", "config"]);
        assert_eq!(told.code(), 3, "{}", told.output());
        let line = told.output();
        assert!(line.contains("config/file.ini") && line.contains(said), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
