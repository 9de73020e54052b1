//! Torrents of BEP 52, alone and as hybrids; some of them written by libtorrent.

use sha2::{Digest, Sha256};

use super::super::{Flaw, Kind, merkle};
use super::*;

const HYBRID: &[u8] = include_bytes!("../../../tests/data/multi-hybrid.torrent");
const V2_ONLY: &[u8] = include_bytes!("../../../tests/data/multi-v2.torrent");
const LINKS: &[u8] = include_bytes!("../../../tests/data/links-hybrid.torrent");

const PIECE: usize = 32_768;

/// Hashes of the pieces of some content, and the root above them, by the words of BEP 52.
fn piece_layer(content: &[u8]) -> (Vec<[u8; 32]>, [u8; 32]) {
    let blocks = |bytes: &[u8]| -> Vec<[u8; 32]> {
        bytes.chunks(16_384).map(|block| Sha256::digest(block).into()).collect()
    };
    if content.len() <= PIECE {
        return (Vec::new(), merkle::root(blocks(content), 0));
    }
    let layer: Vec<[u8; 32]> = content
        .chunks(PIECE)
        .map(|piece| {
            let mut leaves = blocks(piece);
            leaves.resize(PIECE / 16_384, [0; 32]);
            merkle::root(leaves, 0)
        })
        .collect();
    (layer.clone(), merkle::root(layer, 1))
}

fn leaf(length: usize) -> Vec<u8> {
    let (_, root) = piece_layer(&vec![7; length]);
    let mut entries = vec![("length", int(length))];
    if length > 0 {
        entries.push(("pieces root", text(root)));
    }
    dict(&[("", dict(&entries))])
}

/// The files of most torrents here: `a` of 100 bytes, `d/b` of 70,000, `d/c` of none.
fn tree() -> Vec<u8> {
    let inner = dict(&[("b", leaf(70_000)), ("c", leaf(0))]);
    dict(&[("a", leaf(100)), ("d", inner)])
}

fn layers() -> Vec<u8> {
    let (layer, root) = piece_layer(&vec![7; 70_000]);
    [b"d".to_vec(), text(root), text(layer.concat()), b"e".to_vec()].concat()
}

fn v2_info(tree: Vec<u8>) -> Vec<u8> {
    dict(&[
        ("file tree", tree),
        ("meta version", int(2)),
        ("name", text("t")),
        ("piece length", int(PIECE)),
    ])
}

fn v2(tree: Vec<u8>) -> Vec<u8> {
    dict(&[("info", v2_info(tree)), ("piece layers", layers())])
}

/// A hybrid of the three files in `tree` whose v1 half is this list.
fn halves(v1: &[Vec<u8>]) -> Vec<u8> {
    let info = dict(&[
        ("file tree", tree()),
        ("files", list(v1)),
        ("meta version", int(2)),
        ("name", text("t")),
        ("piece length", int(PIECE)),
        ("pieces", hashes(4)),
    ]);
    dict(&[("info", info), ("piece layers", layers())])
}

fn pad(length: usize) -> Vec<u8> {
    let path = list(&[text(".pad"), text(length.to_string())]);
    dict(&[("attr", text("p")), ("length", int(length)), ("path", path)])
}

#[test]
fn v2_only() {
    let bytes = v2(tree());
    let torrent = parse(&bytes);
    assert_eq!(torrent.kind(), Kind::V2);
    assert_eq!((torrent.info_hash_v1, torrent.layout), (None, None));
    let hash: [u8; 32] = Sha256::digest(v2_info(tree())).into();
    assert_eq!(torrent.info_hash_v2.unwrap().0, hash);
    assert_eq!(paths(&torrent), ["t/a", "t/d/b", "t/d/c"]);
    assert_eq!((torrent.total_size(), torrent.num_pieces), (70_100, 4));
    let offsets: Vec<u64> = torrent.files.iter().map(|file| file.offset).collect();
    assert_eq!(offsets, [0, 32_768, 4 * 32_768], "each file begins with a piece");
    assert!(torrent.extents().is_none());
    assert!(torrent.magnet().starts_with("magnet:?xt=urn:btmh:1220"));
}

