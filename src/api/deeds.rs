//! What is set of torrents and done to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::file_priority::FilePriority;
use crate::base::ids::{FileIndex, TorrentId};
use crate::disk::Relocation;
use crate::roster::Flags;
use crate::session::{FileWish, Rank, Setting, WebSeed};

use super::answer::{Done, Kind, Refusal};
use super::desk::Api;
use super::request::{Deed, FilePatch, Key, Patch, Place};
use super::{adding, trackers, view};

impl Api {
    /// Sets what a patch says.
    ///
    /// # Errors
    /// There is no such torrent, or something of it cannot be set.
    pub(super) async fn set(&self, key: &Key, patch: Patch) -> Result<Done, Refusal> {
        let listed = self.find(key).await?;
        let id = listed.spec.id;
        let limit = |limit: u64| Some(limit).filter(|limit| *limit > 0);
        // Labels and names come first: they may be refused.
        let mut settings = Vec::new();
        settings.extend(patch.labels.map(Setting::Labels));
        let name = |name: String| Setting::ShownName(Some(name).filter(|name| !name.is_empty()));
        settings.extend(patch.name.map(name));
        let mut note = None;
        if let Some(tiers) = patch.trackers {
            let (known, is_private) = self.tiers_of(&listed.spec).await?;
            trackers::check(&tiers, &known)?;
            note = is_private.then(|| trackers::OF_PRIVATE.to_owned());
            settings.push(Setting::Trackers(tiers));
        }
        settings.extend(patch.limit_down.map(|it| Setting::DownloadLimit(limit(it))));
        settings.extend(patch.limit_up.map(|it| Setting::UploadLimit(limit(it))));
        if patch.seed_ratio.is_some_and(|ratio| !ratio.is_finite() || ratio < 0.0) {
            return Err(Refusal::invalid("a ratio is a number from 0 on"));
        }
        let ratio = patch.seed_ratio.map(|ratio| Some(ratio).filter(|ratio| *ratio > 0.0));
        settings.extend(ratio.map(Setting::SeedRatio));
        let time = patch.seed_time_s.map(|time| limit(time).map(Duration::from_secs));
        settings.extend(time.map(Setting::SeedTime));
        settings.extend(patch.sequential.map(Setting::Sequential));
        settings.extend(patch.ends_first.map(Setting::EndsFirst));
        let most = patch.peers_max.map(|most| Some(most).filter(|most| *most > 0));
        settings.extend(most.map(Setting::PeersMax));
        settings.extend(patch.place.map(|place| {
            Setting::Rank(match place {
                Place::Top => Rank::First,
                Place::Bottom => Rank::Last,
                Place::Up => Rank::Up,
                Place::Down => Rank::Down,
                Place::At(count) => Rank::At(count as usize),
            })
        }));
        for setting in settings {
            self.session.set(id, setting).await.map_err(Refusal::from)?;
        }
        Ok(Done::of(id, note))
    }

    /// Sets which files are wanted, and how much.
    ///
    /// # Errors
    /// There is no such torrent or file.
    pub(super) async fn set_files(&self, key: &Key, patch: &FilePatch) -> Result<Done, Refusal> {
        let id = self.find(key).await?.spec.id;
        let torrent = self.session.metadata(id).await.map_err(Refusal::from)?;
        let seen = view::seen_files(&torrent);
        let mut some = Vec::new();
        let mut wanted = self.wanted(id, torrent.files.len()).await?;
        for (numbers, wish) in [
            (&patch.want, FileWish::Wanted(true)),
            (&patch.low, FileWish::Priority(FilePriority::Low)),
            (&patch.normal, FileWish::Priority(FilePriority::Normal)),
            (&patch.high, FileWish::Priority(FilePriority::High)),
            (&patch.skip, FileWish::Wanted(false)),
        ] {
            for number in numbers {
                let at = (*number as usize).checked_sub(1).and_then(|at| seen.get(at));
                let at = at.ok_or_else(|| adding::no_file(*number, seen.len()))?;
                some.push((*at, wish));
                wanted[*at] = match wish {
                    FileWish::Wanted(is_wanted) => is_wanted,
                    FileWish::Priority(priority) => priority.is_wanted(),
                };
            }
        }
        // Padding behind a file that nobody wants would have its last piece fetched.
        let are_all = FileWish::Wanted(seen.iter().all(|at| wanted[*at]));
        let pads = torrent.files.iter().enumerate().filter(|(_, file)| file.is_pad);
        some.extend(pads.map(|(at, _)| (at, are_all)));
        self.session.set(id, Setting::SomeFiles(some)).await.map_err(Refusal::from)?;
        Ok(Done::of(id, None))
    }

