//! A torrent of this run of which only a link is known: what was asked for, how far the search
//! for its metadata is, in words, and the torrent that was found. It decides nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::base::addr::{Teller, canonical, is_usable_peer};
use crate::metainfo::create::wrap_found;
use crate::metainfo::magnet::Peer;
use crate::metainfo::{Magnet, Torrent};
use crate::net::egress::{Egress, Purpose};
use crate::seek::Target;
use crate::session::TorrentOptions;
use crate::swarm::report::Known;
use crate::torrent::seeking::{Contacts, SeekDesk, SeekError, SeekRequest, SeekStatus, Seeking};
use crate::torrent::status::Status;

use super::commands::load;
use super::escape::{escape, shorten};
use super::exit::{Exit, Failure};
use super::given::{LOOKUP_LIMIT, Loaded, by_url_of, save};
use super::item::{NAME_COLUMNS, Told, What};
use super::place::followed;
use super::print::{Row, counted, dht_reach, hide_keys, without_address};
use super::repl::desk::Chosen;
use super::selection::wanted_files;
use super::values::Ranges;

/// What the same state of a search waits before it is told again, and news of it.
const TELL_NEWS: Duration = Duration::from_secs(5);
/// How long the end of a search is waited for: trackers are told within less.
const END_MAX: Duration = Duration::from_secs(4);
/// What was kept is found within that, as a rule.
const MOMENT: Duration = Duration::from_millis(400);
/// That nothing will come of a link, and what to do about it.
macro_rules! lonely {
    ($ways:literal) => {
        concat!(
            "the link names no tracker and no peer: nobody to ask for its metadata (",
            $ways,
            ")"
        )
    };
}
/// Why nothing will come of a link, where there is a prompt.
const LONELY: &str = lonely!("-a URL, --peer ADDR, add-peer ADDR");
/// The same where there is none.
pub const LONELY_ALONE: &str = lonely!("-a URL, --peer ADDR");
/// Digits of a hash that people need to tell torrents apart.
const HASH_SHOWN: usize = 8;

/// A torrent that is wanted, of which only a link is known.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What the user called it.
    pub named: String,
    /// The link.
    pub link: Magnet,
    /// How to run the torrent.
    pub options: TorrentOptions,
    /// Files that are chosen, by number, whatever the link says.
    pub select: Option<Ranges>,
    /// Files that are left out.
    pub exclude: Option<Ranges>,
    /// Where to keep the torrent, as a .torrent file.
    pub save_torrent: Option<PathBuf>,
}

impl Wish {
    /// One without a choice of files.
    pub fn new(named: String, link: Magnet, options: TorrentOptions) -> Self {
        Self { named, link, options, select: None, exclude: None, save_torrent: None }
    }

    /// Whom to ask for the metadata.
    ///
    /// # Errors
    /// For a link without a hash, which no reader makes.
    pub fn request(&self) -> Result<SeekRequest, Failure> {
        let target = Target::new(self.link.info_hash_v1, self.link.info_hash_v2);
        let target = target.ok_or_else(|| Failure::bad_input("the link names no info hash"))?;
        let mut peers = self.options.peers.clone();
        for address in self.link.addresses() {
            if !peers.contains(&address) {
                peers.push(address);
            }
        }
        Ok(SeekRequest {
            target,
            peers,
            trackers: self.trackers().into_iter().map(|url| vec![url]).collect(),
            max_peers: self.options.max_peers,
            exchange_peers: self.options.exchange_peers,
        })
    }

    /// The trackers that are asked, each a tier of its own.
    pub fn trackers(&self) -> Vec<String> {
        let mut urls: Vec<String> = Vec::new();
        if self.options.use_trackers {
            for url in self.options.extra_trackers.iter().chain(&self.link.trackers) {
                if !urls.contains(url) {
                    urls.push(url.clone());
                }
            }
        }
        urls
    }

