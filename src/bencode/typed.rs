//! Typed bencode: serde structs behind the guard. For our own files and small messages;
//! a key that is not UTF-8 or an integer over 63 bits anywhere fails the whole struct, so
//! what strangers wrote at length is read through [`super::Value`] instead.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Limits, scan};

/// Decodes the one value that `bytes` are.
///
/// # Errors
/// What the guard refuses, bytes after the value, and `Shape`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limits: Limits) -> Result<T, Error> {
    let (value, len) = decode_prefix(bytes, limits)?;
    match bytes.len() - len {
        0 => Ok(value),
        count => Err(Error::Trailing { offset: len, count }),
    }
}

/// Decodes the value that `bytes` begin with and tells its length, for messages in which a
/// payload follows (BEP 9).
///
/// # Errors
/// What the guard refuses, and `Shape`.
pub fn decode_prefix<T: DeserializeOwned>(
    bytes: &[u8],
    limits: Limits,
) -> Result<(T, usize), Error> {
    let scan = scan(bytes, limits)?;
    Ok((serde_bencode::from_bytes(scan.root().raw())?, scan.len))
}

/// Encodes one of our own types; keys come out sorted, `None` is left out.
///
/// # Panics
/// On types that bencode lacks, such as floats: a mistake in the type.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_bencode::to_bytes(value).expect("our types are made of what bencode has")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_bencode::value::Value as Dynamic;
    use serde_bytes::ByteBuf;

    use super::super::{MESSAGE, TORRENT};
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Sample {
        zeta: i64,
        alpha: Option<ByteBuf>,
        missing: Option<i64>,
    }

    #[test]
    fn structs_round_trip_with_sorted_keys() {
        let sample = Sample { zeta: -3, alpha: Some(ByteBuf::from(b"\xff\0")), missing: None };
        let bytes = encode(&sample);
        assert_eq!(bytes, b"d5:alpha2:\xff\x004:zetai-3ee");
        assert_eq!(decode::<Sample>(&bytes, MESSAGE).unwrap(), sample);
    }

    #[test]
    fn trailing_bytes_are_refused_or_told() {
        let refused = decode::<i64>(b"i7e\n", MESSAGE).unwrap_err();
        assert_eq!(refused.to_string(), "1 bytes follow the bencode value that ends at byte 3");
        assert_eq!(decode_prefix::<i64>(b"i7epayload", MESSAGE).unwrap(), (7, 3));
    }

    #[test]
    fn nesting_that_would_overflow_the_stack_is_an_error() {
        let deep = [b"d1:x".to_vec(), vec![b'l'; 30_000], vec![b'e'; 30_001]].concat();
        assert!(matches!(decode::<Sample>(&deep, TORRENT), Err(Error::Depth { .. })));
        assert!(matches!(decode::<Dynamic>(&deep, TORRENT), Err(Error::Depth { .. })));
    }

    #[test]
    fn a_wrong_shape_names_the_field() {
        let refused = decode::<Sample>(b"d5:alpha1:xe", MESSAGE).unwrap_err();
        assert!(refused.to_string().contains("zeta"), "{refused}");
    }

    fn dynamic() -> impl Strategy<Value = Dynamic> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Dynamic::Int),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Dynamic::Bytes),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            let key = proptest::collection::vec(any::<u8>(), 0..5);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Dynamic::List),
                proptest::collection::hash_map(key, inner, 0..6).prop_map(Dynamic::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_we_encode_we_decode(value in dynamic()) {
            prop_assert_eq!(decode::<Dynamic>(&encode(&value), TORRENT).unwrap(), value);
        }

        /// One byte of a valid value is changed: whatever the guard still takes decodes.
        #[test]
        fn what_the_guard_takes_decodes(
            value in dynamic(), at in any::<usize>(), byte in any::<u8>()
        ) {
            let mut bytes = encode(&value);
            let at = at % bytes.len();
            bytes[at] = byte;
            if scan(&bytes, TORRENT).is_ok() {
                match decode_prefix::<Dynamic>(&bytes, TORRENT) {
                    Ok((_, len)) => prop_assert!(len <= bytes.len()),
                    // The guard takes numbers of twenty digits, for keys that nobody reads.
                    Err(refused) => prop_assert!(
                        matches!(refused, Error::Shape(_)) && holds_long_integer(&bytes),
                        "{}", refused
                    ),
                }
            }
        }
    }

    fn holds_long_integer(bytes: &[u8]) -> bool {
        bytes.split(|byte| *byte == b'e' || *byte == b'i').any(|digits| {
            digits.len() >= 19 && digits.iter().all(|d| d.is_ascii_digit() || *d == b'-')
        })
    }
}
