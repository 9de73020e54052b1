//! What of a session outlives its process: what is wanted of each torrent ([`Spec`]), what it has
//! done ([`Tally`]), and its metadata. A state directory has, beside a lock:
//!
//! - `session.ledger`: entries, each with its check, that are only added to; a later one of a
//!   torrent takes the place of an earlier one. When more than half of it is stale it is written
//!   anew, beside and then renamed.
//! - `torrents-N.pack`: the `.torrent`s, one after the other. Entries name a place in it and a
//!   hash; nothing of it is read before somebody wants a torrent. When more than half of it is
//!   garbage, pack N + 1 is made, then a ledger that names it, and then pack N goes.
//!
//! Changes are gathered in memory and written by a commit, which may wait for the device; what was
//! gathered before it began is on the device when it has ended well. A commit that fails leaves
//! what was, and its changes stay gathered.
//!
//! | part | what it knows |
//! |---|---|
//! | `spec` | what is kept of a torrent, as values and bytes |
//! | `together` | what is kept of all of them together, likewise |
//! | `format` | entries and their checks |
//! | `replay` | what a ledger says, damaged or not |
//! | `gathered` | what is to be written |
//! | `commit` | writing it, on any thread |
//! | `device` | files, or a test's model of them |
//! | `pace` | when to commit |
//! | `task` | the hand that does, for a session |
//! | `threads` | which it has for what waits for the device |

mod commit;
mod device;
mod format;
mod gathered;
mod opening;
mod pace;
mod replay;
mod spec;
pub mod task;
#[cfg(test)]
mod tests;
mod threads;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::digest::sha256;
use crate::base::ids::TorrentId;
use crate::metainfo::TORRENT_LEN_MAX;
use crate::os::lock::{FileLock, Refused};

use commit::{Append, Appended, Live, Pack, Rewrite, Rewritten, Standing};
use device::{Device, Medium};
use format::Span;
use gathered::{Change, Gathered, Metadata};
use replay::Packed;

pub use opening::{Restored, RestoredTorrent};
pub use replay::Trouble;
pub use spec::{Goals, Place, Selection, Spec, Tally, Ways, Whole};
pub use together::{Limits, SessionSpec};

/// The ledger's name in the state directory.
pub const LEDGER: &str = "session.ledger";
const LOCK: &str = "session.lock";
/// Shorter files are not written anew.
const REWRITTEN_MIN: u64 = 256 << 10;
/// Metadata that may wait for the device: one as large as can be, or ten thousand common ones.
const FRESH_BYTES_MAX: u64 = 512 << 20;

fn pack_name(number: u32) -> String {
    format!("torrents-{number}.pack")
}

