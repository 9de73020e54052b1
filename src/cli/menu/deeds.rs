//! What the menu offers: to share, to download, to list. Each asks for what it needs.

use std::path::Path;
use std::sync::Arc;

use crate::base::units::size;
use crate::cli::catalogue::failure;
use crate::cli::commands::download::{Found, FoundTorrent};
use crate::cli::commands::get::{fetch, is_torrent};
use crate::cli::commands::load;
use crate::cli::commands::share::{keep, make, own_name, real, shared_line};
use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::given::{Given, Input, Loaded};
use crate::cli::out;
use crate::cli::print::shared_screen;
use crate::cli::quoting::path_of;
use crate::cli::renewal::Shared;
use crate::cli::repl::desk::{Chosen, Refused};
use crate::cli::search::Wish;
use crate::cli::trusted::Trusted;
use crate::metainfo::Magnet;
use crate::session::TorrentOptions;
use crate::tracker::catalogue_client::{CatalogueClient, Error};

use super::{Menu, Undone};

/// A metalink may be several downloads.
fn metalink() -> Failure {
    Failure::bad_input("that is a metalink: leave the menu, and download it with driver FILE")
}

impl Menu {
    /// Shares a file or folder.
    pub(super) async fn share(&mut self) -> Result<(), Undone> {
        let typed = self.ask("File or folder (empty: back): ").await?;
        if typed.is_empty() {
            return Err(Undone::Dropped);
        }
        let path = real(&path_of(&typed))?;
        let client = self.client().await?;
        let own = own_name(&path);
        let name = self.ask(&format!("Name for others (empty: {}): ", escape(&own))).await?;
        let name = if name.is_empty() { own } else { name };
        self.knock(&client, &name).await?;
        out::answer_wrapped("Reading it...\n");
        let announce = client.announce();
        // Others are uploaded meanwhile.
        let memory_bytes = self.memory.check_bytes;
        let making = move || make(&path, announce, None, memory_bytes, false);
        let making = tokio::task::spawn_blocking(making);
        let made = making.await.map_err(|error| Failure::from(anyhow::Error::from(error)))??;
        keep(&made)?;
        let options = self.template(Vec::new()).dir(made.dir.clone()).seed_only(true);
        let torrent = Arc::new(made.torrent);
        // A name that nobody serves would only lead astray: first it has to run.
        let sums = Vec::new();
        let number = self.take_in(Chosen { named: name.clone(), torrent, options, sums }).await?;
        let (bytes, info_hash) = (made.bytes, made.info_hash);
        let shared = Shared { client, name, bytes, info_hash, token: self.token.clone() };
        if let Err(error) = shared.register().await {
            self.desk.remove(number).await;
            return Err(failure(&error).into());
        }
        out::answer_wrapped(&(shared_line(&shared.name, shared.client.base()) + "\n"));
        if let Some(item) = self.desk.item_mut(number) {
            tokio::spawn(shared.keep(item.handle.clone()));
        }
        Ok(())
    }

    /// Asks for the tracker's token when one is needed, as often as it is wrong.
    async fn knock(&mut self, client: &CatalogueClient, name: &str) -> Result<(), Undone> {
        loop {
            match client.knock(name, self.token.as_deref()).await {
                Err(Error::Refused { status: 401, why, .. }) => {
                    out::answer_wrapped(&format!("{}\n", escape(&why)));
                    self.token = Some(self.ask_token().await?);
                }
                Err(Error::Unproven { .. }) => {
                    out::answer_wrapped("that is not the tracker's token\n");
                    self.token = Some(self.ask_token().await?);
                }
                Ok(key) => {
                    if let Some(key) = key {
                        Trusted::load().remember(key, client.base());
                    }
                    return Ok(());
                }
                Err(error) => return Err(failure(&error).into()),
            }
        }
    }

    async fn ask_token(&mut self) -> Result<String, Undone> {
        let token = self.ask("The tracker's token (empty: back): ").await?;
        if token.is_empty() { Err(Undone::Dropped) } else { Ok(token) }
    }

