//! NAT-PMP in bytes (RFC 6886): what is asked of a gateway at port 5351 and what it answers. Not
//! here: when to ask, and whether an answer is believed.

use std::net::Ipv4Addr;

use super::types::Transport;

/// The version of the protocol, the first byte of every packet.
pub const VERSION: u8 = 0;
/// Bit of an opcode in answers.
const ANSWER: u8 = 128;
/// The opcode that asks for the address outside.
const ADDRESS: u8 = 0;

/// What the gateway says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Its address outside; also told to all when it has begun anew (3.2.1).
    Address {
        /// Seconds since its table of mappings was empty.
        epoch_s: u32,
        /// The address.
        address: Ipv4Addr,
    },
    /// What came of a mapping.
    Mapped {
        /// Seconds since its table of mappings was empty.
        epoch_s: u32,
        /// Of which protocol.
        transport: Transport,
        /// Our port.
        internal: u16,
        /// The port outside.
        external: u16,
        /// How long it holds.
        lifetime_s: u32,
    },
    /// It does not do what was asked.
    Refused {
        /// What was asked, by its opcode.
        opcode: u8,
        /// Why (3.5), never 0.
        code: u16,
    },
}

/// Asks for the address outside (3.2).
pub fn ask_address() -> Vec<u8> {
    vec![VERSION, ADDRESS]
}

/// The opcode of a mapping (3.3).
pub fn opcode(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
    }
}

/// Asks for a mapping of `internal` to the port `external`, or any when that is 0; a lifetime of 0
/// ends it, and then `external` is 0 (3.3, 3.4).
pub fn ask_mapping(transport: Transport, internal: u16, external: u16, lifetime_s: u32) -> Vec<u8> {
    let mut bytes = vec![VERSION, opcode(transport), 0, 0];
    bytes.extend(internal.to_be_bytes());
    bytes.extend(external.to_be_bytes());
    bytes.extend(lifetime_s.to_be_bytes());
    bytes
}

/// Reads what the gateway says; none when it is no answer. Longer packets than need be are read:
/// the rest is ignored.
pub fn read(bytes: &[u8]) -> Option<Answer> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let [version, opcode, ..] = *head;
    let code = u16::from_be_bytes([head[2], head[3]]);
    if version != VERSION || opcode < ANSWER {
        return None;
    }
    let opcode = opcode - ANSWER;
    if code != 0 {
        return Some(Answer::Refused { opcode, code });
    }
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let epoch_s = u32::from_be_bytes(*epoch);
    let transport = match opcode {
        ADDRESS => {
            let address = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            return Some(Answer::Address { epoch_s, address });
        }
        1 => Transport::Udp,
        2 => Transport::Tcp,
        _ => return None,
    };
    let [a, b, c, d, life @ ..] = *rest.first_chunk::<8>()?;
    Some(Answer::Mapped {
        epoch_s,
        transport,
        internal: u16::from_be_bytes([a, b]),
        external: u16::from_be_bytes([c, d]),
        lifetime_s: u32::from_be_bytes(life),
    })
}

/// A result code in words (3.5).
pub fn words(code: u16) -> String {
    match code {
        1 => "it speaks another version".to_owned(),
        2 => "it is not allowed there".to_owned(),
        3 => "it has no connection itself".to_owned(),
        4 => "it has no room for another one".to_owned(),
        5 => "it does not know what that is".to_owned(),
        code => format!("error {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_the_rfc_draws_them() {
        assert_eq!(ask_address(), [0, 0]);
        let tcp = ask_mapping(Transport::Tcp, 6881, 6882, 7200);
        assert_eq!(tcp, [0, 2, 0, 0, 0x1a, 0xe1, 0x1a, 0xe2, 0, 0, 0x1c, 0x20]);
        let end = ask_mapping(Transport::Udp, 6881, 0, 0);
        assert_eq!(end, [0, 1, 0, 0, 0x1a, 0xe1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn answers_are_read_and_others_are_not() {
        let address = [0, 128, 0, 0, 0, 0, 1, 0, 203, 0, 113, 7];
        let told = Answer::Address { epoch_s: 256, address: Ipv4Addr::new(203, 0, 113, 7) };
        assert_eq!(read(&address), Some(told));
        assert_eq!(read(&address[..11]), None, "cut");
        let mapped = [0, 129, 0, 0, 0, 0, 0, 9, 0x1a, 0xe1, 0x9c, 0x40, 0, 0, 0, 60];
        let (transport, internal, external) = (Transport::Udp, 6881, 40_000);
        let told = Answer::Mapped { epoch_s: 9, transport, internal, external, lifetime_s: 60 };
        assert_eq!(read(&mapped), Some(told));
        assert_eq!(read(&mapped[..15]), None, "cut");
        // An error may be as short as its code.
        assert_eq!(read(&[0, 130, 0, 4]), Some(Answer::Refused { opcode: 2, code: 4 }));
        for other in [&[][..], &[0, 130, 0], &[2, 129, 0, 0], &[0, 1, 0, 0], &[0, 200, 0, 0, 1]] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }
}