    /// Why nothing will come of it as it stands; none when somebody is asked.
    pub fn loneliness(&self) -> Option<&'static str> {
        (self.names_nobody() && self.link.torrent_urls.is_empty()).then_some(LONELY)
    }

    /// Neither a peer nor a tracker is named.
    fn names_nobody(&self) -> bool {
        self.options.peers.is_empty() && self.link.peers.is_empty() && self.trackers().is_empty()
    }

    /// Whether the link means this torrent, by either hash.
    pub fn is_of(&self, torrent: &Torrent) -> bool {
        same_hash(self.link.info_hash_v1, torrent.info_hash_v1)
            || same_hash(self.link.info_hash_v2, torrent.info_hash_v2)
    }

    /// Whether another link means the same torrent, by either hash.
    pub fn is_same(&self, link: &Magnet) -> bool {
        same_hash(self.link.info_hash_v1, link.info_hash_v1)
            || same_hash(self.link.info_hash_v2, link.info_hash_v2)
    }

    /// What the torrent is called until its own name is known.
    pub fn name(&self) -> String {
        self.link.name.clone().unwrap_or_else(|| self.info_hash())
    }

    /// The hash, in hex.
    pub fn info_hash(&self) -> String {
        let v2 = || self.link.info_hash_v2.map(|hash| hash.to_string());
        self.link.info_hash_v1.map(|hash| hash.to_string()).or_else(v2).unwrap_or_default()
    }

    /// The torrent with the options that were wished for it. What there is to say of them goes to
    /// `told`.
    ///
    /// # Errors
    /// When it cannot be downloaded, lacks the chosen files, or cannot be kept as a file.
    pub fn choose(self, loaded: Loaded, told: &mut Vec<String>) -> Result<Chosen, Failure> {
        let Loaded { torrent, bytes, mut hints } = loaded;
        let sums = std::mem::take(&mut hints.sums);
        if let Some(path) = &self.save_torrent {
            save(&bytes, path)?;
        }
        load::check_downloadable(&torrent)?;
        let mut options = self.options;
        if torrent.private && !options.peers.is_empty() {
            options.peers.clear();
            told.push("the torrent is private: only its trackers name peers from now on".into());
        }
        if self.select.is_some() || self.exclude.is_some() {
            let wanted = wanted_files(&torrent, self.select.as_ref(), self.exclude.as_ref());
            options.wanted_files = Some(wanted.map_err(Failure::usage)?);
        }
        if options.seed_only {
            options.dir = followed(&torrent, &options.dir)?;
        }
        let options = hints.add_to(options, &torrent)?;
        Ok(Chosen { named: self.named, torrent: Arc::new(torrent), options, sums })
    }
}

fn same_hash<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && one == other
}

/// What a search came to.
#[derive(Debug)]
pub struct Found {
    /// The torrent, with all that its link says.
    pub loaded: Loaded,
    /// Those whom the search has met; none when the metadata was kept from an earlier run.
    pub contacts: Option<Contacts>,
    /// What was left out of the link.
    pub told: Vec<String>,
}

/// Waits for the torrent that a search finds, or that `by_urls` brings, if it does, and adds to it
/// what its link says; names are resolved by `egress`. What comes first counts, and the search goes
/// no further then.
///
/// # Errors
/// When the metadata is no valid torrent, or the search was ended.
pub async fn found(
    seeking: Seeking,
    link: &Magnet,
    egress: &Egress,
    by_urls: impl Future<Output = Option<(Torrent, Vec<u8>)>>,
) -> Result<Found, Failure> {
    let desk = seeking.desk();
    let mut sought = pin!(seeking.found());
    let (sought, fetched) = tokio::select! {
        sought = &mut sought => (sought, None),
        Some((torrent, bytes)) = by_urls => {
            // With those whom it has met.
            desk.know(torrent.raw_info().into()).await;
            (sought.await, Some((torrent, bytes)))
        }
    };
    let sought = sought.map_err(|error| match error {
        SeekError::Invalid(_) => Failure::bad_input(escape(&error.to_string())),
        SeekError::Ended => Failure::new(Exit::Incomplete, error.to_string()),
    })?;
    let mut told = Vec::new();
    // Its file may name trackers and web seeds beside.
    let fetched = fetched.filter(|(it, _)| it.raw_info() == sought.torrent.raw_info());
    let loaded = match fetched {
        Some((torrent, bytes)) => Loaded::by_link(torrent, bytes, link, egress, &mut told).await,
        None => {
            let mut loaded =
                Loaded::by_link(sought.torrent, Vec::new(), link, egress, &mut told).await;
            let Torrent { trackers, web_seeds, .. } = &loaded.torrent;
            loaded.bytes = wrap_found(loaded.torrent.raw_info(), trackers, web_seeds);
            loaded
        }
    };
    Ok(Found { loaded, contacts: sought.contacts, told })
}

