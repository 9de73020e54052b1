//! What the other side of an encrypted handshake says, with any bytes.

use std::sync::OnceLock;

use pigeon::base::digest::sha1;
use pigeon::base::ids::InfoHash;
use pigeon::wire::mse::{
    Encryption, Error, KEY_LEN, Machine, PAD_MAX, PrivateKey, Rc4, Secret, Step, torrent_key,
};

use super::number_of;

/// Noise, and noise that is encrypted as it must be, ends soon and does not depend on how it came
/// in; nothing is taken in beyond the handshake.
pub fn mse_handshake(bytes: &[u8]) {
    let parts = 1 + number_of(bytes) % 40;
    for is_initiator in [true, false] {
        let noise = run(is_initiator, bytes, bytes.len().max(1));
        assert_eq!(run(is_initiator, bytes, parts), noise);
        let fitting = fitted(is_initiator, bytes);
        let (end, used) = run(is_initiator, &fitting, fitting.len());
        assert_eq!(run(is_initiator, &fitting, parts), (end, used));
        // A key, two pads, a torrent, an offer and first words of the greatest length.
        assert!(used <= KEY_LEN + 2 * PAD_MAX + 40 + 16 + 68);
    }
}

const TORRENT: InfoHash = InfoHash([0x77; 20]);

fn keys() -> &'static (PrivateKey, PrivateKey, Secret) {
    static KEYS: OnceLock<(PrivateKey, PrivateKey, Secret)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let (ours, theirs) = (PrivateKey::new([1; 20]), PrivateKey::new([2; 20]));
        let secret = ours.agree(&theirs.public()).expect("a sound key");
        (ours, theirs, secret)
    })
}

/// What an honest remote says up to what is encrypted, and then these bytes under its key.
fn fitted(is_initiator: bool, bytes: &[u8]) -> Vec<u8> {
    let (_, theirs, secret) = keys();
    let name: &[u8; 4] = if is_initiator { b"keyB" } else { b"keyA" };
    let secret = secret.bytes();
    let mut hidden = [&[0; 8], bytes].concat();
    Rc4::of_mse(&sha1(&[name, secret, &TORRENT.0])).apply(&mut hidden);
    let mask = sha1(&[b"req3", secret]);
    let named = torrent_key(TORRENT);
    let named: Vec<u8> = named.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let open =
        if is_initiator { Vec::new() } else { [&sha1(&[b"req1", secret]), &named[..]].concat() };
    [&theirs.public().0, &open[..], &hidden].concat()
}

/// How a handshake ends in which the remote says this, in parts of so many bytes, and how many
/// were taken in.
fn run(is_initiator: bool, bytes: &[u8], part: usize) -> (Result<bool, Error>, usize) {
    let (ours, _, secret) = keys();
    let (policy, public) = (Encryption::Prefer, ours.public());
    let mut machine = match is_initiator {
        true => Machine::initiate(policy, &public, &[], TORRENT, vec![5; 68]),
        false => Machine::respond(policy, &public, &[]),
    };
    let mut used = 0;
    for part in bytes.chunks(part) {
        let mut rest = part;
        loop {
            let went_on = match machine.step() {
                Step::Done => return (Ok(true), used),
                // Any key but a real one would do as well, and cost more.
                Step::Agree(_) => machine.agreed(Some(secret.clone())),
                Step::Find(_) => machine.found(Some(TORRENT)),
                Step::Hear(_) if rest.is_empty() => break,
                Step::Hear(_) => machine.hear(rest).map(|len| {
                    used += len;
                    rest = &rest[len..];
                }),
            };
            if let Err(error) = went_on {
                // How many of them depends on the parts.
                return (Err(error), 0);
            }
        }
    }
    (Ok(machine.step() == Step::Done), used)
}
