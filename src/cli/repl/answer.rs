//! What each order answers: questions go to the handle of the used torrent, or of all, and
//! answers come back as text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::api::{Deed, Done, File, Limits, List, Patch, Peer, Request, SessionPatch, Source};
use crate::base::ids::FileIndex;
use crate::base::units::{rate, size};
use crate::cli::engine::Engine;
use crate::cli::escape::escape;
use crate::cli::item::{Item, own_name};
use crate::cli::out;
use crate::cli::print::{
    Around, announced_words, blocklist_words, contents_screen, counted, dht_screen, files_of,
    files_screen, info_screen, list_screen, net_lines, outside_lines, outside_row, outside_trouble,
    path_in, peers_screen, row, status_screen, swarm_line, trackers_screen, web_screen, wrap,
};
use crate::cli::search::Search;
use crate::cli::values::Rate;
use crate::cli::why::{Among, why_screen, why_words};
use crate::disk::Relocation;
use crate::net::addresses::is_own;
use crate::torrent::command::Moving;
use crate::torrent::status::State;

use super::desk::{Chosen, Desk, Refused, Wanted};
use super::words::{self, Order};

/// How long an answer waits for its order to show.
const ORDER_TIME: Duration = Duration::from_secs(1);
/// The same of an order to move files: what runs must end first, and trackers are told.
const MOVE_TIME: Duration = Duration::from_secs(15);
/// Torrents whose place in the DHT is shown.
const ANNOUNCED_SHOWN: usize = 10;
const NO_TORRENT: &str = "there is no torrent: add FILE takes one in\n";

impl Desk {
    /// The answer to an order, ready to print. `Watch` and `Quit` are not answered here.
    pub async fn answer(&mut self, order: &Order) -> String {
        let mut answer = self.answer_alone(order).await;
        if *order == Order::Why
            && let Some(standing) = self.engine.outside()
            && let Some(trouble) = outside_trouble(&standing, self.engine.port())
        {
            answer += &(wrap(&format!("From outside: {trouble}"), out::columns(), 2) + "\n");
        }
        if let Order::Status { .. } = order {
            answer += &self.blocklist_row();
        }
        // Whatever else it waits for comes after that.
        match self.first_of_all().filter(|_| *order == Order::Why) {
            Some(why) => wrap(&format!("First of all: {why}"), out::columns(), 2) + "\n" + &answer,
            None => answer,
        }
    }

    /// What keeps everybody from connecting, if anything does.
    fn first_of_all(&self) -> Option<String> {
        let egress = self.engine.egress();
        let awaited = || egress.blocklist().awaited().and_then(|list| list.trouble);
        egress.standing().trouble().or_else(awaited).map(|why| escape(&why))
    }

    /// The row of `status` that is about all torrents; empty where there is no list.
    fn blocklist_row(&self) -> String {
        let words = blocklist_words(self.engine.egress().blocklist());
        words.map(|words| row("Blocklist", &words, out::line_columns())).unwrap_or_default()
    }

    async fn answer_alone(&mut self, order: &Order) -> String {
        let columns = out::columns();
        match order {
            Order::AddPeer(address) if self.engine.egress().blocklist().contains(address.ip()) => {
                format!("{address} is on the blocklist: nobody connects to it\n")
            }
            Order::AddPeer(address) if self.is_ours(*address) => {
                format!("{address} is this program itself: nobody else listens there\n")
            }
            Order::Nothing | Order::Quit | Order::Watch(_) | Order::Clear => String::new(),
            Order::Help(about) => words::help(*about, out::line_columns()),
            Order::Log(count) => self.remembered(*count),
            Order::List => {
                let (rows, used) = self.rows();
                list_screen(rows.into_iter(), used, columns)
            }
            Order::Add { name, dir } => self.answer_add(name, dir.as_deref()).await,
            Order::Use(meant) => self.answer_use(meant),
            Order::Remove(meant) => self.answer_remove(meant).await,
            Order::Limits => self.limits_screen().await,
            Order::Dht => self.dht_screen(columns).await,
            Order::Net => self.net_screen(columns),
            Order::Limit { of: None, down, limit } => self.limit_all(*down, *limit).await,
            Order::Limit { of: Some(meant), down, limit } => {
                self.limit_one(meant, *down, *limit).await
            }
            Order::Status { all: true } if !self.searches.is_empty() => self.status_of_all().await,
            _ if self.items.is_empty() && self.searches.is_empty() => NO_TORRENT.to_owned(),
            Order::Status { all: true } => self.status_of_all().await,
            Order::Pause { all: true, .. } => self.pause_all().await,
            Order::Resume { all: true, .. } => self.resume_all().await,
            Order::Pause { of: Some(number), .. } | Order::Resume { of: Some(number), .. } => {
                self.answer_one(*number, order).await
            }
            _ => {
                if let Some(answer) = self.answer_search(order).await {
                    return answer;
                }
                if let Some(answer) = self.answer_choice(order).await {
                    return answer;
                }
                let (engine, is_several) = (self.engine.clone(), self.is_several);
                let (of_all, outside) = (engine.limits().await, self.outside_row());
                match self.used_mut() {
                    Some(item) => {
                        let around = (of_all, outside.as_deref());
                        item.answer(order, &engine, is_several, around).await
                    }
                    None => NO_TORRENT.to_owned(),
                }
            }
        }
    }

