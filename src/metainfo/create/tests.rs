//! Torrents written and read back, against vectors written by hand and obvious models.

use proptest::prelude::*;
use sha1::{Digest as _, Sha1};

use super::*;
use crate::base::digest::{Sha1Hash, Sha256Hash, sha256};

fn file(path: &str, length: u64) -> SourceFile {
    SourceFile { path: path.to_owned(), length, is_executable: false }
}

fn options(kind: Kind) -> CreateOptions {
    CreateOptions { kind, created_by: None, ..CreateOptions::default() }
}

/// The content of a file of this name.
fn content(path: &str, length: u64) -> Vec<u8> {
    let seed = path.bytes().fold(7u64, |sum, byte| (sum * 31 + u64::from(byte)) % 251);
    (0..length).map(|at| ((at / 3 + seed) % 251) as u8).collect()
}

/// Hashes as a slow and simple program would.
fn hashed(plan: &Plan) -> (Vec<Sha1Hash>, Vec<Sha256Hash>) {
    let (mut hashes, mut nodes) = (Vec::new(), Vec::new());
    for piece in 0..plan.piece_count() {
        let range = plan.piece_range(piece);
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut blocks = Vec::new();
        for span in plan.spans(range) {
            let file = &plan.files()[span.file];
            let all = content(&file.path, file.length);
            let begin = span.offset as usize;
            let data = &all[begin..begin + span.at.len()];
            blocks.extend(data.chunks(16 << 10).map(|block| sha256(&[block])));
            bytes[span.at].copy_from_slice(data);
        }
        hashes.push(Sha1::digest(&bytes).into());
        nodes.push(plan.node(piece, blocks));
    }
    (hashes, nodes)
}

fn made(name: &str, content: Content, options: &CreateOptions) -> (Vec<u8>, Torrent) {
    let plan = Plan::new(name, content, options).unwrap();
    let (hashes, nodes) = hashed(&plan);
    let hashes = if plan.has_v1() { hashes } else { Vec::new() };
    let nodes = if plan.has_v2() { nodes } else { Vec::new() };
    let bytes = plan.finish(&hashes, &nodes);
    let torrent = Torrent::parse(&bytes).unwrap();
    (bytes, torrent)
}

use super::super::Torrent;

#[test]
fn a_single_file_of_v1_by_hand() {
    let mut options = options(Kind::V1);
    options.trackers = vec![
        vec!["http://a/announce".to_owned(), "udp://b:1".to_owned()],
        vec!["http://a/announce".to_owned()],
        vec!["https://c".to_owned()],
    ];
    options.web_seeds = vec!["http://w/".to_owned()];
    options.comment = Some("hi".to_owned());
    options.creation_date = Some(7);
    options.private = true;
    options.source = Some("X".to_owned());
    let (bytes, torrent) = made("n", Content::File(file("", 3)), &options);
    let hash = Sha1::digest(content("", 3));
    // BEP 3: keys must be strings and appear in sorted order.
    let expected = [
        b"d8:announce17:http://a/announce13:announce-listll17:http://a/announce9:udp://b:1e\
          l9:https://cee7:comment2:hi13:creation datei7e4:infod6:lengthi3e4:name1:n\
          12:piece lengthi16384e6:pieces20:"
            .as_slice(),
        &hash,
        b"7:privatei1e6:source1:Xe8:url-listl9:http://w/ee",
    ];
    assert_eq!(bytes.escape_ascii().to_string(), expected.concat().escape_ascii().to_string());
    assert!(torrent.private);
    assert_eq!(torrent.trackers.len(), 2, "a URL counts where it came first");
}

#[test]
fn hybrids_pad_each_file_to_a_whole_piece() {
    let files = vec![file("b/x", 16_385), file("a.d/y", 5), file("a/z", 0), file("a/k", 32_768)];
    let (bytes, torrent) = made("t", Content::Directory(files), &options(Kind::Hybrid));
    // BEP 52: the files of the v1 list are in the order of the file tree. BEP 47: `attr` p.
    let list = b"5:filesld6:lengthi32768e4:pathl1:a1:keed6:lengthi0e4:pathl1:a1:zee\
        d6:lengthi5e4:pathl3:a.d1:yeed4:attr1:p6:lengthi16379e4:pathl4:.pad5:16379ee\
        d6:lengthi16385e4:pathl1:b1:xeed4:attr1:p6:lengthi16383e4:pathl4:.pad5:16383eee\
        12:meta versioni2e";
    let text = bytes.escape_ascii().to_string();
    assert!(text.contains(&list.escape_ascii().to_string()), "{text}");
    assert_eq!((torrent.kind(), torrent.num_pieces), (Kind::Hybrid, 5));
    assert_eq!(torrent.total_size(), 16_385 + 5 + 32_768);
}

