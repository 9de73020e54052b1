//! The extension handshake (BEP 9, BEP 10, BEP 21): what a client tells of itself, and the ids of
//! its extension messages. Not here: those messages themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use serde_bytes::Bytes;

use crate::bencode::{self, MESSAGE, Value};

use super::{Error, UT_METADATA, UT_PEX};

/// Characters of `v` that are kept.
const CLIENT_MAX: usize = 64;
/// Extensions remembered for one peer; real clients have about ten.
const EXTENSIONS_MAX: usize = 64;
/// Bytes of an extension's name that are believed.
const NAME_MAX: usize = 64;

/// What extension handshakes of a peer said so far. Fields that were absent, of the wrong
/// type or out of range are none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtendedHandshake {
    /// `m`: name of each supported extension and the id its messages carry. Never 0 in what was
    /// read; to send 0 takes an extension back.
    pub extensions: BTreeMap<String, u8>,
    /// `v`: client name and version, at most 64 characters.
    pub client: Option<String>,
    /// `e`: it prefers encrypted connections (BEP 11 passes that on).
    pub prefers_encryption: Option<bool>,
    /// `metadata_size`: bytes of the info dictionary, when it has that (BEP 9); never 0, and not
    /// yet within any limit.
    pub metadata_len: Option<u32>,
    /// `reqq`: requests it holds without dropping.
    pub request_queue: Option<u32>,
    /// `upload_only` (BEP 21).
    pub upload_only: Option<bool>,
    /// `p`: the port it listens on.
    pub listen_port: Option<u16>,
    /// `yourip`: how it sees the receiver.
    pub your_address: Option<IpAddr>,
}

/// As it stands in the payload; `None` is left out.
#[derive(Serialize)]
struct Payload<'a> {
    e: Option<u8>,
    m: &'a BTreeMap<String, u8>,
    metadata_size: Option<u32>,
    p: Option<u16>,
    reqq: Option<u32>,
    upload_only: Option<u8>,
    v: Option<&'a str>,
    yourip: Option<&'a Bytes>,
}

impl ExtendedHandshake {
    /// The payload to send after the extension id 0.
    pub fn encode(&self) -> Vec<u8> {
        let address = self.your_address.map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        bencode::encode(&Payload {
            e: self.prefers_encryption.map(u8::from),
            m: &self.extensions,
            metadata_size: self.metadata_len,
            p: self.listen_port,
            reqq: self.request_queue,
            upload_only: self.upload_only.map(u8::from),
            v: self.client.as_deref(),
            yourip: address.as_deref().map(Bytes::new),
        })
    }

    /// The id under which it takes messages of the metadata extension (BEP 9).
    pub fn metadata_id(&self) -> Option<u8> {
        self.extensions.get(UT_METADATA).copied()
    }

    /// The id under which it takes messages of peer exchange (BEP 11).
    pub fn pex_id(&self) -> Option<u8> {
        self.extensions.get(UT_PEX).copied()
    }

    /// Takes in the payload of one more handshake of the same peer: what it names replaces
    /// what was known, an extension with id 0 is taken back, and the rest stays (BEP 10:
    /// "subsequent handshakes … are additive").
    ///
    /// # Errors
    /// When the payload is not a bencoded dictionary within the limits for messages.
    pub fn update(&mut self, payload: &[u8]) -> Result<(), Error> {
        let scan = bencode::scan(payload, MESSAGE)?;
        for (key, value) in scan.root().dict().ok_or(Error::NotADictionary)? {
            match key {
                b"m" => self.update_extensions(value),
                b"v" => replace(&mut self.client, value.bytes().map(client_name)),
                b"reqq" => replace(&mut self.request_queue, value.integer().and_then(clipped)),
                // A peer that lacks the metadata itself says 0 or nothing.
                b"metadata_size" => {
                    let len = value.integer().and_then(clipped);
                    replace(&mut self.metadata_len, len.filter(|len| *len != 0));
                }
                b"e" => replace(&mut self.prefers_encryption, flag(value)),
                b"upload_only" => replace(&mut self.upload_only, flag(value)),
                b"p" => {
                    let port = value.integer().and_then(|port| u16::try_from(port).ok());
                    replace(&mut self.listen_port, port.filter(|port| *port != 0));
                }
                b"yourip" => replace(&mut self.your_address, value.bytes().and_then(address)),
                _ => {}
            }
        }
        Ok(())
    }

    fn update_extensions(&mut self, value: Value<'_>) {
        for (name, id) in value.dict().into_iter().flatten() {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let Some(id) = id.integer().and_then(|id| u8::try_from(id).ok()) else { continue };
            if id == 0 {
                self.extensions.remove(name);
            } else if name.len() <= NAME_MAX && self.extensions.len() < EXTENSIONS_MAX {
                self.extensions.insert(name.to_owned(), id);
            }
        }
    }
}

fn replace<T>(known: &mut Option<T>, told: Option<T>) {
    if told.is_some() {
        *known = told;
    }
}

fn client_name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(CLIENT_MAX).collect()
}

fn flag(value: Value<'_>) -> Option<bool> {
    value.integer().map(|flag| flag != 0)
}

