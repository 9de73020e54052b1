//! What a record says, as bytes. Pure: it opens no file, and decides nothing about files.
//!
//! After the head every entry has 32 bytes: kind, three zeros, a number, two values and the
//! first eight bytes of a SHA-1 over the info-hash and what is before; all big-endian.
//!
//! An entry of pieces is about many: the one of its number, and those of the next 128 whose bit is
//! set in its values, the highest bit being the next piece's. Entries do not get longer by that:
//! what stands behind a torn or damaged one is found as ever, and that one costs the pieces that it
//! is about, 129 at most. Of the shortest pieces these are two MiB, and such come in runs of one.
//! Of long ones they are what was written together, which has its own bound (`disk::writer`).
//!
//! Version 2 is the same, but for its entries of pieces, which are about one: their values are 0,
//! which says so here as well. Who knows no later version than that leaves a record of this one
//! alone as a newer program's, and looks at all that is on disk.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_bytes::Bytes;

use crate::base::bitfield::Bitfield;
use crate::base::digest::sha1;
use crate::base::extents::Extents;
use crate::base::ids::InfoHash;
use crate::base::layout::{Layout, PieceIndex};
use crate::bencode::{self, Dict};

use super::super::beneath::Stamp;
use super::era::Ground;
use super::home::{Home, Written, as_bytes};

/// The version written, and the newest one understood.
const VERSION: i64 = 3;
/// The oldest one understood.
const OLDEST: i64 = 2;
const ENTRY_LEN: usize = 32;
const CHECK_LEN: usize = 8;
/// So much that is no entry is stepped over: the torn tails of many kills in a row.
const TORN_LEN_MAX: usize = 4096;

/// Says nothing; only that the record is younger than what was just written unverified.
const TOUCHED: u8 = 0;
/// The pieces were hashed and written.
const PIECES_VERIFIED: u8 = 1;
/// The pieces are missing.
const PIECES_LOST: u8 = 2;
/// The file of this number looked like this (inode, time of change) after its last write.
const FILE_STAMPED: u8 = 3;
/// What was noted before this length of the record (first value) is on the device; the time.
const MARK: u8 = 4;
/// Others wrote to the file of this number; until it is stamped, it is to be looked at.
const FILE_DOUBTED: u8 = 5;
/// The file of this number is ours, whatever is in it (inode).
const FILE_OURS: u8 = 6;
/// The file of this number looked like this (inode, time of change) after the last write that the
/// record knows of. More of it may be written. Programs that do not know the kind step over it.
const FILE_LEFT: u8 = 7;

/// In the values of an entry of pieces: the one behind that of its number.
const NEXT_PIECE: u128 = 1 << (u128::BITS - 1);

/// Whose record it is.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Its geometry.
    pub layout: Layout,
    /// Where its files are; the directory by a name that does not depend on where we stand.
    pub home: Home,
    /// Where others of its files are, and what they are called, the last one first.
    pub others: Vec<Home>,
}

impl Subject {
    /// The other homes that are written: in one directory they are in one place only.
    pub(super) fn others_elsewhere(&self) -> impl Iterator<Item = &Home> {
        self.others.iter().filter(|home| home.dir != self.home.dir)
    }
}

/// Where a torrent stands when its record is written anew.
#[derive(Clone, Debug)]
pub(in crate::disk) struct Standing {
    /// Pieces that were hashed and written.
    pub verified: Bitfield,
    /// Those of them that are on the device.
    pub durable: Bitfield,
    /// Pieces that nobody looked at yet, and that may be there.
    pub doubted: Bitfield,
    /// Of files that nothing is written to any more, by number.
    pub stamps: Vec<(u32, Stamp)>,
    /// Files that are ours, whatever is in them, with their inodes, by number.
    pub ours: Vec<(u32, u64)>,
    /// Of files that something may still be written to: how our last write left them, by number.
    pub left: Vec<(u32, Stamp)>,
    /// Where the files stand.
    pub ground: Ground,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// Pieces that were hashed and written.
    pub verified: Bitfield,
    /// Those of them that are on the device.
    pub durable: Bitfield,
    /// Pieces to be looked at before they count.
    pub doubted: Bitfield,
    /// The files' file system; 0 when unknown.
    pub file_system: u64,
    /// See [`Ground`]; empty when unknown.
    pub(in crate::disk) era: Vec<u8>,
    /// When the record was begun, nanoseconds since 1970.
    pub(in crate::disk) began_ns: i64,
    /// When data was last known to be on the device, likewise.
    pub(in crate::disk) marked_ns: i64,
    /// Of files that nothing was written to after it was taken, by number.
    pub(in crate::disk) stamps: HashMap<u32, Stamp>,
    /// The inodes of files that are ours, by number, as they were last noted.
    pub(in crate::disk) ours: HashMap<u32, u64>,
    /// How other files looked after the last write that is noted, by number.
    pub(in crate::disk) left: HashMap<u32, Stamp>,
    /// All its bytes were understood: it has no torn entry, and nothing behind the last one.
    pub(in crate::disk) is_whole: bool,
    /// It is of the version that is written: what is added to it is understood by all who read it.
    pub(in crate::disk) is_current: bool,
}

