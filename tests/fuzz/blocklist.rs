//! Blocklists of every format, with any bytes.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pigeon::net::blocklist::line::{Line, Range};
use pigeon::net::blocklist::parse::{Flaw, List};
use pigeon::net::blocklist::table::Table;

/// As it comes over a bad line.
struct ByByte<'a>(&'a [u8]);

impl Read for ByByte<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let most = room.len().min(1);
        self.0.read(&mut room[..most])
    }
}

/// A list in one go and byte by byte.
pub fn blocklist(bytes: &[u8]) {
    let read = List::read(bytes, true);
    let slowly = List::read(ByByte(bytes), true);
    match (&read, slowly) {
        (Ok(list), Ok(slowly)) => assert_eq!(*list, slowly),
        (Err(why), Err(slowly)) => assert_eq!(why.to_string(), slowly.to_string()),
        _ => panic!("whether it is a list depends on how it comes"),
    }
    assert!(!matches!(read, Err(Flaw::Broad)), "it is forced");
    let Ok(list) = read else { return };
    let (starts, ends, six) = list.table.parts();
    assert!(list.table.count() > 0);
    let again = Table::of_sorted(starts.into(), ends.into(), six.into());
    assert!(again.is_some_and(|again| again == *list.table), "in order, and apart");
    let has = |ip: IpAddr| list.table.contains(ip);
    for (first, last) in starts.iter().zip(ends) {
        assert!([*first, *last].iter().all(|ip| has(Ipv4Addr::from_bits(*ip).into())));
        let around = [first.checked_sub(1), last.checked_add(1)];
        assert!(!around.into_iter().flatten().any(|ip| has(Ipv4Addr::from_bits(ip).into())));
    }
    if bytes.is_ascii() && !bytes.starts_with(b"PK") && !bytes.starts_with(b"BZh") {
        lines(bytes, &list);
    }
}

/// Text blocks what its lines say.
fn lines(bytes: &[u8], list: &List) {
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| line.len() < 16_000) {
        let ends: [IpAddr; 2] = match Line::parse(line) {
            Line::Blocked(Range::Four(first, last)) => {
                [first, last].map(|ip| Ipv4Addr::from_bits(ip).into())
            }
            Line::Blocked(Range::Six(first, last)) => {
                [first, last].map(|ip| Ipv6Addr::from_bits(ip).into())
            }
            Line::Empty | Line::Allowed | Line::Bad => continue,
        };
        for ip in ends {
            // A range of IPv6 may begin among those that mean IPv4, which it does not block.
            let is_said = list.table.contains(ip) || ip.to_canonical() != ip;
            assert!(is_said, "{ip} of {line:?}");
        }
    }
}
