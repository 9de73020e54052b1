//! A line of a blocklist, whichever of the usual formats it is written in: PeerGuardian's P2P text
//! (`name:1.2.3.4-1.2.3.5`), eMule's DAT (`001.002.003.004 - 001.002.003.005 , 000 , name`),
//! networks (`1.2.3.0/24`, `2001:db8::/32`), and single addresses. Every line is judged by itself,
//! so that files may mix them. Not here: where lines come from, and what becomes of ranges.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest text of an IPv6 address: of one that ends in the digits of an IPv4 one.
const V6_LEN_MAX: usize = 45;
/// Addresses with a higher level in a DAT are allowed by whoever made it, as eMule and qBittorrent
/// have it.
const LEVEL_MAX: u32 = 127;

/// Addresses, from the first to the last. None is left out at either end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    /// Of IPv4.
    Four(u32, u32),
    /// Of IPv6, and not such as mean IPv4 ones.
    Six(u128, u128),
}

/// What a line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// Nothing: it is empty, or a comment.
    Empty,
    /// To block these.
    Blocked(Range),
    /// That these are allowed.
    Allowed,
    /// Nothing that can be read.
    Bad,
}

impl Line {
    /// Reads a line, with or without its end. Names may be in any encoding.
    pub fn parse(line: &[u8]) -> Self {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        if line.is_empty() || is_comment(line) {
            return Self::Empty;
        }
        let last = line.iter().rposition(|byte| *byte == b':');
        if let Some((range, b"")) = last.and_then(|at| four_range(&line[at + 1..])) {
            return Self::blocked(range);
        }
        if let Some((first, rest)) = four(line) {
            return Self::of_four(line, first, rest);
        }
        last.and_then(|_| six_range(line)).map_or(Self::Bad, Self::blocked)
    }

    fn blocked(range: Range) -> Self {
        match range {
            Range::Four(first, last) if first <= last => Self::Blocked(range),
            Range::Six(first, last) if first <= last => Self::Blocked(unmapped(first, last)),
            _ => Self::Bad,
        }
    }

    /// One that begins with an IPv4 address.
    fn of_four(line: &[u8], first: u32, rest: &[u8]) -> Self {
        if ends(rest) {
            return Self::blocked(Range::Four(first, first));
        }
        if let Some(network) = rest.strip_prefix(b"/") {
            let range = prefix(network, 32).map(|len| {
                let hosts = u32::MAX.checked_shr(len).unwrap_or(0);
                Range::Four(first & !hosts, first | hosts)
            });
            return range.map_or(Self::Bad, Self::blocked);
        }
        match four_range(line) {
            Some((range, rest)) if ends(rest) => Self::blocked(range),
            Some((range, rest)) => match rest.split_first() {
                Some((b',', rest)) if level(rest) > LEVEL_MAX => Self::Allowed,
                Some((b',', _)) => Self::blocked(range),
                _ => Self::Bad,
            },
            None => Self::Bad,
        }
    }
}

/// The level of a DAT's line; without one that can be read it is blocked.
fn level(rest: &[u8]) -> u32 {
    let field = rest.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    std::str::from_utf8(field).ok().and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn is_comment(text: &[u8]) -> bool {
    matches!(text, [b'#' | b';', ..] | [b'/', b'/', ..])
}

/// Does the line say nothing more?
fn ends(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    rest.is_empty() || is_comment(rest)
}

/// An IPv4 address at the beginning, and what follows. Its numbers are decimal, also where zeros
/// stand before them.
fn four(text: &[u8]) -> Option<(u32, &[u8])> {
    let (mut ip, mut rest) = (0, text);
    for part in 0..4 {
        if part > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let len = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let digits = rest.get(..len).filter(|digits| (1..=3).contains(&digits.len()))?;
        let value = digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        ip = ip << 8 | u8::try_from(value).map(u32::from).ok()?;
        rest = rest.get(len..)?;
    }
    // What goes on is no such address: 1.2.3.4.5, or the end of a name.
    let goes_on = rest.first().is_some_and(|byte| *byte == b'.' || byte.is_ascii_alphanumeric());
    (!goes_on).then_some((ip, rest))
}

/// `1.2.3.4 - 1.2.3.5`, and what follows.
fn four_range(text: &[u8]) -> Option<(Range, &[u8])> {
    let (first, rest) = four(text.trim_ascii_start())?;
    let rest = rest.trim_ascii_start().strip_prefix(b"-")?;
    let (last, rest) = four(rest.trim_ascii_start())?;
    Some((Range::Four(first, last), rest.trim_ascii_start()))
}

/// The length of a network's prefix.
fn prefix(text: &[u8], most: u32) -> Option<u32> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, _) = text.split_at_checked(len).filter(|(_, rest)| ends(rest))?;
    let len: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (len <= most).then_some(len)
}

