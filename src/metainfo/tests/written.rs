//! Paths as the torrent wrote them, beside those that they became.

use super::super::Spelling;
use super::*;
use crate::base::ids::FileIndex;

/// The written path of a file, its elements in quotes where they are odd, with `/` between them.
fn written(torrent: &Torrent, file: u32, spelling: Spelling) -> Option<String> {
    let elements = torrent.written_path(FileIndex(file), spelling)?;
    let shown = elements.iter().map(|element| element.escape_ascii().to_string());
    Some(shown.collect::<Vec<_>>().join("/"))
}

fn preferred(torrent: &Torrent) -> Vec<String> {
    let files = 0..torrent.files.len() as u32;
    files.filter_map(|file| written(torrent, file, Spelling::Preferred)).collect()
}

#[test]
fn what_was_cleaned_is_still_known_as_it_was_written() {
    let entry = |path: &[&[u8]]| {
        let path: Vec<_> = path.iter().map(text).collect();
        dict(&[("length", int(1)), ("path", list(&path))])
    };
    let torrent = parse(&files(
        8,
        &[
            entry(&[b"plain", b"a b#c?d+e%41"]),
            entry(&[b"x/y", b"z"]),
            entry(&[b"..", b".", b"x"]),
            entry(&[b"caf\xe9"]),
            entry(&["\u{202e}\u{e9}".as_bytes()]),
            entry(&[]),
            entry(&[b"twin"]),
            entry(&[b"twin"]),
        ],
    ));
    assert_eq!(paths(&torrent)[7], "t/twin.1");
    assert_eq!(
        preferred(&torrent),
        [
            "t/plain/a b#c?d+e%41",
            "t/x/y/z",
            "t/.././x",
            "t/caf\\xe9",
            "t/\\xe2\\x80\\xae\\xc3\\xa9",
            "t",
            "t/twin",
            "t/twin",
        ]
    );
    let elements = torrent.written_path(FileIndex(1), Spelling::Preferred);
    assert_eq!(elements, Some(vec![b"t".as_slice(), b"x/y", b"z"]));
    assert_eq!(torrent.written_path(FileIndex(8), Spelling::Preferred), None);
    assert_eq!(written(&torrent, 1, Spelling::Plain), None, "there is but one");
}

#[test]
fn only_files_that_were_renamed_take_memory() {
    let names: Vec<String> = (0..20_000).map(|number| format!("file {number}")).collect();
    let entries: Vec<_> = names.iter().map(|name| file(1, &["d", name])).collect();
    let torrent = parse(&files(entries.len(), &entries));
    let odd = torrent.files.iter().enumerate();
    assert_eq!(
        odd.filter(|(at, _)| torrent.files.odd_begin(FileIndex(*at as u32)).is_some()).count(),
        0
    );
    assert_eq!(written(&torrent, 19_999, Spelling::Preferred).unwrap(), "t/d/file 19999");
}

#[test]
fn both_spellings_are_known_where_they_differ() {
    let entry = |path: &[u8], utf8: Vec<u8>| {
        dict(&[("length", int(1)), ("path", list(&[text(path)])), ("path.utf-8", utf8)])
    };
    let info = |names: &[(&str, Vec<u8>)]| {
        let both = entry(b"\xe9", list(&[text("é")]));
        let alike = entry(b"same", list(&[text("same")]));
        let broken = entry(b"\xe8", list(&[text(b"\xe8")]));
        let rest = [
            ("files", list(&[both, alike, broken])),
            ("piece length", int(16_384)),
            ("pieces", hashes(1)),
        ];
        parse(&in_torrent(&dict(&[names, &rest].concat())))
    };
    let torrent = info(&[("name", text("t")), ("name.utf-8", text("t"))]);
    assert_eq!(preferred(&torrent), ["t/\\xc3\\xa9", "t/same", "t/\\xe8"]);
    let plain = |torrent: &Torrent, file| written(torrent, file, Spelling::Plain);
    assert_eq!(plain(&torrent, 0).unwrap(), "t/\\xe9");
    assert_eq!([plain(&torrent, 1), plain(&torrent, 2)], [None, None]);

    let torrent = info(&[("name", text(b"\xfc")), ("name.utf-8", text("ü"))]);
    assert_eq!(preferred(&torrent)[1], "\\xc3\\xbc/same");
    assert_eq!([0, 1].map(|file| plain(&torrent, file).unwrap()), ["\\xfc/\\xe9", "\\xfc/same"]);
}

#[test]
fn a_single_file_has_the_name_of_the_torrent_and_a_list_of_one_has_not() {
    let torrent = parse(&with_info(&[("name", text("a/b?"))]));
    assert!(torrent.is_single_file());
    assert_eq!((paths(&torrent), preferred(&torrent)), (vec!["a_b?"], vec!["a/b?".to_owned()]));
    let torrent = parse(&files(1, &[file(1, &["t"])]));
    assert!(!torrent.is_single_file());
    assert_eq!(preferred(&torrent), ["t/t"]);
    assert_eq!(preferred(&parse(&with_info(&[("name", int(1))]))), Vec::<String>::new());
}

#[test]
fn padding_has_no_path_and_offsets_are_those_of_the_bare_info() {
    let pad = dict(&[("attr", text("p")), ("length", int(9)), ("path", list(&[text("a/b")]))]);
    let bytes = files(11, &[file(1, &["/x"]), pad, file(1, &["y\\"])]);
    let torrent = parse(&bytes);
    assert_eq!(preferred(&torrent), ["t//x", "t/y\\\\"]);
    let again = Torrent::from_info(torrent.raw_info()).unwrap();
    assert_eq!(preferred(&again), preferred(&torrent));
    assert_eq!(again.files, torrent.files);
}