#[test]
fn a_v2_tree_has_roots_and_layers() {
    let files = vec![file("d/long", 40_000), file("e", 0), file("short", 20_000)];
    let mut options = options(Kind::V2);
    options.piece_length = Some(32 << 10);
    let (bytes, _) = made("t", Content::Directory(files), &options);
    let block = |path: &str, length: u64, range: std::ops::Range<usize>| {
        sha256(&[&content(path, length)[range]])
    };
    let pair = |a: &[u8], b: &[u8]| sha256(&[a, b]);
    let first = pair(&block("d/long", 40_000, 0..16_384), &block("d/long", 40_000, 16_384..32_768));
    // BEP 52: the remaining leaf hashes beyond the end of the file are set to zero.
    let second = pair(&block("d/long", 40_000, 32_768..40_000), &[0; 32]);
    let long = pair(&first, &second);
    let short = pair(&block("short", 20_000, 0..16_384), &block("short", 20_000, 16_384..20_000));
    let expected = [
        b"d4:infod9:file treed1:dd4:longd0:d6:lengthi40000e11:pieces root32:".as_slice(),
        &long,
        b"eee1:ed0:d6:lengthi0eee5:shortd0:d6:lengthi20000e11:pieces root32:",
        &short,
        b"eee12:meta versioni2e4:name1:t12:piece lengthi32768ee12:piece layersd32:",
        &long,
        b"64:",
        &first,
        &second,
        b"ee",
    ];
    assert_eq!(bytes.escape_ascii().to_string(), expected.concat().escape_ascii().to_string());
}

#[test]
fn executable_files_say_so() {
    let file = SourceFile { is_executable: true, ..file("run", 1) };
    let (bytes, _) = made("n", Content::File(file.clone()), &options(Kind::Hybrid));
    let text = bytes.escape_ascii().to_string();
    assert!(text.starts_with("d4:infod4:attr1:x9:file treed1:nd0:d4:attr1:x6:length"), "{text}");
    let (bytes, _) = made("n", Content::Directory(vec![file]), &options(Kind::V1));
    assert!(bytes.escape_ascii().to_string().contains("ld4:attr1:x6:lengthi1e4:pathl3:runee"));
}

#[test]
fn what_others_would_refuse_is_refused() {
    let refused = |files: Vec<SourceFile>, options: &CreateOptions| {
        Plan::new("n", Content::Directory(files), options).unwrap_err().to_string()
    };
    let good = || vec![file("a", 1)];
    let plain = options(Kind::V1);
    let nothing = "n holds no bytes: there is nothing to share";
    assert_eq!(refused(vec![], &plain), nothing);
    assert_eq!(refused(vec![file("a", 0)], &plain), nothing);
    for length in [0, 1, 8 << 10, 100_000, 256 << 20, 1 << 40] {
        let options = CreateOptions { piece_length: Some(length), ..plain.clone() };
        assert!(refused(good(), &options).starts_with(&format!("piece length {length} is not")));
    }
    for url in ["x", "ftp://x", "http://", "http:///x", "http://a b", "://x", "http://x\n"] {
        let trackers = vec![vec![url.to_owned()]];
        let options = CreateOptions { trackers, ..plain.clone() };
        assert!(refused(good(), &options).contains("is no URL of a tracker"), "{url}");
    }
    let web_seeds = vec!["udp://x".to_owned()];
    let options = CreateOptions { web_seeds, ..plain.clone() };
    assert!(refused(good(), &options).contains("is no URL of a web seed"));
    let huge = refused(vec![file("a", 1 << 62), file("b", u64::MAX)], &plain);
    assert!(huge.starts_with("pieces of 16.0 MiB would be 1099511627776, more than"), "{huge}");
}

