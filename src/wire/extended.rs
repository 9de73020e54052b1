//! The extension handshake (BEP 10): what we say of ourselves, and what of a remote's words
//! is of use. No extension messages are spoken yet, so our `m` is empty.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::bencode;

/// Requests that we hold from a remote without dropping any.
pub const OUR_REQQ: u32 = 500;
/// What we call ourselves.
pub const OUR_NAME: &str = concat!("Pigeon ", env!("CARGO_PKG_VERSION"));
/// Characters of a remote's name that are kept.
const NAME_MAX: usize = 64;

/// What a remote said. Fields that were absent or useless are none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtendedHandshake {
    /// `v`: its name and version; a stranger's text.
    pub client: Option<String>,
    /// `reqq`: requests it holds.
    pub reqq: Option<u32>,
    /// `p`: the port it listens on.
    pub listen_port: Option<u16>,
    /// `yourip`: how it sees us.
    pub our_address: Option<IpAddr>,
    /// `upload_only` (BEP 21).
    pub upload_only: Option<bool>,
}

#[derive(Serialize)]
struct Ours {
    m: std::collections::BTreeMap<String, u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<u16>,
    reqq: u32,
    v: &'static str,
    yourip: ByteBuf,
}

/// Our handshake's payload. `listen_port` only when we dialled, as BEP 10 asks; `remote` is
/// the address we see.
pub fn encode(listen_port: Option<u16>, remote: IpAddr) -> Vec<u8> {
    let yourip = match remote {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bencode::encode(&Ours {
        m: std::collections::BTreeMap::new(),
        p: listen_port,
        reqq: OUR_REQQ,
        v: OUR_NAME,
        yourip: ByteBuf::from(yourip),
    })
}

/// Reads a remote's payload. BEP 10: "All items in the dictionary are optional"; what has a
/// wrong type counts as absent.
///
/// # Errors
/// When it is not bencode within the limits for messages.
pub fn decode(payload: &[u8]) -> Result<ExtendedHandshake, bencode::Error> {
    let scan = bencode::scan(payload, bencode::MESSAGE)?;
    let mut said = ExtendedHandshake::default();
    let Some(entries) = scan.root().dict() else { return Ok(said) };
    for (key, value) in entries {
        let number = value.integer();
        match key {
            b"v" => said.client = value.bytes().map(name),
            b"reqq" => said.reqq = number.and_then(|reqq| u32::try_from(reqq).ok()),
            b"p" => said.listen_port = number.and_then(|port| u16::try_from(port).ok()),
            b"yourip" => said.our_address = value.bytes().and_then(address),
            b"upload_only" => said.upload_only = number.map(|flag| flag != 0),
            _ => {}
        }
    }
    said.listen_port = said.listen_port.filter(|port| *port != 0);
    said.reqq = said.reqq.filter(|reqq| *reqq != 0);
    Ok(said)
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(NAME_MAX).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(|ip| Ipv4Addr::from(ip).into());
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(|ip| Ipv6Addr::from(ip).into());
    v4().or_else(v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_sorted_bencode_with_an_empty_m() {
        let payload = encode(Some(6881), IpAddr::from([10, 0, 0, 1]));
        let text = format!("d1:mde1:pi6881e4:reqqi500e1:v12:{OUR_NAME}6:yourip4:\x0a\0\0\x01e");
        assert_eq!(payload, text.as_bytes());
        let back = decode(&encode(None, IpAddr::from([10, 0, 0, 1]))).unwrap();
        assert_eq!(back.client.as_deref(), Some(OUR_NAME));
        assert_eq!(back.listen_port, None);
        assert_eq!(back.our_address, Some(IpAddr::from([10, 0, 0, 1])));
    }

    #[test]
    fn wrong_types_and_useless_values_count_as_absent() {
        let said = decode(b"d1:pi0e4:reqq3:abc11:upload_onlyi1e1:v2:hi6:yourip3:abce").unwrap();
        let expected = ExtendedHandshake {
            client: Some("hi".into()),
            upload_only: Some(true),
            ..ExtendedHandshake::default()
        };
        assert_eq!(said, expected);
        assert_eq!(decode(b"le").unwrap(), ExtendedHandshake::default());
        assert!(decode(&b"l".repeat(20_000)).is_err());
        assert!(decode(b"d1:p").is_err());
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut payload = b"d1:v500:".to_vec();
        payload.extend([b'x'; 500]);
        payload.push(b'e');
        assert_eq!(decode(&payload).unwrap().client.unwrap().len(), NAME_MAX);
    }
}