/// What can go wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the state directory, or the system does not let us have it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A newer program wrote the ledger. It is left as it is.
    #[error("{} was written by a newer program: use that one", .path.display())]
    Newer {
        /// The ledger.
        path: PathBuf,
    },
    /// The machine's fault, or its user's.
    #[error("cannot {operation} {}: {source}", .path.display())]
    Io {
        /// What was tried, as in "write".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// More than a ledger takes of one torrent, or of many while the device does not keep up.
    #[error("torrent {} cannot be kept: {what}", .id.0)]
    TooMuch {
        /// The torrent.
        id: TorrentId,
        /// What is too much.
        what: &'static str,
    },
    /// Nobody has added it.
    #[error("torrent {} was not added", .id.0)]
    Unknown {
        /// The torrent.
        id: TorrentId,
    },
    /// What was kept is not there, or not what it was.
    #[error("the metadata of torrent {} is {what}", .id.0)]
    NoMetadata {
        /// The torrent.
        id: TorrentId,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A session's ledger; one process has it at a time.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    device: Arc<dyn Device>,
    _lock: Option<FileLock>,
    ledger: Arc<dyn Medium>,
    ledger_len: u64,
    /// Bytes of entries that count.
    live_bytes: u64,
    live: BTreeMap<TorrentId, Live>,
    /// Where the entry of all torrents together stands,
    session: Option<Span>,
    /// and what is wanted of them.
    together: SessionSpec,
    /// The pack that is added to.
    pack: Pack,
    /// Bytes in packs that some entry names.
    packed_bytes: u64,
    /// Others that something may lie in.
    old_packs: BTreeMap<u32, Pack>,
    /// The highest number that a pack was given.
    last_pack: u32,
    serial: u64,
    next: Option<TorrentId>,
    /// Torrents that there are, by what was said last.
    known: BTreeSet<TorrentId>,
    /// Those that were removed in its life.
    removed: BTreeSet<TorrentId>,
    gathered: Gathered,
    /// Metadata that no entry on the device names yet.
    fresh: BTreeMap<TorrentId, Arc<[u8]>>,
    fresh_bytes: u64,
    /// Changes that were gathered in its life, and how many of the first of them are on the device.
    ticket: u64,
    committed: u64,
    /// The ticket of the commit that is on its way.
    under_way: Option<u64>,
    /// The files are to be written anew before anything is added.
    is_gone: bool,
    /// Files that are no longer than this stay as they are.
    rewritten_min: u64,
    /// When they have grown to this, they may be written anew.
    rewritten_at: u64,
}

/// A commit on its way: [`run`](Self::run) it, on a thread that may wait, and give back what it
/// returns.
#[derive(Debug)]
pub struct Commit(Work);

#[derive(Debug)]
enum Work {
    Append(Box<Append>),
    Rewrite(Rewrite),
}

/// A commit that has ended, well or not.
#[derive(Debug)]
pub struct Ran(Outcome);

#[derive(Debug)]
enum Outcome {
    Append(Box<Append>, Appended),
    Rewrite(Result<Rewritten, (&'static str, io::Error)>),
}

impl Commit {
    /// Does it. Waits for the device.
    pub fn run(self) -> Ran {
        Ran(match self.0 {
            Work::Append(mut work) => {
                let appended = work.run();
                Outcome::Append(work, appended)
            }
            Work::Rewrite(mut work) => Outcome::Rewrite(work.run()),
        })
    }
}

/// Where the metadata of a torrent is to be had.
#[derive(Clone, Debug)]
pub struct Located {
    id: TorrentId,
    place: Where,
}

#[derive(Clone, Debug)]
enum Where {
    Memory(Arc<[u8]>),
    Pack(Arc<dyn Medium>, Packed),
}

impl Located {
    /// Reads the `.torrent`, and checks that it is what was kept. Waits for the device.
    ///
    /// # Errors
    /// `NoMetadata`.
    pub fn read(&self) -> Result<Arc<[u8]>, Error> {
        let fail = |what| Error::NoMetadata { id: self.id, what };
        let (medium, packed) = match &self.place {
            Where::Memory(bytes) => return Ok(bytes.clone()),
            Where::Pack(medium, packed) => (medium, packed),
        };
        // Nothing is allocated for what is not there.
        let len = medium.length().map_err(|_| fail("unreadable"))?;
        if packed.end() > len || packed.len as usize > TORRENT_LEN_MAX {
            return Err(fail("not there"));
        }
        let mut bytes = vec![0; packed.len as usize];
        medium.read(packed.offset, &mut bytes).map_err(|_| fail("unreadable"))?;
        match sha256(&[&bytes]).starts_with(&packed.hash) {
            true => Ok(bytes.into()),
            false => Err(fail("damaged")),
        }
    }
}

impl Ledger {
    /// Takes the state directory, made when missing, and reads what is kept there.
    ///
    /// # Errors
    /// `Refused` when somebody has it, `Newer`, `Io`.
    pub fn open(dir: &Path) -> Result<(Self, Restored), Error> {
        opening::open(dir)
    }

    /// The number for a torrent that is to be added; none when all were used. It is the same until
    /// one is.
    pub fn next_id(&self) -> Option<TorrentId> {
        self.next
    }

    /// Adds a torrent with its metadata, the bytes of a `.torrent`; one that came by a link has
    /// none yet, and is added again when they are known. Torrents may be added in another order
    /// than that of their numbers. One that was removed stays so.
    ///
    /// # Errors
    /// `TooMuch`; nothing is added then.
    pub fn add(&mut self, spec: &Spec, torrent: Option<Arc<[u8]>>) -> Result<(), Error> {
        self.gather(spec, torrent)
    }

    /// Keeps what is wanted of a torrent now. One that was removed stays so.
    ///
    /// # Errors
    /// `Unknown` when it was never added, `TooMuch`; what was is kept then.
    pub fn put(&mut self, spec: &Spec) -> Result<(), Error> {
        let id = spec.id;
        match self.knows(id) {
            true => self.gather(spec, None),
            false => Err(Error::Unknown { id }),
        }
    }

    fn gather(&mut self, spec: &Spec, torrent: Option<Arc<[u8]>>) -> Result<(), Error> {
        let id = spec.id;
        if self.removed.contains(&id) {
            // Whoever says this has not heard of it yet.
            return Ok(());
        }
        let fail = |what| Error::TooMuch { id, what };
        let body = spec.encode().ok_or(fail("its settings are longer than a MiB"))?;
        if let Some(bytes) = &torrent {
            let len = bytes.len() as u64;
            if bytes.len() > TORRENT_LEN_MAX {
                return Err(fail("its metadata is too long"));
            }
            if self.fresh_bytes > 0 && self.fresh_bytes + len > FRESH_BYTES_MAX {
                return Err(fail("the disk does not keep up"));
            }
            let before = self.fresh.insert(id, bytes.clone());
            self.fresh_bytes += len;
            self.fresh_bytes -= before.map_or(0, |before| before.len() as u64);
        }
        self.ticket += 1;
        self.known.insert(id);
        if self.next.is_some_and(|next| next <= id) {
            self.next = id.0.checked_add(1).map(TorrentId);
        }
        let metadata = torrent.map(Metadata::Bytes);
        self.gathered.change(id, Change::Wanted { spec: body, metadata });
        Ok(())
    }

    /// A number was given to a torrent that may never be added: no other one gets it.
    pub fn used(&mut self, id: TorrentId) {
        if self.next.is_some_and(|next| next <= id) {
            self.next = id.0.checked_add(1).map(TorrentId);
            self.ticket += 1;
            self.gathered.has_next = true;
        }
    }

    /// Is there, or was there in its life, a torrent of this number?
    pub fn knows(&self, id: TorrentId) -> bool {
        self.known.contains(&id) || self.removed.contains(&id)
    }

    /// Keeps what is wanted of all torrents together now.
    pub fn put_session(&mut self, session: SessionSpec) {
        self.ticket += 1;
        self.together = session;
        self.gathered.session = Some(session);
    }

    /// Removes a torrent. Its number is not used again.
    pub fn remove(&mut self, id: TorrentId) {
        if self.known.remove(&id) {
            self.ticket += 1;
            self.removed.insert(id);
            self.forget_fresh(id);
            self.gathered.change(id, Change::Removed);
        }
    }

    /// Removes a torrent whose files are to go as well: what is wanted of it is kept until they
    /// are [`erased`](Self::erased), and told at the next start where they are not.
    ///
    /// # Errors
    /// `Unknown` when it is not there, `TooMuch`; nothing is removed then.
    pub fn erase(&mut self, spec: &Spec) -> Result<(), Error> {
        let id = spec.id;
        if !self.known.contains(&id) {
            return Err(Error::Unknown { id });
        }
        let what = "its settings are longer than a MiB";
        let body = spec.encode().ok_or(Error::TooMuch { id, what })?;
        self.ticket += 1;
        self.known.remove(&id);
        self.removed.insert(id);
        self.gathered.change(id, Change::Erase { spec: body, metadata: None });
        Ok(())
    }

    /// The files of a torrent that was removed are gone, or are to stay.
    pub fn erased(&mut self, id: TorrentId) {
        if self.removed.contains(&id) {
            self.ticket += 1;
            self.forget_fresh(id);
            self.gathered.change(id, Change::Erased);
        }
    }

    /// Keeps what a torrent has done. Nobody waits for that.
    pub fn tally(&mut self, id: TorrentId, tally: Tally) {
        if self.known.contains(&id) {
            self.gathered.tallies.insert(id, tally);
        }
    }

    /// Where the metadata of a torrent is; none when it is not known. Does not wait.
    pub fn locate(&self, id: TorrentId) -> Option<Located> {
        if let Some(bytes) = self.fresh.get(&id) {
            return Some(Located { id, place: Where::Memory(bytes.clone()) });
        }
        let packed = self.live.get(&id)?.packed?;
        let is_here = packed.pack == self.pack.number;
        let pack = if is_here { Some(&self.pack) } else { self.old_packs.get(&packed.pack) };
        Some(Located { id, place: Where::Pack(pack?.medium.clone(), packed) })
    }

    /// How many changes were gathered so far.
    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    /// How many of them are on the device: whoever made a change knows by its ticket.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Is there anything to be written but counts?
    pub fn has_changes(&self) -> bool {
        let gathered = &self.gathered;
        !gathered.changes.is_empty() || gathered.has_next || gathered.session.is_some()
    }

    /// Are there counts to be written?
    pub fn has_tallies(&self) -> bool {
        !self.gathered.tallies.is_empty()
    }

    /// Begins to write what was gathered, counts only if they are due. None when there is nothing
    /// to write, and while another one is on its way.
    pub fn begin(&mut self, with_tallies: bool) -> Option<Commit> {
        let is_due = self.has_changes() || (with_tallies && self.has_tallies());
        if self.under_way.is_some() || !is_due {
            return None;
        }
        if self.is_gone {
            return Some(self.rewriting());
        }
        self.serial += 1;
        self.under_way = Some(self.ticket);
        Some(Commit(Work::Append(Box::new(self.appending(with_tallies)))))
    }

    /// Begins to write all anew, if much of it is of no use any more. Whatever comes of it, nothing
    /// is lost by it. None where it is not worth it, and while a commit is on its way.
    pub fn shorten(&mut self) -> Option<Commit> {
        let is_due = self.under_way.is_none() && self.is_overgrown();
        is_due.then(|| self.rewriting())
    }

    fn appending(&mut self, with_tallies: bool) -> Append {
        let batch = self.gathered.take(with_tallies);
        let next = batch.has_next.then_some(self.next);
        let packed = batch.changes.keys();
        let packed = packed.filter_map(|id| Some((*id, self.live.get(id)?.packed?))).collect();
        Append {
            batch,
            next,
            packed,
            ledger: self.ledger.clone(),
            ledger_len: self.ledger_len,
            pack: self.pack.clone(),
            serial: self.serial,
        }
    }

    fn rewriting(&mut self) -> Commit {
        self.serial += 1;
        self.under_way = Some(self.committed);
        let mut packs = self.old_packs.clone();
        packs.insert(self.pack.number, self.pack.clone());
        let new_pack = (self.is_gone || self.is_pack_overgrown()).then(|| {
            // Never one that a ledger may name which failed half-way.
            self.last_pack += 1;
            self.last_pack
        });
        Commit(Work::Rewrite(Rewrite {
            device: self.device.clone(),
            ledger: self.ledger.clone(),
            ledger_len: self.ledger_len,
            live: self.live.clone(),
            session: self.session.map(|span| (span, self.together)),
            next: self.next,
            serial: self.serial,
            packs,
            new_pack,
        }))
    }

    fn is_overgrown(&self) -> bool {
        let is_stale =
            self.ledger_len > self.rewritten_min && self.live_bytes < self.ledger_len / 2;
        let grown = self.ledger_len + self.pack.len;
        (is_stale || self.is_pack_overgrown()) && grown >= self.rewritten_at
    }

    fn is_pack_overgrown(&self) -> bool {
        let old: u64 = self.old_packs.values().map(|pack| pack.len).sum();
        let len = self.pack.len + old;
        len > self.rewritten_min && self.packed_bytes < len / 2
    }

    /// Takes in how a commit went.
    ///
    /// # Errors
    /// `Io`: what was is whole, and the changes stay gathered.
    pub fn end(&mut self, ran: Ran) -> Result<(), Error> {
        let ticket = self.under_way.take().unwrap_or(self.committed);
        match ran.0 {
            Outcome::Append(work, outcome) => self.appended(*work, outcome, ticket),
            Outcome::Rewrite(Ok(rewritten)) => {
                self.rewritten(rewritten);
                Ok(())
            }
            Outcome::Rewrite(Err((what, source))) => {
                // Not again at each change: half a disk's worth may be written for nothing.
                let grown = self.ledger_len + self.pack.len;
                self.rewritten_at = grown + grown / 8;
                Err(self.io(what, self.last_pack, source))
            }
        }
    }

    fn appended(&mut self, work: Append, outcome: Appended, ticket: u64) -> Result<(), Error> {
        self.pack.len = work.pack.len;
        match outcome {
            Appended::Done(standing, len) => {
                self.committed = ticket;
                self.ledger_len = len;
                self.stand(standing);
                Ok(())
            }
            Appended::Gone => {
                self.is_gone = true;
                self.gathered.take_back(work.batch);
                Ok(())
            }
            Appended::Failed(what, source) => {
                self.gathered.take_back(work.batch);
                Err(self.io(what, self.pack.number, source))
            }
        }
    }

    /// Takes in where entries stand.
    fn stand(&mut self, standing: Standing) {
        for (id, now) in standing.specs {
            let before = self.live.remove(&id);
            self.live_bytes -= before.map_or(0, |live| live.spec.len());
            self.packed_bytes -= before.and_then(|live| live.packed).map_or(0, |it| it.len.into());
            let before_tally = before.and_then(|live| live.tally);
            // Of one that has left nobody counts any more.
            let tally = before_tally.filter(|_| now.is_some_and(|now| !now.is_to_erase));
            self.live_bytes -= before_tally.filter(|_| tally.is_none()).map_or(0, Span::len);
            let Some(now) = now else { continue };
            self.live_bytes += now.spec.len();
            self.packed_bytes += now.packed.map_or(0, |it| u64::from(it.len));
            self.live.insert(id, Live { tally, ..now });
            // Newer metadata may have come meanwhile.
            let newer = self.gathered.changes.get(&id);
            let is_fresh = newer.is_some_and(|newer| newer.metadata().is_some());
            if now.packed.is_some() && !is_fresh {
                self.forget_fresh(id);
            }
        }
        if let Some(span) = standing.session {
            self.live_bytes += span.len();
            self.live_bytes -= self.session.replace(span).map_or(0, Span::len);
        }
        for (id, span) in standing.tallies {
            if let Some(live) = self.live.get_mut(&id) {
                self.live_bytes += span.len();
                self.live_bytes -= live.tally.map_or(0, |span| span.len());
                live.tally = Some(span);
            }
        }
    }

    fn rewritten(&mut self, rewritten: Rewritten) {
        let Rewritten { ledger, ledger_len, live, session, pack } = rewritten;
        (self.ledger, self.ledger_len) = (ledger, ledger_len);
        (self.live, self.session) = (live, session);
        self.live_bytes = ledger_len;
        if let Some(pack) = pack {
            self.packed_bytes = pack.len;
            self.pack = pack;
            self.old_packs.clear();
            // What lay in the old one, and no entry named.
            self.gathered.unpack(&self.fresh);
        }
        (self.is_gone, self.rewritten_at) = (false, 0);
    }

    fn forget_fresh(&mut self, id: TorrentId) {
        let bytes = self.fresh.remove(&id);
        self.fresh_bytes -= bytes.map_or(0, |bytes| bytes.len() as u64);
    }

    /// The failure of the ledger, or of the pack of this number.
    fn io(&self, what: &str, pack: u32, source: io::Error) -> Error {
        let name = if what == LEDGER { LEDGER.to_owned() } else { pack_name(pack) };
        Error::Io { operation: "write", path: self.dir.join(name), source }
    }

    /// Writes all that was gathered; it is on the device when this returns. Waits for the device.
    ///
    /// # Errors
    /// `Io`: what was is whole, and what was gathered stays so.
    pub fn commit(&mut self) -> Result<(), Error> {
        let ticket = self.ticket;
        while self.committed < ticket || self.has_tallies() {
            let Some(commit) = self.begin(true) else { break };
            self.end(commit.run())?;
        }
        // Writing it anew saves room, and nothing that was promised.
        let shorter = self.shorten().map_or(Ok(()), |commit| self.end(commit.run()));
        if let Err(error) = shorter {
            tracing::warn!(%error, "the ledger could not be made shorter");
        }
        Ok(())
    }
}
