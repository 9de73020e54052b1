//! A whole blocklist, as it lies in a file: text in lines ([`line`](super::line)) or PeerGuardian's
//! P2B (versions 1 to 3), either of them packed by gzip or as the only file of a zip archive. Reads
//! from anything and keeps nothing but ranges: a list may be long, and is never held whole. One
//! bad line harms no other, and is counted.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};

use super::line::{Line, Range};
use super::table::{Builder, RANGES_MAX, Table, TooMany};

/// The most bytes of a list, packed and unpacked.
pub const LIST_LEN_MAX: u64 = 256 << 20;
/// The longest line that is looked at.
const LINE_LEN_MAX: u64 = 16 << 10;
/// How a P2B begins, before its version.
const P2B: [u8; 7] = *b"\xff\xff\xff\xffP2B";
/// How a gzip stream begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How a file in a zip archive begins.
const ZIP_FILE: [u8; 4] = *b"PK\x03\x04";
/// How its directory begins, behind the last one.
const ZIP_DIRECTORY: [u8; 4] = *b"PK\x01\x02";

/// Why something is no blocklist, in words that stand behind its name.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// It does not come.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is a directory, or a pipe, which may never end.
    #[error("it is no regular file")]
    NoFile,
    /// It is longer than anybody's list.
    #[error("it is longer than {} MiB", LIST_LEN_MAX >> 20)]
    TooLong,
    /// So many ranges take too much memory.
    #[error("it has more than {RANGES_MAX} ranges")]
    TooMany,
    /// An archive of another kind.
    #[error("{0}; unpack it first")]
    Archive(&'static str),
    /// It ends where it must not.
    #[error("it is cut off")]
    Cut,
    /// It is binary, of a version that nobody has described.
    #[error("it is P2B of version {0}, which is not known")]
    Version(u8),
    /// Nothing in it can be used.
    #[error("nothing in it is an address or a range of addresses ({} cannot be read)", lines(*bad))]
    Nothing {
        /// Lines that cannot be read.
        bad: u64,
    },
    /// Whoever made it can hardly have meant that.
    #[error("it blocks more than half of all addresses; --blocklist-force takes it all the same")]
    Broad,
}

/// So many of them.
fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

impl From<io::Error> for Flaw {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::FileTooLarge => Self::TooLong,
            io::ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::Unreadable(cause),
        }
    }
}

impl From<TooMany> for Flaw {
    fn from(_: TooMany) -> Self {
        Self::TooMany
    }
}

/// A list that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// What it blocks.
    pub table: Arc<Table>,
    /// Lines, or entries of a P2B, that cannot be read.
    pub bad: u64,
}

impl List {
    /// Reads a list of any format. One that blocks more than half of all IPv4 addresses is refused
    /// unless that is `forced`.
    ///
    /// # Errors
    /// See [`Flaw`]. A list in which nothing can be used is an error, never an empty list.
    pub fn read(source: impl Read, forced: bool) -> Result<Self, Flaw> {
        Self::read_within(LIST_LEN_MAX, source, forced)
    }

