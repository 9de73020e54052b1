//! Entries of the ledger, as bytes. Pure: what they say of torrents is `replay`'s.
//!
//! An entry is a head of 28 bytes, a body, and the first eight bytes of a SHA-1 over both. In the
//! head, big-endian: four bytes that begin every entry, a version, a kind, two zeros, a serial
//! number (8), the torrent's number (4), the length of the body (4), and CRC-32C of all that. The
//! head has a check of its own so that of an entry whose body is damaged it is known whose it is
//! and where the next one stands; where the head is damaged, the next entry is looked for.
//!
//! Later versions keep the first five bytes, and may do with the rest as they like.
//!
//! The serial number grows with each attempt to write. So what an attempt left that failed counts
//! for nothing once a later one has begun to write over it.

use std::io;

use crate::base::checksum::crc32c;
use crate::base::digest::sha1;
use crate::base::ids::TorrentId;

use super::device::Medium;
use super::spec::SPEC_LEN_MAX;

/// The version written, and the newest one understood.
pub(super) const VERSION: u8 = 1;
const MAGIC: [u8; 4] = *b"\xc9pgn";
pub(super) const HEAD_LEN: usize = 28;
const CHECK_LEN: usize = 8;
/// What is wanted of a torrent, and in front of it where its metadata lies.
const BODY_LEN_MAX: usize = SPEC_LEN_MAX + 256;
/// What is read at once.
const READ_LEN: usize = 1 << 20;

/// What an entry is about. Other numbers are stepped over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The first and the last entry of a ledger that is written as a whole: the next number that a
    /// torrent may have.
    Next = 0,
    /// Where the metadata of a torrent lies, and what is wanted of it.
    Spec = 1,
    /// What it has done.
    Tally = 2,
    /// It was removed. No body.
    Removed = 3,
    /// What is wanted of all torrents together.
    Session = 4,
    /// It was removed and its files are to be, which the same says as was kept of it. One `Removed`
    /// follows, for programs that step over this.
    Erase = 5,
    /// They are, as far as they could be. No body.
    Erased = 6,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        let all = [
            Self::Next,
            Self::Spec,
            Self::Tally,
            Self::Removed,
            Self::Session,
            Self::Erase,
            Self::Erased,
        ];
        all.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// Where its head begins.
    pub offset: u64,
    /// Bytes of its body.
    pub body_len: u32,
}

impl Span {
    /// Bytes of all of it.
    pub fn len(self) -> u64 {
        (HEAD_LEN + CHECK_LEN) as u64 + u64::from(self.body_len)
    }

    pub fn end(self) -> u64 {
        self.offset + self.len()
    }
}

/// Entries to be written, from this place of the ledger on.
#[derive(Debug)]
pub(super) struct Written {
    pub bytes: Vec<u8>,
    begin: u64,
    serial: u64,
}

impl Written {
    pub fn new(begin: u64, serial: u64) -> Self {
        Self { bytes: Vec::new(), begin, serial }
    }

    /// Where the next one will stand.
    pub fn end(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }

    /// Adds an entry; `body` has at most [`BODY_LEN_MAX`] bytes.
    pub fn add(&mut self, kind: Kind, id: TorrentId, body: &[u8]) -> Span {
        let (offset, begin) = (self.end(), self.bytes.len());
        let body_len = body.len() as u32;
        self.bytes.extend(MAGIC);
        self.bytes.extend([VERSION, kind as u8, 0, 0]);
        self.bytes.extend(self.serial.to_be_bytes());
        self.bytes.extend(id.0.to_be_bytes());
        self.bytes.extend(body_len.to_be_bytes());
        let check = crc32c(&self.bytes[begin..]);
        self.bytes.extend(check.to_be_bytes());
        self.bytes.extend(body);
        let check = sha1(&[&self.bytes[begin..]]);
        self.bytes.extend(&check[..CHECK_LEN]);
        Span { offset, body_len }
    }
}

/// What a head says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub version: u8,
    /// None: one that is not known.
    pub kind: Option<Kind>,
    pub serial: u64,
    pub id: TorrentId,
    pub body_len: u32,
}

impl Head {
    /// None when these bytes are no head.
    fn read(bytes: &[u8; HEAD_LEN]) -> Option<Self> {
        let [magic @ .., version, kind, _, _] = bytes.first_chunk::<8>()?;
        let number = |at: usize| {
            let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
            four.map(|four| u32::from_be_bytes(*four))
        };
        let is_right = *magic == MAGIC && number(24)? == crc32c(bytes.get(..24)?);
        is_right.then_some(Self {
            version: *version,
            kind: Kind::of(*kind),
            serial: u64::from(number(8)?) << 32 | u64::from(number(12)?),
            id: TorrentId(number(16)?),
            body_len: number(20)?,
        })
    }
}

/// Does a ledger that begins like this come from a newer program, whatever else is in it?
pub(super) fn is_newer(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) && bytes.get(MAGIC.len()).is_some_and(|version| *version > VERSION)
}

/// What stands at some place of a ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found<'a> {
    /// An entry whose checks are right.
    Entry(Head, &'a [u8]),
    /// An entry that is damaged, or whose end is missing.
    Damaged(Head),
    /// No entry.
    Nothing,
    /// Less than the head of an entry.
    End,
}

/// Reads a ledger from some place on, with few calls.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    medium: &'a dyn Medium,
    len: u64,
    /// Where what was read begins.
    begin: u64,
    bytes: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Of the first `len` bytes.
    pub fn new(medium: &'a dyn Medium, len: u64) -> Self {
        Self { medium, len, begin: 0, bytes: Vec::new() }
    }

    /// What stands there.
    pub fn entry(&mut self, offset: u64) -> io::Result<Found<'_>> {
        let Some(bytes) = self.bytes(offset, HEAD_LEN)? else { return Ok(Found::End) };
        let Some(head) = bytes.first_chunk().and_then(Head::read) else {
            return Ok(Found::Nothing);
        };
        if head.body_len as usize > BODY_LEN_MAX {
            return Ok(Found::Damaged(head));
        }
        let len = HEAD_LEN + head.body_len as usize;
        let Some(bytes) = self.bytes(offset, len + CHECK_LEN)? else {
            return Ok(Found::Damaged(head));
        };
        let (entry, rest) = bytes.split_at(len);
        match rest.starts_with(&sha1(&[entry])[..CHECK_LEN]) {
            true => Ok(Found::Entry(head, &entry[HEAD_LEN..])),
            false => Ok(Found::Damaged(head)),
        }
    }

    /// Where at or behind `offset` the first byte stands that may begin an entry.
    pub fn seek(&mut self, mut offset: u64) -> io::Result<u64> {
        while let Some(bytes) = self.bytes(offset, 1)? {
            match bytes.iter().position(|byte| *byte == MAGIC[0]) {
                Some(at) => return Ok(offset + at as u64),
                None => offset += bytes.len() as u64,
            }
        }
        Ok(self.len)
    }

    /// At least `count` bytes from here on; none when there are not so many.
    pub fn bytes(&mut self, offset: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(count as u64);
        if end > self.len {
            return Ok(None);
        }
        if offset < self.begin || end > self.begin + self.bytes.len() as u64 {
            let len = (self.len - offset).min(count.max(READ_LEN) as u64);
            self.begin = offset;
            self.bytes.resize(usize::try_from(len).unwrap_or(count), 0);
            if let Err(error) = self.medium.read(offset, &mut self.bytes) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let at = usize::try_from(offset - self.begin).unwrap_or(usize::MAX);
        Ok(self.bytes.get(at..))
    }
}
