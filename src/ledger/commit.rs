//! A commit on its way: it has what it needs, so that a thread that may wait can run it while
//! others gather. Either what was gathered is added to pack and ledger, or both are written anew
//! without what nobody needs any more.
//!
//! The pack reaches the device before the ledger names what is in it, and a ledger that is written
//! anew before the old pack goes. What a failed attempt left behind the end is cut off, if the
//! system lets us, and written over by the next one, all of it: a device that failed once may have
//! forgotten what it was given, and would not say so again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::base::digest::sha256;
use crate::base::ids::TorrentId;

use super::device::{Device, Medium};
use super::format::{Found, Head, Kind, Reader, Span, Written};
use super::gathered::{Change, Gathered, Metadata};
use super::replay::{Packed, next_body, read_body, spec_body};
use super::together::SessionSpec;
use super::{LEDGER, pack_name};

/// What is written or copied of a pack at once.
const CHUNK_LEN: usize = 1 << 20;

/// An open pack and the length that counts.
#[derive(Clone, Debug)]
pub(super) struct Pack {
    pub number: u32,
    pub medium: Arc<dyn Medium>,
    pub len: u64,
}

/// Where the entries of a torrent stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    pub spec: Span,
    pub tally: Option<Span>,
    pub packed: Option<Packed>,
    /// It was removed, and its files are to be: its entry is an `Erase`.
    pub is_to_erase: bool,
}

/// What was written: where the entries of the torrents stand now, counts apart; none of one that
/// was removed.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub specs: BTreeMap<TorrentId, Option<Live>>,
    pub tallies: BTreeMap<TorrentId, Span>,
    /// That of all torrents together, if it was written.
    pub session: Option<Span>,
}

