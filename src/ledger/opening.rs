//! Opening a ledger: the lock, what is kept, and files that nobody names any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::TorrentId;
use crate::os::lock::FileLock;
use crate::os::whole::make_dir;

use super::commit::{Live, Pack};
use super::device::{Device, Directory, Medium};
use super::format::{Kind, Reader, Span, Written};
use super::gathered::Gathered;
use super::replay::{Kept, Packed, Replayed, Trouble, Unfit, next_body, read_body, replay};
use super::spec::{Spec, Tally};
use super::together::SessionSpec;
use super::{Error, LEDGER, LOCK, Ledger, REWRITTEN_MIN, pack_name};

/// What was kept.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Restored {
    /// The torrents, in the order of the queue.
    pub torrents: Vec<RestoredTorrent>,
    /// What was wanted of those that were removed, and whose files are to be.
    pub to_erase: Vec<Spec>,
    /// What is wanted of all together.
    pub session: SessionSpec,
    /// What could not be read. The rest is as it was.
    pub troubles: Vec<Trouble>,
}

/// A torrent that was kept.
#[derive(Clone, PartialEq, Debug)]
pub struct RestoredTorrent {
    /// What is wanted of it.
    pub spec: Spec,
    /// What it has done.
    pub tally: Tally,
    /// Its metadata is kept, too: [`Ledger::locate`] finds it.
    pub has_metadata: bool,
}

pub(super) fn open(dir: &Path) -> Result<(Ledger, Restored), Error> {
    let fail = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { operation, path, source }
    };
    make_dir(dir).map_err(fail("make", dir))?;
    let lock = FileLock::take(&dir.join(LOCK))?;
    let device = Arc::new(Directory(dir.to_owned()));
    open_on(device, dir, Some(lock))
}

/// The same, on this device.
pub(super) fn open_on(
    device: Arc<dyn Device>,
    dir: &Path,
    lock: Option<FileLock>,
) -> Result<(Ledger, Restored), Error> {
    let path = dir.join(LEDGER);
    let io = |source| Error::Io { operation: "read", path: path.clone(), source };
    let names = device.names().map_err(io)?;
    let is_new = !names.iter().any(|name| name == LEDGER);
    if is_new {
        begin(&*device).map_err(io)?;
    }
    let ledger = device.open(LEDGER).map_err(io)?;
    let len = ledger.length().map_err(io)?;
    let mut replayed = replay(&*ledger, len).map_err(|unfit| match unfit {
        Unfit::Newer => Error::Newer { path: path.clone() },
        Unfit::Io(source) => io(source),
    })?;
    let secured = secure(&*ledger, len, &replayed).and_then(|()| device.sync_names());
    if let Err(error) = &secured {
        tracing::warn!(path = %path.display(), %error, "what is kept may not be on the device");
    }
    let is_clear = !is_new && replayed.troubles.is_empty();
    let mut troubles = std::mem::take(&mut replayed.troubles);
    let Read { mut torrents, to_erase, live } = read(replayed.torrents, &mut troubles);
    let packs = open_packs(&*device, &names, &live, is_clear).map_err(io)?;
    packs.look_for(&mut torrents, &live, &mut troubles);
    torrents.sort_by_key(|torrent| (torrent.spec.place, torrent.spec.id));
    let spans = live.values().flat_map(|live| [Some(live.spec), live.tally]).flatten();
    let (session_span, session) = replayed.session.unzip();
    let live_bytes = spans.chain(session_span).map(Span::len).sum();
    let packed = live.values().filter_map(|live| live.packed);
    let packed_bytes = packed.map(|it| u64::from(it.len)).sum();
    let ledger = Ledger {
        dir: dir.to_owned(),
        device,
        _lock: lock,
        ledger,
        ledger_len: replayed.end,
        live_bytes,
        known: live.iter().filter(|(_, it)| !it.is_to_erase).map(|(id, _)| *id).collect(),
        removed: to_erase.iter().map(|spec| spec.id).collect(),
        live,
        session: session_span,
        together: session.unwrap_or_default(),
        pack: packs.current,
        packed_bytes,
        old_packs: packs.old,
        last_pack: packs.last,
        serial: replayed.serial,
        next: replayed.next,
        gathered: Gathered::default(),
        fresh: BTreeMap::new(),
        fresh_bytes: 0,
        ticket: 0,
        committed: 0,
        under_way: None,
        // Where that failed, nothing is added before all is written anew.
        is_gone: secured.is_err(),
        rewritten_min: REWRITTEN_MIN,
        rewritten_at: 0,
    };
    let session = session.unwrap_or_default();
    Ok((ledger, Restored { torrents, to_erase, session, troubles }))
}

/// A ledger without torrents. Their numbers begin with 1.
fn begin(device: &dyn Device) -> io::Result<()> {
    let mut written = Written::new(0, 0);
    written.add(Kind::Next, TorrentId(0), &next_body(Some(TorrentId(1))));
    device.replace(LEDGER, &mut |out| out.write_all(&written.bytes))
}

