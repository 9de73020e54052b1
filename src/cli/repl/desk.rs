//! The torrents of a run and the one that commands speak of. It lets torrents in and out and
//! finds them by what people call them; answers to commands are in [`super::answer`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::api::{Done, Request};
use crate::base::url::Url;
use crate::cli::attempts::Attempts;
use crate::cli::commands::load;
use crate::cli::engine::{Engine, opened};
use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::given::{Given, Input, Loaded};
use crate::cli::item::{Item, Progress, Told};
use crate::cli::metalinked::{FileSum, Meant, meant};
use crate::cli::place::may_be_directory;
use crate::cli::print::{Row, counted};
use crate::cli::search::{Search, Wish};
use crate::metainfo::Torrent;
use crate::metalink::Metalink;
use crate::net::egress::Egress;
use crate::session::{Opening, TorrentOptions};
use crate::torrent::seeking::Contacts;

/// News kept for `log`.
const NEWS_KEPT: usize = 500;
/// Things told before the run looks; tellers wait when it is full.
const TOLD_LEN: usize = 256;

/// A torrent to take in.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What the user called it.
    pub named: String,
    /// Its facts.
    pub torrent: Arc<Torrent>,
    /// How to run it.
    pub options: TorrentOptions,
    /// Hashes that its files are to have in the end.
    pub sums: Vec<FileSum>,
}

/// A torrent that has its place, and whose files are being opened.
pub struct Coming {
    /// The number that it has already.
    number: Option<usize>,
    named: String,
    /// Its facts.
    pub torrent: Arc<Torrent>,
    dir: PathBuf,
    first_tracker: Option<String>,
    is_seed_only: bool,
    /// Bytes that were fetched before it began.
    fetched_before: u64,
    sums: Vec<FileSum>,
    attempts: Option<Box<Attempts>>,
    opening: Opening,
}

/// What is to be taken in.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A torrent.
    Torrent(Box<Chosen>),
    /// What a link means.
    Link(Box<Wish>),
}

/// Why a torrent was not taken in.
#[derive(Debug)]
pub enum Refused {
    /// It is there: in words, and what the other one got from it, if anything.
    Twice(String, String),
    /// It cannot run.
    Failed(Failure),
}

/// The torrent that the only file of a metalink comes to.
///
/// # Errors
/// When there are several files, or it comes to none: that is for a run of its own.
async fn only_torrent(metalink: &Metalink, egress: &Egress) -> Result<Loaded, Failure> {
    let mut files = meant(metalink, egress, &mut Vec::new()).await;
    let only = files.pop().filter(|_| files.is_empty());
    match only {
        Some((_, Ok(Meant::Torrent(loaded)))) => Ok(*loaded),
        Some((_, Err(failure))) => Err(failure),
        _ => Err(Failure::bad_input("that metalink is several downloads: driver FILE is for it")),
    }
}

/// What answers need to know.
pub struct Desk {
    /// Where torrents run.
    pub engine: Engine,
    /// In the order they came.
    pub items: Vec<Item>,
    /// Torrents of which only a link is known, in the order they came.
    pub searches: Vec<Search>,
    /// Whether lines need to say which torrent they are about.
    pub is_several: bool,
    /// How torrents run that are added by a command.
    pub template: TorrentOptions,
    /// Number of the torrent that commands speak of.
    pub(super) used: usize,
    pub(super) last_number: usize,
    news: VecDeque<String>,
    pub(super) told: mpsc::Sender<Told>,
    /// For the prompt.
    titles: watch::Sender<Vec<(usize, String)>>,
}

impl Desk {
    /// A desk without torrents, and where it tells what happens to those that come.
    pub fn new(
        engine: Engine,
        template: TorrentOptions,
        is_several: bool,
    ) -> (Self, mpsc::Receiver<Told>) {
        let (told, heard) = mpsc::channel(TOLD_LEN);
        let desk = Self {
            engine,
            items: Vec::new(),
            searches: Vec::new(),
            is_several,
            template,
            used: 1,
            last_number: 0,
            news: VecDeque::new(),
            told,
            titles: watch::Sender::new(Vec::new()),
        };
        (desk, heard)
    }