/// Why a record cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// In words for people.
    Because(&'static str),
    /// A newer program wrote it. It is neither to be believed nor to be touched.
    Newer,
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    home: Written<'a>,
    doubted: &'a Bytes,
    durable: &'a Bytes,
    era: &'a Bytes,
    #[serde(rename = "file system")]
    file_system: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    homes: Vec<Written<'a>>,
    #[serde(rename = "info-hash")]
    info_hash: &'a Bytes,
    length: u64,
    #[serde(rename = "piece length")]
    piece_length: u32,
    time: i64,
    verified: &'a Bytes,
    version: i64,
}

/// A record from its beginning.
pub(in crate::disk) fn begin(subject: &Subject, standing: &Standing, now_ns: i64) -> Vec<u8> {
    let mut bytes = bencode::encode(&Head {
        homes: subject.others_elsewhere().map(Home::written).collect(),
        home: subject.home.written(),
        doubted: Bytes::new(standing.doubted.as_bytes()),
        durable: Bytes::new(standing.durable.as_bytes()),
        era: Bytes::new(&standing.ground.era),
        file_system: standing.ground.file_system.cast_signed(),
        info_hash: Bytes::new(&subject.info_hash.0),
        length: subject.layout.total_len(),
        piece_length: subject.layout.piece_len(),
        time: now_ns,
        verified: Bytes::new(standing.verified.as_bytes()),
        version: VERSION,
    });
    let check = sha1(&[&bytes]);
    bytes.extend(check);
    bytes.extend(of_files(subject, standing));
    bytes
}

/// Entries: what is known of files.
fn of_files(subject: &Subject, standing: &Standing) -> Vec<u8> {
    // A stamp of a file says as well that it is ours.
    let says_so = standing.stamps.iter().filter(|(_, stamp)| *stamp != Stamp::OF_NO_FILE);
    let stamped_files: HashSet<u32> = says_so.map(|(file, _)| *file).collect();
    let others = standing.ours.iter().filter(|(file, _)| !stamped_files.contains(file));
    let others: Vec<(u32, u64)> = others.copied().collect();
    let mut entries = stamped(subject.info_hash, &standing.stamps);
    entries.extend(ours(subject.info_hash, &others));
    entries.extend(left(subject.info_hash, &standing.left));
    entries
}

/// Entries: these pieces were hashed and written. In the order of their numbers they take least.
pub(super) fn verified(info_hash: InfoHash, pieces: &[u32]) -> Vec<u8> {
    of_pieces(info_hash, PIECES_VERIFIED, pieces)
}

/// Entries: these pieces are missing.
pub(super) fn lost(info_hash: InfoHash, pieces: &[u32]) -> Vec<u8> {
    of_pieces(info_hash, PIECES_LOST, pieces)
}

fn of_pieces(info_hash: InfoHash, kind: u8, pieces: &[u32]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut rest = pieces;
    while let Some((first, others)) = rest.split_first() {
        let bit = |piece: &u32| NEXT_PIECE.checked_shr(piece.checked_sub(*first)?.checked_sub(1)?);
        let count = others.iter().take_while(|piece| bit(piece).is_some()).count();
        let (with_first, behind) = others.split_at(count);
        let bits = with_first.iter().filter_map(bit).fold(0, |bits, bit| bits | bit);
        let (a, b) = ((bits >> 64) as u64, bits as u64);
        entries.extend(entry(info_hash, kind, *first, a, b.cast_signed()));
        rest = behind;
    }
    entries
}

