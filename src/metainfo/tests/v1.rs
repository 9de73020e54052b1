//! Torrents of BEP 3: what is accepted as it is, what is mended, what is refused and why.

use proptest::prelude::*;
use sha1::Digest;

use super::super::{Kind, TORRENT_LEN_MAX};
use super::*;
use crate::base::ids::{FileIndex, InfoHash};

fn sha1(bytes: &[u8]) -> InfoHash {
    InfoHash(sha1::Sha1::digest(bytes).into())
}

#[test]
fn single_file() {
    let torrent = parse(&with_info(&[("length", int(40_000)), ("pieces", hashes(3))]));
    assert_eq!((torrent.kind(), torrent.info_hash_v2), (Kind::V1, None));
    assert_eq!((torrent.total_size(), torrent.num_pieces), (40_000, 3));
    assert_eq!(paths(&torrent), ["t"]);
    let layout = torrent.layout.unwrap();
    assert_eq!(layout.len_of(layout.piece(2).unwrap()), 40_000 - 32_768);
    assert_eq!(torrent.piece_hash(layout.piece(2).unwrap()), &[2; 20]);
}

#[test]
fn several_files_with_offsets_and_empty_ones() {
    let bytes = files(20_000, &[file(15_000, &["a"]), file(0, &["e"]), file(5_000, &["d", "b"])]);
    let torrent = parse(&bytes);
    assert_eq!(paths(&torrent), ["t/a", "t/e", "t/d/b"]);
    let last = torrent.files.file(FileIndex(2)).unwrap();
    assert_eq!((last.offset, last.length, last.is_pad), (15_000, 5_000, false));
    assert_eq!(torrent.files.file(FileIndex(1)).unwrap().length, 0);
    assert_eq!(torrent.files.file(FileIndex(3)), None);
    assert_eq!(torrent.extents().unwrap().file_range(FileIndex(2)), 15_000..20_000);
}

#[test]
fn the_info_hash_is_of_the_raw_bytes() {
    // Unsorted keys, a leading zero and a key that is not UTF-8: encoding it again would
    // change them or fail.
    let info = b"d6:pieces20:aaaaaaaaaaaaaaaaaaaa6:lengthi007e4:name1:x\
        12:piece lengthi9e1:\xfflee";
    let torrent = parse(&in_torrent(info));
    assert_eq!(torrent.info_hash_v1, Some(sha1(info)));
    assert_eq!(torrent.raw_info(), info);
    assert_eq!(Torrent::from_info(info).unwrap().info_hash_v1, Some(sha1(info)));
}

#[test]
fn of_two_info_dictionaries_the_first_counts() {
    let second = dict(&[("name", text("other"))]);
    let first = parse(&with_info(&[]));
    let one = with_info(&[]);
    let both = [&one[..one.len() - 1], &text("info"), &second, b"e"].concat();
    assert_eq!(parse(&both).info_hash_v1, first.info_hash_v1);
}

#[test]
fn bytes_behind_the_torrent_are_ignored_but_not_behind_an_info_dictionary() {
    let mut bytes = with_info(&[]);
    let hash = parse(&bytes).info_hash_v1;
    bytes.extend(b"\r\n");
    assert_eq!(parse(&bytes).info_hash_v1, hash);
    let mut info = parse(&bytes).raw_info().to_vec();
    info.push(b'\n');
    assert!(Torrent::from_info(&info).is_err());
}

#[test]
fn a_total_of_zero_has_no_pieces() {
    let torrent = parse(&with_info(&[("length", int(0)), ("pieces", hashes(0))]));
    assert_eq!((torrent.total_size(), torrent.num_pieces), (0, 0));
    assert_eq!(torrent.files.len(), 1);
}

#[test]
fn the_piece_length_need_not_be_a_power_of_two() {
    let odd = with_info(&[("piece length", int(7)), ("pieces", hashes(2))]);
    assert_eq!(parse(&odd).num_pieces, 2);
    let huge = with_info(&[("piece length", int((512u64 << 20) - 16_384))]);
    assert_eq!(parse(&huge).piece_length, (512 << 20) - 16_384);
}

