//! The running torrents from the user's side: answers commands, prints news and progress,
//! notices completion, and ends when asked to or when there is nothing left to do. It moves no
//! byte of data itself.

mod attempts;
mod crowd;
mod last_words;
mod searches;
mod torrents;
mod way_out;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::base::units::{duration, size};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::item::{Item, Told, What};
use crate::cli::out;
use crate::cli::print::{out_of_reach, progress_json, sum_line};
use crate::cli::repl::Talk;
use crate::cli::repl::desk::Desk;
use crate::cli::repl::reader::Line;
use crate::cli::repl::watch::watch;
use crate::cli::repl::words::{self, Order};
use crate::cli::search::Search;
use crate::cli::stop::Stopper;
use crate::cli::voice::Voice;
use crate::link::Provider;
use crate::net::blocklist::Standing;
use crate::torrent::status::{State, Status};

use crowd::{Crowd, Troubles};
pub use last_words::goodbye_to;
use last_words::{gave_up, goodbye_line};
use searches::goodbye_to_searches;
pub use searches::stop_all;

/// An end that takes longer than this says what it waits for.
const TELL_WRITING: Duration = Duration::from_secs(1);

/// Home, and clear what is below it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What is told by torrents is taken in so many at once.
const TOLD_BATCH: usize = 1024;

/// What ends a run, and when.
#[derive(Clone, Debug)]
pub struct Ending {
    /// End at completion; otherwise when everything has seeded as long as was asked for.
    pub exit_when_complete: bool,
    /// Fail when no byte came for so long.
    pub timeout: Option<Duration>,
    /// The only ones who can have anything of the one torrent: fail when none of them can bring
    /// what is missing.
    pub providers: Option<Arc<[Provider]>>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Everything wanted is verified.
    Complete,
    /// Something is not: the worst that came of any torrent, which has been told.
    Short(Exit),
}

/// One run.
pub struct Live {
    /// Answers.
    pub desk: Desk,
    /// Talks.
    pub voice: Voice,
    /// Lines of the user; none for runs without commands.
    pub lines: Option<mpsc::Receiver<Line>>,
    /// Asked to end.
    pub stopper: Stopper,
    /// When to end by itself.
    pub ending: Ending,
    /// What came of torrents that could not even be taken in.
    pub refused: Exit,
    /// What happens to the torrents.
    told: mpsc::Receiver<Told>,
    /// When the sum of several was told last.
    sum_told: Instant,
    /// Why nothing leaves, as it was told last.
    way_told: Option<String>,
    /// How both families are reached from outside, as it was told last.
    outside_told: [Option<Value>; 2],
    /// The blocklist's lists, as they were told last.
    lists_told: Vec<Standing>,
    /// The torrents of the start, where they are too many to be told of one by one.
    crowd: Option<Crowd>,
    /// What trackers, which several may share, were told to fail with.
    troubles: Troubles,
}

impl Live {
    /// A run of the desk's torrents, which tell what happens through `told`.
    pub fn new(
        (desk, told): (Desk, mpsc::Receiver<Told>),
        voice: Voice,
        lines: Option<mpsc::Receiver<Line>>,
        stopper: Stopper,
        ending: Ending,
    ) -> Self {
        let sum_told = Instant::now();
        let (refused, way_told, lists_told) = (Exit::Done, None, Vec::new());
        let outside_told = [None, None];
        Self {
            desk,
            voice,
            lines,
            stopper,
            ending,
            refused,
            told,
            sum_told,
            way_told,
            outside_told,
            lists_told,
            crowd: None,
            troubles: Troubles::default(),
        }
    }

    /// There are too many torrents at the start for people to be told of each.
    pub fn add_up(&mut self) {
        self.crowd = Some(Crowd::new(self.desk.items.len(), Instant::now()));
    }

