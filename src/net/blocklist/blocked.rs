//! Which addresses are blocked, and how often that mattered: what everybody asks. Not here: where
//! the lists come from.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::parse::List;
use super::table::Table;

/// What is refused to an address that is blocked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// To be dialled.
    Dial,
    /// To come in.
    Connection,
    /// To send us a datagram, or to get one.
    Datagram,
}

/// A list as people are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Where it comes from, without what may be secret.
    pub list: String,
    /// Its ranges.
    pub ranges: usize,
    /// Its lines that cannot be read.
    pub bad: u64,
    /// Why it is not newer than it is, if it ought to be.
    pub trouble: Option<String>,
}

/// How much was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Addresses that would have been dialled.
    pub dials: u64,
    /// Connections.
    pub connections: u64,
    /// Datagrams of the DHT, both ways.
    pub datagrams: u64,
}

/// Which addresses are blocked; cheap to clone. The default one blocks none.
#[derive(Clone, Debug, Default)]
pub struct Blocklist {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lists: watch::Sender<Vec<Entry>>,
    dials: AtomicU64,
    connections: AtomicU64,
    datagrams: AtomicU64,
}

#[derive(Clone, Debug)]
struct Entry {
    standing: Standing,
    /// None while it is not there yet: then everybody is blocked.
    table: Option<Arc<Table>>,
}

impl Blocklist {
    /// Is this address blocked?
    pub fn contains(&self, ip: IpAddr) -> bool {
        let blocks = |entry: &Entry| entry.table.as_ref().is_none_or(|table| table.contains(ip));
        self.shared.lists.borrow().iter().any(blocks)
    }

    /// Whether this is refused to an address, and counts it if so.
    pub fn refuses(&self, ip: IpAddr, what: Refused) -> bool {
        let is_blocked = self.contains(ip);
        if is_blocked {
            self.count(what);
        }
        is_blocked
    }

    /// Something was refused.
    pub fn count(&self, what: Refused) {
        let count = match what {
            Refused::Dial => &self.shared.dials,
            Refused::Connection => &self.shared.connections,
            Refused::Datagram => &self.shared.datagrams,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Is there any list?
    pub fn is_on(&self) -> bool {
        !self.shared.lists.borrow().is_empty()
    }

    /// Tells when other addresses are blocked than before.
    pub fn watch(&self) -> Changes {
        Changes(self.shared.lists.subscribe())
    }

    /// Its lists, in the order in which they were named.
    pub fn standings(&self) -> Vec<Standing> {
        self.shared.lists.borrow().iter().map(|entry| entry.standing.clone()).collect()
    }

    /// A list that is not there yet, so that everybody is blocked; why is its `trouble`.
    pub fn awaited(&self) -> Option<Standing> {
        let lists = self.shared.lists.borrow();
        lists.iter().find(|entry| entry.table.is_none()).map(|entry| entry.standing.clone())
    }

    /// How much was refused so far.
    pub fn tally(&self) -> Tally {
        let Shared { dials, connections, datagrams, .. } = &*self.shared;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally { dials: read(dials), connections: read(connections), datagrams: read(datagrams) }
    }

    /// Takes these lists instead of those that there are.
    pub fn set(&self, lists: impl IntoIterator<Item = (String, List)>) {
        self.begin(lists.into_iter().map(|(shown, list)| (shown, Ok(list))));
    }

    /// The same, of which some may not be there yet, for these reasons.
    pub(super) fn begin(&self, lists: impl IntoIterator<Item = (String, Result<List, String>)>) {
        let entry = |(shown, list)| match list {
            Ok(list) => Entry::new(shown, list),
            Err(why) => Entry::awaited(shown, why),
        };
        self.shared.lists.send_replace(lists.into_iter().map(entry).collect());
    }

    /// A list has changed.
    pub(super) fn replace(&self, at: usize, list: List) {
        let changed = |entries: &mut Vec<Entry>| {
            let Some(entry) = entries.get_mut(at) else { return false };
            *entry = Entry::new(std::mem::take(&mut entry.standing.list), list);
            true
        };
        self.shared.lists.send_if_modified(changed);
    }

    /// Why a list stays as it is, or that it is as new as can be.
    pub(super) fn tell(&self, at: usize, trouble: Option<String>) {
        self.shared.lists.send_if_modified(|entries| {
            if let Some(entry) = entries.get_mut(at) {
                entry.standing.trouble = trouble;
            }
            // The same addresses are blocked.
            false
        });
    }
}

impl Entry {
    fn new(shown: String, list: List) -> Self {
        let List { table, bad } = list;
        let standing = Standing { list: shown, ranges: table.count(), bad, trouble: None };
        Self { standing, table: Some(table) }
    }

    fn awaited(list: String, why: String) -> Self {
        let standing = Standing { list, ranges: 0, bad: 0, trouble: Some(why) };
        Self { standing, table: None }
    }
}

/// When other addresses are blocked.
#[derive(Clone, Debug)]
pub struct Changes(watch::Receiver<Vec<Entry>>);

impl Changes {
    /// Waits for a change; for ever when there is none any more.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
