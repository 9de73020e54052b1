//! The torrents of a run and the one that commands speak of. It lets torrents in and out and
//! finds them by what people call them; answers to commands are in [`super::answer`].

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::cli::commands::load;
use crate::cli::engine::Engine;
use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::given::{Given, Loaded};
use crate::cli::item::{Item, Progress, Told};
use crate::cli::print::Limits;
use crate::metainfo::Torrent;
use crate::session::TorrentOptions;

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
}

/// Why a torrent was not taken in.
#[derive(Debug)]
pub enum Refused {
    /// It is there: in words.
    Twice(String),
    /// It cannot run.
    Failed(Failure),
}

/// What answers need to know.
pub struct Desk {
    /// Where torrents run.
    pub engine: Engine,
    /// In the order they came.
    pub items: Vec<Item>,
    /// Whether lines need to say which torrent they are about.
    pub is_several: bool,
    /// How torrents run that are added by a command.
    template: TorrentOptions,
    /// Number of the torrent that commands speak of.
    used: usize,
    last_number: usize,
    news: VecDeque<String>,
    told: mpsc::Sender<Told>,
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

    /// Takes a torrent in.
    ///
    /// # Errors
    /// `Twice` when it is there; `Failed` as [`Engine::add`].
    pub async fn add(&mut self, chosen: Chosen) -> Result<&Item, Refused> {
        let Chosen { named, torrent, options } = chosen;
        let same = |item: &&Item| item.torrent.info_hash_v1 == torrent.info_hash_v1;
        if let Some(there) = self.items.iter().find(same) {
            let words = format!("{} is the same torrent as {}", escape(&named), there.title());
            return Err(Refused::Twice(words));
        }
        let (dir, is_seed_only) = (options.dir.clone(), options.seed_only);
        let trackers = torrent.trackers.iter().flatten().chain(&options.extra_trackers);
        let first_tracker = trackers.take(usize::from(options.use_trackers)).next().cloned();
        let added = self.engine.add(torrent.clone(), options).await;
        let handle = added.map_err(Refused::Failed)?;
        // What was chosen in an earlier run holds when nothing is chosen now.
        let wanted = handle.look(|status| status.wanted_files.to_vec());
        self.last_number += 1;
        self.is_several |= self.last_number > 1;
        let item = Item {
            number: self.last_number,
            named,
            torrent,
            handle,
            dir,
            wanted,
            limits: Limits::default(),
            first_tracker,
            is_seed_only,
            completed: None,
            failed: None,
            progress: Progress::new(Instant::now()),
        };
        item.follow(self.told.clone());
        if self.items.is_empty() {
            self.used = item.number;
        }
        let position = self.items.len();
        self.items.push(item);
        self.show_titles();
        Ok(&self.items[position])
    }

    /// Takes in a torrent that the user names at the prompt; its files go to `dir`, or where
    /// those of the others go. What there is to say of its sources goes to `told`.
    ///
    /// # Errors
    /// As [`Desk::add`], and when it cannot be read or fetched.
    pub async fn add_named(
        &mut self,
        name: &str,
        dir: Option<&Path>,
        told: &mut Vec<String>,
    ) -> Result<&Item, Refused> {
        let chosen = self.choose(name, dir, told).await.map_err(Refused::Failed)?;
        self.add(chosen).await
    }

    async fn choose(
        &self,
        name: &str,
        dir: Option<&Path>,
        told: &mut Vec<String>,
    ) -> Result<Chosen, Failure> {
        let given = Given::of(Path::new(name))?;
        let Loaded { torrent, hints, .. } = given.torrent(self.engine.bind(), told).await?;
        load::check_downloadable(&torrent)?;
        let mut options = self.template.clone();
        if let Some(dir) = dir {
            options.dir = dir.to_owned();
        }
        let options = hints.add_to(options, &torrent)?;
        Ok(Chosen { named: name.to_owned(), torrent: Arc::new(torrent), options })
    }

    /// Ends a torrent and takes it out; its title and where its data stays. None when its end
    /// has been noticed meanwhile.
    pub async fn remove(&mut self, number: usize) -> Option<(String, PathBuf)> {
        let position = self.items.iter().position(|item| item.number == number)?;
        let item = self.items.remove(position);
        if self.used == number
            && let Some(next) = self.items.get(position).or(self.items.last())
        {
            self.used = next.number;
        }
        self.show_titles();
        let place = item.place();
        if let Some(info_hash) = item.torrent.info_hash_v1 {
            self.engine.remove(info_hash).await;
        }
        Some((item.title(), place))
    }

    fn show_titles(&self) {
        let titles = self.items.iter().map(|item| (item.number, item.name()));
        self.titles.send_replace(titles.collect());
    }

    /// The torrent that commands speak of; none when there is none at all.
    pub fn used(&self) -> Option<&Item> {
        self.items.iter().find(|item| item.number == self.used).or(self.items.first())
    }

    /// The same, to change it.
    pub fn used_mut(&mut self) -> Option<&mut Item> {
        let number = self.used()?.number;
        self.item_mut(number)
    }

    /// The torrent of this number.
    pub fn item_mut(&mut self, number: usize) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.number == number)
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
        let numbered = self.items.iter().find(|item| item.number.to_string() == meant);
        if let Some(item) = numbered {
            return Ok(item.number);
        }
        let part = meant.to_lowercase();
        let fits = |item: &&Item| {
            [&item.name(), &item.torrent.name].iter().any(|it| it.to_lowercase().contains(&part))
        };
        let fitting: Vec<&Item> = self.items.iter().filter(fits).collect();
        match fitting.as_slice() {
            [only] => Ok(only.number),
            [] => Err(format!("no torrent is called {:?}: list shows all", escape(meant))),
            [first, second, ..] => {
                let more = if fitting.len() > 2 { " or another" } else { "" };
                Err(format!("that could be {} or {}{more}", first.title(), second.title()))
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
