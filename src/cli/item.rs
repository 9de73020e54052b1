//! One torrent of this run as its user meets it: its number, what was asked of it, and how far
//! it is. It tells the run what happens to it; it decides nothing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::api::Key;
use crate::base::ids::FileIndex;
use crate::disk::Home;
use crate::metainfo::Torrent;
use crate::metalink::HashKind;
use crate::swarm::event::Event;
use crate::torrent::handle::{News, NewsReceiver, TorrentHandle};
use crate::torrent::status::{State, Status};

use super::attempts::Attempts;
use super::escape::{escape, shorten};
use super::exit::{Exit, Failure};
use super::metalinked::{FileSum, has_hash};
use super::place::elsewhere_words;
use super::print::{Row, files_lacking, files_of, path_in};
use super::search::Found;

/// Columns of a name before a line about its torrent.
pub const NAME_COLUMNS: usize = 18;

/// Files that are looked at to say why a torrent cannot be seeded.
const LOOKED_AT_MAX: usize = 10_000;

/// The same trouble is not told again before.
const TROUBLE_AGAIN: Duration = Duration::from_secs(60);

/// Something happened to the torrent of this number.
#[derive(Debug)]
pub struct Told {
    /// Its number.
    pub number: usize,
    /// How often it had been begun anew: what a torrent says that is gone is no news.
    pub life: u32,
    /// What happened.
    pub what: What,
}

/// What can happen to a torrent.
#[derive(Debug)]
pub enum What {
    /// There are news.
    News(News),
    /// Its snapshot was renewed.
    Status(Box<Status>),
    /// It ended, and nobody had asked for that.
    Ended,
    /// Something about the search for its metadata, in words.
    Said(String),
    /// Files were compared with the hashes that they are to have.
    Summed(Vec<Summed>),
    /// The search for its metadata has ended.
    Sought(Box<Result<Found, Failure>>),
}

/// What came of the hash of a whole file.
#[derive(Debug)]
pub struct Summed {
    /// The file.
    pub path: PathBuf,
    /// How its hash is made.
    pub kind: HashKind,
    /// Whether it is right; why nobody knows, if it cannot be read.
    pub is_right: Result<bool, String>,
}

/// A torrent of this run.
pub struct Item {
    /// Its number in this run, from 1; never given twice.
    pub number: usize,
    /// What it was called on the command line.
    pub named: String,
    /// Its facts.
    pub torrent: Arc<Torrent>,
    /// The running torrent.
    pub handle: TorrentHandle,
    /// Where its files go: what was asked for, or where its home was seen to be.
    pub dir: PathBuf,
    /// The tracker that is asked first, if any is.
    pub first_tracker: Option<String>,
    /// Nothing is to be downloaded for it.
    pub is_seed_only: bool,
    /// Bytes that were fetched before it began, to learn its sizes.
    pub fetched_before: u64,
    /// When it was complete.
    pub completed: Option<Instant>,
    /// What had been downloaded when it was told complete last, in bytes.
    pub told_complete_at: Option<u64>,
    /// What it failed with.
    pub failed: Option<Exit>,
    /// Hashes that its files are to have in the end; none when that was looked at.
    pub sums: Vec<FileSum>,
    /// That is being looked at.
    pub is_summing: bool,
    /// What else can be tried, where nothing judges its pieces. In a box: few have any.
    pub attempts: Option<Box<Attempts>>,
    /// How often it was begun anew.
    pub life: u32,
    /// What was told of its progress.
    pub progress: Progress,
}

/// What was told of progress.
#[derive(Debug)]
pub struct Progress {
    /// Tenths that are done.
    pub tenth: u64,
    /// When progress was told last.
    pub told: Instant,
    /// Bytes received.
    pub bytes: u64,
    /// When that number changed, or there was nothing to receive.
    pub bytes_came: Instant,
    /// The state seen last.
    pub state: State,
    /// The directory that a command was told its files were moved to.
    pub moved_to: Option<PathBuf>,
    /// The disk's trouble that was told last, and when.
    pub trouble: Option<(String, Instant)>,
    /// That was told, and not that it has passed.
    pub is_in_trouble: bool,
}