#[test]
fn v2_single_file_stands_in_no_directory() {
    let torrent = parse(&in_torrent(&v2_info(dict(&[("t", leaf(100))]))));
    assert_eq!(paths(&torrent), ["t"]);
    let torrent = parse(&in_torrent(&v2_info(dict(&[("u", leaf(100))]))));
    assert_eq!(paths(&torrent), ["t/u"]);
}

#[test]
fn v2_missing_name_is_the_v2_hash() {
    let info = dict(&[
        ("file tree", dict(&[("a", leaf(100))])),
        ("meta version", int(2)),
        ("piece length", int(PIECE)),
    ]);
    let torrent = parse(&in_torrent(&info));
    assert_eq!(torrent.name, torrent.info_hash_v2.unwrap().to_string());
}

#[test]
fn meta_version_is_judged_first() {
    let message = refusal(&in_torrent(&dict(&[("meta version", int(3))])));
    assert_eq!(message, "bad torrent: info.meta version is 3; versions 1 and 2 are known");
    assert_eq!(parse(&with_info(&[("meta version", int(1))])).kind(), Kind::V1);
    let message = refusal(&with_info(&[("meta version", int(2))]));
    assert_eq!(message, "bad torrent: info.file tree is missing");
}

#[test]
fn v2_piece_length_is_a_power_of_two_from_16_kib() {
    for bad in [8_192, 49_152] {
        let info =
            dict(&[("file tree", tree()), ("meta version", int(2)), ("piece length", int(bad))]);
        assert!(refusal(&in_torrent(&info)).contains("not a power of two from 16384"));
    }
}

#[test]
fn v2_piece_layers_must_lead_to_the_roots() {
    let info = v2_info(tree());
    let refused =
        |layers: Vec<u8>| refusal(&dict(&[("info", info.clone()), ("piece layers", layers)]));
    let (layer, root) = piece_layer(&vec![7; 70_000]);
    let with = |layer: &[u8]| [b"d".to_vec(), text(root), text(layer), b"e".to_vec()].concat();
    let mut wrong = layer.concat();
    wrong[40] ^= 1;
    assert!(refused(with(&wrong)).contains("does not lead to its root"));
    assert!(refused(with(&layer.concat()[..64])).contains("64 bytes, but the file 3 pieces"));
    assert!(refused(int(1)).contains("piece layers is not a dictionary"));
    let foreign = text([5; 32]);
    let foreign = [b"d".to_vec(), foreign, text(layer.concat()), b"e".to_vec()].concat();
    let message = refused(foreign);
    let named = format!("bad torrent: piece layers has one of root {}, which", "05".repeat(32));
    assert!(message.starts_with(&named), "{message}");
    assert!(refused(dict(&[("x", text("y"))])).contains("has one of root 78, which no file has"));
    assert!(refused(dict(&[("x", int(1))])).contains("piece layers holds no strings"));
}

#[test]
fn missing_piece_layers_leave_the_rest_usable() {
    let info = v2_info(tree());
    let torrent = parse(&in_torrent(&info));
    assert_eq!((torrent.num_pieces, torrent.missing_layers), (4, 1), "as by a magnet link");
    let empty = parse(&dict(&[("info", info.clone()), ("piece layers", dict(&[]))]));
    assert_eq!(empty.missing_layers, 1);
    assert_eq!(Torrent::from_info(&info).unwrap().missing_layers, 1);
    assert_eq!(parse(&v2(tree())).missing_layers, 0);
    // Of two files longer than a piece one has its layer.
    let tree = dict(&[("b", leaf(70_000)), ("c", leaf(80_000)), ("d", leaf(32_768))]);
    assert_eq!(parse(&v2(tree)).missing_layers, 1);
}

