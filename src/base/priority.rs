//! Canonical peer priority (BEP 40): a number that both ends of a connection compute alike, so
//! that all peers of a swarm have equal chances of being connected and nobody can choose to
//! have good ones. What is done with it is not decided here.

use std::net::{IpAddr, SocketAddr};

use super::checksum::crc32c;

/// The rest of a masked address: every second bit.
const MASK: u8 = 0x55;

/// How much two peers prefer each other, the higher the better; none between families. `ours`
/// is our address as others see it. Source: BEP 40.
pub fn priority(ours: SocketAddr, theirs: SocketAddr) -> Option<u32> {
    let bytes = match (ours.ip().to_canonical(), theirs.ip().to_canonical()) {
        (a, b) if a == b => {
            sorted(ours.port().to_be_bytes().to_vec(), theirs.port().to_be_bytes().to_vec())
        }
        // At least /16 counts whole.
        (IpAddr::V4(a), IpAddr::V4(b)) => masked(&a.octets(), &b.octets(), 2),
        // At least /48.
        (IpAddr::V6(a), IpAddr::V6(b)) => masked(&a.octets(), &b.octets(), 6),
        _ => return None,
    };
    Some(crc32c(&bytes))
}

/// Both addresses masked: the bytes that they share and one more stay whole, but no less than
/// `whole_min`.
fn masked(a: &[u8], b: &[u8], whole_min: usize) -> Vec<u8> {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let whole = if shared < whole_min { whole_min } else { shared + 1 };
    let mask = |address: &[u8]| -> Vec<u8> {
        let bytes = address.iter().enumerate();
        bytes.map(|(at, byte)| if at < whole { *byte } else { byte & MASK }).collect()
    };
    sorted(mask(a), mask(b))
}

fn sorted(a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
    if a <= b { [a, b].concat() } else { [b, a].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &str, b: &str) -> Option<u32> {
        let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(priority(a, b), priority(b, a), "both ends must agree");
        priority(a, b)
    }

    #[test]
    fn the_examples_of_bep_40() {
        assert_eq!(of("123.213.32.10:1", "98.76.54.32:2"), Some(0xec2d_7224));
        assert_eq!(of("123.213.32.10:1", "123.213.32.234:2"), Some(0x9956_8189));
    }

    #[test]
    fn masks_grow_with_what_is_shared() {
        // BEP 40: "in the same /16, the mask to be used should be FF.FF.FF.55".
        assert_eq!(masked(&[1, 2, 3, 255], &[1, 2, 9, 255], 2), [1, 2, 3, 0x55, 1, 2, 9, 0x55]);
        assert_eq!(masked(&[9, 2, 255, 255], &[1, 2, 3, 4], 2), [1, 2, 1, 4, 9, 2, 0x55, 0x55]);
        let v6 = |last: &[u8]| [&[0x20, 1, 13, 184, 0, 1][..], last].concat();
        let (a, b) = (v6(&[7, 255, 255]), v6(&[8, 255, 255]));
        // The same /48, hence FFFF:FFFF:FFFF:FF55.
        assert_eq!(masked(&a, &b, 6), [v6(&[7, 0x55, 0x55]), v6(&[8, 0x55, 0x55])].concat());
    }

    #[test]
    fn one_host_is_told_apart_by_ports_and_families_do_not_mix() {
        assert_ne!(of("192.0.2.1:5", "192.0.2.1:6"), of("192.0.2.1:5", "192.0.2.1:7"));
        assert_eq!(of("192.0.2.1:5", "[::ffff:192.0.2.1]:5"), of("192.0.2.1:5", "192.0.2.1:5"));
        assert_eq!(of("192.0.2.1:5", "[2001:db8::1]:5"), None);
    }
}
