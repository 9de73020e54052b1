//! Questions to a name server and its answers (RFC 1035): the addresses of one name, nothing else.
//! Whatever an answer says of other names than were asked for, or were led to, is not heard. Not
//! here: who is asked, and over what.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of record that holds an IPv4 address.
pub(super) const A: u16 = 1;
/// The kind of record that holds an IPv6 address (RFC 3596).
pub(super) const AAAA: u16 = 28;
/// The kind that says that a name is another's.
const CNAME: u16 = 5;
const INTERNET: u16 = 1;
const HEAD_LEN: usize = 12;
/// "255 octets or less", and 63 for a label.
const NAME_LEN_MAX: usize = 255;
const LABEL_LEN_MAX: usize = 63;
/// Pointers that are followed in one name.
const POINTERS_MAX: usize = 32;
/// Records of an answer that are looked at.
const RECORDS_MAX: usize = 128;
/// Addresses that are kept: more than anybody tries.
const ADDRESSES_MAX: usize = 32;

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Its addresses, which may be none.
    Addresses(Vec<IpAddr>),
    /// The answer did not fit a datagram: to be asked over TCP.
    Cut,
    /// There is no such name.
    NoName,
    /// The server cannot or does not want to say.
    Failed(u8),
}

/// A question for records of `kind`; none when no name can be like that.
pub(super) fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(HEAD_LEN + name.len() + 6);
    out.extend(id.to_be_bytes());
    // "Recursion Desired", one question.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let name = name.strip_suffix('.').unwrap_or(name);
    for label in name.split('.') {
        let is_label = (1..=LABEL_LEN_MAX).contains(&label.len()) && label.is_ascii();
        out.push(u8::try_from(label.len()).ok().filter(|_| is_label)?);
        out.extend(label.as_bytes());
    }
    out.push(0);
    if out.len() - HEAD_LEN > NAME_LEN_MAX {
        return None;
    }
    out.extend(kind.to_be_bytes());
    out.extend(INTERNET.to_be_bytes());
    Some(out)
}

/// What `message` says to the `question`; none when it is no answer to that.
pub(super) fn answer(message: &[u8], question: &[u8]) -> Option<Answer> {
    let asked = question.get(HEAD_LEN..)?;
    let name = asked.get(..asked.len().checked_sub(4)?)?;
    let kind = u16_at(asked, asked.len() - 4)?;
    let is_answer = message.get(2)? & 0x80 != 0 && message.get(..2)? == question.get(..2)?;
    let repeats = message.get(HEAD_LEN..HEAD_LEN + asked.len())?;
    // Whose case is mixed by the server is the same name.
    if !is_answer || u16_at(message, 4)? != 1 || !repeats.eq_ignore_ascii_case(asked) {
        return None;
    }
    let flags = u16_at(message, 2)?;
    match flags & 0xf {
        0 => {}
        3 => return Some(Answer::NoName),
        other => return Some(Answer::Failed(u8::try_from(other).unwrap_or(u8::MAX))),
    }
    if flags & 0x200 != 0 {
        return Some(Answer::Cut);
    }
    let records = usize::from(u16_at(message, 6)?).min(RECORDS_MAX);
    let (_, mut wanted) = read_name(name, 0)?;
    let mut at = HEAD_LEN + asked.len();
    let mut found = Vec::new();
    for _ in 0..records {
        let Some((end, owner)) = read_name(message, at) else { break };
        let (Some(of), Some(len)) = (u16_at(message, end), u16_at(message, end + 8)) else { break };
        let begin = end + 10;
        let Some(data) = message.get(begin..begin + usize::from(len)) else { break };
        at = begin + data.len();
        // A name's aliases stand before what they lead to.
        if !owner.eq_ignore_ascii_case(&wanted) {
            continue;
        }
        if of == CNAME
            && let Some((_, target)) = read_name(message, begin)
        {
            wanted = target;
        } else if of == kind
            && found.len() < ADDRESSES_MAX
            && let Some(ip) = ip_of(data)
        {
            found.push(ip);
        }
    }
    Some(Answer::Addresses(found))
}

fn ip_of(data: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(data).ok().map(|six| Ipv6Addr::from(six).into())
}