#[test]
fn v2_trees_are_in_order_and_name_nothing_twice() {
    let a = || ("a", leaf(100));
    let b = || ("b", leaf(70_000));
    for (tree, place) in [
        (dict(&[b(), a()]), "(t/a)"),
        (dict(&[b(), b()]), "(t/b)"),
        (dict(&[("d", dict(&[b(), a()]))]), "(t/d/a)"),
    ] {
        let message = refusal(&v2(tree));
        assert_eq!(
            message,
            format!("bad torrent: info.file tree {place} is out of order, or there twice")
        );
    }
    let root = piece_layer(&[7; 100]).1;
    let entry = dict(&[("pieces root", text(root)), ("length", int(100))]);
    let message = refusal(&v2(dict(&[("x", dict(&[("", entry.clone())]))])));
    assert_eq!(message, "bad torrent: info.file tree (t/x) has keys out of order, or twice");
    let both = dict(&[("x", dict(&[("", dict(&[("length", int(0))])), ("y", leaf(1))]))]);
    assert!(refusal(&v2(both)).contains("(t/x) is a file and a directory at once"));
}

#[test]
fn v2_leaves_that_no_data_has_are_refused() {
    let leaf = |entries: &[(&str, Vec<u8>)]| v2(dict(&[("x", dict(&[("", dict(entries))]))]));
    let zeros = leaf(&[("length", int(1)), ("pieces root", text([0; 32]))]);
    assert!(refusal(&zeros).contains("(t/x) has a pieces root of zeros"));
    let root = || ("pieces root", text(piece_layer(&[7; 1]).1));
    let pad = leaf(&[("attr", text("p")), ("length", int(1)), root()]);
    assert!(refusal(&pad).contains("(t/x) is padding, which a v2 tree cannot hold"));
    let runs = dict(&[("", dict(&[("attr", text("x")), ("length", int(1)), root()]))]);
    assert_eq!(parse(&in_torrent(&v2_info(dict(&[("x", runs)])))).files.len(), 1);
}

#[test]
fn v2_numbers_have_no_leading_zeros() {
    let odd = dict(&[("", dict(&[("length", b"i00e".to_vec())]))]);
    let message = refusal(&in_torrent(&v2_info(dict(&[("x", odd)]))));
    assert!(message.contains("info has a number with a leading zero at byte"), "{message}");
    let name = dict(&[
        ("file tree", tree()),
        ("meta version", int(2)),
        ("name", b"01:t".to_vec()),
        ("piece length", int(PIECE)),
    ]);
    assert!(refusal(&in_torrent(&name)).contains("info has a number with a leading zero"));
    // Real torrents of version 1 have them.
    assert_eq!(parse(&with_info(&[("length", b"i0010e".to_vec())])).total_size(), 10);
}

#[test]
fn a_meta_version_that_is_no_number_is_refused() {
    let message = refusal(&with_info(&[("meta version", text("2"))]));
    assert_eq!(message, "bad torrent: info.meta version is not a number");
}

#[test]
fn v2_malformed_trees_are_refused_by_place() {
    let rootless = dict(&[("x", dict(&[("", dict(&[("length", int(1))]))]))]);
    let message = refusal(&v2(rootless));
    assert_eq!(message, "bad torrent: info.file tree (t/x) has no pieces root of 32 bytes");
    let negative = dict(&[("x", dict(&[("", dict(&[("length", int(-1))]))]))]);
    assert!(refusal(&v2(negative)).contains("(t/x) is negative"));
    let lengthless = dict(&[("x", dict(&[("", dict(&[]))]))]);
    assert!(refusal(&v2(lengthless)).contains("(t/x) has no length"));
    assert!(refusal(&v2(dict(&[("x", int(1))]))).contains("(t/x) is not a dictionary"));
    assert!(refusal(&v2(leaf(1))).contains("(t) has an entry without a name"));
    assert!(refusal(&v2(dict(&[]))).contains("names no files"));
    let huge = dict(&[("length", int(i64::MAX)), ("pieces root", text([1; 32]))]);
    let huge = dict(&[("x", dict(&[("", huge)]))]);
    assert!(refusal(&v2(huge)).contains("makes more than 16777216 pieces"));
}

#[test]
fn v2_directories_nest_as_deep_as_the_guard_allows() {
    let nested = |depth: usize| (0..depth).fold(leaf(1), |tree, _| dict(&[("d", tree)]));
    // The outermost and the info dictionary and the two of the file take levels, too.
    assert_eq!(parse(&in_torrent(&v2_info(nested(96)))).files.len(), 1);
    assert!(refusal(&v2(nested(30_000))).contains("nests deeper than 100 levels"));
}