    /// Downloads something of the list, or what a .torrent file or URL is for.
    pub(super) async fn download(&mut self) -> Result<(), Undone> {
        let client = self.client().await?;
        let listing = client.list().await.map_err(|error| failure(&error))?;
        out::answer(&shared_screen(&listing, true, false, out::columns()));
        let question = "Number, name, .torrent file, URL or magnet link (empty: back): ";
        let typed = self.ask(question).await?;
        if typed.is_empty() {
            return Err(Undone::Dropped);
        }
        let number = typed.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let numbered = number.and_then(|number| listing.torrents.get(number));
        let named = numbered.map_or(typed.clone(), |listed| listed.name.clone());
        let path = path_of(&typed);
        let is_free = numbered.is_none() && listing.find(&named).is_none();
        let is_file = is_free && is_torrent(&path.to_string_lossy());
        if is_free && !is_file && typed.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(no_number(&typed, listing.torrents.len()).into());
        }
        let FoundTorrent { torrent, trackers, hints, .. } = match is_file {
            true => match self.found(&path).await? {
                Found::Torrent(found) => *found,
                Found::Link(link) => return self.seek(named, *link).await,
                Found::Several(_) => return Err(metalink().into()),
            },
            false => fetch(&client, &listing, &named).await?,
        };
        let is_alone = listing.find(&named).is_some_and(|listed| !is_file && listed.seeds == 0);
        load::check_downloadable(&torrent)?;
        let options = hints.add_to(self.template(trackers.unwrap_or_default()), &torrent)?;
        let place = escape(&options.dir.join(&torrent.name).display().to_string());
        let begun = format!("Downloading {} to {place}\n", size(torrent.total_size()));
        let chosen = Chosen { named, torrent: Arc::new(torrent), options, sums: Vec::new() };
        self.take_in(chosen).await?;
        out::answer_wrapped(&begun);
        if is_alone {
            out::answer_wrapped(
                "Nobody who has all of it is there now; it goes on when somebody comes.\n",
            );
        }
        Ok(())
    }

    /// The torrent in a file, at a URL, or that a link leads to.
    async fn found(&self, path: &Path) -> Result<Found, Undone> {
        let input = Given::of(path)?.open(self.desk.engine.egress()).await?;
        Ok(match input {
            Input::Torrent(loaded) => {
                let Loaded { torrent, bytes, hints } = *loaded;
                Found::torrent(FoundTorrent { torrent, bytes: Some(bytes), trackers: None, hints })
            }
            Input::Link(link) => Found::Link(link),
            Input::Metalink(_) => return Err(metalink().into()),
        })
    }

    /// Looks for what a link means.
    async fn seek(&mut self, named: String, link: Magnet) -> Result<(), Undone> {
        let wish = Wish::new(named, link, self.template(Vec::new()));
        let lonely = wish.loneliness().is_some() && self.desk.engine.dht().is_none();
        match self.desk.seek(wish).await {
            Ok(_) if lonely => out::answer_wrapped(
                "The link names no tracker and no peer: nobody is asked, others may come by \
                 themselves.\n",
            ),
            Ok(_) => {
                out::answer_wrapped("Looking for it at its peers; it begins when it is found.\n")
            }
            Err(Refused::Twice(words, given)) => {
                return Err(Failure::bad_input(words + &given).into());
            }
            Err(Refused::Failed(failure)) => return Err(failure.into()),
        }
        Ok(())
    }

    /// Shows what there is and who has it.
    pub(super) async fn list(&mut self) -> Result<(), Undone> {
        let client = self.client().await?;
        let listing = client.list().await.map_err(|error| failure(&error))?;
        out::answer(&shared_screen(&listing, false, true, out::columns()));
        Ok(())
    }

    fn template(&self, extra_trackers: Vec<String>) -> TorrentOptions {
        super::torrent_options(&self.options).extra_trackers(extra_trackers)
    }

    /// Takes a torrent in; its number.
    async fn take_in(&mut self, chosen: Chosen) -> Result<usize, Undone> {
        match self.desk.add(chosen).await {
            Ok(item) => Ok(item.number),
            Err(Refused::Twice(words, given)) => Err(Failure::bad_input(words + &given).into()),
            Err(Refused::Failed(failure)) => Err(failure.into()),
        }
    }
}

/// What is said of a number that is not in a list of so many.
pub(super) fn no_number(typed: &str, count: usize) -> Failure {
    let typed = escape(typed);
    Failure::bad_input(match count {
        0 => format!("there is no number {typed}: the list is empty"),
        1 => format!("there is no number {typed}: the list has only 1"),
        _ => format!("there is no number {typed}: type one from 1 to {count}"),
    })
}