#[test]
fn a_piece_length_that_makes_no_sense_is_refused() {
    for bad in ["0", "-16384", "536870913", "4294967296", "99999999999999999999"] {
        let message = refusal(&with_info(&[("piece length", int(bad))]));
        assert!(message.starts_with("bad torrent: info.piece length is "), "{message}");
    }
    let message = refusal(&with_info(&[("piece length", text("16384"))]));
    assert_eq!(message, "bad torrent: info.piece length is not a number");
}

#[test]
fn a_wrong_number_of_hashes_is_refused() {
    let message = refusal(&with_info(&[("pieces", hashes(2))]));
    assert_eq!(message, "bad torrent: info.pieces has 2 hashes, but the files make 1 pieces");
    let message = refusal(&with_info(&[("pieces", text("abc"))]));
    assert_eq!(message, "bad torrent: info.pieces has 3 bytes, not a multiple of 20");
    assert!(refusal(&with_info(&[("pieces", int(1))])).contains("info.pieces is not a string"));
}

#[test]
fn too_many_pieces_are_refused_before_they_are_counted_out() {
    let message = refusal(&with_info(&[("length", int(i64::MAX)), ("piece length", int(1))]));
    assert_eq!(message, "bad torrent: info makes more than 16777216 pieces");
}

#[test]
fn lengths_that_are_negative_missing_or_too_long_are_refused_by_place() {
    let message = refusal(&with_info(&[("length", int(-1))]));
    assert_eq!(message, "bad torrent: info.length is negative: -1");
    let message = refusal(&with_info(&[("length", int("9223372036854775808"))]));
    assert_eq!(message, "bad torrent: info.length is not a number below 2^63");
    let message = refusal(&files(1, &[file(1, &["a"]), dict(&[("path", list(&[text("b")]))])]));
    assert_eq!(message, "bad torrent: info.files[1].length is missing");
    let huge = file(i64::MAX as u64, &["a"]);
    let message = refusal(&files(1, &[huge, file(1, &["b"])]));
    assert_eq!(
        message,
        "bad torrent: info.files[1].length makes the torrent longer than 2^63 bytes"
    );
}

#[test]
fn paths_that_are_no_lists_of_strings_are_refused_by_place() {
    for path in [int(1), text("a"), list(&[int(1)])] {
        let entry = dict(&[("length", int(1)), ("path", path)]);
        let message = refusal(&files(1, &[entry]));
        assert_eq!(message, "bad torrent: info.files[0].path is missing or not a list of strings");
    }
    assert!(refusal(&files(1, &[int(3)])).contains("info.files[0] is not a dictionary"));
}

#[test]
fn torrents_without_info_or_files_are_refused() {
    assert_eq!(refusal(b"de"), "bad torrent: info is missing");
    assert_eq!(refusal(b"le"), "bad torrent: the file is not a bencoded dictionary");
    assert_eq!(refusal(b"d4:infoi1ee"), "bad torrent: info is not a dictionary");
    assert_eq!(refusal(&files(0, &[])), "bad torrent: info names no files");
    let message = refusal(b"<html>404</html>");
    assert!(message.starts_with("not a torrent: bencode has 0x3c at byte 0"), "{message}");
    assert!(refusal(b"").contains("stops early at byte 0"));
}

#[test]
fn a_torrent_over_256_mib_is_refused_unread() {
    let bytes = vec![0; TORRENT_LEN_MAX + 1];
    assert_eq!(refusal(&bytes), "torrent has 268435457 bytes, more than the limit of 268435456");
}

#[test]
fn deep_nesting_in_an_unknown_key_is_refused() {
    let deep = [vec![b'l'; 20_000], vec![b'e'; 20_000]].concat();
    assert!(refusal(&with_outer(&[("x", deep)])).contains("nests deeper than 100 levels"));
}