/// Gathered changes on their way to the end of pack and ledger.
#[derive(Debug)]
pub(super) struct Append {
    pub batch: Gathered,
    /// The next number, where that is to be told: it is not by what is added.
    pub next: Option<Option<TorrentId>>,
    /// Where the metadata of those lies that bring no other.
    pub packed: BTreeMap<TorrentId, Packed>,
    pub ledger: Arc<dyn Medium>,
    pub ledger_len: u64,
    pub pack: Pack,
    pub serial: u64,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Appended {
    /// All of it is on the device; the ledger is so long now.
    Done(Standing, u64),
    /// Nothing of it counts: the files were removed or replaced, and are to be written anew.
    Gone,
    Failed(&'static str, io::Error),
}

impl Append {
    pub fn run(&mut self) -> Appended {
        match self.is_gone() {
            Ok(false) => {}
            Ok(true) => return Appended::Gone,
            Err(error) => return Appended::Failed(LEDGER, error),
        }
        if let Err(error) = self.pack() {
            // The next attempt writes over what is left.
            let _ = self.pack.medium.cut(self.pack.len);
            return Appended::Failed("pack", error);
        }
        let mut written = Written::new(self.ledger_len, self.serial);
        let standing = self.entries(&mut written);
        let (medium, bytes) = (&self.ledger, &written.bytes);
        match medium.write(self.ledger_len, bytes).and_then(|()| medium.sync()) {
            Ok(()) => Appended::Done(standing, written.end()),
            Err(error) => {
                let _ = medium.cut(self.ledger_len);
                Appended::Failed(LEDGER, error)
            }
        }
    }

    fn is_gone(&self) -> io::Result<bool> {
        Ok(self.ledger.is_gone()? || self.pack.medium.is_gone()?)
    }

    /// Brings new metadata to the device.
    fn pack(&mut self) -> io::Result<()> {
        let mut buffer: Vec<u8> = Vec::new();
        let mut at = self.pack.len;
        let mut places = Vec::new();
        for (id, change) in &self.batch.changes {
            let Some(Metadata::Bytes(bytes)) = change.metadata() else { continue };
            let offset = at + buffer.len() as u64;
            places.push((*id, place(self.pack.number, offset, bytes)?));
            buffer.extend(&**bytes);
            if buffer.len() >= CHUNK_LEN {
                self.pack.medium.write(at, &buffer)?;
                at += buffer.len() as u64;
                buffer.clear();
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        self.pack.medium.write(at, &buffer)?;
        self.pack.medium.sync()?;
        self.pack.len = at + buffer.len() as u64;
        for (id, place) in places {
            let change = self.batch.changes.get_mut(&id);
            if let Some(metadata) = change.and_then(Change::metadata_mut) {
                *metadata = Metadata::Packed(place);
            }
        }
        Ok(())
    }

    fn entries(&self, written: &mut Written) -> Standing {
        let mut standing = Standing::default();
        if let Some(next) = self.next {
            written.add(Kind::Next, TorrentId(0), &next_body(next));
        }
        for (id, change) in &self.batch.changes {
            let now = match change {
                Change::Removed => {
                    written.add(Kind::Removed, *id, &[]);
                    None
                }
                Change::Erased => {
                    written.add(Kind::Erased, *id, &[]);
                    written.add(Kind::Removed, *id, &[]);
                    None
                }
                Change::Wanted { spec, .. } | Change::Erase { spec, .. } => {
                    let packed = match change.metadata() {
                        Some(Metadata::Packed(packed)) => Some(*packed),
                        // All new metadata is in the pack by now.
                        Some(Metadata::Bytes(_)) | None => self.packed.get(id).copied(),
                    };
                    let is_to_erase = matches!(change, Change::Erase { .. });
                    let kind = if is_to_erase { Kind::Erase } else { Kind::Spec };
                    let span = written.add(kind, *id, &spec_body(packed.as_ref(), spec));
                    if is_to_erase {
                        written.add(Kind::Removed, *id, &[]);
                    }
                    Some(Live { spec: span, tally: None, packed, is_to_erase })
                }
            };
            standing.specs.insert(*id, now);
        }
        for (id, tally) in &self.batch.tallies {
            standing.tallies.insert(*id, written.add(Kind::Tally, *id, &tally.encode()));
        }
        let session = self.batch.session.as_ref().map(SessionSpec::encode);
        standing.session = session.map(|body| written.add(Kind::Session, TorrentId(0), &body));
        standing
    }
}

/// Where these bytes lie in the pack.
fn place(pack: u32, offset: u64, bytes: &[u8]) -> io::Result<Packed> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let digest = sha256(&[bytes]);
    let mut hash = [0; 20];
    hash.copy_from_slice(&digest[..20]);
    Ok(Packed { pack, offset, len, hash })
}

/// Ledger, and pack if wanted, on their way to be written anew.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub device: Arc<dyn Device>,
    pub ledger: Arc<dyn Medium>,
    pub ledger_len: u64,
    pub live: BTreeMap<TorrentId, Live>,
    /// The entry of all torrents together, and what it says.
    pub session: Option<(Span, SessionSpec)>,
    pub next: Option<TorrentId>,
    pub serial: u64,
    /// All packs that anything lies in.
    pub packs: BTreeMap<u32, Pack>,
    /// The number of the new pack; none: they stay as they are.
    pub new_pack: Option<u32>,
}

/// What stands there after it.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub ledger: Arc<dyn Medium>,
    pub ledger_len: u64,
    pub live: BTreeMap<TorrentId, Live>,
    pub session: Option<Span>,
    pub pack: Option<Pack>,
}

impl Rewrite {
    /// # Errors
    /// On what, and what the system says. What there was is whole then, under its name or open.
    pub fn run(&mut self) -> Result<Rewritten, (&'static str, io::Error)> {
        let mut live = self.live.clone();
        let pack = self.new_pack.map(|number| self.new_pack(number, &mut live)).transpose();
        let pack = pack.map_err(|error| ("pack", error))?;
        let mut session = None;
        let ledger = self.new_ledger(&mut live, &mut session);
        let ledger = ledger.map_err(|error| (LEDGER, error))?;
        if pack.is_some() {
            for number in self.packs.keys() {
                // One that stays is removed at the next start.
                let _ = self.device.remove(&pack_name(*number));
            }
        }
        let (ledger, ledger_len) = ledger;
        Ok(Rewritten { ledger, ledger_len, live, session, pack })
    }