impl Item {
    /// `2 name: `, before a line about it among others.
    pub fn prefix(&self) -> String {
        format!("{}: ", self.title())
    }

    /// `2 name`.
    pub fn title(&self) -> String {
        format!("{} {}", self.number, shorten(&self.name(), NAME_COLUMNS))
    }

    /// The same, whole.
    pub fn whole_title(&self) -> String {
        format!("{} {}", self.number, escape(&self.name()))
    }

    /// What it is called where its files are.
    pub fn name(&self) -> String {
        let home = self.handle.look(|status| status.home.clone());
        let Some(home) = home else { return self.torrent.name.clone() };
        let position = files_of(&self.torrent).first().copied().unwrap_or(0);
        own_name(&self.torrent, &home, position).to_string_lossy().into_owned()
    }

    /// Its info-hash in hex, as JSON lines carry it.
    pub fn info_hash(&self) -> String {
        self.torrent.info_hash_v1.map(|hash| hash.to_string()).unwrap_or_default()
    }

    /// Tells `told` from now on what happens, until the torrent ends.
    pub fn follow(&self, told: mpsc::Sender<Told>) {
        let (mut news, mut status) = (self.handle.news(), self.handle.watch());
        let mut follower =
            Follower { number: self.number, life: self.life, told, heard: Heard::default() };
        tokio::spawn(async move {
            // It may have begun with that, before anybody could listen.
            let first = status.borrow().state.clone();
            if let State::DiskTrouble(why) = first {
                let what = What::News(News::Swarm(Event::DiskTrouble(why)));
                Box::pin(follower.tell(what)).await;
            }
            loop {
                // In boxes: thousands may follow torrents to which nothing happens for days.
                let goes_on = tokio::select! {
                    biased;
                    heard = news.recv() => Box::pin(follower.on_news(heard)).await,
                    changed = status.changed() => match changed {
                        Ok(()) => {
                            let seen = status.borrow_and_update().clone();
                            Box::pin(follower.on_status(Box::new(seen), &mut news)).await
                        }
                        Err(_) => Box::pin(follower.on_end()).await,
                    },
                };
                if !goes_on {
                    return;
                }
            }
        });
    }

    /// Where a file is that is to have a hash, if it is wanted.
    fn to_compare(&self, sum: &FileSum, home: &Home) -> Option<(PathBuf, FileSum)> {
        let position = sum.file.0 as usize;
        let is_wanted = self.wanted().get(position).copied().unwrap_or(true);
        let file = self.torrent.files.file(sum.file).filter(|_| is_wanted)?;
        Some((home.dir.join(home.path_of(sum.file.0, file.path)), sum.clone()))
    }

    /// Begins to compare its files with the hashes that they are to have; once.
    pub fn check_sums(&mut self, told: mpsc::Sender<Told>) {
        let sums = std::mem::take(&mut self.sums);
        let home = self.handle.status().home.unwrap_or_else(|| Home::at(self.dir.clone()).into());
        let files: Vec<_> = sums.iter().filter_map(|sum| self.to_compare(sum, &home)).collect();
        if files.is_empty() {
            return;
        }
        self.is_summing = true;
        let (number, life) = (self.number, self.life);
        tokio::task::spawn_blocking(move || {
            let summed = |(path, sum): (PathBuf, FileSum)| {
                let is_right = has_hash(&path, &sum.hash).map_err(|error| error.to_string());
                Summed { path, kind: sum.hash.kind, is_right }
            };
            let what = What::Summed(files.into_iter().map(summed).collect());
            // A run that is over hears nothing.
            let _ = told.blocking_send(Told { number, life, what });
        });
    }

    /// Where its data is: its folder, or its single file.
    pub fn place(&self) -> PathBuf {
        let home = self.handle.status().home.unwrap_or_else(|| Home::at(self.dir.clone()).into());
        let position = files_of(&self.torrent).first().copied().unwrap_or(0);
        home.dir.join(own_name(&self.torrent, &home, position))
    }