    /// Is that where we listen?
    fn is_ours(&self, address: SocketAddr) -> bool {
        let policy = self.engine.egress().policy();
        let is_there = match (&policy.device, policy.bind) {
            (None, None) => is_own(address.ip()),
            (_, bind) => bind == Some(address.ip()),
        };
        is_there && address.port() == self.engine.port()
    }

    /// Our ports as they are outside, where a router has opened any.
    fn outside_row(&self) -> Option<String> {
        self.engine.outside().as_ref().and_then(outside_row)
    }

    /// What may leave, and how.
    fn net_screen(&self, columns: usize) -> String {
        let outside = match self.engine.outside() {
            Some(standing) => outside_lines(&standing),
            None => vec!["no router is asked to open ports".to_owned()],
        };
        let lines = net_lines(self.engine.egress(), Some(self.engine.port()), &outside);
        lines.iter().map(|line| wrap(line, columns, 2) + "\n").collect()
    }

    /// How the DHT fares.
    async fn dht_screen(&self, columns: usize) -> String {
        match self.engine.dht() {
            Some(dht) => {
                let screen = dht_screen(&dht.standing(), &dht.look().await, columns);
                let mut screen = screen + &self.announced_lines();
                // What takes no part in it is not asked for there.
                let takes_part = |item: &&Item| item.handle.status().dht.is_some();
                let used = self.used().filter(takes_part);
                if let Some(hash) = used.and_then(|item| item.torrent.info_hash_v1) {
                    screen += &swarm_line(dht.count(hash).await);
                }
                screen
            }
            None => "the DHT is off (--no-dht)\n".to_owned(),
        }
    }

    /// How each torrent stands there, in the words of `status`.
    fn announced_lines(&self) -> String {
        let line = |item: &Item| {
            let words = announced_words(&item.handle.status().dht?);
            Some(format!("{}: {words}\n", item.title()))
        };
        let lines: Vec<String> = self.items.iter().filter_map(line).collect();
        let more = lines.len().saturating_sub(ANNOUNCED_SHOWN);
        let mut shown = lines.into_iter().take(ANNOUNCED_SHOWN).collect::<String>();
        if more > 0 {
            shown += &format!("({more} more torrents)\n");
        }
        shown
    }

    async fn answer_add(&mut self, name: &str, dir: Option<&Path>) -> String {
        let came = match self.choose(name, dir).await {
            Ok(Wanted::Torrent(chosen)) => self.take_in(*chosen).await,
            Ok(Wanted::Link(wish)) => {
                let lonely = wish.loneliness().filter(|_| self.engine.dht().is_none());
                match self.seek(*wish).await {
                    Ok(search) => {
                        let words = match lonely {
                            Some(words) if search.is_asking().await => words,
                            _ => "looking for its metadata",
                        };
                        Ok(search.prefix() + words)
                    }
                    Err(refused) => Err(refused),
                }
            }
            Err(failure) => Err(Refused::Failed(failure)),
        };
        let came = came.unwrap_or_else(|refused| match refused {
            Refused::Twice(words, given) => words + &given,
            Refused::Failed(failure) => failure.to_string(),
        });
        came + "\n"
    }