/// What a line with colons means that is not of IPv4.
fn six_range(line: &[u8]) -> Option<Range> {
    let word_len = line.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'/');
    let (word, rest) = line.split_at(word_len.unwrap_or(line.len()));
    match (six(word), rest.strip_prefix(b"/")) {
        (Some(first), Some(len)) => {
            let hosts = u128::MAX.checked_shr(prefix(len, 128)?).unwrap_or(0);
            return Some(Range::Six(first & !hosts, first | hosts));
        }
        (Some(first), None) if ends(rest) => return Some(Range::Six(first, first)),
        _ => {}
    }
    let dash = line.iter().rposition(|byte| *byte == b'-')?;
    let last = six(line.get(dash + 1..)?)?;
    // A name may end where an address could begin, `bad:2001:db8::-…`, and an address may begin
    // with what could be a name. What is meant is the address that is nearer to the last one.
    let before = line.get(..dash)?.trim_ascii_end();
    let tail = before.len().saturating_sub(V6_LEN_MAX + 1);
    let begins = (tail..before.len()).filter(|at| before[*at] == b':').map(|at| at + 1);
    let starts = begins.chain((tail == 0).then_some(0)).filter_map(|at| six(&before[at..]));
    starts.min_by_key(|first| first.abs_diff(last)).map(|first| Range::Six(first, last))
}

fn six(text: &[u8]) -> Option<u128> {
    let text = text.trim_ascii();
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= V6_LEN_MAX)?;
    text.parse().ok().map(Ipv6Addr::to_bits)
}

