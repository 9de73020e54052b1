//! Lists as they lie in files: all formats, packed and not, torn and endless ones.

use std::io::Write as _;
use std::net::IpAddr;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use super::*;

fn read(bytes: &[u8]) -> Result<List, Flaw> {
    List::read(bytes, false)
}

fn has(list: &List, ip: &str) -> bool {
    list.table.contains(ip.parse::<IpAddr>().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// The head of a file in a zip archive, and what follows it.
fn zip(method: u16, flags: u16, len: usize, packed: &[u8], behind: &[u8]) -> Vec<u8> {
    let mut archive = b"PK\x03\x04\x14\0".to_vec();
    archive.extend([flags.to_le_bytes(), method.to_le_bytes()].concat());
    archive.extend([0; 8]);
    archive.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
    archive.extend(u32::try_from(len).unwrap().to_le_bytes());
    archive.extend([5, 0, 2, 0]);
    archive.extend(b"a.p2pxx");
    archive.extend(packed);
    archive.extend(behind);
    archive
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

const MIXED: &[u8] = b"\xef\xbb\xbf# a list\r\n\
    a:b:1.2.3.4-1.2.3.5\r\n\
    001.002.003.006 - 001.002.003.009 , 000 , x\r\n\
    1.2.3.10 - 1.2.3.11 , 200 , allowed\n\
    10.0.0.0/8\n\
    2001:db8::/32\n\
    what?\n\
    a:1.2.3.9-1.2.3.4\n\
    // end\n\
    9.9.9.9";

fn assert_mixed(list: &List) {
    // What touches is one.
    assert_eq!((list.table.count(), list.bad), (4, 2));
    for blocked in ["1.2.3.4", "1.2.3.9", "10.9.8.7", "2001:db8:9::1", "9.9.9.9", "::ffff:9.9.9.9"]
    {
        assert!(has(list, blocked), "{blocked}");
    }
    for free in ["1.2.3.3", "1.2.3.10", "11.0.0.0", "2001:db9::", "9.9.9.10", "::1"] {
        assert!(!has(list, free), "{free}");
    }
}

#[test]
fn a_file_may_mix_formats_and_bad_lines_harm_no_others() {
    assert_mixed(&read(MIXED).unwrap());
}

#[test]
fn packed_lists_are_as_good_and_torn_ones_are_refused() {
    let packed = gzip(MIXED);
    assert_mixed(&read(&packed).unwrap());
    let (one, two) = MIXED.split_at(40);
    assert_mixed(&read(&[gzip(one), gzip(two)].concat()).unwrap());
    for cut in [11, packed.len() / 2, packed.len() - 1] {
        assert!(matches!(read(&packed[..cut]), Err(Flaw::Cut)), "{cut}");
    }
    let mut wrong = packed.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(matches!(read(&wrong), Err(Flaw::Unreadable(_))), "its length is not that");
}

#[test]
fn the_only_file_of_a_zip_archive_is_read_and_no_other() {
    let (packed, len) = (deflate(MIXED), MIXED.len());
    let lengths = [0; 16];
    for behind in [&b"PK\x01\x02 and so on"[..], &[&lengths[..], b"PK\x01\x02"].concat()] {
        assert_mixed(&read(&zip(8, 0, len, &packed, behind)).unwrap());
        assert_mixed(&read(&zip(8, 8, 0, &packed, behind)).unwrap());
        assert_mixed(&read(&zip(0, 0, len, MIXED, behind)).unwrap());
    }
    let said = |archive: &[u8]| read(archive).unwrap_err().to_string();
    let several = zip(8, 8, 0, &packed, &[&lengths[..], b"PK\x03\x04"].concat());
    assert_eq!(said(&several), "it is a zip archive of several files; unpack it first");
    assert!(said(&zip(8, 1, len, &packed, b"")).contains("a password"));
    assert!(said(&zip(12, 0, len, &packed, b"")).contains("an unusual way"));
    assert!(said(&zip(0, 8, 0, MIXED, b"")).contains("an unusual way"));
    let whole = zip(8, 0, len, &packed, b"PK\x01\x02");
    for cut in [12, 33, whole.len() - 1, whole.len() - 4, whole.len() - 9] {
        assert!(matches!(read(&whole[..cut]), Err(Flaw::Cut)), "{cut}");
    }
    let stored = zip(0, 0, len, MIXED, b"PK\x01\x02");
    assert!(matches!(read(&stored[..stored.len() - 9]), Err(Flaw::Cut)));
    for other in
        [&b"7z\xbc\xaf\x27\x1c"[..], b"Rar!\x1a\x07", b"\xfd7zXZ\0", b"BZh91AY", b"PK\x05\x06"]
    {
        assert!(said(other).ends_with("; unpack it first"));
    }
}

/// Names and ranges as PeerGuardian writes them.
fn p2b(version: u8, ranges: &[(&[u8], u32, u32)]) -> Vec<u8> {
    let mut bytes = [&P2B[..], &[version]].concat();
    let addresses = |first: u32, last: u32| [first.to_be_bytes(), last.to_be_bytes()].concat();
    let count = u32::try_from(ranges.len()).unwrap().to_be_bytes();
    if version == 3 {
        bytes.extend(count);
        ranges.iter().for_each(|(name, ..)| bytes.extend([*name, &[0]].concat()));
        bytes.extend(count);
    }
    for (at, (name, first, last)) in (0_u32..).zip(ranges) {
        match version {
            3 => bytes.extend(at.to_be_bytes()),
            _ => bytes.extend([*name, &[0]].concat()),
        }
        bytes.extend(addresses(*first, *last));
    }
    bytes
}

#[test]
fn binary_lists_of_three_versions_are_read_whole_or_not_at_all() {
    let ranges: [(&[u8], u32, u32); 4] =
        [(b"", 0x0102_0304, 0x0102_0309), (b"caf\xe9\n", 7, 6), (b"x", !0, !0), (b"y", 9, 9)];
    for version in 1..=3 {
        let bytes = p2b(version, &ranges);
        let zipped = zip(8, 8, 0, &deflate(&bytes), b"PK\x01\x02");
        for bytes in [bytes.clone(), gzip(&bytes), zipped] {
            let list = read(&bytes).unwrap();
            assert_eq!((list.table.count(), list.bad), (3, 1), "{version}");
            assert!(
                has(&list, "1.2.3.9") && has(&list, "255.255.255.255") && has(&list, "0.0.0.9")
            );
        }
        let mut torn = gzip(&bytes);
        *torn.last_mut().unwrap() ^= 1;
        assert!(read(&torn).is_err(), "{version}");
        for cut in [bytes.len() - 1, bytes.len() - 8] {
            assert!(matches!(read(&bytes[..cut]), Err(Flaw::Cut)), "{version} {cut}");
        }
    }
    assert!(matches!(read(&p2b(4, &ranges)), Err(Flaw::Version(4))));
    let begin = std::time::Instant::now();
    let endless = [&P2B[..], &[3], &[0xff; 4], b"a\0b\0"].concat();
    assert!(matches!(read(&endless), Err(Flaw::Cut)), "names that do not come");
    assert!(begin.elapsed().as_secs() < 5, "they are not looked for one by one");
}

#[test]
fn a_list_of_nothing_is_an_error_and_never_an_empty_list() {
    for (text, told) in [("", 0), ("# only\n\n// this\n", 0), ("<html>\n<p>404</p>\n", 2)] {
        let refused = read(text.as_bytes());
        assert!(matches!(refused, Err(Flaw::Nothing { bad }) if bad == told), "{text}");
    }
    let allowed = read(b"1.2.3.4 - 1.2.3.5 , 200 , x");
    assert!(matches!(allowed, Err(Flaw::Nothing { bad: 0 })));
    assert!(matches!(read(&p2b(2, &[])), Err(Flaw::Nothing { bad: 0 })));
}

#[test]
fn a_name_that_begins_as_an_archive_does_is_a_name() {
    for name in ["PK Networks", "BZh Online", "P2B", "\u{1f}"] {
        assert!(has(&read(format!("{name}:1.2.3.4-1.2.3.5").as_bytes()).unwrap(), "1.2.3.4"));
    }
}

#[test]
fn what_blocks_more_than_half_of_the_world_has_to_be_meant() {
    let half = b"0.0.0.0/1\n255.255.255.255";
    assert!(matches!(read(half), Err(Flaw::Broad)));
    assert_eq!(List::read(&half[..], true).unwrap().table.count(), 2);
    assert!(read(b"0.0.0.0/1").is_ok());
    assert!(matches!(read(b"a:0.0.0.0-255.255.255.255"), Err(Flaw::Broad)));
}

struct Over(Vec<u8>, usize);

impl Read for Over {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        for place in &mut *room {
            *place = self.0[self.1];
            self.1 = (self.1 + 1) % self.0.len();
        }
        Ok(room.len())
    }
}

/// The same bytes over and over, as many as are asked for.
fn repeated(bytes: &[u8], len: u64) -> io::Take<Over> {
    Over(bytes.to_vec(), 0).take(len)
}

#[test]
fn bombs_end_at_their_limits() {
    const MOST: u64 = 1 << 20;
    let bytes = |source: &mut dyn Read| List::read_within(MOST, source, false);
    let nothing = |flaw| matches!(flaw, Err(Flaw::Nothing { .. }));
    assert!(nothing(bytes(&mut repeated(b"\n", MOST))));
    assert!(matches!(bytes(&mut repeated(b"\n", MOST + 1)), Err(Flaw::TooLong)), "lines");
    let bomb = |len| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        io::copy(&mut repeated(b"\0", len), &mut packer).unwrap();
        packer.finish().unwrap()
    };
    assert!(nothing(bytes(&mut bomb(MOST).as_slice().take(MOST))));
    assert!(
        matches!(bytes(&mut bomb(MOST + 1).as_slice().take(MOST)), Err(Flaw::TooLong)),
        "unpacked"
    );
    // Packed members that hold nothing, and never end.
    assert!(matches!(bytes(&mut repeated(&gzip(b""), u64::MAX)), Err(Flaw::TooLong)), "packed");
}

#[test]
fn a_line_without_end_is_one_bad_line() {
    let long = "x".repeat(40_000);
    let list =
        read(format!("{long}\n1.2.3.4\n{long}:5.6.7.8-5.6.7.9\n1.2.3.5").as_bytes()).unwrap();
    assert_eq!((list.bad, list.table.count()), (2, 1));
    assert!(has(&list, "1.2.3.5") && !has(&list, "5.6.7.8"));
}

#[test]
fn one_line_is_no_lines() {
    let why = |text: &str| List::read(text.as_bytes(), false).unwrap_err().to_string();
    assert!(why("x\n").ends_with("(1 line cannot be read)"), "{}", why("x\n"));
    assert!(why("x\ny\n").ends_with("(2 lines cannot be read)"), "{}", why("x\ny\n"));
}