#[test]
fn names_that_change_on_the_way_are_refused() {
    for (name, paths, becomes) in [
        ("n", vec!["x\u{202e}y"], "n/x\u{202e}y would be called n/xy"),
        ("n", vec!["a\\b"], "n/a\\b would be called n/a_b"),
        ("..", vec!["a"], "../a would be called _/a"),
        ("n/m", vec!["a"], "n/m/a would be called n_m/a"),
    ] {
        let files = paths.into_iter().map(|path| file(path, 1)).collect();
        let refused = Plan::new(name, Content::Directory(files), &options(Kind::V1)).unwrap_err();
        assert_eq!(refused.to_string(), format!("{becomes} by those who download it: rename it"));
    }
    // In BEP 52 this is how a single file is written.
    let files = Content::Directory(vec![file("n", 1)]);
    assert!(Plan::new("n", files.clone(), &options(Kind::V2)).is_err());
    assert!(Plan::new("n", files, &options(Kind::V1)).is_ok());
}

#[test]
fn names_that_differ_only_in_case_are_two_files() {
    // The Linux source tree has thirteen such pairs.
    let paths = ["net/xt_CONNMARK.h", "net/xt_connmark.h", "SUB", "sub/z", "\u{e9}", "e\u{301}"];
    for kind in [Kind::V1, Kind::V2, Kind::Hybrid] {
        let files = paths.iter().map(|path| file(path, 5)).collect();
        let (_, torrent) = made("d", Content::Directory(files), &options(kind));
        let mut read: Vec<&str> = torrent
            .files
            .iter()
            .filter(|file| !file.is_pad)
            .map(|file| file.path.to_str().unwrap().strip_prefix("d/").unwrap())
            .collect();
        let mut wanted = paths.to_vec();
        read.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(read, wanted, "{kind:?}");
    }
}

#[test]
fn files_called_as_padding_are_shared_as_files() {
    for kind in [Kind::V1, Kind::V2, Kind::Hybrid] {
        let files = vec![file(".pad/1234", 1234), file("_____padding_file_0_x", 9), file("b", 5)];
        let (_, torrent) = made("d", Content::Directory(files), &options(kind));
        assert_eq!(torrent.total_size(), 1234 + 9 + 5, "{kind:?}");
        assert_eq!(torrent.flaws(), [], "{kind:?}");
    }
}

/// Directories and lengths around the edges of pieces.
fn trees() -> impl Strategy<Value = Vec<SourceFile>> {
    let lengths = prop_oneof![
        Just(0u64),
        Just(16_384),
        Just(32_768),
        1..20u64,
        16_383..16_390u64,
        0..150_000u64
    ];
    let paths = proptest::collection::btree_set("[ab.-]/?[c-e]", 1..8);
    (paths, proptest::collection::vec(lengths, 8), any::<bool>()).prop_map(
        |(paths, lengths, is_executable)| {
            // A name is either a file or a directory.
            let names = paths.into_iter().map(|path| match path.contains('/') {
                true => format!("d{path}"),
                false => path,
            });
            let files = names.zip(lengths);
            files.map(|(path, length)| SourceFile { path, length, is_executable }).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_we_write_we_read(
        files in trees(),
        kind in prop::sample::select(vec![Kind::V1, Kind::V2, Kind::Hybrid]),
        shift in 0..3u32,
    ) {
        prop_assume!(files.iter().any(|file| file.length > 0));
        let options = CreateOptions { piece_length: Some(16_384 << shift), ..options(kind) };
        let (bytes, torrent) = made("n", Content::Directory(files.clone()), &options);
        let mut reversed = files.clone();
        reversed.reverse();
        prop_assert_eq!(&made("n", Content::Directory(reversed), &options).0, &bytes);
        prop_assert_eq!(torrent.kind(), kind);
        prop_assert_eq!(torrent.total_size(), files.iter().map(|file| file.length).sum::<u64>());
        // The bytes of the v1 stream as the reader understands it have the hashes we wrote.
        if let Some(layout) = torrent.layout {
            let mut stream = Vec::new();
            for file in torrent.files.iter() {
                let path = file.path.to_string_lossy();
                match file.is_pad {
                    true => stream.resize(stream.len() + file.length as usize, 0),
                    false => stream.extend(content(&path["n/".len()..], file.length)),
                }
            }
            prop_assert_eq!(stream.len() as u64, layout.total_len());
            for (piece, bytes) in layout.pieces().zip(stream.chunks(16_384 << shift)) {
                let hash: Sha1Hash = Sha1::digest(bytes).into();
                prop_assert_eq!(torrent.piece_hash(piece), &hash);
            }
        }
    }
}