/// Addresses of IPv6 that mean ones of IPv4 are those.
fn unmapped(first: u128, last: u128) -> Range {
    let four = |ip| Ipv6Addr::from_bits(ip).to_ipv4_mapped().map(Ipv4Addr::to_bits);
    match (four(first), four(last)) {
        (Some(first), Some(last)) => Range::Four(first, last),
        _ => Range::Six(first, last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Line {
        Line::parse(line.as_bytes())
    }

    fn four(first: &str, last: &str) -> Line {
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap().to_bits();
        Line::Blocked(Range::Four(ip(first), ip(last)))
    }

    fn six(first: &str, last: &str) -> Line {
        let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
        Line::Blocked(Range::Six(ip(first), ip(last)))
    }

    #[test]
    fn names_of_p2p_text_may_hold_colons_dashes_and_addresses() {
        let range = four("1.2.3.4", "1.2.3.5");
        for name in ["", "a", "a:b", "Some - Org: x", "http://x.example/", "9.9.9.9-9.9.9.10", ":"]
        {
            assert_eq!(said(&format!("{name}:1.2.3.4-1.2.3.5")), range, "{name}");
            assert_eq!(said(&format!(" {name}: 1.2.3.4 - 1.2.3.5 \r\n")), range, "{name}");
        }
        let latin = b"caf\xe9, Montr\xe9al:1.2.3.4-1.2.3.5";
        assert_eq!(Line::parse(latin), range);
        assert_eq!(Line::parse(b"\xef\xbb\xbfa:1.2.3.4-1.2.3.5"), range);
        assert_eq!(said("everything:0.0.0.0-255.255.255.255"), four("0.0.0.0", "255.255.255.255"));
        assert_eq!(said("last:255.255.255.255-255.255.255.255"), said("255.255.255.255"));
    }

    #[test]
    fn zeros_before_a_number_of_dat_are_decimal_and_levels_from_128_on_are_allowed() {
        let range = four("1.2.3.4", "1.2.3.10");
        assert_eq!(said("001.002.003.004 - 001.002.003.010 , 000 , a, b"), range);
        assert_eq!(said("001.002.003.004-001.002.003.010,127,x:y"), range);
        assert_eq!(said("001.002.003.004 - 001.002.003.010 , , x"), range, "it is blocked");
        assert_eq!(said("001.002.003.004 - 001.002.003.010"), range);
        for level in ["128", "255", " 200 "] {
            assert_eq!(said(&format!("1.2.3.4 - 1.2.3.10 ,{level}, x")), Line::Allowed, "{level}");
        }
        assert_eq!(said("010.000.000.008 - 010.000.000.009 , 0 , x"), four("10.0.0.8", "10.0.0.9"));
    }

    #[test]
    fn networks_of_both_families_have_all_their_addresses() {
        assert_eq!(said("10.1.2.3/8"), four("10.0.0.0", "10.255.255.255"));
        assert_eq!(said("10.1.2.3/32"), four("10.1.2.3", "10.1.2.3"));
        assert_eq!(said("0.0.0.0/0"), four("0.0.0.0", "255.255.255.255"));
        assert_eq!(said("1.10.16.0/20 ; SBL256894"), four("1.10.16.0", "1.10.31.255"));
        assert_eq!(
            said("2001:db8::1/32"),
            six("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")
        );
        assert_eq!(said("2001:db8::1/128 # x"), six("2001:db8::1", "2001:db8::1"));
        assert_eq!(said("::/0"), six("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        for bad in ["1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/8x", "::1/129", "::1/", "1/8"]
        {
            assert_eq!(said(bad), Line::Bad, "{bad}");
        }
    }

    #[test]
    fn names_before_ipv6_addresses_are_told_from_them() {
        let range = six("2001:db8::1", "2001:db8::ff");
        for name in ["", "a:", "bad:", "Some: Org:", "2002:", "an-other:", "a:b:c:d:e:f:0:"] {
            assert_eq!(said(&format!("{name}2001:db8::1-2001:db8::ff")), range, "{name}");
            assert_eq!(said(&format!("{name}2001:db8::1 - 2001:db8::ff")), range, "{name}");
        }
        assert_eq!(said("2001:db8::1"), six("2001:db8::1", "2001:db8::1"));
        assert_eq!(said("::ffff:1.2.3.4"), four("1.2.3.4", "1.2.3.4"));
        assert_eq!(said("::ffff:1.2.3.4-::ffff:1.2.3.9"), four("1.2.3.4", "1.2.3.9"));
        assert_eq!(said("x:::ffff:0:0-::ffff:ffff:ffff"), four("0.0.0.0", "255.255.255.255"));
    }

    #[test]
    fn what_says_nothing_is_told_from_what_cannot_be_read() {
        for empty in
            ["", "  ", "\r\n", "# a:1.2.3.4-1.2.3.5", "// x", "; x", "\u{feff}", "\u{feff}#"]
        {
            assert_eq!(said(empty), Line::Empty, "{empty:?}");
        }
        for bad in [
            "x",
            "a:1.2.3.5-1.2.3.4",
            "1.2.3.5 - 1.2.3.4 , 0 , x",
            "a:1.2.3-1.2.3.4",
            "a:1.2.3.256-1.2.4.0",
            "a:0001.2.3.4-1.2.3.5",
            "1.2.3.4.5",
            "1.2.3.4 x",
            "1.2.3.4-",
            "1.2.3.4a",
            "a:b:c-d:e",
            "2001:db8::2-2001:db8::1",
            "2001:db8::1%eth0",
            "<html>",
            "a:1.2.3.4-1.2.3.5x",
            "\0\0\0",
        ] {
            assert_eq!(said(bad), Line::Bad, "{bad:?}");
        }
        assert_eq!(said("1.2.3.4 # one"), four("1.2.3.4", "1.2.3.4"));
    }
}