/// No more than 32 bits hold; nothing when it is negative.
fn clipped(number: i64) -> Option<u32> {
    u64::try_from(number).ok().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &[u8]) -> ExtendedHandshake {
        let mut handshake = ExtendedHandshake::default();
        handshake.update(payload).unwrap();
        handshake
    }

    #[test]
    fn ours_byte_by_byte() {
        let ours = ExtendedHandshake {
            extensions: BTreeMap::from([(UT_METADATA.to_owned(), 2), (UT_PEX.to_owned(), 1)]),
            client: Some("Pigeon 0.1.0".to_owned()),
            metadata_len: Some(31_235),
            request_queue: Some(500),
            listen_port: Some(6881),
            your_address: Some(IpAddr::from([127, 0, 0, 1])),
            ..Default::default()
        };
        let bytes =
            b"d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi500e\
            1:v12:Pigeon 0.1.06:yourip4:\x7f\0\0\x01e";
        assert_eq!(ours.encode(), bytes);
        assert_eq!(read(bytes), ours);
    }

    #[test]
    fn a_size_of_the_metadata_that_tells_nothing_is_none() {
        for none in ["i0e", "i-5e", "i-9223372036854775808e", "4:abcd", "i99999999999999999999e"] {
            let payload = format!("d13:metadata_size{none}e");
            assert_eq!(read(payload.as_bytes()).metadata_len, None, "{none}");
        }
        assert_eq!(read(b"d13:metadata_sizei8589934592ee").metadata_len, Some(u32::MAX));
        // A seeker that has found it says so.
        let mut it = read(b"d1:md11:ut_metadatai3ee13:metadata_sizei0ee");
        it.update(b"d13:metadata_sizei77ee").unwrap();
        assert_eq!((it.metadata_len, it.metadata_id(), it.pex_id()), (Some(77), Some(3), None));
        it.update(b"d1:md11:ut_metadatai0e6:ut_pexi9ee13:metadata_sizei0ee").unwrap();
        assert_eq!((it.metadata_len, it.metadata_id(), it.pex_id()), (Some(77), None, Some(9)));
    }

    #[test]
    fn a_real_one_is_read() {
        let it = read(
            b"d1:ei1e1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi2000e\
              11:upload_onlyi1e1:v18:qBittorrent/4.6.3.6:yourip16:\0\0\0\0\0\0\0\0\0\0\xff\xff\
              \x7f\0\0\x01e",
        );
        assert_eq!((it.metadata_id(), it.pex_id()), (Some(3), Some(1)));
        assert_eq!(it.extensions.len(), 2);
        assert_eq!(it.metadata_len, Some(31_235));
        assert_eq!(it.prefers_encryption, Some(true));
        assert_eq!(it.client.as_deref(), Some("qBittorrent/4.6.3."));
        assert_eq!(it.request_queue, Some(2000));
        assert_eq!(it.upload_only, Some(true));
        assert_eq!(it.your_address, Some(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn wrong_types_and_ranges_are_as_if_absent() {
        let it = read(b"d1:m4:none1:pi70000e4:reqq3:one11:upload_onlyle1:vi1e6:yourip3:abce");
        assert_eq!(it, ExtendedHandshake::default());
        assert_eq!(read(b"d1:pi0e4:reqqi-1ee"), ExtendedHandshake::default());
        assert_eq!(read(b"d4:reqqi99999999999ee").request_queue, Some(u32::MAX));
        assert_eq!(read(b"d1:md1:ai300e1:bi2eee").extensions.len(), 1);
        assert_eq!(read(b"de"), ExtendedHandshake::default());
    }

    /// As is said of peer exchange once a torrent turns out to be private.
    #[test]
    fn an_extension_can_be_taken_back() {
        let mut ours = ExtendedHandshake::default();
        ours.extensions.insert(UT_PEX.to_owned(), 0);
        assert_eq!(ours.encode(), b"d1:md6:ut_pexi0eee");
    }

    #[test]
    fn a_second_handshake_adds_replaces_and_disables() {
        let mut it = read(b"d1:md6:ut_pexi1e1:xi2ee1:v1:Ae");
        it.update(b"d1:md6:ut_pexi0e1:yi3ee4:reqqi9ee").unwrap();
        assert_eq!(it.extensions, BTreeMap::from([("x".to_owned(), 2), ("y".to_owned(), 3)]));
        assert_eq!(it.client.as_deref(), Some("A"));
        assert_eq!(it.request_queue, Some(9));
    }

    #[test]
    fn hostile_payloads_are_bounded() {
        let mut it = ExtendedHandshake::default();
        assert!(it.update(b"li1ee").is_err());
        assert!(it.update(b"").is_err());
        assert!(it.update(&b"d1:a".repeat(100)).is_err());
        assert!(it.update(&[b"l", &b"i1e".repeat(6_000)[..], b"e"].concat()).is_err());
        let mut many = b"d1:md".to_vec();
        for number in 100..1_000 {
            many.extend_from_slice(format!("3:{number}i1e").as_bytes());
        }
        many.extend_from_slice(b"ee");
        assert_eq!(read(&many).extensions.len(), 64);
        let long = [b"d1:v1000:", &[b'x'; 1000][..], b"e"].concat();
        assert_eq!(read(&long).client.unwrap().len(), 64);
    }
}