#[test]
fn v2_paths_written_once_for_many_files_cannot_ask_for_gigabytes() {
    let names: Vec<String> = (0..20_000).map(|n| format!("{n:05}")).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), leaf(0))).collect();
    let long = "x".repeat(255);
    let tree = (0..90).fold(dict(&entries), |tree, _| dict(&[(&long, tree)]));
    assert!(refusal(&v2(tree)).contains("paths of more than 128 MiB together"));
}

#[test]
fn hybrid() {
    let v1 = [file(100, &["a"]), pad(32_668), file(70_000, &["d", "b"]), file(0, &["d", "c"])];
    let torrent = parse(&halves(&v1));
    assert_eq!(torrent.kind(), Kind::Hybrid);
    assert_eq!(paths(&torrent), ["t/a", "t/d/b", "t/d/c"]);
    assert_eq!((torrent.total_size(), torrent.num_pieces), (70_100, 4));
    assert_eq!(torrent.layout.unwrap().total_len(), 32_768 + 70_000);
    let magnet = torrent.magnet();
    assert!(magnet.contains("xt=urn:btih:") && magnet.contains("&xt=urn:btmh:1220"), "{magnet}");
}

#[test]
fn hybrid_directory_may_hold_one_file_of_its_own_name() {
    // The tree alone would be that of a single-file torrent; the v1 half knows better.
    let info = |v1: (&str, Vec<u8>)| {
        in_torrent(&dict(&[
            ("file tree", dict(&[("t", leaf(100))])),
            v1,
            ("meta version", int(2)),
            ("name", text("t")),
            ("piece length", int(PIECE)),
            ("pieces", hashes(1)),
        ]))
    };
    assert_eq!(paths(&parse(&info(("files", list(&[file(100, &["t"])]))))), ["t/t"]);
    assert_eq!(paths(&parse(&info(("length", int(100))))), ["t"]);
}

#[test]
fn hybrid_halves_that_differ_are_refused() {
    let refused = |v1: &[Vec<u8>]| refusal(&halves(v1));
    let (a, b, c) = (file(100, &["a"]), file(70_000, &["d", "b"]), file(0, &["d", "c"]));
    let fill = pad(32_668);
    let message = refused(&[file(101, &["a"]), pad(32_667), b.clone(), c.clone()]);
    assert_eq!(message, "bad torrent: info.files[0] (t/a) has 101 bytes, but 100 in v2");
    let message = refused(&[file(100, &["x"]), fill.clone(), b.clone(), c.clone()]);
    assert_eq!(message, "bad torrent: info.files[0] (t/x) is t/a in the v2 file tree");
    let message = refused(&[a.clone(), fill.clone(), b.clone()]);
    assert_eq!(message, "bad torrent: info.files lacks t/d/c, which is in the v2 file tree");
    let message = refused(&[a.clone(), fill.clone(), b.clone(), c.clone(), file(0, &["z"])]);
    assert_eq!(message, "bad torrent: info.files[4] (t/z) is not in the v2 file tree");
    let message = refused(&[a.clone(), b.clone(), c.clone()]);
    assert!(message.contains("(t/d/b) begins inside a piece"), "{message}");
    let message = refused(&[a, fill, c, b]);
    assert!(message.contains("(t/d/c) is t/d/b in the v2 file tree"), "order: {message}");
}

