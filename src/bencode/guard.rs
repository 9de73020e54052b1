//! The guard: one pass over strangers' bytes, without recursion and without allocating for
//! what they claim. The typed decoder overflows the stack on deep nesting, ignores what
//! follows the value and takes `i+7e`, so nothing reaches it unguarded (BEP 3).
//!
//! Unsorted keys and leading zeros pass: real torrents have them. Who must be stricter asks
//! [`Value::odd_number`].

use std::ops::Range;

use super::{Error, Value};

/// What one input may hold. Its length is limited by whoever reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Lists and dictionaries inside each other, at most 128.
    pub depth: u32,
    /// Values in all, keys included.
    pub tokens: u32,
}

/// For torrents and resume files: the depth that libtorrent takes, and as many values as the
/// files of the largest torrent that is read.
pub const TORRENT: Limits = Limits { depth: 100, tokens: 64_000_000 };
/// For messages of peers: extension handshake, metadata and peer exchange.
pub const MESSAGE: Limits = Limits { depth: 10, tokens: 5_000 };
/// For replies of trackers: 3000 peers as dictionaries are some 25,000 values.
pub const TRACKER: Limits = Limits { depth: 10, tokens: 100_000 };

/// More digits than these fit neither 64-bit type.
const DIGITS_MAX: usize = 20;

/// Bytes that begin with one well-formed value.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// Bytes of that value; what follows is for the caller to judge.
    pub len: usize,
    root: Value<'a>,
}

impl<'a> Scan<'a> {
    /// The value.
    pub fn root(&self) -> Value<'a> {
        self.root
    }

    /// Where the value of `key` in the outermost dictionary stands in the input; the first
    /// one, when the key is there twice.
    pub fn value(&self, key: &[u8]) -> Option<Range<usize>> {
        self.root.dict()?.find(key).map(Value::span)
    }
}

/// What may stand at the next byte.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Item,
    Key,
    Member,
}

/// The places that lists and dictionaries take which are not at their end: one bit each, so that
/// a datagram is looked at without memory.
#[derive(Default)]
struct Outer {
    are_members: u128,
    depth: u32,
}

impl Outer {
    fn push(&mut self, place: Place) {
        self.are_members = self.are_members << 1 | u128::from(place == Place::Member);
        self.depth += 1;
    }

    fn pop(&mut self) -> Place {
        let is_member = self.are_members & 1 == 1;
        self.are_members >>= 1;
        self.depth = self.depth.saturating_sub(1);
        match (self.depth, is_member) {
            // Only the root has nothing around it.
            (0, _) => Place::Root,
            (_, true) => Place::Member,
            (_, false) => Place::Item,
        }
    }
}

/// Checks that `bytes` begin with one well-formed value within `limits`.
///
/// # Errors
/// Every kind but `Trailing` and `Shape`, with the offset of the offence.
pub fn scan(bytes: &[u8], limits: Limits) -> Result<Scan<'_>, Error> {
    let depth_max = limits.depth.min(u128::BITS);
    let mut outer = Outer::default();
    let mut place = Place::Root;
    let mut tokens = 0;
    let mut offset = 0;
    loop {
        let Some(&byte) = bytes.get(offset) else {
            return Err(Error::Truncated { offset });
        };
        if byte == b'e' && matches!(place, Place::Item | Place::Key) {
            offset += 1;
            place = outer.pop();
        } else {
            if tokens == limits.tokens {
                return Err(Error::Tokens { tokens, offset });
            }
            tokens += 1;
            match byte {
                b'0'..=b'9' => offset = string_span(bytes, offset)?.end,
                _ if place == Place::Key => {
                    return Err(Error::Unexpected { offset, byte, expected: "a key" });
                }
                b'i' => offset = integer_end(bytes, offset)?,
                b'l' | b'd' => {
                    if outer.depth >= depth_max {
                        return Err(Error::Depth { depth: depth_max, offset });
                    }
                    outer.push(place);
                    place = if byte == b'l' { Place::Item } else { Place::Key };
                    offset += 1;
                    continue;
                }
                _ => return Err(Error::Unexpected { offset, byte, expected: "a value" }),
            }
        }
        place = match place {
            Place::Root => break,
            Place::Item => Place::Item,
            Place::Key => Place::Member,
            Place::Member => Place::Key,
        };
    }
    let raw = bytes.get(..offset).unwrap_or(bytes);
    Ok(Scan { len: offset, root: Value::guarded(raw, 0) })
}

/// Where the content of the string stands whose length begins at `offset`.
pub(super) fn string_span(bytes: &[u8], offset: usize) -> Result<Range<usize>, Error> {
    let too_long = Error::Length { offset };
    let mut len: usize = 0;
    for at in offset..offset.saturating_add(DIGITS_MAX + 1) {
        match bytes.get(at) {
            Some(digit @ b'0'..=b'9') => {
                let digit = usize::from(digit - b'0');
                match len.checked_mul(10).and_then(|len| len.checked_add(digit)) {
                    Some(longer) => len = longer,
                    None => return Err(too_long),
                }
            }
            Some(b':') => {
                let begin = at + 1;
                return match begin.checked_add(len) {
                    Some(end) if end <= bytes.len() => Ok(begin..end),
                    _ => Err(too_long),
                };
            }
            Some(&byte) => {
                return Err(Error::Unexpected { offset: at, byte, expected: "a digit or ':'" });
            }
            None => return Err(Error::Truncated { offset: at }),
        }
    }
    Err(too_long)
}