/// The numbers of the pieces that an entry of them is about.
fn pieces_of(number: u32, a: u64, b: i64) -> impl Iterator<Item = u32> {
    let mut bits = u128::from(a) << 64 | u128::from(b.cast_unsigned());
    let behind = std::iter::from_fn(move || {
        let place = bits.leading_zeros();
        // There is no place behind the last one: none is left.
        bits &= !NEXT_PIECE.checked_shr(place)?;
        number.checked_add(1 + place)
    });
    std::iter::once(number).chain(behind)
}

/// Entries: this is how files look that nothing is written to any more.
pub(super) fn stamped(info_hash: InfoHash, stamps: &[(u32, Stamp)]) -> Vec<u8> {
    of_looks(info_hash, FILE_STAMPED, stamps)
}

/// Entries: this is how our last write left files that more may be written to.
pub(super) fn left(info_hash: InfoHash, stamps: &[(u32, Stamp)]) -> Vec<u8> {
    of_looks(info_hash, FILE_LEFT, stamps)
}

fn of_looks(info_hash: InfoHash, kind: u8, stamps: &[(u32, Stamp)]) -> Vec<u8> {
    let entry = |(file, stamp): &(u32, Stamp)| {
        entry(info_hash, kind, *file, stamp.inode, stamp.modified_ns)
    };
    stamps.iter().flat_map(entry).collect()
}

/// Entries: these files are ours, with their inodes.
pub(super) fn ours(info_hash: InfoHash, files: &[(u32, u64)]) -> Vec<u8> {
    let entry = |(file, inode): &(u32, u64)| entry(info_hash, FILE_OURS, *file, *inode, 0);
    files.iter().flat_map(entry).collect()
}

/// Entries: others wrote to these files.
pub(super) fn doubted(info_hash: InfoHash, files: &[u32]) -> Vec<u8> {
    files.iter().flat_map(|file| entry(info_hash, FILE_DOUBTED, *file, 0, 0)).collect()
}

/// Entry: what the first `len` bytes of the record say is on the device.
pub(super) fn mark(info_hash: InfoHash, len: u64, now_ns: i64) -> Vec<u8> {
    entry(info_hash, MARK, 0, len, now_ns).to_vec()
}

/// Entry: something unverified was written just now.
pub(super) fn touched(info_hash: InfoHash) -> Vec<u8> {
    entry(info_hash, TOUCHED, 0, 0, 0).to_vec()
}

fn entry(info_hash: InfoHash, kind: u8, number: u32, a: u64, b: i64) -> [u8; ENTRY_LEN] {
    let mut entry = [0; ENTRY_LEN];
    entry[0] = kind;
    entry[4..8].copy_from_slice(&number.to_be_bytes());
    entry[8..16].copy_from_slice(&a.to_be_bytes());
    entry[16..24].copy_from_slice(&b.to_be_bytes());
    let check = sha1(&[&info_hash.0, &entry[..ENTRY_LEN - CHECK_LEN]]);
    entry[ENTRY_LEN - CHECK_LEN..].copy_from_slice(&check[..CHECK_LEN]);
    entry
}

/// Reads a record, whatever its bytes are. A torn entry, left by a write that failed half-way,
/// is stepped over; what is not an entry behind that ends it.
///
/// # Errors
/// Why it cannot be used. All that is on disk must be looked at then.
pub fn replay(bytes: &[u8], subject: &Subject, extents: &Extents) -> Result<Replayed, Unfit> {
    let (replayed, entries) = read_head(bytes, subject)?;
    let head_len = (bytes.len() - entries.len()) as u64;
    let mut replay = Replay {
        replayed,
        subject,
        extents,
        noted_until: HashMap::new(),
        in_head: subject.layout.pieces().collect(),
        doubted_files: HashSet::new(),
    };
    replay.entries(entries, head_len);
    let Replay { mut replayed, doubted_files, .. } = replay;
    replayed.stamps.extend(doubted_files.into_iter().map(|file| (file, Stamp::OF_NO_FILE)));
    Ok(replayed)
}

