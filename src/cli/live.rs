//! A running torrent from the user's side: answers commands, prints news and progress,
//! notices completion, and ends when asked to. It moves no byte of data itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use crate::base::units::{duration, rate, size};
use crate::link::Provider;
use crate::swarm::event::Event;
use crate::torrent::handle::News;
use crate::torrent::status::{State, Status};

use super::escape::escape;
use super::exit::{Exit, Failure};
use super::out;
use super::print::{
    news_json, news_line, out_of_reach, progress_json, progress_line, tracker_words,
};
use super::repl::Talk;
use super::repl::answer::Desk;
use super::repl::reader::Line;
use super::repl::watch::watch;
use super::repl::words::{self, Order};
use super::stop::Stopper;
use super::voice::Voice;

/// What ends a run, and when.
#[derive(Clone, Debug)]
pub struct Ending {
    /// End at completion.
    pub exit_when_complete: bool,
    /// End so long after completion.
    pub seed_time: Option<Duration>,
    /// Fail when no byte came for so long.
    pub timeout: Option<Duration>,
    /// The only ones who can have anything: fail when none of them can bring what is missing.
    pub providers: Option<Arc<[Provider]>>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Everything wanted is verified.
    Complete,
    /// Asked to stop before that.
    Stopped,
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
    /// From the birth of this value on: what happens before `run` is told too.
    news: broadcast::Receiver<News>,
    progress: Progress,
    completed: Option<Instant>,
}

/// What was told of progress.
struct Progress {
    tenth: u64,
    told: Instant,
    bytes: u64,
    bytes_came: Instant,
}

impl Live {
    /// A run that begins now.
    pub fn new(
        desk: Desk,
        voice: Voice,
        lines: Option<mpsc::Receiver<Line>>,
        stopper: Stopper,
        ending: Ending,
    ) -> Self {
        let now = Instant::now();
        let progress = Progress { tenth: 0, told: now, bytes: 0, bytes_came: now };
        let news = desk.handle.news();
        Self { desk, voice, lines, stopper, ending, news, progress, completed: None }
    }

    /// Runs to the end and stops the torrent; the last words are said here.
    ///
    /// # Errors
    /// When the time without data is over, or the torrent ended by itself.
    pub async fn run(&mut self) -> Result<End, Failure> {
        let outcome = self.follow().await;
        let status = self.desk.handle.status();
        if self.stopper.is_asked() && self.completed.is_none() {
            self.voice.urgent("Stopping... press Ctrl-C again to quit now");
        }
        self.desk.handle.stop().await;
        self.stopper.restore_terminal();
        // The prompt may have been cut off: what follows goes to the plain streams, over it.
        if self.voice.printer.is_some() {
            out::answer("\r\x1b[K");
        }
        self.voice.printer = None;
        self.say_goodbye(&status);
        outcome.map(|()| if self.completed.is_some() { End::Complete } else { End::Stopped })
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        let mut status = self.desk.handle.watch();
        let stopper = self.stopper.clone();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                () = stopper.asked() => return Ok(()),
                line = next_line(&mut self.lines) => match line {
                    Some(line) => {
                        if self.on_line(line).await {
                            return Ok(());
                        }
                    }
                    // The end of a pipe is not the end of the download.
                    None => self.lines = None,
                },
                told = self.news.recv() => match told {
                    Ok(told) => self.on_news(&told),
                    Err(RecvError::Lagged(missed)) => tracing::debug!("{missed} news missed"),
                    Err(RecvError::Closed) => return Err(ended_by_itself()),
                },
                changed = status.changed() => {
                    changed.map_err(|_| ended_by_itself())?;
                    let now = status.borrow_and_update().clone();
                    self.on_status(&now);
                }
                _ = second.tick() => self.on_second(),
            }
            if self.is_over()? {
                return Ok(());
            }
            self.check_reach().await?;
        }
    }

    /// Answers a line; true to leave.
    async fn on_line(&mut self, line: Line) -> bool {
        let order = words::read(&line.text);
        match &order {
            Ok(Order::Quit) => {
                // The reader waits for the answer, and gets none: it ends.
                return true;
            }
            Ok(Order::Watch(_)) if self.voice.talk != Talk::Prompt => {
                out::answer("watch needs a terminal\n");
            }
            Ok(Order::Watch(shown)) => watch(&mut self.desk, shown, &self.stopper).await,
            Ok(order) => out::answer(&self.desk.answer(order).await),
            Err(why) => out::answer(&format!("{why}\n")),
        }
        // A reader that is gone needs no answer.
        let _ = line.done.send(true);
        false
    }

    fn on_news(&mut self, told: &News) {
        if let Some(object) = news_json(told) {
            self.voice.event(&object);
        }
        let Some(line) = news_line(told) else { return };
        self.desk.remember(&line);
        let is_trouble = matches!(
            told,
            News::Tracker(_) | News::Swarm(Event::DiskTrouble(_) | Event::HashFailed { .. })
        );
        if is_trouble {
            tracing::warn!("{line}");
        }
        self.voice.unasked(&line);
    }

    fn on_status(&mut self, status: &Status) {
        let now = Instant::now();
        let is_waiting = !matches!(status.state, State::Downloading | State::DiskTrouble(_));
        if status.downloaded_bytes != self.progress.bytes || is_waiting {
            self.progress.bytes = status.downloaded_bytes;
            self.progress.bytes_came = now;
        }
        if status.state == State::Complete && self.completed.is_none() {
            self.completed = Some(now);
            self.say_complete(status);
        } else if status.state != State::Complete && status.state != State::Stopping {
            // More was selected: there is something to do again.
            self.completed = None;
        }
        let tenth = (status.progress() * 10.0) as u64;
        let pause = match self.voice.talk {
            Talk::Watched => Duration::from_secs(10),
            Talk::Prompt => Duration::MAX,
            Talk::Pipe | Talk::Progress => Duration::from_secs(30),
        };
        let is_due = tenth > self.progress.tenth || now - self.progress.told >= pause;
        if status.state == State::Downloading && is_due {
            self.progress.told = now;
            self.voice.unasked(&progress_line(status));
        }
        self.progress.tenth = tenth;
    }

    fn on_second(&mut self) {
        let status = self.desk.handle.status();
        if matches!(status.state, State::Downloading | State::DiskTrouble(_)) {
            self.voice.event(&progress_json(&status));
        }
    }

    fn is_over(&self) -> Result<bool, Failure> {
        if let Some(completed) = self.completed {
            let seeded = self.ending.seed_time.is_some_and(|time| completed.elapsed() >= time);
            return Ok(seeded || self.ending.exit_when_complete);
        }
        if let State::Failed(why) = &self.desk.handle.status().state {
            return Err(Failure::new(Exit::Disk, escape(why)));
        }
        match self.ending.timeout {
            Some(timeout) if self.progress.bytes_came.elapsed() >= timeout => {
                Err(Failure::new(Exit::Network, gave_up(&self.desk.handle.status(), timeout)))
            }
            _ => Ok(false),
        }
    }

    /// Fails when the providers are all there is and none can bring what is missing.
    async fn check_reach(&self) -> Result<(), Failure> {
        let Some(providers) = &self.ending.providers else { return Ok(()) };
        let status = self.desk.handle.status();
        if !status.out_of_reach {
            return Ok(());
        }
        let peers = self.desk.handle.peers(true).await;
        let words = out_of_reach(&self.desk.torrent, &status, providers, &peers);
        Err(Failure::new(Exit::Network, words))
    }

    fn say_complete(&mut self, status: &Status) {
        self.voice.event(&json!({
            "event": "completed",
            "downloaded": status.downloaded_bytes,
            "seconds": status.running.as_secs_f64(),
        }));
        let line = complete_line(status);
        self.desk.remember(line.trim_end());
        self.voice.result(&line);
        if !self.ending.exit_when_complete && self.voice.talk == Talk::Prompt {
            self.voice.result("quit to leave (there is no uploading yet, so nothing is seeded)\n");
        }
    }

    fn say_goodbye(&mut self, status: &Status) {
        self.voice.event(&json!({
            "event": "stopped",
            "complete": self.completed.is_some(),
            "downloaded": status.downloaded_bytes,
            "seconds": status.running.as_secs_f64(),
        }));
        if self.completed.is_none() || self.voice.talk == Talk::Prompt {
            self.voice.result(&goodbye_line(status));
        }
    }
}

