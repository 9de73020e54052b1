//! Views over guarded bytes: nothing is copied, nothing recurses, and what is not asked for
//! cannot fail. Not a decoder: a value of the wrong kind is simply none.

use std::ops::Range;

use super::guard::{integer_end, string_span};

/// One value in bytes that passed [`super::scan`].
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    raw: &'a [u8],
    offset: usize,
}

impl<'a> Value<'a> {
    /// `raw` is exactly one well-formed value, which began at `offset` of the input.
    pub(super) fn guarded(raw: &'a [u8], offset: usize) -> Self {
        Self { raw, offset }
    }

    /// The value as it was written.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Where it stands in the scanned input.
    pub fn span(self) -> Range<usize> {
        self.offset..self.offset + self.raw.len()
    }

    /// The content, if this is a string.
    pub fn bytes(self) -> Option<&'a [u8]> {
        string_span(self.raw, 0).ok().and_then(|span| self.raw.get(span))
    }

    /// The content, if this is a string in UTF-8.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The number, if this is an integer of 64 bits.
    pub fn integer(self) -> Option<i64> {
        let digits = self.raw.strip_prefix(b"i")?.strip_suffix(b"e")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Where the first number in it stands in the input that is written otherwise than BEP 3
    /// has it: the length of a string or an integer with a leading zero, or minus zero.
    pub fn odd_number(self) -> Option<usize> {
        let mut at = 0;
        loop {
            let digits = match self.raw.get(at)? {
                b'0'..=b'9' => at,
                b'i' => at + 1,
                _ => {
                    at += 1;
                    continue;
                }
            };
            let (first, second) = (self.raw.get(digits)?, self.raw.get(digits + 1)?);
            if matches!((first, second), (b'0', b'0'..=b'9') | (b'-', b'0')) {
                return Some(self.offset + at);
            }
            at = match digits == at {
                true => string_span(self.raw, at).ok()?.end,
                false => integer_end(self.raw, at).ok()?,
            };
        }
    }

    /// Its items, if this is a list.
    pub fn list(self) -> Option<List<'a>> {
        let rest = self.raw.strip_prefix(b"l")?;
        Some(List { rest, offset: self.offset + 1 })
    }

    /// Its entries, if this is a dictionary.
    pub fn dict(self) -> Option<Dict<'a>> {
        let rest = self.raw.strip_prefix(b"d")?;
        Some(Dict { items: List { rest, offset: self.offset + 1 } })
    }
}

/// The items of a list, in order.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for List<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (raw, rest) = self.rest.split_at_checked(value_len(self.rest)?)?;
        let value = Value { raw, offset: self.offset };
        self.rest = rest;
        self.offset += raw.len();
        Some(value)
    }
}

/// The entries of a dictionary, in the order they were written.
#[derive(Clone, Copy, Debug)]
pub struct Dict<'a> {
    items: List<'a>,
}

impl<'a> Dict<'a> {
    /// The value of the first entry with this key. Walks the entries: whoever wants several
    /// keys of a large dictionary iterates once instead.
    pub fn find(mut self, key: &[u8]) -> Option<Value<'a>> {
        self.find_map(|(name, value)| (name == key).then_some(value))
    }
}

impl<'a> Iterator for Dict<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.items.next()?.bytes()?;
        Some((key, self.items.next()?))
    }
}

/// Length of the value that guarded bytes begin with; none at the end of a list.
fn value_len(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut offset = 0;
    loop {
        match bytes.get(offset)? {
            b'0'..=b'9' => offset = string_span(bytes, offset).ok()?.end,
            b'i' => offset = integer_end(bytes, offset).ok()?,
            b'e' => {
                depth = depth.checked_sub(1)?;
                offset += 1;
            }
            _ => {
                depth += 1;
                offset += 1;
            }
        }
        if depth == 0 {
            return Some(offset);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{MESSAGE, scan};
    use super::*;

    /// Walks everything in a value and checks that its parts cover it to its last byte;
    /// returns where it ends.
    pub(in super::super) fn walk(value: Value<'_>) -> usize {
        let span = value.span();
        assert_eq!(span.len(), value.raw().len());
        let mut end = span.start + 1;
        if let Some(dict) = value.dict() {
            for (_, value) in dict {
                end = walk(value);
            }
        } else if let Some(list) = value.list() {
            for item in list {
                assert_eq!(item.span().start, end);
                end = walk(item);
            }
        } else {
            assert!(value.bytes().is_some() || value.raw().starts_with(b"i"));
            return span.end;
        }
        assert_eq!(end + 1, span.end);
        span.end
    }

    #[test]
    fn wrong_kinds_are_none() {
        let scan = scan(b"d1:ai5e1:bl1:x1:ye1:c2:\xff\xfee", MESSAGE).unwrap();
        let dict = scan.root().dict().unwrap();
        assert_eq!(dict.find(b"a").unwrap().integer(), Some(5));
        assert!(dict.find(b"a").unwrap().bytes().is_none());
        assert!(dict.find(b"b").unwrap().dict().is_none());
        assert_eq!(dict.find(b"b").unwrap().list().unwrap().count(), 2);
        assert_eq!(dict.find(b"c").unwrap().bytes(), Some(&b"\xff\xfe"[..]));
        assert!(dict.find(b"c").unwrap().text().is_none());
        assert!(dict.find(b"d").is_none());
        assert_eq!(dict.count(), 3);
    }

    #[test]
    fn integers_beyond_64_bits_are_none_and_harm_nothing() {
        let scan = scan(b"d1:ai99999999999999999999e1:bi-9223372036854775808ee", MESSAGE);
        let dict = scan.unwrap().root().dict().unwrap();
        assert_eq!(dict.find(b"a").unwrap().integer(), None);
        assert_eq!(dict.find(b"b").unwrap().integer(), Some(i64::MIN));
    }

    #[test]
    fn numbers_with_leading_zeros_are_found() {
        let odd = |bytes: &[u8]| scan(bytes, MESSAGE).unwrap().root().odd_number();
        for plain in ["d1:ai0e1:bli10ei-1eee", "0:", "10:i007e00:01e", "i0e", "le"] {
            assert_eq!(odd(plain.as_bytes()), None, "{plain}");
        }
        // BEP 3: all encodings with a leading zero are invalid, other than i0e.
        assert_eq!(odd(b"d1:ai007ee"), Some(4));
        assert_eq!(odd(b"l1:x01:ye"), Some(4));
        assert_eq!(odd(b"i-0e"), Some(0));
        assert_eq!(odd(b"li-01ee"), Some(1));
        let scan = scan(b"d1:ai1e1:bi00ee", MESSAGE).unwrap();
        let value = scan.root().dict().unwrap().find(b"b").unwrap();
        assert_eq!(value.odd_number(), Some(10), "counted in the input");
    }

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        let scan = scan(b"d1:ai1e1:ai2ee", MESSAGE).unwrap();
        assert_eq!(scan.root().dict().unwrap().find(b"a").unwrap().integer(), Some(1));
    }
}