    /// Numbers and names of the torrents, for whoever completes them.
    pub fn titles(&self) -> watch::Receiver<Vec<(usize, String)>> {
        self.titles.subscribe()
    }

    /// The lines of `list`, and whose commands speak of.
    pub fn rows(&self) -> (Vec<Row>, Option<usize>) {
        let used = self.used_search().map(|search| search.number);
        let used = used.or_else(|| self.used().map(|item| item.number));
        let searches = self.searches.iter().map(Search::row);
        let mut rows: Vec<Row> = self.items.iter().map(Item::row).chain(searches).collect();
        rows.sort_by_key(|row| row.number);
        (rows, used)
    }

    /// Takes a torrent in.
    ///
    /// # Errors
    /// `Twice` when it is there; `Failed` as [`Engine::add`].
    pub async fn add(&mut self, chosen: Chosen) -> Result<&Item, Refused> {
        self.add_among(chosen, None, None).await
    }

    /// The same, under a number that it has already, and with those whom a search has met.
    pub(super) async fn add_among(
        &mut self,
        chosen: Chosen,
        number: Option<usize>,
        contacts: Option<Contacts>,
    ) -> Result<&Item, Refused> {
        let coming = self.begin(chosen, number, contacts).await?;
        self.settle(coming).await
    }

    /// Gives a torrent its place; its files are opened meanwhile.
    ///
    /// # Errors
    /// `Twice` when it is there.
    pub async fn begin(
        &mut self,
        chosen: Chosen,
        number: Option<usize>,
        contacts: Option<Contacts>,
    ) -> Result<Coming, Refused> {
        let Chosen { named, torrent, mut options, sums } = chosen;
        let same = |item: &&Item| item.torrent.info_hash_v1 == torrent.info_hash_v1;
        if let Some(there) = self.items.iter().find(same) {
            let words = format!("{} is the same torrent as {}", escape(&named), there.title());
            let given = self.introduce(&options.peers, there).await;
            return Err(Refused::Twice(words, given));
        }
        // Whoever is sought by a link meanwhile need not be sought any more.
        let sought = self.end_search_of(&torrent, &mut options).await;
        let attempts = Attempts::of(&torrent, &mut options, &sums).map(Box::new);
        let trackers = torrent.trackers.iter().flatten().chain(&options.extra_trackers);
        Ok(Coming {
            number: number.or(sought),
            named,
            dir: options.dir.clone(),
            first_tracker: trackers.take(usize::from(options.use_trackers)).next().cloned(),
            is_seed_only: options.seed_only,
            fetched_before: options.found.iter().map(|found| found.fetched_bytes()).sum(),
            sums,
            attempts,
            opening: self.engine.begin(torrent.clone(), options, contacts).await,
            torrent,
        })
    }

    /// Takes a torrent in as soon as its files are open.
    ///
    /// # Errors
    /// `Failed` as [`Engine::add`].
    pub async fn settle(&mut self, coming: Coming) -> Result<&Item, Refused> {
        let handle = opened(coming.opening).await.map_err(Refused::Failed)?;
        let number = coming.number.unwrap_or_else(|| self.next_number());
        let item = Item {
            number,
            named: coming.named,
            torrent: coming.torrent,
            handle,
            dir: coming.dir,
            first_tracker: coming.first_tracker,
            is_seed_only: coming.is_seed_only,
            fetched_before: coming.fetched_before,
            completed: None,
            told_complete_at: None,
            failed: None,
            sums: coming.sums,
            is_summing: false,
            attempts: coming.attempts,
            life: 0,
            progress: Progress::new(Instant::now()),
        };
        item.follow(self.told.clone());
        if self.items.is_empty() && self.searches.is_empty() {
            self.used = item.number;
        }
        let position = self.items.partition_point(|other| other.number < number);
        let title = (number, item.name());
        self.items.insert(position, item);
        // One by one: thousands may come.
        self.titles.send_modify(|titles| {
            let place = titles.partition_point(|(other, _)| *other < number);
            // That of a search for it, if there was one.
            let old = place + titles[place..].iter().take_while(|(it, _)| *it == number).count();
            titles.splice(place..old, [title]);
        });
        Ok(&self.items[position])
    }

