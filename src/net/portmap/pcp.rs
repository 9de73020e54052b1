//! PCP in bytes (RFC 6887): MAP requests to a gateway at port 5351, its answers, and its word to
//! all that it has begun anew. Not here: when to ask, and whether an answer is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::types::Transport;

/// The version of the protocol, the first byte of every packet.
pub const VERSION: u8 = 2;
/// Bit of an opcode in answers.
const ANSWER: u8 = 128;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
/// Bytes of a head, and of what MAP adds to it.
const HEAD_LEN: usize = 24;
const MAP_LEN: usize = 36;

/// Names a mapping, so that nobody else ends it (RFC 6887, 11.1).
pub type Nonce = [u8; 12];

/// A wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Of which protocol.
    pub transport: Transport,
    /// Our address, which the gateway compares with the packet's.
    pub own: IpAddr,
    /// Our port.
    pub internal: u16,
    /// The port outside that we would like; 0 is any.
    pub external: u16,
    /// How long; 0 ends the mapping.
    pub lifetime_s: u32,
    /// The mapping's name.
    pub nonce: Nonce,
}

/// What the gateway says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It has begun anew, or has another address: told to all (14.1).
    Announce {
        /// Seconds since its table of mappings was empty.
        epoch_s: u32,
    },
    /// What came of a wish.
    Map {
        /// Seconds since its table of mappings was empty.
        epoch_s: u32,
        /// 0 when it is fulfilled, else why not (7.4).
        code: u8,
        /// How long it holds, or how long that will not change.
        lifetime_s: u32,
        /// The mapping's name.
        nonce: Nonce,
        /// The protocol by its number.
        protocol: u8,
        /// Our port.
        internal: u16,
        /// The port outside.
        external: u16,
        /// The address outside, canonical.
        address: IpAddr,
    },
    /// It does not speak this version; NAT-PMP's answer to a packet of ours is such, too (9).
    Unsupported,
}

/// A MAP request (11.1).
pub fn ask_mapping(wish: &Wish) -> Vec<u8> {
    let mut bytes = vec![VERSION, MAP, 0, 0];
    bytes.extend(wish.lifetime_s.to_be_bytes());
    bytes.extend(in_six(wish.own).octets());
    bytes.extend(wish.nonce);
    bytes.extend([wish.transport.number(), 0, 0, 0]);
    bytes.extend(wish.internal.to_be_bytes());
    bytes.extend(wish.external.to_be_bytes());
    // "all-zeros" of the family: any address is welcome (11.1, 5).
    let any: IpAddr = match wish.own {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    bytes.extend(in_six(any).octets());
    bytes
}

/// Reads what the gateway says; none when it is no answer. Options behind it are ignored.
pub fn read(bytes: &[u8]) -> Option<Answer> {
    let (head, rest) = match bytes.split_first_chunk::<HEAD_LEN>() {
        Some(parts) => parts,
        // "version 0, and result code 1": RFC 6886, 3.5, which is as short as its code.
        None => return is_unsupported(bytes).then_some(Answer::Unsupported),
    };
    let [version, opcode, _, code, a, b, c, d, e, f, g, h, ..] = *head;
    if is_unsupported(bytes) {
        return Some(Answer::Unsupported);
    }
    if version != VERSION || opcode < ANSWER {
        return None;
    }
    let (lifetime_s, epoch_s) =
        (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    match opcode - ANSWER {
        ANNOUNCE => (code == 0).then_some(Answer::Announce { epoch_s }),
        MAP => {
            let (nonce, rest) = rest.first_chunk::<MAP_LEN>()?.split_first_chunk::<12>()?;
            let (ports, rest) = rest.split_first_chunk::<8>()?;
            let [protocol, _, _, _, i, j, k, l] = *ports;
            let address = IpAddr::from(*rest.first_chunk::<16>()?).to_canonical();
            Some(Answer::Map {
                epoch_s,
                code,
                lifetime_s,
                nonce: *nonce,
                protocol,
                internal: u16::from_be_bytes([i, j]),
                external: u16::from_be_bytes([k, l]),
                address,
            })
        }
        _ => None,
    }
}

/// Is it an answer with the code UNSUPP_VERSION, of this protocol or of NAT-PMP?
fn is_unsupported(bytes: &[u8]) -> bool {
    matches!(bytes, [0, ANSWER..=255, 0, 1, ..] | [VERSION, ANSWER..=255, _, 1, ..])
}

fn in_six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    }
}

/// A result code in words (7.4).
pub fn words(code: u8) -> String {
    match code {
        2 | 13 => "it is not allowed there".to_owned(),
        3 => "it could not read what was asked".to_owned(),
        4 => "it does not do that".to_owned(),
        7 => "it has no connection itself".to_owned(),
        8 => "it has no room for another one".to_owned(),
        9 => "it does not know the protocol".to_owned(),
        10 => "we have as many as one may have".to_owned(),
        11 => "the port outside cannot be had".to_owned(),
        12 => "something between us and it translates addresses".to_owned(),
        code => format!("error {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn wish() -> Wish {
        Wish {
            transport: Transport::Tcp,
            own: "192.168.1.7".parse().unwrap(),
            internal: 6881,
            external: 6882,
            lifetime_s: 3600,
            nonce: NONCE,
        }
    }

    fn mapped(code: u8) -> Vec<u8> {
        let mut bytes = vec![2, 129, 0, code, 0, 0, 0, 60, 0, 0, 1, 0];
        bytes.extend([0; 12]);
        bytes.extend(NONCE);
        bytes.extend([6, 0, 0, 0, 0x1a, 0xe1, 0x9c, 0x40]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 7]);
        bytes
    }

    #[test]
    fn a_request_is_as_the_rfc_draws_it() {
        let four = ask_mapping(&wish());
        let head = [2, 1, 0, 0, 0, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];
        assert_eq!(four[..20], head);
        assert_eq!(four[20..24], [192, 168, 1, 7]);
        assert_eq!(four[24..36], NONCE);
        assert_eq!(four[36..44], [6, 0, 0, 0, 0x1a, 0xe1, 0x1a, 0xe2]);
        assert_eq!(four[44..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0]);
        let own = "2001:db8::7".parse().unwrap();
        let six = ask_mapping(&Wish { own, transport: Transport::Udp, ..wish() });
        assert_eq!((six.len(), six[8], six[9], six[36]), (60, 0x20, 1, 17));
        assert_eq!(six[44..], [0; 16]);
    }

    #[test]
    fn answers_are_read_and_others_are_not() {
        let told = Answer::Map {
            epoch_s: 256,
            code: 0,
            lifetime_s: 60,
            nonce: NONCE,
            protocol: 6,
            internal: 6881,
            external: 40_000,
            address: "203.0.113.7".parse().unwrap(),
        };
        assert_eq!(read(&mapped(0)), Some(told));
        assert!(matches!(read(&mapped(8)), Some(Answer::Map { code: 8, .. })));
        assert_eq!(read(&mapped(0)[..59]), None, "cut");
        let mut announce = vec![2, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        announce.extend([0; 12]);
        assert_eq!(read(&announce), Some(Answer::Announce { epoch_s: 5 }));
        // NAT-PMP's way to say that it knows no version 2.
        assert_eq!(read(&[0, 129, 0, 1]), Some(Answer::Unsupported));
        assert_eq!(read(&[0, 129, 0, 1, 0, 0, 0, 9]), Some(Answer::Unsupported));
        assert_eq!(read(&mapped(1)), Some(Answer::Unsupported));
        for other in [&[][..], &[2, 129, 0, 0], &ask_mapping(&wish()), &[0, 129, 0, 0]] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }
}