    /// Runs to the end and stops the torrents; the last words are said here.
    ///
    /// # Errors
    /// When the time without data is over, or the only torrent failed or ended by itself.
    pub async fn run(&mut self) -> Result<End, Failure> {
        let outcome = self.follow().await;
        let running: Vec<Duration> =
            self.desk.items.iter().map(|item| item.handle.status().running).collect();
        let is_paused = |item: &Item| item.handle.state() == State::Paused;
        let was_paused = self.desk.items.iter().any(is_paused);
        if self.stopper.is_asked() && self.worst() != Exit::Done {
            let hurry = self.stopper.hurry_words();
            self.voice.urgent(&format!("Stopping... {hurry}"));
        }
        let sought = self.sought_events();
        if !sought.is_empty() {
            // They are ended, too, and nothing came of them.
            self.refused = self.refused.worst(Exit::Incomplete);
        }
        self.stop().await;
        self.stopper.restore_terminal();
        // The prompt may have been cut off: what follows goes to the plain streams, over it.
        if self.voice.printer.is_some() {
            out::answer("\r\x1b[K");
        }
        self.voice.printer = None;
        // What was at the disk or on its way counts, and how long the end took does not.
        let last = self.desk.items.iter().map(|item| item.handle.status());
        let last = last.zip(running).map(|(status, running)| Status { running, ..status });
        let statuses: Vec<Status> = last.collect();
        sought.iter().for_each(|event| self.voice.event(event));
        self.tell_crowd(false);
        self.say_goodbye(&statuses, sought.len(), outcome.is_err());
        if was_paused {
            self.voice.result(
                "A pause ends with the run: the next start goes on.
",
            );
        }
        self.mourn();
        outcome.map(|()| match self.worst() {
            Exit::Done => End::Complete,
            exit => End::Short(exit),
        })
    }

    /// Ends the torrents. On a terminal a slow device is waited for, visibly, until that is given
    /// up.
    async fn stop(&mut self) {
        let is_watched = std::io::stderr().is_terminal() && self.voice.talk != Talk::Pipe;
        let engine = self.desk.engine.clone();
        engine.be_patient(is_watched);
        let searches = self.desk.take_searches();
        let ends = async { tokio::join!(engine.stop(), stop_all(searches)) };
        let mut stopping = std::pin::pin!(ends);
        let mut look = tokio::time::interval_at(
            (Instant::now() + TELL_WRITING).into(),
            Duration::from_secs(1),
        );
        let mut told = 0;
        loop {
            tokio::select! {
                _ = &mut stopping => return,
                () = self.stopper.given_up() => break,
                _ = look.tick(), if is_watched => {
                    let items = self.desk.items.iter();
                    let left: u64 = items.map(|item| item.handle.status().unsynced_bytes).sum();
                    if left > 0 && left != told {
                        self.stopper.wait();
                        told = left;
                        let left = size(left);
                        self.voice.urgent(&format!(
                            "writing to the device: {left} left; Ctrl-C leaves it to the system"
                        ));
                    }
                }
            }
        }
        engine.be_patient(false);
        stopping.await;
    }

    /// Tells what the device refused at the very end; those torrents are not done.
    fn mourn(&mut self) {
        for item in &mut self.desk.items {
            let Some(why) = item.handle.status().flush_failure else { continue };
            let name = escape(&item.torrent.name);
            let why = escape(&why);
            self.voice.urgent(&format!(
                "{name} is not safe on disk: {why}. Start again: what is lost is fetched again"
            ));
            item.failed = Some(Exit::Disk);
        }
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        let stopper = self.stopper.clone();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut unread = std::pin::pin!(out::unread());
        loop {
            tokio::select! {
                biased;
                () = stopper.asked() => return Ok(()),
                () = &mut unread, if self.voice.json => return self.on_unread(),
                line = next_line(&mut self.lines) => match line {
                    Some(line) => {
                        if self.on_line(line).await {
                            return Ok(());
                        }
                    }
                    // The end of a pipe is not the end of the download.
                    None => self.lines = None,
                },
                Some(told) = self.told.recv() => {
                    self.on_told(told).await?;
                    // What is decided for all of them is decided once for many.
                    for _ in 0..TOLD_BATCH {
                        let Ok(told) = self.told.try_recv() else { break };
                        self.on_told(told).await?;
                    }
                }
                _ = second.tick() => {
                    if self.voice.json && out::is_unread() {
                        return self.on_unread();
                    }
                    self.on_second();
                    self.look_at_mirrors().await;
                }
            }
            self.try_others().await?;
            if self.is_over().await? {
                return Ok(());
            }
            self.check_reach().await?;
        }
    }

    /// Programs alone are spoken to, and nobody hears it any more: a run that nobody follows is not
    /// wanted any more, either.
    fn on_unread(&mut self) -> Result<(), Failure> {
        self.refused = self.refused.worst(Exit::Incomplete);
        self.voice.urgent("driver: nobody reads the events any more: stopped; progress is saved");
        Ok(())
    }