/// A replay on its way.
struct Replay<'a> {
    replayed: Replayed,
    subject: &'a Subject,
    extents: &'a Extents,
    /// Where in the record the last word on a piece ends that no mark covers.
    noted_until: HashMap<PieceIndex, u64>,
    /// Pieces of the head that no mark was seen for; the first one covers them.
    in_head: Vec<PieceIndex>,
    /// Files that others wrote to since their stamp.
    doubted_files: HashSet<u32>,
}

impl Replay<'_> {
    fn entries(&mut self, mut bytes: &[u8], mut at: u64) {
        let mut skipped = 0;
        while let Some(found) = bytes.first_chunk::<ENTRY_LEN>() {
            let number = u32::from_be_bytes([found[4], found[5], found[6], found[7]]);
            let mut values = found[8..].as_chunks::<8>().0.iter().copied();
            let a = values.next().map_or(0, u64::from_be_bytes);
            let b = values.next().map_or(0, i64::from_be_bytes);
            let step = if *found == entry(self.subject.info_hash, found[0], number, a, b) {
                skipped = 0;
                self.apply(at + ENTRY_LEN as u64, found[0], number, a, b);
                ENTRY_LEN
            } else {
                skipped += 1;
                self.replayed.is_whole = false;
                1
            };
            if skipped >= TORN_LEN_MAX {
                return;
            }
            bytes = &bytes[step..];
            at += step as u64;
        }
        self.replayed.is_whole &= bytes.is_empty();
    }

    /// An entry that ends at `end`.
    fn apply(&mut self, end: u64, kind: u8, number: u32, a: u64, b: i64) {
        let layout = self.subject.layout;
        let pieces = pieces_of(number, a, b).filter_map(|number| layout.piece(number));
        match kind {
            FILE_STAMPED if number < self.extents.file_count() => {
                let stamp = Stamp { inode: a, modified_ns: b };
                self.replayed.stamps.insert(number, stamp);
                self.replayed.left.remove(&number);
                if stamp != Stamp::OF_NO_FILE {
                    self.replayed.ours.insert(number, a);
                }
                self.doubted_files.remove(&number);
            }
            FILE_LEFT if number < self.extents.file_count() => {
                self.replayed.stamps.remove(&number);
                self.replayed.left.insert(number, Stamp { inode: a, modified_ns: b });
            }
            FILE_OURS if number < self.extents.file_count() => {
                self.replayed.ours.insert(number, a);
            }
            FILE_DOUBTED if number < self.extents.file_count() => {
                self.doubted_files.insert(number);
            }
            MARK => self.mark(a, b),
            PIECES_VERIFIED => pieces.for_each(|piece| self.verified(piece, end)),
            PIECES_LOST => pieces.for_each(|piece| self.lost(piece)),
            _ => {}
        }
    }

    fn verified(&mut self, piece: PieceIndex, end: u64) {
        self.replayed.verified.insert(piece);
        self.replayed.doubted.remove(piece);
        if !self.replayed.durable.has(piece) {
            self.noted_until.insert(piece, end);
        }
        self.written(piece);
        for file in files_of(self.subject, self.extents, piece) {
            self.replayed.left.remove(&file);
        }
    }

    fn lost(&mut self, piece: PieceIndex) {
        self.replayed.verified.remove(piece);
        self.replayed.durable.remove(piece);
        self.replayed.doubted.remove(piece);
        self.noted_until.remove(&piece);
        self.written(piece);
    }

    fn mark(&mut self, covered: u64, now_ns: i64) {
        for piece in std::mem::take(&mut self.in_head) {
            if self.replayed.verified.has(piece) && !self.noted_until.contains_key(&piece) {
                self.replayed.durable.insert(piece);
            }
        }
        let durable = &mut self.replayed.durable;
        self.noted_until.retain(|piece, end| {
            // Not by a part of what notes it.
            let is_covered = *end <= covered;
            if is_covered {
                durable.insert(*piece);
            }
            !is_covered
        });
        self.replayed.marked_ns = self.replayed.marked_ns.max(now_ns);
    }

    /// The files of the piece changed after their stamps.
    fn written(&mut self, piece: PieceIndex) {
        for file in files_of(self.subject, self.extents, piece) {
            self.replayed.stamps.remove(&file);
        }
    }
}