    /// Takes a torrent in, unless it turns out at once that it cannot run where it is to go.
    async fn take_in(&mut self, chosen: Chosen) -> Result<String, Refused> {
        let item = self.add(chosen).await?;
        // A long check is not waited for: what comes of it is told when it does.
        item.seen(|state| *state != State::Checking).await;
        let failure = item.failure(&item.handle.status());
        let (number, title) = (item.number, item.whole_title());
        let did = if item.handle.state() == State::Queued { "queued" } else { "added" };
        match failure {
            None => Ok(format!("{title}: {did}")),
            Some(failure) => {
                self.remove(number).await;
                Err(Refused::Failed(failure))
            }
        }
    }

    fn answer_use(&mut self, meant: &str) -> String {
        match self.find(meant) {
            Ok(number) => {
                self.set_used(number);
                let search = self.used_search().map(Search::title);
                let used = search.or_else(|| self.used().map(Item::whole_title));
                used.map_or(String::new(), |title| format!("using {title}\n"))
            }
            Err(why) => format!("{why}\n"),
        }
    }

    async fn answer_remove(&mut self, meant: &str) -> String {
        let number = match self.find(meant) {
            Ok(number) => number,
            Err(why) => return format!("{why}\n"),
        };
        if let Some(title) = self.remove_search(number).await {
            return format!("removed {title}; its metadata is not looked for any more\n");
        }
        let has_data = |item: &mut Item| item.handle.look(|status| status.downloaded_bytes > 0);
        let has_data = self.item_mut(number).is_some_and(has_data);
        let Some((title, path)) = self.remove(number).await else { return String::new() };
        removed_words(&title, &path, has_data)
    }

    /// Pauses or resumes the torrent that is meant, whichever commands speak of.
    async fn answer_one(&mut self, number: usize, order: &Order) -> String {
        let number = match self.find(&number.to_string()) {
            Ok(number) => number,
            Err(why) => return format!("{why}\n"),
        };
        let (engine, is_several) = (self.engine.clone(), self.is_several);
        match self.item_mut(number) {
            Some(item) => item.answer(order, &engine, is_several, (Limits::default(), None)).await,
            None => format!("{number} has nothing to pause before its metadata is found\n"),
        }
    }

    async fn status_of_all(&self) -> String {
        let (now, limits) = (Instant::now(), self.engine.limits().await);
        let of_all = self.is_several.then_some(limits);
        let outside = self.outside_row();
        let screen = |item: &Item| {
            let screen = item.status_screen(of_all, outside.as_deref(), now);
            format!("{}\n{screen}", item.whole_title())
        };
        let items = self.items.iter().map(|item| (item.number, screen(item)));
        let mut screens: Vec<_> = items.chain(self.searches_screens()).collect();
        screens.sort_by_key(|(number, _)| *number);
        screens.into_iter().map(|(_, screen)| screen).collect::<Vec<_>>().join("\n")
    }

    async fn pause_all(&self) -> String {
        // Those that wait first, or they would take the places that become free.
        let is_queued = |item: &&Item| item.handle.state() == State::Queued;
        let (queued, running): (Vec<&Item>, Vec<&Item>) = self.items.iter().partition(is_queued);
        let mut refused = None;
        for item in queued.iter().chain(&running) {
            if let Err(why) = item.pause(&self.engine).await {
                // The others are paused all the same.
                refused.get_or_insert(item.prefix() + &why + "\n");
            }
        }
        if let Some(refused) = refused {
            return refused;
        }
        format!("{} paused; resume all goes on\n", counted(self.items.len() as u64, "torrent"))
    }

    /// To a single queued torrent `resume` means to jump the queue; all cannot.
    async fn resume_all(&self) -> String {
        let mut refused = None;
        for item in &self.items {
            // One after the other: who goes on holds its place before those behind it look.
            let unpause = Request::Do(item.key(), Deed::Unpause);
            match self.engine.ask::<Done>(unpause).await {
                Ok(_) => item.seen(|state| *state != State::Paused).await,
                Err(why) => {
                    refused.get_or_insert(item.prefix() + &why + "\n");
                }
            }
        }
        refused.unwrap_or_else(|| "all that were paused go on\n".to_owned())
    }