    /// Where one of its files is.
    pub fn place_of(&self, file: FileIndex) -> Option<PathBuf> {
        let home = self.handle.status().home.unwrap_or_else(|| Home::at(self.dir.clone()).into());
        let path = self.torrent.files.file(file)?.path;
        Some(home.dir.join(home.path_of(file.0, path)))
    }

    /// How many of its files are chosen, when some are not; with its line end.
    pub fn choice_line(&self) -> String {
        let (chosen, all) = (self.chosen().len(), files_of(&self.torrent).len());
        match chosen == all {
            true => String::new(),
            false => {
                format!("{chosen} of {all} files selected; --select all takes the others too\n")
            }
        }
    }

    /// Which files are wanted, by their positions: as was chosen last, in this run or before.
    fn wanted(&self) -> Vec<bool> {
        self.handle.look(|status| status.wanted_files())
    }

    /// What the API is asked about it by.
    pub fn key(&self) -> Key {
        Key::Id(self.handle.id().0)
    }

    /// The wanted files by position, pad files left out.
    pub fn chosen(&self) -> Vec<usize> {
        let wanted = self.wanted();
        let is_wanted = |position: &usize| wanted.get(*position).is_none_or(|it| *it);
        files_of(&self.torrent).into_iter().filter(is_wanted).collect()
    }

    /// Its line of `list`.
    pub fn row(&self) -> Row {
        Row { number: self.number, name: self.name(), status: self.handle.status(), sought: None }
    }

    /// What came of it as an exit code: not complete is [`Exit::Incomplete`].
    pub fn exit(&self) -> Exit {
        match (self.failed, self.completed) {
            (Some(exit), _) => exit,
            (None, Some(_)) => Exit::Done,
            (None, None) => Exit::Incomplete,
        }
    }

    /// Why it failed, once it has.
    pub fn failure(&self, status: &Status) -> Option<Failure> {
        let State::Failed(why) = &status.state else { return None };
        // Only what was looked at and found lacking is posted together with a failure.
        if !self.is_seed_only || status.have.is_empty() {
            return Some(Failure::new(Exit::Disk, escape(why)));
        }
        let name = escape(&self.torrent.name);
        let dir = escape(&self.dir.display().to_string());
        if let Some(path) = self.unreadable() {
            let path = escape(&path.display().to_string());
            return Some(Failure::new(
                Exit::Disk,
                format!("{name} cannot be seeded from {dir}: {path} cannot be read: permit it"),
            ));
        }
        let words = format!(
            "{name} cannot be seeded from {dir}: {}{}; {}",
            escape(why),
            files_lacking(&self.torrent, &status.have),
            match elsewhere_words(&self.torrent, &self.dir) {
                words if words.is_empty() => {
                    let dir = self.dir.to_string_lossy();
                    let [named, dir] = [&*self.named, &*dir].map(shell_words::quote);
                    let [named, dir] = [named, dir].map(|word| escape(&word));
                    format!("driver {named} -d {dir} downloads what is missing")
                }
                words => words,
            },
        );
        Some(Failure::new(Exit::Mismatch, words))
    }

    /// A file of it that is there and that we may not read.
    fn unreadable(&self) -> Option<PathBuf> {
        let home = self.handle.status().home.unwrap_or_else(|| Home::at(self.dir.clone()).into());
        let files = (0..).zip(self.torrent.files.iter()).take(LOOKED_AT_MAX);
        let files = files.filter(|(_, file)| !file.is_pad);
        let mut paths = files.map(|(number, file)| home.dir.join(home.path_of(number, file.path)));
        let is_denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
        paths.find(|path| std::fs::File::open(path).is_err_and(is_denied))
    }
}

/// What a torrent is called in its home: its folder, or its single file of this position.
pub fn own_name(torrent: &Torrent, home: &Home, position: usize) -> PathBuf {
    let name = Path::new(&torrent.name);
    match torrent.files.iter().nth(position) {
        Some(file) if file.path.components().count() == 1 => {
            path_in(Some(home), position, file.path)
        }
        Some(file) => {
            let folder = home.in_folder(&file.path.components().take(1).collect::<PathBuf>());
            // Without a separator at its end.
            folder.components().collect()
        }
        None => name.to_owned(),
    }
}

