//! `peers.ini` and `file.ini`: as the course's Python scripts write them, as people do, and
//! as neither should.

use std::net::SocketAddrV4;

use proptest::prelude::*;

use crate::chunk::ini::{FileDescription, Peers};
use crate::chunk::wire::{ChunkHash, ListedChunk};

const PEERS: &str = "\
[tracker]
ip_address = 127.0.0.1
port_number = 8000

[alice]
ip_address = 127.0.0.1
port_number = 8001

[bob]
ip_address = 10.1.2.3
port_number = 8002
";

const FILE: &str = "\
[description]
filename = test.txt
chunks_count = 3

[chunks]
0 = 7b1c9c5713f25e3ff8f1d84b6dfa01045f67fcc7
1 = 9473c0216c709b1d24e8089626900a0343cdee36
2 = bd0be5d2b74e26ec4430c23c806dfd646e610cbb

[chunks_peers]
0 = alice
1 = alice, bob
2 = bob
";

fn address(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn hash(text: &str) -> ChunkHash {
    text.parse().unwrap()
}

fn peers(text: &str) -> Peers {
    Peers::parse(text).unwrap()
}

fn file(text: &str) -> FileDescription {
    FileDescription::parse(text).unwrap()
}

#[track_caller]
fn refuses(text: &str, said: &str) {
    assert_eq!(FileDescription::parse(text).unwrap_err().to_string(), said);
}

#[test]
fn the_files_of_the_specification_are_read() {
    let read = peers(PEERS);
    assert_eq!(read.tracker(), Ok(address("127.0.0.1:8000")));
    assert_eq!(read.provider("alice"), Ok(address("127.0.0.1:8001")));
    assert_eq!(read.provider("bob"), Ok(address("10.1.2.3:8002")));
    assert_eq!(read.providers.len(), 2);

    let read = file(FILE);
    assert_eq!(read.filename, "test.txt");
    assert_eq!(read.chunks[0], hash("7b1c9c5713f25e3ff8f1d84b6dfa01045f67fcc7"));
    assert_eq!(read.chunks[2], hash("bd0be5d2b74e26ec4430c23c806dfd646e610cbb"));
    assert_eq!(read.holders, [vec!["alice"], vec!["alice", "bob"], vec!["bob"]]);
    assert_eq!(read.render(), FILE.to_owned(), "and written byte for byte");
}

#[test]
fn what_is_not_there_is_named() {
    let read = peers("[bob]\nip_address = 1.2.3.4\nport_number = 1\n");
    assert_eq!(read.tracker().unwrap_err().to_string(), "has no section [tracker]");
    assert_eq!(read.provider("alice").unwrap_err().to_string(), "has no section [alice]");
    let said = |text: &str| Peers::parse(text).unwrap_err().to_string();
    assert_eq!(said("[bob]\nip_address = 1.2.3.4\n"), "[bob] port_number: is missing");
    assert_eq!(said("[bob]\nip_address\nport_number = 1\n"), "[bob] ip_address: has no value");
    assert_eq!(
        said(&PEERS.replace("10.1.2.3", "10.1.2")),
        "[bob] ip_address: is not an IPv4 address such as 127.0.0.1"
    );
    assert_eq!(
        said(&PEERS.replace("8000", "80000")),
        "[tracker] port_number: is not a port number between 0 and 65535"
    );
    assert_eq!(said(&PEERS.replace("[bob]", "[alice]")), "has two sections [alice]");
    assert_eq!(
        said(&PEERS.replace("ip_address = 10.1.2.3", "Port_Number = 1")),
        "[bob] port_number: is there twice"
    );
    refuses("", "has no section [description]");
    refuses(&FILE.replace("[chunks]", "[chunk]"), "has no section [chunks]");
    refuses(&FILE.replace("filename = test.txt", ""), "[description] filename: is missing");
    refuses(&FILE.replace("test.txt", ""), "[description] filename: is empty");
}

#[test]
fn spaces_comments_and_line_ends_do_not_matter() {
    let expected = peers(PEERS);
    for text in [
        PEERS.trim_end().to_owned(),
        PEERS.replace('\n', "\r\n"),
        PEERS.replace('\n', "\r"),
        PEERS.replace('\n', " \n"),
        PEERS.replace('\n', "\n\n"),
        format!("\u{feff}{PEERS}"),
        format!("# of the course\n; 2024\n{PEERS}\n\n# end"),
        PEERS.replace(" = ", "="),
        PEERS.replace(" = ", " : "),
        PEERS.replace("ip_address", "IP_Address"),
        PEERS.replace("ip_address = ", "ip_address =\n\t"),
        PEERS.replace("ip_address = 127.0.0.1\n", "ip_address = 127.0.0.1\n  \n  \n"),
        format!("[DEFAULT]\nport_number = 8000\n{}", PEERS.replace("port_number = 8000\n", "")),
    ] {
        assert_eq!(Peers::parse(&text), Ok(expected.clone()), "{text:?}");
    }
    let expected = file(FILE);
    for text in [
        FILE.trim_end().to_owned(),
        FILE.replace('\n', "\r\n"),
        format!("\u{feff}{FILE}"),
        FILE.replace("alice, bob", " alice,bob , "),
        FILE.replace("alice, bob", "alice,\n    bob"),
        FILE.replace("7b1c9c", "7B1C9C"),
        FILE.replace("filename", "Filename"),
    ] {
        assert_eq!(FileDescription::parse(&text), Ok(expected.clone()), "{text:?}");
    }
}

#[test]
fn sections_are_told_apart_by_case_as_python_does() {
    let read = peers(&PEERS.replace("[bob]", "[Alice]"));
    assert_eq!(read.provider("Alice"), Ok(address("10.1.2.3:8002")));
    assert_eq!(read.provider("alice"), Ok(address("127.0.0.1:8001")));
}

#[test]
fn file_names_keep_every_letter() {
    for name in [
        "a;b.txt",
        "a ; b # c",
        "#1.txt",
        "; x",
        "# x",
        "[x].txt",
        "[description]",
        "a=b",
        "= a",
        ":a:b",
        "x]",
        "UPPER lower",
        "naïve 東京.iso",
        "a\tb",
        "\"q\"",
        "$HOME",
        "a  b",
    ] {
        let text = FILE.replace("test.txt", name);
        let read = file(&text);
        assert_eq!(read.filename, name);
        assert_eq!(read.render(), text);
    }
    // BasicInterpolation: a percent sign is written twice.
    let read = file(&FILE.replace("test.txt", "100%% of %%s %%%%.txt"));
    assert_eq!(read.filename, "100% of %s %%.txt");
    assert!(read.render().contains("filename = 100%% of %%s %%%%.txt\n"));
    // Written by hand, a single one can only be meant as it stands.
    assert_eq!(file(&FILE.replace("test.txt", "5%.txt")).filename, "5%.txt");
}

#[test]
fn names_that_no_value_can_say_are_changed_where_they_must() {
    let rendered = |name: &str| {
        let described = FileDescription { filename: name.to_owned(), ..file(FILE) };
        file(&described.render()).filename
    };
    assert_eq!(rendered("a\nb\rc"), "a_b_c");
    assert_eq!(rendered("  a b \u{2003}"), "__a b__");
    assert_eq!(rendered("\n[chunks]"), "_[chunks]");
    assert_eq!(rendered("\x1fa\x1c"), "_a_", "spaces for Python");
    assert_eq!(rendered("   "), "___");
}

#[test]
fn the_count_must_be_that_of_the_chunks() {
    let two = "2 = bd0be5d2b74e26ec4430c23c806dfd646e610cbb\n";
    refuses(&FILE.replace(two, ""), "[chunks] 2: is missing: chunks_count is 3");
    refuses(&FILE.replace("2 = bob\n", ""), "[chunks_peers] 2: is missing: chunks_count is 3");
    refuses(&FILE.replace("count = 3", "count = 2"), "[chunks] 2: is too many: chunks_count is 2");
    refuses(&format!("{FILE}more = x"), "[chunks_peers] more: is no chunk's number");
    refuses(&FILE.replace("1 = 94", "01 = 94"), "[chunks] 01: is no chunk's number");
    refuses(
        &FILE.replace("2 = bob", "3 = bob"),
        "[chunks_peers] 3: is too many: chunks_count is 3",
    );
    // Their order in the file means nothing: keys are numbers.
    let other = FILE.replace("1 = alice, bob\n2 = bob", "2 = bob\n1 = alice, bob");
    assert_eq!(FileDescription::parse(&other), FileDescription::parse(FILE));
    refuses(&FILE.replace("2 = bob", "1 = bob"), "[chunks_peers] 1: is there twice");
    refuses(&FILE.replace("1 = alice, bob", "1"), "[chunks_peers] 1: has no value");
    let not_a_number = "[description] chunks_count: is not a number between 0 and 65535";
    refuses(&FILE.replace("count = 3", "count = three"), not_a_number);
    refuses(&FILE.replace("count = 3", "count = 65536"), not_a_number);
    refuses(&FILE.replace("count = 3", "count = -1"), not_a_number);
    for bad in [
        "bd0b",
        "zd0be5d2b74e26ec4430c23c806dfd646e610cbb",
        "bd0be5d2b74e26ec4430c23c806dfd646e610cbb00",
    ] {
        refuses(
            &FILE.replace("bd0be5d2b74e26ec4430c23c806dfd646e610cbb", bad),
            "[chunks] 2: is not a SHA-1 of 40 hex digits",
        );
    }
}

#[test]
fn a_claim_of_many_chunks_is_believed_only_as_far_as_they_are_there() {
    refuses(
        &FILE.replace("count = 3", "count = 65535"),
        "[chunks] 3: is missing: chunks_count is 65535",
    );
    let no_chunks = "[description]\nfilename=a\nchunks_count=0\n[chunks]\n[chunks_peers]\n";
    assert_eq!(file(no_chunks).chunks, []);
}

#[test]
fn syntax_errors_name_the_line() {
    refuses(
        "[description\nfilename = a",
        "line 1: Found opening bracket for section name but no closing bracket",
    );
}

#[test]
fn a_listing_has_addresses_for_names() {
    let listed = file(FILE).listing(&peers(PEERS)).unwrap();
    assert_eq!(listed.filename, "test.txt");
    let (alice, bob) = (address("127.0.0.1:8001"), address("10.1.2.3:8002"));
    let expected = [vec![alice], vec![alice, bob], vec![bob]];
    let hashes = file(FILE).chunks;
    let chunk = |(hash, peers)| ListedChunk { hash, peers };
    assert_eq!(listed.chunks, hashes.into_iter().zip(expected).map(chunk).collect::<Vec<_>>());

    let carol = file(&FILE.replace("alice, bob", "alice, carol"));
    assert_eq!(
        carol.listing(&peers(PEERS)).unwrap_err().to_string(),
        "[chunks_peers] 1: names carol, who has no section in peers.ini"
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        filename in "[^\r\n]{0,20}[!-~東é]",
        chunks in proptest::collection::vec(any::<[u8; 20]>(), 0..5),
        names in proptest::collection::vec("[a-z%;#=.\\[][a-z%;#= .]{0,5}[a-z%]", 0..4),
    ) {
        let described = FileDescription {
            filename: format!("x{filename}"),
            holders: vec![names; chunks.len()],
            chunks: chunks.into_iter().map(ChunkHash).collect(),
        };
        prop_assert_eq!(FileDescription::parse(&described.render()), Ok(described));
    }

    #[test]
    fn no_text_brings_the_reader_down(text in "[\\[\\]=:a-z0-9 \n\r%;#]{0,200}") {
        let _ = (Peers::parse(&text), FileDescription::parse(&text));
    }
}