#[test]
fn descriptions_are_kept_and_wrong_ones_lose_nothing() {
    let torrent = parse(&with_outer(&[
        ("comment", text(b"hi \xff")),
        ("created by", text("mktorrent 1.1")),
        ("creation date", int(1_645_734_650)),
        ("encoding", text("UTF-8")),
    ]));
    assert_eq!(torrent.comment.as_deref(), Some("hi \u{fffd}"));
    assert_eq!(torrent.created_by.as_deref(), Some("mktorrent 1.1"));
    assert_eq!(torrent.creation_date, Some(1_645_734_650));
    assert_eq!(torrent.encoding.as_deref(), Some("UTF-8"));
    let torrent = parse(&with_outer(&[
        ("announce", int(1)),
        ("announce-list", text("x")),
        ("comment", list(&[])),
        ("created by", int(3)),
        ("creation date", text("yesterday")),
        ("encoding", dict(&[])),
        ("url-list", int(1)),
        ("x", int("99999999999999999999")),
    ]));
    assert_eq!((torrent.comment, torrent.created_by), (None, None));
    assert_eq!((torrent.creation_date, torrent.encoding), (None, None));
    assert!(torrent.trackers.is_empty() && torrent.web_seeds.is_empty());
}

#[test]
fn private_is_one() {
    assert!(parse(&with_info(&[("private", int(1))])).private);
    assert!(!parse(&with_info(&[("private", int(0))])).private);
    assert!(!parse(&with_info(&[])).private);
    assert!(!parse(&with_outer(&[("private", int(1))])).private, "BEP 27: within info");
}

#[test]
fn tiers_of_announce_list_replace_announce() {
    let tier = |urls: &[&str]| list(&urls.iter().map(text).collect::<Vec<_>>());
    let torrent = parse(&with_outer(&[
        ("announce", text("http://old/a")),
        (
            "announce-list",
            list(&[
                tier(&["http://a/a", " udp://b:1 \n"]),
                tier(&[]),
                tier(&["http://a/a"]),
                text("http://bare/a"),
                tier(&["", "http://with space/"]),
                int(7),
            ]),
        ),
    ]));
    assert_eq!(torrent.trackers, [vec!["http://a/a", "udp://b:1"], vec!["http://bare/a"]]);
    let empty = list(&[tier(&[]), tier(&[""])]);
    let torrent =
        parse(&with_outer(&[("announce", text("http://old/a")), ("announce-list", empty)]));
    assert_eq!(torrent.trackers, [["http://old/a"]]);
}

#[test]
fn at_most_1000_trackers_are_kept() {
    let urls: Vec<_> = (0..1500).map(|n| list(&[text(format!("http://t/{n}"))])).collect();
    let torrent = parse(&with_outer(&[("announce-list", list(&urls))]));
    assert_eq!(torrent.trackers.len(), 1000);
}

#[test]
fn web_seeds_are_one_url_or_a_list() {
    let one = parse(&with_outer(&[("url-list", text("http://w/x"))]));
    assert_eq!(one.web_seeds, ["http://w/x"]);
    let many = list(&[text("http://w/x"), text(""), text("http://v/"), text("http://w/x")]);
    assert_eq!(parse(&with_outer(&[("url-list", many)])).web_seeds, ["http://w/x", "http://v/"]);
    assert!(parse(&with_outer(&[("url-list", text(""))])).web_seeds.is_empty());
}

#[test]
fn web_seeds_are_urls_that_can_be_asked_and_not_too_many() {
    let odd = [
        text("udp://t:1"),
        text("/27/items/"),
        int(7),
        text(" http://w/a b#c\n"),
        text(b"http://w/\xe9"),
        text(format!("http://w/{}", "x".repeat(8192))),
    ];
    let torrent = parse(&with_outer(&[("url-list", list(&odd))]));
    assert_eq!(torrent.web_seeds, ["http://w/a%20b", "http://w/%E9"]);
    let many: Vec<_> = (0..300).map(|number| text(format!("http://w/{number}"))).collect();
    let torrent = parse(&with_outer(&[("httpseeds", list(&odd)), ("url-list", list(&many))]));
    assert_eq!((torrent.web_seeds.len(), torrent.web_seeds[31].as_str()), (32, "http://w/31"));
    assert_eq!(torrent.http_seeds, ["http://w/a%20b", "http://w/%E9"]);
}

