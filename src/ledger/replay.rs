//! What a ledger says, whatever its bytes are. Nothing of the pack is read for that, and nothing is
//! written. What cannot be read of one torrent costs that torrent only.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::base::ids::TorrentId;
use crate::bencode;

use super::device::Medium;
use super::format::{Found, Head, Kind, Reader, Span, VERSION, is_newer};
use super::spec::Tally;
use super::together::SessionSpec;

/// Where the metadata of a torrent lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packed {
    /// The number of the pack.
    pub pack: u32,
    pub offset: u64,
    pub len: u32,
    /// The first 160 bits of its SHA-256.
    pub hash: [u8; 20],
}

#[derive(Serialize, Deserialize)]
struct Packing {
    hash: ByteBuf,
    length: u32,
    offset: u64,
    pack: u32,
}

impl Packed {
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }
}

/// The body of an entry of a torrent: a list of where its metadata lies, empty when it is not
/// known, and what is wanted.
pub(super) fn spec_body(packed: Option<&Packed>, spec: &[u8]) -> Vec<u8> {
    let packing = |packed: &Packed| Packing {
        hash: ByteBuf::from(packed.hash),
        length: packed.len,
        offset: packed.offset,
        pack: packed.pack,
    };
    let mut body = bencode::encode(&packed.into_iter().map(packing).collect::<Vec<_>>());
    body.extend(spec);
    body
}

/// Where the metadata lies by such a body, and where in it stands what is wanted.
pub(super) fn read_body(body: &[u8]) -> Option<(Option<Packed>, usize)> {
    let (list, len): (Vec<Packing>, usize) = bencode::decode_prefix(body, bencode::TRACKER).ok()?;
    let packed = |it: &Packing| {
        // Where it ends is a number as well.
        it.offset.checked_add(u64::from(it.length))?;
        let hash = it.hash.as_slice().try_into().ok()?;
        Some(Packed { pack: it.pack, offset: it.offset, len: it.length, hash })
    };
    let packed = match list.as_slice() {
        [] => None,
        [one] => Some(packed(one)?),
        _ => return None,
    };
    Some((packed, len))
}

#[derive(Serialize, Deserialize)]
struct NextBody {
    next: u64,
}

/// The body of an entry that tells the next number; none when there is none any more.
pub(super) fn next_body(next: Option<TorrentId>) -> Vec<u8> {
    bencode::encode(&NextBody { next: next.map_or(NO_NUMBER, |id| id.0.into()) })
}

const NO_NUMBER: u64 = 1 << 32;

/// Something that could not be read, in words for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Bytes of the ledger that are no entry.
    Damaged {
        /// Where they are.
        offset: u64,
        /// How many they are.
        len_bytes: u64,
    },
    /// Nothing that is wanted of a torrent can be read: it is left out.
    Lost {
        /// Its number.
        id: TorrentId,
    },
    /// The last change of a torrent cannot be read: it is as it was before.
    Older {
        /// Its number.
        id: TorrentId,
    },
    /// The metadata of a torrent is not where it should be.
    NoMetadata {
        /// Its number.
        id: TorrentId,
    },
    /// What a torrent has sent and received cannot be read.
    NoTally {
        /// Its number.
        id: TorrentId,
    },
    /// The last change of what is wanted of all torrents together cannot be read.
    NoSession,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged { offset, len_bytes } => {
                write!(f, "{len_bytes} bytes of the ledger are damaged, from byte {offset} on")
            }
            Self::Lost { id } => write!(f, "torrent {} cannot be read and is left out", id.0),
            Self::Older { id } => {
                write!(f, "the last change of torrent {} cannot be read: it is as before", id.0)
            }
            Self::NoMetadata { id } => write!(f, "the metadata of torrent {} is lost", id.0),
            Self::NoTally { id } => {
                write!(f, "what torrent {} has sent and received is lost", id.0)
            }
            Self::NoSession => f.write_str("what was set last of all torrents together is lost"),
        }
    }
}