    /// Answers a line; true to leave.
    async fn on_line(&mut self, line: Line) -> bool {
        let order = words::read(&line.text);
        match &order {
            Ok(Order::Quit) => {
                // The reader waits for the answer, and gets none: it ends.
                return true;
            }
            Ok(Order::Watch(_) | Order::Clear) if self.voice.talk != Talk::Prompt => {
                self.voice.answer(&line.text, "that needs a terminal\n");
            }
            Ok(Order::Watch(shown)) => watch(&mut self.desk, shown, &self.stopper).await,
            Ok(Order::Clear) => out::answer(CLEAR),
            // The prompt shows no state: Enter does.
            Ok(Order::Nothing) if self.voice.talk == Talk::Prompt => {
                let items = self.desk.items.iter();
                let statuses: Vec<Status> = items.map(|item| item.handle.status()).collect();
                let glance = self.glance(&statuses);
                self.voice.answer("", &glance);
            }
            Ok(order @ Order::Add { .. }) => {
                // A server may take its time; nobody who wants to leave waits for it.
                let stopper = self.stopper.clone();
                let answer = tokio::select! {
                    biased;
                    () = stopper.asked() => return true,
                    answer = self.desk.answer(order) => answer,
                };
                self.voice.answer(&line.text, &answer);
            }
            Ok(order) => {
                let answer = self.desk.answer(order).await;
                self.voice.answer(&line.text, &answer);
            }
            Err(why) => self.voice.answer(&line.text, &format!("{why}\n")),
        }
        // A reader that is gone needs no answer.
        let _ = line.done.send(true);
        false
    }

    async fn on_told(&mut self, Told { number, life, what }: Told) -> Result<(), Failure> {
        let what = match what {
            What::Sought(found) => return self.on_sought(number, *found).await,
            What::Said(line) => {
                self.on_said(number, &line);
                return Ok(());
            }
            what => what,
        };
        // One that was removed, or begun anew, has nothing more to say.
        if self.desk.item_mut(number).is_none_or(|item| item.life != life) {
            return Ok(());
        }
        match what {
            What::News(news) => self.on_news(number, &news),
            What::Status(status) => {
                self.on_status(number, &status);
                if let Some(failure) = self.failure_of(number, &status) {
                    return self.on_failure(number, failure);
                }
            }
            What::Ended => {
                let words = "the download ended by itself: see the log";
                return self.on_failure(number, Failure::new(Exit::Unexpected, words));
            }
            What::Summed(summed) => self.on_summed(number, summed),
            What::Said(_) | What::Sought(_) => {}
        }
        Ok(())
    }

    fn on_second(&mut self) {
        self.tell_way_out();
        self.tell_outside();
        self.tell_blocklist();
        self.tell_searches();
        let (mut is_loading, mut is_checking) = (false, false);
        for item in &self.desk.items {
            // Of thousands that only seed none is copied.
            let is = |state: &State| item.handle.look(|status| status.state == *state);
            is_loading |= is(&State::Downloading);
            is_checking |= is(&State::Checking);
            let is_in_trouble = |it: &Status| matches!(it.state, State::DiskTrouble(_));
            if is(&State::Downloading) || item.handle.look(is_in_trouble) {
                self.voice.event(&about(item, progress_json(&item.handle.status())));
            }
        }
        self.tell_crowd(is_checking);
        if self.desk.is_several && is_loading && self.sum_told.elapsed() >= self.pause() {
            self.sum_told = Instant::now();
            let statuses: Vec<_> = self.desk.items.iter().map(|it| it.handle.status()).collect();
            self.voice.unasked(&sum_line(&statuses));
        }
    }

    /// How long progress may go untold.
    fn pause(&self) -> Duration {
        match self.voice.talk {
            Talk::Watched => Duration::from_secs(10),
            Talk::Prompt => Duration::MAX,
            Talk::Pipe | Talk::Progress => Duration::from_secs(30),
        }
    }

    /// Is there nothing left to do?
    async fn is_over(&self) -> Result<bool, Failure> {
        let items = &self.desk.items;
        if items.is_empty() && self.desk.searches.is_empty() {
            // All were taken out, or nothing was found; at a prompt others may come.
            let is_in_vain = self.lines.is_none() && self.refused != Exit::Done;
            let is_enough = self.ending.exit_when_complete || is_in_vain;
            return Ok(is_enough && self.voice.talk != Talk::Prompt);
        }
        let is_settled = |item: &Item| {
            let is_complete = item.completed.is_some() && self.ending.exit_when_complete;
            let is_done = is_complete || item.progress.state == State::Finished;
            is_done && !item.is_summing || item.failed.is_some()
        };
        if self.desk.searches.is_empty() && items.iter().all(is_settled) {
            return Ok(true);
        }
        let waiting = items.iter().filter(|item| item.exit() == Exit::Incomplete);
        let idle = waiting.map(|item| item.progress.bytes_came.elapsed());
        let idle = idle.chain(self.desk.searches.iter().map(Search::idle)).min();
        match (self.ending.timeout, idle) {
            (Some(timeout), Some(idle)) if idle >= timeout => {
                let exit = if self.waits_for_disks() { Exit::Disk } else { Exit::Network };
                Err(Failure::new(exit, self.gave_up(timeout).await))
            }
            _ => Ok(false),
        }
    }

