//! The machine against handshakes that another program made, against itself in every division of
//! the stream, and against what strangers may send.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Handshakes made by `tests/interop/mse_vectors.py`.
const VECTORS: &str = include_str!("../../../tests/data/mse.txt");
const TORRENT: InfoHash = InfoHash(*b"aaaaaaaaaaaaaaaaaaaa");

/// One handshake byte by byte.
struct Vector(HashMap<String, Vec<u8>>);

impl Vector {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let (case, name) = (words.next().unwrap(), words.next().unwrap());
            let bytes = data_encoding::HEXLOWER.decode(words.next().unwrap().as_bytes());
            if case.parse() == Ok(all.len()) {
                all.push(Self(HashMap::new()));
            }
            all.last_mut().unwrap().0.insert(name.to_owned(), bytes.unwrap());
        }
        assert_eq!(all.len(), 5);
        all
    }

    fn get(&self, name: &str) -> &[u8] {
        &self.0[name]
    }

    fn key(&self, name: &str) -> PrivateKey {
        PrivateKey::new(self.get(name).try_into().unwrap())
    }

    fn torrent(&self) -> InfoHash {
        InfoHash(self.get("skey").try_into().unwrap())
    }

    /// Who selects, or offers, as the vector has it.
    fn policy(&self, name: &str) -> Encryption {
        match self.get(name)[3] {
            2 => Encryption::Require,
            _ => Encryption::Prefer,
        }
    }
}

/// A side with all that it has by chance and knows.
struct Side {
    machine: Machine,
    key: PrivateKey,
    torrents: Vec<InfoHash>,
    said: Vec<u8>,
    /// What came and was not the handshake's.
    rest: Vec<u8>,
}

impl Side {
    fn initiator(policy: Encryption, key: PrivateKey, pad: &[u8], initial: &[u8]) -> Self {
        Self::initiator_of(TORRENT, policy, key, pad, initial)
    }

    fn initiator_of(
        torrent: InfoHash,
        policy: Encryption,
        key: PrivateKey,
        pad: &[u8],
        initial: &[u8],
    ) -> Self {
        let machine = Machine::initiate(policy, &key.public(), pad, torrent, initial.to_vec());
        Self { machine, key, torrents: Vec::new(), said: Vec::new(), rest: Vec::new() }
    }

    fn responder(policy: Encryption, key: PrivateKey, pad: &[u8]) -> Self {
        let machine = Machine::respond(policy, &key.public(), pad);
        Self { machine, key, torrents: vec![TORRENT], said: Vec::new(), rest: Vec::new() }
    }