/// Why a ledger is not read at all.
#[derive(Debug)]
pub(super) enum Unfit {
    Newer,
    Io(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is kept of a torrent, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub spec: Option<(Span, Vec<u8>)>,
    pub tally: Option<(Span, Tally)>,
    /// It was removed, and its files are to be.
    pub is_to_erase: bool,
}

/// What a ledger says.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub torrents: BTreeMap<TorrentId, Kept>,
    /// What is wanted of all together.
    pub session: Option<(Span, SessionSpec)>,
    /// A number that no torrent has had; none when all were used.
    pub next: Option<TorrentId>,
    /// Behind this nothing counts.
    pub end: u64,
    /// The highest serial number there is.
    pub serial: u64,
    /// Where the first entry stands that has it.
    pub batch: u64,
    pub troubles: Vec<Trouble>,
}

/// Reads a ledger of `len` bytes.
///
/// # Errors
/// `Newer`, and what the system says.
pub(super) fn replay(medium: &dyn Medium, len: u64) -> Result<Replayed, Unfit> {
    let mut reader = Reader::new(medium, len);
    let first = reader.bytes(0, usize::try_from(len.min(5)).unwrap_or(5))?;
    if first.is_some_and(is_newer) {
        return Err(Unfit::Newer);
    }
    let mut replay = Replay::default();
    let mut at = 0;
    while at < len {
        at = match reader.entry(at)? {
            Found::Entry(head, _) | Found::Damaged(head) if head.version > VERSION => {
                return Err(Unfit::Newer);
            }
            Found::Entry(head, body) => replay.entry(at, head, body),
            Found::Damaged(head) => replay.damaged(at, head, len),
            Found::Nothing => replay.stray(at, reader.seek(at + 1)?),
            Found::End => len,
        };
    }
    Ok(replay.end())
}

/// A replay on its way.
#[derive(Default)]
struct Replay {
    replayed: Replayed,
    /// The next number by what the entries are about.
    above: u64,
    /// The next number as it is told.
    told: u64,
    /// Damaged entries, and bytes that are none, behind the last right entry: they may be what a
    /// write left that was cut off.
    tail: Vec<Head>,
    tail_strays: Vec<(u64, u64)>,
    /// Whose last change is damaged, and whose count.
    specs: BTreeSet<TorrentId>,
    tallies: BTreeSet<TorrentId>,
    /// What is said last of all torrents together is damaged.
    is_session_damaged: bool,
    strays: Vec<(u64, u64)>,
}

impl Replay {
    /// An entry that is right; returns where the next one stands.
    fn entry(&mut self, offset: u64, head: Head, body: &[u8]) -> u64 {
        let span = Span { offset, body_len: head.body_len };
        if head.serial < self.replayed.serial {
            // An attempt left it that failed.
            return span.end();
        }
        if head.serial > self.replayed.serial {
            self.replayed.batch = offset;
        }
        self.replayed.serial = head.serial;
        self.replayed.end = span.end();
        self.strays.append(&mut self.tail_strays);
        for damaged in std::mem::take(&mut self.tail) {
            self.count(damaged);
            self.damage(damaged);
        }
        self.count(head);
        if !self.apply(span, head, body) {
            self.damage(head);
        }
        span.end()
    }

    /// One whose body is not right, or not there; returns where to look on.
    fn damaged(&mut self, offset: u64, head: Head, len: u64) -> u64 {
        self.tail.push(head);
        let end = Span { offset, body_len: head.body_len }.end();
        // Where its end is missing, something may stand in its middle.
        if end <= len { end } else { self.stray(offset, offset + 1) }
    }

    /// Bytes that are no entry; returns where they end.
    fn stray(&mut self, begin: u64, end: u64) -> u64 {
        match self.tail_strays.last_mut() {
            Some((_, last)) if *last == begin => *last = end,
            _ => self.tail_strays.push((begin, end)),
        }
        end
    }