    /// Is it their disks that keep all from going on?
    fn waits_for_disks(&self) -> bool {
        let mut waiting = self.desk.items.iter().filter(|item| item.exit() == Exit::Incomplete);
        self.desk.searches.is_empty()
            && waiting.all(|item| matches!(item.handle.state(), State::DiskTrouble(_)))
    }

    /// Why nothing came, and what to do.
    async fn gave_up(&self, timeout: Duration) -> String {
        match self.desk.items.as_slice() {
            [] => self.gave_up_searching(timeout).await,
            [only] if !self.desk.is_several => {
                let (peers, sources) = (only.handle.peers(true).await, only.handle.sources().await);
                let others = (sources.as_slice(), only.torrent.private);
                gave_up(&only.handle.status(), &peers, others, timeout)
            }
            several => {
                let all: Vec<Status> = several.iter().map(|item| item.handle.status()).collect();
                format!(
                    "no data for {} for any torrent: {}; try --peer ADDR or another --tracker URL",
                    duration(timeout),
                    sum_line(&all)
                )
            }
        }
    }

    /// Fails when the providers are all there is and none can bring what is missing.
    async fn check_reach(&self) -> Result<(), Failure> {
        let (Some(providers), Some(item)) = (&self.ending.providers, self.desk.items.first())
        else {
            return Ok(());
        };
        let status = item.handle.status();
        if !status.out_of_reach {
            return Ok(());
        }
        let peers = item.handle.peers(true).await;
        let words = out_of_reach(&item.torrent, &status, providers, &peers);
        Err(Failure::new(Exit::Network, words))
    }

    /// The worst that came of any torrent so far.
    fn worst(&self) -> Exit {
        let exits = self.desk.items.iter().map(Item::exit);
        let sought = self.desk.searches.iter().map(|_| Exit::Incomplete);
        exits.chain(sought).fold(self.refused, Exit::worst)
    }

    /// The name of a torrent before a line, where there are others.
    fn prefix(&self, number: usize) -> String {
        if !self.desk.is_several {
            return String::new();
        }
        let item = self.desk.items.iter().find(|item| item.number == number);
        let search = self.desk.searches.iter().find(|search| search.number == number);
        item.map(Item::prefix).or(search.map(Search::prefix)).unwrap_or_default()
    }

    /// A line about a torrent, not worth remembering.
    fn tell(&mut self, number: usize, line: &str) {
        let line = self.prefix(number) + line;
        self.voice.unasked(&line);
    }

    /// A line about a torrent, kept for `log`.
    fn say(&mut self, number: usize, line: &str) {
        let line = self.prefix(number) + line;
        self.desk.remember(&line);
        self.voice.unasked(&line);
    }

    fn event(&mut self, number: usize, object: Value) {
        let item = self.desk.items.iter().find(|item| item.number == number);
        if let Some(item) = item {
            self.voice.event(&about(item, object));
        }
    }

    fn say_goodbye(&mut self, statuses: &[Status], sought: usize, is_failed: bool) {
        for (item, status) in self.desk.items.iter().zip(statuses) {
            let object = json!({
                "event": "stopped",
                "complete": item.completed.is_some(),
                "downloaded": status.downloaded_bytes,
                "seconds": status.running.as_secs_f64(),
            });
            self.voice.event(&about(item, object));
        }
        let has_moved = statuses.iter().any(|it| it.verified_bytes + it.uploaded_bytes > 0);
        if is_failed && !has_moved {
            // The error says it all.
            return;
        }
        let is_complete =
            sought == 0 && self.desk.items.iter().all(|item| item.completed.is_some());
        if is_complete && self.voice.talk != Talk::Prompt && !self.desk.is_several {
            return;
        }
        match statuses {
            [] if sought > 0 => self.voice.result(&goodbye_to_searches(sought)),
            // All were taken out, which was said.
            [] => {}
            [only] if !self.desk.is_several => {
                let before = self.desk.items.first().map_or(0, |item| item.fetched_before);
                self.voice.result(&goodbye_line(only, before));
            }
            several => {
                let complete = self.desk.items.iter().filter(|item| item.completed.is_some());
                self.voice.result(&goodbye_to(several, complete.count()));
            }
        }
    }
}

/// The object with the torrent that it is about.
fn about(item: &Item, mut object: Value) -> Value {
    object["info_hash"] = item.info_hash().into();
    object
}

/// The next line; never, when there are none to come.
async fn next_line(lines: &mut Option<mpsc::Receiver<Line>>) -> Option<Line> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}