    fn read_within(most: u64, source: impl Read, forced: bool) -> Result<Self, Flaw> {
        let mut reading = Reading::default();
        unpacked(most, source, &mut reading)?;
        let Reading { ranges, bad } = reading;
        let table = ranges.table()?;
        match table.count() {
            0 => Err(Flaw::Nothing { bad }),
            _ if table.is_broad() && !forced => Err(Flaw::Broad),
            _ => Ok(Self { table: Arc::new(table), bad }),
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    ranges: Builder,
    bad: u64,
}

/// Reads what may be packed, at most so many bytes before and behind.
fn unpacked(most: u64, source: impl Read, reading: &mut Reading) -> Result<(), Flaw> {
    let bounded = Bounded { source, left: most };
    let mut source = BufReader::with_capacity(64 << 10, bounded);
    let mut begin = [0; 4];
    let len = read_up_to(&mut source, &mut begin)?;
    let begin = begin.get(..len).unwrap_or_default();
    let mut source = begin.chain(source);
    if begin.starts_with(&GZIP) {
        let unpacked = Bounded { source: MultiGzDecoder::new(source), left: most };
        return reading.whole(unpacked);
    }
    if begin == ZIP_FILE {
        return zipped(most, source, reading);
    }
    match begin {
        [b'P', b'K', 5 | 7, 6 | 8] => Err(Flaw::Archive("it is a zip archive without a file")),
        [b'7', b'z', 0xbc, 0xaf] => Err(Flaw::Archive("it is a 7z archive")),
        [b'R', b'a', b'r', b'!'] => Err(Flaw::Archive("it is a rar archive")),
        [0xfd, b'7', b'z', b'X'] => Err(Flaw::Archive("it is packed by xz")),
        [b'B', b'Z', b'h', b'1'..=b'9'] => Err(Flaw::Archive("it is packed by bzip2")),
        [0x28, 0xb5, 0x2f, 0xfd] => Err(Flaw::Archive("it is packed by zstd")),
        _ => reading.any(&mut source),
    }
}

/// Reads the only file of a zip archive, by its own head; the directory at the end names others.
fn zipped(most: u64, mut source: impl BufRead, reading: &mut Reading) -> Result<(), Flaw> {
    let mut head = [0; 30];
    source.read_exact(&mut head)?;
    let two = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (flags, method) = (two(6), two(8));
    let len = u32::from_le_bytes([head[18], head[19], head[20], head[21]]);
    if flags & 1 > 0 {
        return Err(Flaw::Archive("it is a zip archive with a password"));
    }
    let name_len = u64::from(two(26)) + u64::from(two(28));
    io::copy(&mut (&mut source).take(name_len), &mut io::sink())?;
    match method {
        // Without its length nobody knows where it ends.
        0 if flags & 8 == 0 => {
            reading.whole((&mut source).take(len.into()))?;
        }
        8 => {
            let mut file = DeflateDecoder::new(&mut source);
            reading.whole(Bounded { source: &mut file, left: most })?;
        }
        _ => return Err(Flaw::Archive("it is a zip archive that is packed in an unusual way")),
    }
    // What follows is a directory, behind 24 bytes of lengths at most, or another file. By that it
    // is known, too, that the file has come whole: what is packed has no end of its own here.
    let mut behind = [0; 28];
    let len = read_up_to(&mut source, &mut behind)?;
    let follows = |begin| behind.get(..len).is_some_and(|it| it.windows(4).any(|at| at == begin));
    match (follows(ZIP_FILE), follows(ZIP_DIRECTORY)) {
        (true, _) => Err(Flaw::Archive("it is a zip archive of several files")),
        (false, true) => Ok(()),
        (false, false) => Err(Flaw::Cut),
    }
}

impl Reading {
    /// Reads what was packed, to its end, by which it is known to be whole.
    fn whole(&mut self, source: impl Read) -> Result<(), Flaw> {
        let mut source = BufReader::new(source);
        self.any(&mut source)?;
        io::copy(&mut source, &mut io::sink())?;
        Ok(())
    }

    /// Reads what is not packed.
    fn any(&mut self, mut source: impl BufRead) -> Result<(), Flaw> {
        let mut begin = [0; P2B.len()];
        let len = read_up_to(&mut source, &mut begin)?;
        if begin == P2B {
            return self.binary(source);
        }
        self.lines(begin.get(..len).unwrap_or_default().chain(source))
    }

    fn lines(&mut self, mut source: impl BufRead) -> Result<(), Flaw> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let len = (&mut source).take(LINE_LEN_MAX).read_until(b'\n', &mut line)?;
            if len == 0 {
                return Ok(());
            }
            if len as u64 == LINE_LEN_MAX && line.last() != Some(&b'\n') {
                source.skip_until(b'\n')?;
                self.bad += 1;
                continue;
            }
            match Line::parse(&line) {
                Line::Blocked(range) => self.ranges.add(range)?,
                Line::Bad => self.bad += 1,
                Line::Empty | Line::Allowed => {}
            }
        }
    }

    /// A P2B behind its first bytes: names that end with a zero, and addresses, the highest byte
    /// first. In versions 1 and 2, which differ in the encoding of names, each range has one; in
    /// version 3 all names come first.
    fn binary(&mut self, mut source: impl BufRead) -> Result<(), Flaw> {
        let [version] = bytes(&mut source)?;
        match version {
            1 | 2 => {
                while !source.fill_buf()?.is_empty() {
                    skip_name(&mut source)?;
                    self.binary_range(&mut source)?;
                }
            }
            3 => {
                for _ in 0..u32::from_be_bytes(bytes(&mut source)?) {
                    skip_name(&mut source)?;
                }
                for _ in 0..u32::from_be_bytes(bytes(&mut source)?) {
                    let _name: [u8; 4] = bytes(&mut source)?;
                    self.binary_range(&mut source)?;
                }
            }
            other => return Err(Flaw::Version(other)),
        }
        Ok(())
    }

    fn binary_range(&mut self, source: &mut impl BufRead) -> Result<(), Flaw> {
        let first = u32::from_be_bytes(bytes(source)?);
        let last = u32::from_be_bytes(bytes(source)?);
        match first <= last {
            true => self.ranges.add(Range::Four(first, last))?,
            false => self.bad += 1,
        }
        Ok(())
    }
}

fn bytes<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn skip_name(source: &mut impl BufRead) -> io::Result<()> {
    match source.skip_until(0)? {
        // So many names may be promised that only to look for them would take for ever.
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        // One that is cut off is seen by what must follow.
        _ => Ok(()),
    }
}

/// Fills as much of `room` as there is something for.
fn read_up_to(source: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(free) = room.get_mut(len..).filter(|free| !free.is_empty()) {
        match source.read(free) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// At most so many bytes; one more is an error, not the end.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(room)?;
        self.left = self.left.checked_sub(len as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(len)
    }
}

#[cfg(test)]
mod tests;