    /// Numbers that were used are not used again.
    fn count(&mut self, head: Head) {
        if !matches!(head.kind, Some(Kind::Next | Kind::Session)) {
            self.above = self.above.max(u64::from(head.id.0) + 1);
        }
    }

    fn damage(&mut self, head: Head) {
        match head.kind {
            Some(Kind::Spec | Kind::Removed | Kind::Erase) => self.specs.insert(head.id),
            Some(Kind::Tally) => self.tallies.insert(head.id),
            Some(Kind::Session) => {
                self.is_session_damaged = true;
                true
            }
            // What cannot be read is carried out again: it does no harm.
            Some(Kind::Next | Kind::Erased) | None => false,
        };
    }

    /// False when its body makes no sense.
    fn apply(&mut self, span: Span, head: Head, body: &[u8]) -> bool {
        let (id, torrents) = (head.id, &mut self.replayed.torrents);
        match head.kind {
            Some(Kind::Next) => {
                let next = bencode::decode(body, bencode::MESSAGE).map(|body: NextBody| body.next);
                self.told = self.told.max(next.unwrap_or(0).min(NO_NUMBER));
            }
            Some(Kind::Spec) => {
                let kept = torrents.entry(id).or_default();
                (kept.spec, kept.is_to_erase) = (Some((span, body.to_vec())), false);
                self.specs.remove(&id);
            }
            Some(Kind::Tally) => {
                let Some(tally) = Tally::decode(body) else { return false };
                torrents.entry(id).or_default().tally = Some((span, tally));
                self.tallies.remove(&id);
            }
            Some(Kind::Erase) => {
                let kept =
                    Kept { spec: Some((span, body.to_vec())), tally: None, is_to_erase: true };
                torrents.insert(id, kept);
                self.specs.remove(&id);
                self.tallies.remove(&id);
            }
            Some(Kind::Erased) => drop(torrents.remove(&id)),
            Some(Kind::Removed) => {
                if torrents.get(&id).is_some_and(|kept| !kept.is_to_erase) {
                    torrents.remove(&id);
                }
                self.specs.remove(&id);
                self.tallies.remove(&id);
            }
            Some(Kind::Session) => {
                let Some(session) = SessionSpec::decode(body) else { return false };
                self.replayed.session = Some((span, session));
                self.is_session_damaged = false;
            }
            None => {}
        }
        true
    }

    fn end(self) -> Replayed {
        let Self { mut replayed, above, told, specs, tallies, strays, .. } = self;
        replayed.troubles.extend(self.is_session_damaged.then_some(Trouble::NoSession));
        replayed.next = u32::try_from(above.max(told)).ok().map(TorrentId);
        let Replayed { torrents, troubles, .. } = &mut replayed;
        let damaged = |(offset, end): &(u64, u64)| Trouble::Damaged {
            offset: *offset,
            len_bytes: end - offset,
        };
        troubles.extend(strays.iter().map(damaged));
        // A count alone is of one whose entry is damaged.
        let alone = torrents.iter().filter(|(_, kept)| kept.spec.is_none()).map(|(id, _)| *id);
        let is_left = |id: &TorrentId| !torrents.get(id).is_some_and(|kept| kept.is_to_erase);
        let doubted = specs.into_iter().chain(alone).filter(is_left);
        let doubted: BTreeSet<TorrentId> = doubted.collect();
        torrents.retain(|_, kept| kept.spec.is_some());
        troubles.extend(doubted.into_iter().map(|id| match torrents.contains_key(&id) {
            true => Trouble::Older { id },
            false => Trouble::Lost { id },
        }));
        let counts = tallies.into_iter().filter(|id| torrents.contains_key(id));
        troubles.extend(counts.map(|id| Trouble::NoTally { id }));
        replayed
    }
}