    /// Which of its files are wanted now, one entry a file.
    async fn wanted(&self, id: TorrentId, count: usize) -> Result<Vec<bool>, Refusal> {
        let listed = self.find(&Key::Id(id.0)).await?;
        let chosen = listed.spec.selection.iter().flat_map(|it| it.wanted());
        let mut wanted: Vec<bool> = chosen.take(count).collect();
        wanted.resize(count, true);
        Ok(wanted)
    }

    /// Does that to a torrent.
    ///
    /// # Errors
    /// There is no such torrent, or it cannot be done to it.
    pub(super) async fn carry_out(&self, key: &Key, deed: Deed) -> Result<Done, Refusal> {
        match deed {
            Deed::Pause | Deed::Unpause => {
                let id = self.find(key).await?.spec.id;
                let rests = Setting::Paused(deed == Deed::Pause);
                self.session.set(id, rests).await.map_err(Refusal::from)?;
                Ok(Done::of(id, None))
            }
            Deed::Resume => self.resume(key).await,
            Deed::Verify => {
                let handle = self.handle(key).await?;
                handle.verify().await;
                Ok(Done::of(handle.id(), None))
            }
            Deed::Announce => {
                let handle = self.handle(key).await?;
                let note = handle.announce().await;
                Ok(Done::of(handle.id(), note))
            }
            Deed::Move { dir } => {
                let dir = self.admit(PathBuf::from(dir)).await?;
                self.relocate(key, Relocation::Dir(dir)).await
            }
            Deed::Rename { file: None, name } => {
                let done = self.relocate(key, Relocation::Torrent(name.clone())).await?;
                // Lists call it as its files are called now.
                let id = self.find(key).await?.spec.id;
                self.session.set(id, Setting::ShownName(Some(name))).await?;
                Ok(done)
            }
            Deed::Rename { file: Some(number), name } => {
                let spec = self.find(key).await?.spec;
                let torrent = self.session.metadata(spec.id).await.map_err(Refusal::from)?;
                let seen = view::seen_files(&torrent);
                let at = (number as usize).checked_sub(1).and_then(|at| seen.get(at));
                let at = at.and_then(|at| u32::try_from(*at).ok());
                let at = at.ok_or_else(|| adding::no_file(number, seen.len()))?;
                let done =
                    self.relocate(key, Relocation::File(FileIndex(at), name.clone())).await?;
                if torrent.is_single_file() {
                    // Likewise.
                    self.session.set(spec.id, Setting::ShownName(Some(name))).await?;
                }
                Ok(done)
            }
            Deed::AddPeer { address } => {
                let address: SocketAddr = address.parse().map_err(|_| {
                    Refusal::invalid("a peer is an address and a port, as 192.0.2.1:6881")
                })?;
                let listed = self.find(key).await?;
                match &listed.search {
                    Some(search) => search.add_peer(address).await,
                    None => self.handle(key).await?.add_peer(address).await,
                }
                Ok(Done::of(listed.spec.id, None))
            }
            Deed::AddSource { url } => {
                let handle = self.handle(key).await?;
                let added = handle.add_web_seed(WebSeed::of_user(&url)).await;
                added.map_err(Refusal::invalid)?;
                Ok(Done::of(handle.id(), None))
            }
        }
    }

    async fn resume(&self, key: &Key) -> Result<Done, Refusal> {
        let listed = self.find(key).await?;
        let is_asleep = listed.handle.is_none() && listed.row.flags.has(Flags::ASLEEP);
        if is_asleep || view::is_sought(&listed) {
            // It seeds on as it is, or is sought when it is its turn.
            let id = listed.spec.id;
            self.session.set(id, Setting::Paused(false)).await.map_err(Refusal::from)?;
            return Ok(Done::of(id, None));
        }
        let handle = self.handle(key).await?;
        handle.resume().await;
        let rest = self.session.ruled(handle.id()).await.and_then(|ruled| ruled.rest);
        Ok(Done::of(handle.id(), rest))
    }

    async fn relocate(&self, key: &Key, what: Relocation) -> Result<Done, Refusal> {
        let handle = self.handle(key).await?;
        match handle.relocate(what).await {
            None => Err(Refusal::new(Kind::Conflict, "it has ended")),
            Some(Err(why)) => Err(Refusal::new(Kind::Conflict, why)),
            Some(Ok(moving)) => {
                let is_copying = moving.copy_bytes > 0;
                Ok(Done::of(
                    handle.id(),
                    is_copying.then(|| "its files are being copied".to_owned()),
                ))
            }
        }
    }
}