/// The name at `at`, its labels with dots behind them, and where it ends there. Pointers lead
/// backwards only, so there is an end.
fn read_name(message: &[u8], at: usize) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut end, mut name) = (at, None, Vec::new());
    for _ in 0..POINTERS_MAX + NAME_LEN_MAX {
        let len = *message.get(at)?;
        match len {
            0 => return Some((end.unwrap_or(at + 1), name)),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(len))?;
                name.extend(label);
                name.push(b'.');
                if name.len() > NAME_LEN_MAX {
                    return None;
                }
                at += 1 + label.len();
            }
            0xc0.. => {
                let target = usize::from(u16_at(message, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if target >= at {
                    return None;
                }
                at = target;
            }
            _ => return None,
        }
    }
    None
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `asked` with records that are given as they are.
    fn reply(asked: &[u8], flags: u16, records: &[&[u8]]) -> Vec<u8> {
        let mut out = asked.to_vec();
        out[2..4].copy_from_slice(&(flags | 0x8000).to_be_bytes());
        out[7] = u8::try_from(records.len()).unwrap();
        out.extend(records.concat());
        out
    }

    /// A record of the name that stands at byte 12.
    fn record(kind: u16, data: &[u8]) -> Vec<u8> {
        named(&[0xc0, 12], kind, data)
    }

    fn named(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let len = u16::try_from(data.len()).unwrap();
        let ends = [&kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 60], &len.to_be_bytes()].concat();
        [name, &ends, data].concat()
    }

    #[test]
    fn a_question_is_as_rfc_1035_has_it() {
        let asked = question(0x1234, "a.example", A).unwrap();
        let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(asked, [&head[..], b"\x01a\x07example\0", &[0, 1, 0, 1]].concat());
        assert_eq!(question(1, "a.example.", A), question(1, "a.example", A));
        for wrong in ["", ".", "a..b", "ä.example", &"a".repeat(64), &"abc.".repeat(70)] {
            assert_eq!(question(1, wrong, A), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_are_those_of_the_name_and_its_aliases() {
        let asked = question(7, "a.example", A).unwrap();
        let one = record(A, &[192, 0, 2, 1]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let said = answer(&reply(&asked, 0, &[&one, &one]), &asked);
        assert_eq!(said, Some(Answer::Addresses(vec![ip("192.0.2.1"), ip("192.0.2.1")])));
        let alias = record(CNAME, b"\x01b\xc0\x0e");
        let of_b = named(b"\x01B\x07example\0", A, &[192, 0, 2, 2]);
        let foreign = named(b"\x04evil\0", A, &[192, 0, 2, 66]);
        let said = answer(&reply(&asked, 0, &[&foreign, &alias, &of_b, &one]), &asked);
        assert_eq!(said, Some(Answer::Addresses(vec![ip("192.0.2.2")])));
        let six = question(7, "a.example", AAAA).unwrap();
        let data = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        let said = answer(&reply(&six, 0, &[&record(AAAA, &data), &one]), &six);
        assert_eq!(said, Some(Answer::Addresses(vec![ip("2001:db8::1")])));
    }

    #[test]
    fn what_answers_another_question_is_none() {
        let asked = question(7, "a.example", A).unwrap();
        let good = reply(&asked, 0, &[&record(A, &[192, 0, 2, 1])]);
        for other in [
            question(8, "a.example", A),
            question(7, "b.example", A),
            question(7, "a.example", AAAA),
        ] {
            assert_eq!(answer(&good, &other.unwrap()), None);
        }
        assert_eq!(answer(&asked, &asked), None, "a question is no answer");
        assert_eq!(answer(&reply(&asked, 3, &[]), &asked), Some(Answer::NoName));
        assert_eq!(answer(&reply(&asked, 2, &[]), &asked), Some(Answer::Failed(2)));
        assert_eq!(answer(&reply(&asked, 0x200, &[]), &asked), Some(Answer::Cut));
        assert_eq!(answer(&reply(&asked, 0, &[]), &asked), Some(Answer::Addresses(vec![])));
    }

    #[test]
    fn no_answer_that_is_broken_does_harm() {
        let asked = question(7, "a.example", A).unwrap();
        let loops = named(&[0xc0, 27], A, &[1, 2, 3, 4]);
        let ahead = named(&[0xc0, 200], A, &[1, 2, 3, 4]);
        for broken in [loops, ahead, named(&[0x80, 1], A, &[1, 2, 3, 4])] {
            let said = answer(&reply(&asked, 0, &[&broken]), &asked);
            assert_eq!(said, Some(Answer::Addresses(vec![])));
        }
        let good = reply(&asked, 0, &[&record(CNAME, b"\x01b\xc0\x0e"), &record(A, &[1, 2, 3, 4])]);
        for end in 0..good.len() {
            answer(&good[..end], &asked);
            for bit in 0..8 {
                let mut bent = good.clone();
                bent[end] ^= 1 << bit;
                answer(&bent, &asked);
            }
        }
    }
}