/// The torrent of a wish, from the first of the URLs of its link that has it. What is wrong with
/// the others, and that nobody else is to be asked, not even the DHT, is told at once.
async fn by_urls(
    wish: Wish,
    egress: &Egress,
    has_dht: bool,
    number: usize,
    told: mpsc::Sender<Told>,
) -> Option<(Torrent, Vec<u8>)> {
    for url in &wish.link.torrent_urls {
        let why = match by_url_of(&wish.link, url, egress).await {
            Ok(found) => return Some(found),
            Err(why) => why,
        };
        // The run may be over.
        let _ = told.send(Told { number, life: 0, what: What::Said(why.message) }).await;
    }
    if wish.names_nobody() && !wish.link.torrent_urls.is_empty() && !has_dht {
        let _ = told.send(Told { number, life: 0, what: What::Said(LONELY.to_owned()) }).await;
    }
    None
}

/// A search of this run.
pub struct Search {
    /// Its number, which the torrent takes over.
    pub number: usize,
    /// What is wanted.
    pub wish: Wish,
    /// Where it takes orders.
    pub desk: SeekDesk,
    status: watch::Receiver<SeekStatus>,
    task: JoinHandle<()>,
    started: Instant,
    /// The DHT is asked, as soon as nothing else forbids it.
    has_dht: bool,
    /// Peers that were named after its start.
    added: usize,
    /// Its link names URLs, and they are asked.
    asks_urls: Arc<AtomicBool>,
    told: ToldLast,
}

/// What was told of a search.
#[derive(Debug)]
struct ToldLast {
    words: String,
    at: Instant,
    /// Pieces that were here, and when there was more of anything.
    have: u32,
    came: Instant,
}

impl Search {
    /// Follows a search that runs, and asks the URLs that the link names, by `egress`; `told` hears
    /// what comes of it, under this number. `has_dht` says that its session asks the DHT.
    pub fn follow(
        number: usize,
        wish: Wish,
        seeking: Seeking,
        egress: Egress,
        has_dht: bool,
        told: mpsc::Sender<Told>,
    ) -> Self {
        let (desk, status, now) = (seeking.desk(), seeking.status(), Instant::now());
        let (wanted, lookups) = (wish.clone(), look_up(&wish.link, &egress, desk.clone()));
        let asks_urls = Arc::new(AtomicBool::new(!wish.link.torrent_urls.is_empty()));
        let is_asking = asks_urls.clone();
        let task = tokio::spawn(async move {
            let link = wanted.link.clone();
            let say = told.clone();
            let fetching = async {
                let fetched = by_urls(wanted, &egress, has_dht, number, say).await;
                is_asking.store(false, Ordering::Relaxed);
                fetched
            };
            let what = What::Sought(Box::new(found(seeking, &link, &egress, fetching).await));
            lookups.iter().for_each(JoinHandle::abort);
            // The run may be over.
            let _ = told.send(Told { number, life: 0, what }).await;
        });
        let told = ToldLast { words: String::new(), at: now, have: 0, came: now };
        let (started, added) = (now, 0);
        Self { number, wish, desk, status, task, started, has_dht, added, asks_urls, told }
    }

    /// How far it is.
    pub fn status(&self) -> SeekStatus {
        self.status.borrow().clone()
    }

    /// Whether peers are needed, as far as a moment shows: not when the metadata was kept.
    pub async fn is_asking(&self) -> bool {
        let mut status = self.status.clone();
        // Without anybody who tells, it has ended.
        let asked = timeout(MOMENT, status.wait_for(|status| status.is_asking)).await;
        !matches!(asked, Ok(Err(_)))
    }

    /// Whether nobody is asked, as it stands.
    pub fn is_lonely(&self) -> bool {
        let asks_urls = self.asks_urls.load(Ordering::Relaxed);
        self.wish.names_nobody() && self.added == 0 && !asks_urls && !self.has_dht
    }

    /// Asks another peer.
    pub async fn add_peer(&mut self, address: SocketAddr) {
        self.added += 1;
        self.desk.add_peer(address).await;
    }