/// The next line; never, when there are none to come.
async fn next_line(lines: &mut Option<mpsc::Receiver<Line>>) -> Option<Line> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

fn ended_by_itself() -> Failure {
    Failure::new(Exit::Unexpected, "the download ended by itself: see the log")
}

/// Why nothing came, and what to do.
fn gave_up(status: &Status, timeout: Duration) -> String {
    let tracker = match status.trackers.as_slice() {
        [] => "there is no tracker".to_owned(),
        trackers => format!("tracker: {}", tracker_words(trackers, Instant::now())),
    };
    let trouble = match &status.disk_trouble {
        Some(trouble) => format!("; disk: {}", escape(trouble)),
        None => String::new(),
    };
    format!(
        "no data for {}: {} connected of {} known, {tracker}{trouble}; try --peer ADDR or \
         another --tracker URL",
        duration(timeout),
        super::print::counted(status.peers_connected.into(), "peer"),
        status.peers_known,
    )
}

fn average(status: &Status) -> String {
    let seconds = status.transferring.as_secs_f64();
    rate(if seconds > 0.0 { (status.downloaded_bytes as f64 / seconds) as u64 } else { 0 })
}

fn complete_line(status: &Status) -> String {
    let wanted = size(status.wanted_bytes);
    if status.downloaded_bytes == 0 {
        return format!("Complete: {wanted}, all of it found on disk and verified.\n");
    }
    format!(
        "Complete: {wanted} in {} ({}), every piece verified.\n",
        duration(status.running),
        average(status)
    )
}

fn goodbye_line(status: &Status) -> String {
    format!(
        "Saved. Downloaded {} in {} ({}), uploaded {}.\n",
        size(status.downloaded_bytes),
        duration(status.running),
        average(status),
        size(status.uploaded_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            wanted_bytes: 821_035_008,
            downloaded_bytes: 821_035_008,
            uploaded_bytes: 23_173_530,
            running: Duration::from_secs(81),
            transferring: Duration::from_secs(81),
            peers_known: 3,
            ..Status::default()
        }
    }

    #[test]
    fn last_words() {
        assert_eq!(
            goodbye_line(&status()),
            "Saved. Downloaded 783.0 MiB in 1m 21s (9.7 MiB/s), uploaded 22.1 MiB.\n"
        );
        assert_eq!(
            complete_line(&status()),
            "Complete: 783.0 MiB in 1m 21s (9.7 MiB/s), every piece verified.\n"
        );
        let found = Status { downloaded_bytes: 0, ..status() };
        assert_eq!(
            complete_line(&found),
            "Complete: 783.0 MiB, all of it found on disk and verified.\n"
        );
    }

    #[test]
    fn giving_up_says_why_and_what_to_do() {
        assert_eq!(
            gave_up(&status(), Duration::from_secs(60)),
            "no data for 1m 0s: 0 peers connected of 3 known, there is no tracker; \
             try --peer ADDR or another --tracker URL"
        );
    }
}
