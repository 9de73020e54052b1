//! What each order answers: questions go to the torrent's handle, answers come back as text.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::base::units::rate;
use crate::cli::escape::escape;
use crate::cli::out;
use crate::cli::print::{files_screen, info_screen, peers_screen, status_screen, trackers_screen};
use crate::cli::selection::wanted_files;
use crate::cli::values::{Ranges, Rate};
use crate::cli::why::why_screen;
use crate::metainfo::Torrent;
use crate::torrent::handle::TorrentHandle;

use super::words::{self, Order};

/// News kept for `log`.
const NEWS_KEPT: usize = 500;

/// What answers need to know.
pub struct Desk {
    /// The torrent's facts.
    pub torrent: Arc<Torrent>,
    /// The running torrent.
    pub handle: TorrentHandle,
    /// Wanted files by position.
    pub wanted: Vec<bool>,
    news: VecDeque<String>,
}

impl Desk {
    /// A desk for a running torrent.
    pub fn new(torrent: Arc<Torrent>, handle: TorrentHandle, wanted: Vec<bool>) -> Self {
        Self { torrent, handle, wanted, news: VecDeque::new() }
    }

    /// Remembers a line for `log`.
    pub fn remember(&mut self, line: &str) {
        if self.news.len() == NEWS_KEPT {
            self.news.pop_front();
        }
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        self.news.push_back(format!("{time}  {line}\n"));
    }

    /// The answer to an order, ready to print. `Watch` and `Quit` are not answered here.
    pub async fn answer(&mut self, order: &Order) -> String {
        let columns = out::columns();
        let now = Instant::now();
        match order {
            Order::Nothing | Order::Quit | Order::Watch(_) => String::new(),
            Order::Info { files } => {
                let files =
                    if *files { files_screen(&self.torrent, None, columns) } else { "".into() };
                info_screen(&self.torrent, columns) + &files
            }
            Order::Peers { all } => peers_screen(&self.handle.peers(*all).await, *all, columns),
            Order::Status => status_screen(&self.handle.status(), now, columns),
            Order::Files => {
                let status = self.handle.status();
                files_screen(&self.torrent, Some((&status.have, &self.wanted)), columns)
            }
            Order::Select(ranges) => self.select(ranges.as_ref()).await,
            Order::Trackers => {
                // What they answer is shown the next time.
                self.handle.scrape().await;
                trackers_screen(&self.handle.status().trackers, now, columns)
            }
            Order::Announce => {
                let said = self.handle.announce().await;
                format!("{}\n", escape(&said.unwrap_or_else(|| "the torrent has ended".into())))
            }
            Order::LimitDown(Rate(limit)) => {
                self.handle.limit_down(*limit).await;
                limit.map_or("no limit\n".into(), |limit| format!("at most {}\n", rate(limit)))
            }
            Order::LimitUp => "there is no uploading yet, so nothing to limit\n".to_owned(),
            Order::Pause => {
                self.handle.pause().await;
                "paused; resume goes on\n".to_owned()
            }
            Order::Resume => {
                self.handle.resume().await;
                "going on\n".to_owned()
            }
            Order::AddPeer(address) => {
                self.handle.add_peer(*address).await;
                format!("trying {address}\n")
            }
            Order::Log(count) if self.news.is_empty() || *count == 0 => "no news yet\n".to_owned(),
            Order::Log(count) => {
                let skipped = self.news.len().saturating_sub(*count);
                self.news.iter().skip(skipped).map(String::as_str).collect()
            }
            Order::Why => match self.handle.why().await {
                Some(report) => why_screen(&report),
                None => "the torrent has ended\n".to_owned(),
            },
            Order::Help(about) => words::help(*about),
        }
    }

    async fn select(&mut self, ranges: Option<&Ranges>) -> String {
        let wanted = match wanted_files(&self.torrent, ranges, None) {
            Ok(wanted) => wanted,
            Err(why) => return format!("{why}\n"),
        };
        self.handle.select_files(wanted.clone()).await;
        let count = wanted.iter().filter(|wanted| **wanted).count() as u64;
        self.wanted = wanted;
        format!("{} selected\n", crate::cli::print::counted(count, "file"))
    }
}