    /// Hears these bytes and does what is asked for.
    fn hear(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        loop {
            self.said.extend(self.machine.take_output());
            match self.machine.step() {
                Step::Agree(theirs) => self.machine.agreed(self.key.agree(&theirs))?,
                Step::Find(key) => {
                    let known = self.torrents.iter().find(|it| torrent_key(**it) == key);
                    self.machine.found(known.copied())?;
                }
                Step::Done => {
                    self.rest.extend_from_slice(bytes);
                    return Ok(());
                }
                Step::Hear(count) => {
                    assert!(count > 0, "something is wanted");
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    bytes = &bytes[self.machine.hear(bytes)?..];
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.machine.step() == Step::Done
    }

    fn outcome(self) -> (Method, Vec<u8>, Option<Box<Ciphers>>) {
        match self.machine.outcome() {
            Some(Outcome::Agreed { initial, method, ciphers, .. }) => (method, initial, ciphers),
            other => panic!("{other:?}"),
        }
    }
}

fn keys() -> (PrivateKey, PrivateKey) {
    (PrivateKey::new(*b"one key of one side."), PrivateKey::new(*b"and one of the other"))
}

/// A responder that has answered, and what an initiator says to it next.
fn met(initial: &[u8]) -> (Side, Vec<u8>) {
    let (one, other) = keys();
    let mut initiator = Side::initiator(Encryption::Prefer, one, b"pad", initial);
    let mut responder = Side::responder(Encryption::Prefer, other, b"");
    initiator.hear(b"").unwrap();
    responder.hear(&std::mem::take(&mut initiator.said)).unwrap();
    initiator.hear(&std::mem::take(&mut responder.said)).unwrap();
    (responder, initiator.said)
}

#[test]
fn an_initiator_speaks_as_another_program_has_it() {
    for (case, vector) in Vector::all().iter().enumerate() {
        let (key, policy) = (vector.key("private_a"), vector.policy("provide"));
        let (pad, initial) = (vector.get("pad_a"), vector.get("initial"));
        let mut side = Side::initiator_of(vector.torrent(), policy, key, pad, initial);
        side.hear(b"").unwrap();
        assert_eq!(side.said, vector.get("first_a"), "case {case}");
        side.said.clear();
        side.hear(vector.get("first_b")).unwrap();
        // We send no pad in what is encrypted.
        if side.said.len() == vector.get("second_a").len() {
            assert_eq!(side.said, vector.get("second_a"), "case {case}");
        } else {
            assert!(case > 2, "case {case} has no such pad");
        }
        side.hear(&[vector.get("second_b"), vector.get("wire_b")].concat()).unwrap();
        let mut rest = side.rest.clone();
        let (method, initial, ciphers) = side.outcome();
        assert_eq!((method.bit(), initial.len()), (vector.get("select")[3].into(), 0));
        if let Some(mut ciphers) = ciphers {
            ciphers.incoming.apply(&mut rest);
            let mut payload = vector.get("payload_a").to_vec();
            ciphers.outgoing.apply(&mut payload);
            assert!(case > 2 || payload == vector.get("wire_a"), "case {case}");
        }
        assert_eq!(rest, vector.get("payload_b"), "case {case}");
    }
}

#[test]
fn a_responder_speaks_as_another_program_has_it() {
    for (case, vector) in Vector::all().iter().enumerate() {
        let (key, pad) = (vector.key("private_b"), vector.get("pad_b"));
        let mut side = Side::responder(vector.policy("select"), key, pad);
        side.torrents = vec![TORRENT, vector.torrent()];
        side.hear(vector.get("first_a")).unwrap();
        assert_eq!(side.said, vector.get("first_b"), "case {case}");
        side.said.clear();
        side.hear(&[vector.get("second_a"), vector.get("wire_a")].concat()).unwrap();
        let theirs = vector.key("private_a").public();
        assert_eq!(side.key.agree(&theirs).unwrap().0, vector.get("secret"), "case {case}");
        assert!(case == 3 || side.said == vector.get("second_b"), "case {case}");
        let mut rest = side.rest.clone();
        let (method, initial, ciphers) = side.outcome();
        assert_eq!(method.bit(), u32::from(vector.get("select")[3]));
        assert_eq!(initial, vector.get("initial"), "case {case}");
        if let Some(mut ciphers) = ciphers {
            ciphers.incoming.apply(&mut rest);
            let mut payload = vector.get("payload_b").to_vec();
            ciphers.outgoing.apply(&mut payload);
            assert!(case == 3 || payload == vector.get("wire_b"), "case {case}");
        }
        assert_eq!(rest, vector.get("payload_a"), "case {case}");
    }
}

#[test]
fn a_plain_handshake_is_heard_by_both_and_twenty_bytes_of_it_are_taken() {
    let hello = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04 and so on";
    let (one, other) = keys();
    let initiator = Side::initiator(Encryption::Prefer, one, b"pad", b"");
    let responder = Side::responder(Encryption::Prefer, other, b"pad");
    for mut side in [initiator, responder] {
        side.hear(hello).unwrap();
        assert_eq!(side.rest, hello[20..]);
        assert!(matches!(side.machine.outcome(), Some(Outcome::Plain)));
    }
}

#[test]
fn nothing_is_said_to_a_stranger_before_its_key_is_whole_nor_counted_before_more_comes() {
    let (one, other) = keys();
    let mut side = Side::responder(Encryption::Prefer, other, b"pad");
    let theirs = one.public();
    side.hear(&theirs.0[..95]).unwrap();
    assert!(side.said.is_empty());
    side.hear(&theirs.0[95..]).unwrap();
    assert_eq!(side.said.len(), KEY_LEN + 3);
    assert_eq!(side.machine.hear(&[0; 19]), Ok(19));
    assert_eq!(side.machine.step(), Step::Hear(1));
    assert_eq!(side.machine.hear(&[0; 9]), Ok(1), "the secret comes first");
    assert_eq!(side.machine.step(), Step::Agree(theirs));
}

#[test]
fn pads_are_at_most_512_bytes() {
    for (len, is_fine) in [(512, true), (513, false)] {
        let (one, other) = keys();
        let pad = vec![0xAA; len];
        let mut initiator = Side::initiator(Encryption::Prefer, one, &pad, b"first words");
        let mut responder = Side::responder(Encryption::Prefer, other, b"");
        initiator.hear(b"").unwrap();
        responder.hear(&std::mem::take(&mut initiator.said)).unwrap();
        initiator.hear(&std::mem::take(&mut responder.said)).unwrap();
        let heard = responder.hear(&initiator.said);
        assert_eq!(heard.is_ok() && responder.is_done(), is_fine, "PadA of {len}");
        // And the other way.
        let (one, other) = keys();
        let mut initiator = Side::initiator(Encryption::Prefer, one, b"", b"");
        let mut responder = Side::responder(Encryption::Prefer, other, &pad);
        initiator.hear(b"").unwrap();
        responder.hear(&std::mem::take(&mut initiator.said)).unwrap();
        initiator.hear(&std::mem::take(&mut responder.said)).unwrap();
        let heard = responder.hear(&initiator.said).and_then(|()| initiator.hear(&responder.said));
        assert_eq!(heard.is_ok() && initiator.is_done(), is_fine, "PadB of {len}");
    }
}

#[test]
fn what_never_ends_ends_after_the_longest_pad() {
    let (mut responder, _) = met(b"");
    let endless = [0x55; 4096];
    assert_eq!(responder.hear(&endless), Err(Error::Pad));
    let (one, other) = keys();
    let mut initiator = Side::initiator(Encryption::Prefer, one, b"", b"");
    initiator.hear(&other.public().0).unwrap();
    assert_eq!(initiator.hear(&endless), Err(Error::Pad));
}

#[test]
fn degenerate_keys_end_it() {
    let (one, other) = keys();
    let mut number_one = [0; KEY_LEN];
    number_one[KEY_LEN - 1] = 1;
    for theirs in [[0; KEY_LEN], number_one, [0xFF; KEY_LEN]] {
        let mut side = Side::responder(Encryption::Prefer, other_again(&other), b"");
        let flight = [&theirs[..], &[0; 20]].concat();
        assert_eq!(side.hear(&flight), Err(Error::Key));
        let mut side = Side::initiator(Encryption::Prefer, other_again(&one), b"", b"");
        assert_eq!(side.hear(&theirs), Err(Error::Key));
    }
}

/// A key is used once, but by tests.
fn other_again(_: &PrivateKey) -> PrivateKey {
    keys().1
}

#[test]
fn an_unknown_torrent_ends_it_without_a_word() {
    let (mut responder, offer) = met(b"first words");
    responder.torrents = vec![InfoHash([1; 20])];
    assert_eq!(responder.hear(&offer), Err(Error::UnknownTorrent));
    assert!(responder.said.is_empty());
}

#[test]
fn a_changed_byte_ends_it_or_is_in_the_first_words() {
    let (_, offer) = met(b"first words");
    // But for methods that nobody knows.
    for at in (0..offer.len()).filter(|at| !(48..52).contains(at)) {
        let (mut responder, mut offer) = met(b"first words");
        offer[at] ^= 0x40;
        let heard = responder.hear(&offer);
        let is_in_words = at >= offer.len() - 11;
        assert!(heard.is_err() || !responder.is_done() || is_in_words, "byte {at}");
    }
}

/// The offer of someone who does not keep to the rules, encrypted as it must be.
fn offer_of(fields: &[&[u8]]) -> Result<(), Error> {
    let (mut responder, _) = met(b"");
    let (one, other) = keys();
    let secret = one.agree(&other.public()).unwrap();
    let mut offer = fields.concat();
    Rc4::of_mse(&sha1(&[b"keyA", &secret.0, &TORRENT.0])).apply(&mut offer);
    let mask = sha1(&[b"req3", &secret.0]);
    let torrent: Vec<u8> = torrent_key(TORRENT).iter().zip(mask).map(|(a, b)| a ^ b).collect();
    responder.hear(&[&sha1(&[b"req1", &secret.0])[..], &torrent, &offer].concat())?;
    assert!(responder.is_done(), "nothing more is wanted");
    Ok(())
}

#[test]
fn an_offer_is_within_limits() {
    let proof: &[u8] = &[0; 8];
    let (both, none) = (&[0, 0, 0, 3], &[0, 0]);
    assert_eq!(offer_of(&[proof, both, none, none]), Ok(()));
    assert_eq!(offer_of(&[proof, both, &[2, 0], &[7; 512], &[0, 68], &[7; 68]]), Ok(()));
    assert_eq!(offer_of(&[proof, both, &[2, 1]]), Err(Error::Pad));
    assert_eq!(offer_of(&[proof, both, none, &[0, 69]]), Err(Error::Initial(69)));
    assert_eq!(offer_of(&[proof, both, none, &[0xFF, 0xFF]]), Err(Error::Initial(65_535)));
    assert_eq!(offer_of(&[&[0, 0, 0, 0, 0, 0, 0, 1], both, none]), Err(Error::Unreadable));
    assert_eq!(offer_of(&[proof, &[0, 0, 0, 12], none]), Err(Error::Method));
}

/// Both sides to the end, each portion of what one says heard by itself.
fn converse(portions: &[usize], policies: [Encryption; 2], pads: [usize; 2], initial: &[u8]) {
    let (one, other) = keys();
    let (pad_a, pad_b) = (vec![0; pads[0]], vec![0; pads[1]]);
    let mut initiator = Side::initiator(policies[0], one, &pad_a, initial);
    let mut responder = Side::responder(policies[1], other, &pad_b);
    let mut portions = portions.iter().copied().cycle();
    initiator.hear(b"").unwrap();
    while !initiator.is_done() || !responder.is_done() {
        let mut has_spoken = false;
        for turn in [true, false] {
            let (from, to) = match turn {
                true => (&mut initiator, &mut responder),
                false => (&mut responder, &mut initiator),
            };
            let said = std::mem::take(&mut from.said);
            let mut rest = &said[..];
            while !rest.is_empty() {
                has_spoken = true;
                let portion = portions.next().unwrap().clamp(1, rest.len());
                to.hear(&rest[..portion]).unwrap();
                rest = &rest[portion..];
            }
        }
        assert!(has_spoken, "neither waits for the other");
    }
    assert!(initiator.rest.is_empty() && responder.rest.is_empty());
    let (method, heard, theirs) = responder.outcome();
    assert_eq!(heard, initial);
    let (selected, _, ours) = initiator.outcome();
    assert_eq!(method, selected);
    assert_eq!(method == Method::Rc4, policies.contains(&Encryption::Require));
    if let (Some(mut ours), Some(mut theirs)) = (ours, theirs) {
        let mut message = *b"there and back";
        ours.outgoing.apply(&mut message);
        assert_ne!(&message, b"there and back");
        theirs.incoming.apply(&mut message);
        theirs.outgoing.apply(&mut message);
        ours.incoming.apply(&mut message);
        assert_eq!(&message, b"there and back");
    }
}

#[test]
fn every_division_in_two_of_each_flight_is_heard() {
    for at in 1..330 {
        converse(&[at, 4096], [Encryption::Prefer; 2], [100, 33], b"first words");
    }
    converse(&[1], [Encryption::Require; 2], [512, 512], &[0; INITIAL_MAX]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_division_of_any_handshake_is_heard(
        portions in prop::collection::vec(1_usize..200, 1..40),
        requires in any::<[bool; 2]>(),
        pads in [0_usize..=512, 0_usize..=512],
        initial in prop::collection::vec(any::<u8>(), 0..=INITIAL_MAX),
    ) {
        let policy = |it| if it { Encryption::Require } else { Encryption::Allow };
        converse(&portions, requires.map(policy), pads, &initial);
    }

    #[test]
    fn noise_behind_a_key_ends_it_soon(noise in prop::collection::vec(any::<u8>(), 600..700)) {
        let (mut responder, _) = met(b"");
        prop_assert_eq!(responder.hear(&noise), Err(Error::Pad));
    }
}