/// Cuts off a torn tail, and brings to the device what was read. The last process may have died
/// before it did, or after the device refused: then it has forgotten what memory still shows.
fn secure(ledger: &dyn Medium, len: u64, replayed: &Replayed) -> io::Result<()> {
    let Replayed { batch, end, .. } = *replayed;
    if end < len {
        tracing::debug!(cut = len - end, "the ledger's torn tail");
        ledger.cut(end)?;
    }
    // A ledger that was written as a whole is on the device.
    let mut at = if batch == 0 { end } else { batch };
    let mut reader = Reader::new(ledger, end);
    while at < end {
        let part = (end - at).min(1 << 20) as usize;
        let Some(bytes) = reader.bytes(at, part)? else { break };
        ledger.write(at, bytes.get(..part).unwrap_or_default())?;
        at += part as u64;
    }
    ledger.sync()
}

/// What entries say of torrents, and where those stand.
struct Read {
    torrents: Vec<RestoredTorrent>,
    /// What was wanted of those whose files are to go.
    to_erase: Vec<Spec>,
    live: BTreeMap<TorrentId, Live>,
}

fn read(kept: BTreeMap<TorrentId, Kept>, troubles: &mut Vec<Trouble>) -> Read {
    let (mut torrents, mut to_erase) = (Vec::with_capacity(kept.len()), Vec::new());
    let mut live = BTreeMap::new();
    for (id, kept) in kept {
        let is_to_erase = kept.is_to_erase;
        let Some((span, body)) = kept.spec else { continue };
        let Some((packed, at)) = read_body(&body) else {
            troubles.push(Trouble::Lost { id });
            continue;
        };
        // What makes no sense stays where it is, for a program to which it does.
        let tally = kept.tally.map(|(span, _)| span);
        live.insert(id, Live { spec: span, tally, packed, is_to_erase });
        match Spec::decode(id, body.get(at..).unwrap_or_default()) {
            Some(spec) if is_to_erase => to_erase.push(spec),
            Some(spec) => {
                let tally = kept.tally.map_or_else(Tally::default, |(_, tally)| tally);
                torrents.push(RestoredTorrent { spec, tally, has_metadata: false });
            }
            None => troubles.push(Trouble::Lost { id }),
        }
    }
    Read { torrents, to_erase, live }
}

/// The packs of a state directory.
struct Packs {
    current: Pack,
    old: BTreeMap<u32, Pack>,
    /// The highest number that one has, or is named by.
    last: u32,
}

impl Packs {
    fn has(&self, packed: &Packed) -> bool {
        let is_current = packed.pack == self.current.number;
        let pack = if is_current { Some(&self.current) } else { self.old.get(&packed.pack) };
        pack.is_some_and(|pack| packed.end() <= pack.len)
    }

    /// Says of torrents whether their metadata is there.
    fn look_for(
        &self,
        torrents: &mut [RestoredTorrent],
        live: &BTreeMap<TorrentId, Live>,
        troubles: &mut Vec<Trouble>,
    ) {
        for torrent in torrents {
            let id = torrent.spec.id;
            let packed = live.get(&id).and_then(|live| live.packed);
            torrent.has_metadata = packed.is_some_and(|packed| self.has(&packed));
            if !torrent.has_metadata && (packed.is_some() || torrent.spec.link.is_none()) {
                troubles.push(Trouble::NoMetadata { id });
            }
        }
    }
}

/// Opens those that entries name, and none else. With a ledger that is whole, others are garbage
/// that a crash left.
fn open_packs(
    device: &dyn Device,
    names: &[String],
    live: &BTreeMap<TorrentId, Live>,
    is_clear: bool,
) -> io::Result<Packs> {
    let mut wanted: BTreeSet<u32> =
        live.values().filter_map(|live| live.packed).map(|packed| packed.pack).collect();
    let mut last = wanted.last().copied().unwrap_or(0);
    let mut packs = BTreeMap::new();
    for name in names {
        let Some((number, is_whole)) = number_of(name) else { continue };
        last = last.max(number);
        if is_whole && wanted.remove(&number) {
            let medium = device.open(name)?;
            let len = medium.length()?;
            packs.insert(number, Pack { number, medium, len });
        } else if is_clear {
            device.remove(name)?;
        }
    }
    let current = match packs.pop_last() {
        Some((_, pack)) => pack,
        None => {
            last = last.saturating_add(1);
            let name = pack_name(last);
            device.replace(&name, &mut |_| Ok(()))?;
            Pack { number: last, medium: device.open(&name)?, len: 0 }
        }
    };
    Ok(Packs { current, old: packs, last })
}

/// The number of a pack of this name, and whether it is more than half of one.
fn number_of(name: &str) -> Option<(u32, bool)> {
    let rest = name.strip_prefix("torrents-")?;
    let (number, is_whole) = match rest.strip_suffix(".pack") {
        Some(number) => (number, true),
        None => (rest.strip_suffix(".pack.new")?, false),
    };
    Some((number.parse().ok()?, is_whole))
}