    async fn limit_all(&self, down: bool, Rate(limit): Rate) -> String {
        let bytes = Some(limit.unwrap_or(0));
        let patch = match down {
            true => SessionPatch { limit_down: bytes, ..SessionPatch::default() },
            false => SessionPatch { limit_up: bytes, ..SessionPatch::default() },
        };
        if let Err(why) = self.engine.ask::<Done>(Request::SetSession(patch)).await {
            return why + "\n";
        }
        let words = limit_words(down, limit);
        match self.is_several {
            true => format!("all together: {words}\n"),
            false => format!("{words}, for all torrents of this run together\n"),
        }
    }

    async fn limit_one(&mut self, meant: &str, down: bool, Rate(limit): Rate) -> String {
        let number = match self.find(meant) {
            Ok(number) => number,
            Err(why) => return format!("{why}\n"),
        };
        let Some(item) = self.item_mut(number) else {
            return format!("{number} has nothing to limit before its metadata is found\n");
        };
        let bytes = Some(limit.unwrap_or(0));
        let patch = match down {
            true => Patch { limit_down: bytes, ..Patch::default() },
            false => Patch { limit_up: bytes, ..Patch::default() },
        };
        let (prefix, request) = (item.prefix(), Request::Set(item.key(), Box::new(patch)));
        match self.engine.ask::<Done>(request).await {
            Ok(_) => format!("{prefix}{}, for this torrent alone\n", limit_words(down, limit)),
            Err(why) => format!("{prefix}{why}\n"),
        }
    }

    /// The limits of all together, and of each that has others or has neighbours.
    async fn limits_screen(&self) -> String {
        let words = |Limits { down, up }| {
            format!("{}, {}\n", limit_words(true, down), limit_words(false, up))
        };
        let all = words(self.engine.limits().await);
        let list: List = match self.engine.ask(Request::List(None)).await {
            Ok(list) => list,
            Err(why) => return why + "\n",
        };
        let own: BTreeMap<u32, Limits> =
            list.torrents.iter().map(|torrent| (torrent.id, torrent.limits)).collect();
        if !self.is_several && own.values().all(|limits| *limits == Limits::default()) {
            return all;
        }
        let own = |item: &Item| own.get(&item.handle.id().0).copied().unwrap_or_default();
        let each = self.items.iter().map(|item| item.prefix() + &words(own(item)));
        format!("all together: {all}{}", each.collect::<String>())
    }
}

impl Item {
    /// Pauses, and waits until it shows, so that the next answer is not about the time before.
    async fn pause(&self, engine: &Engine) -> Result<(), String> {
        let is_busy =
            |state: &State| matches!(state, State::Queued | State::Downloading | State::Complete);
        self.have_done(engine, Deed::Pause).await?;
        if is_busy(&self.handle.state()) {
            self.seen(|state| !is_busy(state)).await;
        }
        Ok(())
    }

    /// Has something done to it; what there is to say of that.
    async fn have_done(&self, engine: &Engine, deed: Deed) -> Result<Option<String>, String> {
        let done: Done = engine.ask(Request::Do(self.key(), deed)).await?;
        Ok(done.note.map(|note| escape(&note)))
    }

    /// Waits a moment for a state.
    async fn seen(&self, is_it: impl Fn(&State) -> bool) {
        let mut status = self.handle.watch();
        let reached = status.wait_for(|status| is_it(&status.state));
        // It comes later, or never: an order is no promise.
        let _ = timeout(ORDER_TIME, reached).await;
    }

    /// The answer to `peers`, of all known ones.
    async fn peers(&self, all: bool, engine: &Engine) -> Result<String, String> {
        let ask = |all| engine.ask::<Vec<Peer>>(Request::Peers(self.key(), all));
        // Why nobody is connected is told where nobody is.
        let peers = match ask(all).await? {
            none if none.is_empty() => ask(true).await?,
            some => some,
        };
        if peers.is_empty() && all && self.torrent.private {
            let words = "no peers known: the torrent is private, so only its trackers name any \
                         (announce asks them)";
            return Ok(wrap(words, out::columns(), 2) + "\n");
        }
        let sources: Vec<Source> = engine.ask(Request::Sources(self.key())).await?;
        Ok(peers_screen(&peers, &sources, all, out::columns()))
    }

