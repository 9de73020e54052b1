//! The handshake of MSE as a machine: bytes in, bytes out. It asks for what costs much, the
//! exponentiation, and for what it does not know, the torrent; both so that whoever runs it may
//! refuse. It takes exactly the bytes of the handshake: what follows stays with the stream.

use crate::base::digest::{Sha1Hash, sha1};
use crate::base::ids::InfoHash;
use crate::wire::PROTOCOL;

use super::keys::{KEY_LEN, PublicKey, Secret};
use super::policy::Encryption;
use super::rc4::Rc4;
use super::{Error, Method, torrent_key};

/// The longest pad.
pub const PAD_MAX: usize = 512;
/// The longest first words: a whole handshake. Others send as much or nothing.
pub const INITIAL_MAX: usize = 68;
/// What is encrypted first, to be found and to prove the key.
const PROOF: [u8; 8] = [0; 8];
/// A digest, and what tells plain handshakes from encrypted ones.
const HASH_LEN: usize = 20;

/// What the machine waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// For bytes of the remote, at least one and at most so many: not one more is part of the
    /// handshake for sure.
    Hear(usize),
    /// For [`agreed`](Machine::agreed), with the secret shared by this key.
    Agree(PublicKey),
    /// For [`found`](Machine::found), with the torrent of this [key](torrent_key).
    Find(Sha1Hash),
    /// For nothing: see [`outcome`](Machine::outcome).
    Done,
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// The remote speaks plainly: the first 20 bytes of its handshake were heard.
    Plain,
    /// It is agreed how to go on.
    Agreed {
        /// The torrent that both mean.
        torrent: InfoHash,
        /// What the initiator said first; of an own handshake nothing.
        initial: Vec<u8>,
        /// What hides the bytes to come.
        method: Method,
        /// What does so, if that is [`Method::Rc4`].
        ciphers: Option<Box<Ciphers>>,
    },
}

/// Both directions of a connection.
#[derive(Debug)]
pub struct Ciphers {
    /// Decrypts what comes.
    pub incoming: Rc4,
    /// Encrypts what goes.
    pub outgoing: Rc4,
}

/// One side of one handshake.
#[derive(Debug)]
pub struct Machine {
    policy: Encryption,
    role: Role,
    phase: Phase,
    /// What was heard of the part at hand, and how long that is: at most a key.
    heard: Vec<u8>,
    wanted: usize,
    out: Vec<u8>,
    /// What the responder says when the remote's key is there.
    answer: Vec<u8>,
    secret: Option<Secret>,
    /// What ends the pad that comes.
    needle: Vec<u8>,
    ciphers: Option<Box<Ciphers>>,
    torrent: InfoHash,
    method: Method,
    initial: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Initiator,
    Responder,
}

/// Which part is at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Enough to know whether it is plain.
    Opening,
    /// The rest of the key.
    Key,
    /// Enough of what follows to be worth an exponentiation.
    Prelude(PublicKey),
    Agreeing(PublicKey),
    /// What ends the pad; so much of that is passed.
    Search(usize),
    Torrent,
    Finding(Sha1Hash),
    Offer,
    PadC(usize),
    InitialLen,
    Initial,
    Selection,
    PadD(usize),
    Done,
    Plain,
}

impl Machine {
    /// For who opens the connection: with a key and a pad by chance, for the torrent, and with
    /// `initial` as the first words, at most [`INITIAL_MAX`].
    pub fn initiate(
        policy: Encryption,
        key: &PublicKey,
        pad: &[u8],
        torrent: InfoHash,
        initial: Vec<u8>,
    ) -> Self {
        let out = [&key.0, pad].concat();
        Self { out, torrent, initial, ..Self::new(policy, Role::Initiator) }
    }

    /// For who takes the connection: with a key and a pad by chance, which it sends when the
    /// remote turns out not to speak plainly.
    pub fn respond(policy: Encryption, key: &PublicKey, pad: &[u8]) -> Self {
        Self { answer: [&key.0, pad].concat(), ..Self::new(policy, Role::Responder) }
    }

    fn new(policy: Encryption, role: Role) -> Self {
        Self {
            policy,
            role,
            phase: Phase::Opening,
            heard: Vec::with_capacity(KEY_LEN),
            wanted: HASH_LEN,
            out: Vec::new(),
            answer: Vec::new(),
            secret: None,
            needle: Vec::new(),
            ciphers: None,
            torrent: InfoHash([0; HASH_LEN]),
            method: Method::Plaintext,
            initial: Vec::new(),
        }
    }

    /// What it waits for.
    pub fn step(&self) -> Step {
        match self.phase {
            Phase::Agreeing(key) => Step::Agree(key),
            Phase::Finding(key) => Step::Find(key),
            Phase::Done | Phase::Plain => Step::Done,
            _ => Step::Hear(self.wanted.saturating_sub(self.heard.len())),
        }
    }