    /// The next torrent's number.
    pub(super) fn next_number(&mut self) -> usize {
        self.last_number += 1;
        self.is_several |= self.last_number > 1;
        self.last_number
    }

    /// What the user names at the prompt; its files go to `dir`, or where those of the others go.
    ///
    /// # Errors
    /// When it cannot be read or fetched.
    pub async fn choose(&self, name: &str, dir: Option<&Path>) -> Result<Wanted, Failure> {
        let given = Given::of(Path::new(name))?;
        let mut options = self.template.clone();
        if let Some(dir) = dir {
            may_be_directory(dir)?;
            options.dir = dir.to_owned();
        }
        let loaded = match given.open(self.engine.egress()).await? {
            Input::Torrent(loaded) => *loaded,
            Input::Metalink(metalink) => only_torrent(&metalink, self.engine.egress()).await?,
            Input::Link(link) => {
                let wish = Wish::new(name.to_owned(), *link, options);
                return Ok(Wanted::Link(Box::new(wish)));
            }
        };
        let Loaded { torrent, mut hints, .. } = loaded;
        let sums = std::mem::take(&mut hints.sums);
        load::check_downloadable(&torrent)?;
        let options = hints.add_to(options, &torrent)?;
        let chosen = Chosen { named: name.to_owned(), torrent: Arc::new(torrent), options, sums };
        Ok(Wanted::Torrent(Box::new(chosen)))
    }

    /// Compares the files of a complete torrent with the hashes that they are to have, once.
    pub fn check_sums(&mut self, number: usize) {
        let told = self.told.clone();
        if let Some(item) = self.item_mut(number) {
            item.check_sums(told);
        }
    }

    /// Begins a torrent anew with what is left to be tried, and tells whom it asks; ends it, and
    /// tells none, where nothing is left.
    ///
    /// # Errors
    /// As [`Engine::add`].
    pub async fn try_others(&mut self, number: usize) -> Result<Option<Vec<String>>, Failure> {
        let engine = self.engine.clone();
        let told = self.told.clone();
        let Some(item) = self.item_mut(number) else { return Ok(None) };
        let next = item.attempts.as_mut().and_then(|attempts| attempts.next());
        item.life += 1;
        // Without a ledger nothing can fail.
        let _ = engine.ask::<Done>(Request::Remove(item.key(), false)).await;
        let Some((options, sums)) = next else { return Ok(None) };
        let mirrors = options.web_seeds.iter().filter_map(|seed| Url::parse(&seed.url));
        let mirrors = mirrors.map(|url| url.origin().site().to_string()).collect();
        item.handle = engine.add(item.torrent.clone(), options, None).await?;
        item.sums = sums;
        item.is_summing = false;
        item.progress = Progress::new(Instant::now());
        item.follow(told);
        Ok(Some(mirrors))
    }

    /// Has a torrent that is there try these peers too; says so, unless it was told of all of
    /// them at its start.
    pub(super) async fn introduce(&self, peers: &[SocketAddr], there: &Item) -> String {
        let named: Vec<&SocketAddr> =
            peers.iter().filter(|peer| !self.template.peers.contains(peer)).collect();
        if named.is_empty() || there.torrent.private {
            return String::new();
        }
        for peer in &named {
            there.handle.add_peer(**peer).await;
        }
        format!("; {} tried there too", counted_are(named.len()))
    }