#[test]
fn padding_that_cannot_be_zero_is_told() {
    let zeros = |len: usize| <[u8; 20]>::from(sha1::Sha1::digest(vec![0; len]));
    let padded = |pieces: &[[u8; 20]]| {
        let pad = dict(&[("attr", text("p")), ("length", int(PIECE + 100))]);
        let info = dict(&[
            ("files", list(&[file(PIECE as u64, &["a"]), pad])),
            ("name", text("t")),
            ("piece length", int(PIECE)),
            ("pieces", text(pieces.concat())),
        ]);
        let flaws = parse(&in_torrent(&info)).flaws();
        flaws.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(padded(&[[1; 20], zeros(PIECE), zeros(100)]), [""; 0]);
    let told = padded(&[[1; 20], zeros(PIECE), zeros(101)]);
    assert!(told[0].starts_with("piece 2 is padding alone, but its hash is not"), "{told:?}");
    assert!(padded(&[[1; 20], [2; 20], zeros(100)])[0].starts_with("piece 1 is padding"));
}

#[test]
fn hybrids_whose_last_piece_was_hashed_with_padding_are_told() {
    let made_by = |program: &str, length: usize| {
        let info = dict(&[
            ("file tree", dict(&[("t", leaf(length))])),
            ("length", int(length)),
            ("meta version", int(2)),
            ("name", text("t")),
            ("piece length", int(PIECE)),
            ("pieces", hashes(length.div_ceil(PIECE))),
        ]);
        parse(&dict(&[("created by", text(program)), ("info", info)])).flaws()
    };
    let flaws = made_by("torrentfile_v0.9.2", 70_000);
    assert!(matches!(&*flaws, [Flaw::LastPiece { program }] if program == "torrentfile_v0.9.2"));
    assert_eq!(made_by("torrentfile_v0.9.2", 2 * PIECE), [], "nothing to pad");
    assert_eq!(made_by("mktorrent 1.1", 70_000), []);
}

#[test]
fn roots_are_told_by_file() {
    let roots = [Some(piece_layer(&[7; 100]).1), Some(piece_layer(&[7; 70_000]).1), None];
    assert_eq!(parse(&v2(tree())).file_roots(), roots);
    let v1 = [file(100, &["a"]), pad(32_668), file(70_000, &["d", "b"]), file(0, &["d", "c"])];
    let [a, b, c] = roots;
    assert_eq!(parse(&halves(&v1)).file_roots(), [a, None, b, c]);
    assert_eq!(parse(&with_info(&[])).file_roots(), [None]);
}

#[test]
fn hybrid_of_libtorrent() {
    let torrent = parse(HYBRID);
    let v1 = "3c25d68745a620f9b71d8ed4722d69a149dc77df";
    let v2 = "addd7a35e3879de391f727f0d642bc092ef0b60e91b8b52921a35779ca2b39a7";
    assert_eq!(torrent.info_hash_v1.unwrap().to_string(), v1);
    assert_eq!(torrent.info_hash_v2.unwrap().to_string(), v2);
    let wanted = [
        "multi/a.txt",
        "multi/dir/B2",
        "multi/dir/b.bin",
        "multi/dir/c.bin",
        "multi/dir/empty",
        "multi/z/y/x.bin",
    ];
    assert_eq!(paths(&torrent), wanted);
    assert_eq!((torrent.files.len(), torrent.num_pieces), (9, 13));
    assert_eq!(torrent.layout.unwrap().total_len(), 212_992);
    assert_eq!(torrent.total_size(), 169_253);
    assert_eq!(torrent.trackers, [["http://tracker.example/announce"]]);
    assert_eq!(torrent.created_by.as_deref(), Some("libtorrent 2.1.1.0"));
}

#[test]
fn v2_only_of_libtorrent() {
    let torrent = parse(V2_ONLY);
    let v2 = "85faea9a7597ef489b4fb88c791f41ae1e875fff3c22c9b7ead3aa407da59489";
    assert_eq!(torrent.info_hash_v2.unwrap().to_string(), v2);
    assert_eq!(torrent.info_hash_v1, None);
    assert_eq!((torrent.files.len(), torrent.num_pieces), (6, 13));
    let offsets: Vec<u64> = torrent.files.iter().map(|file| file.offset).collect();
    assert_eq!(offsets, [0, 16_384, 32_768, 98_304, 131_072, 131_072]);
}

#[test]
fn links_of_libtorrent() {
    let torrent = parse(LINKS);
    let links: Vec<_> = torrent
        .symlinks
        .iter()
        .map(|link| (link.path.to_str().unwrap(), link.target.to_str().unwrap()))
        .collect();
    assert_eq!(links, [("links/alias", "links/d/real"), ("links/alias2", "links/alias")]);
    assert_eq!(paths(&torrent), ["links/d/real"]);
}