    /// Bytes to send, if there are any; before it hears more.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Takes in bytes; tells how many. The rest is for later, or for who goes on.
    ///
    /// # Errors
    /// What makes the handshake come to nothing.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut used = 0;
        while let Step::Hear(count) = self.step() {
            let rest = bytes.get(used..).unwrap_or_default();
            let part = rest.get(..count).unwrap_or(rest);
            self.heard.extend_from_slice(part);
            used += part.len();
            if part.len() < count {
                break;
            }
            self.on_heard()?;
        }
        Ok(used)
    }

    /// The secret that was asked for; none when the remote's key is none.
    ///
    /// # Errors
    /// `Key`.
    pub fn agreed(&mut self, secret: Option<Secret>) -> Result<(), Error> {
        let Phase::Agreeing(_) = self.phase else { return Ok(()) };
        let secret = secret.ok_or(Error::Key)?;
        match self.role {
            Role::Initiator => {
                self.say_offer(&secret);
                // Zeros under the key that the remote sends by.
                self.needle = PROOF.to_vec();
                cipher(b"keyB", &secret, self.torrent).apply(&mut self.needle);
            }
            Role::Responder => self.needle = sha1(&[b"req1", &secret.0]).to_vec(),
        }
        self.secret = Some(secret);
        self.phase = Phase::Search(0);
        self.wanted = self.needle.len();
        // What a responder heard before begins the search.
        if self.heard.len() == self.wanted { self.on_heard() } else { Ok(()) }
    }

    /// The torrent that was asked for, if it is here.
    ///
    /// # Errors
    /// `UnknownTorrent`.
    pub fn found(&mut self, torrent: Option<InfoHash>) -> Result<(), Error> {
        let Phase::Finding(_) = self.phase else { return Ok(()) };
        self.torrent = torrent.ok_or(Error::UnknownTorrent)?;
        let secret = self.secret.as_ref().ok_or(Error::Unreadable)?;
        let cipher = |name| cipher(name, secret, self.torrent);
        let (incoming, outgoing) = (cipher(b"keyA"), cipher(b"keyB"));
        self.ciphers = Some(Box::new(Ciphers { incoming, outgoing }));
        self.begin(Phase::Offer, PROOF.len() + 4 + 2);
        Ok(())
    }

    /// How it ended; none before it is done.
    pub fn outcome(self) -> Option<Outcome> {
        match self.phase {
            Phase::Plain => Some(Outcome::Plain),
            Phase::Done => Some(Outcome::Agreed {
                torrent: self.torrent,
                initial: self.initial,
                method: self.method,
                ciphers: self.ciphers.filter(|_| self.method == Method::Rc4),
            }),
            _ => None,
        }
    }

    fn begin(&mut self, phase: Phase, wanted: usize) {
        self.heard.clear();
        self.phase = phase;
        self.wanted = wanted;
    }

    /// The part at hand is there.
    fn on_heard(&mut self) -> Result<(), Error> {
        match self.phase {
            Phase::Opening if self.heard == PROTOCOL => self.phase = Phase::Plain,
            Phase::Opening => {
                self.phase = Phase::Key;
                self.wanted = KEY_LEN;
            }
            Phase::Key => self.on_key()?,
            Phase::Prelude(key) => self.phase = Phase::Agreeing(key),
            Phase::Search(passed) => self.search(passed)?,
            Phase::Torrent => {
                let secret = self.secret.as_ref().ok_or(Error::Unreadable)?;
                let mask = sha1(&[b"req3", &secret.0]);
                let mixed = self.heard.iter().zip(mask).map(|(heard, mask)| heard ^ mask);
                let mut key = [0; HASH_LEN];
                key.iter_mut().zip(mixed).for_each(|(byte, mixed)| *byte = mixed);
                self.phase = Phase::Finding(key);
            }
            _ => self.on_encrypted()?,
        }
        Ok(())
    }

    fn on_key(&mut self) -> Result<(), Error> {
        let key: [u8; KEY_LEN] = self.heard[..].try_into().map_err(|_| Error::Unreadable)?;
        match self.role {
            Role::Initiator => self.begin(Phase::Agreeing(PublicKey(key)), 0),
            Role::Responder => {
                self.out = std::mem::take(&mut self.answer);
                self.begin(Phase::Prelude(PublicKey(key)), HASH_LEN);
            }
        }
        Ok(())
    }

    /// Looks for what ends the pad in what was heard last; keeps of that only what may be its
    /// beginning.
    fn search(&mut self, passed: usize) -> Result<(), Error> {
        if self.heard == self.needle {
            match self.role {
                Role::Responder => self.begin(Phase::Torrent, HASH_LEN),
                Role::Initiator => {
                    if let Some(ciphers) = &mut self.ciphers {
                        ciphers.incoming.skip(PROOF.len());
                    }
                    self.begin(Phase::Selection, 4 + 2);
                }
            }
            return Ok(());
        }
        let len = self.needle.len();
        let may_begin =
            |from: &usize| self.needle.starts_with(self.heard.get(*from..).unwrap_or_default());
        let from = (1..len).find(may_begin).unwrap_or(len);
        let passed = passed + from;
        if passed > PAD_MAX {
            return Err(Error::Pad);
        }
        self.heard.drain(..from);
        self.phase = Phase::Search(passed);
        Ok(())
    }

    /// A part that is encrypted.
    fn on_encrypted(&mut self) -> Result<(), Error> {
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.incoming.apply(&mut self.heard);
        }
        match self.phase {
            Phase::Offer => {
                let (proof, bits, pad_len) = fields(&self.heard)?;
                if proof != PROOF {
                    return Err(Error::Unreadable);
                }
                self.method = self.policy.select(bits).ok_or(Error::Method)?;
                self.pad(Phase::PadC, pad_len)?;
            }
            Phase::PadC(left) => self.pad(Phase::PadC, left)?,
            Phase::InitialLen => {
                let len = u16_of(&self.heard)?;
                if usize::from(len) > INITIAL_MAX {
                    return Err(Error::Initial(len));
                }
                self.begin(Phase::Initial, len.into());
                if len == 0 {
                    self.on_encrypted()?;
                }
            }
            Phase::Initial => {
                self.initial = std::mem::take(&mut self.heard);
                self.say_selection();
                self.phase = Phase::Done;
            }
            Phase::Selection => {
                let whole = [&PROOF[..], &self.heard].concat();
                let (_, bits, pad_len) = fields(&whole)?;
                self.method = self.policy.selected(bits).ok_or(Error::Method)?;
                self.pad(Phase::PadD, pad_len)?;
            }
            Phase::PadD(left) => self.pad(Phase::PadD, left)?,
            _ => {}
        }
        Ok(())
    }

    /// So much of a pad is still to come. It is heard in portions, and none is kept.
    fn pad(&mut self, phase: fn(usize) -> Phase, left: usize) -> Result<(), Error> {
        if left > PAD_MAX {
            return Err(Error::Pad);
        }
        let portion = left.min(KEY_LEN);
        match (portion, phase(0)) {
            (0, Phase::PadC(_)) => self.begin(Phase::InitialLen, 2),
            (0, _) => self.begin(Phase::Done, 0),
            _ => self.begin(phase(left - portion), portion),
        }
        Ok(())
    }

    /// The initiator's second word.
    fn say_offer(&mut self, secret: &Secret) {
        let torrent = torrent_key(self.torrent);
        let mask = sha1(&[b"req3", &secret.0]);
        self.out.extend_from_slice(&sha1(&[b"req1", &secret.0]));
        self.out.extend(torrent.iter().zip(mask).map(|(torrent, mask)| torrent ^ mask));
        let cipher = |name| cipher(name, secret, self.torrent);
        let (incoming, mut outgoing) = (cipher(b"keyB"), cipher(b"keyA"));
        let initial = std::mem::take(&mut self.initial);
        let len = u16::try_from(initial.len()).unwrap_or(u16::MAX);
        let provide = self.policy.provide().to_be_bytes();
        let begin = self.out.len();
        // No pad here: the shortest is known to work.
        for part in [&PROOF[..], &provide, &[0, 0], &len.to_be_bytes(), &initial] {
            self.out.extend_from_slice(part);
        }
        outgoing.apply(self.out.get_mut(begin..).unwrap_or_default());
        self.ciphers = Some(Box::new(Ciphers { incoming, outgoing }));
    }

    /// The responder's second word.
    fn say_selection(&mut self) {
        let bits = self.method.bit().to_be_bytes();
        let mut word = [&PROOF[..], &bits, &[0, 0]].concat();
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.outgoing.apply(&mut word);
        }
        self.out.append(&mut word);
    }
}

fn cipher(name: &[u8; 4], secret: &Secret, torrent: InfoHash) -> Rc4 {
    Rc4::of_mse(&sha1(&[name, &secret.0, &torrent.0]))
}

/// Proof, methods, and the length of the pad behind them.
fn fields(bytes: &[u8]) -> Result<([u8; 8], u32, usize), Error> {
    let (proof, rest) = bytes.split_first_chunk::<8>().ok_or(Error::Unreadable)?;
    let (bits, rest) = rest.split_first_chunk::<4>().ok_or(Error::Unreadable)?;
    Ok((*proof, u32::from_be_bytes(*bits), u16_of(rest)?.into()))
}

fn u16_of(bytes: &[u8]) -> Result<u16, Error> {
    Ok(u16::from_be_bytes(bytes.try_into().map_err(|_| Error::Unreadable)?))
}