/// The byte after the integer whose `i` stands at `offset`.
pub(super) fn integer_end(bytes: &[u8], offset: usize) -> Result<usize, Error> {
    let mut begin = offset + 1;
    if bytes.get(begin) == Some(&b'-') {
        begin += 1;
    }
    for at in begin..begin + DIGITS_MAX + 1 {
        match bytes.get(at) {
            Some(b'0'..=b'9') => {}
            Some(b'e') if at > begin => return Ok(at + 1),
            Some(b'e') => return Err(Error::Integer { offset }),
            Some(&byte) => {
                return Err(Error::Unexpected { offset: at, byte, expected: "a digit or 'e'" });
            }
            None => return Err(Error::Truncated { offset: at }),
        }
    }
    Err(Error::Integer { offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(bytes: &[u8]) -> String {
        scan(bytes, MESSAGE).unwrap_err().to_string()
    }

    #[test]
    fn spans_of_top_level_values_are_the_raw_bytes() {
        let bytes = b"d1:ai7e4:infod1:xl1:ye1:zi007eee tail";
        let scan = scan(bytes, MESSAGE).unwrap();
        assert_eq!(scan.len, bytes.len() - 5);
        assert_eq!(&bytes[scan.value(b"info").unwrap()], b"d1:xl1:ye1:zi007ee");
        assert_eq!(scan.value(b"x"), None, "a key of an inner dictionary");
    }

    #[test]
    fn deep_nesting_is_refused_at_the_limit() {
        let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert!(scan(&nested(100), TORRENT).is_ok());
        let refused = scan(&nested(101), TORRENT).unwrap_err();
        assert!(matches!(refused, Error::Depth { depth: 100, offset: 100 }));
        assert!(scan(&vec![b'd'; 1 << 20], TORRENT).is_err());
        assert!(scan(&vec![b'l'; 1 << 20], TORRENT).is_err());
    }

    #[test]
    fn what_follows_a_deep_value_stands_where_it_did() {
        let is_list = |level: usize| level.is_multiple_of(3);
        // A hundred lists and dictionaries; at one level what follows is for the other kind.
        let nested = |wrong: Option<usize>| {
            let open = (0..100).map(|level| if is_list(level) { "l" } else { "d1:a" });
            let close = (0..100).rev().map(|level| {
                if is_list(level) != (wrong == Some(level)) { "i7ee" } else { "1:b0:e" }
            });
            open.chain(["0:"]).chain(close).collect::<String>()
        };
        let good = nested(None);
        assert_eq!(scan(good.as_bytes(), TORRENT).unwrap().len, good.len());
        for level in (0..100).filter(|level| !is_list(*level)) {
            assert!(scan(nested(Some(level)).as_bytes(), TORRENT).is_err(), "level {level}");
        }
    }

    #[test]
    fn values_beyond_the_limit_are_refused() {
        let list = |count: usize| [b"l".to_vec(), b"0:".repeat(count), b"e".to_vec()].concat();
        assert!(scan(&list(4_999), MESSAGE).is_ok());
        let refused = scan(&list(5_000), MESSAGE).unwrap_err();
        assert!(matches!(refused, Error::Tokens { tokens: 5_000, offset: 9_999 }));
    }

    #[test]
    fn lengths_are_checked_before_use() {
        assert_eq!(error(b"99999999999:x"), "bencode string at byte 0 is longer than the input");
        assert!(error(b"18446744073709551615:x").contains("longer"));
        assert!(error(b"l99999999999999999999999999:").contains("byte 1 is longer"));
        assert!(scan(b"03:abc", MESSAGE).is_ok());
    }

    #[test]
    fn integers_need_digits_and_no_plus() {
        for good in ["i0e", "i-1e", "i007e", "i-0e", "i99999999999999999999e"] {
            assert!(scan(good.as_bytes(), MESSAGE).is_ok(), "{good}");
        }
        for bad in ["ie", "i-e", "i+7e", "i7", "i1.5e", "i 7e", "i100000000000000000000e"] {
            assert!(scan(bad.as_bytes(), MESSAGE).is_err(), "{bad}");
        }
    }

    #[test]
    fn dictionaries_need_string_keys_and_a_value_for_each() {
        assert_eq!(error(b"di1e1:ae"), "bencode has 0x69 at byte 1, where a key must stand");
        assert_eq!(error(b"d1:ae"), "bencode has 0x65 at byte 4, where a value must stand");
        assert_eq!(error(b"d1:a"), "bencode stops early at byte 4");
        assert_eq!(error(b""), "bencode stops early at byte 0");
        assert_eq!(error(b"e"), "bencode has 0x65 at byte 0, where a value must stand");
        assert_eq!(error(b"<html>"), "bencode has 0x3c at byte 0, where a value must stand");
    }

    /// Bytes that are nearly bencode reach further than random ones.
    fn nearly_bencode() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            Just(b"d".to_vec()),
            Just(b"l".to_vec()),
            Just(b"e".to_vec()),
            Just(b"1:a".to_vec()),
            Just(b"2:\xff\x00".to_vec()),
            Just(b"0:".to_vec()),
            any::<i64>().prop_map(|n| format!("i{n}e").into_bytes()),
            proptest::collection::vec(any::<u8>(), 1..3),
        ];
        proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn no_input_panics_and_what_passes_can_be_walked(bytes in nearly_bencode()) {
            if let Ok(scan) = scan(&bytes, MESSAGE) {
                prop_assert!(scan.len <= bytes.len());
                prop_assert_eq!(super::super::value::tests::walk(scan.root()), scan.len);
            }
        }

        #[test]
        fn a_prefix_of_a_value_never_passes(bytes in nearly_bencode(), cut in any::<usize>()) {
            if let Ok(whole) = scan(&bytes, MESSAGE) {
                prop_assert!(scan(&bytes[..cut % whole.len], MESSAGE).is_err());
            }
        }
    }
}