/// The numbers of the files that have bytes of the piece.
fn files_of(subject: &Subject, extents: &Extents, piece: PieceIndex) -> impl Iterator<Item = u32> {
    let offset = subject.layout.piece_offset(piece);
    let len = u64::from(subject.layout.len_of(piece));
    extents.files_of_range(offset, len).map(|file| file.0)
}

/// What the head says, and the entries behind it.
fn read_head<'a>(bytes: &'a [u8], subject: &Subject) -> Result<(Replayed, &'a [u8]), Unfit> {
    use Unfit::Because;
    let (head, entries) = whole_head(bytes, subject.info_hash)?;
    let integer = |key: &[u8]| head.find(key).and_then(bencode::Value::integer);
    let string = |key: &[u8]| head.find(key).and_then(bencode::Value::bytes);
    let layout = subject.layout;
    let same = integer(b"length").and_then(|len| u64::try_from(len).ok())
        == Some(layout.total_len())
        && integer(b"piece length") == Some(i64::from(layout.piece_len()));
    if !same {
        return Err(Because("it is of another layout"));
    }
    if string(b"dir") != Some(as_bytes(&subject.home.dir)) {
        return Err(Because("the files were in another directory"));
    }
    let set = |key: &[u8]| {
        let set = string(key).and_then(|set| Bitfield::from_wire(set, layout.piece_count()));
        set.ok_or(DAMAGED)
    };
    if string(b"verified").is_some_and(<[u8]>::is_empty) {
        return Err(Because("nothing is known of the files but where they are"));
    }
    let verified = set(b"verified")?;
    let replayed = Replayed {
        durable: set(b"durable")?.intersection(&verified),
        doubted: set(b"doubted")?.minus(&verified),
        verified,
        file_system: integer(b"file system").unwrap_or(0).cast_unsigned(),
        era: string(b"era").unwrap_or_default().to_vec(),
        began_ns: integer(b"time").unwrap_or(0),
        marked_ns: integer(b"time").unwrap_or(0),
        stamps: HashMap::new(),
        ours: HashMap::new(),
        left: HashMap::new(),
        is_whole: true,
        is_current: integer(b"version") == Some(VERSION),
    };
    Ok((replayed, entries))
}

/// Where a record says that the torrent's files are; none when it says nothing that holds.
pub fn home(bytes: &[u8], info_hash: InfoHash) -> Option<Home> {
    Home::read(whole_head(bytes, info_hash).ok()?.0)
}

/// All homes that a record knows, the present one first.
pub(super) fn homes(bytes: &[u8], info_hash: InfoHash) -> Vec<Home> {
    let Ok((head, _)) = whole_head(bytes, info_hash) else { return Vec::new() };
    let Some(present) = Home::read(head) else { return Vec::new() };
    let others = head.find(b"homes").and_then(bencode::Value::list);
    let others = others.into_iter().flatten().filter_map(|home| Home::read(home.dict()?));
    std::iter::once(present).chain(others).collect()
}

const DAMAGED: Unfit = Unfit::Because("it is damaged");

/// A head that nobody edited, of this torrent, and what is behind it.
fn whole_head(bytes: &[u8], info_hash: InfoHash) -> Result<(Dict<'_>, &[u8]), Unfit> {
    use Unfit::{Because, Newer};
    let scan = bencode::scan(bytes, bencode::TORRENT).map_err(|_| DAMAGED)?;
    let head = scan.root().dict().ok_or(DAMAGED)?;
    let integer = |key: &[u8]| head.find(key).and_then(bencode::Value::integer);
    match integer(b"version") {
        Some(OLDEST..=VERSION) => {}
        Some(version) if version > VERSION => return Err(Newer),
        Some(version) if version > 0 => return Err(Because("an older program wrote it")),
        _ => return Err(DAMAGED),
    }
    let (text, behind) = bytes.split_at_checked(scan.len).ok_or(DAMAGED)?;
    let (check, entries) = behind.split_at_checked(20).ok_or(DAMAGED)?;
    if sha1(&[text]) != check {
        return Err(Because("it was edited"));
    }
    if head.find(b"info-hash").and_then(bencode::Value::bytes) != Some(&info_hash.0) {
        return Err(Because("it is of another torrent"));
    }
    Ok((head, entries))
}

#[cfg(test)]
mod tests;