    /// Copies what is named by anybody, as it lies there: it is checked when it is read.
    fn new_pack(&self, number: u32, live: &mut BTreeMap<TorrentId, Live>) -> io::Result<Pack> {
        let mut places: Vec<&mut Packed> =
            live.values_mut().filter_map(|live| live.packed.as_mut()).collect();
        places.sort_by_key(|packed| (packed.pack, packed.offset));
        let old: Vec<Packed> = places.iter().map(|packed| **packed).collect();
        let name = pack_name(number);
        let mut len = 0;
        for packed in places {
            // What its pack does not have is lost already.
            if self.has(packed) {
                (packed.pack, packed.offset) = (number, len);
                len += u64::from(packed.len);
            }
        }
        self.device.replace(&name, &mut |out| {
            let mut buffer = vec![0; CHUNK_LEN];
            for packed in old.iter().filter(|packed| self.has(packed)) {
                let Some(pack) = self.packs.get(&packed.pack) else { continue };
                let mut at = packed.offset;
                while at < packed.end() {
                    let part = (packed.end() - at).min(CHUNK_LEN as u64) as usize;
                    pack.medium.read(at, &mut buffer[..part])?;
                    out.write_all(&buffer[..part])?;
                    at += part as u64;
                }
            }
            Ok(())
        })?;
        Ok(Pack { number, medium: self.device.open(&name)?, len })
    }

    fn has(&self, packed: &Packed) -> bool {
        self.packs.get(&packed.pack).is_some_and(|pack| packed.end() <= pack.len)
    }

    /// The entries that count, in the order in which they stand.
    fn new_ledger(
        &self,
        live: &mut BTreeMap<TorrentId, Live>,
        session: &mut Option<Span>,
    ) -> io::Result<(Arc<dyn Medium>, u64)> {
        let mut order: Vec<(Span, TorrentId)> = Vec::with_capacity(live.len());
        for (id, live) in &*live {
            order.extend([Some(live.spec), live.tally].into_iter().flatten().map(|it| (it, *id)));
        }
        order.sort_by_key(|(span, _)| span.offset);
        let mut len = 0;
        self.device.replace(LEDGER, &mut |out| {
            let mut reader = Reader::new(&*self.ledger, self.ledger_len);
            let (none, next) = (TorrentId(0), next_body(self.next));
            let mut written = Written::new(0, self.serial);
            written.add(Kind::Next, none, &next);
            if let Some((span, known)) = &self.session {
                *session = Some(match reader.entry(span.offset)? {
                    // As it is: a later program may have said more in it than is known here.
                    Found::Entry(Head { kind: Some(Kind::Session), .. }, body) => {
                        written.add(Kind::Session, none, body)
                    }
                    _ => written.add(Kind::Session, none, &known.encode()),
                });
            }
            for (span, id) in &order {
                let Some(live) = live.get_mut(id) else { continue };
                Self::copy(&mut reader, *span, *id, live, &mut written)?;
                if written.bytes.len() >= CHUNK_LEN {
                    out.write_all(&written.bytes)?;
                    written = Written::new(written.end(), self.serial);
                }
            }
            // Twice, so that damage at one place does not cost it.
            written.add(Kind::Next, none, &next);
            len = written.end();
            out.write_all(&written.bytes)
        })?;
        Ok((self.device.open(LEDGER)?, len))
    }

    /// Copies an entry and notes where it stands.
    fn copy(
        reader: &mut Reader<'_>,
        span: Span,
        id: TorrentId,
        live: &mut Live,
        written: &mut Written,
    ) -> io::Result<()> {
        let damaged = || io::Error::other(format!("the entry of torrent {} is damaged", id.0));
        let Found::Entry(head, body) = reader.entry(span.offset)? else { return Err(damaged()) };
        match head.kind {
            Some(kind @ (Kind::Spec | Kind::Erase)) if head.id == id => {
                let (_, at) = read_body(body).ok_or_else(damaged)?;
                let rest = body.get(at..).unwrap_or_default();
                let body = spec_body(live.packed.as_ref(), rest);
                live.spec = written.add(kind, id, &body);
            }
            Some(Kind::Tally) if head.id == id => {
                live.tally = Some(written.add(Kind::Tally, id, body));
            }
            _ => return Err(damaged()),
        }
        Ok(())
    }
}