// "nodes = [["<host>", <port>], ["<host>", <port>], ...]" (BEP 5).
#[test]
fn nodes_are_hosts_with_ports() {
    let node = |host: &str, port| list(&[text(host), int(port)]);
    let odd = [
        node("a.example", 6881),
        node("::1", 1),
        node("a.example", 6881),
        node("a b", 1),
        node("", 1),
        node("b.example", 0),
        node("b.example", 65_536),
        node("b.example", -1),
        text("c.example:1"),
        list(&[int(1), int(1)]),
        list(&[text("d.example")]),
    ];
    let torrent = parse(&with_outer(&[("nodes", list(&odd))]));
    let expected = [("a.example".to_owned(), 6881), ("::1".to_owned(), 1)];
    assert_eq!(torrent.nodes, expected);
    let many: Vec<_> = (1..100).map(|port| node("a.example", port)).collect();
    assert_eq!(parse(&with_outer(&[("nodes", list(&many))])).nodes.len(), 32);
    assert!(parse(&with_outer(&[("nodes", text("x"))])).nodes.is_empty());
}

#[test]
fn the_magnet_link_names_hash_name_and_trackers() {
    let bytes = with_info(&[("name", text("a b&c"))]);
    let info = parse(&bytes).raw_info().to_vec();
    let hash = sha1(&info);
    let bytes = dict(&[("announce", text("http://t/a?k=1")), ("info", info)]);
    let wanted = format!("magnet:?xt=urn:btih:{hash}&dn=a%20b%26c&tr=http%3A%2F%2Ft%2Fa%3Fk%3D1");
    assert_eq!(parse(&bytes).magnet(), wanted);
}

#[test]
fn a_hundred_thousand_files_parse() {
    let entries: Vec<_> = (0..100_000)
        .map(|n| file(1, &[&format!("dir {}", n / 100), &format!("{n}.txt")]))
        .collect();
    let torrent = parse(&files(100_000, &entries));
    assert_eq!(torrent.files.len(), 100_000);
    let last = torrent.files.file(FileIndex(99_999)).unwrap();
    assert_eq!(last.path.to_str(), Some("t/dir 999/99999.txt"));
}

proptest! {
    /// Bytes of a good torrent are changed, cut out or doubled; nothing may panic, and what
    /// is accepted keeps its promises.
    #[test]
    fn mutated_torrents_never_panic(
        which in 0usize..4,
        edits in proptest::collection::vec((any::<usize>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let mut bytes = match which {
            0 => include_bytes!("../../../tests/data/multi-hybrid.torrent").to_vec(),
            1 => include_bytes!("../../../tests/data/multi-v2.torrent").to_vec(),
            2 => include_bytes!("../../../tests/data/links-hybrid.torrent").to_vec(),
            _ => files(30, &[file(10, &["a"]), file(0, &["b"]), file(20, &["d", "a"])]),
        };
        for (at, byte, edit) in edits {
            let at = at % bytes.len();
            match edit {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        if let Ok(torrent) = Torrent::parse(&bytes) {
            prop_assert!(!torrent.files.is_empty());
            for file in torrent.files.iter() {
                let is_normal = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(file.path.components().all(is_normal), "{:?}", file.path);
            }
            if let Some(layout) = torrent.layout {
                prop_assert_eq!(torrent.extents().unwrap().total_len(), layout.total_len());
                for piece in layout.pieces().collect::<Vec<_>>() {
                    torrent.piece_hash(piece);
                }
            }
            prop_assert!(Torrent::from_info(torrent.raw_info()).is_ok());
        }
    }
}
