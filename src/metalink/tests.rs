//! Metalinks as people write them and as nobody should, and the plans that are made of them.

use super::plan::{Unusable, Way, file_in, plan};
use super::*;
use crate::base::ids::FileIndex;
use crate::metainfo::Torrent;

/// A document with these elements in its root.
fn document(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{inner}</metalink>\n"
    )
}

fn parse(inner: &str) -> Metalink {
    read(document(inner).as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// The only file of a document with these elements in it.
fn file(inner: &str) -> Listed {
    let mut files = parse(&format!("<file name=\"a.iso\">{inner}</file>")).files;
    assert_eq!(files.len(), 1);
    files.remove(0)
}

fn refused(text: &str) -> Error {
    read(text.as_bytes()).expect_err(text)
}

fn urls(file: &Listed) -> Vec<&str> {
    file.mirrors.iter().map(|mirror| mirror.url.as_str()).collect()
}

#[test]
fn metalinks_are_known_by_their_beginning() {
    assert!(begins(document("").as_bytes()));
    assert!(begins(
        "\u{feff}\n<?xml?><m:metalink xmlns:m='urn:ietf:params:xml:ns:metalink'>".as_bytes()
    ));
    for other in ["", "d8:announce", "<html>metalink</html>", "metalink"] {
        assert!(!begins(other.as_bytes()), "{other}");
    }
}

// The example of RFC 5854 §1.1, with what it leaves out.
#[test]
fn a_metalink_of_two_files() {
    let sha1 = "0123456789abcdef0123456789ABCDEF01234567";
    let sha256 = "f0ad929cd259957e160ea442eb80986b5f000000000000000000000000000000";
    let text = format!(
        "<generator>mirrorbrain/1</generator><published>2009-05-15T12:23:23Z</published>\
         <origin dynamic=\"true\">http://o/x.meta4</origin>\
         <file name=\"dir/example.ext\">\
           <size>14471447</size><identity>Example</identity><language>en</language>\
           <hash type=\"md5\">83f4</hash><hash type=\"sha-1\">{sha1}</hash>\
           <hash type=\"sha-256\"> {sha256}\n</hash>\
           <url location=\"de\" priority=\"2\">ftp://ftp.example.com/example.ext</url>\
           <url priority=\"9\">http://last/example.ext</url>\
           <url location=\"FR\" priority=\"1\">http://example.com/example.ext?a=1&amp;b=2&#38;c</url>\
           <url>http://none/</url><url priority=\"1\">magnet:?xt=urn:btih:{sha1}&amp;dn=x</url>\
           <metaurl mediatype=\"torrent\" priority=\"1\">http://t/example.ext.torrent</metaurl>\
           <metaurl mediatype=\"metalink\">http://m/x</metaurl>\
         </file>\
         <file name='b'><url><![CDATA[http://b/x?y&z]]></url></file>"
    );
    let found = parse(&text);
    assert_eq!(found.generator.as_deref(), Some("mirrorbrain/1"));
    assert_eq!(found.origin.as_deref(), Some("http://o/x.meta4"));
    assert_eq!((found.published.is_some(), found.left_out), (true, 0));
    let [first, second] = found.files.as_slice() else { panic!("{found:?}") };
    assert_eq!((first.name.as_str(), first.size), ("dir/example.ext", Some(14_471_447)));
    let hash = first.hash.as_ref().unwrap();
    assert_eq!((hash.kind, hash.bytes[..2].to_vec()), (HashKind::Sha256, vec![0xf0, 0xad]));
    let expected =
        ["http://example.com/example.ext?a=1&b=2&c", "http://last/example.ext", "http://none/"];
    assert_eq!(urls(first), expected);
    assert_eq!(first.mirrors[0].location.as_deref(), Some("fr"));
    assert_eq!(first.mirrors[2].priority, 999_999);
    assert_eq!(first.magnets, [format!("magnet:?xt=urn:btih:{sha1}&dn=x")]);
    assert_eq!(first.torrents[0].url, "http://t/example.ext.torrent");
    assert_eq!(first.torrents.len(), 1);
    assert_eq!(urls(second), ["http://b/x?y&z"]);
}

#[test]
fn prefixes_are_names_of_the_namespace_and_other_vocabularies_are_skipped() {
    let text = "<m:metalink xmlns:m='urn:ietf:params:xml:ns:metalink' xmlns:o='urn:o'>\
                <o:file name='x'><m:url>http://x/</m:url></o:file>\
                <m:file name='a'><o:size>7</o:size><m:size>8</m:size>\
                <o:x><m:url>http://no/</m:url></o:x><m:url>http://a/</m:url></m:file></m:metalink>";
    let found = read(text.as_bytes()).unwrap();
    assert_eq!(found.files.len(), 1);
    assert_eq!((found.files[0].size, urls(&found.files[0])), (Some(8), vec!["http://a/"]));
    let bom = format!("\u{feff}{text}");
    assert_eq!(read(bom.as_bytes()).unwrap(), found);
}

#[test]
fn what_is_no_metalink_is_refused_by_its_name() {
    let v3 = "<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\"><files/></metalink>";
    assert_eq!(refused(v3), Error::Version3);
    assert_eq!(refused("<html><body/></html>"), Error::Other("html".to_owned()));
    assert_eq!(refused("<metalink/>"), Error::Other("metalink".to_owned()));
    let doctype = "<!DOCTYPE m [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>";
    assert_eq!(refused(&format!("{doctype}{}", document(""))), Error::Doctype);
    assert_eq!(refused(&document("")), Error::NoFiles);
    assert!(matches!(refused(""), Error::Xml { .. }));
    assert!(matches!(refused("d4:infoe"), Error::Xml { .. }));
    for text in ["<file name='a'>", "<file name='a'></url></file>", "</metalink><x>", "<file"] {
        assert!(matches!(refused(&document(text)), Error::Xml { .. } | Error::Other(_)), "{text}");
    }
    let latin = [document("<file name='").as_bytes(), b"\xe9'/>"].concat();
    assert!(matches!(read(&latin), Err(Error::Xml { .. })));
    // What is said about it may be shown in a terminal.
    let odd = format!("<file></\u{1b}[2J{}>", "x".repeat(10_000));
    let words = refused(&document(&odd)).to_string();
    assert!(!words.contains('\u{1b}') && words.contains("[2J") && words.len() < 400, "{words:?}");
}

#[test]
fn metalinks_are_limited() {
    let large = " ".repeat(METALINK_LEN_MAX);
    assert!(matches!(refused(&document(&large)), Error::TooLarge { .. }));
    let nested = |depth: usize| "<x>".repeat(depth) + &"</x>".repeat(depth);
    let inner = |depth| format!("<file name='a'/>{}", nested(depth));
    assert_eq!(parse(&inner(15)).files.len(), 1);
    assert_eq!(refused(&document(&inner(16))), Error::Depth(16));
    let files =
        |count: usize| (0..count).map(|n| format!("<file name='{n}'/>")).collect::<String>();
    assert_eq!(parse(&files(FILES_MAX)).files.len(), FILES_MAX);
    assert_eq!(refused(&document(&files(FILES_MAX + 1))), Error::TooManyFiles);
    let mirrors: String = (0..600).map(|n| format!("<url>http://m/{n}</url>")).collect();
    assert_eq!(file(&mirrors).mirrors.len(), MIRRORS_MAX);
    let many = format!("<x {}/><file name='a'/>", "y='1' ".repeat(100_000));
    assert_eq!(parse(&many).files.len(), 1);
}

// "The path MUST NOT contain any directory traversal" (RFC 5854 §4.1.2.1).
#[test]
fn names_stay_below_their_directory() {
    let name = |name: &str| {
        let found = parse(&format!("<file name=\"{name}\"/><file name='other'/>"));
        (found.files.len() == 2).then(|| found.files[0].name.clone())
    };
    for text in ["", "..", "a/../b", "/etc/passwd", "a//b", "a/", ".", "./a"] {
        assert_eq!(name(text), None, "{text}");
    }
    assert_eq!(name("a/b c"), Some("a/b c".to_owned()));
    assert_eq!(name("a\\b&#10;c&#x202e;"), Some("a_b_c".to_owned()));
    let twice = parse("<file name='a'><size>1</size></file><file name='a'/><file/>");
    assert_eq!((twice.files.len(), twice.left_out, twice.files[0].size), (1, 2, Some(1)));
}

/// Pieces of SHA-1, all alike.
fn pieces(kind: &str, length: &str, count: usize) -> String {
    let hash = format!("<hash>{}</hash>", "ab".repeat(if kind == "sha-1" { 20 } else { 32 }));
    format!("<pieces type='{kind}' length='{length}'>{}</pieces>", hash.repeat(count))
}

#[test]
fn pieces_have_to_fit_the_size() {
    let found = |inner: &str| file(&format!("{inner}<size>100</size>")).pieces;
    let good = found(&pieces("sha-1", "30", 4)).unwrap();
    assert_eq!((good.kind, good.piece_len, good.hashes.len()), (HashKind::Sha1, 30, 80));
    for (length, count) in [("30", 3), ("30", 5), ("0", 4), ("-1", 4), ("x", 4)] {
        assert_eq!(found(&pieces("sha-1", length, count)), None, "{length} {count}");
    }
    let broken = pieces("sha-1", "30", 4).replacen("ab", "zz", 1);
    assert_eq!(found(&broken), None);
    let both = pieces("sha-256", "50", 2) + &pieces("sha-1", "50", 2);
    assert_eq!(found(&both).unwrap().kind, HashKind::Sha1);
    assert_eq!(found(&pieces("sha-256", "50", 2)).unwrap().kind, HashKind::Sha256);
    assert_eq!(file(&pieces("sha-1", "30", 4)).pieces, None, "no size");
}

const MIRROR: &str = "<url>http://m/a.iso</url>";
const TORRENT: &str = "<metaurl mediatype='torrent'>http://t/a.torrent</metaurl>";

#[test]
fn pieces_make_a_torrent() {
    let inner = format!("<size>100</size>{MIRROR}{}", pieces("sha-1", "30", 4));
    let listed = file(&inner);
    let Ok(Way::Pieces { info }) = plan(&listed) else { panic!("{listed:?}") };
    let torrent = Torrent::from_info(&info).unwrap();
    assert_eq!(
        (torrent.name.as_str(), torrent.num_pieces, torrent.total_size()),
        ("a.iso", 4, 100)
    );
    assert!(torrent.is_single_file() && torrent.piece_hashes().iter().all(|byte| *byte == 0xab));
    assert_eq!(file_in(&torrent, &listed, None), Ok(FileIndex(0)));

    let listed = Listed { name: "d/e/a.iso".to_owned(), ..listed };
    let Ok(Way::Pieces { info }) = plan(&listed) else { panic!("{listed:?}") };
    let torrent = Torrent::from_info(&info).unwrap();
    assert_eq!(torrent.files.file(FileIndex(0)).unwrap().path.to_str(), Some("d/e/a.iso"));
}

#[test]
fn without_pieces_only_the_whole_can_be_judged() {
    let torrent = |inner: &str| match plan(&file(inner)) {
        Ok(Way::Whole { info, is_judged }) => (Torrent::unjudged(&info).unwrap(), is_judged),
        other => panic!("{other:?}"),
    };
    let way = |inner: &str| {
        let (torrent, is_judged) = torrent(inner);
        assert!(torrent.private && !torrent.is_judged());
        assert!(!torrent.shared_piece_hashes().are_known());
        (torrent.total_size(), torrent.piece_length, is_judged)
    };
    let sha1 = "ab".repeat(20);
    let hash = format!("<hash type='sha-1'>{sha1}</hash>");
    assert_eq!(way(&format!("<size>100</size>{MIRROR}{hash}")), (100, 256 << 10, true));
    assert_eq!(way(&format!("<size>4000000000</size>{MIRROR}")), (4_000_000_000, 2 << 20, false));
    let flat = pieces("sha-256", "50", 2);
    assert_eq!(way(&format!("<size>100</size>{MIRROR}{flat}")), (100, 256 << 10, false));
    assert_eq!(way(&format!("<size>0</size>{MIRROR}")), (0, 256 << 10, false));
    let most = format!("<size>{}</size>{MIRROR}", i64::MAX);
    assert_eq!(plan(&file(&most)), Err(Unusable::TooLong(i64::MAX as u64)));
    // What is to have another hash is another file, of which nothing is kept for this one.
    let hashes = ["ab", "cd"].map(|hex| format!("<hash type='sha-1'>{}</hash>", hex.repeat(20)));
    let [one, other] = hashes.map(|hash| torrent(&format!("<size>9</size>{MIRROR}{hash}")).0);
    assert_ne!(one.info_hash_v1, other.info_hash_v1);
    assert_eq!(plan(&file(MIRROR)), Err(Unusable::NoSize));
    assert_eq!(plan(&file(&format!("<size>-1</size>{MIRROR}"))), Err(Unusable::NoSize));
    assert_eq!(plan(&file("<size>100</size>")), Err(Unusable::NoSource));
}

#[test]
fn a_torrent_decides_and_mirrors_begin_when_they_can_be_judged() {
    let has_meanwhile = |inner: &str| match plan(&file(inner)) {
        Ok(Way::Torrent { meanwhile, .. }) => meanwhile.is_some(),
        other => panic!("{other:?}"),
    };
    let pieces = pieces("sha-1", "30", 4);
    assert!(has_meanwhile(&format!("<size>100</size>{TORRENT}{MIRROR}{pieces}")));
    assert!(!has_meanwhile(&format!("<size>100</size>{TORRENT}{MIRROR}")));
    assert!(!has_meanwhile(&format!("<size>100</size>{TORRENT}{pieces}")), "no mirror");
    assert!(!has_meanwhile(&format!("{TORRENT}{MIRROR}")));
    let magnet = "<url>magnet:?xt=urn:btih:x</url>";
    assert!(!has_meanwhile(magnet), "mirrors never wait for a magnet, which is all there is here");
}

/// A torrent with files of these lengths.
fn torrent(files: &[(&str, u64)]) -> Torrent {
    let entry = |(path, length): &(&str, u64)| {
        let path: String = path.split('/').map(|it| format!("{}:{it}", it.len())).collect();
        format!("d6:lengthi{length}e4:pathl{path}ee")
    };
    let entries: String = files.iter().map(entry).collect();
    let hashes = "h".repeat(20);
    let info = format!("d5:filesl{entries}e4:name1:t12:piece lengthi16384e6:pieces20:{hashes}e");
    Torrent::from_info(info.as_bytes()).unwrap()
}

// Fedora's torrents hold an image and its checksums.
#[test]
fn the_file_of_a_torrent_is_found() {
    let listed = |size| Listed { name: "d/a.iso".to_owned(), size, ..Listed::default() };
    let both = torrent(&[("a.iso", 100), ("CHECKSUM", 7), ("old/a.iso", 99)]);
    assert_eq!(file_in(&both, &listed(Some(100)), None), Ok(FileIndex(0)));
    assert_eq!(file_in(&both, &listed(Some(99)), None), Ok(FileIndex(2)));
    assert_eq!(
        file_in(&both, &listed(None), None),
        Err(Unusable::NotInTorrent),
        "two of that name"
    );
    assert_eq!(file_in(&both, &listed(Some(7)), None), Err(Unusable::NotInTorrent));
    assert_eq!(file_in(&both, &listed(None), Some("old/a.iso")), Ok(FileIndex(2)));
    assert_eq!(file_in(&both, &listed(None), Some("t/CHECKSUM")), Ok(FileIndex(1)));
    assert_eq!(file_in(&both, &listed(None), Some("b")), Err(Unusable::NotInTorrent));
    let other = Unusable::OtherSize { listed: 100, torrent: 7 };
    assert_eq!(file_in(&both, &listed(Some(100)), Some("CHECKSUM")), Err(other));
    let single = torrent(&[("x", 100)]);
    assert_eq!(file_in(&single, &listed(Some(100)), None), Ok(FileIndex(0)), "of any name");
}