    /// `2 name`.
    pub fn title(&self) -> String {
        format!("{} {}", self.number, self.short_name())
    }

    /// `2 name: `, before a line about it among others.
    pub fn prefix(&self) -> String {
        format!("{}: ", self.title())
    }

    /// A name that has room in a line: of a hash its begin.
    fn short_name(&self) -> String {
        match &self.wish.link.name {
            Some(name) => shorten(name, NAME_COLUMNS),
            None => self.wish.info_hash().chars().take(HASH_SHOWN).collect(),
        }
    }

    /// How long it runs.
    pub fn running(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long nothing has come.
    pub fn idle(&self) -> Duration {
        self.told.came.elapsed()
    }

    /// Its line of `list`.
    pub fn row(&self) -> Row {
        let SeekStatus { progress, connected, .. } = self.status();
        let sought = Some((progress.have, progress.pieces, connected));
        Row { number: self.number, name: self.wish.name(), status: Status::default(), sought }
    }

    /// How it stands, in a line.
    pub fn words(&self) -> String {
        words(&self.status())
    }

    /// What it waits for, and what to do.
    pub fn why(&self) -> String {
        why(&self.status(), self.is_lonely())
    }

    /// The same for programs.
    pub fn event(&self) -> Value {
        let status = self.status();
        json!({
            "event": "metadata",
            "info_hash": self.wish.info_hash(),
            "seconds": self.running().as_secs_f64(),
            "pieces": status.progress.pieces,
            "have": status.progress.have,
            "holders": status.progress.holders,
            "peers": status.connected,
            "dialling": status.dialling,
            "candidates": status.candidates,
        })
    }

    /// The line that is due now: news after a moment, the same once in a `pause`.
    pub fn due(&mut self, pause: Duration, now: Instant) -> Option<String> {
        let status = self.status();
        if status.progress.have > self.told.have {
            (self.told.have, self.told.came) = (status.progress.have, now);
        }
        let words = words(&status);
        let wait = if words == self.told.words { pause } else { TELL_NEWS };
        if now.saturating_duration_since(self.told.at) < wait {
            return None;
        }
        (self.told.words, self.told.at) = (words.clone(), now);
        Some(words)
    }

    /// Why those who were dialled are not connected, if any of them tells: one of them is named.
    pub async fn failed(&self) -> Option<String> {
        failed_words(&self.desk.peers().await.1)
    }

    /// Ends it, and waits until its trackers are told.
    pub async fn stop(self) {
        self.desk.stop().await;
        // Whoever hears of it may be busy with just this.
        let _ = timeout(END_MAX, self.desk.ended()).await;
        self.task.abort();
    }
}

/// Has the names of a link's peers resolved, each aside, and the peers asked.
fn look_up(link: &Magnet, egress: &Egress, desk: SeekDesk) -> Vec<JoinHandle<()>> {
    let names = link.peers.iter().filter_map(|peer| match peer {
        Peer::Host { name, port } => Some((name.clone(), *port)),
        Peer::Address(_) => None,
    });
    let looked_up = names.map(|(name, port)| {
        let (desk, egress) = (desk.clone(), egress.clone());
        tokio::spawn(async move {
            let found = egress.lookup(&name, port, Purpose::Peer, LOOKUP_LIMIT).await;
            let mut usable = found.unwrap_or_default().into_iter().map(canonical);
            if let Some(address) = usable.find(|it| is_usable_peer(*it, Teller::User)) {
                desk.add_peer(address).await;
            }
        })
    });
    looked_up.collect()
}

/// `metadata: 2 of 13 pieces from 3 peers`, or who is looked for.
pub fn words(status: &SeekStatus) -> String {
    let SeekStatus { progress, connected, dialling, candidates, tracker, dht, .. } = status;
    if progress.pieces > 0 {
        let pieces = match progress.pieces {
            1 => "piece",
            _ => "pieces",
        };
        let from = counted(progress.holders as u64, "peer");
        return format!("metadata: {} of {} {pieces} from {from}", progress.have, progress.pieces);
    }
    let mut parts = Vec::new();
    if *connected > 0 {
        parts.push(format!("{} without the metadata", counted(*connected as u64, "peer")));
    }
    if *dialling > 0 {
        parts.push(counted(*dialling as u64, "dial"));
    }
    if *candidates > 0 {
        let s = if *candidates == 1 { "address waits" } else { "addresses wait" };
        parts.push(format!("{candidates} {s}"));
    }
    if let Some(tracker) = tracker {
        parts.push(format!("tracker {}", escape(&hide_keys(tracker))));
    }
    if let Some(dht) = dht {
        parts.push(format!("DHT {}", dht_reach(dht)));
    }
    match parts.is_empty() {
        true => "looking for peers: none known".to_owned(),
        false => format!("looking for peers: {}", parts.join(", ")),
    }
}

/// `192.0.2.1:6881: connection refused; 2 more failed`.
fn failed_words(known: &[Known]) -> Option<String> {
    let mut failed = known.iter().filter_map(|it| Some((it.address, it.last_error.as_deref()?)));
    let (address, why) = failed.next()?;
    let why = escape(without_address(why, address));
    let others = failed.count();
    let more = if others > 0 { format!("; {others} more failed") } else { String::new() };
    Some(format!("{address}: {why}{more}"))
}

/// What a search waits for, and what to do about it, in lines.
fn why(status: &SeekStatus, is_lonely: bool) -> String {
    let add_peer = "add-peer ADDR";
    let lonely = format!("{add_peer} names a peer; or start with --tracker URL or --peer ADDR");
    why_by(status, is_lonely.then_some(&*lonely), add_peer)
}

/// The same of a link of this number that a daemon seeks, for whoever asks it from elsewhere.
pub fn remote_why(status: &SeekStatus, number: u32) -> String {
    let SeekStatus { connected, dialling, candidates, tracker, dht, .. } = status;
    let knows_nobody = *connected + *dialling + *candidates == 0;
    let is_lonely = knows_nobody && tracker.is_none() && dht.is_none();
    let add_peer = format!("driver remote add-peer {number} ADDR");
    let lonely = format!("{add_peer} names a peer that has it");
    why_by(status, is_lonely.then_some(&*lonely), &add_peer)
}

/// What `lonely` ones are to do is said there; others may `add_peer`.
fn why_by(status: &SeekStatus, lonely: Option<&str>, add_peer: &str) -> String {
    let is_lonely = lonely.is_some();
    let SeekStatus { progress, connected, dialling, candidates, tracker, dht, .. } = status;
    let waits = match (progress.pieces, progress.holders) {
        (1.., 1..) => "for the rest of the metadata: peers that have it send it".to_owned(),
        (1.., 0) => "for the rest of the metadata: all peers that had it are gone".to_owned(),
        (0, _) if *connected > 0 => {
            format!(
                "for the metadata: {} connected, and none of them has it",
                counted(*connected as u64, "peer")
            )
        }
        (0, _) if *dialling + *candidates > 0 => "for a peer that answers".to_owned(),
        _ if is_lonely => "for a peer: the link names none, and no tracker".to_owned(),
        _ => match (tracker, dht) {
            (Some(tracker), _) => {
                format!("for a peer: none known; tracker {}", escape(&hide_keys(tracker)))
            }
            (None, Some(dht)) => format!("for a peer: none known; DHT {}", dht_reach(dht)),
            (None, None) => "for a peer: none known, and there is no tracker to ask".to_owned(),
        },
    };
    let advice = match (progress.holders, lonely) {
        (1.., _) => "nothing, it goes on by itself".to_owned(),
        (0, Some(lonely)) => lonely.to_owned(),
        (0, None) => format!("wait for others, or name a peer that has it: {add_peer}"),
    };
    let blocked = match status.blocked {
        0 => String::new(),
        1 => "Blocklist: 1 address that was named is on it\n".to_owned(),
        count => format!("Blocklist: {count} addresses that were named are on it\n"),
    };
    format!("{}\nWaits {waits}\n{blocked}What to do: {advice}\n", words(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seek::Progress;

    const HASH: &str = "6f84758b0ddd8dc05840bf932a77935d8b5b8b93";

    fn wish(link: &str) -> Wish {
        let link = Magnet::parse(&link.replace("{HASH}", HASH)).unwrap();
        Wish::new("x".to_owned(), link, TorrentOptions::default())
    }

    #[test]
    fn all_that_a_link_names_is_asked_once() {
        let mut wish = wish(
            "magnet:?xt=urn:btih:{HASH}&tr=http://a&tr=http://b&x.pe=192.0.2.1:6&x.pe=h.example:7",
        );
        assert_eq!(wish.loneliness(), None);
        wish.options.extra_trackers = vec!["http://b".into(), "http://c".into()];
        wish.options.peers = vec!["192.0.2.1:6".parse().unwrap(), "192.0.2.2:6".parse().unwrap()];
        let request = wish.request().unwrap();
        assert_eq!(request.trackers, [["http://b"], ["http://c"], ["http://a"]]);
        assert_eq!(request.peers.len(), 2);
        wish.options.use_trackers = false;
        assert!(wish.request().unwrap().trackers.is_empty());
    }

    #[test]
    fn who_has_nobody_to_ask_is_told() {
        let mut lonely = wish("magnet:?xt=urn:btih:{HASH}");
        assert!(lonely.loneliness().unwrap().contains("nobody to ask"));
        lonely.options.extra_trackers = vec!["http://a".into()];
        assert_eq!(lonely.loneliness(), None);
        lonely.options.use_trackers = false;
        assert!(lonely.loneliness().is_some());
        for named in ["x.pe=h.example:7", "xs=http://h.example/x.torrent"] {
            assert_eq!(wish(&format!("magnet:?xt=urn:btih:{HASH}&{named}")).loneliness(), None);
        }
    }

    #[tokio::test]
    async fn nobody_is_missed_where_the_dht_is_asked() {
        // Nobody listens there.
        let wish = wish("magnet:?xt=urn:btih:{HASH}&xs=http://127.0.0.1:1/x.torrent");
        for (has_dht, lines) in [(true, 1), (false, 2)] {
            let (told, mut heard) = mpsc::channel(8);
            assert!(by_urls(wish.clone(), &Egress::default(), has_dht, 1, told).await.is_none());
            let mut said = Vec::new();
            while let Some(Told { what: What::Said(line), .. }) = heard.recv().await {
                said.push(line);
            }
            assert_eq!(said.len(), lines, "{said:?}");
            assert_eq!(said.iter().any(|line| line == LONELY), !has_dht);
        }
    }

    #[test]
    fn who_failed_is_named_with_the_reason() {
        let known = |port: u16, why: Option<&str>| Known {
            address: ([192, 0, 2, 1], port).into(),
            last_error: why.map(str::to_owned),
            left: None,
        };
        assert_eq!(failed_words(&[known(5, None)]), None);
        let refused = known(6, Some("cannot connect to 192.0.2.1:6: connection \x1brefused"));
        let one = failed_words(&[known(5, None), refused.clone()]);
        assert_eq!(one.as_deref(), Some("192.0.2.1:6: connection \\x1brefused"));
        let two = failed_words(&[refused, known(7, Some("silent"))]);
        assert_eq!(two.as_deref(), Some("192.0.2.1:6: connection \\x1brefused; 1 more failed"));
    }

    #[test]
    fn a_search_in_words() {
        let progress = |have, pieces, holders| Progress { have, pieces, holders, seekers: 0 };
        let status = |progress| SeekStatus { progress, ..SeekStatus::default() };
        assert_eq!(words(&status(progress(2, 13, 3))), "metadata: 2 of 13 pieces from 3 peers");
        assert_eq!(words(&status(progress(0, 1, 1))), "metadata: 0 of 1 piece from 1 peer");
        assert_eq!(words(&SeekStatus::default()), "looking for peers: none known");
        let tracker = Some("http://t/k3y/announce: announcing".to_owned());
        let busy =
            SeekStatus { connected: 1, dialling: 2, candidates: 3, tracker, ..Default::default() };
        assert_eq!(
            words(&busy),
            "looking for peers: 1 peer without the metadata, 2 dials, 3 addresses wait, \
             tracker http://t/...: announcing"
        );
        assert!(why(&busy, false).contains("\nWaits for the metadata: 1 peer connected, and none"));
        let lonely = why(&SeekStatus::default(), true);
        assert!(lonely.contains("the link names none") && lonely.contains("add-peer ADDR"));
    }
}