impl Progress {
    /// Is this news of the disk worth a line? What comes again and again is told once in a while,
    /// and of what was not told nobody needs to know that it has passed.
    pub fn is_worth_telling(&mut self, event: &Event, now: Instant) -> bool {
        match event {
            Event::DiskTrouble(why) => {
                let before = self.trouble.as_ref();
                let is_old =
                    before.is_some_and(|(told, at)| told == why && now - *at < TROUBLE_AGAIN);
                if !is_old {
                    self.trouble = Some((why.clone(), now));
                    self.is_in_trouble = true;
                }
                !is_old
            }
            Event::DiskRecovered => std::mem::take(&mut self.is_in_trouble),
            _ => true,
        }
    }

    /// Nothing told yet.
    pub fn new(now: Instant) -> Self {
        Self {
            tenth: 0,
            told: now,
            bytes: 0,
            bytes_came: now,
            state: State::Checking,
            moved_to: None,
            trouble: None,
            is_in_trouble: false,
        }
    }
}

/// Tells a run what happens to a torrent.
struct Follower {
    number: usize,
    life: u32,
    told: mpsc::Sender<Told>,
    heard: Heard,
}

impl Follower {
    /// Tells it; false when nobody listens any more.
    async fn tell(&self, what: What) -> bool {
        let Self { number, life, told, .. } = self;
        told.send(Told { number: *number, life: *life, what }).await.is_ok()
    }

    /// Whether it goes on.
    async fn on_news(&mut self, news: Result<News, RecvError>) -> bool {
        match news {
            Ok(news) => {
                self.heard.note(&news);
                self.tell(What::News(news)).await
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!("{missed} news missed");
                true
            }
            Err(RecvError::Closed) => self.on_end().await,
        }
    }

    /// Whether it goes on, after this snapshot.
    async fn on_status(&mut self, seen: Box<Status>, news: &mut NewsReceiver) -> bool {
        // What was said before a state is told before it.
        while let Ok(news) = news.try_recv() {
            self.heard.note(&news);
            self.tell(What::News(news)).await;
        }
        for news in self.heard.missed(&seen) {
            self.tell(What::News(news)).await;
        }
        self.tell(What::Status(seen)).await
    }

    async fn on_end(&self) -> bool {
        self.tell(What::Ended).await;
        false
    }
}

/// Which of the news that come once were heard: a torrent that has begun already may have told
/// them before anybody could listen.
#[derive(Default)]
struct Heard {
    is_checked: bool,
    is_announced: bool,
}

impl Heard {
    fn note(&mut self, news: &News) {
        self.is_checked |= matches!(news, News::Checked(_));
        self.is_announced |= matches!(news, News::Announced { .. });
    }

    /// What a snapshot tells of news that nobody heard; each once.
    fn missed(&mut self, seen: &Status) -> impl Iterator<Item = News> + use<> {
        let found = seen.found.clone().filter(|_| !self.is_checked).map(News::Checked);
        let announced = seen.dht.as_ref().and_then(|dht| dht.announced);
        let announced =
            announced.filter(|_| !self.is_announced).map(|(_, nodes)| News::Announced { nodes });
        let missed = found.into_iter().chain(announced).collect::<Vec<_>>();
        missed.iter().for_each(|news| self.note(news));
        missed.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_a_minute_and_its_end_only_when_it_was() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        let at = |s| start + Duration::from_secs(s);
        let trouble = |why: &str| Event::DiskTrouble(why.to_owned());
        let mut is_told = |event: &Event, s| progress.is_worth_telling(event, at(s));
        assert!(!is_told(&Event::DiskRecovered, 0));
        assert!(is_told(&trouble("gone"), 1) && is_told(&Event::DiskRecovered, 2));
        assert!(!is_told(&trouble("gone"), 3) && !is_told(&Event::DiskRecovered, 4));
        assert!(is_told(&trouble("full"), 5) && is_told(&trouble("gone"), 6));
        assert!(!is_told(&trouble("gone"), 65) && is_told(&trouble("gone"), 66));
        assert!(is_told(&Event::DiskRecovered, 67) && !is_told(&Event::DiskRecovered, 68));
    }
}