    /// The answer to an order that is about this torrent alone.
    async fn answer(
        &mut self,
        order: &Order,
        engine: &Engine,
        is_several: bool,
        (of_all, outside): (Limits, Option<&str>),
    ) -> String {
        let (now, columns) = (Instant::now(), out::line_columns());
        let name = if is_several { self.prefix() } else { String::new() };
        if let Some(done) = self.do_as_told(order, engine).await {
            return name + &done.unwrap_or_else(|why| why) + "\n";
        }
        match order {
            Order::Info { files } => {
                let home = self.handle.status().home;
                let files = match files {
                    true => contents_screen(&self.torrent, home.as_deref(), columns),
                    false => String::new(),
                };
                let place = escape(&self.place().display().to_string());
                format!("{}Saved in    {place}\n{files}", info_screen(&self.torrent, columns))
            }
            Order::Peers { all } => self.peers(*all, engine).await.unwrap_or_else(|why| why + "\n"),
            Order::Web => web_screen(&self.handle.sources().await, columns),
            Order::Status { .. } => {
                let screen = self.status_screen(is_several.then_some(of_all), outside, now);
                self.heading(is_several) + &screen
            }
            Order::Files => {
                let files = engine.ask::<Vec<File>>(Request::Files(self.key())).await;
                files.map_or_else(|why| why + "\n", |files| files_screen(&files, columns))
            }
            Order::Trackers => {
                // What they answer is shown the next time.
                self.handle.scrape().await;
                trackers_screen(&self.handle.status().trackers, now, columns)
            }
            Order::Move(_) | Order::RenameFile { .. } | Order::Rename(_) => {
                name + &self.relocate(order).await
            }
            Order::Why => {
                let among = if is_several { Among::Several } else { Among::Alone };
                let words = match engine.waiting(&self.key()).await {
                    Ok(waiting) => why_words(&waiting, self.number, among),
                    Err(why) => why + "\n",
                };
                self.heading(is_several) + &why_screen(&words, columns)
            }
            _ => String::new(),
        }
    }
}

impl Item {
    /// The line above an answer that does not name it by itself, where there are others.
    fn heading(&self, is_several: bool) -> String {
        if is_several { self.whole_title() + "\n" } else { String::new() }
    }

    /// Its screen of `status`.
    fn status_screen(
        &self,
        limits_of_all: Option<Limits>,
        outside: Option<&str>,
        now: Instant,
    ) -> String {
        let first_tracker = self.first_tracker.as_deref();
        let around = Around { limits_of_all, first_tracker, outside };
        status_screen(&self.handle.status(), around, now, out::line_columns())
    }

    /// Carries out an order to do something, and says what came of it; none of any other order.
    async fn do_as_told(&self, order: &Order, engine: &Engine) -> Option<Result<String, String>> {
        let done = match order {
            Order::Pause { .. } => {
                self.pause(engine).await.map(|()| "paused; resume goes on".to_owned())
            }
            Order::Resume { .. } => {
                self.have_done(engine, Deed::Resume).await.map(|_| "going on".to_owned())
            }
            Order::Verify => self.have_done(engine, Deed::Verify).await.map(|_| {
                "all of it is read and hashed again: status shows how far that is".to_owned()
            }),
            Order::Announce => {
                let said = self.have_done(engine, Deed::Announce).await;
                said.map(|said| said.unwrap_or_else(|| "nothing runs to announce".to_owned()))
            }
            Order::AddPeer(_) if self.torrent.private => {
                Err("the torrent is private: only its trackers may name peers".to_owned())
            }
            Order::AddPeer(address) => {
                let deed = Deed::AddPeer { address: address.to_string() };
                self.have_done(engine, deed).await.map(|_| format!("trying {address}"))
            }
            Order::AddWebSeed(url) => self.add_web_seed(url, engine).await,
            _ => return None,
        };
        Some(done)
    }