    /// Ends a torrent and takes it out; its title and where its data stays. None when its end
    /// has been noticed meanwhile.
    pub async fn remove(&mut self, number: usize) -> Option<(String, PathBuf)> {
        let position = self.items.iter().position(|item| item.number == number)?;
        let item = self.items.remove(position);
        self.pass_on(number);
        self.show_titles();
        let place = item.place();
        // Without a ledger nothing can fail.
        let _ = self.engine.ask::<Done>(Request::Remove(item.key(), false)).await;
        Some((item.title(), place))
    }

    pub(super) fn show_titles(&self) {
        let items = self.items.iter().map(|item| (item.number, item.name()));
        let searches = self.searches.iter().map(|search| (search.number, search.wish.name()));
        let mut titles: Vec<_> = items.chain(searches).collect();
        titles.sort_unstable();
        self.titles.send_replace(titles);
    }

    /// The torrent that commands speak of; none when there is none at all, or its metadata is
    /// sought.
    pub fn used(&self) -> Option<&Item> {
        if self.used_search().is_some() {
            return None;
        }
        self.items.iter().find(|item| item.number == self.used).or(self.items.first())
    }

    /// The same, to change it.
    pub fn used_mut(&mut self) -> Option<&mut Item> {
        let number = self.used()?.number;
        self.item_mut(number)
    }

    /// The torrent of this number.
    pub fn item_mut(&mut self, number: usize) -> Option<&mut Item> {
        // They come in the order of their numbers.
        let at = self.items.binary_search_by_key(&number, |item| item.number).ok()?;
        self.items.get_mut(at)
    }

    /// Lets commands speak of the torrent of this number.
    pub fn set_used(&mut self, number: usize) {
        self.used = number;
    }

    /// The number of the torrent that people mean: its number, or a part of one name only.
    ///
    /// # Errors
    /// In words for people, when it is none or several.
    pub fn find(&self, meant: &str) -> Result<usize, String> {
        let items = self
            .items
            .iter()
            .map(|item| (item.number, item.title(), vec![item.name(), item.torrent.name.clone()]));
        let searches = self.searches.iter().map(|search| {
            (search.number, search.title(), vec![search.wish.name(), search.wish.info_hash()])
        });
        let all: Vec<_> = items.chain(searches).collect();
        if let Some((number, ..)) = all.iter().find(|(number, ..)| number.to_string() == meant) {
            return Ok(*number);
        }
        if (1..=4).contains(&meant.len()) && meant.bytes().all(|byte| byte.is_ascii_digit()) {
            // It was one that is gone; the digits in another's name do not mean that.
            return Err(format!("no torrent has number {meant}; list shows them"));
        }
        let part = meant.to_lowercase();
        let is_part = |name: &String| name.to_lowercase().contains(&part);
        let fitting: Vec<_> =
            all.iter().filter(|(_, _, names)| names.iter().any(is_part)).collect();
        match fitting.as_slice() {
            [(number, ..)] => Ok(*number),
            [] => Err(format!("no torrent is called {:?}: list shows all", escape(meant))),
            [(_, first, _), (_, second, _), ..] => {
                let more = if fitting.len() > 2 { " or another" } else { "" };
                Err(format!("that could be {first} or {second}{more}"))
            }
        }
    }

    /// Remembers a line for `log`.
    pub fn remember(&mut self, line: &str) {
        if self.news.len() == NEWS_KEPT {
            self.news.pop_front();
        }
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        self.news.push_back(format!("{time}  {line}\n"));
    }

    /// The last `count` lines.
    pub fn remembered(&self, count: usize) -> String {
        if self.news.is_empty() || count == 0 {
            return "no news yet\n".to_owned();
        }
        let skipped = self.news.len().saturating_sub(count);
        self.news.iter().skip(skipped).map(String::as_str).collect()
    }
}

/// `1 peer is`, `3 peers are`.
fn counted_are(count: usize) -> String {
    format!("{} {}", counted(count as u64, "peer"), if count == 1 { "is" } else { "are" })
}
