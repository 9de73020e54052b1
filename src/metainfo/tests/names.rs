//! Names from strangers: what comes out stays in its directory and is there once.

use super::super::folded_names;
use super::*;

fn named(paths_in: &[&[&str]]) -> Torrent {
    let entries: Vec<_> = paths_in.iter().map(|path| file(1, path)).collect();
    parse(&files(entries.len(), &entries))
}

/// What files are called where the file system folds names, by their number.
fn folded(torrent: &Torrent) -> Vec<(usize, String)> {
    let paths =
        torrent.files.iter().map(|file| (!file.is_pad).then(|| file.path.to_str().unwrap()));
    folded_names(paths.collect::<Vec<_>>().into_iter())
}

#[test]
fn traversal_is_cleaned_and_never_refused() {
    let torrent = named(&[&["..", "..", "etc", "passwd"], &["/abs"], &["a\\..\\b"], &["", "x"]]);
    assert_eq!(paths(&torrent), ["t/_/_/etc/passwd", "t/_abs", "t/a_.._b", "t/_/x"]);
    for file in torrent.files.iter() {
        assert!(file.path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
    }
}

#[test]
fn nul_control_and_direction_characters_are_cleaned() {
    let torrent = named(&[&["a\0b\u{1b}[2J\n"], &["x\u{202e}gpj.exe"]]);
    assert_eq!(paths(&torrent), ["t/a_b_[2J_", "t/xgpj.exe"]);
}

#[test]
fn an_empty_name_is_an_underscore_and_a_missing_one_the_hash() {
    let torrent = parse(&with_info(&[("name", text(""))]));
    assert_eq!(torrent.name, "_");
    let torrent = parse(&with_info(&[("name", int(1))]));
    assert_eq!(torrent.name, torrent.info_hash_v1.unwrap().to_string());
    assert_eq!(paths(&torrent), [torrent.name.as_str()]);
    let torrent = named(&[&[]]);
    assert_eq!(paths(&torrent), ["t/_"], "a path without elements");
}

#[test]
fn the_name_itself_is_cleaned() {
    assert_eq!(parse(&with_info(&[("name", text(".."))])).name, "_");
    assert_eq!(paths(&parse(&with_info(&[("name", text("/etc/passwd"))]))), ["_etc_passwd"]);
}

#[test]
fn names_over_255_bytes_are_cut_and_keep_their_extension() {
    let long = format!("{}.mkv", "x".repeat(300));
    let torrent = named(&[&[&long]]);
    let name = paths(&torrent)[0].strip_prefix("t/").unwrap();
    assert_eq!(name.len(), 255);
    assert!(name.ends_with("x.mkv"));
}

#[test]
fn long_names_that_are_cut_alike_stay_two_files() {
    let long = |end: &str| format!("{}{end}", "x".repeat(300));
    let torrent = named(&[&[&long("a")], &[&long("b")]]);
    let found = paths(&torrent);
    assert_ne!(found[0], found[1]);
    assert!(found[1].len() <= 2 + 255 && found[1].ends_with("x.1"), "{}", found[1]);
}

#[test]
fn utf8_keys_count_more_than_plain_ones() {
    let torrent = parse(&with_info(&[("name", text(b"caf\xe9")), ("name.utf-8", text("café"))]));
    assert_eq!(torrent.name, "café");
    let torrent = parse(&with_info(&[("name", text("n")), ("name.utf-8", text(b"\xe9"))]));
    assert_eq!(torrent.name, "n", "a utf-8 name that is not");
    let entry = dict(&[
        ("length", int(5)),
        ("path", list(&[text(b"\xe9")])),
        ("path.utf-8", list(&[text("é"), text("ü")])),
    ]);
    let wrong =
        dict(&[("length", int(5)), ("path", list(&[text("plain")])), ("path.utf-8", int(7))]);
    assert_eq!(paths(&parse(&files(10, &[entry, wrong]))), ["t/é/ü", "t/plain"]);
}

#[test]
fn other_encodings_map_the_same_way_each_time() {
    let bytes = with_info(&[("name", text(b"caf\xe9.txt"))]);
    assert_eq!(parse(&bytes).name, "caf_.txt");
    assert_eq!(parse(&bytes).name, parse(&bytes).name);
}

#[test]
fn twins_by_name_are_renamed_and_those_by_case_and_normal_form_are_not() {
    let torrent = named(&[
        &["a.txt"],
        &["a.txt"],
        &["A.TXT"],
        &["a.1.txt"],
        &["\u{e9}"],
        &["e\u{301}"],
        &["Dir", "x"],
        &["dir", "X"],
        &["dir", "y"],
    ]);
    assert_eq!(
        paths(&torrent),
        [
            "t/a.txt",
            "t/a.1.txt",
            "t/A.TXT",
            "t/a.1.1.txt",
            "t/\u{e9}",
            "t/e\u{301}",
            "t/Dir/x",
            "t/dir/X",
            "t/dir/y",
        ]
    );
    let renamed = [(2, "t/A.2.TXT"), (5, "t/e\u{301}.1"), (7, "t/dir/X.1")];
    assert_eq!(folded(&torrent), renamed.map(|(file, path)| (file, path.to_owned())));
}

#[test]
fn a_file_where_a_directory_must_be_is_renamed() {
    let before = named(&[&["a"], &["a", "b"]]);
    assert_eq!(paths(&before), ["t/a.1", "t/a/b"]);
    assert_eq!(folded(&before), []);
    let after = named(&[&["a", "b", "c"], &["A"], &["a", "B"], &["a", "b"]]);
    assert_eq!(paths(&after), ["t/a/b/c", "t/A", "t/a/B", "t/a/b.1"]);
    let renamed = [(1, "t/A.1"), (2, "t/a/B.1"), (3, "t/a/b.1.1")];
    assert_eq!(folded(&after), renamed.map(|(file, path)| (file, path.to_owned())));
}

#[test]
fn many_twins_by_case_are_all_kept_apart() {
    let names: Vec<String> = (0..2048_u32)
        .map(|bits| (0..11).map(|at| if bits >> at & 1 == 1 { 'A' } else { 'a' }).collect())
        .collect();
    let entries: Vec<_> = names.iter().map(|name| file(1, &[name])).collect();
    let torrent = parse(&files(entries.len(), &entries));
    assert_eq!(paths(&torrent)[2047], "t/AAAAAAAAAAA");
    let folded = folded(&torrent);
    assert_eq!(folded.len(), 2047);
    assert_eq!(folded[2046], (2047, "t/AAAAAAAAAAA.2047".to_owned()));
}

#[test]
fn cleaned_names_clash_too() {
    assert_eq!(paths(&named(&[&["a/b"], &["a\\b"]])), ["t/a_b", "t/a_b.1"]);
}

#[test]
fn at_most_500_files_are_renamed() {
    let twins = |count: usize| files(count, &vec![file(1, &["same"]); count]);
    let torrent = parse(&twins(501));
    assert_eq!(paths(&torrent)[500], "t/same.500");
    let message = refusal(&twins(502));
    assert!(message.contains("file 501 (t/same) clashes"), "{message}");
}

#[test]
fn paths_of_more_than_100_elements_are_refused() {
    let deep = |count: usize| files(1, &[file(1, &vec!["d"; count])]);
    assert_eq!(paths(&parse(&deep(100)))[0].len(), 1 + 2 * 100);
    let message = refusal(&deep(101));
    assert_eq!(message, "bad torrent: info.files[0].path has more than 100 elements");
}

#[test]
fn pad_files_are_known_by_attribute_and_not_by_name() {
    let by_attribute =
        dict(&[("attr", text("p")), ("length", int(6)), ("path", list(&[text("x")]))]);
    let without_path = dict(&[("attr", text("xp")), ("length", int(7))]);
    let torrent = parse(&files(
        1000,
        &[
            file(10, &["a"]),
            by_attribute,
            without_path,
            file(8, &[".pad", "8"]),
            file(9, &["_____padding_file_0_if you see this"]),
            file(11, &[".pad", "not a number"]),
            file(949, &["b"]),
        ],
    ));
    let pads: Vec<bool> = torrent.files.iter().map(|file| file.is_pad).collect();
    assert_eq!(pads, [false, true, true, false, false, false, false]);
    assert_eq!(torrent.total_size(), 10 + 8 + 9 + 11 + 949);
    assert_eq!(torrent.layout.unwrap().total_len(), 1000);
    let extents = torrent.extents().unwrap();
    assert_eq!(extents.slices(0, 1000).filter(|slice| slice.is_pad).count(), 2);
}

#[test]
fn links_that_leave_the_torrent_or_lead_nowhere_are_dropped() {
    let link = |name: &str, target: &[&str]| {
        let target: Vec<_> = target.iter().map(text).collect();
        dict(&[("attr", text("l")), ("path", list(&[text(name)])), ("symlink path", list(&target))])
    };
    let in_directory = dict(&[
        ("attr", text("l")),
        ("path", list(&[text("d"), text("around")])),
        ("symlink path", list(&[text("d")])),
    ]);
    let torrent = parse(&files(
        5,
        &[
            link("chain", &["good"]),
            file(5, &["d", "real"]),
            link("good", &["d", "real"]),
            link("directory", &["d"]),
            link("up", &["..", "x"]),
            link("twisted", &["d", "..", "d", "real"]),
            link("slash", &["d/real"]),
            link("nowhere", &["no"]),
            link("loop", &["loop"]),
            in_directory,
            link("ping", &["pong"]),
            link("pong", &["ping"]),
            link("d", &["d", "real"]),
            link("empty", &[]),
            dict(&[("attr", text("l")), ("path", list(&[text("pathless")]))]),
        ],
    ));
    let links: Vec<_> = torrent
        .symlinks
        .iter()
        .map(|link| (link.path.to_str().unwrap(), link.target.to_str().unwrap()))
        .collect();
    assert_eq!(links, [("t/good", "t/d/real"), ("t/directory", "t/d"), ("t/chain", "t/good")]);
    assert_eq!(paths(&torrent), ["t/d/real"]);
}

#[test]
fn a_link_may_not_stand_for_a_directory_of_files() {
    let link = dict(&[
        ("attr", text("l")),
        ("path", list(&[text("a")])),
        ("symlink path", list(&[text("b")])),
    ]);
    let torrent = parse(&files(2, &[link, file(1, &["a", "x"]), file(1, &["b", "y"])]));
    assert_eq!(torrent.symlinks, []);
    assert_eq!(paths(&torrent), ["t/a/x", "t/b/y"]);
}