    /// Fetches from a server, too, and says so.
    async fn add_web_seed(&self, url: &str, engine: &Engine) -> Result<String, String> {
        let sources = || engine.ask::<Vec<Source>>(Request::Sources(self.key()));
        let before = sources().await?.len();
        self.have_done(engine, Deed::AddSource { url: url.to_owned() }).await?;
        if matches!(self.handle.state(), State::Complete | State::Finished) {
            let words = "noted, but there is nothing to fetch: everything wanted is here";
            return Ok(words.to_owned());
        }
        let after = sources().await?;
        Ok(match after.last().filter(|_| after.len() > before) {
            Some(source) => format!("fetching from {}, too", escape(&source.url)),
            None if self.handle.state() != State::Downloading => {
                "noted: it is asked when the download runs".to_owned()
            }
            None => "it is there already, or there are too many (web shows all)".to_owned(),
        })
    }

    /// Moves or renames files, and says what came of it.
    async fn relocate(&mut self, order: &Order) -> String {
        let what = match self.relocation(order) {
            Ok(what) => what,
            Err(why) => return why,
        };
        match timeout(MOVE_TIME, self.handle.relocate(what.clone())).await {
            Err(_) => "that is done as soon as it can be: status shows how far it is\n".to_owned(),
            Ok(None) => "the torrent has failed: nothing is done\n".to_owned(),
            Ok(Some(Err(why))) => format!("{}\n", escape(&why)),
            Ok(Some(Ok(moving))) => {
                if moving.copy_bytes == 0 {
                    self.progress.moved_to = Some(moving.home.dir.clone());
                    self.seen(|state| !matches!(state, State::Moving | State::Checking)).await;
                }
                self.relocated(&what, &moving)
            }
        }
    }

    fn relocation(&self, order: &Order) -> Result<Relocation, String> {
        Ok(match order {
            Order::RenameFile { number, name } => {
                let files = files_of(&self.torrent);
                let position = (*number as usize).checked_sub(1);
                let position = position.and_then(|at| files.get(at));
                let Some(file) = position.and_then(|position| u32::try_from(*position).ok()) else {
                    let has = counted(files.len() as u64, "file");
                    return Err(format!("there is no file {number}: the torrent has {has}\n"));
                };
                Relocation::File(FileIndex(file), name.clone())
            }
            Order::Rename(name) => Relocation::Torrent(name.clone()),
            Order::Move(dir) => Relocation::Dir(dir.clone()),
            _ => return Err(String::new()),
        })
    }

    fn relocated(&self, what: &Relocation, moving: &Moving) -> String {
        let dir = escape(&moving.home.dir.display().to_string());
        let path = match what {
            Relocation::Dir(_) if moving.copy_bytes > 0 => {
                let bytes = size(moving.copy_bytes);
                return format!("moving {bytes} to {dir}: status shows how far it is\n");
            }
            Relocation::Dir(_) => return format!("moved to {dir}\n"),
            Relocation::File(FileIndex(number), _) => {
                let position = *number as usize;
                let file = self.torrent.files.iter().nth(position);
                file.map(|file| path_in(Some(&moving.home), position, file.path))
            }
            Relocation::Torrent(_) => {
                let first = files_of(&self.torrent).first().copied();
                Some(own_name(&self.torrent, &moving.home, first.unwrap_or(0)))
            }
        };
        let path = path.unwrap_or_default().display().to_string();
        format!("renamed to {}\n", escape(&path))
    }
}

/// That a torrent is out, and where its data is, if it has any: one that never began made no file.
fn removed_words(title: &str, path: &Path, has_data: bool) -> String {
    let part = path.with_file_name(match path.file_name() {
        Some(name) => format!("{}.part", name.to_string_lossy()),
        None => String::new(),
    });
    match has_data || path.exists() || part.exists() {
        true => {
            let path = escape(&path.display().to_string());
            format!("removed {title}; its data stays in {path}\n")
        }
        false => format!("removed {title}; it has no data on disk\n"),
    }
}

/// `down at most 1.9 MiB/s`, `up no limit`.
fn limit_words(down: bool, limit: Option<u64>) -> String {
    let way = if down { "down" } else { "up" };
    let limit = limit.map_or("no limit".to_owned(), |limit| format!("at most {}", rate(limit)));
    format!("{way} {limit}")
}
